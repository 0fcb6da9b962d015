"""A run's report in the Prefect UI: one page of text and one table, as artifacts.

A browser opens no ``file://`` link of a web page, so places on the disk are plain paths. Links lead
to MLflow, where it is a server. The page of a night is served by the Prefect server that
``nightjar serve`` starts; a link within that server opens under whatever port it has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from nightjar.config import LoadedConfig
from nightjar.core import Night
from nightjar.core.nights import StepRecord
from nightjar.errors import RegistryUnavailable, StoreError
from nightjar.files.served_pages import page_link
from nightjar.pipeline import ModelOutcome
from nightjar.pipeline.reporting import page_addresses, page_path
from nightjar.registry import page_of, tracking_uri
from nightjar.store import Manifest, Store

NIGHT_KEY = "night"
SCORES_KEY = "nightly-scores"
RULES_KEY = "nightly-rules"


def report_night(loaded: LoadedConfig, night: Night, outcomes: Sequence[ModelOutcome]) -> None:
    """Report a night: alarms, decisions with reasons, what each step made, and the scores."""
    create_markdown_artifact(
        "\n".join(_lines(loaded, night, outcomes)),
        key=NIGHT_KEY,
        description=f"night {night.number}: {night.status.value}",
    )
    rows = [_row(outcome) for outcome in outcomes]
    create_table_artifact(
        rows, key=SCORES_KEY, description=f"night {night.number}: scores and decisions"
    )
    rules = [
        {
            "model": decision["model"],
            "rule": rule["rule"],
            "holds": rule["holds"],
            "found": rule["said"],
            **rule["numbers"],
        }
        for decision in night.decisions
        for rule in decision["rules"]
    ]
    if rules:
        create_table_artifact(
            rules, key=RULES_KEY, description=f"night {night.number}: every rule of the gate"
        )


def _lines(loaded: LoadedConfig, night: Night, outcomes: Sequence[ModelOutcome]) -> Iterator[str]:
    yield f"# Night {night.number} of {night.pipeline}: {night.status.value}"
    yield f"\n{_page(loaded, night)}"
    if night.is_trial:
        yield f"\nA trial with {', '.join(f'`{text}`' for text in night.overrides)}."
    for title, lines in (
        ("Alarms", [f"- {_inline(alarm)}" for alarm in night.alarms]),
        ("Models", list(_models(loaded, night, outcomes))),
        ("Consumers", list(_consumers(loaded))),
        ("Corpora", [f"- **{name}** {_verdict(found)}" for name, found in night.accepted.items()]),
        ("Steps that ran", list(_steps(loaded, night))),
    ):
        if lines:
            yield f"\n## {title}\n"
            yield from lines
    yield f"\nEverything is below `{loaded.artifacts_dir}`."


def _page(loaded: LoadedConfig, night: Night) -> str:
    """Where the night's page is: a link that opens, or else its path."""
    path = page_path(loaded, night.number)
    if not path.exists():
        return f"It has no page; `nightjar nights report {night.number}` makes one."
    served = page_link(loaded.artifacts_dir, night.pipeline, night.number)
    links = [f"[The page of the night]({served})"] if served else []
    try:
        addresses = page_addresses(loaded, night)
    except RegistryUnavailable:
        addresses = []  # the night says so itself
    links += [f"[the page in MLflow]({address})" for address in addresses]
    return f"{', '.join(links) or 'Its page'}: `{path}`"


def _models(loaded: LoadedConfig, night: Night, outcomes: Sequence[ModelOutcome]) -> Iterator[str]:
    names = {outcome.model: outcome.registered_model for outcome in outcomes}
    for found in night.decisions:
        version = f"version {found['candidate']['version']}"
        if found["model"] in names:
            place = f"{names[found['model']]}/versions/{found['candidate']['version']}"
            version = _link(loaded, version, f"models/{place}") or version
        yield f"- **{found['model']}** {version} {found['outcome']}: {_inline(found['reason'])}"


def _consumers(loaded: LoadedConfig) -> Iterator[str]:
    for name, found in loaded.config.consumers.items():
        what = f": {found.what}" if found.what else ""
        yield _inline(f"- **{name}** ({found.contact}) uses {', '.join(found.uses)}{what}")


def _verdict(found: Any) -> str:
    word = "accepted" if found["is_accepted"] else "not accepted"
    return f"{word}: {_inline(found['reason'])}"


def _steps(loaded: LoadedConfig, night: Night) -> Iterator[str]:
    """A table of what ran: seconds, what it read, kept and dropped, and where it is."""
    ran = [step for step in night.steps if step.was_run or step.error]
    if not ran:
        return
    yield "| step | outcome | seconds | counts | artifact |"
    yield "|---|---|---:|---|---|"
    for step in ran:
        cells = (
            step.label,
            step.outcome.value,
            f"{step.seconds:.1f}",
            step.error or _counts(loaded, step),
            _place(loaded, step),
        )
        yield f"| {' | '.join(map(_inline, cells))} |"


def _counts(loaded: LoadedConfig, step: StepRecord) -> str:
    manifest = _manifest(loaded, step)
    if manifest is None:
        return ""
    counts = manifest.counts.items()
    return ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in counts if count)


def _place(loaded: LoadedConfig, step: StepRecord) -> str:
    place = f"`{step.stage}/{step.version}`"
    manifest = _manifest(loaded, step)
    said = {} if manifest is None else manifest.report
    if "run_id" not in said:
        return place
    run = f"experiments/{said['experiment_id']}/runs/{said['run_id']}"
    link = _link(loaded, "in MLflow", f"{run}/artifacts")
    return f"{place}, {link}" if link else place


def _manifest(loaded: LoadedConfig, step: StepRecord) -> Manifest | None:
    """The manifest of what a step published; None without one, as for a failed step."""
    store = Store(loaded.artifacts_dir)
    try:
        return store.open(store.ref(step.stage, step.version)).manifest
    except StoreError:
        return None


def _link(loaded: LoadedConfig, text: str, path: str) -> str:
    """A link to a page of MLflow's; "" where the registry is not on the web."""
    page = page_of(tracking_uri(loaded.config.registry, loaded.artifacts_dir), path)
    return f"[{text}]({page})" if page else ""


def _inline(text: str) -> str:
    """Text within a line or a cell."""
    return text.replace("\n", " ").replace("|", "\\|")


def _row(outcome: ModelOutcome) -> dict[str, Any]:
    """A row of the table: scores with coverage, and the decision."""
    row: dict[str, Any] = {"model": outcome.model}
    for benchmark, score in outcome.scores.items():
        row[benchmark] = None if score.value is None else round(score.value, 4)
        row[f"{benchmark} covered"] = f"{score.n_covered}/{score.n_items}"
    return row | {
        "version": outcome.registry_version,
        "decision": outcome.decision,
        "champion": outcome.champion,
        "reason": outcome.reason,
    }
