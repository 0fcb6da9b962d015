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
        str, typer.Option(help="Start from this template; text: an offline sample.")
    ] = DEFAULT_TEMPLATE,
) -> None:
    """Write a project that runs at once: config, nightly deployment, README. Overwrites nothing.

    The config reads a sample of text from the installation.
    """
    _tell(
        Terminal(),
        write_project(directory, template),
        directory.expanduser().resolve() == Path.cwd(),
    )


def _tell(console: Console, project: NewProject, is_here: bool) -> None:
    tell = partial(print_line, console)
    tell(f"Wrote into {project.directory}:")
    for file in project.files:
        tell(f"  {file}")
    tell(f"Its models are registered as {project.pipeline}-glove, ... (pipeline.name).")
    tell("Next:")
    if not is_here:
        tell(f"  cd {shlex.quote(str(project.directory))}")
    tell("  nightjar plan     # what would run, why, and what it needs")
    tell("  nightjar run      # train, evaluate and register on the sample: about a minute")
    tell("  nightjar serve    # the same every night, until Ctrl-C")
    tell("README.md says how to name your own text.")
