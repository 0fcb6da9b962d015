"""The plan and its execution over the real stages, without an orchestrator."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from conftest import run_a_night, run_due
from copying_support import copy_project
from nights_support import HandMade
from rich.console import Console

from nightjar.cli import run_commands
from nightjar.config import load_config
from nightjar.core import Nights, Step
from nightjar.errors import (
    ArtifactDamaged,
    BenchmarkError,
    RegistryUnavailable,
    SourceChanged,
    SourceError,
    VocabularyError,
)
from nightjar.pipeline import (
    Plan,
    Provenance,
    make_plan,
    read_outcomes,
    run_step,
    sample_words,
)
from nightjar.progress import SILENT
from nightjar.registry import open_reader, tracking_uri
from nightjar.stages import STAGES
from nightjar.store import Store, schemas, set_aside

pytestmark = pytest.mark.usefixtures("light_nights")


def plan_of(config: Path, *overrides: str) -> Plan:
    return make_plan(load_config(config, overrides))


def due(config: Path, *overrides: str) -> list[str]:
    return [step.label for step in plan_of(config, *overrides).due]


def snapshot(artifacts_dir: Path) -> dict[str, tuple[int, int]]:
    """Inode and modification time of every published file."""
    files = [path for stage in STAGES for path in (artifacts_dir / stage.name).glob("*/*")]
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


EVERY_STEP = [
    "ingest",
    "tokenize",
    "report",
    "train cbow",
    "evaluate cbow",
    "count glove",
    "train glove",
    "evaluate glove",
]


def test_a_fresh_pipeline_is_due_whole_and_planning_writes_nothing(small_config: Path) -> None:
    plan = plan_of(small_config)
    assert [step.label for step in plan.due] == EVERY_STEP
    assert {step.reason for step in plan.steps} == {"never published"}
    assert not (small_config.parent / "artifacts").exists()


def test_a_finished_night_is_reused_whole(finished_copy: Path) -> None:
    before = snapshot(finished_copy.parent / "artifacts")
    assert run_due(finished_copy) == []
    assert snapshot(finished_copy.parent / "artifacts") == before


OTHER_RATE = "models.glove.eta=0.1"


@pytest.fixture(scope="module")
def after_other_rate(
    finished_config: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, tuple[Step, ...], list[str]]:
    """A pipeline after a night with another learning rate, what was due, and what ran."""
    copy = copy_project(finished_config.parent, tmp_path_factory.mktemp("rate") / "project")
    config = copy / finished_config.name
    steps = plan_of(config, OTHER_RATE).due
    return config, tuple(steps), run_due(config, OTHER_RATE)


def test_a_changed_learning_rate_trains_that_model_only(
    after_other_rate: tuple[Path, tuple[Step, ...], list[str]],
) -> None:
    config, steps, ran = after_other_rate
    assert [step.label for step in steps] == ["train glove", "evaluate glove"]
    assert steps[0].reason == "model.eta: 0.05 -> 0.1"
    assert steps[1].reason == "embeddings changed"
    assert ran == [*(step.label for step in steps), "drift glove"]  # from the champion
    assert due(config, OTHER_RATE) == []
    loaded = load_config(config)
    reader = open_reader(tracking_uri(loaded.config.registry, loaded.artifacts_dir))
    assert len(reader.versions("small-glove")) == 2
    assert len(reader.versions("small-cbow")) == 1


def test_only_models_that_count_differently_count_again(finished_copy: Path) -> None:
    other = "models.other={trainer: glove, vector_size: 8, window: 5, eta: 0.2, x_max: 3}"
    assert due(finished_copy, other) == ["train other", "evaluate other"]
    assert due(finished_copy, other, "models.other.window=6")[0] == "count other"
    assert due(finished_copy, other, "models.other.window=6", "models.glove.window=6")[:2] == [
        "count glove",
        "train glove",
    ]
    steps = plan_of(finished_copy, "models.glove.window=6").due
    assert steps[0].reason == "window: 5 -> 6"
    assert steps[1].reason.startswith("cooccurrences changed")


def test_a_changed_tokenizer_runs_everything_after_it(finished_copy: Path) -> None:
    steps = plan_of(finished_copy, "corpora.text.tokenize.lowercase=false").due
    assert [step.label for step in steps] == EVERY_STEP[1:]
    assert steps[0].reason == "lowercase: True -> False"


def test_a_changed_benchmark_does_not_train(finished_copy: Path) -> None:
    assert due(finished_copy, "evaluation.bootstrap_samples=21") == [
        label for label in EVERY_STEP if label.startswith("evaluate")
    ]


def test_a_changed_gate_makes_nothing_due(finished_copy: Path) -> None:
    assert due(finished_copy, "registry.gate.margin=0.5") == []


def test_worker_count_and_pipeline_location_are_no_part_of_a_version(
    finished_copy: Path, tmp_path: Path
) -> None:
    assert due(finished_copy, "training.workers=2") == []
    elsewhere = tmp_path / "elsewhere"
    shutil.move(finished_copy.parent, elsewhere)
    assert due(elsewhere / finished_copy.name) == []


def test_a_changed_input_file_is_noticed_by_content_not_by_time(small_config: Path) -> None:
    text = small_config.parent / "corpus.txt"
    text.write_text("one two three\nfour five six\n", encoding="utf-8")
    override = f"corpora.text.sources.news.path={text.name}"
    first = plan_of(small_config, override).step(schemas.DOCUMENTS).ref.version
    text.touch()
    assert plan_of(small_config, override).step(schemas.DOCUMENTS).ref.version == first
    text.write_text("one two three\nfour five SIX\n", encoding="utf-8")
    assert plan_of(small_config, override).step(schemas.DOCUMENTS).ref.version != first


def test_a_wiped_registry_is_filled_again_without_training(finished_copy: Path) -> None:
    shutil.rmtree(finished_copy.parent / "artifacts" / "mlflow")
    assert due(finished_copy) == []
    before = snapshot(finished_copy.parent / "artifacts")
    night = run_a_night(finished_copy)
    assert snapshot(finished_copy.parent / "artifacts") == before
    assert not [step for step in night.steps if step.was_run]
    loaded = load_config(finished_copy)
    reader = open_reader(tracking_uri(loaded.config.registry, loaded.artifacts_dir))
    assert [len(reader.versions(f"small-{model}")) for model in ("cbow", "glove")] == [1, 1]
    # The alias is not where the ledger says: somebody has to say which side is right.
    assert any("small-cbow" in alarm for alarm in night.alarms)


def test_a_damaged_artifact_is_refused_then_rebuilt_after_it_is_set_aside(
    finished_copy: Path,
) -> None:
    ref = plan_of(finished_copy).step(schemas.TOKENS).ref
    table = Path(ref.path) / "sentences" / "00000.parquet"
    whole = table.read_bytes()
    table.write_bytes(whole[:-10])
    with pytest.raises(ArtifactDamaged, match=r"sentences/00000\.parquet has .*--set-aside"):
        plan_of(finished_copy)
    set_aside(ref)
    assert due(finished_copy) == ["tokenize"]
    assert run_due(finished_copy) == ["tokenize"]
    assert table.read_bytes() == whole
    assert Store(finished_copy.parent / "artifacts").verify(ref) == []


def test_a_source_that_is_gone_stops_the_plan_with_its_name(finished_copy: Path) -> None:
    with pytest.raises(SourceError, match=r"news.*nowhere\.txt"):
        plan_of(finished_copy, "corpora.text.sources.news.path=nowhere.txt")


def test_a_corpus_without_vocabulary_is_refused_before_training(small_config: Path) -> None:
    with pytest.raises(VocabularyError, match=r"min_count"):
        run_due(small_config, "models.cbow.min_count=1000000")
    store = Store(small_config.parent / "artifacts")
    assert store.versions(schemas.EMBEDDINGS) == [] or all(
        store.open(ref).manifest.name != "cbow" for ref in store.versions(schemas.EMBEDDINGS)
    )


def test_a_benchmark_without_a_covered_item_is_refused(finished_copy: Path) -> None:
    benchmark = finished_copy.with_name("pairs.tsv")
    benchmark.write_text("qwertz\tasdfgh\t1.0\nyxcvbn\tqwertz\t2.0\n", encoding="utf-8")
    change = "evaluation.benchmarks={wordsim353: {type: similarity, path: pairs.tsv}}"
    with pytest.raises(BenchmarkError, match=r"wordsim353"):
        run_due(finished_copy, change)
    assert run_due(finished_copy) == []


def test_a_benchmark_file_that_changes_under_way_is_noticed(finished_copy: Path) -> None:
    benchmark = finished_copy.with_name("pairs.tsv")
    benchmark.write_text("government\tminister\t1.0\n" * 3, encoding="utf-8")
    change = "evaluation.benchmarks={wordsim353: {type: similarity, path: pairs.tsv}}"
    loaded = load_config(finished_copy, [change])
    plan = make_plan(loaded)
    benchmark.write_text("government\tminister\t2.0\n" * 3, encoding="utf-8")
    step = plan.step(schemas.EVALUATION, "cbow")
    with pytest.raises(SourceChanged, match="run again"):
        run_step(loaded, step, SILENT, Provenance(None, "test", 1))
    assert not Path(step.ref.path).exists()


def test_an_unreachable_registry_stops_the_plan(finished_copy: Path) -> None:
    with pytest.raises(RegistryUnavailable, match=r"127\.0\.0\.1:9"):
        plan_of(finished_copy, "registry.tracking_uri=http://127.0.0.1:9")


def test_every_vector_leads_back_to_the_documents(finished_config: Path) -> None:
    loaded = load_config(finished_config)
    store = Store(loaded.artifacts_dir)
    plan = make_plan(loaded)
    embeddings = store.open(plan.step(schemas.EMBEDDINGS, "glove").ref)
    tokens = store.open(store.ref(schemas.TOKENS, embeddings.manifest.parents[schemas.TOKENS]))
    documents = store.open(store.ref(schemas.DOCUMENTS, tokens.manifest.parents[schemas.DOCUMENTS]))
    assert documents.rows("documents") == 293  # of 300 lines, 7 stand twice
    sentences = tokens.read("sentences", ["doc_id"]).column("doc_id").to_pylist()
    assert set(sentences) == set(documents.read("documents").column("doc_id").to_pylist())
    vocabulary = tokens.read("vocabulary").to_pylist()[: embeddings.rows("vectors")]
    vectors = embeddings.read("vectors", ["token", "count"]).to_pylist()
    assert [(row["token"], row["count"]) for row in vocabulary] == [
        (row["token"], row["count"]) for row in vectors
    ]


def test_the_outcome_is_read_from_what_is_published(finished_config: Path) -> None:
    loaded = load_config(finished_config)
    outcomes = read_outcomes(loaded, Nights(loaded.pipeline_dir).get(1))
    assert [outcome.model for outcome in outcomes] == ["cbow", "glove"]
    for outcome in outcomes:
        assert outcome.registered_model == f"small-{outcome.model}"
        assert (outcome.registry_version, outcome.decision) == (1, "promoted")
        score = outcome.scores["wordsim353"]
        assert score.n_items == 353
        assert 0 < score.n_covered < 353


def test_the_manifest_names_what_made_it(finished_config: Path) -> None:
    ref = plan_of(finished_config).step(schemas.EMBEDDINGS, "cbow").ref
    manifest = json.loads((Path(ref.path) / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["identity"]["config"]["model"]["alpha"] == 0.05
    assert manifest["environment"]["gensim"].startswith("4.")
    assert manifest["counts"]["vocabulary_dropped_min_count"] > 0


def test_the_outcome_says_who_is_champion_now(
    after_other_rate: tuple[Path, tuple[Step, ...], list[str]],
) -> None:
    config, _, _ = after_other_rate
    night = run_a_night(config, promotes=False)
    loaded = load_config(config)
    outcomes = read_outcomes(loaded, night)
    glove = next(outcome for outcome in outcomes if outcome.model == "glove")
    assert (glove.registry_version, glove.decision, glove.champion) == (1, "promoted", 1)
    console = Console(record=True, width=120)
    run_commands.print_outcomes(console, outcomes)
    run_commands.print_next_steps(console, loaded, outcomes)
    shown = console.export_text()
    assert "v1 champion" in shown
    assert "models:/small-cbow@champion" in shown


def test_without_a_champion_the_next_steps_name_a_challenger(small_config: Path) -> None:
    gate = "registry.gate.min_coverage=1.0"
    night = run_a_night(small_config, gate)
    loaded = load_config(small_config, [gate])
    outcomes = read_outcomes(loaded, night)
    assert {outcome.champion for outcome in outcomes} == {None}
    console = Console(record=True, width=200)
    run_commands.print_outcomes(console, outcomes)
    run_commands.print_next_steps(console, loaded, outcomes)
    shown = console.export_text()
    assert "v1 blocked" in shown
    assert "No model has a champion: see the reasons above" in shown
    assert "models:/small-cbow@challenger" in shown
    assert "--model cbow@challenger" in shown


def test_words_to_look_at_are_those_of_the_benchmarks_with_the_nearest_neighbours(
    tmp_path: Path,
) -> None:
    project = HandMade(tmp_path)
    night = project.night()
    (outcome,) = read_outcomes(project.loaded, night)
    shown = sample_words(project.loaded, outcome, 2)
    # All words on the left point in one direction; of those on the right, the next one is nearest.
    assert shown[0].word == "left0"
    assert {word[:4] for word in shown[0].neighbors} == {"left"}
    assert shown[1].word.startswith("right")
    project.document["evaluation"]["benchmarks"] = {
        "pairs": {"type": "analogy", "path": "questions.txt"}
    }
    (tmp_path / "questions.txt").write_text(": x\nleft0 right0 left1 right1\n", encoding="utf-8")
    project.save()
    assert sample_words(project.loaded, outcome, 2) == []
