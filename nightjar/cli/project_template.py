"""New projects: the templates inside the package, and writing one into a directory.

A template is a directory of files. Two files of ``text`` are links to those at the top of the
repository; a wheel contains their content. Only the pipeline's name differs between projects. A
project is written completely or not at all, and never overwrites anything.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

import yaml
from pydantic import TypeAdapter, ValidationError

import nightjar
from nightjar.config.sections import Name
from nightjar.errors import InputError

CONFIG_FILE = "pipeline_config.yaml"
DEPLOYMENTS_FILE = "prefect.yaml"
DEFAULT_TEMPLATE = "text"
DEFAULT_NAME = "nightjar"
TEMPLATES = Path(nightjar.__file__).parent / "templates"
SHIPPED_DEPLOYMENTS = TEMPLATES / DEFAULT_TEMPLATE / DEPLOYMENTS_FILE

_WRITTEN_AS = {"gitignore": ".gitignore"}  # git would apply it in the repository
_NAME_LINE = "  name: nightjar            # prefix of the registered models: nightjar-glove, ...\n"


@dataclass(frozen=True)
class NewProject:
    """What was written."""

    directory: Path
    files: tuple[str, ...]
    pipeline: str
    """The pipeline's name."""


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
    return NewProject(directory, tuple(texts), name)


def _texts(template: str, name: str) -> dict[str, str]:
    """The contents of a project's files, by name."""
    known = sorted(path.name for path in TEMPLATES.iterdir() if path.is_dir())
    if template not in known:
        raise InputError(f"there is no template {template!r}; there is {', '.join(known)}")
    texts = {
        _WRITTEN_AS.get(path.name, path.name): path.read_text(encoding="utf-8")
        for path in sorted((TEMPLATES / template).iterdir())
    }
    texts[CONFIG_FILE] = texts[CONFIG_FILE].replace(_NAME_LINE, _name_line(name))
    texts["README.md"] = (
        texts["README.md"]
        .replace("# nightjar\n", f"# {name}\n", 1)
        .replace("models:/nightjar-", f"models:/{name}-")
    )
    return texts


def _name_line(name: str) -> str:
    # Without quotes, a name such as 2026 or on is not a string in YAML.
    value = name if yaml.safe_load(name) == name else f'"{name}"'
    return f"  name: {value:<19} # prefix of the registered models: {name}-glove, ...\n"


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
    for found in sorted(target.iterdir()):
        if found.name in texts:
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
        for file in texts:
            (source / file).rename(target / file)
            moved.append(target / file)
    except BaseException:
        for path in moved:
            with suppress(OSError):
                path.unlink()
        raise
