"""Opening and querying a model, compared with gensim's KeyedVectors in one run.

Then the approximate index is compared with our exact neighbours, on clustered vectors, as words
are: random directions have no near neighbours that a graph could lead to.

The vectors and words are random, by default 400,000 words with 300 dimensions. Both sides read the
same vectors from the same disk (cached: each file has just been written). Each measurement is a
separate process that has imported its libraries before the clock starts.

A registered model is read in full when it is opened the first time (``first_open``), and not again
as long as nobody writes its files (``later_open``); ``open`` is the same without that check.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nightjar.model.lookup import ApproximateIndex, ModelContent, Rows, VectorModel, write_model
from nightjar.model.lookup.nearest import nearest_rows, row_lengths
from nightjar.model.tokenization import Settings
from nightjar.progress import SILENT
from nightjar.stages.index import IndexSettings
from nightjar.stages.index.building import IndexedRows, build_index
from nightjar.store import damage_at_first_reading, file_identity

FLOORS = {"open_binary": 5.0, "open_mmap": 1.0, "vectors": 3.0, "neighbors": 3.0}
N_WORDS_LOOKED_UP = 10_000
TOPN = 10
_STRETCH = 10_000
WORDS_IN_A_CLUSTER = 100
SPREAD = 0.7
"""Spread of a cluster's words around its centre, relative to that of the centres."""


def main() -> None:
    """Measure everything and print or write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--words", type=int, default=400_000)
    parser.add_argument("--vector-size", type=int, default=300)
    parser.add_argument(
        "--queries", type=int, default=1_000, help="words whose neighbours are asked"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--directory", type=Path, help="where the models are written (1.5 GB)")
    parser.add_argument(
        "--approximate",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="also build the approximate index (needs usearch)",
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of building it")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(MEASUREMENTS[arguments.measure](arguments.directory, arguments.queries)))
        return
    with tempfile.TemporaryDirectory(dir=arguments.directory) as temporary:
        directory = Path(temporary)
        write_seconds = write_models(directory, arguments.words, arguments.vector_size)
        seconds = {
            name: [measure(name, directory, arguments.queries) for _ in range(arguments.repeats)]
            for name in MEASUREMENTS
        }
        found = figures(seconds, arguments, write_seconds)
        if arguments.approximate:
            found["approximate"] = approximate(directory, arguments)
    print(json.dumps(found, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def figures(
    seconds: Mapping[str, list[dict[str, Any]]],
    arguments: argparse.Namespace,
    write_seconds: Mapping[str, float],
) -> dict[str, Any]:
    """Medians, ratios of gensim's seconds to ours, and whether the answers agree."""
    medians = {
        name: statistics.median(run["seconds"] for run in runs) for name, runs in seconds.items()
    }
    answers = {name: runs[0]["answers"] for name, runs in seconds.items()}
    same = [
        len(set(ours) & set(theirs)) / TOPN
        for ours, theirs in zip(answers["neighbors"], answers["gensim_neighbors"], strict=True)
    ]
    return {
        "speed_ratio": {
            "open_binary": medians["gensim_open_binary"] / medians["open"],
            "first_open_binary": medians["gensim_open_binary"] / medians["first_open"],
            "later_open_binary": medians["gensim_open_binary"] / medians["later_open"],
            "open_mmap": medians["gensim_open_mmap"] / medians["open"],
            "vectors": medians["gensim_vectors"] / medians["vectors"],
            "neighbors": medians["gensim_neighbors"] / medians["neighbors"],
        },
        "floors": FLOORS,
        "neighbors_in_common_with_gensim": statistics.mean(same),
        "answers_are_equal": all(
            math.isclose(answers[ours], answers[theirs], rel_tol=1e-6)
            for ours, theirs in (
                ("open", "gensim_open_binary"),
                ("open", "gensim_open_mmap"),
                ("vectors", "gensim_vectors"),
            )
        ),
        "median_seconds": medians,
        "write_seconds": write_seconds,
        "words": arguments.words,
        "vector_size": arguments.vector_size,
        "queries": arguments.queries,
        "runs": {name: [run["seconds"] for run in runs] for name, runs in seconds.items()},
    }


