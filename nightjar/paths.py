"""Where input files are: plain paths, globs, and files inside an installed package.

``package:gensim/test/test_data/lee_background.cor`` names a file that an installed
package ships. The package is located without importing it, so that planning a run stays
fast.
"""

from __future__ import annotations

import glob
import importlib.util
from pathlib import Path

from nightjar.errors import InputError

PACKAGE_SCHEME = "package:"
_GLOB_CHARACTERS = frozenset("*?[")


def resolve_pattern(pattern: str, base_dir: Path) -> Path:
    """The absolute path (or glob) that ``pattern`` stands for.

    Relative paths are taken from ``base_dir``, ``~`` is the home directory, and
    ``package:NAME/FILE`` lies in the installed package NAME. Raises InputError when that
    package is not installed.
    """
    if pattern.startswith(PACKAGE_SCHEME):
        package, _, inside = pattern.removeprefix(PACKAGE_SCHEME).partition("/")
        spec = importlib.util.find_spec(package) if package.isidentifier() else None
        if spec is None or not spec.submodule_search_locations:
            raise InputError(
                f"{pattern}: there is no installed package {package!r}; "
                f"install it or name a file by its path"
            )
        return Path(next(iter(spec.submodule_search_locations))) / inside
    path = Path(pattern).expanduser()
    return path if path.is_absolute() else base_dir / path


def expand(pattern: str, base_dir: Path) -> list[Path]:
    """The files that ``pattern`` matches, sorted; empty when there is none.

    A path that exists is taken literally even if it holds glob characters. ``**`` matches
    any number of directories. Directories are never part of the result.
    """
    path = resolve_pattern(pattern, base_dir)
    if path.is_file():
        return [path]
    if not _GLOB_CHARACTERS & set(str(path)):
        return []
    matches = glob.glob(str(path), recursive=True)  # noqa: PTH207 (Path.glob takes no absolute pattern)
    return sorted(match for match in map(Path, matches) if match.is_file())
