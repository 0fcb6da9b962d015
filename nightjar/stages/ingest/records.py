"""What a reader makes of a record of a source: a document, or why it is none."""

from __future__ import annotations

from dataclasses import dataclass

from nightjar.sources.rejections import Rejection, Skip


@dataclass(frozen=True, slots=True)
class Document:
    """A text as the source has it, before cleaning."""

    locator: str
    """Where it is, for messages: ``file:line`` or ``file: page 12``."""
    native_id: str | None
    """Its id in the source; None if it has none."""
    text: str
    language: str | None = None
    """The language that the record declares; None if it does not."""
    n_gaps: int = 0
    """Places in its sentences where a template was that shows nothing."""


Record = Document | Rejection | Skip
