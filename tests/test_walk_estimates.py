"""Memory and disk of walks and of ProNE: the figures, what is refused, what the plan shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from graph_support import batches_of, graph_config, make_graph, make_walks
from kinds_support import KindsProject

from nightjar.config.trainers import ProneConfig
from nightjar.core.resources import Resources
from nightjar.errors import ModelTooLarge, WalksTooLarge
from nightjar.pipeline import Provenance, forecast, make_plan, run_step
from nightjar.progress import SILENT
from nightjar.stages.graph import graph_stage
from nightjar.stages.graph.walk_estimates import check_walks_fit, walks_need
from nightjar.stages.train.prone_estimates import check_prone_fits, prone_need
from nightjar.store import Artifact

GB = 10**9
AMPLE = Resources(memory_available=1000 * GB, memory_held=0, disk_free=1000 * GB)
RING = [(f"n{node:03d}", f"n{(node + step) % 300:03d}") for node in range(300) for step in (1, 2)]
CONFIG = graph_config(walks={"per_node": 10, "length": 40})


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return make_graph(tmp_path_factory.mktemp("ring"), CONFIG, batches_of(RING))


def disk(graph: Artifact, name: str) -> int:
    return {p.name: p.bytes for p in walks_need(CONFIG.walks, graph, 1).disk}[name]


def test_the_walks_need_a_visit_for_each_node_walk_and_step(ring: Artifact, tmp_path: Path) -> None:
    made = make_walks(tmp_path, CONFIG, ring)
    n_visits = 300 * 10 * 40
    assert made.manifest.counts["tokens"] == n_visits
    assert disk(ring, "walks before they are ranked") == 4 * n_visits
    assert disk(ring, "sentences") == 4 * n_visits + 12 * 3000
    written = sum(entry.bytes for entry in made.manifest.files)
    assert written < disk(ring, "sentences") + disk(ring, "vocabulary")
    graph = {part.name: part.bytes for part in walks_need(CONFIG.walks, ring, 1).memory}["graph"]
    assert graph == 2 * 600 * 4 + 300 * 16


def test_walks_that_no_disk_or_memory_holds_are_refused_with_numbers(ring: Artifact) -> None:
    walks = CONFIG.walks.model_copy(update={"per_node": 10_000, "length": 10_000})
    needed = walks_need(walks, ring, 1)
    check_walks_fit("people", walks, ring, 1, AMPLE)
    exact = replace(AMPLE, memory_available=needed.memory_bytes, disk_free=needed.disk_bytes)
    check_walks_fit("people", walks, ring, 1, exact)
    with pytest.raises(
        WalksTooLarge, match=r"300 nodes x 10,000 walks x 10,000 nodes are about"
    ) as e:
        check_walks_fit("people", walks, ring, 1, replace(exact, disk_free=needed.disk_bytes // 2))
    assert "per_node: 4999 would fit (now 10000)" in str(e.value)
    with pytest.raises(WalksTooLarge, match=r"people\.walks: .* of memory and the machine"):
        check_walks_fit(
            "people", walks, ring, 1, replace(exact, memory_available=needed.memory_bytes - 1)
        )


def test_a_prone_model_that_does_not_fit_is_refused_with_a_size_that_does(ring: Artifact) -> None:
    model = ProneConfig.model_validate({"trainer": "prone", "vector_size": 5000})
    needed = prone_need(model, ring, 10**7)
    short = replace(AMPLE, memory_available=needed.memory_bytes // 2)
    with pytest.raises(ModelTooLarge, match=r"models\.m: factorizing 10,000,000 nodes") as error:
        check_prone_fits("m", model, ring, 10**7, short)
    size = int(str(error.value).partition("vector_size: ")[2].split()[0])
    for fits, tried in ((True, size), (False, size + 20)):
        smaller = model.model_copy(update={"vector_size": tried})
        assert (prone_need(smaller, ring, 10**7).memory_bytes <= short.memory_capacity) is fits


def test_the_plan_has_walks_and_prone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = KindsProject(tmp_path, prone={"trainer": "prone", "corpus": "people"})
    loaded, provenance = project.loaded, Provenance(git_commit=None, actor="test", n_workers=1)

    def figures() -> dict[str, int | None]:
        found = forecast(loaded, make_plan(loaded), 1, AMPLE)
        return {f.model: f.estimate.need.disk_bytes if f.estimate else None for f in found}

    assert figures() == dict.fromkeys(("walks of people", "nodes", "items", "prone"))
    plan = make_plan(loaded)
    steps = {(step.stage, step.subject): step for step in plan.steps}
    run_step(loaded, steps["graph", "people"], SILENT, provenance)
    assert figures()["walks of people"] is not None
    small = replace(AMPLE, disk_free=10)
    refused = forecast(loaded, make_plan(loaded), 1, small)[0].refusal
    assert isinstance(refused, WalksTooLarge)
    with monkeypatch.context() as patched:
        patched.setattr(graph_stage, "read_resources", lambda _place: small)
        with pytest.raises(WalksTooLarge, match=r"corpora\.people\.walks"):
            run_step(loaded, steps["tokens", "people"], SILENT, provenance)
    run_step(loaded, steps["tokens", "people"], SILENT, provenance)
    assert "walks of people" not in figures()
    assert figures()["prone"] == 40 * (4 * 128 + 24)
