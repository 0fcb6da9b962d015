"""Models that are made from other models, on the same rails as trained ones."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from conftest import run_a_night
from copying_support import copy_project

from nightjar.cli import exchange
from nightjar.config import load_config
from nightjar.core import Night
from nightjar.pipeline import make_plan, read_outcomes
from nightjar.registry import tracking_uri
from nightjar.registry.client import import_mlflow
from nightjar.store import Store, schemas

STS = """genre\tscore\tsentence1\tsentence2
a\t5\tThe president said so.\tHe said it, the president.
a\t1\tThe president said so.\tHeavy rain fell in the north.
b\t4\tRain is falling.\tHeavy rain fell.
b\t2\tPolice and people\tPeople of the north said
"""


def labels(config: Path, *overrides: str) -> list[str]:
    return [step.label for step in make_plan(load_config(config, overrides)).due]


@pytest.fixture(scope="module")
def derived(
    finished_config: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[str]]:
    """A finished night and what adds a sentence encoder and a fine-tuned model to it."""
    copy = copy_project(finished_config.parent, tmp_path_factory.mktemp("derived") / "project")
    (copy / "sts.tsv").write_text(STS, encoding="utf-8")
    return copy / finished_config.name, [
        "evaluation.benchmarks.sts={type: sts, path: sts.tsv}",
        # Named first, made last: their bases come before them whatever the order.
        "models.a-sif={trainer: sif, model: tuned, gate_benchmarks: [sts]}",
        "models.tuned={trainer: word2vec, init_from: glove, vector_size: 16, epochs: 1}",
    ]


@pytest.fixture(scope="module")
def night(derived: tuple[Path, list[str]]) -> Night:
    """Makes them."""
    config, overrides = derived
    return run_a_night(config, *overrides)


def test_models_made_from_others_are_planned_behind_them(derived: tuple[Path, list[str]]) -> None:
    config, overrides = derived
    plan = make_plan(load_config(config, overrides))
    trained = [step.subject for step in plan.steps if step.stage == schemas.EMBEDDINGS]
    assert trained == ["cbow", "glove", "tuned", "a-sif"]
    assert plan.step(schemas.EMBEDDINGS, "a-sif").label == "weigh a-sif"
    tuned = plan.step(schemas.EMBEDDINGS, "tuned")
    assert plan.step(schemas.EMBEDDINGS, "a-sif").parents == {
        (schemas.EMBEDDINGS, tuned.ref.version),
        (schemas.TOKENS, plan.step(schemas.TOKENS).ref.version),
    }


@pytest.mark.usefixtures("night")
def test_another_base_makes_its_models_anew_and_a_gate_none(
    derived: tuple[Path, list[str]],
) -> None:
    config, overrides = derived
    assert labels(config, *overrides) == []
    assert labels(config, *overrides, "models.tuned.gate_benchmarks=[sts]") == []
    changed = labels(config, *overrides, "models.glove.eta=0.2")
    assert [label for label in changed if label.startswith(("train", "weigh"))] == [
        "train glove",
        "train tuned",
        "weigh a-sif",
    ]


def test_a_sentence_encoder_is_scored_gated_registered_and_served(
    derived: tuple[Path, list[str]], night: Night
) -> None:
    config, overrides = derived
    loaded = load_config(config, overrides)
    plan = make_plan(loaded)
    outcome = next(entry for entry in read_outcomes(loaded, night) if entry.model == "a-sif")
    assert (outcome.registry_version, outcome.decision) == (1, "promoted")
    assert outcome.scores["sts"].metric == "spearman"
    assert outcome.scores["sts"].n_covered == 4
    mlflow = import_mlflow()
    mlflow.set_tracking_uri(tracking_uri(loaded.config.registry, loaded.artifacts_dir))
    try:
        client = mlflow.MlflowClient()
        version = client.get_model_version_by_alias("small-a-sif", "champion")
        model = mlflow.pyfunc.load_model("models:/small-a-sif@champion")
        text = mlflow.artifacts.load_text(f"runs:/{version.run_id}/model_card.md")
    finally:
        mlflow.set_tracking_uri(None)
    assert outcome.reason is not None
    assert "over sts" in outcome.reason
    embeddings = Store(loaded.artifacts_dir).open(plan.step(schemas.EMBEDDINGS, "a-sif").ref)
    base = plan.step(schemas.EMBEDDINGS, "tuned").ref.version
    assert version.tags["nightjar.base_embeddings_version"] == base
    rows = {row["token"]: row["vector"] for row in embeddings.read("vectors").to_pylist()}
    found = model.predict(["the president said"], params={"task": "encode"})
    expected = np.mean([rows[word] for word in ("the", "president", "said")], axis=0)
    np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-6)
    assert f"SIF-weighted vectors of {len(rows):,} words in 16 dimensions" in text
    assert f"those of tuned (`{base}`) weighted by 293 documents" in text
    assert "Arora et al. 2017" in text
    path = config.parent / "a-sif.sqlite"
    exchange.export(loaded, "a-sif", None, "sqlite", path, None)
    with closing(sqlite3.connect(path)) as database:
        source = dict(database.execute("SELECT key, value FROM metadata").fetchall())
    assert source["embeddings_version"] == embeddings.ref.version
    assert source["base_embeddings_version"] == base
