"""Every pipeline of an artifact directory, according to its records.

The needs of all of them count. Another pipeline's config is not loaded: the record of its last
night says how long it keeps things.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nightjar.config import KeepConfig, LoadedConfig
from nightjar.core import Night, Nights
from nightjar.core.nights import moment
from nightjar.core.using import PIPELINES, night_lease
from nightjar.errors import StoreError
from nightjar.promotion import Event, Ledger, Standing, standing_of
from nightjar.store import is_held, names

LEDGER = "ledger"
_FOREVER = KeepConfig(accepted_nights=10_000, rollback_versions=10_000, trials=10_000)
"""The rules of a pipeline without a recorded night, whose own rules are unknown."""


@dataclass(frozen=True)
class RecordedPipeline:
    """One pipeline: its rules, its ledger and its nights."""

    name: str
    directory: Path
    keep: KeepConfig
    corpora: frozenset[str] | None
    """Names of the corpora in its config; None when unknown."""
    entries: frozenset[str] | None
    """Names of the entries of ``document_vectors``; None when unknown."""
    events: tuple[Event, ...]
    is_own: bool
    keeps_earlier_standing: bool = True
    """Whether what a killed promotion may still need counts, which is gone when it was not."""

    @property
    def nights(self) -> Nights:
        """Its nights."""
        return Nights(self.directory)

    @cached_property
    def standings(self) -> tuple[Standing, ...]:
        """The current standing, and the one before the last event that moves an alias.

        A killed run may have written that event without moving the alias: readers follow the
        earlier standing until the event is completed.
        """
        moves = [place for place, event in enumerate(self.events) if event.moves_alias]
        if self.is_own or not moves or not self.keeps_earlier_standing:
            return (standing_of(self.events),)
        return (standing_of(self.events), standing_of(self.events[: moves[-1]]))

    @cached_property
    def newest(self) -> Night | None:
        """The newest night that is not a trial and got as far as its plan."""
        return self.nights.last()

    @cached_property
    def trials(self) -> tuple[Night, ...]:
        """The newest trials, as many as are kept."""
        return tuple(self.nights.newest_trials(self.keep.trials))

    @cached_property
    def running(self) -> Night | None:
        """The night under way, if this is another pipeline; else None."""
        numbers = self.nights.numbers()
        if self.is_own or not numbers or not is_held(night_lease(self.directory)):
            return None
        night = self.nights.get(numbers[-1])
        return night if night.ended_at is None else None


def read_pipelines(loaded: LoadedConfig) -> tuple[RecordedPipeline, ...]:
    """Read every pipeline in the directory of ``loaded``, its own first.

    Raises StoreError, including LedgerDamaged, when the needs of one of them cannot be read.
    """
    own = loaded.config.pipeline.name
    config = loaded.config
    found = [
        RecordedPipeline(
            name=own,
            directory=loaded.pipeline_dir,
            keep=config.keep,
            corpora=frozenset(config.corpora),
            entries=frozenset(config.document_vectors),
            events=Ledger(loaded.pipeline_dir / LEDGER).events(),
            is_own=True,
        )
    ]
    directory = loaded.artifacts_dir / PIPELINES
    found += [_other(directory / name) for name in names(directory) if name != own]
    return tuple(found)


def _other(directory: Path) -> RecordedPipeline:
    nights = Nights(directory)
    night = nights.last() or next(nights.newest_first(), None)
    config = {} if night is None else night.config
    try:
        keep = _FOREVER if night is None else KeepConfig.model_validate(config.get("keep", {}))
    except ValidationError as error:
        raise StoreError(
            f"{directory}: the retention rules of this pipeline cannot be read from its night "
            f"{night.number if night else 0}; nothing is deleted. If the pipeline is no longer "
            f"used, move its directory away"
        ) from error
    return RecordedPipeline(
        name=directory.name,
        directory=directory,
        keep=keep,
        corpora=_names(config, "corpora"),
        entries=_names(config, "document_vectors"),
        events=Ledger(directory / LEDGER).events(),
        is_own=False,
    )


def _names(config: Mapping[str, Any], section: str) -> frozenset[str] | None:
    return frozenset(config[section]) if section in config else None


def age_days(time: str, now: datetime) -> float:
    """The age of an ISO 8601 time in days; a time without a zone is in UTC."""
    return (now - moment(time)).total_seconds() / 86_400
