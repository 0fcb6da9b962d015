"""The commands about champions: ``nightjar history``, ``promote``, ``rollback`` and so on.

None of them needs Prefect; MLflow is imported only where the registry is not a SQLite file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from nightjar.cli.display import steps_progress
from nightjar.cli.options import CommonOptions, LedgerOptions, grouped
from nightjar.cli.outputs import errors, print_json
from nightjar.cli.tables import plain_table, print_table
from nightjar.cli.terminal import Terminal
from nightjar.config import LoadedConfig
from nightjar.errors import ConfigError, PromotionRefused
from nightjar.files.harmless_text import visible
from nightjar.pipeline.provenance import actor, read_provenance
from nightjar.promotion import (
    Change,
    Decision,
    Event,
    Explanation,
    JudgeAgain,
    ModelStanding,
    PrepareServing,
    Serving,
    Standing,
    Steward,
    VersionRef,
    explain,
    read_events,
    read_standing,
)
from nightjar.registry import RegisteredVersion
from nightjar.wording import counted

app = typer.Typer()

ModelArgument = Annotated[
    str, typer.Argument(help="A model of the config, or one that the ledger still knows.")
]
VersionArgument = Annotated[
    int, typer.Argument(min=1, metavar="VERSION", help="Number of a registered version.")
]
ReasonOption = Annotated[str, typer.Option("--reason", "-r", help="Say why; kept in the ledger.")]

_LONGEST_REASON = 400


@app.command()
@grouped
def history(
    model: Annotated[str | None, typer.Argument(help="A model or corpus; default: all.")] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, help="Show this many events, the newest.")
    ] = 50,
    *,
    ledger: LedgerOptions,
) -> None:
    """Show what was promoted, blocked, rolled back and accepted, and each model's standing."""
    loaded = ledger.load()
    events = [event for event in read_events(loaded) if model in (None, event.subject)]
    if model is not None and not events:
        raise PromotionRefused(
            f"{model}: the ledger of {loaded.config.pipeline.name} has no such model or corpus "
            f"yet; 'nightjar run' judges those in the config"
        )
    standing = read_standing(loaded)
    gone = standing.gone(loaded.config.models)
    if ledger.as_json:
        print_json(
            {
                "models": {
                    name: _standing_as_json(found, is_gone=name in gone)
                    for name, found in standing.models.items()
                    if model in (None, name)
                },
                "alarms": [said for name, said in standing.moved.items() if model in (None, name)],
                "events": [event.as_json() for event in events[-limit:]],
                "n_events": len(events),
            }
        )
        return
    console = _console()
    _print_events(console, events[-limit:])
    if len(events) > limit:
        n_older = len(events) - limit
        is_one = n_older == 1
        console.print(
            f"{counted(n_older, 'older event')} {'is' if is_one else 'are'} not shown (--limit)"
        )
    _print_standing(console, standing, model, gone)


@app.command()
@grouped
def why(
    model: ModelArgument,
    version: Annotated[
        int | None,
        typer.Argument(min=1, metavar="VERSION", help="A version; default: the one judged last."),
    ] = None,
    *,
    ledger: LedgerOptions,
) -> None:
    """Show why a version is or is not champion: the decision, its scores, what came after."""
    found = explain(ledger.load(), model, version)
    if ledger.as_json:
        print_json(
            {
                "model": model,
                "version": found.version.number,
                "embeddings_version": found.version.embeddings,
                "embeddings_digest": found.version.digest,
                "decision": None if found.decision is None else found.decision.as_json(),
                "last_night": None if found.last is None else asdict(found.last),
                "events": [event.as_json() for event in found.events],
            }
        )
        return
    _print_explanation(_console(), found)


@app.command()
@grouped
def promote(
    model: ModelArgument,
    version: VersionArgument,
    is_forced: Annotated[
        bool,
        typer.Option("--force", help="Promote it even if blocked or not judged by the gate."),
    ] = False,
    reason: ReasonOption = "",
    *,
    ledger: LedgerOptions,
) -> None:
    """Make a version champion that waits for a person or was champion before.

    A version that the gate blocked, or that no night has judged, needs --force and --reason.
    """
    loaded = ledger.load()
    change = _steward(loaded).promote(model, version, is_forced=is_forced, reason=reason)
    _report(change, ledger.as_json)


