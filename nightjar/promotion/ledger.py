"""The ledger: an append-only list of events, one Parquet file for each.

``000017.parquet`` is event 17. A writer takes a number by creating its file, which only one
writer can do (:func:`nightjar.store.put_new`). From time to time older events are compacted:
``000001-000112.parquet`` holds events 1 to 112, and the files that it replaces are removed
afterwards, so readers accept both at once. Each row carries the sha256 of its content.

The first write creates the ledger's random id in the file ``id``: a registered model names the
ledger that owns it.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import re
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from nightjar.config import LoadedConfig
from nightjar.errors import LeaseTaken, LedgerBusy, LedgerDamaged
from nightjar.promotion.events import Event, EventKind, VersionRef
from nightjar.store import acquire_lease, names, only_writes, put_new, schemas

logger = logging.getLogger(__name__)

_PIPELINES = "pipelines"
_LEDGER = "ledger"
_ID = "id"
_LOCK = "lock"
_FILE = re.compile(r"(?P<first>\d{6,})(?:-(?P<last>\d{6,}))?\.parquet")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_LOOSE = 64
"""The number of single-event files beyond which older events are compacted."""
_KEEP_LOOSE = 16
"""The newest files stay, so that a delayed writer still finds its number taken."""
_PATIENCE_SECONDS = 60.0
_PAUSE_SECONDS = 0.05
_UNREADABLE = (OSError, pa.ArrowException, ValueError, KeyError, TypeError)


@dataclass(frozen=True)
class NewEvent:
    """An event that has no number yet."""

    kind: EventKind
    subject: str
    reason: str
    old: VersionRef | None = None
    new: VersionRef | None = None
    decision_key: str | None = None
    evidence: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Writer:
    """The night or person on whose behalf events are written."""

    actor: str
    night: int | None = None
    """None for a command."""


@dataclass(frozen=True)
class _LedgerFile:
    """A file of the ledger: the events ``first`` to ``last``."""

    name: str
    first: int
    last: int

    @classmethod
    def of(cls, name: str) -> _LedgerFile | None:
        match = _FILE.fullmatch(name)
        if match is None:
            return None
        first = int(match["first"])
        return cls(name, first, int(match["last"] or first))

    @property
    def is_compacted(self) -> bool:
        return "-" in self.name


def ledger_directory(loaded: LoadedConfig) -> Path:
    """The directory of a pipeline's ledger, which need not exist."""
    return loaded.artifacts_dir / _PIPELINES / loaded.config.pipeline.name / _LEDGER