def approximate(directory: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds to build the index, its recall, and queries per second compared with exact ones."""
    matrix = clustered(arguments.words, arguments.vector_size)
    lengths = row_lengths(matrix)
    started = time.perf_counter()
    indexed = IndexedRows(matrix, lengths)
    built = build_index(indexed, IndexSettings(), arguments.threads, SILENT)
    build_seconds = time.perf_counter() - started
    path = directory / "index.usearch"
    built.save(path)
    report = built.report()
    index = ApproximateIndex.open(path, report["expansion_search"])
    asked = np.random.default_rng(3).integers(0, len(matrix), arguments.queries)
    excluded = [[row] for row in asked.tolist()]
    questions: dict[str, Callable[[], Any]] = {
        "exact": lambda: nearest_rows(matrix, lengths, matrix[asked], TOPN, excluded),
        "approximate": lambda: index.nearest(matrix, lengths, matrix[asked], TOPN, excluded),
    }
    runs: dict[str, list[float]] = {name: [] for name in questions}
    for _ in range(arguments.repeats):
        for name, question in questions.items():
            runs[name].append(timed(question)["seconds"])
    per_second = {
        name: arguments.queries / statistics.median(seconds) for name, seconds in runs.items()
    }
    return {
        "recall_at_10": report["recall_at_10"],
        "recall_floor": IndexSettings().min_recall,
        "build_seconds": build_seconds,
        "threads": arguments.threads,
        "bytes": path.stat().st_size,
        "queries_per_second": per_second,
        "speed_ratio": per_second["approximate"] / per_second["exact"],
        "trials": report["trials"],
        "words_in_a_cluster": WORDS_IN_A_CLUSTER,
        "spread": SPREAD,
        "runs": runs,
    }


def clustered(n_words: int, vector_size: int) -> NDArray[np.float32]:
    """Vectors around random centres, a hundred per centre."""
    generator = np.random.default_rng(1)
    n_centres = max(1, n_words // WORDS_IN_A_CLUSTER)
    centres = generator.standard_normal((n_centres, vector_size), dtype=np.float32)
    matrix = generator.standard_normal((n_words, vector_size), dtype=np.float32)
    matrix *= np.float32(SPREAD)
    matrix += centres[generator.integers(0, n_centres, n_words)]
    return matrix


def some_words(n_words: int) -> list[str]:
    """Distinct words of 3 to 12 letters."""
    generator = np.random.default_rng(7)
    letters = np.frombuffer(b"etaoinshrdlcumwfgypbvk", np.uint8)
    words: dict[str, None] = {}
    while len(words) < n_words:
        lengths = generator.integers(3, 13, n_words)
        drawn = letters[generator.integers(0, len(letters), int(lengths.sum()))].tobytes().decode()
        ends = np.cumsum(lengths).tolist()
        starts = [0, *ends[:-1]]
        words |= {drawn[start:end]: None for start, end in zip(starts, ends, strict=True)}
    return list(words)[:n_words]


def write_models(directory: Path, n_words: int, vector_size: int) -> dict[str, float]:
    """Write the same vectors as our files and as gensim's binary and native ones."""
    from gensim.models import KeyedVectors  # noqa: PLC0415

    words = some_words(n_words)
    generator = np.random.default_rng(1)
    matrix = generator.standard_normal((n_words, vector_size), dtype=np.float32)

    def rows() -> Iterator[Rows]:
        for first in range(0, n_words, _STRETCH):
            part = slice(first, first + _STRETCH)
            counts = np.arange(n_words, 0, -1)[part]
            yield Rows(words[part], counts, matrix[part])

    settings = Settings("unicode", None, "forms", True, True, 1, 40)
    ours = directory / "ours"
    ours.mkdir()
    started = time.perf_counter()
    write_model(ours, ModelContent("benchmark", settings, n_words, vector_size, rows()))
    seconds = {"ours": time.perf_counter() - started}
    sha256s = {path.name: file_identity(path).sha256 for path in ours.iterdir()}
    (directory / "sha256.json").write_text(json.dumps(sha256s), encoding="utf-8")
    vectors = KeyedVectors(vector_size)
    vectors.add_vectors(words, matrix)
    started = time.perf_counter()
    vectors.save_word2vec_format(str(directory / "gensim.bin"), binary=True)
    seconds["gensim_binary"] = time.perf_counter() - started
    vectors.save(str(directory / "gensim.kv"))
    (directory / "words.json").write_text(json.dumps(words), encoding="utf-8")
    return seconds


def measure(name: str, directory: Path, n_queries: int) -> dict[str, Any]:
    """Run one measurement in a separate process."""
    command = [sys.executable, "-m", "benchmarks.lookup", "--measure", name]
    command += ["--directory", str(directory), "--queries", str(n_queries)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    print(f"{name}: {found['seconds']:.4f} s", file=sys.stderr, flush=True)
    return found


def timed(question: Callable[[], Any]) -> dict[str, Any]:
    """Seconds and answers of a question."""
    started = time.perf_counter()
    answers = question()
    return {"seconds": time.perf_counter() - started, "answers": answers}


def words_to_ask(directory: Path, n_words: int) -> list[str]:
    """Words drawn at random, the same in every process."""
    words = json.loads((directory / "words.json").read_text(encoding="utf-8"))
    chosen = np.random.default_rng(3).integers(0, len(words), n_words)
    return [words[place] for place in chosen]


def ours_open(directory: Path, _n_queries: int) -> dict[str, Any]:
    """Open, and look up one word: opening alone would read next to nothing."""
    word = words_to_ask(directory, 1)[0]
    return timed(lambda: float(VectorModel.open(directory / "ours").vectors([word])[0, 0]))


def ours_first_open(directory: Path, _n_queries: int) -> dict[str, Any]:
    """As above, but every byte of the files is compared with its sha256."""
    shutil.rmtree(directory / "records", ignore_errors=True)
    return _checked_open(directory)


def ours_later_open(directory: Path, _n_queries: int) -> dict[str, Any]:
    """As above, when a record says that the files were read before."""
    _checked_open(directory)
    return _checked_open(directory)


def _checked_open(directory: Path) -> dict[str, Any]:
    word = words_to_ask(directory, 1)[0]
    sha256s = json.loads((directory / "sha256.json").read_text(encoding="utf-8"))

    def question() -> float:
        assert damage_at_first_reading(directory / "records", directory / "ours", sha256s) == []
        return float(VectorModel.open(directory / "ours").vectors([word])[0, 0])

    return timed(question)


def gensim_open_binary(directory: Path, _n_queries: int) -> dict[str, Any]:
    """The format in which most vectors are distributed."""
    from gensim.models import KeyedVectors  # noqa: PLC0415

    word, path = words_to_ask(directory, 1)[0], str(directory / "gensim.bin")
    return timed(lambda: float(KeyedVectors.load_word2vec_format(path, binary=True)[word][0]))


def gensim_open_mmap(directory: Path, _n_queries: int) -> dict[str, Any]:
    """The native format of gensim, with the matrix memory-mapped."""
    from gensim.models import KeyedVectors  # noqa: PLC0415

    word, path = words_to_ask(directory, 1)[0], str(directory / "gensim.kv")
    return timed(lambda: float(KeyedVectors.load(path, mmap="r")[word][0]))


def ours_vectors(directory: Path, _n_queries: int) -> dict[str, Any]:
    """A warm batch: on both sides, one of the same size runs before the clock starts."""
    words = words_to_ask(directory, N_WORDS_LOOKED_UP)
    model = VectorModel.open(directory / "ours")
    model.vectors(words)
    return timed(lambda: float(model.vectors(words).sum(dtype=np.float64)))


def gensim_vectors(directory: Path, _n_queries: int) -> dict[str, Any]:
    """As many words in one subscript."""
    from gensim.models import KeyedVectors  # noqa: PLC0415

    words = words_to_ask(directory, N_WORDS_LOOKED_UP)
    vectors = KeyedVectors.load(str(directory / "gensim.kv"), mmap="r")
    vectors[words]
    return timed(lambda: float(vectors[words].sum(dtype=np.float64)))


def ours_neighbors(directory: Path, n_queries: int) -> dict[str, Any]:
    """All words in one call."""
    words = words_to_ask(directory, n_queries)
    model = VectorModel.open(directory / "ours")
    model.neighbors(words[:1], TOPN)
    return timed(lambda: [[near.token for near in found] for found in model.neighbors(words, TOPN)])


def gensim_neighbors(directory: Path, n_queries: int) -> dict[str, Any]:
    """One call per word: gensim has no batch queries."""
    from gensim.models import KeyedVectors  # noqa: PLC0415

    words = words_to_ask(directory, n_queries)
    vectors = KeyedVectors.load(str(directory / "gensim.kv"), mmap="r")
    vectors.most_similar(words[0], topn=TOPN)  # computes the lengths of all vectors once
    return timed(
        lambda: [[near for near, _ in vectors.most_similar(word, topn=TOPN)] for word in words]
    )


MEASUREMENTS: Mapping[str, Callable[[Path, int], dict[str, Any]]] = {
    "open": ours_open,
    "first_open": ours_first_open,
    "later_open": ours_later_open,
    "gensim_open_binary": gensim_open_binary,
    "gensim_open_mmap": gensim_open_mmap,
    "vectors": ours_vectors,
    "gensim_vectors": gensim_vectors,
    "neighbors": ours_neighbors,
    "gensim_neighbors": gensim_neighbors,
}


if __name__ == "__main__":
    main()
