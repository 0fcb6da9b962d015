"""Rules for all code of the package that no linter knows: names, and how much a function takes."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from conftest import PROJECT_ROOT

MAX_PARAMETERS = 9


def modules() -> Iterator[Path]:
    """Every module; ``nightjar/flows`` and ``nightjar/tasks`` are links, met as what they are."""
    for directory in ("nightjar", "flows", "tasks"):
        for path in sorted((PROJECT_ROOT / directory).rglob("*.py")):
            place = path.relative_to(PROJECT_ROOT)
            if place.parts[:2] not in (("nightjar", "flows"), ("nightjar", "tasks")):
                yield place


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """All that a module's syntax tree is made of."""
    return tuple(ast.walk(ast.parse((PROJECT_ROOT / path).read_text(encoding="utf-8"))))


def repeated(found: Iterable[tuple[str, Path]]) -> dict[str, list[str]]:
    """The names that stand in several places, with these places."""
    places = defaultdict(list)
    for name, path in found:
        places[name].append(str(path))
    return {name: paths for name, paths in places.items() if len(paths) > 1}


def test_a_module_name_stands_for_one_module() -> None:
    assert repeated((path.stem, path) for path in modules() if path.stem != "__init__") == {}


def test_a_class_name_stands_for_one_class() -> None:
    classes = (
        (node.name, path)
        for path in modules()
        for node in nodes(path)
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert repeated(classes) == {}


def n_parameters(arguments: ast.arguments) -> int:
    """All of them: ``self``, keyword-only ones, ``*args`` and ``**kwargs``, too."""
    named = arguments.posonlyargs + arguments.args + arguments.kwonlyargs
    return len(named) + (arguments.vararg is not None) + (arguments.kwarg is not None)


def test_no_function_takes_more_than_nine_parameters() -> None:
    """Kernels do: numba compiles arrays and scalars best."""
    too_many = [
        f"{path}:{node.lineno} takes {n_parameters(node.args)}"
        for path in modules()
        if not path.is_relative_to("nightjar/kernels")
        for node in nodes(path)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        and n_parameters(node.args) > MAX_PARAMETERS
    ]
    assert too_many == []
