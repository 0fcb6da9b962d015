"""Tables and JSON for the command line."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.filesize import decimal
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from nightjar.cli.exports import Exported
from nightjar.cli.indexes import IndexedModel
from nightjar.cli.lookups import Listing, Verification
from nightjar.cli.questions import Answer
from nightjar.config import LoadedConfig
from nightjar.core import Night
from nightjar.pipeline import Action, Estimate, Forecast, ModelOutcome, Plan
from nightjar.pipeline.searching import Found
from nightjar.registry import CHALLENGER, CHAMPION, masked, tracking_uri
from nightjar.stages.train.resources import Resources
from nightjar.store.scores import Score

_DEFAULT = Path("pipeline_config.yaml")
_SHORT = 20
"""Cells up to this many characters are not folded."""
_WIDE = 120
"""Terminal columns from which parents are listed beside artifacts."""


def plan_as_json(plan: Plan) -> list[dict[str, str]]:
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


def print_plan(console: Console, plan: Plan) -> None:
    """Print the plan: what runs, what is reused, and why."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("step", "version", "action", "why"):
        table.add_column(column, no_wrap=column != "why")
    for step in plan.steps:
        style = "bold" if step.action is Action.RUN else "dim"
        cells = (Text(step.label), step.ref.version, step.action.value, Text(step.reason))
        table.add_row(*cells, style=style)
    console.print(table)
    reused = len(plan.steps) - len(plan.due)
    console.print(f"{len(plan.due)} to run, {reused} reused")


def forecasts_as_json(forecasts: Sequence[Forecast]) -> list[dict[str, Any]]:
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
    needed = estimate.need
    return {
        "estimate": {
            "words": estimate.n_words,
            "tokens": estimate.n_tokens,
            "ngram_rows": estimate.n_ngram_rows,
            "is_ngram_rows_exact": not estimate.is_about,
            "memory_bytes": needed.memory_bytes,
            "memory": {part.name: part.bytes for part in needed.memory},
            "disk_bytes": needed.disk_bytes,
            "seconds": round(estimate.duration.seconds, 1),
            "seconds_from": estimate.duration.source,
        }
    }


def print_forecasts(console: Console, forecasts: Sequence[Forecast], resources: Resources) -> None:
    """Print what each due training needs, and what is available."""
    if not forecasts:
        return
    console.print()
    if not any(entry.estimate or entry.refusal for entry in forecasts):
        console.print("Memory and time of training are known after tokenize.", style="dim")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("training", no_wrap=True)
    for column in ("words", "n-grams", "memory", "disk", "time"):
        table.add_column(column, justify="right", no_wrap=True)
    for entry in forecasts:
        table.add_row(entry.model, *_forecast_cells(entry), style="red" if entry.refusal else "")
    console.print(table)
    estimates = {entry.model: entry.estimate for entry in forecasts if entry.estimate}
    for source in dict.fromkeys(found.duration.source for found in estimates.values()):
        models = [name for name, found in estimates.items() if found.duration.source == source]
        console.print(f"time by {source}: {', '.join(models)}", highlight=False, soft_wrap=True)
    console.print(
        f"free now: {decimal(resources.memory_available)} of memory ({resources.memory_limit}), "
        f"{decimal(resources.disk_free)} of disk",
        highlight=False,
        soft_wrap=True,
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
        _about(estimate.duration.seconds),
    ]


def _about(seconds: float) -> str:
    """A rough duration: one significant digit, or minutes and hours."""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    if seconds < 5400:
        return f"about {round(seconds / 60)} min"
    return f"about {seconds / 3600:.1f} h"


def outcomes_as_json(outcomes: Sequence[ModelOutcome]) -> list[dict[str, Any]]:
    """The outcome of a night for a script."""
    return [
        {
            **{key: value for key, value in asdict(outcome).items() if key != "scores"},
            "scores": {name: _score_as_json(score) for name, score in outcome.scores.items()},
        }
        for outcome in outcomes
    ]


def _score_as_json(score: Score) -> dict[str, Any]:
    return {
        "metric": score.metric,
        "value": score.value,
        "ci_low": score.ci_low,
        "ci_high": score.ci_high,
        "n_items": score.n_items,
        "n_covered": score.n_covered,
    }


