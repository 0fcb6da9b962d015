"""Drift while a night judges: measured once, beside the floor, with an alarm beyond tolerance."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import run_a_night
from copying_support import copy_project
from nights_support import POOR, HandMade
from sharing_support import shared
from typer.testing import CliRunner

from nightjar.cli.drift_commands import app
from nightjar.config import load_config
from nightjar.core import Night, Nights
from nightjar.drift import Floor, Vectors, measure_floor
from nightjar.errors import ArtifactDamaged, ArtifactMissing, InputError
from nightjar.pipeline import make_plan
from nightjar.promotion import read_standing
from nightjar.store import Store, delete, schemas

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("light_nights")]


def drift_of_night(night: Night, model: str = "cbow") -> dict[str, Any]:
    (found,) = [entry for entry in night.decisions if entry["model"] == model]
    return dict(found["drift"])


@pytest.fixture(scope="module")
def after_another_seed(measured: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``measured`` and a night with another seed, whose model became champion. Read only."""

    def make(directory: Path) -> Path:
        config = copy_project(measured.parent, directory / "project") / measured.name
        run_a_night(config, "training.seed=5")
        return config

    return shared(tmp_path_factory, "another-seed", make)


@pytest.fixture
def seed_5(after_another_seed: Path, tmp_path: Path) -> Path:
    """A copy of it, free to change."""
    copied = copy_project(after_another_seed.parent, tmp_path / "seed-5")
    return copied / after_another_seed.name


def last_night(config: Path) -> Night:
    found = Nights(load_config(config).pipeline_dir).last()
    assert found is not None
    return found


def asked(config: Path, *arguments: str) -> Any:
    done = CliRunner().invoke(app, [*arguments, "--json", "--config", str(config)])
    if done.exception is not None:
        raise done.exception
    return json.loads(done.stdout)


def test_noise_keeps_the_floor_of_its_trainings(measured: Path) -> None:
    store = Store(load_config(measured).artifacts_dir)
    (ref,) = store.versions(schemas.NOISE)
    noise = store.open(ref)
    evaluations = noise.manifest.identity["config"]["evaluations"].values()
    trainings = [
        store.open(store.ref(schemas.EVALUATION, version)).manifest.parents[schemas.EMBEDDINGS]
        for version in evaluations
    ]
    expected = measure_floor(
        [partial(Vectors.read, store.open(store.ref(schemas.EMBEDDINGS, one))) for one in trainings]
    )
    found = Floor.read(noise)
    assert found is not None
    assert found.tokens.equals(expected.tokens)
    np.testing.assert_allclose(found.displacement, expected.displacement, rtol=1e-6)
    np.testing.assert_allclose(found.overlap, expected.overlap, rtol=1e-6)
    assert found.bands == expected.bands
    assert (found.losses, found.n_trainings) == (expected.losses, 3)


def test_another_seed_is_no_drift_and_makes_nothing_due(config: Path) -> None:
    night = run_a_night(config, "training.seed=5", promotes=False)
    found = drift_of_night(night)
    assert found["low"] < 0 < found["high"]
    assert not found["is_alarm"]
    assert abs(found["lost"]) < 0.3
    assert (found["before"], found["n_come"], found["n_gone"]) == (1, 0, 0)
    assert not [alarm for alarm in night.alarms if "differs" in alarm]
    assert make_plan(load_config(config, ["training.seed=5"])).due == ()
    again = run_a_night(config, "training.seed=5", promotes=False)
    assert not [step for step in again.steps if step.was_run]
    assert drift_of_night(again) == found
    store = Store(load_config(config).artifacts_dir)
    assert store.verify(store.find(found["artifact"])) == []


def test_more_than_the_tolerance_is_an_alarm(config: Path) -> None:
    other = ["models.cbow.epochs=2"]
    night = run_a_night(config, *other, promotes=False)
    found = drift_of_night(night)
    assert found["is_alarm"]
    assert found["low"] > found["tolerance"] == 0.15
    (alarm,) = [alarm for alarm in night.alarms if "differs" in alarm]
    assert alarm.startswith(f"cbow v{found['after']} differs from v1 by more than chance: ")
    assert "'nightjar drift cbow' lists the words" in alarm
    tolerated = run_a_night(config, *other, "drift.tolerance=1", promotes=False)
    assert drift_of_night(tolerated)["artifact"] == found["artifact"]
    assert not drift_of_night(tolerated)["is_alarm"]
    assert not [alarm for alarm in tolerated.alarms if "differs" in alarm]


def test_without_a_floor_words_are_compared_and_the_way_to_one_is_named(seed_5: Path) -> None:
    found = drift_of_night(last_night(seed_5), "glove")
    assert (found["lost"], found["low"], found["high"], found["n_beyond"]) == (None,) * 4
    assert found["note"] == (
        "what another seed moves is not measured for these settings and this amount of data; "
        "'nightjar noise glove' measures it"
    )
    store = Store(load_config(seed_5).artifacts_dir)
    words = store.open(store.find(found["artifact"])).read("words").to_pylist()
    assert len(words) == found["n_shared"]
    assert [word["displacement"] for word in words] == sorted(
        (word["displacement"] for word in words), reverse=True
    )
    assert {word["is_beyond"] for word in words} == {None}
    assert len(words[0]["neighbors_before"]) == len(words[0]["neighbors_after"]) == 10
    assert words[-1]["neighbors_before"] is None


