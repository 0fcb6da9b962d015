"""Remote sources become local files, and everything behind them stays as it is.

What is fetched lies below ``<artifacts_dir>/fetched``, which workers of a cluster see, too:

- ``objects/<sha256>/<name>``: whole files, never modified. The name is that of the object,
  since readers go by suffixes; the folder is its content, so that whoever knows the plan
  knows the file.
- ``index/<source>-<hash of its URLs>.json``: which objects the URLs stood for the last time,
  and for each object the version that the server told and the content that it had. Replaced
  atomically; a lease beside it lets one process at a time fetch for these URLs.
- ``partial/``: downloads under way or broken off, each with the version it is of, so that the
  next try goes on where it ended, if the server still has that version.

Planning lists the URLs and fetches what is new (``fetching``): an object whose version the
index has is not downloaded again. A version is the strongest mark that the server gives
(ETag, generation, else modification time and size); without any, the object is downloaded
each time and its content decides. The stage uses nothing but the plan: the sha256 and the
name of an object say which file it is (:func:`fetched_file`), so that a night whose URLs
stand for something else meanwhile still reads what was planned.

A database's rows become parts, files of JSON Lines among the objects (``database_tables``,
``row_parts``), read through SQLAlchemy (``database``); the index has the highest watermark, too.

``http`` speaks to web servers, ``buckets`` to S3, Google Cloud Storage and Azure through
fsspec; both give :mod:`.object_storage`'s interface to ``download``, which
brings one object here, whatever happens on the way. Credentials come from the environment and
never reach a file, a message or a log: messages of libraries are redacted and not chained.
"""

from nightjar.stages.ingest.remote.database_tables import TableRequest, fetch_rows, known_rows
from nightjar.stages.ingest.remote.erasing_fetched import surplus_downloads
from nightjar.stages.ingest.remote.fetched_files import FETCHED_DIR, fetched_file
from nightjar.stages.ingest.remote.fetching import (
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
