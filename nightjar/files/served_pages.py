"""Addresses of the pages of nights within the Prefect server that ``nightjar serve`` starts.

A link has to open in a browser, which sends no secret of Prefect's. So a digest of the night's
record stands for it: who can read the record knows it, and nobody else.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from pathlib import Path

PAGES_VARIABLE = "NIGHTJAR_PAGES_OF"
"""The artifact directory whose nights' pages the server serves; for the server and its clients."""
RECORD_NAME, PAGE_NAME = "night.json", "report.html"
_PREFIX = "/nightjar/nights"
_PATH = re.compile(_PREFIX + r"/([a-z0-9][a-z0-9_-]{0,99})/([0-9]{1,9})/([0-9a-f]{32})")
_KEY_LENGTH = 32


def page_link(artifacts_dir: Path, pipeline: str, number: int) -> str | None:
    """The address of a night's page within the server; None where no server serves it."""
    served = os.environ.get(PAGES_VARIABLE)
    key = _key(_directory(artifacts_dir, pipeline, number))
    if not served or Path(served) != artifacts_dir.absolute() or key is None:
        return None
    return f"{_PREFIX}/{pipeline}/{number}/{key}"


def is_page_link(path: str) -> bool:
    """Whether a path has the form of :func:`page_link`."""
    return _PATH.fullmatch(path) is not None


def read_page(artifacts_dir: Path, path: str) -> bytes | None:
    """The page at the path; None where there is none, or the key is another one."""
    found = _PATH.fullmatch(path)
    if found is None:
        return None
    directory = _directory(artifacts_dir, found[1], int(found[2]))
    key = _key(directory)
    if key is None or not hmac.compare_digest(key, found[3]):
        return None
    try:
        return (directory / PAGE_NAME).read_bytes()
    except OSError:
        return None


def _directory(artifacts_dir: Path, pipeline: str, number: int) -> Path:
    return artifacts_dir / "pipelines" / pipeline / "nights" / f"{number:06d}"


def _key(directory: Path) -> str | None:
    try:
        record = (directory / RECORD_NAME).read_bytes()
    except OSError:
        return None
    return hashlib.sha256(record).hexdigest()[:_KEY_LENGTH]
