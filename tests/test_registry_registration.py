"""Registering for real: what MLflow holds afterwards, the gate, kills and repeats."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from registry_support import VECTORS, World, mlflow, score_row

from nightjar.config import GateConfig, RegistryConfig
from nightjar.errors import ArtifactDamaged, ConfigError, RegistryUnavailable
from nightjar.lookup import Parameters
from nightjar.registry import open_reader, read_ledger, register, registration
from nightjar.store import fingerprint, library_versions, publish


@pytest.fixture
def fresh(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A store of its own."""
    return World.create(tmp_path, tmp_path_factory)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World.create(tmp_path_factory.mktemp("shared"), tmp_path_factory)


@pytest.fixture
def world(shared: World, request: pytest.FixtureRequest) -> World:
    """A model of its own in the shared store."""
    return replace(shared, model=f"m{fingerprint(request.node.name)}")


# -- what MLflow holds -----------------------------------------------------------------------

MORE_SCORES = (
    score_row("google-analogies", 0.25, 40, metric="accuracy"),
    score_row("google-analogies", None, 0, "capital (common)/countries", "accuracy"),
    score_row("google-analogies", 0.5, 10, "family", "accuracy"),
    score_row("wordsim353", 0.45, metric="pearson"),
)


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> World:
    """One registration; read only."""
    world = World.create(tmp_path_factory.mktemp("registered") / "a b", tmp_path_factory)
    world.register(world.request(more_scores=MORE_SCORES))
    return world


@pytest.fixture(scope="module")
def run(registered: World) -> Any:
    return registered.client.get_run(registered.versions()[0].run_id)


@pytest.fixture(scope="module")
def run_files(registered: World, run: Any) -> Path:
    return registered.artifacts_dir / "mlflow" / "artifacts" / run.info.run_id / "artifacts"


@pytest.fixture(scope="module")
def model_info(registered: World) -> Any:
    model_id = registered.versions()[0].source.removeprefix("models:/")
    models = registered.artifacts_dir / "mlflow" / "artifacts" / "models"
    return mlflow.models.Model.load(str(models / model_id / "artifacts"))


def test_first_version_becomes_champion(registered: World) -> None:
    assert len(registered.versions()) == 1
    assert registered.alias("champion") == 1
    assert registered.alias("challenger") is None


def test_run_is_named_by_the_model_finished_and_in_the_pipelines_experiment(
    registered: World, run: Any
) -> None:
    assert (run.info.run_name, run.info.status) == ("w2v", "FINISHED")
    assert run.data.tags["mlflow.user"] == "tester"
    assert run.data.tags["mlflow.source.git.commit"] == "0123abc"
    experiment = registered.client.get_experiment(run.info.experiment_id)
    assert experiment.name == "night"
    files = registered.artifacts_dir / "mlflow" / "artifacts"
    assert experiment.artifact_location == files.as_uri()


def test_every_hyper_parameter_is_on_the_run(run: Any) -> None:
    assert run.data.params == {
        "trainer": "word2vec",
        "engine": "native",
        "architecture": "skipgram",
        "vector_size": "4",
        "window": "5",
        "min_count": "5",
        "max_vocabulary": "null",
        "epochs": "2",
        "seed": "1",
        "negative": "5",
        "hs": "false",
        "ns_exponent": "0.75",
        "sample": "0.001",
        "alpha": "0.05",
        "min_alpha": "0.0001",
        "cbow_mean": "true",
        "shrink_windows": "true",
        "deterministic": "true",
        "n_workers": "1",
    }


