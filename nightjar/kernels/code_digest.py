"""The code that shapes a result, as a hash that ignores comments, docstrings and layout.

A trainer's vectors are shaped by its module and its imports, including kernels and compiler flags.
:func:`code_digest` follows the imports within the package, wherever in a module they are, and
hashes what each module does: its syntax tree without positions, docstrings, types of arguments and
local variables, and log messages. Modules are read, not imported, and the hash is the same under
every version of Python.

``from module import name`` includes all of that module. So code that must not count is in modules
of its own, which are left out: :data:`NOT_SHAPING`, and those that a caller names.

Parsing takes a fifth of a second at every start, so results are cached by the content of the files,
in the user's cache directory. If that cannot be read or written, they are computed again.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The directory that contains the package."""

NOT_SHAPING = (
    *("nightjar.config", "nightjar.core", "nightjar.errors", "nightjar.progress"),
    "nightjar.kernels.machine_code",
    *("nightjar.files.paths", "nightjar.files.urls", "nightjar.store", "nightjar.wording"),
)
"""Left out of every digest, because they decide where and how work is done and what is said about
it, not its result. Values of the configuration are in each identity anyway; the tables' columns are
checked by the test that pins what each stage writes (tests/test_revisions.py)."""

_SKIPPED_FIELDS = frozenset(("ctx", "kind", "type_comment", "type_ignores", "type_params"))
"""Fields of syntax trees without meaning here."""


_MAX_KEPT = 500
"""Modules whose analysis is cached on disk: those of a few versions of this package."""


def code_digest(*names: str, without: Sequence[str] = (), root: Path = ROOT) -> str:
    """Hex sha256 of what the modules ``names``, and all that they import, do.

    For a package, all its modules count. ``without`` names modules and packages that are left out,
    with their imports. Raises ValueError for a name that is not a module below ``root``.
    """
    return (_digest_of_package if root == ROOT else _digest)(names, tuple(without), root)


def _digest(names: tuple[str, ...], without: tuple[str, ...], root: Path) -> str:
    digest = hashlib.sha256()
    for name, module in _shaping(names, without, root).items():
        digest.update(f"{name}\0{module.digest}\0".encode())
    return digest.hexdigest()


_digest_of_package = cache(_digest)
"""Once in a process, like its code: whoever edits a file later starts another one."""


def shaping_modules(*names: str, without: Sequence[str] = (), root: Path = ROOT) -> tuple[str, ...]:
    """The names of the modules that :func:`code_digest` includes for the same arguments."""
    return tuple(_shaping(names, without, root))


@dataclass(frozen=True)
class _Module:
    digest: str
    """Hash of what it does."""
    imports: tuple[tuple[str, str], ...]
    """Module or package, and the name that is imported from it; "" for the module itself."""


def _shaping(names: Sequence[str], without: Sequence[str], root: Path) -> dict[str, _Module]:
    """All modules that count, by name."""
    left_out = (*NOT_SHAPING, *without)
    known = _known()
    n_known = len(known)
    pending = [module for name in names for module in _modules_of(name, root)]
    found: dict[str, _Module] = {}
    while pending:
        name = pending.pop()
        if name in found or any(f"{name}.".startswith(f"{other}.") for other in left_out):
            continue
        path = _path_of(name, root)
        if path is None:
            raise ValueError(f"{name} is no module below {root}")
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        source = path.read_bytes()
        key = hashlib.sha256(b"\0".join((_own_source(), package.encode(), source))).hexdigest()
        found[name] = known[key] = known.get(key) or _analysed(source, package)
        is_own = f"{name.partition('.')[0]}."
        pending += [
            _imported(module, attribute, root)
            for module, attribute in found[name].imports
            if f"{module}.".startswith(is_own)
        ]
    if len(known) > n_known:
        _keep(known)
    return dict(sorted(found.items()))


@cache
def _own_source() -> bytes:
    """The source of this module: results of other versions of it are not used."""
    return Path(__file__).read_bytes()


def _kept_path() -> Path:
    home = os.path.expanduser("~")  # noqa: PTH111 (Path.home raises where there is none)
    return Path(os.environ.get("XDG_CACHE_HOME") or f"{home}/.cache") / "nightjar" / "code.json"


@cache
def _known() -> dict[str, _Module]:
    """Cached results of an earlier process, by hash of the module's content."""
    try:
        kept = json.loads(_kept_path().read_bytes())
        return {
            key: _Module(str(digest), tuple((str(module), str(name)) for module, name in imports))
            for key, (digest, imports) in kept.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}  # missing, or not ours