def print_outcomes(console: Console, outcomes: Sequence[ModelOutcome]) -> None:
    """Print the table of a night: models, scores with interval and coverage, decisions."""
    benchmarks = list(dict.fromkeys(name for outcome in outcomes for name in outcome.scores))
    table = Table(
        box=box.HORIZONTALS,
        pad_edge=False,
        collapse_padding=True,
        header_style="bold",
        caption=_caption(outcomes),
        caption_justify="left",
    )
    table.add_column("model", no_wrap=True)
    for benchmark in benchmarks:
        table.add_column(benchmark, justify="right", overflow="fold")
    table.add_column("registered", no_wrap=True)
    for outcome in outcomes:
        cells = [_score_cell(outcome.scores.get(name)) for name in benchmarks]
        table.add_row(outcome.model, *cells, _registered_cell(outcome))
    console.print(table)
    for outcome in outcomes:
        if outcome.reason:
            note = f" ({outcome.note})" if outcome.note else ""
            line = f"{outcome.model}: {outcome.reason}{note}"
            console.print(line, markup=False, highlight=False, soft_wrap=True)


def _caption(outcomes: Sequence[ModelOutcome]) -> str:
    caps = {score.max_vocabulary for outcome in outcomes for score in outcome.scores.values()}
    cap = f" (among the {max(caps):,} most frequent words)" if caps else ""
    return f"score, interval, items covered of all{cap}"


def _score_cell(score: Score | None) -> str:
    if score is None or score.value is None:
        return "-"
    lines = [f"{score.value:.3f}"]
    if score.ci_low is not None:
        lines.append(f"[dim]{score.ci_low:.2f} to {score.ci_high:.2f}[/]")
    lines.append(f"[dim]{score.n_covered}/{score.n_items}[/]")
    return "\n".join(lines)


def _registered_cell(outcome: ModelOutcome) -> str:
    if outcome.registry_version is None:
        return "[red]not registered[/]"
    if outcome.champion == outcome.registry_version:
        return f"v{outcome.registry_version} [green]{CHAMPION}[/]"
    champion = f"\nv{outcome.champion} is {CHAMPION}" if outcome.champion else ""
    return f"v{outcome.registry_version} [yellow]{outcome.decision}[/]{champion}"


def print_night(console: Console, night: Night) -> None:
    """Print a night's outcome on one line, and its alarms."""
    kind = ", a trial: nothing is promoted or accepted (--promote)" if night.is_trial else ""
    console.print(f"Night {night.number}: {night.status.value}{kind}.", soft_wrap=True)
    for alarm in night.alarms:
        console.print(f"alarm: {alarm}", style="yellow", markup=False, soft_wrap=True)


def print_mapping(console: Console, values: Mapping[str, Any], title: str = "") -> None:
    """Print two columns of names and values."""
    table = Table(box=None, show_header=False, title=title or None, title_justify="left")
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in values.items():
        table.add_row(Text(name), Text(str(value)))
    console.print(table)


def print_due(console: Console, plan: Plan) -> None:
    """Print one line before a run: how much of the night is due."""
    labels = [step.label for step in plan.due]
    shown = ", ".join(labels[:3]) + (f" and {len(labels) - 3} more" if len(labels) > 3 else "")
    due = f"{len(labels)} steps to run ({shown})" if labels else "No step to run"
    reused = len(plan.steps) - len(plan.due)
    console.print(f"{due}, {reused} reused.", soft_wrap=True)


def print_next_steps(
    console: Console, loaded: LoadedConfig, outcomes: Sequence[ModelOutcome]
) -> None:
    """Print what to type next, ready to be copied."""
    registered = [outcome for outcome in outcomes if outcome.registry_version is not None]
    if not registered:
        return
    # Prefer a champion, which the commands below ask.
    first = next((outcome for outcome in registered if outcome.champion), registered[0])
    uri = masked(tracking_uri(loaded.config.registry, loaded.artifacts_dir))
    config = f" -c {shlex.quote(_near(loaded.path))}" if loaded.path != _DEFAULT.absolute() else ""
    alias = CHAMPION if first.champion else CHALLENGER
    load = f'mlflow.pyfunc.load_model("models:/{first.registered_model}@{alias}")'
    code = f'import mlflow; print({load}.predict(["king"]))'
    is_file = uri.startswith("sqlite:")
    lines = [
        f"{_program('nightjar')} neighbors king{config}",
        f"{_program('nightjar')} show {first.model}{config}",
        f"{_program('mlflow')} ui --backend-store-uri {uri}" if is_file else f"open {uri}",
        f"MLFLOW_TRACKING_URI={uri} {_program('python')} -c {shlex.quote(code)}",
    ]
    if not first.champion:
        console.print(
            "\nNo model has a champion: see the reasons above and the gate's limits in "
            "registry.gate. You can ask challengers, too.",
            soft_wrap=True,
        )
        lines[0] += f" --model {first.model}@{CHALLENGER}"
    console.print("\nNext:")
    for line in lines:
        console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)


