"""Collection: finds what is no longer needed, says why, and deletes it.

Both happen under the collector's lease (:mod:`nightjar.core.using`). Registered versions are
deleted before their artifacts, and an artifact's logged run before the artifact, so that after a
kill at any point the next collection finds the rest.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from nightjar.config import LoadedConfig
from nightjar.core import Keep, Nights, Stage, Wanted
from nightjar.core.using import PIPELINES, collecting, commands_at_work
from nightjar.errors import InputError, NightjarError
from nightjar.files.served_pages import PAGE_NAME
from nightjar.pipeline.retention.disk import Disk, bytes_below
from nightjar.pipeline.retention.needs import Key, Survey, by_stage
from nightjar.pipeline.retention.pipelines import LEDGER, RecordedPipeline, age_days, read_pipelines
from nightjar.promotion import Ledger, ledger_directory
from nightjar.registry import (
    LEDGER_TAG,
    RegisteredVersion,
    RegistryPlace,
    bytes_of_version,
    delete_night_pages,
    delete_version,
    experiment_name,
    gc_command,
    registered_name,
)
from nightjar.stages import STAGES
from nightjar.stages.ingest import PurgeList
from nightjar.store import (
    SET_ASIDE_DIR,
    Store,
    delete,
    forget_deleted,
    names,
    remove_abandoned,
)
from nightjar.wording import counted

logger = logging.getLogger(__name__)

_UNNEEDED = "nobody needs it"


class ItemKind(StrEnum):
    """The kinds of things that are kept or deleted."""

    ARTIFACT = "artifact"
    VERSION = "registered version"
    RECORD = "record of a night"
    SURPLUS = "left over"


@dataclass(frozen=True)
class Item:
    """Something on the disk, and why it is kept or deleted."""

    kind: ItemKind
    name: str
    reason: str
    n_bytes: int
    """Bytes that deleting it frees; for something kept, the size of its files."""


@dataclass(frozen=True)
class Collection:
    """What would be deleted, and what would be kept."""

    doomed: tuple[Item, ...]
    kept: tuple[Item, ...]
    notes: tuple[str, ...] = ()
    """Remarks in words."""

    @property
    def n_bytes(self) -> int:
        """Bytes that would be freed."""
        return sum(item.n_bytes for item in self.doomed)

    def as_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {**asdict(self), "bytes": self.n_bytes}


@dataclass(frozen=True)
class Collected:
    """What was deleted."""

    items: tuple[Item, ...]
    notes: tuple[str, ...] = ()
    """Remarks, such as what remains to do on the MLflow server's machine."""

    @property
    def n_bytes(self) -> int:
        """Bytes freed on the disk."""
        return sum(item.n_bytes for item in self.items)

    def as_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {**asdict(self), "bytes": self.n_bytes}


def plan_collection(
    loaded: LoadedConfig, stages: Sequence[type[Stage]] = STAGES, now: datetime | None = None
) -> Collection:
    """Return what :func:`collect` would delete and keep, with reasons and bytes.

    Changes nothing. Raises as :func:`collect` does.
    """
    found = _Collector(loaded, stages, now or datetime.now(UTC))
    return Collection(tuple(found.doomed()), tuple(found.kept()), tuple(found.notes()))


def collect(
    loaded: LoadedConfig, stages: Sequence[type[Stage]] = STAGES, now: datetime | None = None
) -> Collected:
    """Delete what is no longer needed. The caller must hold the pipeline's lease.

    Respects the needs of every pipeline in the directory, but deletes only this pipeline's own
    registered versions. Deletes nothing while a command is at work, and notes that. Raises
    StoreError, including LedgerDamaged, before anything is deleted when a record cannot be read;
    RegistryUnavailable.
    """
    with collecting(loaded.artifacts_dir, f"collecting for {loaded.config.pipeline.name}"):
        busy = commands_at_work(loaded.artifacts_dir)
        if busy:
            note = f"a command of {busy[0]} is at work: nothing is deleted this time"
            return Collected((), notes=(note,))
        return _Collector(loaded, stages, now or datetime.now(UTC)).collect()


def delete_pages(loaded: LoadedConfig) -> None:
    """Delete the pages of all nights, which show words of the corpora; they can be drawn anew."""
    root = loaded.artifacts_dir
    place = RegistryPlace.of(loaded.config.registry, root)
    delete_night_pages(place, Ledger(ledger_directory(loaded)).id)
    for name in names(root / PIPELINES):
        nights = Nights(root / PIPELINES / name)
        for number in nights.numbers():
            delete(nights.path(number) / PAGE_NAME)


