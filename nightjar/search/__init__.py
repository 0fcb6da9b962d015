"""Searching fast, and searching documents.

An approximate index of a model's words (:mod:`~nightjar.search.word_index`) is built by usearch
until it finds enough of the exact neighbours (:mod:`~nightjar.search.building`) and published
as an artifact with the recall that was measured.
"""

from nightjar.search.settings import IndexSettings, usearch_version
from nightjar.search.word_index import WordIndexRequest, attach_word_index, word_index

__all__ = [
    "IndexSettings",
    "WordIndexRequest",
    "attach_word_index",
    "usearch_version",
    "word_index",
]
