"""The benchmark of lookups runs, and compares the same vectors."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PROJECT_ROOT

pytest.importorskip("usearch", reason="the extra 'index' is not installed")


def test_it_writes_ratios_of_equal_answers(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.lookup", "--words", "400", "--vector-size", "8"]
    command += ["--queries", "20", "--repeats", "1", "--directory", str(tmp_path)]
    done = subprocess.run(
        [*command, "--json", str(tmp_path / "found.json")],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
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
