"""Commands about what is kept: delete what nobody needs."""

from __future__ import annotations

from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from flows.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    SetOption,
    errors,
    print_json,
)
from flows.provenance import read_provenance
from nightjar.config import load_config
from nightjar.pipeline import claim_pipeline, lease_path
from nightjar.promotion import Promoter
from nightjar.retention import Collected, Collection, Item, plan_collection
from nightjar.retention import collect as delete_unneeded
from nightjar.store import acquire_lease

app = typer.Typer()


@app.command()
def collect(
    is_dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what would go and what stays, with reasons.")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete what nobody needs: artifacts, registered versions, old records.

    The end of every night does the same.
    """
    loaded = load_config(config, set_ or [])
    console = Console(soft_wrap=True, highlight=False)
    if is_dry_run:
        planned = plan_collection(loaded)
        if as_json:
            print_json(planned.as_json())
        else:
            _tell_plan(console, planned)
        return
    with acquire_lease(lease_path(loaded), "nightjar collect"):
        claim_pipeline(loaded)
        for alarm in Promoter(loaded, read_provenance(loaded).actor).recover():
            errors.print(f"alarm: {alarm}", markup=False)
        collected = delete_unneeded(loaded)
    if as_json:
        print_json(collected.as_json())
    else:
        _tell_collected(console, collected)


def _tell_plan(console: Console, planned: Collection) -> None:
    console.print(_table(planned.kept, "stays"))
    if planned.doomed:
        console.print(_table(planned.doomed, "would go"))
    console.print(f"{_size(planned.n_bytes)} would be free")
    _tell_notes(console, planned.notes)


def _tell_collected(console: Console, collected: Collected) -> None:
    if collected.items:
        console.print(_table(collected.items, "gone"))
    console.print(f"{_size(collected.n_bytes)} are free")
    _tell_notes(console, collected.notes)
    for command in collected.still_to_do:
        console.print(f"still to do beside the MLflow server: {command}", markup=False)


def _tell_notes(console: Console, notes: tuple[str, ...]) -> None:
    for note in notes:
        console.print(note, markup=False)


def _table(items: tuple[Item, ...], title: str) -> Table:
    table = Table(box=box.HORIZONTALS, header_style="bold", pad_edge=False)
    for column in (title, "what it is", "size", "why"):
        table.add_column(column, no_wrap=column != "why")
    for item in items:
        table.add_row(Text(item.name), item.kind.value, decimal(item.n_bytes), Text(item.reason))
    return table


def _size(n_bytes: int) -> str:
    return f"{n_bytes:,} bytes"
