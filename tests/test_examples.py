"""The examples run on a small slice of the real reviews, and write what they print."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PROJECT_ROOT

EXAMPLES = PROJECT_ROOT / "examples"
DATA = PROJECT_ROOT.parent / "shared" / "data" / "imdb"

pytest.importorskip("sklearn", reason="scikit-learn, which comes with mlflow, is not installed")
needs_reviews = pytest.mark.skipif(not DATA.is_dir(), reason=f"the reviews are not in {DATA}")


def run(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, EXAMPLES / name, *arguments]
    return subprocess.run(
        [str(part) for part in command],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", ["semantic_search.py", "text_classification.py"])
def test_a_missing_folder_is_named(name: str, tmp_path: Path) -> None:
    done = run(name, tmp_path / "nowhere", "--work", tmp_path / "work")
    assert done.returncode == 1
    assert "nowhere: no Parquet file is there" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "work").exists()


@needs_reviews
def test_text_classification_beats_chance(tmp_path: Path) -> None:
    output = tmp_path / "figures.json"
    arguments = ["--reviews", 1_000, "--work", tmp_path / "work", "--json", output]
    done = run("text_classification.py", DATA, *arguments)
    assert done.returncode == 0, done.stderr
    figures = json.loads(output.read_text())
    best = max(row["labelled"] for row in figures["results"])
    found = {
        row["features"]: row["accuracy"] for row in figures["results"] if row["labelled"] == best
    }
    assert set(found) == {"bag of words", "mean of vectors", "SIF"}
    assert min(found.values()) > 0.5
    assert f"{found['SIF']:.3f}" in done.stdout


@needs_reviews
def test_semantic_search_finds_reviews_again(tmp_path: Path) -> None:
    output = tmp_path / "figures.json"
    arguments = ["--reviews", 500, "--queries", 100, "--threads", 1]
    arguments += ["--work", tmp_path / "work"]
    done = run("semantic_search.py", DATA, *arguments, "--json", output)
    assert done.returncode == 0, done.stderr
    figures = json.loads(output.read_text())
    assert figures["reviews"] == 500
    found = {(row["query"], row["ranker"]): row for row in figures["results"]}
    vectors = ("mean of vectors", "SIF")
    assert {name for _, name in found} == {"BM25", *vectors, *(f"BM25 and {x}" for x in vectors)}
    for row in found.values():
        assert row["queries"] == 100
        assert row["recall_at_1"] <= row["mrr"] <= 1
    # By chance one query in fifty is answered among the first ten.
    assert found["a sentence", "BM25"]["recall_at_10"] > 0.3
    assert found["half a review", "mean of vectors"]["recall_at_10"] > 0.05
    assert f"{found['half a review', 'SIF']['mrr']:.3f}" in done.stdout