def test_every_score_is_a_metric(run: Any) -> None:
    metrics = run.data.metrics
    seconds = metrics.pop("training.seconds")
    assert seconds >= 0
    assert metrics == pytest.approx(
        {
            "wordsim353.spearman": 0.5,
            "wordsim353.spearman.ci_low": 0.4,
            "wordsim353.spearman.ci_high": 0.6,
            "wordsim353.pearson": 0.45,
            "wordsim353.pearson.ci_low": 0.35,
            "wordsim353.pearson.ci_high": 0.55,
            "wordsim353.coverage": 0.9,
            "wordsim353.n_items": 100,
            "wordsim353.n_covered": 90,
            "simlex999.spearman": 0.3,
            "simlex999.spearman.ci_low": 0.2,
            "simlex999.spearman.ci_high": 0.4,
            "simlex999.coverage": 0.9,
            "simlex999.n_items": 100,
            "simlex999.n_covered": 90,
            "google-analogies.accuracy": 0.25,
            "google-analogies.accuracy.ci_low": 0.15,
            "google-analogies.accuracy.ci_high": 0.35,
            "google-analogies.coverage": 0.4,
            "google-analogies.n_items": 100,
            "google-analogies.n_covered": 40,
            "google-analogies.capital _common__countries.coverage": 0,
            "google-analogies.capital _common__countries.n_items": 100,
            "google-analogies.capital _common__countries.n_covered": 0,
            "google-analogies.family.accuracy": 0.5,
            "google-analogies.family.accuracy.ci_low": 0.4,
            "google-analogies.family.accuracy.ci_high": 0.6,
            "google-analogies.family.coverage": 0.1,
            "google-analogies.family.n_items": 100,
            "google-analogies.family.n_covered": 10,
            "training.mean_loss": 0.5,
            "vocabulary.words": 4,
        }
    )


def test_losses_are_a_metric_with_the_epoch_as_step(registered: World, run: Any) -> None:
    history = registered.client.get_metric_history(run.info.run_id, "training.mean_loss")
    assert [(entry.step, entry.value) for entry in history] == [(1, 0.75), (2, 0.5)]


def test_documents_and_tokens_are_inputs_of_the_run(registered: World, run: Any) -> None:
    inputs = {entry.dataset.name: entry.dataset for entry in run.inputs.dataset_inputs}
    assert set(inputs) == {"night-documents", "night-tokens"}
    documents, tokens = inputs["night-documents"], inputs["night-tokens"]
    assert documents.digest == registered.documents().ref.version
    assert json.loads(documents.profile) == {"num_rows": 3}
    assert json.loads(tokens.profile) == {"num_rows": 2, "vocabulary": 5}
    source = mlflow.data.get_source(tokens)
    assert Path(source.load()) == registered.tokens().directory


def test_tags_tell_lineage_scores_and_decision(registered: World, run: Any) -> None:
    request = registered.request(more_scores=MORE_SCORES)
    lineage = {
        "nightjar.documents_version": request.documents.ref.version,
        "nightjar.tokens_version": request.tokens.ref.version,
        "nightjar.embeddings_version": request.embeddings.ref.version,
        "nightjar.evaluation_version": request.evaluation.ref.version,
        "nightjar.registration_version": request.identity.version,
        "nightjar.pipeline": "night",
        "nightjar.model": "w2v",
        "nightjar.trainer": "word2vec",
        "nightjar.corpus": "news, wiki",
        "nightjar.git_commit": "0123abc",
        "score.wordsim353": "0.5",
        "score.simlex999": "0.3",
        "score.google-analogies": "0.25",
        "coverage.wordsim353": "0.9",
        "coverage.simlex999": "0.9",
        "coverage.google-analogies": "0.4",
    }
    decision = {
        "nightjar.decision": "champion",
        "nightjar.reason": "first champion: mean score 0.4000 over wordsim353, simlex999; "
        "coverage 0.9000, required 0.3000",
        "nightjar.gate_score": "0.4",
        "nightjar.gate_coverage": "0.9",
        "nightjar.previous_champion": "",
    }
    assert registered.versions()[0].tags == {**lineage, **decision}
    assert lineage.items() <= run.data.tags.items()


def test_description_of_the_version_is_short_and_has_the_numbers(registered: World) -> None:
    description = registered.versions()[0].description
    assert "Word2Vec vectors of 4 words in 4 dimensions" in description
    assert "wordsim353 0.5000 (90 of 100 items)" in description
    assert "First champion" in description.replace("Champion: f", "F")
    assert len(description) < 600


