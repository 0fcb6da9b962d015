"""Measuring the noise of training, and which measurement the gate uses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import PROVENANCE, run_a_night, run_due
from nights_support import HandMade
from typer.testing import CliRunner

from nightjar.cli.promotion_commands import app
from nightjar.config import load_config
from nightjar.errors import ConfigError, InputError
from nightjar.pipeline.noise import measure_noise
from nightjar.pipeline.retention import collect
from nightjar.progress import SILENT, Progress
from nightjar.store import Store, schemas

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("light_nights")]


def decision(config: Path, *overrides: str) -> dict[str, Any]:
    """What a night says about the model."""
    night = run_a_night(config, *overrides)
    (found,) = [entry for entry in night.decisions if entry["model"] == "cbow"]
    return dict(found)


def is_measured(found: dict[str, Any]) -> bool:
    return "not measured" not in " ".join(found["remarks"])


def test_scores_of_each_seed_are_published(measured: Path) -> None:
    store = Store(load_config(measured).artifacts_dir)
    (ref,) = store.versions(schemas.NOISE)
    artifact = store.open(ref)
    rows = artifact.read("trainings").to_pylist()
    assert len({row["seed"] for row in rows}) == len(rows) == 3
    assert len({row["score"] for row in rows}) == 3
    assert artifact.manifest.counts == {"trainings": 3}
    assert store.verify(ref) == []


def test_measuring_again_trains_nothing(config: Path) -> None:
    loaded = load_config(config)
    store = Store(loaded.artifacts_dir)
    before = store.versions(schemas.EMBEDDINGS)
    found = measure_noise(loaded, "cbow", 3, PROVENANCE)
    assert store.versions(schemas.NOISE) == [found.artifact]
    assert store.versions(schemas.EMBEDDINGS) == before
    assert found.deviations["wordsim353"] > 0


def test_the_next_plan_is_empty_and_retention_keeps_scores_alone(config: Path) -> None:
    assert run_due(config) == []
    loaded = load_config(config)
    collect(loaded)
    store = Store(loaded.artifacts_dir)
    assert len(store.versions(schemas.NOISE)) == 1
    assert len(store.versions(schemas.EMBEDDINGS)) == 2  # the champions


def test_it_holds_while_settings_and_size_do(config: Path) -> None:
    assert is_measured(decision(config, "training.seed=5"))
    assert not is_measured(decision(config, "models.cbow.window=3", "training.seed=6"))
    more = "\n".join(f"a word or two more about item {n} " * 15 for n in range(600))
    (config.parent / "more.txt").write_text(more, encoding="utf-8")
    grown = "corpora.text.sources.more={type: text, path: more.txt}"
    assert not is_measured(decision(config, grown, "training.seed=7"))
    assert is_measured(decision(config, grown, "training.seed=7", "registry.gate.max_growth=9"))


def test_another_benchmark_has_no_measured_noise(config: Path) -> None:
    simlex = "package:gensim/test/test_data/simlex999.txt"
    overrides = [
        f"evaluation.benchmarks.simlex999={{type: similarity, path: {simlex}}}",
        "registry.gate.benchmarks=[wordsim353, simlex999]",
        "training.seed=8",
    ]
    assert not is_measured(decision(config, *overrides))


def test_the_command_tells_the_deviations(config: Path) -> None:
    done = CliRunner().invoke(
        app, ["noise", "cbow", "--seeds", "3", "--json", "--config", str(config)]
    )
    assert done.exit_code == 0, done.output
    (found,) = json.loads(done.stdout)
    assert (found["model"], found["seeds"]) == ("cbow", 3)
    assert found["deviations"]["wordsim353"] > 0
    shown = CliRunner().invoke(app, ["noise", "cbow", "--seeds", "3", "--config", str(config)])
    assert f"{found['deviations']['wordsim353']:.4f}" in shown.stdout


def test_what_has_no_noise_is_refused(tmp_path: Path) -> None:
    project = HandMade(tmp_path / "project")
    with pytest.raises(ConfigError, match="no seed changes words, since its vectors are imported"):
        measure_noise(project.loaded, "words", 3, PROVENANCE)
    with pytest.raises(ConfigError, match=r"there is no model 'others'; night\.yaml has words"):
        measure_noise(project.loaded, "others", 3, PROVENANCE)
    with pytest.raises(ConfigError, match="1 training cannot show noise: give 2 seeds or more"):
        measure_noise(project.loaded, "words", 1, PROVENANCE)


def test_what_is_made_from_imported_vectors_has_no_noise_either(tmp_path: Path) -> None:
    project = HandMade(tmp_path / "project")
    project.document["models"]["mean"] = {"trainer": "sif", "model": "words"}
    project.document["registry"]["gate"]["mode"] = "warn"
    project.save()
    project.night()
    project.document["models"]["mean"]["components"] = 2
    project.save()
    (found,) = [entry for entry in project.night().decisions if entry["model"] == "mean"]
    assert found["outcome"] == "promoted"
    assert is_measured(found)
    with pytest.raises(ConfigError, match="no seed changes mean, since its vectors are imported"):
        measure_noise(project.loaded, "mean", 3, PROVENANCE)
    done = CliRunner().invoke(app, ["noise", "--config", str(project.path)])
    assert "night.yaml trains no model" in str(done.exception)


def test_before_the_first_night_there_is_nothing_to_train_on(small_config: Path) -> None:
    with pytest.raises(InputError, match="no night of the corpus text is accepted yet"):
        measure_noise(load_config(small_config), "cbow", 3, PROVENANCE)


def test_a_measurement_that_was_interrupted_goes_on(config: Path) -> None:
    loaded = load_config(config, ["models.cbow.window=4"])
    trained: list[str] = []

    def listener(label: str) -> Progress:
        trained.append(label.partition(",")[0])
        if len(trained) == 3:
            raise KeyboardInterrupt
        return SILENT

    with pytest.raises(KeyboardInterrupt):
        measure_noise(loaded, "cbow", 2, PROVENANCE, listener)
    assert trained == ["train cbow", "evaluate cbow", "train cbow"]
    measure_noise(loaded, "cbow", 2, PROVENANCE, listener)
    assert trained[3:] == ["train cbow", "evaluate cbow"]
