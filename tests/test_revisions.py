"""What each stage writes is what it wrote under its revision.

A stage's result is reused as long as its version is the same, and of the code the version knows
revisions and hashes (docs/artifacts.md). Here every stage runs on a tiny input, and what it writes
is held against ``revisions.json``. When this fails, the message says which revision to raise.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from revisions_support import (
    MODELS,
    Pin,
    problem,
    read_pins,
    renewed,
    run_planned,
    run_stages,
    write_events,
    write_graph,
    write_inputs,
)
from sharing_support import shared

from nightjar.stages import STAGES
from nightjar.stages.events import session_cutting
from nightjar.stages.graph import graph_building
from nightjar.stages.graph.node_numbers import hashes_of
from nightjar.stages.ingest import preparation
from nightjar.stages.train import spans
from nightjar.store import schemas

pytestmark = pytest.mark.slow  # the nights that most of it starts from

PINS = read_pins()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pin]:
    return shared(tmp_path_factory, "stages", write_every_stage)


def write_every_stage(directory: Path) -> dict[str, Pin]:
    made = run_stages(directory)
    return {name: Pin.of(artifacts) for name, artifacts in made.items()}


@pytest.mark.parametrize("name", PINS)
def test_a_stage_writes_what_it_wrote_under_its_revision(
    name: str, written: dict[str, Pin]
) -> None:
    assert problem(name, PINS[name], written[name]) == ""


def test_every_stage_is_pinned_but_those_whose_results_are_elsewhere(
    written: dict[str, Pin],
) -> None:
    assert set(PINS) == set(written)
    stages = {name.split()[0] for name in PINS}
    declared = {name for stage in STAGES for name in (stage.name, *stage.pieces)}
    assert stages == declared
    assert all(pin.revision for pin in PINS.values())
    hashed = {name for name, pin in PINS.items() if pin.code is not None}
    trained = {f"embeddings {name}" for name in set(MODELS) - {"file", "sif", "usif", "turned"}}
    trained |= {f"embeddings {name}" for name in ("nodes", "prone", "items")}
    kernels = {"tokens graph", "tokens second order"}
    kernels |= {name for name in PINS if name.startswith(schemas.EVALUATION)}
    assert hashed == {schemas.COOCCURRENCES, "raw_embeddings turned", *trained, *kernels}


@pytest.mark.parametrize(
    ("module", "member", "value", "config", "name", "differences"),
    [
        (preparation, "_ID_HEX_DIGITS", 15, "pinned", "documents", "documents, quarantine"),
        (
            spans,
            "_ALWAYS",
            1 << 31,
            "pinned",
            "embeddings skipgram",
            "losses.mean_loss, output_vectors.vector, vectors.vector",
        ),
        (
            graph_building,
            "hashes_of",
            lambda ids: hashes_of(ids)[::-1].copy(),
            "graph",
            "graph",
            "edges, edges.weight, held_out, nodes, nodes.strength",
        ),
        (session_cutting, "_MINUTE", 3_600_000_000, "events", "events", "events, held_out"),
    ],
)
def test_a_change_of_behaviour_is_noticed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: object,
    member: str,
    value: object,
    config: str,
    name: str,
    differences: str,
) -> None:
    """As if the code were changed without another revision or hash."""
    monkeypatch.setattr(module, member, value)
    for write in (write_inputs, write_graph, write_events):
        write(tmp_path)
    made = run_planned(tmp_path / f"{config}.yaml", ["documents", "tokens", name])
    text = problem(name, PINS[name], Pin.of([made[name]]))
    assert f"under the same revision {PINS[name].revision} ({differences})" in text
    assert "Raise that revision" in text


OLD = Pin({"revision": 1}, "c0de", {"vectors": "1f"}, {"vectors.vector": [0.5, -2.0]})


def test_what_to_do_is_said() -> None:
    assert problem("train", OLD, OLD) == ""
    assert problem("train", OLD, replace(OLD, code="other")) == ""
    other = replace(OLD, tables={"vectors": "2f", "losses": "3f"})
    assert "under the same revision {'revision': 1} (losses, vectors)" in problem(
        "train", OLD, other
    )
    assert "so does its code" in problem("train", OLD, replace(other, code="other"))
    for found in (other, OLD):
        raised = problem("train", OLD, replace(found, revision={"revision": 2}))
        assert "has the revisions {'revision': 2}, pinned are {'revision': 1}" in raised
    assert "train is not pinned: renew" in problem("train", None, OLD)


@pytest.mark.parametrize(
    ("numbers", "is_close"),
    [
        ([0.5000001, -2.000001], True),
        ([0.50049, -2.0], True),
        ([0.5006, -2.0], False),
        ([0.5], False),
        ([0.5, -2.0, 0.0], False),
    ],
)
def test_numbers_may_differ_by_what_processors_do(numbers: list[float], is_close: bool) -> None:
    found = replace(OLD, numbers={"vectors.vector": numbers})
    assert OLD.differences(found) == ([] if is_close else ["vectors.vector"])


def test_pins_are_not_renewed_under_the_same_revision() -> None:
    drifted = replace(OLD, numbers={"vectors.vector": [0.5000001, -2.0]}, code="other")
    assert renewed({"train": OLD}, {"train": drifted}) == {"train": replace(OLD, code="other")}
    other = replace(OLD, tables={"vectors": "2f"})
    for changed in (replace(other, code="other"), replace(other, revision={"revision": 2})):
        assert renewed({"train": OLD}, {"train": changed, "new": OLD}) == {
            "train": changed,
            "new": OLD,
        }
    with pytest.raises(SystemExit, match="under the same revision"):
        renewed({"train": OLD}, {"train": other})
