"""Phrases, compared with gensim's ``Phrases``: one process, one core.

    python -m benchmarks.phrases --json FILE [--data ../shared/data] [--files 8]

Reviews are tokenized with the defaults, one shard per file; that is not timed. Then, in turns with
gensim and for two passes (words, then the result of the first pass): counting, with merging and
scoring, and joining. gensim takes and returns lists of words, ours arrays of ids. ``speed_ratio``:
gensim's seconds over ours, the same ``--gensim-files`` files for both; ``tokens_per_second``: ours,
over all files, the median of the repeats, by settings and work; ``peak_rss_mb``: peak of a process
that reads shard by shard, finds all phrases and joins them; ``before_mb``: its peak before that,
from imports and words.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow.parquet as pq
from gensim.models.phrases import Phrases

from nightjar.config import TokenizeConfig
from nightjar.config.tokenize import PhrasesConfig
from nightjar.model.tokenization import make_sentence_splitter, make_tokenizer
from nightjar.stages.tokenize.phrases.counts import merge_counts
from nightjar.stages.tokenize.phrases.passes import KnownWords, ShardCounts, count_for_pass
from nightjar.stages.tokenize.phrases.phrase_table import (
    PhraseIds,
    PhraseIndex,
    PhraseTable,
    SentenceIds,
    apply_phrases,
    index_phrases,
)
from nightjar.stages.tokenize.phrases.scoring import score

SETTINGS = {
    "default": PhrasesConfig(connector_words="english", passes=2),
    "npmi": PhrasesConfig(scoring="npmi", threshold=0.5, connector_words="english", passes=2),
}
T = TypeVar("T")


def read_shards(paths: Sequence[Path]) -> tuple[list[str], list[SentenceIds]]:
    """The words, and the sentences of each file."""
    config = TokenizeConfig()
    split, tokenize = make_sentence_splitter(config), make_tokenizer(config)
    id_of: dict[str, int] = {}
    shards = []
    for path in paths:
        ids, lengths = array("i"), array("q", [0])
        for text in pq.read_table(path, columns=["text"]).column("text").to_pylist():
            for sentence in split(text):
                tokens = tokenize(sentence)
                ids.extend(id_of.setdefault(token, len(id_of)) for token in tokens)
                lengths.append(len(tokens))
        shards.append(SentenceIds(np.array(ids, np.int32), np.cumsum(np.array(lengths, np.int64))))
    return list(id_of), shards


def sentences_of(words: Sequence[str], shards: Sequence[SentenceIds]) -> list[list[str]]:
    """The shards' sentences as lists of words."""
    found = []
    for shard in shards:
        names = [words[number] for number in shard.ids.tolist()]
        edges = shard.offsets.tolist()
        found += [names[start:end] for start, end in pairwise(edges)]
    return found


def seconds_of(work: Callable[[], T]) -> tuple[float, T]:
    """How long ``work`` takes, and what it returns."""
    started = time.perf_counter()
    done = work()
    return time.perf_counter() - started, done


def ours(
    words: list[str], shards: Sequence[SentenceIds], config: PhrasesConfig
) -> dict[str, float]:
    """Seconds of each operation, in both passes."""
    vocabulary = KnownWords.of(words, config.connectors)
    shards = list(shards)
    seconds = {}
    for number in range(1, config.passes + 1):
        known = vocabulary

        def count(
            shards: Sequence[SentenceIds] = shards, known: KnownWords = known
        ) -> list[ShardCounts]:
            return [count_for_pass(shard, [], known.is_connector) for shard in shards]

        seconds[f"count_{number}"], counted = seconds_of(count)

        def find(
            counted: Sequence[ShardCounts] = counted, known: KnownWords = known
        ) -> PhraseTable:
            merged = merge_counts(one.phrases for one in counted)
            totals = np.sum([one.words for one in counted], axis=0)
            return score(merged, totals, known.is_connector, known.words, config)

        seconds[f"score_{number}"], table = seconds_of(find)
        vocabulary = known.extended(table, config.connectors)
        index = index_phrases(PhraseIds.of(table, vocabulary.id_of), vocabulary.is_connector)

        def join(
            shards: Sequence[SentenceIds] = shards, index: PhraseIndex = index
        ) -> list[SentenceIds]:
            return [apply_phrases(shard.ids, shard.offsets, index) for shard in shards]

        seconds[f"join_{number}"], shards = seconds_of(join)
    return seconds


