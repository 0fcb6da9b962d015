"""The benchmark of ingest and tokenize runs all sides and reports what it says."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import corpus


def run_here(side: str, files: Sequence[str], store: Path) -> dict[str, float]:
    started = time.perf_counter()
    n_distinct = corpus.SIDES[side](files, store)
    return {"seconds": time.perf_counter() - started, "distinct_words": n_distinct}


def test_the_benchmark_of_the_corpus_measures_every_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "imdb").mkdir()
    for number in range(2):
        texts = [f"Review {row} of film {number}. It was long." for row in range(20)]
        table = pa.table({"id": [f"{number}-{row}" for row in range(20)], "text": texts})
        pq.write_table(table, tmp_path / "imdb" / f"reviews-{number}.parquet")
    path = tmp_path / "figures.json"
    arguments = ["--json", str(path), "--data", str(tmp_path), "--repeats", "1"]
    monkeypatch.setattr(sys, "argv", ["corpus", *arguments])
    monkeypatch.setattr(corpus, "COPIES", 1)
    # Those whose memory is measured are processes of their own, as in the benchmark.
    monkeypatch.setattr(corpus, "run_side", run_here)
    corpus.main()
    report = json.loads(path.read_text(encoding="utf-8"))
    assert report["words"] == 40 * 8
    assert set(report["speed_ratio"]) == {"default", "near_duplicates"}
    assert set(report["seconds_per_million_words"]) == {"1", "2"}
    assert min(report["peak_rss_mb"].values()) > 30
    assert {"read sources", "tokenize", "join phrases"} < set(
        report["cpu_seconds_per_million_words"]
    )
    assert report["runs"]["default"][0]["distinct_words"] == 26  # 20 numbers, 6 words
    assert report["night"]["distinct_words"] == 26
    assert report["ten_times"]["distinct_words"] == 26


def test_ten_times_the_text_has_the_same_words(tmp_path: Path) -> None:
    table = pa.table({"id": ["a", "b"], "text": ["One. Two! Three", "Four. Five"]})
    pq.write_table(table, tmp_path / "reviews.parquet")
    (tmp_path / "large").mkdir()
    paths = corpus.make_copies([str(tmp_path / "reviews.parquet")], tmp_path / "large")
    assert len(paths) == corpus.COPIES
    assert corpus.n_words(paths) == 5 * corpus.COPIES
    assert len({pq.read_table(path).column("text")[0].as_py() for path in paths}) > 1
