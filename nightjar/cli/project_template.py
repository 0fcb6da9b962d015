"""New projects: the templates inside the package, and writing one into a directory.

A template is a directory of files. Two files of ``text`` are links to those at the top of the
repository; a wheel contains their content. Other templates take from ``text`` what they lack, and
have data that a module of this package makes up. Only the pipeline's name differs between projects
of a template. A project is written completely or not at all, and never overwrites anything.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from secrets import token_hex

import yaml
from pydantic import TypeAdapter, ValidationError

import nightjar
from nightjar.cli.sample_graph import graph_files
from nightjar.cli.sample_shop import shop_files
from nightjar.config.sections import Name
from nightjar.errors import InputError

CONFIG_FILE = "pipeline_config.yaml"
DEPLOYMENTS_FILE = "prefect.yaml"
DEFAULT_TEMPLATE = "text"
DEFAULT_NAME = "nightjar"
TEMPLATES = Path(nightjar.__file__).parent / "templates"
SHIPPED_DEPLOYMENTS = TEMPLATES / DEFAULT_TEMPLATE / DEPLOYMENTS_FILE

_WRITTEN_AS = {"gitignore": ".gitignore"}  # git would apply it in the repository
_SHARED = ("gitignore", DEPLOYMENTS_FILE)
_DATA: Mapping[str, Callable[[], dict[str, str]]] = {"graph": graph_files, "items": shop_files}
_NAME_LINE = re.compile(
    r"^  name: nightjar +(# prefix of the registered models: )nightjar-", re.MULTILINE
)


@dataclass(frozen=True)
class NewProject:
    """What was written."""

    directory: Path
    files: tuple[str, ...]
    pipeline: str
    """The pipeline's name."""
    models: tuple[str, ...]
    """The names of its models."""


def write_project(directory: Path, template: str = DEFAULT_TEMPLATE) -> NewProject:
    """Write a template into a new or empty directory, which may contain other hidden files.

    Raises InputError, leaving nothing behind, when the template is unknown, when a file is in the
    way, and when the directory cannot be written.
    """
    try:
        target = directory.expanduser().resolve()
        name = target.name if _is_name(target.name) else DEFAULT_NAME
        texts = _texts(template, name)
        is_new = not target.exists()
        _refuse_what_is_in_the_way(directory, target, texts)
        unfinished = (target.parent if is_new else target) / f".nightjar-init.{token_hex(4)}"
        unfinished.mkdir(parents=True)
        try:
            for file, text in texts.items():
                (unfinished / file).parent.mkdir(exist_ok=True)
                (unfinished / file).write_text(text, encoding="utf-8")
            if is_new:
                unfinished.rename(target)  # fails if files appeared there meanwhile
            else:
                _move_all(unfinished, target, texts)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: no such home directory
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(
            f"{directory}: the project cannot be written: {reason}; name another directory"
        ) from error
    models = yaml.safe_load(texts[CONFIG_FILE])["models"]
    return NewProject(directory, tuple(texts), name, tuple(models))


def templates() -> list[str]:
    """The names of the templates, the default one first."""
    names = {path.name for path in TEMPLATES.iterdir() if path.is_dir()}
    return [DEFAULT_TEMPLATE, *sorted(names - {DEFAULT_TEMPLATE})]


def _texts(template: str, name: str) -> dict[str, str]:
    """The contents of a project's files, by their paths in it."""
    known = templates()
    if template not in known:
        raise InputError(f"there is no template {template!r}; there are {', '.join(known)}")
    shared = {file: TEMPLATES / DEFAULT_TEMPLATE / file for file in _SHARED}
    paths = shared | {path.name: path for path in (TEMPLATES / template).iterdir()}
    texts = {
        _WRITTEN_AS.get(file, file): paths[file].read_text(encoding="utf-8")
        for file in sorted(paths)
    }
    texts[CONFIG_FILE] = _NAME_LINE.sub(partial(_name_line, name), texts[CONFIG_FILE])
    texts["README.md"] = (
        texts["README.md"]
        .replace("# nightjar\n", f"# {name}\n", 1)
        .replace("models:/nightjar-", f"models:/{name}-")
    )
    return texts | _DATA.get(template, dict)()


def _name_line(name: str, found: re.Match[str]) -> str:
    # Without quotes, a name such as 2026 or on is not a string in YAML.
    value = name if yaml.safe_load(name) == name else f'"{name}"'
    return f"  name: {value:<19} {found[1]}{name}-"


def _is_name(name: str) -> bool:
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError:
        return False
    return True


def _refuse_what_is_in_the_way(directory: Path, target: Path, texts: dict[str, str]) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise InputError(f"{directory} is a file; name a new or empty directory")
    names = _top_names(texts)
    for found in sorted(target.iterdir()):
        if found.name in names:
            raise InputError(
                f"{directory / found.name} is there already, and nothing is overwritten; name a "
                f"new or empty directory"
            )
        if not found.name.startswith("."):
            raise InputError(
                f"{directory} is not empty: {found.name} is there; name a new or empty directory"
            )


def _move_all(source: Path, target: Path, texts: dict[str, str]) -> None:
    """Move all files or none."""
    moved: list[Path] = []
    try:
        for name in _top_names(texts):
            (source / name).rename(target / name)
            moved.append(target / name)
    except BaseException:
        for path in moved:
            with suppress(OSError):
                path.rename(source / path.name)  # which is deleted
        raise


def _top_names(texts: Mapping[str, str]) -> list[str]:
    """The files and folders at the top of a project."""
    return list(dict.fromkeys(Path(file).parts[0] for file in texts))
