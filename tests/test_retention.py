"""What is needed and what goes, on directories whose records and artifacts are made by hand."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from retention_support import disk_bytes, make_project, sentences

from nightjar.core import Action, Night, Nights, NightStatus, Plan
from nightjar.core.nights import StepOutcome, StepRecord
from nightjar.core.using import at_work, claim, night_lease
from nightjar.errors import ArtifactDamaged, LedgerDamaged, StoreError
from nightjar.pipeline import make_plan
from nightjar.pipeline.retention import Collected, ItemKind, collect, plan_collection
from nightjar.promotion import EventKind, Ledger, ServedIndex, VersionRef
from nightjar.promotion.ledger import NewEvent, Writer
from nightjar.stages.train import checkpoint_path
from nightjar.store import BY_HAND, Identity, Staging, Store, acquire_lease, publish, set_aside

NOW = datetime(2026, 6, 1, tzinfo=UTC)


class Directory:
    """An artifact directory whose artifacts are tiny and whose records are written as they come."""

    def __init__(self, base: Path, **config: Any) -> None:
        self.project = make_project(base, **config)
        self.root = self.project.artifacts
        self.store = Store(self.root)

    def publish(
        self,
        stage: str,
        number: int,
        parents: Mapping[str, str] | None = None,
        report: Mapping[str, Any] | None = None,
        n_bytes: int = 1_000,
    ) -> str:
        """An artifact; ``number`` tells it from others of its stage."""

        def write(staging: Staging) -> None:
            staging.add_file("content").write_bytes(bytes([number % 256]) * n_bytes)
            staging.report.update(report or {})

        identity = Identity(stage, "any", {"number": number}, parents or {})
        return publish(self.root, identity, write).version

    def night(
        self,
        steps: Sequence[tuple[str, str]],
        *,
        pipeline: str = "small",
        is_trial: bool = False,
        started_at: datetime = NOW,
        is_ended: bool = True,
        keep: Mapping[str, Any] | None = None,
    ) -> int:
        """The record of a night that planned ``steps``; its number."""
        nights = Nights(self.root / "pipelines" / pipeline)
        number = max(nights.numbers(), default=0) + 1
        records = tuple(
            StepRecord(stage, ("any",), stage, version, "", StepOutcome.PUBLISHED)
            for stage, version in steps
        )
        config = self.project.load().config.model_dump(mode="json")
        config["keep"].update(keep or {})
        night = Night(
            number,
            pipeline,
            started_at.isoformat(),
            "test",
            config,
            "",
            (),
            is_trial,
            {},
            steps=records,
        )
        directory = nights.path(number)
        directory.mkdir(parents=True)
        begun = replace(night, steps=()) if is_ended else night
        (directory / "begin.json").write_text(json.dumps(begun.as_json()))
        if is_ended:
            ended = replace(night, status=NightStatus.COMPLETED, ended_at=night.started_at)
            (directory / "night.json").write_text(json.dumps(ended.as_json()))
        return number

    def event(
        self,
        kind: EventKind,
        subject: str = "words",
        new: str | None = None,
        *,
        pipeline: str = "small",
        night: int | None = None,
        **evidence: Any,
    ) -> None:
        """An event of the ledger; ``new``: a version of embeddings, whose number is its event's."""
        ledger = Ledger(self.root / "pipelines" / pipeline / "ledger")
        number = len(ledger.events()) + 1
        version = None if new is None else VersionRef(number, new, "d" * 64)
        event = NewEvent(kind, subject, "", new=version, evidence=evidence)
        ledger.append(event, Writer("test", night))

    def accept(self, night: int | None, corpus: str = "news", **artifacts: str) -> None:
        found = {stage: {"version": name, "digest": ""} for stage, name in artifacts.items()}
        self.event(
            EventKind.ACCEPTED, corpus, night=night, artifacts=found, n_documents=1, n_tokens=1
        )

    def there(self) -> set[str]:
        return {str(ref) for stage in self.store.stages() for ref in self.store.versions(stage)}

    def collect(self, *overrides: str, now: datetime = NOW) -> Collected:
        return collect(self.project.load(*overrides), now=now)


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    return Directory(tmp_path / "project")


