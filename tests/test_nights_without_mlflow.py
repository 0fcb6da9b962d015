"""Nights whose MLflow server goes away, for good or for a while, at any request."""

from __future__ import annotations

import re
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from mlflow_server_support import Fate, Proxy, Server, new_server, proxied, shared_server
from nights_support import GOOD, HandMade, outcome

from nightjar.core import Night, Nights, NightStatus
from nightjar.errors import RegistryUnavailable
from nightjar.pipeline import night as nights
from nightjar.pipeline import read_outcomes
from nightjar.registry import check_files_whole, client
from nightjar.store import fingerprint
from nightjar.store.schemas import DRIFT

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@dataclass
class Project:
    """A pipeline whose registry is behind a proxy, with new vectors for every night."""

    made: HandMade
    proxy: Proxy
    n_nights: int = 0

    @property
    def name(self) -> str:
        """The registered model."""
        return f"{self.experiment}-words"

    @property
    def experiment(self) -> str:
        """The pipeline, after which MLflow's experiment is called."""
        return str(self.made.document["pipeline"]["name"])

    def new_vectors(self) -> None:
        self.n_nights += 1
        self.made.write_vectors(GOOD, seed=self.n_nights)

    def last_version(self) -> int:
        """The newest version: retention deletes older ones."""
        return self.made.place.reader().versions(self.name)[-1].version

    @property
    def last_night(self) -> Night:
        return next(Nights(self.made.loaded.pipeline_dir).newest_first())

    def check_is_whole(self, number: int) -> None:
        """Everything says that version ``number`` is champion, and why."""
        place = self.made.place
        reader = place.reader()
        assert self.made.champion == number
        assert reader.aliases(self.name) == {"champion": number}
        last_move = self.made.standing.model("words").last_move
        assert last_move is not None
        assert reader.model_tags(self.name)["nightjar.ledger_event"] == str(last_move.number)
        version = reader.version(self.name, number)
        assert version is not None
        assert check_files_whole(place, version) == []
        assert version.tags["nightjar.gate"] == "promoted"
        assert version.tags["nightjar.gate_key"] == last_move.decision_key
        said = self.client.get_model_version(self.name, str(number)).description
        assert said.count("Gate: promoted in night") == 1
        numbers = [event.number for event in self.made.events]
        assert numbers == list(range(1, len(numbers) + 1))

    @property
    def client(self) -> Any:
        return client.connect(self.proxy.uri)


@contextmanager
def project_on(server: Server, directory: Path, name: str) -> Iterator[Project]:
    """A project whose first night is over, behind a proxy of its own."""
    with proxied(server.uri) as proxy:
        made = HandMade(directory, pipeline={"name": name})
        made.document["registry"]["tracking_uri"] = proxy.uri
        made.save()
        project = Project(made, proxy)
        project.new_vectors()
        made.night()
        yield project


@pytest.fixture(scope="module")
def shared_project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    directory = tmp_path_factory.mktemp("project")
    name = f"remote-{fingerprint(str(directory))}"  # other workers use the same server
    with project_on(shared_server(tmp_path_factory), directory, name) as project:
        yield project


