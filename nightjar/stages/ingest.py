"""Ingest: the sources of a text corpus to its documents."""

from __future__ import annotations

from collections.abc import Iterable

from nightjar import schemas
from nightjar.config import NightjarConfig, TextCorpusConfig
from nightjar.core import Keep, Of, Parent, Planning, Stage, StageContext
from nightjar.corpus import FETCHED_DIR, Fetching, documents_identity, ingest
from nightjar.store import Identity


def text_corpora(config: NightjarConfig) -> Iterable[str]:
    """The corpora of kind ``text``."""
    return [name for name, corpus in config.corpora.items() if isinstance(corpus, TextCorpusConfig)]


class Ingest(Stage):
    """Documents of a text corpus, from files, buckets, web servers and databases."""

    name = schemas.DOCUMENTS
    verb = "ingest"
    of = Of.CORPUS
    keep = Keep.CORPUS
    about = (
        "reads what is new of files, buckets, web servers and databases; cleans it; drops exact "
        "and near duplicates; quarantines what is not text, with a reason"
    )
    tables = {"documents": schemas.DOCUMENTS_SCHEMA, "quarantine": schemas.QUARANTINE_SCHEMA}
    pieces = {
        schemas.DOCUMENT_SHARDS: {
            "documents": schemas.DOCUMENTS_SCHEMA,
            "quarantine": schemas.QUARANTINE_SCHEMA,
            "keys": schemas.DOCUMENT_KEYS_SCHEMA,
            "signatures": schemas.SIGNATURES_SCHEMA,
        }
    }
    uses_executor = True

    @classmethod
    def subjects(cls, config: NightjarConfig) -> Iterable[str]:
        """Every text corpus."""
        return text_corpora(config)

    def parents(self) -> Iterable[Parent]:
        """None: documents come from outside."""
        return ()

    def identity(self, planning: Planning) -> Identity:
        """Config and content of the sources; what is remote is fetched."""
        fetching = Fetching(
            self.loaded.artifacts_dir / FETCHED_DIR, planning.progress, planning.is_offline
        )
        corpus = self.config.corpora[self.subject]
        return documents_identity(corpus.ingest, self.loaded.base_dir, fetching, self.subject)

    def write(self, context: StageContext) -> None:
        """As :func:`nightjar.corpus.ingest`."""
        ingest(self.config.corpora[self.subject].ingest, context)