def test_the_newest_night_is_kept_and_what_is_older_goes(directory: Directory) -> None:
    for number in (1, 2, 3):
        version = directory.publish("documents", number)
        directory.night([("documents", version)])
    collected = directory.collect()
    assert directory.there() == {f"documents/{version}"}
    assert [item.kind for item in collected.items] == [ItemKind.ARTIFACT] * 2
    assert directory.collect().items == ()


def test_a_night_that_failed_or_died_is_the_newest_as_well(directory: Directory) -> None:
    old, new = (directory.publish("documents", number) for number in (1, 2))
    directory.night([("documents", old)])
    directory.night([("documents", new), ("tokens", "f" * 12)], is_ended=False)
    directory.collect()
    assert directory.there() == {f"documents/{new}"}


def test_a_night_without_a_plan_is_passed_over(directory: Directory) -> None:
    version = directory.publish("documents", 1)
    directory.night([("documents", version)])
    directory.night([])
    directory.collect()
    assert directory.there() == {f"documents/{version}"}


@pytest.mark.parametrize("n_kept", [1, 2, 3])
def test_accepted_nights_are_kept_with_what_was_counted_of_them(
    directory: Directory, n_kept: int
) -> None:
    nights = []
    for number in (1, 2, 3, 4):
        documents = directory.publish("documents", number)
        tokens = directory.publish("tokens", number, {"documents": documents})
        counts = directory.publish("cooccurrences", number, {"tokens": tokens})
        vectors = directory.publish("embeddings", number, {"tokens": tokens})
        keys = [
            ("documents", documents),
            ("tokens", tokens),
            ("cooccurrences", counts),
            ("embeddings", vectors),
        ]
        night = directory.night(keys)
        directory.accept(night, documents=documents, tokens=tokens)
        nights.append({"/".join(key) for key in keys if key[0] != "embeddings"})
    directory.night([])
    directory.collect(f"keep.accepted_nights={n_kept}")
    newest = {f"embeddings/{vectors}"}
    assert directory.there() == set().union(*nights[-n_kept:], newest)


def test_what_a_night_made_of_a_corpus_that_was_not_accepted_is_not_kept_for_another(
    directory: Directory,
) -> None:
    spoilt, good, newest = (directory.publish("documents", number) for number in (1, 2, 3))
    of_spoilt = directory.publish("tokens", 1, {"documents": spoilt})
    of_good = directory.publish("tokens", 2, {"documents": good})
    counted = directory.publish("cooccurrences", 2, {"tokens": of_good})
    spoilt_counts = directory.publish("cooccurrences", 1, {"tokens": of_spoilt})
    steps = [("documents", spoilt), ("documents", good), ("tokens", of_spoilt)]
    steps += [("tokens", of_good), ("cooccurrences", spoilt_counts), ("cooccurrences", counted)]
    night = directory.night(steps)
    directory.accept(night, documents=good, tokens=of_good)
    directory.night([("documents", newest)])
    directory.collect()
    assert directory.there() == {
        f"documents/{good}",
        f"documents/{newest}",
        f"tokens/{of_good}",
        f"cooccurrences/{counted}",
    }


def test_a_corpus_and_an_entry_that_the_config_has_no_more_keep_nothing(
    directory: Directory,
) -> None:
    documents, vectors, index = (
        directory.publish(stage, 1) for stage in ("documents", "document_vectors", "search_index")
    )
    directory.accept(None, "gone", documents=documents)
    served = {"documents": documents, "document_vectors": vectors, "search_index": index}
    served |= {"model": None, "embeddings": None}
    directory.event(EventKind.PROMOTED, new="e" * 12, serving={"gone": served})
    directory.collect()
    assert directory.there() == set()


