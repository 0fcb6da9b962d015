"""The command plan: what would run tonight, why, and what it needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.text import Text

from nightjar.cli.display import fetch_progress
from nightjar.cli.options import CommonOptions, grouped
from nightjar.cli.outputs import errors, print_alarms, print_json, print_line
from nightjar.cli.tables import plain_table, print_table
from nightjar.cli.terminal import Terminal
from nightjar.core.resources import Resources, read_resources
from nightjar.core.units import unit_of_all
from nightjar.errors import InputError
from nightjar.pipeline import Action, Estimate, Forecast, Plan, forecast, make_plan
from nightjar.pipeline.provenance import n_workers
from nightjar.promotion import read_standing
from nightjar.wording import plural_of

app = typer.Typer()


@app.command(name="plan")
@grouped
def plan_command(*, common: CommonOptions) -> None:
    """Show what would run, why, and the memory and time it needs. Publishes nothing.

    New files of remote sources are fetched, because the plan depends on their content.
    """
    loaded = common.load()
    with fetch_progress(errors) as progress:
        plan = make_plan(loaded, progress)
    alarms = list(read_standing(loaded).moved.values())
    resources = read_resources(loaded.artifacts_dir)
    forecasts = forecast(loaded, plan, n_workers(loaded), resources)
    if common.as_json:
        trainings = _forecasts_as_json(forecasts)
        print_json({"steps": _plan_as_json(plan), "trainings": trainings, "alarms": alarms})
    else:
        _print_plan(Terminal(), plan)
        print_alarms(Terminal(), alarms)
        units = plural_of(unit_of_all(loaded.config, loaded.config.models))
        _print_forecasts(Terminal(), forecasts, resources, units)
    for number, found in enumerate(entry for entry in forecasts if entry.refusal):
        errors.print(f"{'' if number else 'nightjar: '}{found.refusal}", markup=False)
    if any(entry.refusal for entry in forecasts):
        raise typer.Exit(InputError.exit_code)


def _plan_as_json(plan: Plan) -> list[dict[str, str]]:
    """The plan for a script."""
    return [
        {
            "step": step.label,
            "stage": step.stage,
            "subject": step.subject,
            "version": step.ref.version,
            "action": step.action.value,
            "reason": step.reason,
        }
        for step in plan.steps
    ]


def _print_plan(console: Console, plan: Plan) -> None:
    """Print the plan: what runs, what is reused, and why."""
    table = plain_table("step", "version", "action", "why", wraps=["why"])
    for step in plan.steps:
        style = "bold" if step.action is Action.RUN else "dim"
        cells = (Text(step.label), step.ref.version, step.action.value, Text(step.reason))
        table.add_row(*cells, style=style)
    print_table(console, table)
    reused = len(plan.steps) - len(plan.due)
    console.print(f"{len(plan.due)} to run, {reused} reused")


def _forecasts_as_json(forecasts: Sequence[Forecast]) -> list[dict[str, Any]]:
    """The due trainings for a script; figures are null until the tokens are published."""
    return [
        {
            "model": entry.model,
            **_estimate_as_json(entry.estimate),
            "refusal": None if entry.refusal is None else str(entry.refusal),
        }
        for entry in forecasts
    ]


def _estimate_as_json(estimate: Estimate | None) -> dict[str, Any]:
    if estimate is None:
        return {"estimate": None}
    needed, duration = estimate.need, estimate.duration
    return {
        "estimate": {
            "words": estimate.n_words,
            "tokens": estimate.n_tokens,
            "ngram_rows": estimate.n_ngram_rows,
            "is_ngram_rows_exact": not estimate.is_about,
            "memory_bytes": needed.memory_bytes,
            "memory": {part.name: part.bytes for part in needed.memory},
            "disk_bytes": needed.disk_bytes,
            "seconds": None if duration is None else round(duration.seconds, 1),
            "seconds_from": None if duration is None else duration.source,
        }
    }


def _print_forecasts(
    console: Console, forecasts: Sequence[Forecast], resources: Resources, units: str
) -> None:
    """Print what each due training needs, and what is available."""
    if not forecasts:
        return
    console.print()
    if not any(entry.estimate or entry.refusal for entry in forecasts):
        console.print("Memory and time of training are known once there are tokens.", style="dim")
        return
    table = plain_table("training")
    for column in (units, "n-grams", "memory", "disk", "time"):
        table.add_column(column, justify="right", no_wrap=True)
    for entry in forecasts:
        table.add_row(entry.model, *_forecast_cells(entry), style="red" if entry.refusal else "")
    print_table(console, table)
    durations = {
        entry.model: entry.estimate.duration
        for entry in forecasts
        if entry.estimate and entry.estimate.duration
    }
    for source in dict.fromkeys(found.source for found in durations.values()):
        models = [name for name, found in durations.items() if found.source == source]
        print_line(console, f"time by {source}: {', '.join(models)}")
    print_line(
        console,
        f"free now: {decimal(resources.memory_available)} of memory ({resources.memory_limit}), "
        f"{decimal(resources.disk_free)} of disk",
    )


def _forecast_cells(entry: Forecast) -> list[str]:
    estimate = entry.estimate
    if estimate is None:
        return []
    n_rows, about = estimate.n_ngram_rows, "about " if estimate.is_about else ""
    return [
        f"{estimate.n_words:,}",
        "-" if n_rows is None else f"{about}{n_rows:,}",
        decimal(estimate.need.memory_bytes),
        decimal(estimate.need.disk_bytes),
        "-" if estimate.duration is None else _about(estimate.duration.seconds),
    ]


def _about(seconds: float) -> str:
    """A rough duration: one significant digit, or minutes and hours."""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    if seconds < 5400:
        return f"about {round(seconds / 60)} min"
    return f"about {seconds / 3600:.1f} h"
