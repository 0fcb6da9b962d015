"""Commands that run nights: one now (run), or every night (serve)."""

from __future__ import annotations

import json
import logging
import shlex
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nightjar.cli.display import fetch_progress
from nightjar.cli.environment import RunServer, keep_logs_off_the_terminal, prepare_environment
from nightjar.cli.options import CommonOptions, ConfigFile, ConfigOptions, grouped
from nightjar.cli.outputs import errors, print_alarms, print_json, print_line
from nightjar.cli.tables import fits, plain_table
from nightjar.cli.terminal import Terminal
from nightjar.config import EventsCorpusConfig, LoadedConfig
from nightjar.core import Night, Nights
from nightjar.core.units import WORD
from nightjar.errors import LeaseTaken, NightjarError
from nightjar.files.harmless_text import visible
from nightjar.files.large_imports import no_collection
from nightjar.pipeline import (
    DirectRunner,
    ModelOutcome,
    NightRequest,
    Plan,
    WordSample,
    claim_pipeline,
    has_changed,
    is_trial,
    lease_path,
    make_plan,
    read_outcomes,
    run_night,
    sample_words,
    was_killed,
)
from nightjar.pipeline.alerts import telling
from nightjar.pipeline.provenance import read_provenance
from nightjar.promotion import Outcome
from nightjar.registry import CHALLENGER, CHAMPION, is_server, masked, page_of, tracking_uri
from nightjar.scoring.scores import Score
from nightjar.store import acquire_lease
from nightjar.wording import counted, plural_of

logger = logging.getLogger(__name__)

app = typer.Typer()

BLOCKED_EXIT_CODE = 3
"""With ``--fail-on-block``: nothing failed, but the gate or a corpus' rule refused something."""
_UI = "http://127.0.0.1:5000"
"""Where 'mlflow ui' listens unless it is told otherwise."""
_N_SAMPLES = 2
_NOT_TOLD = ("scores", "embeds")
"""Words of each new champion that are shown with their neighbours."""


@app.command()
@grouped
def run(
    promote: Annotated[
        bool,
        typer.Option(
            "--promote", help="Let a run with --set promote and accept; default: it is a trial."
        ),
    ] = False,
    fails_on_block: Annotated[
        bool,
        typer.Option(
            "--fail-on-block", help="Exit with code 3 if a model is blocked or a corpus refused."
        ),
    ] = False,
    *,
    common: CommonOptions,
) -> None:
    """Run what is due tonight, judge every model, and promote those that pass.

    A run with --set is a trial: its models are judged and recorded and can be queried by
    version, but nothing is promoted or accepted without --promote.
    """
    loaded = common.load()
    console = errors if common.as_json else Terminal()
    try:
        with telling(loaded, is_trial(loaded, promote)):
            message = _planned_and_run(console, loaded, promote)
    except LeaseTaken as taken:
        message = str(taken)
    if message is not None:
        print_line(console, f"Skipped: {message}")
        if common.as_json:
            print_json({"status": "skipped", "reason": message, "models": []})
        return
    night = next(Nights(loaded.pipeline_dir).newest_first())
    outcomes = read_outcomes(loaded, night)
    if common.as_json:
        print_json(_as_json(night, outcomes))
    else:
        _print_night(console, night)
        print_outcomes(console, outcomes)
        print_next_steps(console, loaded, outcomes)
    if fails_on_block and _is_blocked(night):
        raise typer.Exit(BLOCKED_EXIT_CODE)


def _is_blocked(night: Night) -> bool:
    """Whether a night refused a model or a corpus."""
    blocked = any(found["outcome"] == Outcome.BLOCKED for found in night.decisions)
    return blocked or not all(found["is_accepted"] for found in night.accepted.values())


@app.command()
@grouped
def serve(
    host: Annotated[str, typer.Option(help="Let the Prefect server listen here.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Its port.")] = 4200,
    work_pool: Annotated[str, typer.Option(help="Use this process work pool.")] = "nightjar",
    promote: Annotated[
        bool, typer.Option("--promote", help="Let nights with --set promote and accept.")
    ] = False,
    *,
    config: ConfigOptions,
) -> None:
    """Run the pipeline nightly on this machine: server, worker and deployment, until Ctrl-C."""
    loaded = config.load()
    prepare_environment(loaded.artifacts_dir)
    from nightjar.cli.service import serve_nightly  # noqa: PLC0415 (starts processes)

    serve_nightly(Terminal(), loaded, host, port, work_pool, promote)


def _planned_and_run(console: Console, loaded: LoadedConfig, promotes: bool) -> str | None:
    """Plan and run a night; return the reason if it was skipped. Raises LeaseTaken."""
    server = RunServer(loaded)
    if has_changed(loaded):  # something is due: start the server while planning
        server.start()
    with fetch_progress(console) as progress:
        plan = make_plan(loaded, progress)
    with acquire_lease(lease_path(loaded), "nightjar run, starting"):
        claim_pipeline(loaded)
    return _run_night(console, loaded, plan, promotes, server)


