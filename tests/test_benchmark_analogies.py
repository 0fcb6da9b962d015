"""The benchmark of analogies runs and reports what it says."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import analogies


def test_the_benchmark_of_analogies_measures_both_sides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "figures.json"
    sizes = ["--words", "1200", "--size", "8", "--sample", "5", "--repeats", "1"]
    monkeypatch.setattr(sys, "argv", ["analogies", "--json", str(path), *sizes])
    analogies.main()
    report = json.loads(path.read_text(encoding="utf-8"))
    assert (report["questions"], report["words"], report["size"]) == (19_544, 1_200, 8)
    for method in analogies.METHODS:
        assert report[method]["seconds"] > 0
    assert report["speed_ratio"] == pytest.approx(
        report["gensim_seconds_a_question"] / report["3cosadd"]["seconds"] * 19_544
    )
    said = capsys.readouterr().out
    assert "3cosmul: 19,544 questions over 1,200 words of 8 values" in said
    assert "gensim" in said
