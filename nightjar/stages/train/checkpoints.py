"""Checkpoints: the state of a running training, so that a killed one can be resumed.

A checkpoint is one file beside the artifacts of its stage, named after the version in progress: the
same version is the same model on the same tokens by the same code. It is replaced atomically
(written into the staging directory, synced, renamed), so at any moment it is complete or missing,
and a half-written file is deleted with the staging directory. The format is NumPy's ``.npz``
without pickle: every array has a checksum.
"""

from __future__ import annotations

import json
import logging
import os
import time
import zipfile
import zlib
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from nightjar.store import sync

logger = logging.getLogger(__name__)

PREFIX = ".checkpoint-"
_POSITION = "position"
_DAMAGE = (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error, EOFError)
"""Errors from reading a file that is not a complete checkpoint."""


@dataclass(frozen=True)
class Position:
    """Progress of a training; ``n_*``, ``loss_sum`` and ``seconds`` are of the current epoch."""

    epoch: int = 1
    """The current epoch, from 1."""
    n_spans: int = 0
    n_units: int = 0
    n_predictions: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0
    mean_losses: tuple[float, ...] = ()
    """Mean losses of the finished epochs."""
    epoch_seconds: tuple[float, ...] = ()


def checkpoint_path(stage_dir: Path, version: str) -> Path:
    """The path of the checkpoint for ``version``."""
    return stage_dir / f"{PREFIX}{version}.npz"


def unwanted_checkpoints(stage_dir: Path, wanted: Collection[str]) -> list[Path]:
    """The checkpoints of versions that are not in ``wanted``."""
    return [
        path
        for path in sorted(stage_dir.glob(f"{PREFIX}*.npz"))
        if path.name.removeprefix(PREFIX).removesuffix(".npz") not in wanted
    ]


@dataclass(frozen=True)
class Checkpoints:
    """Writes and reads the checkpoint at ``path``, at most once in ``interval_seconds``."""

    path: Path
    interval_seconds: float
    scratch_dir: Path
    """Where it is written before it is complete; on the same disk: the staging directory."""

    def save(self, arrays: Mapping[str, NDArray[np.float32]], position: Position) -> None:
        """Replace the checkpoint. If that fails, warns and keeps the old one."""
        started_at = time.monotonic()
        partial = self.scratch_dir / "unfinished-checkpoint"
        try:
            with partial.open("wb") as stream:
                text = json.dumps(asdict(position)).encode()
                saved: dict[str, Any] = {_POSITION: np.frombuffer(text, np.uint8), **arrays}
                np.savez(stream, **saved)
                stream.flush()
                os.fsync(stream.fileno())
            partial.replace(self.path)
            sync(self.path.parent)
        except OSError as error:
            with suppress(OSError):
                partial.unlink()
            logger.warning("%s: no checkpoint written, training goes on: %s", self.path, error)
            return
        logger.info(
            "checkpoint in epoch %d after %d units, written in %.1f s",
            position.epoch,
            position.n_units,
            time.monotonic() - started_at,
        )

    def restore(self, arrays: Mapping[str, NDArray[np.float32]]) -> Position | None:
        """Fill ``arrays`` from the checkpoint and return its position; None without one.

        A file that is not a complete checkpoint of these arrays is ignored with a warning, and none
        of it is used. Needs no extra memory.
        """
        if not self.path.exists():
            return None
        try:
            with zipfile.ZipFile(self.path) as archive:
                if damaged := archive.testzip():
                    raise ValueError(f"{damaged} fails its checksum")
                for name, array in arrays.items():
                    _open_array(archive, name, array).close()
                position = _position(archive)
                for name, array in arrays.items():
                    _fill(archive, name, array)
        except _DAMAGE as error:
            logger.warning("%s cannot be used, training starts anew: %s", self.path, error)
            return None
        logger.info("goes on from the checkpoint in epoch %d", position.epoch)
        return position


def _position(archive: zipfile.ZipFile) -> Position:
    with archive.open(f"{_POSITION}.npy") as stream:
        text = np.lib.format.read_array(stream, allow_pickle=False).tobytes()
    fields: dict[str, Any] = json.loads(text)
    for name in ("mean_losses", "epoch_seconds"):
        fields[name] = tuple(fields[name])
    return Position(**fields)


def _open_array(
    archive: zipfile.ZipFile, name: str, array: NDArray[np.float32]
) -> zipfile.ZipExtFile:
    """The stored ``array``, positioned at its values. Raises ValueError if it does not match."""
    stream = cast("zipfile.ZipExtFile", archive.open(f"{name}.npy"))
    version = np.lib.format.read_magic(stream)
    if version != (1, 0):
        raise ValueError(f"{name} has the format {version}")
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    if (shape, is_fortran, dtype) != (array.shape, False, array.dtype):
        raise ValueError(f"{name} is {dtype} of {shape}, not {array.dtype} of {array.shape}")
    return stream


def _fill(archive: zipfile.ZipFile, name: str, array: NDArray[np.float32]) -> None:
    with _open_array(archive, name, array) as stream:
        room = memoryview(cast("Any", array)).cast("B")
        while len(room):
            n_read = stream.readinto(room)
            if not n_read:
                raise EOFError(f"{name} ends early")
            room = room[n_read:]
