"""The ledger: every registration and its reason, read from the published artifacts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from nightjar import schemas
from nightjar.store import Artifact, Store

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class LedgerEntry:
    """One registration: a row of ``registrations`` and the version of its artifact."""

    registration_version: str
    model: str
    registered_model: str
    embeddings_version: str
    evaluation_version: str
    registry_version: int
    run_id: str
    decision: str
    reason: str
    score: float | None
    coverage: float | None
    champion_score: float | None
    previous_champion: int | None
    actor: str
    time: datetime

    def as_json(self) -> dict[str, Any]:
        """Plain JSON types; the time is ISO 8601."""
        return {**asdict(self), "time": self.time.isoformat(timespec="seconds")}


def read_entry(registration: Artifact) -> LedgerEntry:
    """The one row of a registration artifact."""
    table = registration.read("registrations", schemas.REGISTRATIONS_SCHEMA.names)
    # pyarrow would import pandas, a second of every plan, to convert a time stamp.
    microseconds = table.column("time").cast(pa.int64())[0].as_py()
    return LedgerEntry(
        registration_version=registration.ref.version,
        time=_EPOCH + timedelta(microseconds=microseconds),
        **table.drop_columns(["time"]).to_pylist()[0],
    )


def read_ledger(store: Store, model_name: str | None = None) -> list[LedgerEntry]:
    """The registrations of ``model_name``, or of every model, by time.

    Raises ArtifactDamaged when one of them cannot be read: a gap would go unnoticed.
    """
    entries = [read_entry(store.open(ref)) for ref in store.versions(schemas.REGISTRATION)]
    chosen = [entry for entry in entries if model_name in (None, entry.model)]
    return sorted(chosen, key=lambda entry: (entry.time, entry.registry_version))
