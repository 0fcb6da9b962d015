"""The commands that exchange models with other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.filesize import decimal

from nightjar.cli import exchange
from nightjar.cli.exchange import Exported, Mapped
from nightjar.cli.options import CommonOptions, NightOption, grouped
from nightjar.cli.outputs import print_json, print_line
from nightjar.cli.terminal import Terminal
from nightjar.formats import FORMATS
from nightjar.wording import counted

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
@grouped
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
        int | None, typer.Option(min=1, help="Write only this many tokens, the most frequent.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    night: NightOption = None,
    *,
    common: CommonOptions,
) -> None:
    """Write a registered model's vectors in a format that other tools read."""
    found = exchange.export(common.load(), model, night, format_, output, limit, replaces=force)
    if common.as_json:
        print_json(found.as_json())
    else:
        _print_export(Terminal(), found)


@app.command(name="map-vectors")
@grouped
def map_vectors(
    file: Annotated[
        Path,
        typer.Argument(help="Parquet with a column of vectors, a NumPy matrix, or an export."),
    ],
    from_: Annotated[
        str, typer.Option("--from", metavar="VERSION", help="The version that made the vectors.")
    ],
    to: Annotated[
        str, typer.Option("--to", metavar="VERSION", help="The version to compare them with.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write this file; default: FILE with the space's id."),
    ] = None,
    column: Annotated[
        str | None, typer.Option("--column", help="The column with the vectors, in Parquet.")
    ] = None,
    *,
    common: CommonOptions,
) -> None:
    """Carry vectors that you have kept over to the coordinates of another version.

    A VERSION is MODEL (its champion), MODEL@3, MODEL@ALIAS, or embeddings/VERSION. Within one space
    nothing changes. Otherwise the vectors are turned by the orthogonal map between both versions:
    cosines among them stay. FILE itself stays as it is.
    """
    found = exchange.map_vectors(common.load(), file, (from_, to), output, column)
    if common.as_json:
        print_json(found.as_json())
    else:
        _print_mapped(Terminal(), found)


@app.command(name="to-gensim")
@grouped
def to_gensim(
    model: _WhatArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="Write this file.")],
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    night: NightOption = None,
    *,
    common: CommonOptions,
) -> None:
    """Save a model for gensim as Word2Vec, FastText or, for GloVe, KeyedVectors."""
    ref = exchange.write_gensim(common.load(), model, night, output, replaces=force)
    if common.as_json:
        print_json({"artifact": str(ref), "path": str(output)})
    else:
        print_line(Terminal(), f"{ref} written to {output}")


@app.command(name="from-gensim")
@grouped
def from_gensim(
    path: Annotated[Path, typer.Argument(help="gensim's file: a pickle, so trust its source.")],
    name: Annotated[str, typer.Option("--name", help="Publish the embeddings under this name.")],
    *,
    common: CommonOptions,
) -> None:
    """Publish a model saved by gensim as an embeddings artifact."""
    ref = exchange.read_gensim(common.load(), path, name)
    if common.as_json:
        print_json({"artifact": str(ref), "path": ref.path})
    else:
        print_line(Terminal(), f"published {ref}")


def _print_mapped(console: Console, found: Mapped) -> None:
    """Print what was written, and how sure the map is."""
    vectors = counted(found.n_vectors, "vector")
    if found.from_space == found.to_space:
        line = f"both versions are of the space {found.to_space}: {vectors} copied unchanged"
    else:
        line = f"{vectors} carried from the space {found.from_space} to {found.to_space}"
    print_line(console, f"{line}, to {found.path}")
    if found.residual is not None:
        words = counted(found.n_words, "shared token")
        print_line(
            console,
            f"the map is estimated from {words}: their mean cosine distance after it is "
            f"{found.residual:.4f}",
        )
    elif found.from_space != found.to_space:
        print_line(console, "the map is exact: both versions were turned from one training")


def _left_out(reason: str, n: int, unit: str) -> str:
    """How many of what a format leaves out, and why."""
    if reason == "ngrams":
        rows = counted(n, "row of n-grams", "rows of n-grams")
        return f"{rows}: the format has none, so unknown words get no vector from it"
    return f"{counted(n, unit)} that the format cannot hold"


def _print_export(console: Console, found: Exported) -> None:
    """Print what was written, what was left out, and how to open it."""
    written = (
        f"{counted(found.n_tokens, 'vector')} written to {found.path} ({decimal(found.n_bytes)})"
    )
    print_line(console, f"{found.artifact}: {written}")
    for reason, n in found.left_out.items():
        print_line(console, f"left out: {_left_out(reason, n, found.unit)}")
    print_line(console, f"open it: {found.loading}")