def _program(name: str) -> str:
    """``name`` if typing it runs this environment's program, else its path."""
    beside = Path(sys.executable).with_name(name)
    found = shutil.which(name)
    if found is not None and Path(found) == beside:
        return name
    return shlex.quote(_near(beside))


def _near(path: Path) -> str:
    """``path`` relative to the working directory if it is below it."""
    directory = Path.cwd()
    return str(path.relative_to(directory) if path.is_relative_to(directory) else path)


def print_versions(console: Console, listing: Listing) -> None:
    """Print tables of artifacts and registered versions; without parents on narrow terminals."""
    columns = ["artifact", "model", "published", "size", "seconds"]
    has_parents = console.width >= _WIDE
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        table.add_column(column, no_wrap=True)
    if has_parents:
        table.add_column("from")
    for artifact in listing.artifacts:
        table.add_row(
            f"{artifact.stage}/{artifact.version}",
            Text(artifact.model or "-"),
            artifact.created_at[:16].replace("T", " "),
            decimal(artifact.bytes),
            f"{artifact.seconds:.1f}",
            *([", ".join(artifact.parents)] if has_parents else []),
        )
    console.print(table)
    if listing.registered:
        registered = Table(box=None, header_style="bold", pad_edge=False)
        for column in ("registered model", "version", "alias", "embeddings"):
            registered.add_column(column, no_wrap=True)
        for version in listing.registered:
            embeddings = version.tags.get("nightjar.embeddings_version", "-")
            aliases = ", ".join(version.aliases)
            registered.add_row(
                Text(version.name), str(version.version), Text(aliases), Text(embeddings)
            )
        console.print()
        console.print(registered)
    for problem in listing.damaged:
        console.print(f"damaged: {problem}", style="red", markup=False)


def print_verification(console: Console, report: Verification) -> None:
    """Print every problem on its own line, then the verdict."""
    for problem in report.problems:
        console.print(problem, style="red", markup=False, soft_wrap=True)
    for move in report.moved:
        console.print(f"set aside: {move}", markup=False, soft_wrap=True)
    if not report.problems:
        registered = (
            f" and {report.n_registered} registered versions" if report.n_registered else ""
        )
        console.print(f"{report.n_artifacts} artifacts{registered}, all whole")


def print_description(console: Console, shown: Mapping[str, Any]) -> None:
    """Print a model or an artifact: plain values first, then each table or mapping."""
    tables = {key: value for key, value in shown.items() if _is_table(value)}
    mappings = {key: value for key, value in shown.items() if isinstance(value, Mapping) and value}
    plain = {key: value for key, value in shown.items() if key not in {**tables, **mappings}}
    print_mapping(console, {name: _plain(value) for name, value in plain.items()})
    for key in shown:
        if key in mappings:
            console.print(f"\n[bold]{key}[/]")
            print_mapping(console, {name: _compact(item) for name, item in mappings[key].items()})
        elif key in tables:
            console.print(f"\n[bold]{key}[/]")
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
    table = Table(box=None, header_style="bold", pad_edge=False)
    cells = [[_compact(row.get(column)) for column in columns] for row in rows]
    for place, column in enumerate(columns):
        is_short = max(len(row[place]) for row in cells) <= _SHORT
        table.add_column(column, overflow="fold", no_wrap=is_short)
    for row in cells:
        table.add_row(*map(Text, row))
    console.print(table)


def _compact(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value, default=str)
    return "-" if value is None else str(value)


def print_neighbors(console: Console, answers: Sequence[Answer], title: str) -> None:
    """Print a column per model, nearest words first."""
    table = Table(title=Text(title), title_justify="left", header_style="bold")
    lists = {answer.model: answer.found[0] for answer in answers if answer.found}
    for model in lists:
        table.add_column(Text(model))
    for rank in range(max(map(len, lists.values()), default=0)):
        table.add_row(*(_neighbor_cell(found, rank) for found in lists.values()))
    console.print(table)
    print_problems(console, answers)