@pytest.fixture
def project(shared_project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """With a champion, and new vectors for tonight. Nothing waits between two attempts."""
    monkeypatch.setattr(client, "_PAUSES", (0.0,) * len(client._PAUSES))
    monkeypatch.setattr(nights, "RETRY_PAUSES", (0.0,) * len(nights.RETRY_PAUSES))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_JITTER", "0")
    shared_project.proxy.fate = lambda _request: Fate.PASSED
    shared_project.new_vectors()
    return shared_project


@dataclass
class Outage:
    """The server goes away at the n-th request of a kind, and does not come back."""

    pattern: str
    n: int
    fate: Fate
    n_seen: int = 0
    refused: list[str] = field(default_factory=list)

    def __call__(self, request: str) -> Fate:
        if self.refused:
            self.refused.append(request)
            return Fate.REFUSED
        self.n_seen += re.search(self.pattern, request) is not None
        if self.n_seen < self.n:
            return Fate.PASSED
        self.refused.append(request)
        return self.fate


WEEK = [
    ("GET /health", 1, Fate.REFUSED),
    ("registered-models/create", 1, Fate.LOST),
    ("runs/create", 1, Fate.LOST),
    ("runs/log-inputs", 1, Fate.REFUSED),
    ("POST .*/logged-models", 1, Fate.LOST),
    (r"PUT .*vectors\.npy", 1, Fate.LOST),
    (r"GET .*vectors\.npy", 1, Fate.REFUSED),
    (r"PUT .*files\.json", 1, Fate.LOST),
    ("model-versions/create", 1, Fate.LOST),
    ("GET .*artifacts", 1, Fate.REFUSED),
    ("registered-models/alias", 1, Fate.REFUSED),
    ("registered-models/alias", 1, Fate.LOST),
]
"""Each outage comes later than the one before in what is left to do."""


def test_a_week_in_which_mlflow_goes_away_later_every_night_trains_and_registers_once(
    project: Project,
) -> None:
    before, n_events = project.last_version(), len(project.made.events)
    for night, (pattern, n, fate) in enumerate(WEEK):
        project.proxy.fate = outage = Outage(pattern, n, fate)
        message = "MLflow at .* cannot be used: .*check that the server runs"
        with pytest.raises(RegistryUnavailable, match=message):
            project.made.night()
        assert outage.refused, pattern
        failed = project.last_night
        assert failed.status is NightStatus.FAILED
        trained = [step.label for step in failed.steps if step.was_run and step.stage != DRIFT]
        assert trained == (["import words", "evaluate words"] if night == 0 else []), pattern
        project.proxy.fate = lambda _request: Fate.PASSED
        assert project.made.due() == []
    night_after = project.made.night()
    assert night_after.alarms == ()
    assert not [step.label for step in night_after.steps if step.was_run]
    assert project.last_version() == before + 1
    project.check_is_whole(before + 1)
    assert [event.kind for event in project.made.events[n_events:]] == ["promoted"]
    # What the attempts left is deleted.
    experiment = project.client.get_experiment_by_name(project.experiment).experiment_id
    models = project.client.search_logged_models([experiment])
    versions = project.made.place.reader().versions(project.name)
    assert {model.model_id for model in models} == {version.model_id for version in versions}


def test_a_promotion_that_cannot_be_shown_in_mlflow_is_one_and_is_shown_by_the_next_night(
    project: Project,
) -> None:
    project.proxy.fate = Outage("model-versions/set-tag", 3, Fate.LOST)
    night = project.made.night()
    assert night.status is NightStatus.COMPLETED
    assert outcome(night) == "promoted"
    shown, collected, reported = night.alarms
    assert reported.startswith("the night's report is not finished: MLflow at ")
    assert f"'nightjar nights report {night.number} --again' makes it" in reported
    assert collected.startswith("unneeded artifacts were not deleted: MLflow at ")
    (found,) = read_outcomes(project.made.loaded, night)  # though nobody answers yet
    assert f"version {found.champion} is in the ledger, but MLflow does not show all" in shown
    assert found.champion == found.registry_version

    project.proxy.fate = lambda _request: Fate.PASSED
    night = project.made.night()
    assert (night.status, night.alarms) == (NightStatus.NOTHING_TO_DO, ())
    assert found.champion is not None
    project.check_is_whole(found.champion)


class RefusesEachTwice:
    """Refuses each request twice, and passes it on when it comes the third time."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    def __call__(self, request: str) -> Fate:
        self.seen[request] += 1
        return Fate.PASSED if self.seen[request] % 3 == 0 else Fate.REFUSED


def test_a_night_goes_on_when_mlflow_is_away_for_a_moment_at_every_request(
    project: Project,
) -> None:
    before = project.last_version()
    project.proxy.fate = fate = RefusesEachTwice()
    night = project.made.night()
    project.proxy.fate = lambda _request: Fate.PASSED
    assert (night.status, night.alarms) == (NightStatus.COMPLETED, ())
    assert fate.seen.total() > 300
    assert project.last_version() == before + 1
    project.check_is_whole(before + 1)
    experiment = project.client.get_experiment_by_name(project.experiment).experiment_id
    runs = project.client.search_runs([experiment], "tags.`nightjar.model` = 'words'")
    assert "RUNNING" not in {run.info.status for run in runs}


def test_a_night_goes_on_when_the_first_answer_to_every_write_is_lost(project: Project) -> None:
    before = project.last_version()
    asked: set[str] = set()

    def loses(request: str) -> Fate:
        is_new = request not in asked and not request.startswith("GET")
        asked.add(request)
        return Fate.LOST if is_new else Fate.PASSED

    project.proxy.fate = loses
    night = project.made.night()
    project.proxy.fate = lambda _request: Fate.PASSED
    assert (night.status, night.alarms) == (NightStatus.COMPLETED, ())
    assert len(asked) > 60
    assert project.last_version() == before + 1
    project.check_is_whole(before + 1)


def test_a_night_goes_on_when_mlflow_is_killed_in_the_middle_and_started_again(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    server = new_server(tmp_path_factory.mktemp("server"), tmp_path_factory)
    restarts: list[threading.Thread] = []

    def kills(request: str) -> Fate:
        if request.endswith("/runs/log-inputs") and not restarts:
            server.stop(signal.SIGKILL)
            restarts.append(threading.Thread(target=server.start))
            restarts[0].start()
        return Fate.PASSED

    with project_on(server, tmp_path_factory.mktemp("project"), "remote") as project:
        project.new_vectors()
        project.proxy.fate = kills
        night = project.made.night()
        restarts[0].join(60)
        assert (night.status, night.alarms) == (NightStatus.COMPLETED, ())
        assert project.last_version() == 2
        project.check_is_whole(2)
    server.stop()
