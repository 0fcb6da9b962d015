"""Commands that look at what is published: versions, show, verify, explore."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from nightjar.cli import lookups
from nightjar.cli.lookups import Listing, ShowRequest, Verification
from nightjar.cli.options import CommonOptions, ConfigOptions, grouped
from nightjar.cli.outputs import print_json, print_line
from nightjar.cli.tables import plain_table, print_table
from nightjar.cli.terminal import Terminal
from nightjar.errors import InputError
from nightjar.wording import counted

app = typer.Typer()
_SHORT = 20
"""Cells up to this many characters are not folded."""
_WIDE = 120
"""Terminal columns from which parents are listed beside artifacts."""


@app.command()
@grouped
def versions(
    stage: Annotated[str | None, typer.Argument(help="A stage; default: all.")] = None,
    *,
    common: CommonOptions,
) -> None:
    """List published artifacts and registered model versions."""
    listing = lookups.list_versions(common.load(), stage)
    if common.as_json:
        print_json(listing.as_json())
    else:
        _print_versions(Terminal(), listing)


@app.command()
@grouped
def show(*, request: ShowRequest, common: CommonOptions) -> None:
    """Show a model (champion, events, scores, lineage) or an artifact's manifest.

    For a stage, show the artifact that readers use: the last accepted night's or the champion's.
    """
    shown = lookups.describe(common.load(), request)
    if common.as_json:
        print_json(shown)
    else:
        _print_description(Terminal(), shown)


@app.command()
@grouped
def verify(
    what: Annotated[
        str | None, typer.Argument(help="An artifact; default: all, and registered versions.")
    ] = None,
    set_aside: Annotated[
        bool,
        typer.Option("--set-aside", help="Move damaged artifacts away; a run rebuilds them."),
    ] = False,
    *,
    common: CommonOptions,
) -> None:
    """Check every byte of the artifacts and of the registered versions' files."""
    report = lookups.verify(common.load(), what, set_aside)
    if common.as_json:
        print_json(report.as_json())
    else:
        _print_verification(Terminal(), report)
    if report.problems:
        raise typer.Exit(1)


@app.command()
@grouped
def explore(
    host: Annotated[str, typer.Option(help="Serve the page on this address.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Use this port; 0: any free one.")
    ] = 8050,
    is_opened: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in the browser.")
    ] = True,
    *,
    config: ConfigOptions,
) -> None:
    """Explore the models on a local web page: neighbours, map, moved words, scores, cards."""
    loaded = config.load()
    try:
        from nightjar.explorer.server import serve as serve_page  # noqa: PLC0415 (imports Dash)
    except ModuleNotFoundError as error:
        raise InputError(
            f"the explorer needs {error.name}: pip install 'nightjar[explore]'"
        ) from error
    serve_page(loaded, host, port, is_opened, Terminal(soft_wrap=True, highlight=False).print)


def _print_versions(console: Console, listing: Listing) -> None:
    """Print tables of artifacts and registered versions; without parents on narrow terminals."""
    has_parents = console.width >= _WIDE
    columns = ["artifact", "model", "published", "size", "seconds"]
    table = plain_table(*columns, *(["from"] if has_parents else []), wraps=["model", "from"])
    table.padding = (0, 1, 0, 0)
    for artifact in listing.artifacts:
        table.add_row(
            f"{artifact.stage}/{artifact.version}",
            Text(artifact.model or "-"),
            artifact.created_at[:16].replace("T", " "),
            decimal(artifact.bytes),
            f"{artifact.seconds:.1f}",
            *([", ".join(artifact.parents)] if has_parents else []),
        )
    print_table(console, table)
    if listing.registered:
        registered = plain_table(
            *("registered model", "version", "alias", "embeddings"), wraps=["alias"]
        )
        for version in listing.registered:
            embeddings = version.tags.get("nightjar.embeddings_version", "-")
            aliases = ", ".join(version.aliases)
            registered.add_row(
                Text(version.name), str(version.version), Text(aliases), Text(embeddings)
            )
        console.print()
        print_table(console, registered)
    for problem in listing.damaged:
        print_line(console, f"damaged: {problem}", "red")


def _print_verification(console: Console, report: Verification) -> None:
    """Print every problem on its own line, then the verdict."""
    for problem in report.problems:
        print_line(console, problem, "red")
    for move in report.moved:
        print_line(console, f"set aside: {move}")
    if not report.problems:
        n_registered = report.n_registered
        registered = f" and {counted(n_registered, 'registered version')}" if n_registered else ""
        console.print(f"{counted(report.n_artifacts, 'artifact')}{registered}, all whole")


def _print_description(console: Console, shown: Mapping[str, Any]) -> None:
    """Print a model or an artifact: plain values first, then each table or mapping."""
    tables = {key: value for key, value in shown.items() if _is_table(value)}
    mappings = {key: value for key, value in shown.items() if isinstance(value, Mapping) and value}
    plain = {key: value for key, value in shown.items() if key not in {**tables, **mappings}}
    _print_mapping(console, {name: _plain(value) for name, value in plain.items()})
    for key in shown:
        if key in mappings:
            console.print()
            console.print(Text(key, "bold"))
            _print_mapping(console, {name: _compact(item) for name, item in mappings[key].items()})
        elif key in tables:
            console.print()
            console.print(Text(key, "bold"))
            rows = tables[key]
            _print_rows(console, rows, _SHOWN_COLUMNS.get(key, tuple(rows[0])))


def _is_table(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and isinstance(value[0], Mapping)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple | Mapping):
        return ", ".join(map(str, value)) or "-"
    return "-" if value is None else str(value)


_SHOWN_COLUMNS = {
    "events": ("time", "kind", "version", "night", "score", "champion_score", "reason"),
    "scores": (
        *("benchmark", "category", "metric", "value"),
        *("ci_low", "ci_high", "n_covered", "n_items"),
    ),
}
"""The columns that fit on a terminal; ``--json`` has all of them."""


def _print_rows(
    console: Console, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]
) -> None:
    columns = [name for name in columns if any(row.get(name) not in (None, "") for row in rows)]
    cells = [[_compact(row.get(column)) for column in columns] for row in rows]
    longest = [max(map(len, column)) for column in zip(*cells, strict=True)]
    wraps = [column for column, n in zip(columns, longest, strict=True) if n > _SHORT]
    table = plain_table(*columns, wraps=wraps)
    for row in cells:
        table.add_row(*map(Text, row))
    print_table(console, table)


def _compact(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value, default=str)
    return "-" if value is None else str(value)


def _print_mapping(console: Console, values: Mapping[str, Any]) -> None:
    """Print two columns of names and values."""
    table = Table(box=None, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in values.items():
        table.add_row(Text(name), Text(str(value)))
    console.print(table)