def test_model_card_tells_origin_scores_use_and_limits(registered: World, run_files: Path) -> None:
    card = (run_files / "model_card.md").read_text(encoding="utf-8")
    request = registered.request(more_scores=MORE_SCORES)
    for expected in (
        "# night-w2v",
        "trained on 3 documents (news, wiki)",
        "| news | 1 |",
        "| wiki | 2 |",
        "2 sentences with 5 distinct tokens",
        'mlflow.pyfunc.load_model("models:/night-w2v@champion")',
        'model.predict(["king", "queen"])  # float32, shape (2, 4)',
        "| alpha | 0.05 |",
        "| max_vocabulary | null |",
        "| wordsim353 | spearman | 0.5000 | 0.4000 to 0.6000 | 90 of 100 (90.0%) | 300,000 |",
        "| google-analogies | accuracy | 0.2500 | 0.1500 to 0.3500 | 40 of 100 (40.0%) |",
        "Mean loss of the last epoch: 0.5000",
        "arXiv:1301.3781",
        "## Limits",
        f"| embeddings | `{request.embeddings.ref.version}` |",
        "git commit `0123abc`",
    ):
        assert expected in card


def test_model_card_travels_with_the_model(registered: World, run_files: Path) -> None:
    models = registered.artifacts_dir / "mlflow" / "artifacts" / "models"
    inside = list(models.glob("*/artifacts/artifacts/model_card.md"))
    assert [path.read_text() for path in inside] == [(run_files / "model_card.md").read_text()]


def test_scores_are_a_table_that_mlflow_loads(run_files: Path, run: Any) -> None:
    table = json.loads((run_files / "scores.json").read_text())
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert len(rows) == 6
    assert rows[0] == {**score_row("wordsim353", 0.5), "coverage": 0.9}
    assert rows[3]["value"] is None
    assert json.loads(run.data.tags["mlflow.loggedArtifacts"]) == [
        {"path": "scores.json", "type": "table"}
    ]


def test_scores_are_drawn(run_files: Path) -> None:
    picture = (run_files / "scores.svg").read_text()
    assert picture.startswith("<svg")
    assert picture.count("<circle") == 3
    assert "google-analogies (accuracy)" in picture


def test_signature_example_and_requirements(registered: World, model_info: Any) -> None:
    models = registered.artifacts_dir / "mlflow" / "artifacts" / "models"
    (requirements,) = models.glob("*/artifacts/requirements.txt")
    pinned = library_versions("mlflow", "numpy", "pyarrow")
    assert requirements.read_text().split() == [f"{name}=={pinned[name]}" for name in pinned]
    signature = model_info.signature.to_dict()
    assert json.loads(signature["inputs"]) == [{"type": "any", "required": True}]
    found = {entry["name"]: entry for entry in json.loads(signature["params"])}
    defaults = {name: entry["default"] for name, entry in found.items()}
    assert defaults == {**asdict(Parameters()), "negative": []}
    assert {found[name]["type"] for name in ("topn", "n_clusters", "seed")} == {"long"}
    assert model_info.saved_input_example_info is not None
    assert model_info.metadata["nightjar"]["registration"]


def test_ledger_entry_holds_the_decision(registered: World) -> None:
    (entry,) = read_ledger(registered.store, "w2v")
    version = registered.versions()[0]
    assert (entry.registry_version, entry.run_id) == (1, version.run_id)
    assert (entry.decision, entry.previous_champion, entry.actor) == ("champion", None, "tester")
    assert (entry.score, entry.coverage, entry.champion_score) == (0.4, 0.9, None)
    assert entry.as_json()["time"].endswith("+00:00")
    assert read_ledger(registered.store, "other") == []


def test_manifest_reports_where_it_was_registered(registered: World) -> None:
    (entry,) = read_ledger(registered.store)
    ref = registered.store.ref("registration", entry.registration_version)
    report = registered.store.open(ref).manifest.report
    assert report["tracking_uri"] == registered.uri
    assert (report["registered_model"], report["registry_version"]) == ("night-w2v", 1)


