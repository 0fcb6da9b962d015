"""Moving an artifact out of the way: nothing is deleted, and its version becomes free."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nightjar.errors import ArtifactMissing
from nightjar.store.lease import waited_lease
from nightjar.store.manifest import MANIFEST_NAME, ArtifactRef
from nightjar.store.writing import only_writes, sync

logger = logging.getLogger(__name__)

SET_ASIDE_DIR = "set-aside"


def set_aside(ref: ArtifactRef) -> Path:
    """Move an artifact to ``<root>/set-aside/<stage>-<version>-<n>``; return that directory.

    For a damaged artifact: nothing is deleted, and the next run publishes the version again.
    Raises ArtifactMissing when there is no such artifact, StoreNotWritable when it cannot be
    moved.
    """
    path = Path(ref.path)
    with exclusive(path.parent), only_writes(path.parents[1]):
        return _move(path)


def set_aside_unpublished(path: Path) -> None:
    """Move away what blocks an artifact's path, unless it is an artifact (has a manifest)."""
    with exclusive(path.parent):
        if os.path.lexists(path) and not (path / MANIFEST_NAME).is_file():
            moved = _move(path)
            logger.warning("%s was in the way and is not an artifact; moved it to %s", path, moved)


@contextmanager
def exclusive(stage_dir: Path) -> Iterator[None]:
    """Keep two processes from setting aside the same place at once."""
    if not stage_dir.is_dir():
        raise ArtifactMissing(f"{stage_dir}: nothing is published here")
    lease = stage_dir.parent / f".{SET_ASIDE_DIR}.lease"
    waiting = "another run is setting an artifact aside: waiting for it"
    with waited_lease(lease, f"setting aside in {stage_dir.name}", waiting):
        yield


def _move(path: Path) -> Path:
    stage, version = path.parts[-2:]
    aside_dir = path.parents[1] / SET_ASIDE_DIR
    aside_dir.mkdir(exist_ok=True)
    number = 1
    while True:
        target = aside_dir / f"{stage}-{version}-{number}"
        number += 1
        if os.path.lexists(target):
            continue
        try:
            path.rename(target)
        except FileNotFoundError as error:
            raise ArtifactMissing(f"{stage}/{version}: there is nothing to set aside") from error
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
        else:
            sync(path.parent)
            sync(aside_dir)
            return target