def _run_night(
    console: Console, loaded: LoadedConfig, plan: Plan, promotes: bool, server: RunServer
) -> str | None:
    """Run a night, with Prefect only if needed; return the reason if it was skipped.

    Prefect is needed for due steps, or when it still counts a killed run as running.
    """
    if plan.due or was_killed(loaded):
        _print_due(console, plan)
        return _run_flow(console, loaded, promotes, server)
    provenance = read_provenance(loaded)
    request = NightRequest("nightjar run", promotes, is_offline=True)
    run_night(loaded, DirectRunner(loaded, provenance), provenance, request)
    return None


def _run_flow(
    console: Console, loaded: LoadedConfig, promotes: bool, server: RunServer
) -> str | None:
    """Run the nightly flow in this process; return the reason if skipped, None if it ran."""
    keep_logs_off_the_terminal()
    server.start()
    if server.is_ours:
        console.print("Starting the embedded Prefect server.", style="dim")
    with _interrupts_held_back(), no_collection():
        # Prefect reads its settings on import, which takes as long as the server's start.
        from nightjar.cli.embedded_flow import run_nightly  # noqa: PLC0415

    # waits: the server has START_SECONDS to answer
    server.wait()
    return run_nightly(console, loaded, promotes)


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Delay Ctrl-C until after the block: an import may swallow it or fail with any error."""
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt


def _print_due(console: Console, plan: Plan) -> None:
    """Print one line before a run: how much of the night is due."""
    labels = [step.label for step in plan.due]
    shown = ", ".join(labels[:3]) + (f" and {len(labels) - 3} more" if len(labels) > 3 else "")
    due = f"{counted(len(labels), 'step')} to run ({shown})" if labels else "No step to run"
    reused = len(plan.steps) - len(plan.due)
    console.print(f"{due}, {reused} reused.", soft_wrap=True)


def _print_night(console: Console, night: Night) -> None:
    """Print a night's outcome on one line, and its alarms."""
    kind = ", a trial: nothing is promoted or accepted (--promote)" if night.is_trial else ""
    console.print(f"Night {night.number}: {night.status.value}{kind}.", soft_wrap=True)
    print_alarms(console, night.alarms)


def _as_json(night: Night, outcomes: Sequence[ModelOutcome]) -> dict[str, Any]:
    """The outcome of a night for a script."""
    return {
        "status": night.status.value.replace(" ", "-"),
        "night": night.number,
        "is_trial": night.is_trial,
        "alarms": list(night.alarms),
        "models": [
            {
                **{key: value for key, value in asdict(outcome).items() if key not in _NOT_TOLD},
                "scores": {name: _score_as_json(score) for name, score in outcome.scores.items()},
            }
            for outcome in outcomes
        ],
    }


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
    table = _outcome_table(outcomes)
    if fits(console, table):
        console.print(table)
    else:
        _print_by_model(console, outcomes)
    for outcome in outcomes:
        if outcome.reason:
            note = f" ({outcome.note})" if outcome.note else ""
            print_line(console, f"{outcome.model}: {outcome.reason}{note}")


def _outcome_table(outcomes: Sequence[ModelOutcome]) -> Table:
    """A row for each model, a column for each benchmark."""
    benchmarks = list(dict.fromkeys(name for outcome in outcomes for name in outcome.scores))
    table = plain_table("model", is_ruled=True)
    table.collapse_padding = True
    table.caption, table.caption_justify = _caption(outcomes), "left"
    for benchmark in benchmarks:
        table.add_column(benchmark, justify="right", no_wrap=True)
    table.add_column("registered", no_wrap=True)
    for outcome in outcomes:
        cells = [_score_cell(outcome.scores.get(name)) for name in benchmarks]
        table.add_row(outcome.model, *cells, _registered_cell(outcome))
    return table


def _print_by_model(console: Console, outcomes: Sequence[ModelOutcome]) -> None:
    """For narrow terminals: a table for each model, a row for each benchmark."""
    for outcome in outcomes:
        registered = Text(", ").join(_registered_cell(outcome).split("\n"))
        console.print(Text.assemble((outcome.model, "bold"), "  ", registered))
        table = Table.grid(padding=(0, 2, 0, 0))
        for name, score in outcome.scores.items():
            table.add_row(f"  {name}", *_score_cell(score).split("\n"))
        console.print(table)
    console.print(_caption(outcomes), style="italic")


