"""``nightjar init``: writes a new project."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from nightjar.cli.outputs import print_line
from nightjar.cli.project_template import DEFAULT_TEMPLATE, NewProject, write_project
from nightjar.cli.terminal import Terminal

app = typer.Typer()


@app.command()
def init(
    directory: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="A new or empty directory (hidden files do not count). Its name becomes the "
            "pipeline's if it has only lower-case letters, digits and dashes; else: nightjar.",
        ),
    ],
    template: Annotated[
        str,
        typer.Option(
            help="Start from this template: text (words of a text), graph (nodes) or items (what "
            "users click). Each has a sample and needs no network."
        ),
    ] = DEFAULT_TEMPLATE,
) -> None:
    """Write a project that runs at once: config, nightly deployment, README. Overwrites nothing.

    The sample of text is in the installation; those of a graph and of events are written into
    data/.
    """
    _tell(
        Terminal(),
        write_project(directory, template),
        directory.expanduser().resolve() == Path.cwd(),
        _OWN.get(template, "data"),
    )


_OWN = {"text": "text", "graph": "graph", "items": "events"}


def _tell(console: Console, project: NewProject, is_here: bool, own: str) -> None:
    tell = partial(print_line, console)
    tell(f"Wrote into {project.directory}:")
    for file in project.files:
        tell(f"  {file}")
    names = ", ".join(f"{project.pipeline}-{model}" for model in project.models)
    tell(f"It registers {names} (pipeline.name).")
    tell("Next:")
    if not is_here:
        tell(f"  cd {shlex.quote(str(project.directory))}")
    tell("  nightjar plan     # what would run, why, and what it needs")
    tell("  nightjar run      # train, evaluate and register on the sample: about a minute")
    tell("  nightjar serve    # the same every night, until Ctrl-C")
    tell(f"README.md says how to name your own {own}.")