def _keep(known: dict[str, _Module]) -> None:
    """Replace the cache file; the oldest results are dropped first."""
    latest = list(known.items())[-_MAX_KEPT:]
    text = json.dumps({key: (module.digest, module.imports) for key, module in latest})
    path = _kept_path()
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=path.parent) as directory:
            written = Path(directory) / path.name
            written.write_text(text, encoding="ascii")
            written.replace(path)


def _modules_of(name: str, root: Path) -> Iterator[str]:
    """The module ``name``; for a package, all its modules."""
    yield name
    for path in root.joinpath(*name.split(".")).rglob("*.py"):
        parts = path.relative_to(root).with_suffix("").parts
        yield ".".join(parts[:-1] if path.name == "__init__.py" else parts)


def _path_of(name: str, root: Path) -> Path | None:
    place = root.joinpath(*name.split("."))
    for path in (place / "__init__.py", place.with_suffix(".py")):
        if path.is_file():
            return path
    return None


def _imported(module: str, attribute: str, root: Path) -> str:
    """The module that ``from module import attribute`` refers to."""
    name = f"{module}.{attribute}"
    return name if attribute and _path_of(name, root) is not None else module


def _analysed(source: bytes, package: str) -> _Module:
    """What the module with ``source``, in ``package``, does and imports."""
    tree = ast.parse(source)
    first = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    rest = [node for node in tree.body if not isinstance(node, ast.Import | ast.ImportFrom)]
    # The order and line breaks of imports are layout.
    parts = sorted(
        f"{module}\0{attribute}\0{alias}"
        for node in first
        for module, attribute, alias in _names(node, package)
    )
    _describe_body(rest, parts, is_class=False)
    imports = {
        (module, attribute)
        for node in _executed(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for module, attribute, _ in _names(node, package)
    }
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return _Module(digest, tuple(sorted(imports)))


def _names(node: ast.Import | ast.ImportFrom, package: str) -> Iterator[tuple[str, str, str]]:
    """Imports: module, name in it or "", and local name or ""."""
    if isinstance(node, ast.Import):
        yield from ((alias.name, "", alias.asname or "") for alias in node.names)
        return
    module = node.module or ""
    if node.level:
        parents = package.split(".")[: len(package.split(".")) - node.level + 1]
        module = ".".join((*parents, module) if module else parents)
    yield from ((module, alias.name, alias.asname or "") for alias in node.names)


def _executed(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes of ``tree`` except those that only a type checker sees."""
    pending = [tree]
    while pending:
        node = pending.pop()
        yield node
        pending += [child for child in ast.iter_child_nodes(node) if not _is_for_types(child)]


def _is_for_types(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
    )


def _is_idle(node: ast.AST) -> bool:
    """Whether a statement has no effect on results: docstrings, pass, logging, types."""
    if isinstance(node, ast.Pass) or _is_for_types(node):
        return True
    if not isinstance(node, ast.Expr):
        return False
    value = node.value
    if isinstance(value, ast.Constant):
        return True
    return (
        isinstance(value, ast.Call)
        and isinstance(value.func, ast.Attribute)
        and isinstance(value.func.value, ast.Name)
        and value.func.value.id == "logger"
    )


def _describe_body(nodes: Iterable[ast.AST], parts: list[str], *, is_class: bool) -> None:
    for node in nodes:
        if not _is_idle(node):
            _describe(node, parts, is_field=is_class)


def _describe(node: ast.AST, parts: list[str], *, is_field: bool = False) -> None:
    """Append what distinguishes ``node``, including the types of a class' fields."""
    if isinstance(node, ast.AnnAssign) and not is_field:
        if node.value is None:
            return
        node = ast.Assign(targets=[node.target], value=node.value)
    parts += (type(node).__name__, "(")
    for name in node._fields:
        value = getattr(node, name, None)
        if value in (None, []) or name in _SKIPPED_FIELDS or _is_type_of_function(node, name):
            continue
        parts += (name, "=")
        if isinstance(value, ast.AST):
            _describe(value, parts)
        elif not isinstance(value, list):
            parts.append(ascii(value))
        elif name in ("body", "orelse", "finalbody"):
            _describe_body(value, parts, is_class=isinstance(node, ast.ClassDef))
        else:
            _describe_list(value, parts, is_text=isinstance(node, ast.JoinedStr))
    parts.append(")")


def _is_type_of_function(node: ast.AST, field: str) -> bool:
    return field == "returns" or (field == "annotation" and isinstance(node, ast.arg))


def _describe_list(
    values: Sequence[ast.AST | str | None], parts: list[str], *, is_text: bool
) -> None:
    """As :func:`_describe`; ``is_text`` is for f-strings, which some Pythons give empty pieces."""
    for value in values:
        if isinstance(value, ast.Constant) and value.value == "" and is_text:
            continue
        if isinstance(value, ast.AST):
            _describe(value, parts)
        else:
            parts.append(ascii(value))
        parts.append(",")
