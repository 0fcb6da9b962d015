"""Answering Google's analogies: seconds and memory, beside gensim on the same vectors.

The vectors are random, with the words of the questions first: what is measured does not depend on
whether an answer is right. gensim answers a sample of the questions, since all of them would take
it many minutes; the ratio is of seconds for each question, in the same run.

    python -m benchmarks.analogies --json FILE [--words 200000] [--size 300] [--sample 200]
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from gensim.models import KeyedVectors
from gensim.test.utils import datapath
from numpy.typing import NDArray

from nightjar.model.lookup import VectorModel
from nightjar.stages.evaluate.analogies import Analogies
from nightjar.stages.evaluate.benchmark_items import Examinee
from nightjar.stages.evaluate.word_table import WordTable

METHODS = ("3cosadd", "3cosmul")


def make_words(n_words: int, size: int) -> tuple[Analogies, list[str], NDArray[np.float32]]:
    """The questions, and random vectors of their words and others."""
    items = Analogies.read(Path(datapath("questions-words.txt")))
    names = list(dict.fromkeys(word for question in items.questions for word in question))
    tokens = [*names, *(f"word{number}" for number in range(n_words - len(names)))]
    matrix = np.random.default_rng(1).normal(size=(len(tokens), size)).astype(np.float32)
    return items, tokens, matrix


def measure(n_words: int, size: int, n_sample: int, repeats: int) -> dict[str, Any]:
    """Seconds of all questions for each method, and gensim's for a question."""
    items, tokens, matrix = make_words(n_words, size)
    words = WordTable.of(tokens, matrix, case_insensitive=True)
    model: VectorModel | None = None  # words alone answer analogies
    report: dict[str, Any] = {"questions": len(items), "words": len(tokens), "size": size}
    before = _peak_mb()
    for method in METHODS:
        asked = Analogies(items.questions, items.categories, method)
        seconds = []
        for _ in range(repeats + 1):  # the first one compiles
            started, spent = time.perf_counter(), time.process_time()
            asked.answer(Examinee(model, words, seed=1))  # type: ignore[arg-type]
            seconds.append((time.perf_counter() - started, time.process_time() - spent))
        wall, processor = min(seconds[1:])
        report[method] = {"seconds": wall, "processor_seconds": processor}
    report["more_memory_mb"] = _peak_mb() - before
    report["vectors_mb"] = matrix.nbytes / 2**20
    per_question = _gensim_seconds(items, tokens, matrix, n_sample)
    report["gensim_seconds_a_question"] = per_question
    own = report["3cosadd"]["seconds"] / len(items)
    report["speed_ratio"] = per_question / own
    return report


def _gensim_seconds(
    items: Analogies, tokens: list[str], matrix: NDArray[np.float32], n_sample: int
) -> float:
    """Gensim's time for a question, without the time that it needs for none."""
    vectors = KeyedVectors(matrix.shape[1])
    vectors.add_vectors(tokens, matrix)
    vectors.fill_norms()
    step = max(1, len(items) // n_sample)
    asked = [(word[:3], word[3]) for word in items.questions[::step]]
    started = time.perf_counter()
    for (a, b, c), _ in asked:
        vectors.most_similar(positive=[b, c], negative=[a], topn=5)
    return (time.perf_counter() - started) / len(asked)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure, print, write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, required=True, help="where to write the figures")
    parser.add_argument("--words", type=int, default=200_000, help="size of the vocabulary")
    parser.add_argument("--size", type=int, default=300, help="values of a vector")
    parser.add_argument("--sample", type=int, default=200, help="questions that gensim answers")
    parser.add_argument("--repeats", type=int, default=3, help="runs, of which the fastest counts")
    arguments = parser.parse_args()
    report = measure(arguments.words, arguments.size, arguments.sample, arguments.repeats)
    report["date"] = datetime.now(UTC).date().isoformat()
    arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    for method in METHODS:
        found = report[method]
        print(
            f"{method}: {report['questions']:,} questions over {report['words']:,} words of "
            f"{report['size']} values in {found['seconds']:.1f} s "
            f"({found['processor_seconds']:.1f} s of processor time)"
        )
    print(
        f"gensim: {1000 * report['gensim_seconds_a_question']:.1f} ms a question, "
        f"{report['speed_ratio']:.0f} times ours; {report['more_memory_mb']:.0f} MB beside the "
        f"vectors' {report['vectors_mb']:.0f} MB"
    )


if __name__ == "__main__":
    main()
