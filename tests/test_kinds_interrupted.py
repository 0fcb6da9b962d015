"""Nights of a graph and of events that are killed, two at once, or undone; what comes next."""

from __future__ import annotations

import copy
import signal
from pathlib import Path
from typing import Any

import pytest
from fork_support import FORKED
from kinds_support import N_USERS, KindsProject
from nights_support import HandMade
from victims_support import strike_at

from nightjar.cli import lookups
from nightjar.core import Night, Nights, NightStatus
from nightjar.errors import LeaseTaken
from nightjar.promotion import read_standing
from nightjar.registry import RegistryPlace
from nightjar.store import Artifact, Store

PRONE = {"trainer": "prone", "corpus": "people", "vector_size": 8}
TIMED = ("epoch_seconds", "words_per_second", "resumed", "run_id")


def made(directory: Path) -> KindsProject:
    project = KindsProject(directory, spectral=PRONE)
    project.document["training"]["checkpoint_minutes"] = 1e-9
    project.save()
    return project


def artifacts(project: KindsProject) -> dict[tuple[str, str], Artifact]:
    store = Store(project.loaded.artifacts_dir)
    found = {}
    for manifest in sorted(project.loaded.artifacts_dir.glob("*/[!.]*/manifest.json")):
        stage, version = manifest.parts[-3:-1]
        found[stage, version] = store.open(store.ref(stage, version))
    return found


def content(artifact: Artifact) -> Any:
    """Everything in an artifact but how long it took."""
    manifest = artifact.manifest
    hashes = {entry.name: entry.sha256 for entry in manifest.files}
    if "scores.parquet" in hashes:  # with a column of seconds
        hashes["scores.parquet"] = repr(artifact.read("scores").drop("seconds").to_pydict())
    report = {key: value for key, value in manifest.report.items() if key not in TIMED}
    return hashes, manifest.counts, report


def inodes(project: KindsProject) -> dict[str, int]:
    """Of each artifact: another one if it was made again."""
    found = project.loaded.artifacts_dir.glob("*/[!.]*/manifest.json")
    return {str(path.parent): path.stat().st_ino for path in found}


def check_same(project: KindsProject, undisturbed: KindsProject) -> None:
    """The same artifacts, versions and champions as where nothing happened; nothing else."""
    one, other = artifacts(project), artifacts(undisturbed)
    assert {key: content(found) for key, found in one.items()} == {
        key: content(found) for key, found in other.items()
    }
    assert lookups.verify(project.loaded, None, True).problems == ()
    states = []
    for found in (project, undisturbed):
        place = RegistryPlace.of(found.loaded.config.registry, found.loaded.artifacts_dir)
        reader = place.reader()
        standing = read_standing(found.loaded)
        states.append(
            {
                model: (
                    [one.version for one in reader.versions(f"kinds-{model}")],
                    reader.aliases(f"kinds-{model}"),
                    standing.model(model).champion,
                )
                for model in found.loaded.config.models
            }
        )
    assert states[0] == states[1]
    left = [path for path in project.loaded.artifacts_dir.rglob(".*") if "lease" not in path.name]
    assert {path.name for path in left} <= {".read-whole"}


def check_nothing_twice(project: KindsProject) -> None:
    """No step that one night finished was done by another."""
    nights = Nights(project.loaded.pipeline_dir).all()
    done = [(step.label, step.version) for night in nights for step in night.steps if step.was_run]
    assert sorted(set(done)) == sorted(done)


WALKS = "nightjar.stages.graph.walks_writing:_write_vocabulary"
CHECKPOINT = "nightjar.stages.train.checkpoints:Checkpoints.save"
FACTORS = "nightjar.stages.train.prone:propagated"
KILLS = [
    ("nightjar.store.local_disk:_link_unless_there", "before"),  # of the night's own record
    ("publish row_shards", "after"),  # of the first of two
    ("publish graph", "before"),
    (WALKS, "before"),  # they are drawn, and not yet written as ranks
    ("publish tokens", "before"),
    ("publish corpus_report", "before"),
    ("publish events", "before"),
    ("publish tokens", "before"),
    ("publish corpus_report", "after"),
    (CHECKPOINT, "after"),
    ("publish embeddings", "after"),
    ("publish evaluation", "before"),
    ("publish embeddings", "before"),
    (FACTORS, "before"),
    ("publish evaluation", "after"),
    ("nightjar.registry.registration:_Registrar._create_version", "before"),
    ("nightjar.promotion.ledger:Ledger.append", "after"),
    ("nightjar.pipeline.night:report_night", "before"),
]
"""Each comes later than the one before in what is left to do."""


def end(project: Path, said: Path, place: str = "", moment: str = "") -> int:
    """How a night in a process of its own ends."""
    return FORKED.run("victims_support:night", str(project), str(said), place, moment)


