"""What shapes a corpus report; light enough to be asked for when a night is planned."""

from __future__ import annotations

from nightjar.schemas import CORPUS_REPORT, DOCUMENTS, TOKENS
from nightjar.store import Identity, library_versions

REVISION = 1
"""Raised whenever the same artifacts give another report than before."""


def corpus_report_identity(documents: str, tokens: str, against: str | None) -> Identity:
    """``against`` is the version of the tokens that these are compared with, if any."""
    return Identity(
        stage=CORPUS_REPORT,
        name="",
        config={"against": against},
        parents={DOCUMENTS: documents, TOKENS: tokens},
        code={"revision": REVISION, **library_versions("matplotlib", "py3langid")},
    )
