"""Commands about what is kept: delete what nobody needs, and erase documents on request."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from nightjar.api import Pipeline
from nightjar.cli.options import CommonOptions, grouped
from nightjar.cli.outputs import print_json, print_line
from nightjar.cli.tables import plain_table, print_table
from nightjar.cli.terminal import Terminal
from nightjar.pipeline.provenance import read_provenance
from nightjar.pipeline.retention import (
    Collected,
    Collection,
    Item,
    PurgeRequest,
    PurgeResult,
)
from nightjar.pipeline.retention import purge as erase
from nightjar.wording import counted

app = typer.Typer()


@app.command()
@grouped
def collect(
    is_dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only show what would be deleted or kept, and why."),
    ] = False,
    *,
    common: CommonOptions,
) -> None:
    """Delete what nobody needs: artifacts, registered versions, old records.

    The end of every night does the same.
    """
    console = Terminal()
    found = Pipeline(common.config, common.overrides or []).collect(is_dry_run=is_dry_run)
    if common.as_json:
        print_json(found.as_json())
    elif isinstance(found, Collection):
        _tell_plan(console, found)
    else:
        _tell_collected(console, found)


@app.command()
@grouped
def purge(
    documents: Annotated[
        list[str],
        typer.Argument(
            metavar="DOCUMENT...",
            help="Document ids, as search shows them; of a corpus of events, users; of a graph, "
            "nodes.",
        ),
    ],
    corpus: Annotated[
        str | None, typer.Option(help="Choose their corpus; needed if several have them.")
    ] = None,
    reason: Annotated[
        str, typer.Option("--reason", help="Say why, without quoting them: the reason is kept.")
    ] = "",
    *,
    common: CommonOptions,
) -> None:
    """Erase documents from everything that is kept, and keep them from coming back.

    Documents with the same text are erased, too. In a corpus of events (--corpus NAME) users are
    erased, with all their events; in a graph nodes, with all their edges. Vectors learned from them
    are only listed: they stay until nights have trained new ones.
    """
    loaded = common.load()
    request = PurgeRequest(tuple(documents), corpus, read_provenance(loaded).actor, reason)
    result = erase(loaded, request)
    if common.as_json:
        print_json(result.as_json())
    else:
        _tell_purge(Terminal(), result)


_RECORDS = {"document": "documents", "user": "events", "node": "edges"}
"""What vectors are learned from, by what is erased."""


def _tell_purge(console: Console, result: PurgeResult) -> None:
    tell = partial(print_line, console)
    swept = result.swept
    verb = "is" if result.n_erased == 1 else "are"
    tell(f"{counted(result.n_erased, result.what)} {verb} erased")
    for title, found in (
        ("rewritten without them", swept.rewritten),
        ("deleted", swept.deleted),
        (
            "also delete them here: until then every night reads and refuses them",
            swept.places,
        ),
    ):
        if found:
            tell(f"{title}:")
            for name in found:
                tell(f"  {name}")
    if result.trained:
        tell("vectors that were trained on them, and stay until they are no longer needed:")
        for vectors in result.trained:
            doubt = (
                ""
                if vectors.is_certain
                else f" (perhaps: its {_RECORDS[result.what]} are not kept)"
            )
            tell(f"  {vectors.name}{doubt}")
    else:
        tell("no kept vectors were trained on them")
    if result.retrain:
        models = ", ".join(result.retrain)
        tell(f"the next night retrains {models}; 'nightjar plan' shows what is due")
    for note in result.notes:
        tell(note)


def _tell_plan(console: Console, planned: Collection) -> None:
    print_table(console, _table(planned.kept, "kept"))
    if planned.doomed:
        print_table(console, _table(planned.doomed, "would be deleted"))
    console.print(f"{_size(planned.n_bytes)} would be freed")
    _tell_notes(console, planned.notes)


def _tell_collected(console: Console, collected: Collected) -> None:
    if collected.items:
        print_table(console, _table(collected.items, "deleted"))
    console.print(f"{_size(collected.n_bytes)} freed")
    _tell_notes(console, collected.notes)


def _tell_notes(console: Console, notes: tuple[str, ...]) -> None:
    for note in notes:
        print_line(console, note)


def _table(items: tuple[Item, ...], title: str) -> Table:
    table = plain_table(title, "what it is", "size", "why", wraps=["why"], is_ruled=True)
    for item in items:
        table.add_row(Text(item.name), item.kind.value, decimal(item.n_bytes), Text(item.reason))
    return table


def _size(n_bytes: int) -> str:
    return counted(n_bytes, "byte")
