"""The ledger: every registration and its reason, read from the published artifacts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from nightjar import schemas
from nightjar.store import Store


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


def read_ledger(store: Store, model_name: str | None = None) -> list[LedgerEntry]:
    """The registrations of ``model_name``, or of every model, by time.

    Raises ArtifactDamaged when one of them cannot be read: a gap would go unnoticed.
    """
    columns = schemas.REGISTRATIONS_SCHEMA.names
    entries = [
        LedgerEntry(registration_version=ref.version, **row)
        for ref in store.versions(schemas.REGISTRATION)
        for row in store.open(ref).read("registrations", columns).to_pylist()
    ]
    chosen = [entry for entry in entries if model_name in (None, entry.model)]
    return sorted(chosen, key=lambda entry: (entry.time, entry.registry_version))