def test_nights_that_are_killed_a_little_later_every_time(tmp_path: Path) -> None:
    undisturbed, project = made(tmp_path / "undisturbed"), made(tmp_path / "killed")
    said = tmp_path / "said"
    FORKED.run("victims_support:night", str(undisturbed.path), str(said), is_forked=False)
    before: dict[str, int] = {}
    for place, moment in KILLS:
        assert end(project.path, said, place, moment) == -signal.SIGKILL, (place, moment)
        now = inodes(project)
        assert before.items() <= now.items(), "made again"
        before = now
        assert lookups.verify(project.loaded, None, False).problems == (), place
    assert end(project.path, said) == 0
    check_same(project, undisturbed)
    check_nothing_twice(project)
    assert project.due() == []
    nights = Nights(project.loaded.pipeline_dir).all()
    assert [night.alarms for night in nights] == [()] * len(nights)
    early = [night for night in nights if night.status is NightStatus.ENDED_EARLY]
    assert len(early) == len(KILLS) - 1  # the first had not begun
    assert len(nights) == len(KILLS)


# -- two at once, a config that is undone, retention ---------------------------------------------


@pytest.fixture
def source(tmp_path: Path) -> KindsProject:
    """Writes the rows."""
    return KindsProject(tmp_path)


@pytest.fixture
def corpora(source: KindsProject) -> HandMade:
    """The graph and the events, and a model that nobody has to train."""
    return with_ready_vectors(source.directory, source.document["corpora"])


def with_ready_vectors(directory: Path, corpora: dict[str, Any]) -> HandMade:
    made = HandMade(directory)
    made.document["models"]["words"]["corpus"] = "text"
    made.document["corpora"] |= corpora
    made.save()
    return made


def ran(night: Night) -> list[str]:
    return [step.label for step in night.steps if step.was_run]


def test_a_second_run_is_refused_and_another_pipeline_may_publish_the_same_first(
    corpora: HandMade, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both read the same corpora into one directory. The first has made the walks already."""
    copied = copy.deepcopy(corpora.document["corpora"])
    for corpus in copied.values():
        for found in corpus["sources"].values():
            found["path"] = str(corpora.directory / found["path"])
    other = with_ready_vectors(corpora.directory / "other", copied)
    artifacts_dir = str(corpora.loaded.artifacts_dir)
    other.document["pipeline"] = {"name": "other", "artifacts_dir": artifacts_dir}
    other.save()
    between: list[Night] = []

    def strike() -> None:
        monkeypatch.undo()
        with pytest.raises(LeaseTaken, match="the test"):
            corpora.night()
        between.append(other.night())

    strike_at("publish events", "before", strike, monkeypatch.setattr)
    night = corpora.night()
    assert [found.status for found in (*between, night)] == [NightStatus.COMPLETED] * 2
    assert night.alarms == between[0].alarms == ()
    for found in (corpora, other):
        assert found.due() == []
        assert lookups.verify(found.loaded, None, True).problems == ()
    assert n_artifacts(corpora) == {"graph": 1, "events": 1, "tokens": 3, "corpus_report": 3}


def n_artifacts(project: HandMade) -> dict[str, int]:
    store = Store(project.loaded.artifacts_dir)
    stages = "graph", "events", "tokens", "corpus_report"
    return {stage: len(list(store.versions(stage))) for stage in stages}


OF_PEOPLE = ["read graph people", "walk people", "report people"]
OF_CLICKS = ["read events clicks", "sessionize clicks", "report clicks"]


def test_settings_that_are_undone_and_nights_that_grow_keep_what_is_needed(
    source: KindsProject, corpora: HandMade, tmp_path: Path
) -> None:
    corpora.night()
    rows = set(Store(corpora.loaded.artifacts_dir).versions("row_shards"))
    people, clicks = (corpora.document["corpora"][name] for name in ("people", "clicks"))
    people["walks"]["p"], clicks["sessions"] = 0.25, {"gap_minutes": 2}
    corpora.save()
    assert ran(corpora.night()) == OF_PEOPLE[1:] + OF_CLICKS
    del people["walks"]["p"], clicks["sessions"]
    corpora.save()
    assert corpora.due() == []
    assert ran(corpora.night()) == []
    for number, place in enumerate(("publish graph", "publish tokens", "publish events")):
        source.write_edges("known2.edges", range(20, 44 + 4 * number))
        source.write_events("clicks2.csv", range(N_USERS, N_USERS + 10 + 5 * number))
        assert end(corpora.path, tmp_path / "said", place, "after") == -signal.SIGKILL
        assert set(ran(corpora.night())) < set(OF_PEOPLE + OF_CLICKS)
    kept = n_artifacts(corpora)  # of two nights; those of the text are the same in both
    assert kept == {"graph": 2, "events": 2, "tokens": 5, "corpus_report": 5}
    assert rows & set(Store(corpora.loaded.artifacts_dir).versions("row_shards"))
    assert lookups.verify(corpora.loaded, None, True).problems == ()
    assert corpora.night().status is NightStatus.NOTHING_TO_DO
