"""Ingest, tokenize and count a vocabulary, compared with the usual gensim script in one run.

    python -m benchmarks.corpus --json FILE [--data DIR] [--repeats 3] [--no-large]

Film reviews (``imdb/*.parquet``, columns ``id`` and ``text``) below ``--data``, by default
../shared/data beside the project. The peer reads the same files and gives every text to gensim's
``simple_preprocess`` and the tokens to its ``Dictionary``, one after the other, as scripts do. Ours
is what a night does before training: the files are hashed, read and cleaned with the default steps,
duplicates dropped, all of it published, tokenized into sentences of ranks and published, by as many
processes as there are cores. Each side is a process of its own each time, in turns.

``speed_ratio``: the peer's seconds divided by ours, medians, for ``default`` and for
``near_duplicates`` (with them dropped, too). ``words_per_second``: of the words between white space
that go in. ``peak_rss_mb``: of all processes together, in a run of its own (:func:`peak_memory`).
``cpu_seconds_per_million_words``: of one core, by phase, including finding and joining phrases.
``seconds_per_million_words``: for 1, 2, 4 and 8 shards; flat if time is linear. ``ten_times``: the
same for ten times the text, made of the reviews' sentences in another order, and ``night``: one
additional shard when all others are known.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

DATA = Path(__file__).parents[2] / "shared" / "data"
SHARDS = (1, 2, 4, 8)
COPIES = 10


def gensim_script(files: Sequence[str], _store: Path) -> int:
    """The peer; returns its number of distinct words."""
    from gensim.corpora import Dictionary  # noqa: PLC0415  # only in the peer's process
    from gensim.utils import simple_preprocess  # noqa: PLC0415

    dictionary = Dictionary()
    for path in files:
        for text in pq.read_table(path, columns=["text"]).column("text").to_pylist():
            dictionary.doc2bow(simple_preprocess(text), allow_update=True)
    return len(dictionary)


def _context(identity: Any, staging: Any, base_dir: Path = Path(), **changes: Any) -> Any:
    from nightjar.core import StageContext  # noqa: PLC0415  # only in our process

    return StageContext(identity=identity, staging=staging, base_dir=base_dir, **changes)


def our_stages(files: Sequence[str], store: Path, **settings: Any) -> int:
    """Ours; returns its number of distinct words."""
    from nightjar.core.executors import INLINE_BYTES, STAGE_MODULES, ProcessExecutor  # noqa: PLC0415

    executor = ProcessExecutor(os.cpu_count() or 1, STAGE_MODULES)
    if sum(Path(path).stat().st_size for path in files) >= INLINE_BYTES:
        executor.start()  # as a night does, while the rest is imported
    from nightjar.config import IngestConfig, TokenizeConfig  # noqa: PLC0415
    from nightjar.sources.selection import Fetching  # noqa: PLC0415
    from nightjar.stages.ingest import documents_identity, ingest  # noqa: PLC0415
    from nightjar.stages.tokenize import tokenize, tokens_identity  # noqa: PLC0415
    from nightjar.store import Store, publish  # noqa: PLC0415

    source = {"type": "parquet", "path": list(files), "id_column": "id"}
    config, cut = IngestConfig(sources={"imdb": source}, **settings), TokenizeConfig()
    identity = documents_identity(config, store, Fetching(store))
    with executor:
        documents = publish(
            store,
            identity,
            lambda s: ingest(config, _context(identity, s, store, executor=executor)),
        )
        opened = Store(store).open(documents)
        tokens = publish(
            store,
            tokens_identity(cut, documents.version),
            lambda s: tokenize(cut, opened, _context(identity, s, executor=executor)),
        )
    return int(Store(store).open(tokens).manifest.counts["vocabulary"])


class _Phases:
    """Listens to the progress of stages and measures the processor time of each phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._label = ""
        self._since = 0.0

    def start(self, label: str, total: float | None, unit: str) -> None:
        del total, unit
        now = time.process_time()
        if self._label:
            self.seconds[self._label] = self.seconds.get(self._label, 0.0) + now - self._since
        self._label, self._since = label, now

    def advance(self, amount: float, note: str = "") -> None:
        del amount, note


