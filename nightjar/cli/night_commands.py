"""Commands about nights: listing them, showing one, accepting one by hand."""

from __future__ import annotations

import re
import webbrowser
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.text import Text

from nightjar.cli.display import steps_progress
from nightjar.cli.options import CommonOptions, LedgerOptions, grouped
from nightjar.cli.outputs import errors, print_alarms, print_json, print_line, save_text
from nightjar.cli.tables import plain_table, print_table
from nightjar.cli.terminal import Terminal
from nightjar.core import Night, Nights
from nightjar.errors import InputError
from nightjar.pipeline import accept_last_night, is_running
from nightjar.pipeline.alerts import CheckLimits, Checkup, alert_of_check, check_pipeline, short
from nightjar.pipeline.provenance import read_provenance
from nightjar.pipeline.reporting import find_night, make_page, page_path, report_night
from nightjar.store import replace

_NOT_WELL = 1
_AGE = re.compile(r"([0-9]{1,6})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_MAX_AGE = 100_000

app = typer.Typer()
nights_app = typer.Typer(invoke_without_command=True, rich_markup_mode=None)
app.add_typer(nights_app, name="nights", help="List the nights, or show one: nights show ID.")


@nights_app.callback()
@grouped
def nights(
    context: typer.Context,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, help="List this many, newest first.")
    ] = 20,
    *,
    common: CommonOptions,
) -> None:
    """List the nights, newest first."""
    if context.invoked_subcommand is not None:
        return
    loaded = common.load()
    records = Nights(loaded.pipeline_dir)
    runs = is_running(loaded)
    found = [records.get(number) for number in reversed(records.numbers()[-limit:])]
    found = [night.as_known(runs) for night in found]
    if common.as_json:
        print_json([night.as_json() for night in found])
        return
    if not found:
        Terminal().print("There is no night yet; 'nightjar run' makes one.")
        return
    _print_nights(Terminal(), found)


@nights_app.command(name="show")
@grouped
def show_night(
    number: Annotated[int, typer.Argument(metavar="ID", help="The night's number.")],
    *,
    common: CommonOptions,
) -> None:
    """Show one night: its steps with reasons, its decisions and alarms."""
    loaded = common.load()
    night = Nights(loaded.pipeline_dir).get(number).as_known(is_running(loaded))
    if common.as_json:
        print_json(night.as_json())
    else:
        _print_night(Terminal(), night)


@nights_app.command(name="report")
@grouped
def report_page(
    night: Annotated[
        str, typer.Argument(metavar="[ID]", help="The night: its number, last or last~1.")
    ] = "last",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the page there, too.")
    ] = None,
    is_again: Annotated[
        bool,
        typer.Option(
            "--again", help="Draw it anew, from what is still kept, and log it to MLflow."
        ),
    ] = False,
    is_opened: Annotated[
        bool, typer.Option("--open", help="Open the page in the browser.")
    ] = False,
    *,
    common: CommonOptions,
) -> None:
    """Say where the page of a night is; make it if it is missing.

    A page that the night made has everything. Drawn later, it says what is no longer kept.
    """
    loaded = common.load()
    found = find_night(loaded, night).as_known(is_running(loaded))
    path = page_path(loaded, found.number)
    if is_again:
        report_night(loaded, found)
    elif not path.exists():
        replace(path, make_page(loaded, found).encode())
    if output is not None:
        save_text(output, path.read_text(encoding="utf-8"))
        path = output
    if common.as_json:
        print_json({"night": found.number, "page": str(path)})
    else:
        print_line(Terminal(), str(path))
    # waits: to open a browser is what the user asked for
    if is_opened and not webbrowser.open(path.absolute().as_uri()):
        raise InputError(f"no browser opens; open {path} yourself")


