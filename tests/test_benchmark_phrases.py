"""The benchmark of phrases runs and reports what it says."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import phrases


def test_the_benchmark_of_phrases_measures_both_sides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "imdb").mkdir()
    text = "The Bank of America lies in New York. New York is near. New York City, too. " * 20
    for name, texts in (("a", [text, text]), ("b", [text])):
        pq.write_table(pa.table({"text": texts}), tmp_path / "imdb" / f"{name}.parquet")
    path = tmp_path / "figures.json"
    arguments = ["--json", str(path), "--data", str(tmp_path), "--repeats", "1"]
    monkeypatch.setattr(sys, "argv", ["phrases", *arguments])
    phrases.main()
    report = json.loads(path.read_text(encoding="utf-8"))
    assert report["tokens"] == 16 * 20 * 3
    work = {"count_1", "score_1", "join_1", "count_2", "score_2", "join_2", "all"}
    for name in ("default", "npmi"):
        assert set(report["tokens_per_second"][name]) == work
        assert set(report["speed_ratio"][name]) == work - {"score_1", "score_2"}
    assert report["peak_rss_mb"] >= report["before_mb"] > 0
    assert "gensim" in capsys.readouterr().out
