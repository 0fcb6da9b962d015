"""Searching fast, and searching documents.

An approximate index of a model's words (:mod:`.word_index`) is built by usearch until it finds
enough of the exact neighbours (:mod:`.building`) and published as an artifact with the recall that
was measured. The vectors of documents become an artifact that is searched (:mod:`.index_stage`):
:class:`DocumentSearch` finds the nearest that pass some :class:`Filters`, :func:`snippets` the
part that answers.
"""

from nightjar.stages.index.building import INDEX_FILE, IndexSettings, usearch_version
from nightjar.stages.index.document_search import (
    DocumentSearch,
    Encode,
    Filters,
    FoundDocument,
    Hit,
    Snippet,
    snippets,
)
from nightjar.stages.index.index_stage import (
    VECTORS_FILE,
    DocumentIndexSettings,
    index_documents,
    search_index_identity,
)
from nightjar.stages.index.word_index import WordIndexRequest, attach_word_index, word_index

__all__ = [
    "INDEX_FILE",
    "VECTORS_FILE",
    "DocumentIndexSettings",
    "DocumentSearch",
    "Encode",
    "Filters",
    "FoundDocument",
    "Hit",
    "IndexSettings",
    "Snippet",
    "WordIndexRequest",
    "attach_word_index",
    "index_documents",
    "search_index_identity",
    "snippets",
    "usearch_version",
    "word_index",
]
