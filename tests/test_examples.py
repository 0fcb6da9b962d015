"""The examples run as their page says, and so do the two benchmarks on film reviews."""

from __future__ import annotations

import atexit
import json
import os
import re
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from conftest import PROJECT_ROOT
from fork_support import Commands
from nights_support import HandMade
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

import nightjar
from nightjar.flows.nightly import NOTHING_TO_DO

EXAMPLES = PROJECT_ROOT / "examples"
DATA = PROJECT_ROOT.parent / "shared" / "data" / "imdb"

pytest.importorskip("sklearn", reason="scikit-learn, which comes with mlflow, is not installed")
needs_reviews = pytest.mark.skipif(not DATA.is_dir(), reason=f"the reviews are not in {DATA}")


# What the scripts import on their way, once for all of them.
PYTHON = Commands(
    (
        "victims_support",
        "mlflow.pyfunc",
        "sklearn.feature_extraction.text",
        "sklearn.linear_model",
        "nightjar.stages.train",
    )
)
atexit.register(PYTHON.close)


def run(*command: object, cwd: Path = PROJECT_ROOT) -> subprocess.CompletedProcess[str]:
    """As ``python`` runs a script, or a module after ``-m``."""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT)}
    return PYTHON.run([str(part) for part in command], environment, directory=cwd)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_is_short_and_imports_the_public_api_alone(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 40
    assert re.findall(r"^ *(?:from|import) (nightjar\S*)", text, re.MULTILINE) == ["nightjar"]
    for name in re.findall(r"nightjar\.(\w+)", text):
        assert name in nightjar.__all__


def test_the_automations_are_such_as_prefect_takes() -> None:
    text = (EXAMPLES / "prefect_automations.yaml").read_text(encoding="utf-8")
    found = [AutomationCore.model_validate(each) for each in yaml.safe_load(text)["automations"]]
    failed, missing = (automation.trigger for automation in found)
    assert isinstance(failed, EventTrigger)
    assert isinstance(missing, EventTrigger)
    assert (failed.posture, missing.posture) == (Posture.Reactive, Posture.Proactive)
    assert missing.within == timedelta(hours=26)
    # The events are called as the states in which a night ends.
    assert missing.expect == {f"prefect.flow-run.{name}" for name in ("Completed", NOTHING_TO_DO)}
    deployed = yaml.safe_load((PROJECT_ROOT / "prefect.yaml").read_text(encoding="utf-8"))
    for trigger in (failed, missing):
        name = trigger.match_related.model_dump()["prefect.resource.name"]
        assert name in [deployment["name"] for deployment in deployed["deployments"]]


def test_a_night_on_a_text_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text(
        "\n".join(f"King {n} and the queen walk by the sea." for n in range(200))
    )
    done = run(EXAMPLES / "first_night.py", "notes.txt", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "train words: published" in done.stdout
    assert "words: " in done.stdout.splitlines()[-1]
    done = run(EXAMPLES / "first_night.py", "absent.txt", cwd=tmp_path)
    assert done.returncode == 1
    assert "absent.txt" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_is_asked_and_documents_are_searched(tmp_path: Path) -> None:
    project = HandMade(tmp_path)
    project.document["document_vectors"] = {"lines": {"model": "words"}}
    project.save()
    project.night()
    done = run(EXAMPLES / "ask_a_model.py", tmp_path / "vectors.txt", "left1", "left2", "right3")
    assert done.returncode == 0, done.stderr
    assert "left1 is to left2 as right3 is to " in done.stdout
    done = run(EXAMPLES / "ask_a_model.py", tmp_path / "vectors.txt", "lef1")
    assert done.returncode == 1
    assert "lef1: did you mean" in done.stderr
    done = run(EXAMPLES / "search_documents.py", project.path, "left3 right3")
    assert done.returncode == 0, done.stderr
    assert "left3 right3" in done.stdout.splitlines()[1]


@pytest.mark.parametrize("name", ["semantic_search", "text_classification"])
def test_a_missing_folder_is_named(name: str, tmp_path: Path) -> None:
    done = run("-m", f"benchmarks.{name}", tmp_path / "nowhere", "--work", tmp_path / "work")
    assert done.returncode == 1
    assert "nowhere: no Parquet file is there" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "work").exists()


@needs_reviews
def test_text_classification_beats_chance(tmp_path: Path) -> None:
    output = tmp_path / "figures.json"
    arguments = ["--reviews", 1_000, "--work", tmp_path / "work", "--json", output]
    done = run("-m", "benchmarks.text_classification", DATA, *arguments)
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
    done = run("-m", "benchmarks.semantic_search", DATA, *arguments, "--json", output)
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
