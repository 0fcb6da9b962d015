"""Ingest: configured sources to the documents artifact.

``selection`` resolves the sources to files and hashes them (the identity: content and file
names, never directories); those behind URLs are fetched first (``remote``). ``shard_reading``
has each file read through the reader of its source's type (``readers``), which yields
documents, rejections and skips; ``preparation`` cleans and measures, ``admission`` leaves out
duplicates and what is behind a limit; ``merging`` puts the rest together. What is not a
document goes to the quarantine table with a reason and is counted; a file that is damaged, or
that changes while it is read, stops the stage.
"""

from nightjar.stages.ingest.comparison import ChangeKind, Comparison, compare
from nightjar.stages.ingest.ingest_stage import ingest
from nightjar.stages.ingest.purge_list import Purged, PurgeList
from nightjar.stages.ingest.remote import FETCHED_DIR, surplus_downloads
from nightjar.stages.ingest.selection import Fetching, documents_identity

__all__ = [
    "FETCHED_DIR",
    "ChangeKind",
    "Comparison",
    "Fetching",
    "PurgeList",
    "Purged",
    "compare",
    "documents_identity",
    "ingest",
    "surplus_downloads",
]
