"""Reading and writing files of vectors, compared with gensim in one run.

    python -m benchmarks.formats --json FILE [--words 400000] [--size 300]

Uses random vectors and words of realistic lengths. ``speed_ratio``: gensim's seconds divided by
ours, the median of the repeats, in turns: ``read_binary``, ``read_text``, ``write_binary``,
``write_text``. Both read into one float32 matrix and a list of words.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from gensim.models import KeyedVectors

from nightjar.formats import ExportedVectors, read_vectors, write_vectors
from nightjar.model.tokenization import Settings

SETTINGS = Settings("unicode", None, "forms", True, True, 1, 40)
KINDS = {"binary": "word2vec-binary", "text": "word2vec"}


def model(n_words: int, size: int) -> ExportedVectors:
    """Words of 4 to 12 letters, with values distributed like trained ones."""
    generator = np.random.default_rng(1)
    letters = generator.integers(97, 123, (n_words, 12), np.uint8)
    lengths = generator.integers(4, 13, n_words)
    words = [
        f"{row[:length].tobytes().decode()}{number}"
        for number, (row, length) in enumerate(zip(letters, lengths, strict=True))
    ]
    matrix = generator.normal(0, 0.3, (n_words, size)).astype(np.float32)
    return ExportedVectors(words, np.arange(n_words, 0, -1), matrix, SETTINGS)


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measure(vectors: ExportedVectors, directory: Path, repeats: int) -> dict[str, dict[str, float]]:
    """Seconds of both sides and their ratio, by operation."""
    keyed = KeyedVectors(vectors.vector_size, len(vectors.tokens), np.float32)
    keyed.index_to_key = list(vectors.tokens)
    keyed.key_to_index = {token: row for row, token in enumerate(vectors.tokens)}
    keyed.vectors = vectors.matrix
    found: dict[str, dict[str, float]] = {}
    for kind, name in KINDS.items():
        is_binary = kind == "binary"
        ours, theirs = directory / f"ours.{kind}", directory / f"theirs.{kind}"

        def write_ours(ours: Path = ours, name: str = name) -> None:
            write_vectors(vectors, name, ours, replaces=True)

        def write_theirs(theirs: Path = theirs, is_binary: bool = is_binary) -> None:
            keyed.save_word2vec_format(str(theirs), binary=is_binary, sort_attr="count")

        def read_ours(path: Path = theirs, name: str = name) -> None:
            read_vectors(path, name)

        def read_theirs(path: Path = theirs, is_binary: bool = is_binary) -> None:
            KeyedVectors.load_word2vec_format(str(path), binary=is_binary)

        for what, mine, peer in (
            ("write", write_ours, write_theirs),
            ("read", read_ours, read_theirs),
        ):
            pairs = [(seconds(mine), seconds(peer)) for _ in range(repeats)]
            found[f"{what}_{kind}"] = {
                "seconds": round(statistics.median(own for own, _ in pairs), 3),
                "gensim_seconds": round(statistics.median(other for _, other in pairs), 3),
                "ratio": round(statistics.median(other / own for own, other in pairs), 2),
            }
    return found


def main() -> None:
    """Measure, print, write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, required=True, help="where to write the figures")
    parser.add_argument("--words", type=int, default=400_000, help="words of the model")
    parser.add_argument("--size", type=int, default=300, help="values of a vector")
    parser.add_argument("--repeats", type=int, default=3, help="of each measurement")
    arguments = parser.parse_args()
    vectors = model(arguments.words, arguments.size)
    with tempfile.TemporaryDirectory() as temporary:
        found = measure(vectors, Path(temporary), arguments.repeats)
    report = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "words": arguments.words,
        "size": arguments.size,
        "speed_ratio": {what: entry["ratio"] for what, entry in found.items()},
        "measured": found,
    }
    arguments.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    for what, entry in found.items():
        print(
            f"{what:14} {entry['seconds']:8.2f} s, gensim {entry['gensim_seconds']:8.2f} s: "
            f"{entry['ratio']:.1f} x"
        )


if __name__ == "__main__":
    main()