def gensims(sentences: list[list[str]], config: PhrasesConfig) -> dict[str, float]:
    """The same for gensim, which computes scores when it exports or joins."""
    seconds = {}
    for number in range(1, config.passes + 1):

        def count(sentences: list[list[str]] = sentences) -> Phrases:
            return Phrases(
                sentences,
                min_count=config.min_count,
                threshold=config.threshold,
                scoring=config.scoring,
                delimiter=config.delimiter,
                connector_words=config.connectors,
            )

        seconds[f"count_{number}"], model = seconds_of(count)

        def join(sentences: list[list[str]] = sentences, model: Phrases = model) -> list[list[str]]:
            return [model[sentence] for sentence in sentences]

        seconds[f"join_{number}"], sentences = seconds_of(join)
    return seconds


def peak_memory(
    words: list[str], shards: Sequence[SentenceIds], directory: Path
) -> dict[str, float]:
    """Find and join all phrases in a separate process, which reads shards on demand."""
    (directory / "words.json").write_text(json.dumps(words), encoding="utf-8")
    for number, shard in enumerate(shards):
        np.savez(directory / f"{number}.npz", ids=shard.ids, offsets=shard.offsets)
    config = SETTINGS["default"].model_dump_json()
    done = subprocess.run(
        [sys.executable, "-c", _ALONE, str(directory), config],
        check=True,
        capture_output=True,
        text=True,
    )
    return dict(zip(("before_mb", "peak_rss_mb"), map(float, done.stdout.split()), strict=True))


_ALONE = """
import json, sys
from pathlib import Path
import numpy as np
from nightjar.config.tokenize import PhrasesConfig
from nightjar.stages.tokenize.phrases.phrase_table import SentenceIds
from nightjar.stages.tokenize.phrases.passes import find_phrases

def peak():
    # Not ru_maxrss, which begins with that of the process that started this one.
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6

def shards():
    for path in sorted(directory.glob("*.npz")):
        with np.load(path) as arrays:
            yield SentenceIds(arrays["ids"], arrays["offsets"])

directory = Path(sys.argv[1])
config = PhrasesConfig.model_validate_json(sys.argv[2])
words = json.loads((directory / "words.json").read_text(encoding="utf-8"))
print(peak())
found = find_phrases(words, shards, config)
for shard in shards():
    found.join(shard)
print(peak())
"""


def measure(
    words: list[str], shards: Sequence[SentenceIds], n_gensim: int, repeats: int
) -> dict[str, dict[str, dict[str, float]]]:
    """Our tokens per second and the ratios, by settings and operation."""
    n_tokens = sum(len(shard.ids) for shard in shards)
    sentences = sentences_of(words, shards[:n_gensim])
    speed: dict[str, dict[str, float]] = {}
    ratio: dict[str, dict[str, float]] = {}
    for name, config in SETTINGS.items():
        ours(words, shards[:1], config)  # compiles
        rounds = []
        for _ in range(repeats):
            whole = ours(words, shards, config)
            own, other = ours(words, shards[:n_gensim], config), gensims(sentences, config)
            own_all, other_all = sum(own.values()), sum(other.values())
            ratios = {what: other[what] / own[what] for what in other} | {
                "all": other_all / own_all
            }
            rounds.append((whole | {"all": sum(whole.values())}, ratios))
        speed[name] = {
            what: round(n_tokens / statistics.median(whole[what] for whole, _ in rounds))
            for what in rounds[0][0]
        }
        ratio[name] = {
            what: round(statistics.median(ratios[what] for _, ratios in rounds), 1)
            for what in rounds[0][1]
        }
    return {"tokens_per_second": speed, "speed_ratio": ratio}


def main() -> None:
    """Measure, print, write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, required=True, help="where to write the figures")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="has imdb/")
    parser.add_argument("--files", type=int, default=8, help="files of reviews to read")
    parser.add_argument("--gensim-files", type=int, default=1, help="those that gensim gets, too")
    parser.add_argument("--repeats", type=int, default=3, help="of each measurement")
    arguments = parser.parse_args()
    paths = sorted((arguments.data / "imdb").glob("*.parquet"))[: arguments.files]
    if not paths:
        parser.error(f"{arguments.data / 'imdb'} has no *.parquet; give --data")
    words, shards = read_shards(paths)
    with tempfile.TemporaryDirectory() as temporary:
        memory = peak_memory(words, shards, Path(temporary))
    found = measure(words, shards, arguments.gensim_files, arguments.repeats)
    report = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "tokens": sum(len(shard.ids) for shard in shards),
        "words": len(words),
        **found,
        **memory,
    }
    arguments.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    for name, speeds in found["tokens_per_second"].items():
        for what, speed in speeds.items():
            ratio = found["speed_ratio"][name].get(what)
            beside = f", {ratio:.1f} x gensim" if ratio is not None else ""
            print(f"{name:8} {what:8} {speed / 1e6:7.1f} M tokens/s{beside}")
    print(f"peak {memory['peak_rss_mb']:.0f} MB, {memory['before_mb']:.0f} MB of it before")


if __name__ == "__main__":
    main()