def our_phases(files: Sequence[str], store: Path) -> int:
    """The cost of each phase on one core, phrases included; a first run loads compiled code."""
    from nightjar.config import IngestConfig, PhrasesConfig, TokenizeConfig  # noqa: PLC0415
    from nightjar.sources.selection import Fetching  # noqa: PLC0415
    from nightjar.stages.ingest import documents_identity, ingest  # noqa: PLC0415
    from nightjar.stages.tokenize import tokenize, tokens_identity  # noqa: PLC0415
    from nightjar.store import Store, publish  # noqa: PLC0415

    phrases = PhrasesConfig(scoring="npmi", threshold=0.5, connector_words="english", passes=2)
    for some, root in ((files[:1], store / "first"), (files, store / "all")):
        phases = _Phases()
        source: Any = {"type": "parquet", "path": list(some), "id_column": "id"}
        config = IngestConfig(sources={"imdb": source})
        identity = documents_identity(config, root, Fetching(root))
        documents = publish(
            root,
            identity,
            lambda s: ingest(config, _context(identity, s, root, progress=phases)),  # noqa: B023
        )
        opened = Store(root).open(documents)
        for cut in (TokenizeConfig(), TokenizeConfig(phrases=phrases)):
            publish(
                root,
                tokens_identity(cut, documents.version),
                lambda s: tokenize(cut, opened, _context(identity, s, progress=phases)),  # noqa: B023
            )
        phases.start("", None, "")
    words = n_words(files) / 1e6
    print(json.dumps({name: round(spent / words, 4) for name, spent in phases.seconds.items()}))
    return 0


SIDES = {
    "phases": our_phases,
    "gensim": gensim_script,
    "default": our_stages,
    "near_duplicates": lambda files, store: our_stages(
        files, store, near_duplicates={"threshold": 0.8}
    ),
}


def run_side(side: str, files: Sequence[str], store: Path) -> dict[str, float]:
    """Run a side in a separate process; returns seconds of work and distinct words."""
    output, _ = _begin_side(side, files, store).communicate()
    if not output:
        raise RuntimeError(f"{side} ended without a result")
    found: dict[str, float] = json.loads(output.splitlines()[-1])
    return found


def peak_memory(side: str, files: Sequence[str], store: Path) -> dict[str, int]:
    """Run a side again, and sample the memory of all its processes every 50 ms.

    ``peak_rss_mb``: resident memory, with pages that processes share (code, mapped files) counted
    once; ``peak_rss_mb_by_process``: summed by process, so that shared pages count several times.
    """
    child = _begin_side(side, files, store)
    root = psutil.Process(child.pid)
    peaks = [0, 0]
    while child.poll() is None:
        once = several = 0
        with suppress(psutil.Error):
            for process in (root, *root.children(recursive=True)):
                with suppress(psutil.Error):
                    memory = process.memory_full_info()
                    once += memory.pss
                    several += memory.rss
        peaks = [max(peaks[0], once), max(peaks[1], several)]
        time.sleep(0.05)
    child.communicate()
    if child.returncode:
        raise RuntimeError(f"{side} ended with {child.returncode}")
    once, several = (round(peak / 1e6) for peak in peaks)
    return {"peak_rss_mb": once, "peak_rss_mb_by_process": several}


