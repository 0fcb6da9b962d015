"""Index: document vectors to what ``nightjar search`` looks through."""

from __future__ import annotations

from collections.abc import Iterable

from nightjar.config import NightjarConfig
from nightjar.core import Keep, Of, Parent, Planning, Stage, StageContext
from nightjar.stages.index import INDEX_FILE, VECTORS_FILE, index_documents, search_index_identity
from nightjar.stages.index.erasing_index import erase_from_search_index
from nightjar.store import Identity, schemas


class IndexDocuments(Stage):
    """The search index of an entry of ``document_vectors``."""

    name = schemas.SEARCH_INDEX
    verb = "index"
    of = Of.VECTORS
    keep = Keep.SERVED
    about = "makes them searchable, from the last index where it can"
    tables = {"entries": schemas.INDEX_ENTRIES_SCHEMA}
    files = (VECTORS_FILE, INDEX_FILE)
    erasers = {schemas.SEARCH_INDEX: erase_from_search_index}
    is_served = True

    @classmethod
    def subjects(cls, config: NightjarConfig) -> Iterable[str]:
        """Every entry of ``document_vectors``."""
        return config.document_vectors

    def parents(self) -> Iterable[Parent]:
        """The document vectors."""
        return (Parent(schemas.DOCUMENT_VECTORS, self.subject),)

    def identity(self, planning: Planning) -> Identity:
        """The vectors and the index's settings."""
        return search_index_identity(self.subject, planning.parents[schemas.DOCUMENT_VECTORS])

    def write(self, context: StageContext) -> None:
        """As :func:`.index_documents`."""
        index_documents(context.parent(schemas.DOCUMENT_VECTORS), context)
