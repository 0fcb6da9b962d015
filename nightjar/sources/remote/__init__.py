"""Remote sources are fetched to local files; every later step works as with local sources.

Fetched files are stored below ``<artifacts_dir>/fetched``, which the workers of a cluster share:

- ``objects/<sha256>/<name>``: complete files, never modified. The name is the object's, since
  readers depend on suffixes; the folder is the hash of its content, so the plan determines the
  path.
- ``index/<source>-<hash of its URLs>.json``: the objects that the URLs matched last time, with the
  version reported by the server and the content of each. Replaced atomically; a lease beside it
  lets one process at a time fetch for these URLs.
- ``partial/``: running or interrupted downloads, each with its version, so that the next try
  resumes the download if the server still has that version.

Planning lists the URLs and fetches what is new (``fetching``): an object whose version is in the
index is not downloaded again. The version is the strongest validator that the server gives (ETag,
generation, else modification time and size); without any, the object is downloaded each time and
its content decides. The stage uses only the plan: an object's sha256 and name determine its file
(:func:`fetched_file`), so a night reads what was planned even if the URLs have changed meanwhile.

Rows of a database, read through SQLAlchemy (``database``), become parts: JSON Lines files among the
objects (``database_tables``, ``row_parts``). The index also stores the highest watermark.

``http`` talks to web servers, ``buckets`` to S3, Google Cloud Storage and Azure through fsspec.
Both implement the interface in :mod:`.object_storage` for ``download``, which downloads one object,
with retries. Credentials come from the environment and never reach a file, a message or a log:
library messages are redacted and not chained.
"""

from nightjar.sources.remote.database_tables import TableRequest, fetch_rows, known_rows
from nightjar.sources.remote.erasing_fetched import surplus_downloads
from nightjar.sources.remote.fetched_files import FETCHED_DIR, fetched_file
from nightjar.sources.remote.fetching import (
    FetchedFile,
    FetchRequest,
    fetch_files,
    known_files,
)

__all__ = [
    "FETCHED_DIR",
    "FetchRequest",
    "FetchedFile",
    "TableRequest",
    "fetch_files",
    "fetch_rows",
    "fetched_file",
    "known_files",
    "known_rows",
    "surplus_downloads",
]
