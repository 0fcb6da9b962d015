"""Paths of a user: files to read, and what may be written.

Input files are plain paths, globs, and files inside an installed package:
``package:gensim/test/test_data/lee_background.cor`` names a file that an installed package ships.
The package is located without importing it, so that planning a run stays fast.
"""

from __future__ import annotations

import glob
import importlib.util
import os
import secrets
from pathlib import Path, PurePosixPath

from nightjar.errors import InputError

PACKAGE_SCHEME = "package:"
SPECIAL = "a device, a pipe or a socket"
"""What is neither a file nor a folder: reading it may never end, and it is not to be replaced."""


def resolve_pattern(pattern: str, base_dir: Path) -> Path:
    """The absolute path (or glob) for ``pattern``.

    Relative paths start at ``base_dir``, ``~`` is the home directory, and ``package:NAME/FILE`` is
    in the installed package NAME. Raises InputError when that package is not installed, when FILE
    leaves it through ``..``, or when a home directory is unknown.
    """
    return Path(*_split(pattern, base_dir))


def expand(pattern: str, base_dir: Path) -> list[Path]:
    """The files that ``pattern`` matches, sorted; empty when there is none.

    A path that exists is taken literally even if it has glob characters, and ``base_dir`` is never
    a glob. ``**`` matches any number of directories; a leading dot must be explicit. Directories
    are never part of the result. Raises InputError as :func:`resolve_pattern` does, and when the
    system fails to look a path up.
    """
    root, rest = _split(pattern, base_dir)
    try:
        if (root / rest).is_file():
            return [root / rest]
        if not glob.has_magic(rest):
            return []
        matches = glob.glob(rest, root_dir=root, recursive=True)  # noqa: PTH207 (root is literal)
        return sorted({root / match for match in matches if (root / match).is_file()})
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{pattern}: cannot be looked up ({reason}); check the path") from error


def special_file(path: Path) -> Path | None:
    """``path``, or what is in it, if it is SPECIAL.

    A link that leads nowhere is none: to read it fails at once.
    """
    inside = path.rglob("*") if path.is_dir() else ()
    return next(
        (
            found
            for found in (path, *inside)
            if not (found.is_file() or found.is_dir()) and found.exists()
        ),
        None,
    )


def why_no_file(path: Path) -> str:
    """Why what is at ``path`` is no file that can be read, and what to do; "" if nothing is."""
    if path.is_dir():
        return "is a directory; name a file in it"
    if path.is_symlink() and not path.exists():
        return f"is a link to {path.readlink()}, which does not exist; correct the link"
    if path.exists():
        return f"is {SPECIAL}; write its content into a file"
    return ""


def check_output(path: Path, *, replaces: bool = True, may_be_folder: bool = False) -> None:
    """Raise InputError unless ``path`` can be written, or replaced.

    A device or a pipe would be replaced by a file, for every program that uses it; so would the
    folder in which a user stands. ``replaces`` says whether what is there may go at all.
    """
    try:
        is_there, is_folder, is_file = path.exists(), path.is_dir(), path.is_file()
        is_above = is_folder and Path.cwd().is_relative_to(path.resolve())
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from error
    if path.name in ("", "..") or is_above:
        raise InputError(
            f"{path} cannot be written: it is the current folder, or one above it; name a file or "
            f"folder in it"
        )
    if is_folder and not may_be_folder:
        raise InputError(f"{path} cannot be written: it is a folder; name a file")
    if is_there and not (is_file or is_folder):
        raise InputError(f"{path} cannot be written: it is {SPECIAL}; name a file")
    if is_there and not replaces:
        raise InputError(f"{path} is there already; choose another path, or add --force")


def unfinished_beside(path: Path) -> Path:
    """A new name in the folder of ``path``, short whatever its name, until it is renamed."""
    return path.with_name(f".nightjar-{os.getpid()}-{secrets.token_hex(4)}")


def _split(pattern: str, base_dir: Path) -> tuple[Path, str]:
    """The directory that ``pattern`` starts from, and the rest, which may be a glob."""
    if pattern.startswith(PACKAGE_SCHEME):
        return _split_package(pattern)
    if pattern.startswith("~"):
        home, _, rest = pattern.partition("/")
        try:
            return Path(home).expanduser(), rest
        except RuntimeError as error:
            raise InputError(
                f"{pattern}: there is no home directory {home}; write the whole path"
            ) from error
    path = PurePosixPath(pattern)
    if path.is_absolute():
        return Path(path.anchor), str(path.relative_to(path.anchor))
    return base_dir, pattern


def _split_package(pattern: str) -> tuple[Path, str]:
    package, _, inside = pattern.removeprefix(PACKAGE_SCHEME).partition("/")
    inside = inside.lstrip("/")
    try:
        spec = importlib.util.find_spec(package) if package.isidentifier() else None
    except ValueError:  # __main__ has no spec
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            f"{pattern}: there is no installed package {package!r}; "
            f"install it or name a file by its path"
        )
    if ".." in PurePosixPath(inside).parts:
        raise InputError(
            f"{pattern}: '..' would leave the package; name a file outside it by its path"
        )
    # A namespace package may have several directories: the first with the file counts.
    locations = [Path(location) for location in spec.submodule_search_locations]
    return next((root for root in locations if (root / inside).exists()), locations[0]), inside
