"""Ingest: configured sources to the documents artifact.

``selection`` resolves the sources to files and hashes them (the identity: content and file
names, never directories); those behind URLs are fetched first (``remote``). ``reading_shards``
has each file read through the reader of its source's type (``readers``), which yields
documents, rejections and skips; ``preparation`` cleans and measures, ``admission`` leaves out
duplicates and what is behind a limit; ``merging`` puts the rest together. What is not a
document goes to the quarantine table with a reason and is counted; a file that is damaged, or
that changes while it is read, stops the stage.
"""

from nightjar.corpus.comparison import Change, Comparison, compare
from nightjar.corpus.purge_list import Purged, PurgeList
from nightjar.corpus.remote import FETCHED_DIR, surplus_downloads
from nightjar.corpus.selection import Fetching, documents_identity
from nightjar.corpus.stage import ingest

__all__ = [
    "FETCHED_DIR",
    "Change",
    "Comparison",
    "Fetching",
    "PurgeList",
    "Purged",
    "compare",
    "documents_identity",
    "ingest",
    "surplus_downloads",
]
