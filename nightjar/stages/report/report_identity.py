"""What shapes a corpus report; light enough to be asked for when a night is planned."""

from __future__ import annotations

from nightjar.store import Identity, library_versions
from nightjar.store.schemas import CORPUS_REPORT, DOCUMENTS, TOKENS

REVISION = 2
"""Raised whenever the same artifacts give another report than before."""


def corpus_report_identity(documents: str, tokens: str, corpus: str = "") -> Identity:
    """Of the versions of documents and tokens; what is compared with them is no part of it."""
    return Identity(
        stage=CORPUS_REPORT,
        name=corpus,
        config={},
        parents={DOCUMENTS: documents, TOKENS: tokens},
        code={"revision": REVISION, **library_versions("matplotlib", "py3langid")},
    )
