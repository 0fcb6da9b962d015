"""The origin of the vectors in a file: model, versions and the id of their space.

Formats that can hold metadata keep it inside; beside a file that cannot, ``FILE.nightjar.json`` has
it, and a folder has ``nightjar.json``. Whoever copies a file of the second kind should take its
companion along.
"""

from __future__ import annotations

import json
import sqlite3
import zipfile
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nightjar.formats.content import extra_module
from nightjar.store import fingerprint

SPACE = "space"
"""Key of the id of the space in an origin."""
COMPANION = "nightjar.json"
KEEPS_INSIDE = frozenset(
    {"parquet", "safetensors", "numpy", "sqlite", "model2vec", "sentence-transformers", "spacy"}
)
"""Formats whose writers keep the origin themselves."""
_MAX_BYTES = 1 << 20
_MAX_NAME_BYTES = 255
_UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    pa.ArrowException,
    sqlite3.Error,
    zipfile.BadZipFile,
)

Origin = dict[str, str]


def companion_of(path: Path) -> Path:
    """Where the origin of the file or folder ``path`` is if the format has no place for it.

    A name that would be too long for the disk is replaced by its fingerprint.
    """
    if path.is_dir():
        return path / COMPANION
    name = path.name
    if len(name.encode()) + len(COMPANION) + 1 > _MAX_NAME_BYTES:
        name = fingerprint(name)
    return path.with_name(f"{name}.{COMPANION}")


def write_companion(path: Path, origin: Mapping[str, str]) -> None:
    """Write the origin beside the file ``path``, or into the folder; nothing if it is unknown."""
    if not origin:
        return
    text = json.dumps(dict(origin), indent=1) + "\n"
    companion_of(path).write_text(text, encoding="utf-8")


def read_origin(path: Path) -> Origin:
    """What ``path`` says about the origin of its vectors; empty if nothing can be read.

    Nothing of the file is trusted: what is no text is left out.
    """
    for read in (_of_companion, _of_folder, _of_parquet, _of_numpy, _of_safetensors, _of_sqlite):
        with suppress(*_UNREADABLE):
            found = read(path)
            if isinstance(found, dict) and found:
                return {key: value for key, value in found.items() if isinstance(value, str)}
    return {}


def _of_companion(path: Path) -> Any:
    return _json(companion_of(path))


def _of_folder(path: Path) -> Any:
    for name in ("config.json", "meta.json"):
        if (path / name).is_file() and (found := _json(path / name).get("nightjar")):
            return found
    return None


def _of_parquet(path: Path) -> Any:
    if path.suffix != ".parquet":
        return None
    return origin_of_schema(pq.read_schema(path))


def origin_of_schema(schema: pa.Schema) -> Origin:
    """What the metadata of a Parquet file say."""
    found = json.loads((schema.metadata or {}).get(b"nightjar", b"{}"))
    return {key: value for key, value in found.items() if isinstance(value, str)}


def _of_numpy(path: Path) -> Any:
    if not zipfile.is_zipfile(path):
        return None
    with np.load(path, allow_pickle=False) as archive:
        if "source" not in archive.files or archive["source"].nbytes > _MAX_BYTES:
            return None
        return json.loads(str(archive["source"]))


def _of_safetensors(path: Path) -> Any:
    if path.suffix != ".safetensors":
        return None
    safetensors = extra_module("safetensors")
    try:
        with safetensors.safe_open(str(path), framework="numpy") as file:
            return file.metadata()
    except safetensors.SafetensorError as error:
        raise ValueError(str(error)) from error


def _of_sqlite(path: Path) -> Any:
    with path.open("rb") as file:
        if file.read(15) != b"SQLite format 3":
            return None
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
        kinds = dict(database.execute("SELECT name, type FROM sqlite_master").fetchall())
        if kinds.get("metadata") != "table":  # a view may have no end
            return None
        return dict(database.execute("SELECT key, value FROM metadata LIMIT 100").fetchall())


def _json(path: Path) -> Any:
    if path.stat().st_size > _MAX_BYTES:
        raise ValueError(f"{path} is too long")
    return json.loads(path.read_text(encoding="utf-8"))
