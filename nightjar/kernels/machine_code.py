"""The cache for machine code of kernels, one directory per version of their sources.

numba decides by one file's time stamp whether cached machine code is fresh, so it misses a change
in another kernel file whose functions are inlined into this one. Here the cache directory is named
after a hash of all kernel sources instead, and the target of the machine code (processor,
versions). It is in NUMBA_CACHE_DIR if that is set, else in the user's cache directory, else (no
home, or read-only) in a private directory below the system's temporary one. If none works, every
process compiles for itself. Directories of former sources are removed when they have not been used
for a while.

A kernel made by a factory is one function in numba's index, whatever sizes it is made for; its key
holds the values of the closure. The index is read, extended and replaced: two processes that do so
at once would give two kernels the same file, so it is locked.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import pickle
import platform
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import numba
from llvmlite import binding
from numba.core.caching import CompileResultCacheImpl, FunctionCache, UserProvidedCacheLocator
from numba.core.runtime import nrt as _nrt

logger = logging.getLogger(__name__)

_CONFIG: Any = numba.config
"""Filled from the environment when numba is imported, so its attributes are untyped."""

_OWN = Path(__file__).absolute().parent
"""The directory of the kernels' sources."""
_KEPT_DIRECTORIES = 3
"""The newest directories of machine code are never removed, up to this number."""
_UNUSED_SECONDS = 7 * 86_400.0
"""Others are removed when they were not used for this long."""
_DIRECTORY_NAME = re.compile(r"[0-9a-f]{16}(-[a-z0-9-]+)?")
_LOCK_NAME = ".lock"
_LOCK_SECONDS = 20.0
"""Who holds the lock writes one file. For longer than this only a stopped process keeps it."""
_LOCK_POLL_SECONDS = 0.01
_DAMAGE = (
    *(OSError, EOFError, pickle.UnpicklingError, ValueError, TypeError, AttributeError),
    *(ImportError, IndexError, KeyError, RuntimeError),
)
"""Errors from loading a truncated or foreign file: pickle may raise any of these."""


class _Place(UserProvidedCacheLocator):
    """Where machine code of these kernels is, wherever their sources are and whenever written.

    numba names a directory after the path of the source, and compares time stamps. Here the
    directory above is named after the text of all sources, so another installation or checkout of
    the same kernels needs nothing compiled.
    """

    @classmethod
    def get_suitable_cache_subpath(cls, py_file: str) -> str:
        """The directory's name, which is numba's own for a function of another package."""
        if _is_ours(py_file):
            return _OWN.name
        return str(super().get_suitable_cache_subpath(py_file))  # type: ignore[no-untyped-call]

    def get_source_stamp(self) -> Any:
        """The same for the same sources."""
        if _is_ours(self._py_file):
            return None
        return super().get_source_stamp()  # type: ignore[no-untyped-call]


def _is_ours(py_file: str) -> bool:
    return Path(py_file).absolute().parent == _OWN


class _Machinery(CompileResultCacheImpl):
    _locator_classes = [_Place]  # noqa: RUF012


class _SharedCache(FunctionCache):
    """numba's cache of one function, safe for several processes and disks with errors.

    What cannot be read is compiled again; what cannot be written is not cached.
    """

    _impl_class = _Machinery

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The machine code for the signature ``sig``, or None when it must be compiled.

        numba prepares its compiler before it loads anything, which takes half a second and imports
        scipy. Cached code needs none of that, and compiling does it anyway.
        """
        try:
            _nrt.rtsys.initialize(target_context)
            with self._guard_against_spurious_io_errors():
                return self._load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        except _DAMAGE as error:
            logger.warning("%s: damaged, compiled again (%s)", self.cache_path, error)
            with suppress(OSError), _lock(Path(self.cache_path)):
                self.flush()  # type: ignore[no-untyped-call]
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Cache machine code; warns when it cannot be written."""
        directory = Path(self.cache_path)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            with _lock(directory):
                super().save_overload(sig, data)  # type: ignore[no-untyped-call]
        except _DAMAGE as error:
            logger.warning("%s: cannot be written, compiled in every run: %s", directory, error)
            return
        _remove_unused(directory.parent)


