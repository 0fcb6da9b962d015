"""Compiled loops of the native trainers: plain functions of arrays and scalars.

They import numpy and numba alone and hold no state; random numbers come in as arguments.
Shapes and dtypes are in each docstring. Compilation and its cache: :mod:`nightjar.compilation`.
This package module imports neither, so that the hash of the sources is cheap to ask for.
"""

from __future__ import annotations

import hashlib
from pathlib import Path


def sources_sha256() -> str:
    """Hex sha256 over the names and bytes of all kernel sources.

    It enters the version of what the kernels compute: a changed kernel never meets results of
    an older one.
    """
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