def _caption(outcomes: Sequence[ModelOutcome]) -> str:
    caps = {score.max_vocabulary for outcome in outcomes for score in outcome.scores.values()}
    tokens = " and ".join(dict.fromkeys(plural_of(outcome.embeds) for outcome in outcomes))
    cap = f" (among the {max(caps):,} most frequent {tokens})" if caps else ""
    return f"score, interval, items covered of all{cap}"


def _score_cell(score: Score | None) -> Text:
    if score is None or score.value is None:
        return Text("-")
    cell = Text(f"{score.value:.3f}")
    if score.ci_low is not None:
        cell.append(f"\n{score.ci_low:.2f} to {score.ci_high:.2f}", "dim")
    return cell.append(f"\n{score.n_covered}/{score.n_items}", "dim")


def _registered_cell(outcome: ModelOutcome) -> Text:
    if outcome.registry_version is None:
        return Text("not registered", "red")
    version = f"v{outcome.registry_version} "
    if outcome.champion == outcome.registry_version:
        return Text.assemble(version, (CHAMPION, "green"))
    champion = f"\nv{outcome.champion} is {CHAMPION}" if outcome.champion else ""
    return Text.assemble(version, (f"{outcome.decision}", "yellow"), champion)


def print_next_steps(
    console: Console, loaded: LoadedConfig, outcomes: Sequence[ModelOutcome]
) -> None:
    """Print some words of new champions with their neighbours, and what to type next."""
    registered = [outcome for outcome in outcomes if outcome.registry_version is not None]
    if not registered:
        return
    # Prefer a champion, which the commands below ask.
    first = next((outcome for outcome in registered if outcome.champion), registered[0])
    uri = masked(tracking_uri(loaded.config.registry, loaded.artifacts_dir))
    is_default = loaded.path == ConfigFile.config.absolute()
    config = "" if is_default else f" -c {shlex.quote(_near(loaded.path))}"
    alias = CHAMPION if first.champion else CHALLENGER
    load = f'mlflow.pyfunc.load_model("models:/{first.registered_model}@{alias}")'
    samples = {found.model: _sample(loaded, found) for found in outcomes}
    word = next((shown[0].word for shown in samples.values() if shown), "king")
    code = f"import mlflow; print({load}.predict([{json.dumps(word)}]))"
    page = page_of(uri if is_server(uri) else _UI, f"models/{first.registered_model}")
    lines = [
        f"{_program('nightjar')} neighbors {shlex.quote(word)}{config}",
        *_recommending(loaded, first, word, config),
        f"{_program('nightjar')} show {first.model}{config}",
        *([] if is_server(uri) else [f"{_program('mlflow')} ui --backend-store-uri {uri}"]),
        *([f"open {page}"] if page else []),
        f"MLFLOW_TRACKING_URI={uri} {_program('python')} -c {shlex.quote(code)}",
    ]
    if not first.champion:
        console.print(
            "\nNo model has a champion: see the reasons above and the gate's limits in "
            "registry.gate. You can ask challengers, too.",
            soft_wrap=True,
        )
        lines[0] += f" --model {first.model}@{CHALLENGER}"
    _print_samples(console, samples, outcomes)
    console.print("\nNext:")
    for line in lines:
        print_line(console, f"  {line}")


def _recommending(loaded: LoadedConfig, outcome: ModelOutcome, item: str, config: str) -> list[str]:
    """The command that asks a champion of items for the next ones."""
    corpus = loaded.config.corpora[loaded.config.corpus_of(outcome.model)]
    if not isinstance(corpus, EventsCorpusConfig) or not outcome.champion:
        return []
    return [f"{_program('nightjar')} recommend {outcome.model} {shlex.quote(item)}{config}"]


def _sample(loaded: LoadedConfig, outcome: ModelOutcome) -> list[WordSample]:
    """Some words of a model that became champion tonight; none where it cannot be read.

    Of a champion of nodes or items on every night: nobody knows ids by heart.
    """
    if outcome.decision != Outcome.PROMOTED and outcome.embeds == WORD:
        return []
    try:
        return sample_words(loaded, outcome, _N_SAMPLES)
    except NightjarError as error:
        units = plural_of(outcome.embeds)
        logger.warning("%s: no %s are shown: %s", outcome.model, units, error)
        return []


def _print_samples(
    console: Console,
    samples: Mapping[str, Sequence[WordSample]],
    outcomes: Sequence[ModelOutcome],
) -> None:
    if not any(samples.values()):
        return
    tokens = " and ".join(dict.fromkeys(plural_of(found.embeds) for found in outcomes))
    console.print(f"\n{tokens.capitalize()} and their nearest ones:")
    for model, shown in samples.items():
        for sample in shown:
            named = sample.titles.named
            near = ", ".join(visible(named(token), None) for token in sample.neighbors)
            print_line(console, f"  {model}: {visible(named(sample.word), None)}: {near}")


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
