"""Approximate indexes of words, and document search.

An approximate index of a model's words (:mod:`.word_index`) is built with usearch until its recall
is high enough (:mod:`.building`), and published with the recall that was measured. Document vectors
become a search index (:mod:`.index_stage`): :class:`DocumentSearch` finds the nearest documents
that pass some :class:`Filters`, and :func:`snippets` picks the passage that answers the query.
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