def test_what_is_searched_is_kept(directory: Directory) -> None:
    old, new = (
        ServedIndex(*(directory.publish(stage, number) for stage in stages))
        for stages in (("documents", "document_vectors", "search_index"),)
        for number in (1, 2)
    )
    for served in (old, new):
        directory.event(EventKind.PROMOTED, new="e" * 12, serving={"by-words": asdict(served)})
    directory.collect()
    assert directory.there() == {
        f"documents/{new.documents}",
        f"document_vectors/{new.document_vectors}",
        f"search_index/{new.search_index}",
    }


@pytest.mark.parametrize(("n_versions", "n_previous"), [(0, 0), (1, 1), (2, 2)])
def test_vectors_of_champion_reference_pins_waiting_and_rollback_targets_are_kept(
    directory: Directory, n_versions: int, n_previous: int
) -> None:
    reference, *champions = (directory.publish("embeddings", number) for number in range(6))
    pinned, unpinned, waiting, blocked = (
        directory.publish("embeddings", number) for number in range(10, 14)
    )
    first = {"number": 1, "embeddings": reference, "digest": "d" * 64}
    directory.event(EventKind.PROMOTED, new=reference, reference=first)
    for version in champions:
        directory.event(EventKind.PROMOTED, new=version)
    for version in (pinned, unpinned):
        directory.event(EventKind.PINNED, new=version)
    ledger = Ledger(directory.root / "pipelines/small/ledger")
    pin = ledger.events()[-1].new
    ledger.append(NewEvent(EventKind.UNPINNED, "words", "", new=pin), Writer("test"))
    directory.event(EventKind.WAITING, new=waiting)
    directory.event(EventKind.BLOCKED, new=blocked)
    directory.collect(f"keep.rollback_versions={n_versions}")
    kept = {reference, *champions[-1 - n_previous :], pinned, waiting, blocked}
    assert directory.there() == {f"embeddings/{version}" for version in kept}


def test_nothing_of_a_retired_model_is_kept(directory: Directory) -> None:
    champion = directory.publish("embeddings", 1)
    directory.event(EventKind.PROMOTED, "old", new=champion)
    directory.collect()
    assert directory.there() == {f"embeddings/{champion}"}
    directory.event(EventKind.RETIRED, "old")
    directory.collect()
    assert directory.there() == set()


@pytest.mark.parametrize("n_kept", [0, 1, 2])
def test_artifacts_of_trials_are_kept_beside_the_newest_night(
    directory: Directory, n_kept: int
) -> None:
    night = directory.publish("documents", 0)
    directory.night([("documents", night)])
    trials = []
    for number in (1, 2, 3):
        trials.append(directory.publish("documents", number))
        directory.night([("documents", trials[-1])], is_trial=True)
    directory.collect(f"keep.trials={n_kept}")
    kept = trials[3 - n_kept :]
    assert directory.there() == {f"documents/{version}" for version in (night, *kept)}


def test_pieces_are_kept_with_what_is_put_together_from_them(directory: Directory) -> None:
    kept, other = (directory.publish("document_shards", number) for number in (1, 2))
    pieces = {"pieces": {"document_shards": [kept]}}
    documents = directory.publish("documents", 1, report=pieces)
    directory.publish("documents", 2, report={"pieces": {"document_shards": [other]}})
    directory.night([("documents", documents)])
    directory.collect()
    assert directory.there() == {f"documents/{documents}", f"document_shards/{kept}"}


def test_what_an_unknown_stage_made_is_kept_while_its_parents_are(directory: Directory) -> None:
    kept, other = (directory.publish("embeddings", number) for number in (1, 2))
    index = directory.publish("word_index", 1, {"embeddings": kept})
    drawn = directory.publish("drawings", 1, {"word_index": index})
    directory.publish("word_index", 2, {"embeddings": other})
    directory.night([("embeddings", kept)])
    directory.collect()
    assert directory.there() == {
        f"embeddings/{kept}",
        f"word_index/{index}",
        f"drawings/{drawn}",
    }


def test_what_a_person_published_is_never_deleted(directory: Directory) -> None:
    by_hand = directory.publish("embeddings", 1, report={BY_HAND: True})
    index = directory.publish("word_index", 1, {"embeddings": by_hand})
    directory.collect()
    assert directory.there() == {f"embeddings/{by_hand}", f"word_index/{index}"}


