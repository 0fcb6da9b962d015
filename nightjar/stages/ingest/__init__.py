"""Ingest: from configured sources to the documents artifact.

:mod:`nightjar.sources` resolves the sources to files and hashes them; the identity holds contents
and file names, never directories. ``shard_reading`` reads each file with the reader of its source
type (``readers``), which yields documents, rejections and skips. ``preparation`` cleans and
measures documents, ``admission`` leaves out duplicates and documents beyond a limit, and
``merging`` joins the rest. Records that are not documents go to the quarantine table with a reason,
and are counted. A file that is damaged, or that changes while it is read, stops the stage.
"""

from nightjar.sources.purge_list import Purged, PurgeList
from nightjar.stages.ingest.comparison import ChangeKind, Comparison, compare
from nightjar.stages.ingest.documents_identity import documents_identity
from nightjar.stages.ingest.ingest_stage import ingest

__all__ = [
    "ChangeKind",
    "Comparison",
    "PurgeList",
    "Purged",
    "compare",
    "documents_identity",
    "ingest",
]