# -- champion and challenger -------------------------------------------------------------------


def test_worse_version_is_challenger_and_the_champion_stays(world: World) -> None:
    world.champion_by_hand(0.5, 0.3)
    entry = world.register(world.request(0.3, 0.3))
    assert (entry.decision, entry.registry_version, entry.previous_champion) == (
        "challenger",
        2,
        1,
    )
    assert entry.reason.startswith("mean score 0.3000 over wordsim353, simlex999 is 0.1000 below")
    assert (world.alias("champion"), world.alias("challenger")) == (1, 2)


def test_better_version_takes_over_and_the_ledger_remembers(world: World) -> None:
    world.register(world.request(0.5, 0.3))
    world.register(world.request(0.1, 0.3))
    world.register(world.request(0.6, 0.3))
    assert (world.alias("champion"), world.alias("challenger")) == (3, 2)
    moves = [
        (entry.registry_version, entry.decision, entry.previous_champion)
        for entry in read_ledger(world.store, world.model)
    ]
    assert moves == [(1, "champion", None), (2, "challenger", 1), (3, "champion", 1)]


def test_first_version_with_too_little_coverage_is_challenger(world: World) -> None:
    entry = world.register(world.request(n_covered=29))
    assert entry.decision == "challenger"
    assert (world.alias("champion"), world.alias("challenger")) == (None, 1)


def test_version_without_a_score_is_registered_as_challenger(world: World) -> None:
    entry = world.register(world.request(simlex=None))
    assert (entry.decision, entry.score) == ("challenger", None)
    assert entry.reason == "no score of simlex999: none of its items is in the vocabulary"
    tags = world.versions()[0].tags
    assert "score.simlex999" not in tags
    assert tags["coverage.simlex999"] == "0.9"


def test_champion_registered_by_hand_is_beaten_by_coverage_alone(world: World) -> None:
    world.client.create_registered_model(world.name)
    world.client.create_model_version(world.name, "/by/hand")
    world.client.set_registered_model_alias(world.name, "champion", "1")
    entry = world.register(world.request())
    assert (entry.decision, entry.previous_champion) == ("champion", 1)
    assert "coverage alone decided, the champion (version 1) has no score" in entry.reason


def test_other_gate_registers_again(fresh: World) -> None:
    fresh.register(fresh.request())
    strict = RegistryConfig(gate=GateConfig(benchmarks=["wordsim353"], min_coverage=0.95))
    entry = fresh.register(fresh.request(registry=strict))
    assert (entry.registry_version, entry.decision) == (2, "challenger")
    assert fresh.alias("champion") == 1


def test_models_do_not_compete_with_each_other(world: World) -> None:
    world.register(world.request(0.9, 0.9))
    other = replace(world, model=f"{world.model}-other")
    entry = other.register(other.request(0.1, 0.1))
    assert (entry.registered_model, entry.decision) == (other.name, "champion")


# -- kills and repeats -------------------------------------------------------------------------


class KilledError(BaseException):
    """Stands for a kill: nothing of ours catches it."""


def kill_at(monkeypatch: pytest.MonkeyPatch, step: str, *, after: bool) -> None:
    """Let a registration die before or after one of its steps."""
    real: Callable[..., Any] = getattr(registration, step)

    def dies(*args: Any, **values: Any) -> Any:
        if after:
            real(*args, **values)
        raise KilledError

    monkeypatch.setattr(registration, step, dies)


STEPS_BEFORE_THE_VERSION = (
    ("experiment_id", False),
    ("start_run", True),
    ("log_run", True),
    ("log_model", True),
    ("_ensure_registered_model", True),
)
STEPS_AFTER_IT = (
    ("_create_version", True),
    ("_settle", False),
    ("_point_alias", True),
    ("_write", False),
    ("_write", True),
)
KILLS = [
    *((*step, 0.6) for step in STEPS_BEFORE_THE_VERSION + STEPS_AFTER_IT),
    *((*step, 0.1) for step in STEPS_AFTER_IT),
]


