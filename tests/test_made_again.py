"""One version, other bytes: embeddings that were trained again with threads are another model.

What was made of the first bytes (scores, document vectors, indexes) is made again; what was
registered keeps the scores that it was judged by.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from nights_support import GOOD, HandMade, outcome

from nightjar import InputError, Pipeline
from nightjar.config import load_config
from nightjar.core.nights import StepOutcome
from nightjar.pipeline import make_plan
from nightjar.scoring.scores import main_scores, read_scores
from nightjar.store import Artifact, Identity, Manifest, Staging, Store, publish, schemas

EVERY_SECOND_PAIR = slice(None, None, 4)
ALL = slice(None)
"""Turning all vectors around changes no similarity."""

DOCUMENTS = {"document_vectors": {"texts": {"model": "words"}}}


@pytest.fixture
def project(tmp_path: Path) -> HandMade:
    return HandMade(tmp_path, **DOCUMENTS)


def embeddings(project: HandMade) -> Artifact:
    loaded = load_config(project.path)
    ref = make_plan(loaded).step(schemas.EMBEDDINGS, "words").ref
    return Store(loaded.artifacts_dir).open(ref)


def make_again(project: HandMade, changed: slice | None = EVERY_SECOND_PAIR) -> None:
    """Publish the embeddings' version once more, some vectors turned around."""
    loaded = load_config(project.path)
    step = make_plan(loaded).step(schemas.EMBEDDINGS, "words")
    published = Store(loaded.artifacts_dir).open(step.ref)
    table = published.read("vectors")
    column = table.column("vector")
    matrix = np.array(column.to_pylist(), np.float32)
    if changed is not None:
        matrix[changed] *= -1
    values = pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel()), matrix.shape[1])
    other = table.set_column(
        table.schema.get_field_index("vector"),
        table.schema.field("vector"),
        values.cast(column.type),
    )

    def write(staging: Staging) -> None:
        staging.counts.update(published.manifest.counts)
        staging.report.update(published.manifest.report)
        staging.write("vectors", other)

    shutil.rmtree(step.ref.path)
    publish(loaded.artifacts_dir, step.identity, write)


def evaluation(project: HandMade) -> Artifact:
    loaded = load_config(project.path)
    return Store(loaded.artifacts_dir).open(make_plan(loaded).step(schemas.EVALUATION, "words").ref)


def opened(project: HandMade, stage: str) -> Manifest:
    """What readers search."""
    served = project.standing.serving["texts"]
    version = served.document_vectors if stage == schemas.DOCUMENT_VECTORS else served.search_index
    store = Store(load_config(project.path).artifacts_dir)
    return store.open(store.ref(stage, version)).manifest


def test_other_bytes_are_scored_registered_and_judged_by_themselves(project: HandMade) -> None:
    project.night()
    first = embeddings(project).manifest.digest
    before = main_scores(read_scores(evaluation(project)))["pairs"].value
    make_again(project)
    assert embeddings(project).manifest.digest != first
    assert project.due() == ["evaluate words"]
    night = project.night()
    after = main_scores(read_scores(evaluation(project)))["pairs"].value
    assert before == pytest.approx(GOOD)
    assert after is not None
    assert after < 0
    assert outcome(night) == "blocked"
    decided = project.events[-1].evidence["decision"]
    assert (decided["score"], decided["champion_score"]) == pytest.approx((after, before))
    assert project.champion == 1
    assert opened(project, schemas.DOCUMENT_VECTORS).parent_digests["embeddings"] == first
    assert opened(project, schemas.SEARCH_INDEX).report["encoder"]["embeddings_digest"] == first
    assert evaluation(project).manifest.parent_digests["embeddings"] != first


def test_the_same_bytes_again_make_nothing_due(project: HandMade) -> None:
    project.night()
    make_again(project, None)
    assert project.due() == []


def test_embeddings_that_a_night_makes_again_are_checked_before_they_are_scored(
    project: HandMade, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan cannot know: the embeddings are gone, their scores are kept."""
    project.night()
    make_again(project)  # what another training of this version gave ...
    project.night()
    shutil.rmtree(embeddings(project).ref.path)  # ... is gone, and the import gives the first again
    night = project.night()
    steps = {step.label: step.outcome for step in night.steps}
    assert steps["import words"] is StepOutcome.PUBLISHED
    assert steps["evaluate words"] is StepOutcome.PUBLISHED
    assert main_scores(read_scores(evaluation(project)))["pairs"].value == pytest.approx(GOOD)
    assert outcome(night) == "unchanged"


def test_what_readers_search_is_made_again_with_the_model_that_takes_over(
    project: HandMade,
) -> None:
    project.night()
    first = embeddings(project).manifest.digest
    make_again(project, ALL)
    second = embeddings(project).manifest.digest
    assert second != first
    night = project.night()
    assert outcome(night) == "promoted"
    assert project.champion == 2
    assert opened(project, schemas.DOCUMENT_VECTORS).parent_digests["embeddings"] == second
    assert opened(project, schemas.SEARCH_INDEX).report["encoder"]["embeddings_digest"] == second
    assert project.due() == []


def test_no_way_back_to_a_model_that_documents_cannot_be_searched_with(project: HandMade) -> None:
    project.night()
    make_again(project, ALL)
    project.night()
    pipeline = Pipeline(project.path)
    with pytest.raises(InputError, match=r"version 1 cannot be champion: documents are searched"):
        pipeline.rollback("words", reason="try")
    assert project.champion == 2


def test_a_parent_that_is_replaced_while_it_is_read_makes_its_child_due(tmp_path: Path) -> None:
    """Two writers: what was read is the first one, so the second one is news."""

    def publish_parent(value: int) -> None:
        shutil.rmtree(tmp_path / "parent", ignore_errors=True)
        publish(tmp_path, parent, lambda staging: staging.write("t", pa.table({"x": [value]})))

    def write(staging: Staging) -> None:
        publish_parent(2)
        staging.write("t", pa.table({"y": [1]}))

    parent = Identity("parent", "", config={})
    publish_parent(1)
    child = Identity("child", "", config={}, parents={"parent": parent.version})
    store = Store(tmp_path)
    assert store.replaced_parent(store.open(publish(tmp_path, child, write)).manifest) == "parent"
