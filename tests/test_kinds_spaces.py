"""Nights of nodes and items in a space that is kept: what is published stays consistent."""

from __future__ import annotations

import numpy as np
import pytest
from kinds_support import KindsProject
from nights_support import outcome

from nightjar.core import Night
from nightjar.formats.embeddings import matrix_of
from nightjar.pipeline.answerers import Answerers
from nightjar.pipeline.mapping import map_between, named_version
from nightjar.promotion import Steward, read_standing
from nightjar.store import Artifact, Store, schemas

pytestmark = pytest.mark.usefixtures("light_nights")

MODELS = ("nodes", "items")
HISTORY = ["film3", "film4"]
WAYS = ("blend", "output", "input", "cooccurrence")


class Nights:
    """A space founded, grown, a night that is blocked, A-B-A of the config, and the way back."""

    def __init__(self, project: KindsProject) -> None:
        self.project = project
        document = project.document
        document["models"]["nodes"] = {"trainer": "prone", "corpus": "people", "vector_size": 8}
        document["models"]["items"]["epochs"] = 1
        for model in MODELS:
            document["models"][model]["space"] = "aligned"
        project.save()
        self.first = project.night(promotes=True)
        project.write_edges("known2.edges", range(20, 60))
        project.write_events("clicks2.csv", range(60, 90))
        self.grown = project.night(promotes=True)
        self.due_after = project.due()
        changed = ("models.nodes.steps=4", "models.items.alpha=0.01")
        self.changed = project.night(*changed, promotes=True)
        self.back = project.night(promotes=True)
        self.due_after_back = project.due()


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Nights:
    return Nights(KindsProject(tmp_path_factory.mktemp("spaces")))


def embeddings(nights: Nights, night: Night, model: str) -> Artifact:
    (decision,) = [found for found in night.decisions if found["model"] == model]
    store = Store(nights.project.loaded.artifacts_dir)
    return store.open(store.ref(schemas.EMBEDDINGS, decision["candidate"]["embeddings"]))


def rows(artifact: Artifact, table: str, column: str = "vector") -> np.ndarray:
    (batch,) = artifact.read(table).combine_chunks().to_batches()
    return matrix_of(batch, column)


def test_every_table_of_a_version_is_turned_alike(nights: Nights) -> None:
    """Outputs and inputs by one rotation: what was fitted on their products still fits."""
    store = Store(nights.project.loaded.artifacts_dir)
    turned = embeddings(nights, nights.grown, "items")
    version = turned.manifest.parents[schemas.RAW_EMBEDDINGS]
    raw = store.open(store.ref(schemas.RAW_EMBEDDINGS, version))
    values = turned.read("rotation").column("values").to_pylist()
    rotation = np.array(values)
    assert not np.allclose(rotation, np.eye(len(rotation)))
    for table in ("vectors", "output_vectors"):
        expected = rows(raw, table).astype(np.float64) @ rotation
        np.testing.assert_allclose(rows(turned, table), expected, rtol=0, atol=1e-5)
    for table in (schemas.NEAR_ITEMS, schemas.DESCRIBED_ITEMS):
        assert turned.read(table).equals(raw.read(table))
    assert turned.manifest.report["recommending"] == raw.manifest.report["recommending"]


def test_recommendations_are_those_of_the_vectors_before_the_turn(nights: Nights) -> None:
    project = nights.project
    own = project.document["models"]["items"] | {"space": "own"}
    twin = KindsProject(project.directory.parent / "twin", items=own)
    del twin.document["corpora"]["people"], twin.document["models"]["nodes"]
    del twin.document["evaluation"]["benchmarks"]["links"]
    twin.document["registry"]["gate"]["benchmarks"] = ["next"]
    twin.save()
    twin.write_events("clicks2.csv", range(60, 90))
    twin.night(promotes=True)
    for way in WAYS:
        answers = []
        for loaded in (project.loaded, twin.loaded):
            answerers = Answerers(loaded)
            with answerers.opened(answerers.model("items")) as model:
                answers.append(model.recommend(HISTORY, 10, way))
        ours, theirs = answers
        assert [one.item for one in ours] == [one.item for one in theirs]
        np.testing.assert_allclose(
            [one.score for one in ours], [one.score for one in theirs], atol=1e-5
        )


def test_nothing_is_due_after_any_night_and_a_config_that_comes_back_is_known(
    nights: Nights,
) -> None:
    assert nights.due_after == nights.due_after_back == []
    for model in MODELS:
        ours, again = (embeddings(nights, night, model) for night in (nights.grown, nights.back))
        assert ours.ref == again.ref
        assert embeddings(nights, nights.changed, model).ref != ours.ref
        assert [outcome(night, model) for night in (nights.first, nights.grown)] == ["promoted"] * 2
    trained = [step.label for step in nights.back.steps if step.was_run]
    assert not any(label.startswith(("train", "factorize", "align")) for label in trained)


def test_all_versions_are_of_one_space(nights: Nights) -> None:
    answerers = Answerers(nights.project.loaded)
    for model in MODELS:
        found = map_between(
            answerers, named_version(answerers, f"{model}@1"), named_version(answerers, model)
        )
        # Both of one space: nothing is estimated.
        assert (found.residual, found.n_words) == (None, 0)


def test_drift_is_measured_of_nodes_and_items(nights: Nights) -> None:
    for model in MODELS:
        (decision,) = [found for found in nights.grown.decisions if found["model"] == model]
        assert decision["drift"]["n_shared"] == (40 if model == "nodes" else 20)
        assert decision["drift"]["n_come"] == (20 if model == "nodes" else 0)


def test_a_rollback_answers_as_then_and_makes_nothing_due(nights: Nights) -> None:
    loaded = nights.project.loaded
    steward = Steward(loaded, "test")
    for model in MODELS:
        steward.rollback(model, 1)
        champion = read_standing(loaded).model(model).champion
        assert champion is not None
        assert champion.number == 1
    assert nights.project.due() == []
    held = nights.project.night(promotes=True)
    assert {outcome(held, model) for model in MODELS} == {"waiting"}
    assert embeddings(nights, held, "items").ref == embeddings(nights, nights.grown, "items").ref
