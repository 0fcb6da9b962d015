"""Commands about nights: listing them, showing one, accepting one by hand."""

from __future__ import annotations

from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from nightjar.cli.display import steps_progress
from nightjar.cli.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    SetOption,
    errors,
    print_json,
)
from nightjar.config import load_config
from nightjar.core import Night, Nights, NightStatus
from nightjar.errors import InputError
from nightjar.pipeline import accept_last_night, is_running
from nightjar.pipeline.provenance import read_provenance

app = typer.Typer()
nights_app = typer.Typer(invoke_without_command=True, rich_markup_mode=None)
app.add_typer(nights_app, name="nights", help="List the nights, or show one: nights show ID.")


@nights_app.callback()
def nights(
    context: typer.Context,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, help="List this many, newest first.")
    ] = 20,
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the nights, newest first."""
    if context.invoked_subcommand is not None:
        return
    loaded = load_config(config, set_ or [])
    records = Nights(loaded.pipeline_dir)
    runs = is_running(loaded)
    found = [records.get(number) for number in reversed(records.numbers()[-limit:])]
    found = [_as_known(night, runs) for night in found]
    if as_json:
        print_json([night.as_json() for night in found])
        return
    if not found:
        Console().print("There is no night yet; 'nightjar run' makes one.")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("night", "started", "status", "steps run", "promoted", "accepted", "alarms"):
        table.add_column(column, no_wrap=column != "promoted", overflow="fold")
    for night in found:
        promoted = [entry["model"] for entry in night.decisions if entry["is_promoted"]]
        accepted = [name for name, entry in night.accepted.items() if entry["is_accepted"]]
        table.add_row(
            str(night.number),
            night.started_at[:16].replace("T", " "),
            night.status.value + (" (trial)" if night.is_trial else ""),
            str(sum(step.outcome == "published" for step in night.steps)),
            ", ".join(promoted) or "-",
            "-" if night.is_trial else ", ".join(accepted) or "none",
            str(len(night.alarms)) if night.alarms else "-",
        )
    Console().print(table)


def _as_known(night: Night, runs: bool) -> Night:
    """Mark a night without an end as ended early, unless it is the one running."""
    if night.status is NightStatus.RUNNING and not runs:
        return night.ended_early()
    return night


@nights_app.command(name="show")
def show_night(
    number: Annotated[int, typer.Argument(metavar="ID", help="The night's number.")],
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one night: its steps with reasons, its decisions and alarms."""
    loaded = load_config(config, set_ or [])
    night = _as_known(Nights(loaded.pipeline_dir).get(number), is_running(loaded))
    if as_json:
        print_json(night.as_json())
    else:
        _print_night(Console(), night)


def _print_night(console: Console, night: Night) -> None:
    trial = ", a trial with " + ", ".join(night.overrides) if night.is_trial else ""
    lasted = "" if night.seconds is None else f", {night.seconds:.1f} s"
    console.print(
        f"Night {night.number} of {night.pipeline}: {night.status.value}{trial}\n"
        f"started {night.started_at} by {night.owner}{lasted}\n"
        f"config {night.config_hash}, commit {night.code.get('commit') or 'unknown'}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    table = Table(box=box.HORIZONTALS, header_style="bold", pad_edge=False)
    for column in ("step", "version", "outcome", "seconds", "memory", "why"):
        table.add_column(column, no_wrap=column != "why")
    for step in night.steps:
        ran = step.outcome in ("published", "failed")
        table.add_row(
            Text(step.label),
            step.version,
            step.outcome.value,
            f"{step.seconds:.1f}" if ran else "-",
            decimal(step.memory_bytes) if ran and step.memory_bytes else "-",
            Text(step.error or step.reason),
        )
    console.print(table)
    for corpus, verdict in night.accepted.items():
        word = "accepted" if verdict["is_accepted"] else "not accepted"
        console.print(f"corpus {corpus}: {word}, {verdict['reason']}", markup=False, soft_wrap=True)
    for found in night.decisions:
        version = found["candidate"]["version"]
        console.print(
            f"{found['model']} v{version}: {found['outcome']}, {found['reason']}",
            markup=False,
            soft_wrap=True,
        )
    for alarm in night.alarms:
        console.print(f"alarm: {alarm}", style="yellow", markup=False, soft_wrap=True)


@app.command()
def accept(
    corpus: Annotated[str, typer.Argument(help="A corpus of the config.")],
    reason: Annotated[str, typer.Option("--reason", help="Say why the loss is intended.")],
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Accept the last night for a corpus although it broke the corpus' rule."""
    loaded = load_config(config, set_ or [])
    if corpus not in loaded.config.corpora:
        raise InputError(f"{corpus}: corpora has {', '.join(loaded.config.corpora)}")
    with steps_progress(errors) as progress:
        number = accept_last_night(loaded, read_provenance(loaded), corpus, reason, progress)
    if as_json:
        print_json({"corpus": corpus, "night": number})
    else:
        typer.echo(f"night {number} is accepted for {corpus}: search follows it")