@pytest.mark.parametrize(("step", "after", "wordsim"), KILLS)
def test_killed_registration_repeated_makes_one_version_and_the_same_decision(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str, after: bool, wordsim: float
) -> None:
    world.champion_by_hand(0.5, 0.3)
    request = world.request(wordsim, 0.3)
    with monkeypatch.context() as patch:
        kill_at(patch, step, after=after)
        with pytest.raises(KilledError):
            world.register(request)
    for run in world.runs():
        if run.info.status == "FAILED":  # a real kill leaves it so
            world.client.update_run(run.info.run_id, "RUNNING")
    entry = world.register(request)
    decision = "champion" if wordsim > 0.5 else "challenger"
    assert (entry.decision, entry.registry_version, entry.previous_champion) == (decision, 2, 1)
    assert [int(version.version) for version in world.versions()] == [1, 2]
    assert world.alias(decision) == 2
    assert world.alias("champion") == (2 if wordsim > 0.5 else 1)
    assert {run.info.status for run in world.runs()} <= {"FINISHED", "KILLED"}
    assert world.client.get_run(entry.run_id).info.status == "FINISHED"


def test_repeated_registration_without_a_ledger_entry_makes_no_new_version(world: World) -> None:
    request = world.request()
    first = world.register(request)
    directory = world.store.ref("registration", first.registration_version).path
    Path(directory).rename(world.artifacts_dir / f"lost-{world.model}")
    second = world.register(request)
    assert replace(second, time=first.time) == first
    assert len(world.versions()) == 1


