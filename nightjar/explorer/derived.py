"""Derived arrays on disk: a directory of NumPy files and a description, complete or missing."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nightjar.store import named_write_errors

_DESCRIPTION = "derived.json"
Arrays = dict[str, NDArray[Any]]


def read_arrays(directory: Path, shapes: Mapping[str, tuple[int, ...]]) -> Arrays | None:
    """Memory-map the arrays; None when one is missing, truncated or of another shape."""
    try:
        sizes = json.loads((directory / _DESCRIPTION).read_text(encoding="utf-8"))
        arrays: Arrays = {}
        for name, shape in shapes.items():
            path = directory / f"{name}.npy"
            if path.stat().st_size != sizes[name]:
                return None
            arrays[name] = np.load(path, mmap_mode="r", allow_pickle=False).view(np.ndarray)
            if arrays[name].shape != shape:
                return None
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None
    return arrays


def write_arrays(directory: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write the arrays beside ``directory`` and rename them. Raises StoreNotWritable."""
    root = directory.parents[1]
    with named_write_errors(root):
        directory.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=directory.parent) as temporary:
            written = Path(temporary) / "written"
            written.mkdir()
            sizes = {}
            for name, array in arrays.items():
                path = written / f"{name}.npy"
                np.save(path, array, allow_pickle=False)
                sizes[name] = path.stat().st_size
            (written / _DESCRIPTION).write_text(json.dumps(sizes) + "\n", encoding="utf-8")
            with suppress(FileNotFoundError):  # damaged, or another process has just written it
                directory.rename(Path(temporary) / "former")
            try:
                written.rename(directory)
            except OSError:
                if not directory.is_dir():  # else another process was first
                    raise
            shutil.rmtree(Path(temporary) / "former", ignore_errors=True)