@app.command()
@grouped
def rollback(
    model: ModelArgument,
    version: Annotated[
        int | None,
        typer.Option(
            "--to",
            min=1,
            metavar="VERSION",
            help="Roll back to this version; default: the champion before.",
        ),
    ] = None,
    reason: ReasonOption = "",
    *,
    ledger: LedgerOptions,
) -> None:
    """Bring back an earlier champion and hold the model: no promotions until resume."""
    _report(_steward(ledger.load()).rollback(model, version, reason), ledger.as_json)


@app.command()
@grouped
def pin(
    model: ModelArgument,
    version: VersionArgument,
    *,
    ledger: LedgerOptions,
) -> None:
    """Keep a version's files, even if retention would delete them."""
    loaded = ledger.load()
    _report(_steward(loaded).pin(model, version), ledger.as_json)


@app.command()
@grouped
def rebase(
    model: ModelArgument,
    version: Annotated[
        int | None,
        typer.Argument(min=1, metavar="VERSION", help="A version; default: the champion."),
    ] = None,
    reason: ReasonOption = "",
    space: Annotated[
        bool,
        typer.Option(
            "--space",
            help="Instead, let the vectors of later nights keep to this version's coordinates.",
        ),
    ] = False,
    *,
    ledger: LedgerOptions,
) -> None:
    """Measure small losses against another version, the reference, from now on.

    'promote' and 'rollback' make their version the reference by themselves. The version whose
    coordinates the vectors keep to (models.NAME.space) changes by --space alone.
    """
    change = _steward(ledger.load()).rebase(model, version, reason, of_space=space)
    _report(change, ledger.as_json)


@app.command()
@grouped
def noise(
    models: Annotated[
        list[str] | None, typer.Argument(metavar="[MODEL]...", help="Models; default: all trained.")
    ] = None,
    n_seeds: Annotated[
        int, typer.Option("--seeds", min=2, max=100, help="Number of trainings of each.")
    ] = 5,
    *,
    common: CommonOptions,
) -> None:
    """Measure how much scores differ between trainings with other seeds, for the gate.

    Trains and evaluates each model several times on the last accepted night's text. The result
    holds while the model's settings stay and the text stays about as large.
    """
    from nightjar.pipeline.noise import measure_noise  # noqa: PLC0415 (imports what trains)

    loaded = common.load()
    config = loaded.config
    wanted = models or [name for name in config.models if config.seeded_model(name) is not None]
    if not wanted:
        raise ConfigError(f"{loaded.path.name} trains no model, so there is no noise to measure")
    provenance = read_provenance(loaded)
    with steps_progress(errors) as progress:
        found = [measure_noise(loaded, model, n_seeds, provenance, progress) for model in wanted]
    if common.as_json:
        print_json(
            [
                {
                    "model": one.model,
                    "artifact": str(one.artifact),
                    "seeds": one.n_seeds,
                    "deviations": one.deviations,
                }
                for one in found
            ]
        )
        return
    table = _table("model", "benchmark", "standard deviation", "trainings")
    for one in found:
        for benchmark, deviation in one.deviations.items():
            table.add_row(
                visible(one.model), visible(benchmark), f"{deviation:.4f}", str(one.n_seeds)
            )
    print_table(_console(), table)


@app.command()
@grouped
def unpin(
    model: ModelArgument,
    version: VersionArgument,
    *,
    ledger: LedgerOptions,
) -> None:
    """Stop keeping a pinned version's files once they are not needed."""
    _report(_steward(ledger.load()).unpin(model, version), ledger.as_json)


@app.command()
@grouped
def hold(
    model: ModelArgument,
    reason: ReasonOption = "",
    *,
    ledger: LedgerOptions,
) -> None:
    """Let nights judge and record, but promote nothing, until resume."""
    _report(_steward(ledger.load()).hold(model, reason), ledger.as_json)


@app.command()
@grouped
def resume(
    model: ModelArgument,
    reason: ReasonOption = "",
    *,
    ledger: LedgerOptions,
) -> None:
    """Let nights promote again, after hold or rollback."""
    _report(_steward(ledger.load()).resume(model, reason), ledger.as_json)