@contextmanager
def _lock(directory: Path) -> Iterator[None]:
    """Let only one process at a time change the indexes in ``directory``.

    On a file system without locks, continues without one, since there is no alternative. Raises
    TimeoutError when another process does not give it up.
    """
    with (directory / _LOCK_NAME).open("ab") as stream:
        until = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() > until:
                    raise TimeoutError(
                        f"another process has held {directory / _LOCK_NAME} for "
                        f"{_LOCK_SECONDS:.0f} s; is it stopped? 'fuser' names it"
                    ) from error
                time.sleep(_LOCK_POLL_SECONDS)
            except OSError:
                break
            else:
                break
        yield


def keep_machine_code(dispatcher: Any, function: Callable[..., Any]) -> None:
    """Let numba's ``dispatcher`` of ``function`` load and cache its machine code, if possible."""
    directory = _cache_dir()
    if directory is not None:
        with _numba_cache_dir(directory):
            # As cache=True does.
            dispatcher._cache = _SharedCache(function)  # type: ignore[no-untyped-call] # noqa: SLF001


@contextmanager
def _numba_cache_dir(directory: Path) -> Iterator[None]:
    """Point numba's cache at ``directory``; a kernel remembers it from when it was decorated."""
    previous = _CONFIG.CACHE_DIR
    _CONFIG.CACHE_DIR = str(directory)
    try:
        yield
    finally:
        _CONFIG.CACHE_DIR = previous


@cache
def _cache_dir() -> Path | None:
    """The first writable one of the places named above, with the key below it.

    Its modification time is the time of its last use.
    """
    for place in _places():
        directory = place / _key()
        try:
            directory.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=directory).close()
            os.utime(directory)
        except OSError:
            continue
        return directory
    logger.warning(
        "no directory for compiled kernels can be written, every run compiles them: set "
        "NUMBA_CACHE_DIR to one that can"
    )
    return None


def _key() -> str:
    """The sources, and the target of the machine code: processor, Python, numba, checks."""
    features = sorted(name for name, is_on in binding.get_host_cpu_features().items() if is_on)
    machine = "\0".join(
        (
            *(platform.machine(), binding.get_host_cpu_name(), *features),
            *(platform.python_version(), numba.__version__, llvmlite.__version__),
        )
    )
    checks = "-boundscheck" if _CONFIG.BOUNDSCHECK else ""  # numba's own key lacks this
    return f"{_sources_sha256()[:16]}{checks}-{hashlib.sha256(machine.encode()).hexdigest()[:8]}"


_NO_KERNELS = ("__init__.py", "code_digest.py", "machine_code.py")


def _sources_sha256() -> str:
    """Hex sha256 of all kernels and their flags."""
    package = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).as_posix()
        if name not in _NO_KERNELS:
            digest.update(f"{name}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _remove_unused(directory: Path) -> None:
    """Remove directories beside ``directory`` that no process has used for a week.

    Three are kept whatever their age. A running process whose directory was removed creates it
    again when it compiles something.
    """
    try:
        used_at = {
            path: path.stat().st_mtime
            for path in directory.parent.iterdir()
            if _DIRECTORY_NAME.fullmatch(path.name) and path.is_dir() and not path.is_symlink()
        }
    except OSError:
        return
    oldest_kept = time.time() - _UNUSED_SECONDS
    for path in sorted(used_at, key=lambda path: -used_at[path])[_KEPT_DIRECTORIES:]:
        if path != directory and used_at[path] < oldest_kept:
            shutil.rmtree(path, ignore_errors=True)


def _places() -> Iterator[Path]:
    if _CONFIG.CACHE_DIR:
        yield Path(_CONFIG.CACHE_DIR) / "nightjar-kernels"
    home = os.path.expanduser("~")  # noqa: PTH111 (Path.home raises where there is none)
    yield Path(os.environ.get("XDG_CACHE_HOME") or f"{home}/.cache") / "nightjar" / "kernels"
    private = Path(tempfile.gettempdir()) / f"nightjar-kernels-{os.getuid()}"
    # Machine code is loaded from there, so nobody else may have created it or may write to it.
    try:
        private.mkdir(mode=0o700, exist_ok=True)
        found = private.lstat()
    except OSError:
        return
    if found.st_uid == os.getuid() and stat.S_ISDIR(found.st_mode) and not found.st_mode & 0o022:
        yield private
