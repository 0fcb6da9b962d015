"""Ingest: the sources of a text corpus to its documents."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from nightjar.config import NightjarConfig
from nightjar.core import Keep, Of, Parent, Planning, Stage, StageContext, Wanted
from nightjar.stages.ingest import (
    FETCHED_DIR,
    Fetching,
    Purged,
    PurgeList,
    documents_identity,
    ingest,
    surplus_downloads,
)
from nightjar.stages.ingest.erasing_documents import erase_from_documents, erase_from_shard
from nightjar.store import Identity, schemas


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
    erasers = {
        schemas.DOCUMENTS: erase_from_documents,
        schemas.DOCUMENT_SHARDS: erase_from_shard,
    }
    uses_executor = True

    @classmethod
    def subjects(cls, config: NightjarConfig) -> Iterable[str]:
        """Every text corpus."""
        return config.text_corpora

    def parents(self) -> Iterable[Parent]:
        """None: documents come from outside."""
        return ()

    def identity(self, planning: Planning) -> Identity:
        """Config and content of the sources; what is remote is fetched."""
        fetching = Fetching(
            self.loaded.artifacts_dir / FETCHED_DIR, planning.progress, planning.is_offline
        )
        corpus = self.config.corpora[self.subject]
        return documents_identity(
            corpus.ingest, self.loaded.base_dir, fetching, self.subject, self.purged
        )

    def write(self, context: StageContext) -> None:
        """As :func:`.ingest`."""
        ingest(self.config.corpora[self.subject].ingest, context, self.purged)

    @property
    def purged(self) -> Purged:
        """What must not come in."""
        return PurgeList.read(self.loaded.pipeline_dir, self.subject).purged

    @classmethod
    def surplus(cls, root: Path, wanted: Wanted) -> Iterable[Path]:
        """What was fetched and no plan needs any more."""
        return surplus_downloads(root / FETCHED_DIR, time.time(), is_quiet=wanted.is_quiet)
