"""The section ``keep``: what a night leaves on the disk."""

from __future__ import annotations

from pydantic import Field

from nightjar.config.sections import Section


class KeepConfig(Section):
    """What is kept besides champions; ``nightjar collect`` deletes the rest (docs/nights.md)."""

    accepted_nights: int = Field(
        2, ge=1, le=10_000, description="documents, tokens and counts of so many accepted nights"
    )
    rollback_versions: int = Field(
        2, ge=0, le=10_000, description="former champions of a model that can be brought back"
    )
    trials: int = Field(1, ge=0, le=10_000, description="artifacts of so many runs with overrides")
    records_days: int | None = Field(
        None, ge=1, description="nights and scores older than so many days; null: for ever"
    )