class Ledger:
    """The events in ``directory``; none while it does not exist.

    Reading writes nothing and reads each file once. Only one process may write at a time:
    within :meth:`writing`.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._known: dict[str, tuple[Event, ...]] = {}
        """Cached events by file: a file never changes."""

    @property
    def id(self) -> str | None:
        """The ledger's id; None before the first write."""
        try:
            return (self.directory / _ID).read_text(encoding="ascii").strip() or None
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise self._damaged(f"its file {_ID} cannot be read ({error})") from error

    def make_id(self) -> str:
        """Return the ledger's id, which is made if missing. Raises StoreNotWritable."""
        found = self.id
        if found is None:
            put_new(self.directory / _ID, f"{secrets.token_hex(16)}\n".encode())
            found = self.id
        if found is None:
            raise self._damaged(f"its file {_ID} is empty")
        return found

    def events(self) -> tuple[Event, ...]:
        """Every event, oldest first. Raises LedgerDamaged when one is missing or unreadable."""
        for _ in range(3):  # a file may be compacted away between listing and reading
            files = self._files()
            with suppress(FileNotFoundError):
                return tuple(self._read(files))
        raise self._damaged("its files come and go while they are read")

    def append(self, event: NewEvent, writer: Writer) -> Event:
        """Write the event under the next number. Call within :meth:`writing`.

        Raises LedgerDamaged when another writer took the number, since only one may write.
        """
        self.make_id()
        known = self._files()
        number = max((file.last for file in known), default=0) + 1
        now = datetime.now(UTC)
        row = Event(
            number=number,
            time=now.replace(microsecond=now.microsecond // 1000 * 1000),
            kind=event.kind,
            subject=event.subject,
            old=event.old,
            new=event.new,
            night=writer.night,
            actor=writer.actor,
            reason=event.reason,
            decision_key=event.decision_key,
            evidence=json.loads(json.dumps(event.evidence or {}, allow_nan=False)),
        )
        if not put_new(self.directory / f"{number:06d}.parquet", _to_bytes([row])):
            raise self._damaged(f"event {number} was written by another process at the same time")
        logger.info("event %d: %s %s: %s", number, row.kind, row.subject, row.reason)
        if sum(not file.is_compacted for file in known) >= _MAX_LOOSE:
            self.compact(_KEEP_LOOSE)
        return row

    def compact(self, keep: int) -> None:
        """Write all but the newest ``keep`` events into one file and remove the files it replaces.

        A kill at any point leaves a ledger that reads the same.
        """
        events = self.events()
        last = len(events) - keep
        if last < 2:
            return
        name = f"{1:06d}-{last:06d}.parquet"
        put_new(self.directory / name, _to_bytes(events[:last]))
        for file in self._listed():
            if file.last <= last and file.name != name:
                with only_writes(self.directory), suppress(FileNotFoundError):
                    (self.directory / file.name).unlink()

    @contextmanager
    def writing(self, owner: str) -> Iterator[None]:
        """Hold the writers' lock; waits up to a minute for another writer.

        Hold it only briefly. ``owner`` is a readable name. Raises LedgerBusy.
        """
        give_up = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                lease = acquire_lease(self.directory / _LOCK, owner)
                break
            except LeaseTaken as taken:
                if time.monotonic() > give_up:
                    raise LedgerBusy(
                        f"{self.directory}: another process has been writing the ledger for "
                        f"{_PATIENCE_SECONDS:.0f} s; run the same command again. ({taken})"
                    ) from taken
                time.sleep(_PAUSE_SECONDS)
        with lease:
            yield

    def _files(self) -> list[_LedgerFile]:
        """The files needed to read every event, in order, without leftovers of compaction."""
        needed: list[_LedgerFile] = []
        end = 0
        for file in sorted(self._listed(), key=lambda file: (file.first, -file.last)):
            if file.last <= end:
                continue
            needed.append(file)
            end = file.last
        return needed

    def _listed(self) -> list[_LedgerFile]:
        """Every file in the directory."""
        return [file for name in names(self.directory) if (file := _LedgerFile.of(name))]

    def _read(self, files: Iterable[_LedgerFile]) -> Iterator[Event]:
        end = 0
        for file in files:
            if file.first != end + 1:
                raise self._damaged(f"event {end + 1} is missing before {file.name}")
            if file.name not in self._known:
                self._known[file.name] = self._read_file(file)
            events = self._known[file.name]
            if [event.number for event in events] != list(range(file.first, file.last + 1)):
                raise self._damaged(f"{file.name} does not hold the events in its name")
            yield from events
            end = file.last

    def _read_file(self, file: _LedgerFile) -> tuple[Event, ...]:
        try:
            return _from_bytes((self.directory / file.name).read_bytes())
        except FileNotFoundError:
            raise
        except _UNREADABLE as error:
            raise self._damaged(f"{file.name} cannot be read ({error})") from error

    def _damaged(self, problem: str) -> LedgerDamaged:
        return LedgerDamaged(
            f"{self.directory}: the ledger is damaged: {problem}. Nothing is promoted until it is "
            f"whole: restore the missing or damaged file from a backup"
        )


@lru_cache(maxsize=1_000)
def _from_bytes(content: bytes) -> tuple[Event, ...]:
    """The events of a file; one process reads it many times, and mostly there is one event in it.

    Raises ValueError when a row fails its checksum.
    """
    events = pq.ParquetFile(pa.BufferReader(content))
    return _from_table(events.read(schemas.LEDGER_SCHEMA.names, use_threads=False))


def _to_bytes(events: Iterable[Event]) -> bytes:
    rows = []
    for event in events:
        row = {**asdict(event), "kind": str(event.kind), "evidence": _json(event.evidence)}
        rows.append({**row, "sha256": _checksum(row)})
    sink = io.BytesIO()
    pq.write_table(
        pa.Table.from_pylist(rows, schema=schemas.LEDGER_SCHEMA), sink, compression="zstd"
    )
    return sink.getvalue()


def _from_table(table: pa.Table) -> tuple[Event, ...]:
    # pyarrow would import pandas, a second of every plan, to convert a time stamp.
    times = table.column("time").cast(pa.int64()).to_pylist()
    events = []
    for microseconds, row in zip(times, table.drop_columns(["time"]).to_pylist(), strict=True):
        row["time"] = _EPOCH + timedelta(microseconds=microseconds)
        if row.pop("sha256") != _checksum(row):
            raise ValueError(f"event {row['number']} was changed after it was written")
        versions = {key: _version(row[key]) for key in ("old", "new")}
        kind, evidence = EventKind(row["kind"]), json.loads(row["evidence"])
        events.append(Event(**{**row, **versions, "kind": kind, "evidence": evidence}))
    return tuple(events)


def _version(row: Mapping[str, Any] | None) -> VersionRef | None:
    return None if row is None else VersionRef(**row)


def _checksum(row: Mapping[str, Any]) -> str:
    content = {**row, "time": row["time"].isoformat()}
    return hashlib.sha256(_json(content).encode()).hexdigest()


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