def test_vectors_of_another_size_are_not_compared(config: Path) -> None:
    found = drift_of_night(run_a_night(config, "models.cbow.vector_size=6"))
    assert (found["lost"], found["residual"]) == (None, None)
    assert (found["n_shared"], found["n_come"], found["n_gone"]) == (1_791, 0, 0)
    assert found["note"].endswith("differ: the versions cannot be compared")


def test_a_damaged_floor_fails_the_step_and_not_the_decision(config: Path) -> None:
    loaded = load_config(config)
    store = Store(loaded.artifacts_dir)
    (ref,) = store.versions(schemas.NOISE)
    table = next(Path(ref.path).glob("floor_words*"))
    table.chmod(0o644)
    table.write_bytes(b"PAR1" + bytes(table.stat().st_size - 4))
    with pytest.raises(ArtifactDamaged):
        run_a_night(config, "training.seed=5", promotes=True)
    night = Nights(loaded.pipeline_dir).last()
    assert night is not None
    (decision,) = [entry for entry in night.decisions if entry["model"] == "cbow"]
    assert decision["is_promoted"]
    assert decision["drift"] is None
    standing = read_standing(loaded).model("cbow")
    assert standing.champion is not None
    assert standing.champion.number == decision["candidate"]["version"]


def test_a_damaged_drift_of_an_earlier_night_does_not_stop_the_decision(config: Path) -> None:
    loaded = load_config(config)
    found = drift_of_night(run_a_night(config, "training.seed=5", promotes=False))
    store = Store(loaded.artifacts_dir)
    manifest = Path(store.find(found["artifact"]).path) / "manifest.json"
    manifest.chmod(0o644)
    manifest.write_text("{", encoding="utf-8")
    with pytest.raises(ArtifactDamaged, match=found["artifact"]):
        run_a_night(config, "training.seed=5")
    standing = read_standing(loaded).model("cbow")
    assert standing.champion is not None
    assert standing.champion.number == found["after"]


def test_the_command_compares_any_two_versions(config: Path, seed_5: Path) -> None:
    with pytest.raises(InputError, match="is the only version of glove so far"):
        asked(config, "glove")
    night = drift_of_night(last_night(seed_5))
    found = asked(seed_5, "cbow", "--limit", "3")
    assert found["artifact"] == night["artifact"]
    assert len(found["words"]) == 3
    assert {"lost": found["lost"], "before": 1, "after": 2} == {
        name: night[name] for name in ("lost", "before", "after")
    }
    back = asked(seed_5, "cbow@1", "--from", "2")
    assert (back["before"], back["after"]) == (2, 1)
    assert back["lost"] == pytest.approx(found["lost"], abs=0.02)
    with pytest.raises(InputError, match="are the same vectors: nothing moved"):
        asked(seed_5, "cbow@2", "--from", "2")
    with pytest.raises(InputError, match="no version or alias '9'"):
        asked(seed_5, "cbow", "--from", "9")


def test_the_command_shows_words_with_their_neighbours(seed_5: Path) -> None:
    done = CliRunner().invoke(app, ["cbow", "-n", "2", "--config", str(seed_5)])
    assert done.exit_code == 0, done.output
    first, second = done.stdout.splitlines()[:2]
    assert first.startswith("cbow v1 to v2: ")
    assert "no neighbours are gone beyond chance" in first
    assert "words in both" in second
    word = asked(seed_5, "cbow")["words"][0]
    assert word["token"] in done.stdout
    assert word["neighbors_after"][0] in done.stdout


def test_versions_whose_vectors_are_gone_are_not_compared(seed_5: Path) -> None:
    loaded = load_config(seed_5)
    former, *_ = read_standing(loaded).model("cbow").previous
    store = Store(loaded.artifacts_dir)
    delete(Path(store.ref(schemas.EMBEDDINGS, former.embeddings).path))
    with pytest.raises(
        ArtifactMissing, match=r"the vectors of cbow version 1.* are no longer kept"
    ):
        asked(seed_5, "cbow@2", "--from", "1")


def test_imported_vectors_have_no_floor_and_raise_no_alarm(tmp_path: Path) -> None:
    project = HandMade(tmp_path / "project")
    assert drift_of_first(project.night()) is None
    project.write_vectors(POOR)
    night = project.night()
    found = drift_of_night(night, "words")
    assert found["note"] == "its vectors are imported: what chance moves in them is not known"
    assert not found["is_alarm"]
    assert not [alarm for alarm in night.alarms if "differs" in alarm]


def drift_of_first(night: Night) -> Any:
    """Of a model's first night, when there is no champion yet."""
    return night.decisions[0]["drift"]