def _neighbor_cell(found: Sequence[Mapping[str, Any]], rank: int) -> Text:
    if rank >= len(found):
        return Text("")
    near = found[rank]
    return Text.assemble(near["token"], " ", (f"{near['similarity']:.3f}", "dim"))


def print_rows(
    console: Console, answers: Sequence[Answer], labels: Sequence[str], columns: Sequence[str]
) -> None:
    """Print one value of each answer: a row per label, a column per model."""
    table = Table(*columns, header_style="bold")
    found = [answer for answer in answers if answer.problem is None]
    for answer in found:
        table.add_column(Text(answer.model))
    for row, label in enumerate(labels):
        table.add_row(Text(label), *(_value_cell(answer.found[row]) for answer in found))
    console.print(table)
    print_problems(console, answers)


def print_rankings(console: Console, answers: Sequence[Answer], texts: Sequence[str]) -> None:
    """Print the texts for each model, best first."""
    for answer in answers:
        if answer.problem is None:
            table = Table("similarity", Column(Text(answer.model)), header_style="bold")
            for found in answer.found:
                table.add_row(f"{found['similarity']:.3f}", Text(texts[found["item"]]))
            console.print(table)
    print_problems(console, answers)


def _value_cell(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def print_export(console: Console, found: Exported) -> None:
    """Print what was written, what was left out, and how to open it."""
    size = decimal(found.n_bytes)
    console.print(
        f"{found.artifact}: {found.n_tokens:,} vectors written to {found.path} ({size})",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    for reason, n in found.left_out.items():
        console.print(
            f"left out: {n:,} {_LEFT_OUT[reason]}", markup=False, highlight=False, soft_wrap=True
        )
    console.print(f"open it: {found.loading}", markup=False, highlight=False, soft_wrap=True)


_LEFT_OUT = {
    "token_cannot_be_written": "words that the format cannot hold",
    "ngrams": "rows of n-grams: the format has none, so unknown words get no vector from it",
}


def print_indexes(console: Console, found: Sequence[IndexedModel]) -> None:
    """Print a row per index, then why models have none."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("model", "artifact", "words", "recall@10", "seconds"):
        table.add_column(column, no_wrap=True)
    for entry in found:
        if entry.index is not None:
            manifest = entry.index.manifest
            table.add_row(
                Text(entry.model),
                str(entry.index.ref),
                f"{manifest.counts['indexed']:,}",
                f"{manifest.report['recall_at_10']:.3f}",
                f"{manifest.seconds:.1f}",
            )
    console.print(table)
    for entry in found:
        if entry.problem:
            console.print(f"{entry.model}: {entry.problem}", markup=False, highlight=False)


_HIT_INDENT = 4
_SNIPPET_LINES = 2


def snippet_chars(console: Console) -> int:
    """The length of a snippet that fills two lines of this terminal."""
    return max(20, _SNIPPET_LINES * (console.width - _HIT_INDENT) - 10)


def print_found(console: Console, found: Found) -> None:
    """Print each found document's source and its sentence with the query's words marked."""
    for rank, (hit, snippet) in enumerate(found.hits, start=1):
        document = hit.document
        about = [document.source, document.language, f"{document.n_chars:,} characters"]
        head = Text(f"{rank:>2}  ")
        head.append(f"{hit.similarity:.3f}", "bold").append("  ").append(
            printable(document.doc_id), "cyan"
        )
        head.append(f"  {', '.join(filter(None, about))}", "dim")
        console.print(head, no_wrap=True, overflow="ellipsis", crop=True)
        text = Text(snippet.text)
        for start, stop in snippet.marks:
            text.stylize("bold yellow", start, stop)
        console.print(Padding(text, (0, 0, 0, _HIT_INDENT)))
    if not found.hits:
        console.print("No document passes the filters.")
    counts = found.index.manifest.counts
    n_without = counts["without_known_words"]
    note = f"{found.name}: {counts['indexed']:,} documents"
    note += f", {n_without:,} more have no known word" if n_without else ""
    console.print(Text(note, "dim"))


def printable(text: str) -> str:
    """``text`` without characters that a terminal would interpret."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def print_problems(console: Console, answers: Sequence[Answer]) -> None:
    """Print why models have no answer."""
    for answer in answers:
        if answer.problem:
            is_named = answer.problem.startswith(answer.model)
            line = answer.problem if is_named else f"{answer.model}: {answer.problem}"
            console.print(line, markup=False, highlight=False)