def test_scores_and_records_are_kept_for_ever_or_as_long_as_stated(directory: Directory) -> None:
    champion, gone = (directory.publish("embeddings", number) for number in (1, 2))
    of_champion, of_gone = (
        directory.publish("evaluation", number, {"embeddings": version})
        for number, version in enumerate((champion, gone))
    )
    directory.event(EventKind.PROMOTED, new=champion)
    for age in (40, 20, 0):
        directory.night([("documents", "f" * 12)], started_at=datetime.now(UTC) - timedelta(age))
    numbers = Nights(directory.project.load().pipeline_dir).numbers
    directory.collect()
    assert {f"evaluation/{of_champion}", f"evaluation/{of_gone}"} < directory.there()
    assert numbers() == [1, 2, 3]
    directory.collect("keep.records_days=30", now=datetime.now(UTC))
    assert f"evaluation/{of_gone}" in directory.there()
    assert numbers() == [2, 3]
    directory.collect("keep.records_days=30", now=datetime.now(UTC) + timedelta(31))
    assert directory.there() == {f"embeddings/{champion}", f"evaluation/{of_champion}"}
    assert numbers() == [3]


def test_records_of_nights_that_something_is_kept_for_stay(directory: Directory) -> None:
    documents = directory.publish("documents", 1)
    night = directory.night([("documents", documents)])
    directory.accept(night, documents=documents, tokens="f" * 12)
    for _ in range(3):
        directory.night([("documents", "e" * 12)])
    directory.collect("keep.records_days=1", now=NOW + timedelta(400))
    assert Nights(directory.project.load().pipeline_dir).numbers() == [night, 4]


def test_what_records_hold_twice_goes(directory: Directory) -> None:
    for is_ended in (True, True, False):
        number = directory.night([("documents", "f" * 12)], is_ended=is_ended)
        path = Nights(directory.project.load().pipeline_dir).path(number)
        (path / "000001.json").write_text('{"alarm": "any"}')
    directory.collect()
    nights = Nights(directory.project.load().pipeline_dir)
    left = [sorted(path.name for path in nights.path(number).iterdir()) for number in (1, 2, 3)]
    assert left == [["begin.json", "night.json"]] * 2 + [["000001.json", "begin.json"]]


def test_nothing_is_judged_by_a_manifest_that_cannot_be_read(directory: Directory) -> None:
    damaged = {
        f"{stage}/{directory.publish(stage, 1)}"
        for stage in ("embeddings", "evaluation", "word_index")
    }
    unneeded = directory.publish("documents", 1)
    for name in (*damaged, f"documents/{unneeded}"):
        (directory.root / name / "manifest.json").write_text("{")
    directory.collect("keep.records_days=1", now=datetime.now(UTC) + timedelta(9))
    assert directory.there() == damaged


def test_what_a_kept_artifact_is_put_together_from_is_known_or_nothing_is_deleted(
    directory: Directory,
) -> None:
    shard = directory.publish("document_shards", 1)
    documents = directory.publish("documents", 1)
    directory.night([("documents", documents)])
    (directory.root / "documents" / documents / "manifest.json").write_text("{")
    with pytest.raises(ArtifactDamaged):
        directory.collect()
    assert f"document_shards/{shard}" in directory.there()


# -- several pipelines -----------------------------------------------------------------------


def test_every_pipeline_of_the_directory_has_a_say(directory: Directory) -> None:
    first, second, third = (directory.publish("documents", number) for number in (1, 2, 3))
    vectors = [directory.publish("embeddings", number) for number in range(4)]
    for documents in (first, second, third):
        night = directory.night(
            [("documents", documents)], pipeline="other", keep={"accepted_nights": 2}
        )
        directory.event(
            EventKind.ACCEPTED,
            "news",
            pipeline="other",
            night=night,
            artifacts={"documents": {"version": documents, "digest": ""}},
            n_documents=1,
            n_tokens=1,
        )
    for version in vectors:
        directory.event(EventKind.PROMOTED, "theirs", new=version, pipeline="other")
    directory.collect("keep.accepted_nights=1", "keep.rollback_versions=0")
    # The alias may still be where it was before the last event.
    assert directory.there() == {
        *(f"documents/{version}" for version in (second, third)),
        *(f"embeddings/{version}" for version in vectors[-4:]),
    }