@app.command()
@grouped
def check(
    max_age: Annotated[
        str,
        typer.Option(
            "--max-age", metavar="AGE", help="The last completed night is younger: 26h, 90m, 2d."
        ),
    ] = "26h",
    max_champion_age: Annotated[
        str | None,
        typer.Option(
            "--max-champion-age",
            metavar="AGE",
            help="Every champion is younger; default: no limit.",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Look at this model alone.")
    ] = None,
    sends: Annotated[
        bool, typer.Option("--alert", help="Send what is not well to alerts.webhook.")
    ] = False,
    *,
    common: LedgerOptions,
) -> None:
    """Say whether nights run and end well; exit code 1 if not, for cron.

    Reads the records alone: no server is asked.
    """
    loaded = common.load()
    limits = CheckLimits(
        _age(max_age, "--max-age"),
        None if max_champion_age is None else _age(max_champion_age, "--max-champion-age"),
        model,
    )
    checkup = check_pipeline(loaded, limits)
    sent = ""
    if sends:
        sent = alert_of_check(loaded, checkup)
        checkup = check_pipeline(loaded, limits)  # what was not delivered may be now
    if common.as_json:
        print_json({**checkup.as_json(), "alert": sent or None})
    else:
        _print_checkup(Terminal(), checkup, sent)
    if not checkup.is_well:
        raise typer.Exit(_NOT_WELL)


def _print_checkup(console: Console, checkup: Checkup, sent: str) -> None:
    for found in checkup.findings:
        print_line(console, f"{found.kind}: {short(found.text)}", "yellow")
    if checkup.is_well and checkup.last is not None:
        print_line(console, f"well: night {checkup.last.number} ended {checkup.last.ended_at}")
    if checkup.running and checkup.is_well:
        print_line(console, checkup.running)
    if sent:
        print_line(console, f"alert: {sent}")


def _age(text: str, option: str) -> timedelta:
    found = _AGE.fullmatch(text.strip())
    if found is None or not (1 <= int(found[1]) <= _MAX_AGE):
        raise InputError(f"{option} {text}: write a whole number and a unit: 90m, 26h or 2d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


@app.command()
@grouped
def accept(
    corpus: Annotated[str, typer.Argument(help="A corpus of the config.")],
    reason: Annotated[str, typer.Option("--reason", help="Say why the loss is intended.")],
    *,
    common: CommonOptions,
) -> None:
    """Accept the last night for a corpus although it broke the corpus' rule."""
    loaded = common.load()
    if corpus not in loaded.config.corpora:
        raise InputError(f"{corpus}: corpora has {', '.join(loaded.config.corpora)}")
    with steps_progress(errors) as progress:
        number = accept_last_night(loaded, read_provenance(loaded), corpus, reason, progress)
    if common.as_json:
        print_json({"corpus": corpus, "night": number})
    else:
        follows = ": search follows it" if corpus in loaded.config.text_corpora else ""
        print_line(Terminal(), f"night {number} is accepted for {corpus}{follows}")


def _print_nights(console: Console, found: Sequence[Night]) -> None:
    columns = ("night", "started", "status", "steps run", "promoted", "accepted", "alarms")
    table = plain_table(*columns, wraps=["promoted", "accepted"])
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
    print_table(console, table)


def _print_night(console: Console, night: Night) -> None:
    trial = ", a trial with " + ", ".join(night.overrides) if night.is_trial else ""
    lasted = "" if night.seconds is None else f", {night.seconds:.1f} s"
    print_line(console, f"Night {night.number} of {night.pipeline}: {night.status.value}{trial}")
    print_line(console, f"started {night.started_at} by {night.owner}{lasted}")
    commit = night.code.get("commit") or "unknown"
    print_line(console, f"config {night.config_hash}, commit {commit}")
    columns = ("step", "version", "outcome", "seconds", "memory", "why")
    table = plain_table(*columns, wraps=["why"], is_ruled=True)
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
    print_table(console, table)
    for corpus, verdict in night.accepted.items():
        word = "accepted" if verdict["is_accepted"] else "not accepted"
        print_line(console, f"corpus {corpus}: {word}, {verdict['reason']}")
    for found in night.decisions:
        version = found["candidate"]["version"]
        print_line(console, f"{found['model']} v{version}: {found['outcome']}, {found['reason']}")
        drift = found.get("drift")
        if drift is not None:
            since = f"since v{drift['before']}"
            print_line(console, f"{found['model']} v{version}: {since}, {drift['said']}")
    print_alarms(console, night.alarms)