@dataclass
class _Collector:
    loaded: LoadedConfig
    stages: Sequence[type[Stage]]
    now: datetime
    warnings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.root = self.loaded.artifacts_dir
        self.store = Store(self.root)
        self.pipelines = read_pipelines(self.loaded)
        self.survey = Survey(self.store, self.pipelines, self.stages, self.now)
        self.place = RegistryPlace.of(self.loaded.config.registry, self.root)

    @property
    def own(self) -> RecordedPipeline:
        return self.pipelines[0]

    # -- reporting -------------------------------------------------------------------------------

    def doomed(self) -> Iterator[Item]:
        disk = Disk()
        for version in self.doomed_versions():
            yield _version_item(version, _UNNEEDED, bytes_of_version(self.place, version))
        for key in self.survey.doomed():
            n_bytes = disk.freed_by([self.directory(key)])
            n_bytes += self.forget(key, is_dry_run=True)
            yield Item(ItemKind.ARTIFACT, "/".join(key), _UNNEEDED, n_bytes)
        for number in self.old_nights():
            n_bytes = disk.freed_by([self.own.nights.path(number)])
            yield _night_item(number, n_bytes)
        twice = self.own.nights.repeated_files()
        if twice:
            yield _repeated_item(disk.freed_by(twice))
        for path in self.surplus():
            yield self.surplus_item(path, disk.freed_by([path]))

    def kept(self) -> Iterator[Item]:
        for key, reason in self.survey.kept():
            n_bytes = bytes_below(self.directory(key))
            yield Item(ItemKind.ARTIFACT, "/".join(key), reason, n_bytes)
        for version, reason in self.versions():
            if reason:
                yield _version_item(version, reason, bytes_of_version(self.place, version))

    def notes(self) -> Iterator[str]:
        aside = self.root / SET_ASIDE_DIR
        if aside.is_dir() and (n_bytes := bytes_below(aside)):
            yield (
                f"{aside} holds {counted(n_bytes, 'byte')} of damaged artifacts that were set "
                f"aside: delete them yourself when you no longer need them"
            )
        if self.survey.others_run:
            yield (
                "a night of another pipeline is under way: the only artifacts deleted this time "
                "are vectors and scores"
            )
        yield from self.warnings
        config = self.loaded.config
        command = gc_command(self.place, experiment_name(config.pipeline, config.registry))
        if command is not None:
            yield f"to free the MLflow server's disk, run this on its machine: {command}"

    # -- deleting --------------------------------------------------------------------------------

    def collect(self) -> Collected:
        """Delete versions first, then artifacts, records and leftovers."""
        if self.forgets_purged_words():  # first: after a kill the vectors are still there to tell
            self.forget_pages()
        gone = [
            *self.collect_versions(),
            *self.collect_artifacts(),
            *self.collect_records(),
            *(self.surplus_item(path, Disk.delete(path)) for path in list(self.surplus())),
        ]
        forget_deleted(self.root)
        if not self.survey.others_run:
            remove_abandoned(self.root)
        collected = Collected(tuple(gone), tuple(self.notes()))
        logger.info(
            "deleted %s, %s", counted(len(gone), "thing"), counted(collected.n_bytes, "byte")
        )
        return collected

    def collect_versions(self) -> Iterator[Item]:
        for version in list(self.doomed_versions()):
            try:
                deletion = delete_version(self.place, version)
            except InputError as error:  # an alias points to it, set by hand
                self.warnings.append(str(error))
                continue
            yield _version_item(version, _UNNEEDED, deletion.n_bytes)

    def collect_artifacts(self) -> Iterator[Item]:
        for key in list(self.survey.doomed()):
            try:
                n_bytes = self.forget(key)
            except NightjarError as error:  # kept until deleting works
                self.warnings.append(f"{'/'.join(key)} is not deleted: {error}")
                continue
            n_bytes += Disk.delete(self.directory(key))
            yield Item(ItemKind.ARTIFACT, "/".join(key), _UNNEEDED, n_bytes)

    def forgets_purged_words(self) -> bool:
        """Whether vectors go that were learnt before documents were purged.

        Nights after the purge compared them with theirs, and their pages may show those words.
        """
        orders = [
            datetime.fromisoformat(order.time)
            for listed in PurgeList.all(self.own.directory).values()
            for order in listed.orders
        ]
        if not orders:
            return False
        learnt = {stage.name for stage in self.stages if stage.keep is Keep.MODEL}
        manifests = (
            self.survey.find_manifest(key) for key in self.survey.doomed() if key[0] in learnt
        )
        return any(
            manifest is not None and datetime.fromisoformat(manifest.created_at) < max(orders)
            for manifest in manifests
        )

    def forget_pages(self) -> None:
        try:
            delete_pages(self.loaded)
        except NightjarError as error:
            self.warnings.append(f"pages of nights that show purged words are not deleted: {error}")

    def forget(self, key: Key, *, is_dry_run: bool = False) -> int:
        """Delete what was logged elsewhere about an artifact; return the bytes freed."""
        stage = next((stage for stage in self.stages if stage.name == key[0]), None)
        manifest = self.survey.find_manifest(key)
        if stage is None or manifest is None:
            return 0
        return stage.forget(self.loaded, manifest, is_dry_run=is_dry_run)

    def collect_records(self) -> Iterator[Item]:
        for number in list(self.old_nights()):
            yield _night_item(number, Disk.delete(self.own.nights.path(number)))
        twice = self.own.nights.repeated_files()
        if twice:
            yield _repeated_item(sum(map(Disk.delete, twice)))

    # -- registered versions ---------------------------------------------------------------------

    def versions(self) -> Iterator[tuple[RegisteredVersion, str]]:
        """Every version that this pipeline registered, with why it is needed; "" if it is not.

        Needed are the versions that the ledger needs, and for vectors that a kept night made the
        newest version with those bytes.
        """
        ledger_id = Ledger(self.own.directory / LEDGER).id
        if ledger_id is None:
            return
        needs = self.survey.needs
        by_name = {
            registered_name(self.own.name, model): numbers
            for model, numbers in needs.own_numbers.items()
        }
        kept_bytes = {
            self.survey.manifest(key).digest: needs.artifacts[key]
            for key in self.survey.own_vectors()
        }
        reader = self.place.reader()
        for name in reader.models_tagged(LEDGER_TAG, ledger_id):
            # Versions without a digest were registered by hand.
            found = [version for version in reader.versions(name) if version.embeddings_digest]
            newest = {version.embeddings_digest: version.version for version in found}
            for version in found:
                reason = by_name.get(name, {}).get(version.version, "")
                if not reason and newest[version.embeddings_digest] == version.version:
                    reason = kept_bytes.get(version.embeddings_digest, "")
                yield version, reason

    def doomed_versions(self) -> Iterator[RegisteredVersion]:
        return (version for version, reason in self.versions() if not reason)

    # -- the rest --------------------------------------------------------------------------------

    def old_nights(self) -> Iterator[int]:
        """Numbers of the nights whose records have expired and are not needed."""
        days = self.own.keep.records_days
        numbers = self.own.nights.numbers()
        for number in numbers[:-1] if days is not None else ():
            is_old = age_days(self.own.nights.started_at(number), self.now) > (days or 0)
            if is_old and number not in self.survey.needs.own_nights:
                yield number

    def surplus(self) -> Iterator[Path]:
        """Leftovers of work that nothing will continue."""
        planned, kept = by_stage(self.survey.needs.planned), by_stage(self.survey.needs.artifacts)
        for stage in self.stages:
            unfinished = set(planned.get(stage.name, ()))
            if not self.survey.others_run:  # a kill after publishing leaves what it went on with
                unfinished -= {ref.version for ref in self.store.versions(stage.name)}
            wanted = Wanted(
                unfinished=unfinished,
                kept=kept.get(stage.name, frozenset()),
                is_quiet=not self.survey.others_run,
            )
            yield from stage.surplus(self.root, wanted)

    def directory(self, key: Key) -> Path:
        return Path(self.store.ref(*key).path)

    def surplus_item(self, path: Path, n_bytes: int) -> Item:
        name = path.relative_to(self.root).as_posix()
        return Item(ItemKind.SURPLUS, name, "nothing continues from it", n_bytes)


def _night_item(number: int, n_bytes: int) -> Item:
    return Item(ItemKind.RECORD, f"night {number}", "older than records are kept", n_bytes)


def _repeated_item(n_bytes: int) -> Item:
    return Item(ItemKind.RECORD, "nights", "duplicates in the records of ended nights", n_bytes)


def _version_item(version: RegisteredVersion, reason: str, n_bytes: int) -> Item:
    return Item(ItemKind.VERSION, f"{version.name} v{version.version}", reason, n_bytes)