def test_a_pipeline_without_nights_keeps_all_that_its_ledger_names(directory: Directory) -> None:
    vectors = [directory.publish("embeddings", number) for number in range(9)]
    for version in vectors:
        directory.event(EventKind.PROMOTED, "theirs", new=version, pipeline="other")
    directory.collect()
    assert directory.there() == {f"embeddings/{version}" for version in vectors}


@pytest.mark.parametrize("damage", ["ledger", "night", "rules"])
def test_nothing_is_deleted_when_a_pipelines_records_cannot_be_read(
    directory: Directory, damage: str
) -> None:
    directory.publish("documents", 1)
    directory.event(EventKind.PROMOTED, "theirs", new="e" * 12, pipeline="other")
    directory.event(EventKind.HELD, "theirs", pipeline="other")
    keep = {"accepted_nights": "many"} if damage == "rules" else {}
    number = directory.night([("documents", "f" * 12)], pipeline="other", keep=keep)
    other = directory.root / "pipelines/other"
    if damage == "ledger":
        (other / "ledger/000001.parquet").unlink()
    elif damage == "night":
        (Nights(other).path(number) / "night.json").write_text("{")
    before = directory.there()
    error = LedgerDamaged if damage == "ledger" else StoreError
    with pytest.raises(error):
        directory.collect()
    with pytest.raises(error):
        plan_collection(directory.project.load())
    assert directory.there() == before


def test_what_a_night_of_another_pipeline_may_go_on_from_stays_while_it_runs(
    directory: Directory,
) -> None:
    old, planned = (directory.publish("embeddings", number) for number in (1, 2))
    shard, documents = directory.publish("document_shards", 1), directory.publish("documents", 1)
    directory.night([("embeddings", planned)], pipeline="other", is_ended=False)
    with acquire_lease(night_lease(directory.root / "pipelines/other"), "a night"):
        collected = directory.collect()
    assert directory.there() == {
        f"embeddings/{planned}",
        f"document_shards/{shard}",
        f"documents/{documents}",
    }
    assert "another pipeline is under way" in collected.notes[0]
    assert [item.name for item in collected.items] == [f"embeddings/{old}"]
    directory.collect()  # that night died: it is its pipeline's newest
    assert directory.there() == {f"embeddings/{planned}"}


def test_what_was_deleted_before_a_night_recorded_its_plan_is_due_again(
    directory: Directory,
) -> None:
    project = directory.project
    project.write_lines(sentences(20, seed=0))
    project.night()
    plan = make_plan(project.load())
    documents = plan.step("documents").ref

    def record(_: Plan) -> None:
        """Meanwhile another pipeline has deleted the documents."""
        shutil.rmtree(documents.path)

    assert plan.due == ()
    claimed = claim(directory.root, plan, record, "test")
    assert [step.label for step in claimed.due] == ["ingest"]
    assert claimed.step("documents").reason == "no longer there"
    assert claimed.step("embeddings").action is Action.REUSE


def test_nothing_is_deleted_while_a_command_is_at_work(directory: Directory) -> None:
    directory.publish("documents", 1)
    with at_work(directory.root / "pipelines/other", "promoting"):
        collected = directory.collect()
    assert collected.items == ()
    assert "a command of other is at work" in collected.notes[0]
    assert len(directory.collect().items) == 1


# -- safe at any moment ----------------------------------------------------------------------


