"""Rules between a corpus and what is made of it, and defaults by kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kinds_support import KindsProject

from nightjar.config import Word2VecConfig
from nightjar.config.kind_defaults import DEFAULTS, with_defaults
from nightjar.errors import ConfigError


@pytest.fixture
def project(tmp_path: Path) -> KindsProject:
    return KindsProject(tmp_path)


def refusal(project: KindsProject) -> str:
    project.save()
    with pytest.raises(ConfigError) as caught:
        _ = project.loaded
    return str(caught.value)


def test_a_key_that_is_not_written_has_the_default_of_its_kind(project: KindsProject) -> None:
    models: dict[str, Any] = project.document["models"]
    models["nodes"] = {"trainer": "word2vec", "corpus": "people", "window": 3}
    models["items"] = {"trainer": "word2vec", "corpus": "clicks"}
    models["tuned"] = {"trainer": "word2vec", "init_from": "items"}
    project.save()
    config = project.loaded.config
    nodes, items, tuned = (config.models[name] for name in ("nodes", "items", "tuned"))
    assert isinstance(nodes, Word2VecConfig)
    assert isinstance(items, Word2VecConfig)
    assert (nodes.window, nodes.vector_size, nodes.sample) == (3, 128, 0.0)
    assert nodes.alpha == 0.025  # skip-gram's, of no kind
    wanted = DEFAULTS["events"]["word2vec"]
    assert {key: getattr(items, key) for key in wanted} == wanted
    assert {key: getattr(tuned, key) for key in wanted} == wanted


def test_defaults_of_text_stay_and_damaged_files_are_left_to_the_checks() -> None:
    text = {"corpora": {"a": {"kind": "text"}}, "models": {"m": {"trainer": "word2vec"}}}
    assert with_defaults(text) == text
    for damaged in (None, [], {"corpora": 1, "models": {}}, {"corpora": {"a": 3}, "models": {}}):
        assert with_defaults(damaged) == damaged
    loop = {
        "corpora": {"a": {"kind": "graph"}, "b": {"kind": "text"}},
        "models": {"m": {"init_from": "n"}, "n": {"init_from": "m"}, "o": 5},
    }
    assert with_defaults(loop) == loop


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"trainer": "sif", "model": "nodes"}, "models.other.trainer: sif weighs the words of"),
        (
            {"trainer": "prone", "corpus": "clicks"},
            "models.other.trainer: prone factorizes a graph",
        ),
    ],
)
def test_trainers_that_learn_nothing_from_a_kind_are_refused(
    project: KindsProject, model: dict[str, Any], message: str
) -> None:
    project.document["models"]["other"] = model
    assert message in refusal(project)


@pytest.mark.parametrize("changes", [{"trainer": "glove"}, {"negative": 0, "hs": True}])
def test_output_vectors_are_asked_of_models_that_have_some(
    project: KindsProject, changes: dict[str, Any]
) -> None:
    project.document["models"]["items"].update(changes)
    project.document["evaluation"]["benchmarks"]["next"]["by"] = "output"
    assert "benchmarks.next.by: models.items has no output vectors" in refusal(project)


def test_imported_vectors_recommend_nothing(project: KindsProject) -> None:
    project.document["models"]["items"] = {
        "trainer": "import", "path": "items.vec", "format": "word2vec", "corpus": "clicks"
    }  # fmt: skip
    message = refusal(project)
    assert "models.items: vectors from a file come without what recommends items" in message
    assert "evaluation.benchmarks.next cannot score them; train a model" in message


def test_a_session_is_longer_than_what_is_held_out_of_it(project: KindsProject) -> None:
    project.document["corpora"]["clicks"]["sessions"] = {"max_events": 2}
    assert "corpora.clicks.sessions.max_events is 2" in refusal(project)
    project.document["corpora"]["clicks"]["held_out"] = {"share": 1, "validation": 0}
    project.save()
    assert project.loaded.config.events_corpus("clicks").sessions.max_events == 2


def test_documents_are_embedded_of_text_alone(project: KindsProject) -> None:
    project.document["document_vectors"] = {"found": {"model": "nodes"}}
    assert "document_vectors.found: the corpus people is of kind graph" in refusal(project)


def test_a_benchmark_scores_the_models_of_its_kind(project: KindsProject) -> None:
    config = project.loaded.config
    assert list(config.benchmarks_of("nodes")) == ["links"]
    assert list(config.benchmarks_of("items")) == ["next"]
    assert config.registry_of("items").gate.benchmarks == ["next"]
    assert list(config.evaluation_of("nodes").benchmarks) == ["links"]


@pytest.mark.parametrize(
    ("benchmark", "message"),
    [
        (
            {"type": "link_prediction", "corpus": "peple"},
            "evaluation.benchmarks.more.corpus: there is no corpus 'peple'",
        ),
        (
            {"type": "link_prediction", "corpus": "clicks"},
            "evaluation.benchmarks.more.corpus: clicks is of kind events",
        ),
        (
            {"type": "similarity", "path": "pairs.tsv"},
            "evaluation.benchmarks.more: similarity scores models of corpora of kind text",
        ),
    ],
)
def test_a_benchmark_of_no_corpus_is_refused(
    project: KindsProject, benchmark: dict[str, Any], message: str
) -> None:
    project.document["evaluation"]["benchmarks"]["more"] = benchmark
    assert message in refusal(project)


@pytest.mark.parametrize(
    ("corpus", "held_out", "key"),
    [
        ("people", 0.0, "corpora.people.held_out is 0"),
        ("clicks", {"test": 0}, "corpora.clicks.held_out.test is 0"),
        ("clicks", {"share": 0.0}, "corpora.clicks.held_out.share is 0"),
    ],
)
def test_a_benchmark_needs_something_held_out(
    project: KindsProject, corpus: str, held_out: Any, key: str
) -> None:
    project.document["corpora"][corpus]["held_out"] = held_out
    assert key in refusal(project)


def test_every_model_has_a_benchmark_that_decides(project: KindsProject) -> None:
    project.document["registry"]["gate"]["benchmarks"] = ["links"]
    assert "registry.gate.benchmarks has none that scores items: add one of next" in refusal(
        project
    )
    project.document["models"]["items"]["gate_benchmarks"] = ["links"]
    assert "models.items.gate_benchmarks names links, which scores other models" in refusal(project)
