"""Reading files in full the first time that they are used, to find damage that no size shows.

A bit that flips in a memory-mapped file changes answers and raises nothing. Tables of Parquet have
checksums of their pages; for other files the hashes of a manifest or of a model's list are compared
here. ``<root>/.read-whole/`` records what was found whole, in a file for each directory, with what
the disk says about each file (:func:`~.local_disk.change_marks`). The next process reads a file
again only if that differs: because it was written, restored or copied. A disk's clock may tick only
every second or two, so a file that was written just now is not recorded yet. Only 'nightjar verify'
finds a bit that flips on the disk later.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from nightjar.errors import StoreNotWritable
from nightjar.store.fingerprint import sha256_of
from nightjar.store.local_disk import change_marks, replace

RECORDS_DIR = ".read-whole"
# Longer than the clock of any disk takes for a tick (FAT: 2 s): a second change within the same
# tick would show no other times.
SETTLED_NS = 3_000_000_000


def damage_at_first_reading(root: Path, directory: Path, sha256s: Mapping[str, str]) -> list[str]:
    """Return what is wrong with files of ``directory``, one line each; empty when they are whole.

    ``sha256s`` has the hex sha256 of each, by its path within ``directory``. ``root`` is the
    artifact store that keeps the record; where nothing can be written, every process reads the
    files again. Reading takes about a second for a gigabyte.
    """
    record = _record_path(root, directory)
    known = _read(record, directory)
    problems, found = [], {}
    for name, sha256 in sha256s.items():
        path = directory / name
        try:
            now, marks = time.time_ns(), change_marks(path)
            state = [sha256, *marks]
            if known.get(name) != state and sha256_of(path) != sha256:
                problems.append(f"{path} was changed: its bytes do not have the recorded sha256")
                continue
        except OSError as error:
            problems.append(f"{path} cannot be read ({error.strerror})")
            continue
        if now - max(marks.modified, marks.changed) >= SETTLED_NS:
            found[name] = state
    if any(known.get(name) != state for name, state in found.items()):
        content = {"directory": str(directory.absolute()), "files": {**known, **found}}
        with suppress(StoreNotWritable):
            replace(record, json.dumps(content).encode())
    return problems


def forget_deleted(root: Path) -> None:
    """Remove the records of directories that are gone."""
    for record in sorted((root / RECORDS_DIR).glob("*.json")):
        with suppress(OSError, ValueError, KeyError, TypeError):
            if not Path(json.loads(record.read_bytes())["directory"]).is_dir():
                record.unlink()


def _record_path(root: Path, directory: Path) -> Path:
    name = hashlib.sha256(str(directory.absolute()).encode(errors="surrogateescape")).hexdigest()
    return root / RECORDS_DIR / f"{name[:32]}.json"


def _read(record: Path, directory: Path) -> dict[str, Any]:
    """The states of files that were whole; none without a readable record of ``directory``."""
    try:
        content = json.loads(record.read_bytes())
        files: dict[str, Any] = content["files"]
        return dict(files) if content["directory"] == str(directory.absolute()) else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