def test_killed_anywhere_a_collection_leaves_whole_artifacts_or_none(directory: Directory) -> None:
    kept = directory.publish("documents", 0)
    directory.night([("documents", kept)])
    for number in range(1, 6):
        directory.publish("documents", number)
        directory.publish("tokens", number)
    script = (
        "import os, shutil, sys\n"
        "from pathlib import Path\n"
        "from nightjar.config import load_config\n"
        "from nightjar.pipeline.retention import collect\n"
        "real, left = shutil.rmtree, [int(sys.argv[2])]\n"
        "def rmtree(path, *args, **kwargs):\n"
        "    if left[0] == 0:\n"
        "        next(Path(path).rglob('content')).unlink()\n"
        "        os._exit(9)\n"
        "    left[0] -= 1\n"
        "    real(path, *args, **kwargs)\n"
        "shutil.rmtree = rmtree\n"
        "collect(load_config(Path(sys.argv[1])))\n"
    )
    for n_deleted in (0, 3):
        command = [sys.executable, "-c", script, str(directory.project.config), str(n_deleted)]
        assert subprocess.run(command, check=False).returncode == 9
        for stage in directory.store.stages():
            for ref in directory.store.versions(stage):
                assert directory.store.verify(ref) == []
    assert len(directory.there()) == 1 + 10 - (0 + 1) - (3 + 1)
    directory.collect()
    assert directory.there() == {f"documents/{kept}"}
    assert sorted(path.name for path in directory.root.rglob("content")) == ["content"]


def test_a_reader_that_has_a_file_open_keeps_its_bytes(directory: Directory) -> None:
    version = directory.publish("documents", 7)
    with (directory.root / "documents" / version / "content").open("rb") as stream:
        directory.collect()
        assert directory.there() == set()
        assert stream.read() == b"\7" * 1_000


def test_the_bytes_that_are_told_are_those_that_are_gone(directory: Directory) -> None:
    kept, gone = (directory.publish("documents", number, n_bytes=50_000) for number in (1, 2))
    directory.night([("documents", kept)])
    shared = directory.root / "documents" / kept / "content"
    linked = directory.root / "documents" / gone / "linked"
    os.link(shared, linked)  # as parts are, which a kept artifact has, too
    loaded = directory.project.load()
    planned = plan_collection(loaded)
    before = disk_bytes(directory.root)
    collected = directory.collect()
    manifest_bytes = collected.n_bytes - 50_000
    assert 0 < manifest_bytes < 2_000
    assert planned.n_bytes == collected.n_bytes
    gone_bytes = before - disk_bytes(directory.root)
    assert abs(gone_bytes - collected.n_bytes) < 500  # the lease
    assert [item.name for item in planned.doomed] == [item.name for item in collected.items]


def test_what_is_left_of_work_given_up_goes(directory: Directory) -> None:
    planned = "a" * 12
    directory.night([("embeddings", planned), ("document_vectors", planned)])
    for version in (planned, "b" * 12):
        path = checkpoint_path(directory.root / "embeddings", version)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half")
        parts = directory.root / "document_vectors" / f".parts-{version}"
        parts.mkdir(parents=True)
        (parts / "0.npz").write_bytes(b"half")
        drawn = directory.root / "explorer" / f"{version}-0123-map"
        drawn.mkdir(parents=True)
        (drawn / "map.npy").write_bytes(b"drawn")
    collected = directory.collect()
    assert {item.name for item in collected.items} == {
        f"explorer/{'b' * 12}-0123-map",
        f"embeddings/.checkpoint-{'b' * 12}.npz",
        f"document_vectors/.parts-{'b' * 12}",
    }
    left = {path.name for path in directory.root.rglob(".[cp]*") if "collector" not in path.name}
    assert left == {f".checkpoint-{planned}.npz", f".parts-{planned}"}


def test_what_was_set_aside_stays_and_is_told(directory: Directory) -> None:
    version = directory.publish("documents", 1)
    aside = set_aside(directory.store.ref("documents", version))
    (note,) = directory.collect().notes
    assert aside.is_dir()
    assert "set aside" in note
    assert "delete them yourself" in note


def test_a_night_whose_collection_fails_is_told_and_does_not_fail(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    project.write_lines(sentences(20, seed=0))
    damaged = project.artifacts / "pipelines/other/ledger/000007.parquet"
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"damaged")
    night = project.night()
    assert night.status is NightStatus.COMPLETED
    (alarm,) = night.alarms
    assert "unneeded artifacts were not deleted" in alarm
    assert str(damaged.parent) in alarm
