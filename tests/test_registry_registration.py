"""Registering for real: what MLflow holds afterwards, kills and repeats, what was damaged."""

from __future__ import annotations

import hashlib
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
from registry_support import LEDGER, VECTORS, World, mlflow, score_row

from nightjar.errors import ArtifactDamaged, ConfigError, ForeignModel, RegistryUnavailable
from nightjar.formats.spaces import fit_of
from nightjar.model.lookup import Parameters
from nightjar.registry import (
    check_files_whole,
    ensure_registered,
    find_registered,
    model_files,
    registration,
)
from nightjar.store import fingerprint, library_versions


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


def test_registering_makes_a_version_and_moves_no_alias(registered: World) -> None:
    assert len(registered.versions()) == 1
    assert registered.client.get_registered_model(registered.name).aliases == {}


def test_registered_model_names_the_ledger_that_owns_it(registered: World) -> None:
    tags = registered.client.get_registered_model(registered.name).tags
    assert tags == {"nightjar.ledger": LEDGER}


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
        "space": "own",
        "negative": "5",
        "hs": "false",
        "ns_exponent": "0.75",
        "sample": "0.001",
        "alpha": "0.05",
        "min_alpha": "0.0001",
        "window_side": "both",
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


def test_tags_tell_lineage_scores_and_files(registered: World, run: Any, run_files: Path) -> None:
    request = registered.request(more_scores=MORE_SCORES)
    lineage = {
        "nightjar.documents_version": request.source.ref.version,
        "nightjar.tokens_version": request.tokens.ref.version,
        "nightjar.embeddings_version": request.embeddings.ref.version,
        "nightjar.embeddings_digest": request.embeddings.manifest.digest,
        "nightjar.space": request.embeddings.manifest.digest[:12],
        "nightjar.space_fit": fit_of(request.embeddings).as_text(),
        "nightjar.evaluation_version": request.evaluation.ref.version,
        "nightjar.registration_key": request.key,
        "nightjar.registered_model": "night-w2v",
        "nightjar.night": "17",
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
    (listed,) = registered.artifacts_dir.glob("mlflow/artifacts/models/*/artifacts/files.json")
    files = {"nightjar.files_sha256": hashlib.sha256(listed.read_bytes()).hexdigest()}
    assert registered.versions()[0].tags == {**lineage, **files}
    assert lineage.items() <= run.data.tags.items()


def test_description_of_the_version_is_short_and_has_the_numbers(registered: World) -> None:
    description = registered.versions()[0].description
    assert "Word2Vec vectors of 4 words in 4 dimensions" in description
    assert "wordsim353 0.5000 (90 of 100 items)" in description
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
    assert model_info.metadata["nightjar"]["embeddings"]


def test_version_is_found_without_mlflow(registered: World) -> None:
    request = registered.request(more_scores=MORE_SCORES)
    found = find_registered(
        registered.place.reader(), registered.name, request.embeddings.manifest.digest
    )
    assert found is not None
    assert (found.version, found.embeddings_version, found.embeddings_digest) == (
        1,
        request.embeddings.ref.version,
        request.embeddings.manifest.digest,
    )
    assert find_registered(registered.place.reader(), registered.name, "f" * 64) is None
    assert find_registered(registered.place.reader(), "night-other", "f" * 64) is None


# -- once, and whose --------------------------------------------------------------------------


def test_other_scores_of_the_same_embeddings_are_the_same_version(world: World) -> None:
    first = world.register(world.request(0.5))
    assert world.register(world.request(0.9)).version == first.version
    assert len(world.versions()) == 1


def test_other_embeddings_are_another_version(world: World) -> None:
    world.register(world.request())
    second = world.register(world.request(embeddings=world.embeddings("other", world.model)))
    assert second.version == 2
    assert [int(version.version) for version in world.versions()] == [1, 2]


def test_other_packaging_code_is_another_version(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.register(world.request())
    monkeypatch.setattr("nightjar.registry.registered_names._packaging_code", lambda: "other")
    assert world.register(world.request()).version == 2


def test_version_of_a_trial_is_a_nights_from_the_first_night_that_wants_it(world: World) -> None:
    trial = world.register(replace(world.request(), is_trial=True, night=16))
    assert (trial.tags["nightjar.trial"], trial.tags["nightjar.night"]) == ("true", "16")
    again = world.register(replace(world.request(), is_trial=True, night=16))
    assert again.tags["nightjar.trial"] == "true"
    found = world.register(world.request())
    assert (found.version, found.tags["nightjar.night"]) == (trial.version, "17")
    assert "nightjar.trial" not in found.tags


def test_registered_model_of_another_ledger_is_refused(world: World) -> None:
    world.register(world.request())
    runs = len(world.runs())
    other = replace(world.request(), ledger_id="f" * 32)
    with pytest.raises(ForeignModel, match=r"belongs to another pipeline directory.*take-over"):
        world.register(other)
    fresh = replace(world.request(embeddings=world.embeddings("o")), ledger_id="f" * 32)
    with pytest.raises(ForeignModel):
        world.register(fresh)
    assert (len(world.versions()), len(world.runs())) == (1, runs)


def test_registered_model_made_by_hand_is_taken(world: World) -> None:
    world.client.create_registered_model(world.name)
    world.client.create_model_version(world.name, "/by/hand")
    assert world.register(world.request()).version == 2
    assert world.client.get_registered_model(world.name).tags == {"nightjar.ledger": LEDGER}


# -- kills and repeats -------------------------------------------------------------------------


class KilledError(BaseException):
    """Stands for a kill: nothing of ours catches it."""


def kill_at(monkeypatch: pytest.MonkeyPatch, step: str, *, after: bool) -> None:
    """Let a registration die before or after one of its steps."""
    place: Any = registration if hasattr(registration, step) else registration._Registrar
    real: Callable[..., Any] = getattr(place, step)

    def dies(*args: Any, **values: Any) -> Any:
        if after:
            real(*args, **values)
        raise KilledError

    monkeypatch.setattr(place, step, dies)


KILLS = (
    ("check_whole", True),
    ("_claim", True),
    ("experiment_id", True),
    ("remove_leftovers", True),
    ("start_run", True),
    ("log_run", True),
    ("log_model", False),
    ("log_model", True),
    ("_create_version", False),
    ("_create_version", True),
)


@pytest.mark.parametrize(("step", "after"), KILLS)
def test_killed_registration_repeated_makes_one_version_and_leaves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str, after: bool
) -> None:
    request = world.request(embeddings=world.embeddings(name=world.model))
    with monkeypatch.context() as patch:
        kill_at(patch, step, after=after)
        with pytest.raises(KilledError):
            world.register(request)
    for run in world.runs():
        if run.info.status == "FAILED":  # a real kill leaves it so
            world.client.update_run(run.info.run_id, "RUNNING")
    assert world.register(request).version == 1
    other = world.register(world.request(embeddings=world.embeddings("next", world.model)))
    assert [int(version.version) for version in world.versions()] == [1, 2]
    status = {run.info.run_id: run.info.status for run in world.runs()}
    assert [status[version.run_id] for version in world.versions()] == ["FINISHED", "FINISHED"]
    assert set(status.values()) <= {"FINISHED", "KILLED"}
    kept = {version.source.removeprefix("models:/") for version in world.versions()}
    assert other.model_id in kept
    assert set(world.logged_models()) == kept


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
    assert len(fresh.logged_models()) == 1
    version = fresh.register(fresh.request())
    assert version.version == 1
    assert fresh.client.get_run(killed.info.run_id).info.status == "KILLED"
    assert len(fresh.versions()) == 1
    assert fresh.logged_models() == [version.model_id]
    models = fresh.artifacts_dir / "mlflow" / "artifacts" / "models"
    assert [path.name for path in models.iterdir()] == [version.model_id]


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


def test_deleted_version_is_registered_again_under_a_new_number(world: World) -> None:
    first = world.register(world.request())
    world.client.delete_model_version(world.name, "1")
    second = world.register(world.request())
    assert (first.version, second.version) == (1, 2)
    assert second.embeddings_digest == first.embeddings_digest


def test_registration_is_repeated_after_the_database_was_deleted(fresh: World) -> None:
    first = fresh.register(fresh.request())
    (fresh.artifacts_dir / "mlflow" / "mlflow.db").unlink()
    second = fresh.register(fresh.request())
    assert (second.version, second.run_id == first.run_id) == (1, False)


def test_version_whose_files_were_damaged_is_registered_anew(world: World) -> None:
    first = world.register(world.request())
    (model_files(world.place, first) / "vectors.npy").unlink()
    second = world.register(world.request())
    assert second.version == 2
    assert check_files_whole(world.place, second) == []
    digest = first.embeddings_digest
    found = find_registered(world.place.reader(), world.name, digest)
    assert found is not None
    assert found.version == 2


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


def test_mlflow_shows_an_experiment_as_one_of_models_not_of_traces(fresh: World) -> None:
    fresh.register(fresh.request())
    made = fresh.client.get_experiment_by_name("night")
    assert made.tags["mlflow.experimentKind"] == "custom_model_development"


@pytest.mark.parametrize(
    ("tags", "kind"),
    [({}, "custom_model_development"), ({"mlflow.experimentKind": "finetuning"}, "finetuning")],
)
def test_an_experiment_made_before_gets_its_kind_unless_it_has_one(
    fresh: World, tags: dict[str, str], kind: str
) -> None:
    place = (fresh.artifacts_dir / "mlflow" / "artifacts").as_uri()
    fresh.client.create_experiment("night", place, tags)
    fresh.register(fresh.request())
    assert fresh.client.get_experiment_by_name("night").tags["mlflow.experimentKind"] == kind


def test_deleted_experiment_is_one_clear_error(fresh: World) -> None:
    experiment = fresh.client.create_experiment("night")
    fresh.client.delete_experiment(experiment)
    with pytest.raises(ConfigError, match="experiment 'night' is deleted"):
        fresh.register(fresh.request())


def test_database_that_cannot_be_written_is_one_clear_error(fresh: World) -> None:
    database = fresh.artifacts_dir / "mlflow" / "mlflow.db"
    database.unlink()
    database.mkdir()
    with pytest.raises(
        RegistryUnavailable, match=r"mlflow\.db: the MLflow database cannot be read"
    ):
        fresh.register(fresh.request())


def test_moved_artifact_directory_is_told(
    fresh: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fresh.register(fresh.request())
    fresh.artifacts_dir.rename(tmp_path / "moved")
    moved = World(tmp_path / "moved")
    moved.register(moved.request(embeddings=moved.embeddings("other")))
    assert "the artifact directory was moved or copied" in caplog.text


def test_progress_tells_each_step(world: World) -> None:
    heard: list[str] = []

    class Listener:
        def start(self, label: str, total: float | None, unit: str) -> None:
            heard.append(f"{label}: {total} {unit}")

        def advance(self, amount: float, note: str = "") -> None:
            heard.append(note)

    request = world.request()
    ensure_registered(request, Listener())
    assert heard == [
        f"register {world.model}: 4 steps",
        "artifacts verified",
        "registry reached",
        "model stored",
        "version 1",
    ]


def test_a_model_whose_arrays_were_not_scored_is_not_registered(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    world = World.create(tmp_path, tmp_path_factory)
    scored = world.request()
    other = world.embeddings("other bytes", vectors=VECTORS[::-1].copy())
    with pytest.raises(
        RegistryUnavailable, match=r"\.npy as MLflow stored it is not what evaluation/.* scored"
    ):
        world.register(replace(scored, embeddings=other))
    assert world.client.search_model_versions() == []
    assert world.register(scored).version == 1