def _begin_side(side: str, files: Sequence[str], store: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.corpus", "--side", side, "--store", str(store)]
    environment = dict(os.environ)
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # else all imports would be compiled each time
    return subprocess.Popen(
        [*command, *files],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
        env=environment,
    )


def n_words(files: Sequence[str]) -> int:
    """Words between white space."""
    return sum(
        len(text.split())
        for path in files
        for text in pq.read_table(path, columns=["text"]).column("text").to_pylist()
    )


def make_copies(files: Sequence[str], directory: Path) -> list[str]:
    """Ten times as many files, of the same sentences in another order."""
    paths = []
    for path in files:
        texts = pq.read_table(path, columns=["text"]).column("text").to_pylist()
        sentences = [part for text in texts for part in re.split(r"(?<=[.!?]) ", text)]
        per_text = -(-len(sentences) // len(texts))
        for copy in range(COPIES):
            random.Random(copy).shuffle(sentences)
            made = [
                " ".join(sentences[start : start + per_text])
                for start in range(0, len(sentences), per_text)
            ]
            ids = [f"{copy}-{Path(path).stem}-{number}" for number in range(len(made))]
            target = directory / f"{Path(path).stem}-{copy}.parquet"
            pq.write_table(pa.table({"id": ids, "text": made}), target, compression="zstd")
            paths.append(str(target))
    return sorted(paths)


def measure(files: Sequence[str], repeats: int, directory: Path) -> dict[str, Any]:
    """Every side in turns on all files, ours also on fewer, and with one new file."""
    runs: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES if side != "phases"}
    for _ in range(repeats):
        for side, found in runs.items():
            found.append(run_side(side, files, directory / "store"))
            shutil.rmtree(directory / "store", ignore_errors=True)
    words = n_words(files)
    ratio, speed = {}, {}
    theirs = statistics.median(run["seconds"] for run in runs["gensim"])
    for side, found in runs.items():
        seconds = statistics.median(run["seconds"] for run in found)
        speed[side] = round(words / seconds)
        if side != "gensim":
            ratio[side] = round(theirs / seconds, 2)
    memory = {}
    for side in runs:
        memory[side] = peak_memory(side, files, directory / "watched")
        shutil.rmtree(directory / "watched", ignore_errors=True)
    flat = {}
    for n_shards in (n for n in SHARDS if n <= len(files)):
        some = files[:n_shards]
        per_million = [
            run_side("default", some, directory / f"store-{n_shards}-{turn}")["seconds"]
            / (n_words(some) / 1e6)
            for turn in range(repeats)
        ]
        flat[str(n_shards)] = round(statistics.median(per_million), 3)
    known = directory / "known"
    night = []
    for _ in range(repeats):
        run_side("default", files[:-1], known)
        night.append(run_side("default", files, known))
        shutil.rmtree(known)
    output, _ = _begin_side("phases", files, directory / "phases").communicate()
    shutil.rmtree(directory / "phases")
    return {
        "words": words,
        "cpu_seconds_per_million_words": json.loads(output.splitlines()[0]),
        "speed_ratio": ratio,
        "words_per_second": speed,
        **{key: {side: memory[side][key] for side in runs} for key in memory["default"]},
        "seconds_per_million_words": flat,
        "night": sorted(night, key=lambda run: run["seconds"])[len(night) // 2],
        "runs": runs,
    }


def main() -> None:
    """Measure, print, write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--data", type=Path, default=DATA, help="where imdb/*.parquet is")
    parser.add_argument("--repeats", type=int, default=3, help="of each measurement")
    parser.add_argument("--no-large", action="store_true", help="leave ten times the text out")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--store", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("files", nargs="*", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        started = time.perf_counter()
        n_distinct = SIDES[arguments.side](arguments.files, arguments.store)
        seconds = round(time.perf_counter() - started, 3)
        print(json.dumps({"seconds": seconds, "distinct_words": n_distinct}))
        return
    if arguments.json is None:
        parser.error("--json FILE is needed")
    files = sorted(str(path) for path in arguments.data.glob("imdb/*.parquet"))
    if not files:
        parser.error(f"{arguments.data / 'imdb'} has no Parquet files; say --data DIR")
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        found = measure(files, arguments.repeats, directory)
        if not arguments.no_large:
            (directory / "large").mkdir()
            large = make_copies(files, directory / "large")
            run = run_side("default", large, directory / "large-store")
            run["words_per_second"] = round(n_words(large) / run["seconds"])
            shutil.rmtree(directory / "large-store")
            watched = peak_memory("default", large, directory / "large-store")
            found["ten_times"] = {**run, **watched}
    report = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        **found,
    }
    arguments.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    for key in (
        *("speed_ratio", "words_per_second", "peak_rss_mb"),
        *("seconds_per_million_words", "cpu_seconds_per_million_words"),
    ):
        print(f"{key}: {report[key]}")
    print(f"one shard more: {report['night']}")
    if "ten_times" in report:
        print(f"ten times the text: {report['ten_times']}")


if __name__ == "__main__":
    main()
