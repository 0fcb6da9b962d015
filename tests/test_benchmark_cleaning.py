"""The benchmark of cleaning runs and reports what it says."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import cleaning
from nightjar.config.cleaning import STEPS


def test_the_benchmark_of_cleaning_measures_each_step_and_filter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = ["A <b>good</b> film.<br /><br />Seen in 1999, and I would see it again.", "Bad!"]
    (tmp_path / "imdb").mkdir()
    pq.write_table(pa.table({"text": texts}), tmp_path / "imdb" / "reviews-00.parquet")
    path = tmp_path / "figures.json"
    arguments = ["--json", str(path), "--data", str(tmp_path), "--repeats", "1"]
    monkeypatch.setattr(sys, "argv", ["cleaning", *arguments])
    cleaning.main()
    report = json.loads(path.read_text(encoding="utf-8"))
    assert report["reviews"] == 2
    assert set(STEPS) | set(cleaning.FILTERS) < set(report["measured"])
    assert report["measured"]["html"]["changes"] == {"html_tags_removed": 4}
    assert report["measured"]["min_words"]["n_dropped"] == 1
    assert "MB/s" in capsys.readouterr().out


def test_without_reviews_the_benchmark_says_which_option_to_set(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="set --data"):
        cleaning.reviews(tmp_path, 8)
