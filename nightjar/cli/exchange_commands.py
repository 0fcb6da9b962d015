"""The commands that exchange models with other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from nightjar.cli import exports, render
from nightjar.cli import importing_gensim as interchange
from nightjar.cli.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    NightOption,
    SetOption,
    print_json,
)
from nightjar.config import load_config
from nightjar.formats import FORMATS

app = typer.Typer()

_WhatArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL[@VERSION]",
        help="A model (its champion), or a version or alias: glove@3, glove@challenger.",
    ),
]


@app.command(
    epilog="Formats:\n\n\b\n" + "\n".join(f"{name}: {form.what}" for name, form in FORMATS.items())
)
def export(
    model: _WhatArgument,
    format_: Annotated[
        str, typer.Option("--format", "-f", help="Write this format, listed below.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Write this file or folder; default: the model's name."
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Write only this many words, the most frequent.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    night: NightOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a registered model's vectors in a format that other tools read."""
    loaded = load_config(config, set_ or [])
    found = exports.export(loaded, model, night, format_, output, limit, replaces=force)
    if as_json:
        print_json(found.as_json())
    else:
        render.print_export(Console(), found)


@app.command(name="to-gensim")
def to_gensim(
    model: _WhatArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="Write this file.")],
    night: NightOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Save a model for gensim as Word2Vec, FastText or, for GloVe, KeyedVectors."""
    ref = interchange.write_gensim(load_config(config, set_ or []), model, night, output)
    if as_json:
        print_json({"artifact": str(ref), "path": str(output)})
    else:
        typer.echo(f"{ref} written to {output}")


@app.command(name="from-gensim")
def from_gensim(
    path: Annotated[Path, typer.Argument(help="gensim's file: a pickle, so trust its source.")],
    name: Annotated[str, typer.Option("--name", help="Publish the embeddings under this name.")],
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish a model saved by gensim as an embeddings artifact."""
    ref = interchange.read_gensim(load_config(config, set_ or []), path, name)
    if as_json:
        print_json({"artifact": str(ref), "path": ref.path})
    else:
        typer.echo(f"published {ref}")