def test_repeat_decides_anew_when_the_champion_changed_meanwhile(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.champion_by_hand(0.5, 0.3)
    request = world.request(0.6, 0.3)
    with monkeypatch.context() as patch:
        kill_at(patch, "_settle", after=False)
        with pytest.raises(KilledError):
            world.register(request)
    world.register(world.request(0.9, 0.9))
    entry = world.register(request)
    assert (entry.decision, entry.registry_version, entry.previous_champion) == ("challenger", 2, 3)
    assert (world.alias("champion"), world.alias("challenger")) == (3, 2)
    tags = {int(version.version): version.tags for version in world.versions()}
    assert tags[2]["nightjar.decision"] == "challenger"
    assert tags[2]["nightjar.previous_champion"] == "3"


def test_challenger_that_wins_when_repeated_is_challenger_no_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.champion_by_hand(0.5, 0.3)
    request = world.request(0.1, 0.3)
    with monkeypatch.context() as patch:
        kill_at(patch, "_write", after=False)
        with pytest.raises(KilledError):
            world.register(request)
    assert world.alias("challenger") == 2
    world.client.delete_model_version(world.name, "1")
    entry = world.register(request)
    assert (entry.decision, entry.previous_champion) == ("champion", None)
    assert (world.alias("champion"), world.alias("challenger")) == (2, None)


KILLED_WITHIN_THE_MODEL = """
import os, signal, sys
sys.path.insert(0, "tests")
from pathlib import Path
from registry_support import World, mlflow

world = World(Path(sys.argv[1]))
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
real = LocalArtifactRepository.log_artifacts

def half(self, local_dir, artifact_path=None):
    real(self, local_dir, artifact_path)
    os.kill(os.getpid(), signal.SIGKILL)

LocalArtifactRepository.log_artifacts = half
world.register(world.request())
"""


def test_process_killed_while_it_stores_the_model(fresh: World) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED_WITHIN_THE_MODEL, str(fresh.artifacts_dir)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[1],
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    (killed,) = fresh.runs()
    assert killed.info.status == "RUNNING"
    assert read_ledger(fresh.store) == []
    entry = fresh.register(fresh.request())
    assert (entry.registry_version, entry.decision) == (1, "champion")
    assert fresh.client.get_run(killed.info.run_id).info.status == "KILLED"
    assert len(fresh.versions()) == 1


def test_failed_registration_marks_its_run_failed(
    fresh: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_at(monkeypatch, "log_model", after=False)
    with pytest.raises(KilledError):
        fresh.register(fresh.request())
    (run,) = fresh.runs()
    assert run.info.status == "FAILED"
    assert mlflow.active_run() is None


def test_registration_leaves_mlflows_global_address_alone(world: World) -> None:
    before = mlflow.get_tracking_uri()
    world.register(world.request())
    assert mlflow.get_tracking_uri() == before != world.uri


def test_registration_is_silent(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    world.register(world.request())
    assert capfd.readouterr() == ("", "")


# -- what was lost or damaged --------------------------------------------------------------------


def test_deleted_version_is_registered_again_as_what_it_replaces(world: World) -> None:
    first = world.register(world.request())
    world.client.delete_model_version(world.name, "1")
    assert open_reader(world.uri).version(world.name, first.registry_version) is None
    second = world.register(world.request(replaces=first.registration_version))
    assert (second.registry_version, second.decision) == (2, "champion")
    assert second.embeddings_version == first.embeddings_version
    assert second.registration_version != first.registration_version
    assert [entry.registry_version for entry in read_ledger(world.store, world.model)] == [1, 2]


def test_registration_is_repeated_after_the_database_was_deleted(fresh: World) -> None:
    first = fresh.register(fresh.request())
    (fresh.artifacts_dir / "mlflow" / "mlflow.db").unlink()
    assert open_reader(fresh.uri).version(fresh.name, first.registry_version) is None
    second = fresh.register(fresh.request(replaces=first.registration_version))
    assert (second.registry_version, second.decision) == (1, "champion")
    found = open_reader(fresh.uri).version(fresh.name, 1)
    assert found is not None
    assert found.run_id == second.run_id != first.run_id


def test_damaged_embeddings_are_not_registered(fresh: World) -> None:
    request = fresh.request()
    path = request.embeddings.table_paths("vectors")[0]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactDamaged, match=r"night-w2v is not registered: embeddings/.*sha256"):
        fresh.register(request)
    assert fresh.client.search_registered_models() == []
    assert fresh.runs() == []


def test_model_that_answers_wrongly_after_storing_is_not_registered(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = mlflow.pyfunc.load_model

    class Wrong:
        def predict(self, words: list[str]) -> Any:
            return np.zeros((len(words), VECTORS.shape[1]), np.float32)

    monkeypatch.setattr(mlflow.pyfunc, "load_model", lambda uri: Wrong() if real(uri) else None)
    with pytest.raises(RegistryUnavailable, match="the upload is not whole"):
        world.register(world.request())
    assert world.versions() == []


def test_deleted_experiment_is_one_clear_error(fresh: World) -> None:
    experiment = fresh.client.create_experiment("night")
    fresh.client.delete_experiment(experiment)
    with pytest.raises(ConfigError, match="experiment 'night' is deleted"):
        fresh.register(fresh.request())


def test_database_that_cannot_be_written_is_one_clear_error(fresh: World) -> None:
    database = fresh.artifacts_dir / "mlflow" / "mlflow.db"
    database.unlink()
    database.mkdir()
    with pytest.raises(RegistryUnavailable, match=r"MLflow at sqlite:///.*cannot be used"):
        fresh.register(fresh.request())


def test_moved_artifact_directory_is_told(
    fresh: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fresh.register(fresh.request())
    fresh.artifacts_dir.rename(tmp_path / "moved")
    moved = World(tmp_path / "moved")
    moved.register(moved.request(0.6))
    assert "the artifact directory was moved or copied" in caplog.text


def test_progress_tells_each_step(world: World) -> None:
    heard: list[str] = []

    class Listener:
        def start(self, label: str, total: float | None, unit: str) -> None:
            heard.append(f"{label}: {total} {unit}")

        def advance(self, amount: float, note: str = "") -> None:
            heard.append(note)

    request = world.request()
    publish(
        world.artifacts_dir,
        request.identity,
        lambda staging: register(request, staging, Listener()),
    )
    assert heard == [
        f"register {world.model}: 4 steps",
        "artifacts verified",
        "registry reached",
        "version 1",
        "champion",
    ]