@app.command()
@grouped
def retire(
    model: ModelArgument,
    reason: ReasonOption = "",
    *,
    ledger: LedgerOptions,
) -> None:
    """Retire a model that is gone from the config: no champion, and nothing of it is kept."""
    _report(_steward(ledger.load()).retire(model, reason), ledger.as_json)


@app.command()
@grouped
def adopt(
    model: ModelArgument,
    takes_over: Annotated[
        bool,
        typer.Option(
            "--take-over",
            help="Make this pipeline directory the owner of the registered model.",
        ),
    ] = False,
    *,
    ledger: LedgerOptions,
) -> None:
    """Accept an alias champion that was moved by hand."""
    _report(_steward(ledger.load()).adopt(model, takes_over=takes_over), ledger.as_json)


@app.command()
@grouped
def repair(
    model: ModelArgument,
    *,
    ledger: LedgerOptions,
) -> None:
    """Move back an alias champion that was moved by hand, to where the ledger says."""
    _report(_steward(ledger.load()).repair(model), ledger.as_json)


# -- shared helpers ------------------------------------------------------------------------------


def _steward(loaded: LoadedConfig) -> Steward:
    return Steward(loaded, actor(), _prepare_serving(loaded), _judge_again(loaded))


def _judge_again(loaded: LoadedConfig) -> JudgeAgain:
    """A function that asks the gate again about a version that a person approves."""
    from nightjar.pipeline.judging import judge_again  # noqa: PLC0415 (imports what evaluates)

    def judge(model: str, version: RegisteredVersion) -> Decision | None:
        with steps_progress(errors) as progress:
            return judge_again(loaded, read_provenance(loaded), model, version, progress)

    return judge


def _prepare_serving(loaded: LoadedConfig) -> PrepareServing:
    """A function that publishes vectors and indexes of accepted documents for a new champion."""
    from nightjar.pipeline import prepare_serving  # noqa: PLC0415 (imports what embeds)

    def prepare(model: str, version: RegisteredVersion) -> Serving:
        with steps_progress(errors) as progress:
            return prepare_serving(loaded, read_provenance(loaded), model, version, progress)

    return prepare


def _console() -> Console:
    """A console without markup, since text from data is printed as it is."""
    return Terminal(highlight=False)


def _report(change: Change, as_json: bool) -> None:
    """Print what changed; notes are for people and go to standard error."""
    if as_json:
        event = None if change.event is None else change.event.as_json()
        print_json({"event": event, "notes": list(change.notes)})
        return
    if change.event is not None:
        _print_events(_console(), [change.event])
    for note in change.notes:
        errors.print(visible(note, _LONGEST_REASON), markup=False)


def _print_events(console: Console, events: Sequence[Event]) -> None:
    table = _table("event", "time (UTC)", "night", "what", "of", "version", "by", "reason")
    for event in events:
        table.add_row(
            str(event.number),
            f"{event.time:%Y-%m-%d %H:%M}",
            "" if event.night is None else str(event.night),
            str(event.kind),
            visible(event.subject),
            _moved(event),
            visible(event.actor),
            visible(event.reason, _LONGEST_REASON),
        )
    print_table(console, table)


def _moved(event: Event) -> str:
    """The old and new version of an event that changes the champion."""
    new = "none" if event.new is None else str(event.new.number)
    if event.moves_alias:
        return f"{'none' if event.old is None else event.old.number} -> {new}"
    return "" if event.new is None else new


def _print_standing(
    console: Console, standing: Standing, model: str | None, gone: Sequence[str]
) -> None:
    table = _table("model", "champion", "reference", "before it", "pinned", "waits", "held")
    names = [name for name in sorted(standing.models) if model in (None, name)]
    for name in names:
        found = standing.models[name]
        champion = "retired" if found.is_retired else _number(found.champion)
        table.add_row(
            visible(name),
            champion,
            _number(found.reference),
            _numbers(found.previous),
            _numbers(found.pins),
            _number(None if found.waiting is None else found.waiting.new),
            visible(found.hold_reason, _LONGEST_REASON) if found.is_held else "",
        )
    if names:
        console.print()
        print_table(console, table)
    for name, said in standing.moved.items():
        if model in (None, name):
            errors.print(f"alarm: {visible(said, None)}", markup=False)
    for name in gone:
        if model in (None, name):
            errors.print(
                f"{visible(name)} is gone from the config but keeps its champion: put it back, or "
                f"run 'nightjar retire {visible(name)}'",
                markup=False,
            )


