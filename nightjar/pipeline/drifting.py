"""Measuring how far a candidate's words moved from the champion's, while it is judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from nightjar.config import LoadedConfig
from nightjar.core import Parent, Plan, Planner
from nightjar.progress import SILENT
from nightjar.promotion import VersionRef, find_measurement, find_vectors
from nightjar.stages import MeasureDrift
from nightjar.stages.drift import DriftFound, read_drift
from nightjar.store import Artifact, Store, schemas
from nightjar.store.schemas import EMBEDDINGS, FLOOR_BANDS


@dataclass(frozen=True)
class MeasuredDrift:
    """What moved between two versions of a model, and whether to raise an alarm."""

    model: str
    artifact: Artifact
    before: VersionRef
    after: VersionRef
    tolerance: float

    @property
    def found(self) -> DriftFound:
        """The figures."""
        return read_drift(self.artifact)

    @property
    def is_alarm(self) -> bool:
        """Whether more than the tolerance is lost for sure."""
        low = self.found.low
        return low is not None and low > self.tolerance

    @property
    def moved(self) -> list[str]:
        """The words that moved farthest beyond chance."""
        if not self.found.n_beyond:
            return []
        table = self.artifact.read("words", ["token", "is_beyond"])
        return list(table.filter(table.column("is_beyond")).column("token").to_pylist())

    def said(self) -> str:
        """The figures in a sentence."""
        found = self.found
        if found.lost is None or found.low is None or found.high is None:
            return found.note
        interval = f"95 % interval {found.low:.0%} to {found.high:.0%}"
        if found.low <= 0:
            return f"no neighbours are gone beyond chance ({found.lost:.0%}, {interval})"
        return (
            f"of the neighbours that another seed would have kept, {found.lost:.0%} are gone "
            f"({interval}, tolerated {self.tolerance:.0%})"
        )

    def alarm(self) -> str:
        """What to tell people."""
        moved = ", ".join(self.moved[:_N_NAMED])
        return (
            f"{self.model} v{self.after.number} differs from v{self.before.number} by more than "
            f"chance: {self.said()}{f'; farthest moved {moved}' if moved else ''}. If neither "
            f"config nor sources were to change it, look at them; 'nightjar drift {self.model}' "
            f"lists the words"
        )

    def as_json(self) -> dict[str, Any]:
        """Plain JSON types, for the record of a night."""
        return {
            "artifact": str(self.artifact.ref),
            "before": self.before.number,
            "after": self.after.number,
            **asdict(self.found),
            "tolerance": self.tolerance,
            "is_alarm": self.is_alarm,
            "said": self.said(),
        }


_N_NAMED = 5


def measure_drift(
    loaded: LoadedConfig,
    model: str,
    before: VersionRef,
    after: VersionRef,
    run: Callable[[Plan], bool],
) -> MeasuredDrift | None:
    """Compare two registered versions of a model; computed once for the same vectors and floor.

    None for one and the same vectors, when vectors are gone, or when ``run`` fails and recorded
    that.
    """
    store = Store(loaded.artifacts_dir)
    then, now = find_vectors(store, before), find_vectors(store, after)
    if before.digest == after.digest or then is None or now is None:
        return None
    floor = _floor_of(loaded, model, now) or _floor_of(loaded, model, then)
    stage = MeasureDrift(loaded, model, before.embeddings, before.digest, floor)
    given = {Parent(EMBEDDINGS, model): after.embeddings}
    planner = Planner(loaded, SILENT, is_offline=True, before={}, given=given)
    version = planner.add(stage, ())
    if not run(planner.plan):
        return None
    artifact = store.open(store.ref(schemas.DRIFT, version))
    return MeasuredDrift(model, artifact, before, after, loaded.config.drift.tolerance)


def _floor_of(loaded: LoadedConfig, model: str, vectors: Artifact) -> str | None:
    """The version of the noise artifact whose floor holds for some vectors."""
    store, growth = Store(loaded.artifacts_dir), loaded.config.registry.gate.max_growth
    found = find_measurement(store, model, vectors, growth, _has_floor)
    return None if found is None else found.ref.version


def _has_floor(noise: Artifact) -> bool:
    return noise.has_table(FLOOR_BANDS)
