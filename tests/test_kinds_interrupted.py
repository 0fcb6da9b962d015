"""Nights of a graph and of events that are killed, two at once, or undone; what comes next."""

from __future__ import annotations

import json
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from fork_support import FORKED
from kinds_support import N_NODES, N_USERS, KindsProject
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


def grow(project: KindsProject) -> None:
    project.write_edges("known2.edges", range(20, 60))
    project.write_events("clicks2.csv", range(N_USERS, N_USERS + 30))


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
LATER_KILLS = [
    ("publish row_shards", "before"),
    ("publish tokens", "after"),
    ("publish events", "after"),
    ("publish drift", "before"),
    ("nightjar.registry.writers:SqliteWriter.point", "after"),
]


class Killed:
    """A project whose nights are killed, one after the other, and one that nobody disturbs."""

    def __init__(self, directory: Path) -> None:
        self.project, self.undisturbed = made(directory / "killed"), made(directory / "undisturbed")
        self.said = directory / "said"

    def both(self, kills: list[tuple[str, str]]) -> None:
        """An undisturbed night, a night for each kill, and one that ends."""
        undisturbed = str(self.undisturbed.path), str(self.said)
        assert FORKED.run("victims_support:night", *undisturbed, is_forked=False) == 0
        before = inodes(self.project)
        for place, moment in kills:
            arguments = str(self.project.path), str(self.said), place, moment
            code = FORKED.run("victims_support:night", *arguments)
            assert code == -signal.SIGKILL, (place, moment)
            now = inodes(self.project)
            assert before.items() <= now.items(), "made again"
            before = now
            assert lookups.verify(self.project.loaded, None, False).problems == (), place
        last_try = str(self.project.path), str(self.said)
        assert FORKED.run("victims_support:night", *last_try) == 0
        last = Nights(self.project.loaded.pipeline_dir).last()
        assert last is not None
        assert last.alarms == ()
        check_same(self.project, self.undisturbed)
        assert self.project.due() == []


def test_nights_that_are_killed_a_little_later_every_time(tmp_path: Path) -> None:
    killed = Killed(tmp_path)
    killed.both(KILLS)
    for project in (killed.project, killed.undisturbed):
        grow(project)
    killed.both(LATER_KILLS)
    nights = Nights(killed.project.loaded.pipeline_dir).all()
    early = [night for night in nights if night.status is NightStatus.ENDED_EARLY]
    assert len(early) == len(KILLS) - 1 + len(LATER_KILLS)  # the first had not begun
    check_nothing_twice(killed.project)