def _print_explanation(console: Console, found: Explanation) -> None:
    version = found.version
    console.print(
        f"{visible(found.model)} version {version.number}, embeddings {version.embeddings}"
    )
    last = found.last
    numbers: Mapping[str, int | None] = {}
    if last is not None:
        repeated = "" if last.repeats is None else f", as decided in night {last.repeats}"
        note = f" ({last.note})" if last.note and not repeated else ""
        said = f"{last.outcome} in night {last.night}{repeated}: {last.reason}{note}"
        console.print(visible(said, 2 * _LONGEST_REASON))
        numbers = {} if last.repeats is None else last.numbers
    if found.decision is None:
        if last is None:
            console.print("No night has judged it.")
    else:
        event = found.decision
        if not numbers:
            console.print(f"{event.kind}: {visible(event.reason, 2 * _LONGEST_REASON)}")
        console.print(f"decision {event.decision_key} of {event.time:%Y-%m-%d %H:%M} UTC")
        console.print()
        decision = event.evidence.get("decision", {})
        print_table(console, _scores(decision, numbers))
        if decision.get("rules"):
            console.print()
            print_table(console, _rules(decision["rules"]))
        if decision.get("consumers"):
            console.print(visible(f"used by {', '.join(decision['consumers'])}", _LONGEST_REASON))
        for remark in decision.get("remarks", ()):
            console.print(visible(remark, _LONGEST_REASON))
    console.print()
    _print_events(console, found.events)


_ROLES = ("candidate", "champion", "reference")


def _scores(decision: Mapping[str, Any], numbers: Mapping[str, int | None]) -> Table:
    """Scores and coverage of the compared versions, one row per benchmark.

    ``numbers`` are the versions' numbers by role, where those have others than in the decision.
    """
    contenders = {role: decision.get(role) for role in _ROLES}
    head = [
        f"{role} {numbers.get(role) or found['version']['number']}"
        for role, found in contenders.items()
        if found is not None
    ]
    table = _table("benchmark", *(f"{name}{more}" for name in head for more in ("", " covers")))
    # A list, or weights by name.
    for benchmark in decision.get("gate", {}).get("benchmarks", ()):
        cells: list[str] = []
        for found in contenders.values():
            if found is not None:
                cells += _score_cells(found["evaluation"].get(benchmark))
        table.add_row(visible(benchmark), *cells)
    return table


def _rules(rules: Sequence[Mapping[str, Any]]) -> Table:
    """Each rule of the gate, whether it holds, and what it found."""
    table = plain_table("rule", "holds", "found", wraps=("found",))
    for rule in rules:
        table.add_row(
            visible(rule["rule"]),
            "yes" if rule["holds"] else "no",
            visible(rule["said"], _LONGEST_REASON),
        )
    return table


def _score_cells(score: Mapping[str, Any] | None) -> tuple[str, str]:
    if score is None:
        return "-", "-"
    value = score["value"]
    return "-" if value is None else f"{value:.4f}", f"{score['coverage']:.1%}"


def _table(*columns: str) -> Table:
    return plain_table(*columns, wraps=("by", "reason", "held"))


def _number(version: VersionRef | None) -> str:
    return "" if version is None else str(version.number)


def _numbers(versions: Sequence[VersionRef]) -> str:
    shown = ", ".join(str(version.number) for version in versions[:5])
    return f"{shown}, ..." if len(versions) > 5 else shown


def _standing_as_json(found: ModelStanding, *, is_gone: bool) -> dict[str, Any]:
    def number(version: VersionRef | None) -> int | None:
        return None if version is None else version.number

    return {
        "champion": number(found.champion),
        "reference": number(found.reference),
        "anchors": [version.number for version in found.anchor_versions],
        "previous": [version.number for version in found.previous],
        "pinned": [version.number for version in found.pins],
        "waiting": number(None if found.waiting is None else found.waiting.new),
        "is_held": found.is_held,
        "hold_reason": found.hold_reason,
        "is_in_conflict": found.is_in_conflict,
        "is_retired": found.is_retired,
        "is_gone_from_config": is_gone,
    }
