"""The text file for Prometheus, read with Prometheus' own parser."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from asking_support import invoked
from conftest import PROJECT_ROOT
from nights_support import GOOD, POOR, HandMade
from prometheus_client.parser import text_string_to_metric_families

from nightjar.core import Nights, NightStatus
from nightjar.core.nights import StepOutcome, StepRecord
from nightjar.errors import NightjarError
from nightjar.pipeline.alerts.metrics_file import write_metrics
from nightjar.promotion import EventKind

pytestmark = pytest.mark.slow  # the nights that most of it starts from
HOSTILE = 'a"b\\c\nd{e="f"}\u202e\x1b[31m\ud800<script>'
PIPELINE = {"pipeline": "night"}


@pytest.fixture
def project(tmp_path: Path) -> HandMade:
    return HandMade(tmp_path / "project", alerts={"metrics": "out/nightjar.prom"})


def path(project: HandMade) -> Path:
    return project.directory / "out" / "nightjar.prom"


Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def read(project: HandMade) -> Samples:
    """Every sample of the file; each stands there once and has a type and a help text."""
    found: Samples = {}
    for family in text_string_to_metric_families(path(project).read_text(encoding="utf-8")):
        assert family.type == "gauge", family
        assert family.documentation.endswith("."), family
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found
            assert sample.labels["pipeline"] == "night"
            assert sample.name.startswith("nightjar_")
            found[key] = sample.value
    return found


def value(found: Samples, name: str, **labels: str) -> float | None:
    return found.get((f"nightjar_{name}", frozenset({**PIPELINE, **labels}.items())))


def test_a_night_is_written_with_its_scores_times_and_sizes(project: HandMade) -> None:
    started = time.time()
    night = project.night()
    found = read(project)
    success = value(found, "night_last_success_timestamp_seconds")
    assert success is not None
    assert started - 1 < success < time.time() + 1
    assert success == value(found, "night_ended_timestamp_seconds")
    assert value(found, "night_number") == 1
    assert value(found, "night_alarms") == 0
    assert value(found, "night_duration_seconds") == night.seconds
    assert value(found, "night_status", status="completed") == 1
    assert value(found, "night_status", status="failed") == 0
    assert value(found, "corpus_documents", corpus="text") == 100
    assert value(found, "corpus_tokens", corpus="text") == 300
    assert value(found, "corpus_vocabulary_words", corpus="text") == 140
    assert value(found, "corpus_accepted", corpus="text") == 1
    assert value(found, "model_vocabulary_words", model="words") == 40
    for role in ("candidate", "champion"):
        score = value(found, "model_score", model="words", benchmark="pairs", role=role)
        assert score == pytest.approx(1.0)
    assert value(found, "model_decision", model="words", outcome="promoted") == 1
    assert value(found, "model_decision", model="words", outcome="blocked") == 0
    assert value(found, "champion_version", model="words") == 1
    since = value(found, "champion_since_timestamp_seconds", model="words")
    (promotion,) = [event for event in project.events if event.kind is EventKind.PROMOTED]
    assert since == promotion.time.timestamp()
    assert value(found, "model_held", model="words") == 0
    assert value(found, "alerts_undelivered") == 0
    sizes = {
        dict(labels)["folder"]: n for (name, labels), n in found.items() if "artifacts" in name
    }
    folder = project.loaded.artifacts_dir / "embeddings"
    n_bytes = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    assert sizes["embeddings"] == n_bytes
    steps = {dict(labels)["step"]: n for (name, labels), n in found.items() if "step_s" in name}
    assert {step.label for step in night.steps if step.was_run} == set(steps)
    assert sum(steps.values()) == pytest.approx(sum(step.seconds for step in night.steps))


def test_candidate_and_champion_differ_after_a_block(project: HandMade) -> None:
    project.night()
    since = value(read(project), "champion_since_timestamp_seconds", model="words")
    project.write_vectors(POOR)
    project.night()
    found = read(project)
    scores = {
        role: value(found, "model_score", model="words", benchmark="pairs", role=role)
        for role in ("candidate", "champion")
    }
    assert scores["champion"] == pytest.approx(1.0)
    assert scores["candidate"] is not None
    assert scores["candidate"] < 0
    assert value(found, "model_mean_score", model="words", role="reference") == pytest.approx(1.0)
    assert value(found, "model_decision", model="words", outcome="blocked") == 1
    assert value(found, "champion_version", model="words") == 1
    assert value(found, "champion_since_timestamp_seconds", model="words") == since


def test_a_failed_night_leaves_the_last_success_and_a_trial_leaves_the_file(
    project: HandMade,
) -> None:
    project.night()
    success = value(read(project), "night_last_success_timestamp_seconds")
    (project.directory / "vectors.txt").write_text("no vectors\n", encoding="utf-8")
    with pytest.raises(NightjarError):
        project.night()
    found = read(project)
    assert value(found, "night_last_success_timestamp_seconds") == success
    assert value(found, "night_number") == 2
    assert value(found, "night_status", status="failed") == 1
    assert value(found, "model_decision", model="words", outcome="promoted") is None
    assert value(found, "champion_version", model="words") == 1
    before = path(project).read_bytes()
    project.write_vectors(GOOD)
    project.night("evaluation.bootstrap_samples=101")
    assert path(project).read_bytes() == before


def test_a_file_that_cannot_be_written_fails_no_night(
    project: HandMade, caplog: pytest.LogCaptureFixture
) -> None:
    (project.directory / "out").write_text("in the way", encoding="utf-8")
    assert project.night().status is NightStatus.COMPLETED
    assert "alerts.metrics: out/nightjar.prom cannot be written (File exists)" in caplog.text


def test_readers_see_the_old_file_or_the_new_one(
    project: HandMade, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.night()
    before = path(project).read_bytes()

    def broken(*arguments: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("prometheus_client.exposition.generate_latest", broken)
    with pytest.raises(NightjarError, match="No space left"):
        write_metrics(project.loaded)
    assert path(project).read_bytes() == before
    assert [file.name for file in path(project).parent.iterdir()] == ["nightjar.prom"]


def test_hostile_names_and_drift_are_written_so_that_prometheus_reads_them(
    project: HandMade, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = project.night()
    steps = tuple(
        StepRecord("evaluation", (), HOSTILE, "v", "", StepOutcome.PUBLISHED, None, seconds, memory)
        for seconds, memory in ((1.5, 100), (2.0, 300))
    )
    decided: dict[str, Any] = {
        **night.decisions[0],
        "drift": {"lost": 0.25, "is_alarm": True, "artifact": "drift/x"},
    }
    hostile = replace(
        night,
        steps=steps,
        decisions=(decided,),
        accepted={HOSTILE: {"is_accepted": False, "documents": 3, "tokens": 9}},
    )
    monkeypatch.setattr(Nights, "newest_first", lambda self: iter([hostile]))
    write_metrics(project.loaded)
    assert "\x1b" not in path(project).read_text(encoding="utf-8")
    found = read(project)
    shown = 'a"b\\c\\nd{e="f"}\\u202e\\x1b[31m\\ud800<script>'
    assert value(found, "step_seconds", stage="evaluation", step=shown) == 3.5
    assert value(found, "step_memory_bytes", stage="evaluation", step=shown) == 300
    assert value(found, "corpus_documents", corpus=shown) == 3
    assert value(found, "corpus_accepted", corpus=shown) == 0
    assert value(found, "drift_lost_neighbors_ratio", model="words") == 0.25
    assert value(found, "drift_alarm", model="words") == 1


def test_drift_without_a_noise_measurement_has_no_sample(
    project: HandMade, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = project.night()
    decided = {**night.decisions[0], "drift": {"lost": None, "is_alarm": False}}
    other = replace(night, decisions=(decided,))
    monkeypatch.setattr(Nights, "newest_first", lambda self: iter([other]))
    write_metrics(project.loaded)
    found = read(project)
    assert value(found, "drift_lost_neighbors_ratio", model="words") is None
    assert value(found, "drift_alarm", model="words") == 0


def test_the_page_names_every_metric(project: HandMade) -> None:
    project.night()
    page = (PROJECT_ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
    names = {name for name, _ in read(project)} | {
        f"nightjar_{name}" for name in ("drift_lost_neighbors_ratio", "drift_alarm")
    }
    assert sorted(name for name in names if f"`{name}`" not in page) == []


def test_commands_that_write_no_metrics_do_not_need_the_library(project: HandMade) -> None:
    """`nightjar check` stays quick."""
    code = (
        "import sys, nightjar.cli.main\n"
        "assert not {'prometheus_client', 'httpx'} & set(sys.modules), 'slow'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    assert invoked(project.path, "check").exit_code == 1
