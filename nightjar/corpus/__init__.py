"""The ingest stage: sources to the documents artifact.

``selection`` finds the files and computes the version. A reader for each type of source
(:mod:`~nightjar.corpus.readers`) turns a file into records: documents, and rejections with
a reason. ``intake`` decides which documents are kept (length, exact duplicates, ids) and
``stage`` writes both tables. A file is hashed while it is read, so that what is published
is what was planned.

What is wrong with a record (undecodable, empty, malformed) puts it into quarantine and the
night goes on; what is wrong with a file (truncated, not what its name says, hostile XML, a
column that is not there) is an error, for a part of a file must not pass for the whole.
"""

from nightjar.corpus.selection import documents_identity
from nightjar.corpus.stage import ingest

__all__ = ["documents_identity", "ingest"]
