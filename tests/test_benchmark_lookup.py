"""The benchmark of lookups runs, and compares the same vectors."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import PROJECT_ROOT

pytest.importorskip("usearch", reason="the extra 'index' is not installed")

from benchmarks import lookup


def test_it_writes_ratios_of_equal_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(name: str, directory: Path, n_queries: int) -> dict[str, Any]:
        """Only one measurement has a process of its own here."""
        if name == "open":
            return measure(name, directory, n_queries)
        return lookup.MEASUREMENTS[name](directory, n_queries)

    measure = lookup.measure
    monkeypatch.setattr(lookup, "measure", measured)
    monkeypatch.chdir(PROJECT_ROOT)
    arguments = ["--words", "400", "--vector-size", "8", "--queries", "20", "--repeats", "1"]
    arguments += ["--directory", str(tmp_path), "--json", str(tmp_path / "found.json")]
    monkeypatch.setattr(sys, "argv", ["lookup", *arguments])
    lookup.main()
    found = json.loads((tmp_path / "found.json").read_text())
    assert set(found["speed_ratio"]) == {
        *("open_binary", "first_open_binary", "later_open_binary", "open_mmap"),
        *("vectors", "neighbors"),
    }
    assert all(ratio > 0 for ratio in found["speed_ratio"].values())
    assert found["neighbors_in_common_with_gensim"] == 1.0
    assert found["answers_are_equal"]
    assert found["approximate"]["recall_at_10"] >= found["approximate"]["recall_floor"] == 0.95
    assert found["approximate"]["queries_per_second"].keys() == {"exact", "approximate"}
    assert [path.name for path in tmp_path.iterdir()] == ["found.json"]
