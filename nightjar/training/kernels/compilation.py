"""Compiling kernels with numba, once per version of their sources.

numba decides by one file's time stamp whether cached machine code is fresh, so a changed
function in another kernel file, inlined into this one, goes unnoticed. Here the cache
directory is named by a hash of all kernel sources instead: in NUMBA_CACHE_DIR if that is
set, else in the user's cache directory, else (no home, or read-only) in a private directory
below the system's temporary one. numba keys the files by processor and its own version and
replaces them atomically, so processes and machines may share the directory.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import numba

from nightjar.training.kernels import sources_sha256

P = ParamSpec("P")
R = TypeVar("R")

_CONFIG: Any = numba.config
"""Filled from the environment when numba is imported, so its attributes have no types."""

_FAST_SUMS = frozenset(("reassoc", "contract", "nsz", "arcp"))
"""Sums in any order, fused multiply-add, reciprocals; NaN and infinities keep their meaning."""


def compiled(*, has_fast_sums: bool = False) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorator: compile a function on its first call, without the interpreter lock.

    Division by zero gives an infinity or NaN, as in numpy: the check that Python's
    ZeroDivisionError would need keeps loops from being vectorised (3.5 times slower).
    ``has_fast_sums`` lets the compiler reorder float sums, which vectorises them; the result
    is still the same run after run on one machine.
    """

    def compile_lazily(function: Callable[P, R]) -> Callable[P, R]:
        with _numba_cache_dir(_cache_dir()):
            dispatcher = numba.njit(
                cache=True,
                nogil=True,
                error_model="numpy",
                fastmath=set(_FAST_SUMS) if has_fast_sums else False,
            )(function)
        return cast("Callable[P, R]", dispatcher)

    return compile_lazily


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: part of the kernels that call it, where constants of theirs stay constant."""
    return cast("Callable[P, R]", numba.njit(inline="always")(function))


@contextmanager
def _numba_cache_dir(directory: Path) -> Iterator[None]:
    """Point numba's cache at ``directory``; a kernel remembers it from its decoration on."""
    previous = _CONFIG.CACHE_DIR
    _CONFIG.CACHE_DIR = str(directory)
    try:
        yield
    finally:
        _CONFIG.CACHE_DIR = previous


@cache
def _cache_dir() -> Path:
    """The first of the places named above that can be written, with the key below it."""
    key = sources_sha256()[:16]
    if _CONFIG.BOUNDSCHECK:
        key += "-boundscheck"  # numba's own key leaves this out
    for place in _places():
        directory = place / key
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(directory, os.W_OK | os.X_OK):
            return directory
    return Path(tempfile.mkdtemp(prefix="nightjar-kernels-"))


def _places() -> Iterator[Path]:
    if _CONFIG.CACHE_DIR:
        yield Path(_CONFIG.CACHE_DIR) / "nightjar-kernels"
    home = os.path.expanduser("~")  # noqa: PTH111 (Path.home raises where there is none)
    yield Path(os.environ.get("XDG_CACHE_HOME") or f"{home}/.cache") / "nightjar" / "kernels"
    private = Path(tempfile.gettempdir()) / f"nightjar-kernels-{os.getuid()}"
    # Machine code is loaded from there: nobody else may have made it or write to it.
    try:
        private.mkdir(mode=0o700, exist_ok=True)
        found = private.lstat()
    except OSError:
        return
    if found.st_uid == os.getuid() and stat.S_ISDIR(found.st_mode) and not found.st_mode & 0o022:
        yield private
