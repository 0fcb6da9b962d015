"""The command about drift: ``nightjar drift``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from nightjar.cli.display import steps_progress
from nightjar.cli.options import CommonOptions, grouped
from nightjar.cli.outputs import errors, print_json, print_line
from nightjar.cli.tables import plain_table, print_table
from nightjar.cli.terminal import Terminal, data_text
from nightjar.config import LoadedConfig
from nightjar.core.units import unit_of
from nightjar.core.using import at_work
from nightjar.errors import ArtifactMissing, InputError
from nightjar.formats.item_titles import Titles, titles_in
from nightjar.pipeline.answerers import Answerers, AskedVersion
from nightjar.pipeline.drifting import MeasuredDrift, measure_drift
from nightjar.pipeline.provenance import read_provenance
from nightjar.pipeline.serving import run_directly
from nightjar.promotion import VersionRef, find_vectors
from nightjar.store import Store
from nightjar.wording import counted

app = typer.Typer()
_N_NEIGHBORS = 5
_NEIGHBORS = ("neighbors_before", "neighbors_after")


@app.command()
@grouped
def drift(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL[@VERSION]",
            help="A model (the version judged last), or a version or alias: glove@7.",
        ),
    ],
    before: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="VERSION",
            help="The earlier version, number or alias; default: the champion, or the champion "
            "before it.",
        ),
    ] = None,
    n_words: Annotated[
        int, typer.Option("--limit", "-n", min=1, help="Show this many words (nodes, items).")
    ] = 20,
    *,
    common: CommonOptions,
) -> None:
    """Show which words, nodes or items moved between two versions, beside what another seed moves.

    Nights measure it for each candidate. 'nightjar noise' measures what another seed moves.
    """
    loaded = common.load()
    found = _measured(loaded, model, before)
    if common.as_json:
        print_json(_as_json(found, n_words))
    else:
        _print(found, n_words, unit_of(loaded.config, found.model), Store(loaded.artifacts_dir))


def _measured(loaded: LoadedConfig, what: str, before: str | None) -> MeasuredDrift:
    answerers = Answerers(loaded)
    after = _newer(answerers, what)
    earlier = _earlier(answerers, after, before)
    store = Store(loaded.artifacts_dir)
    old, new = (VersionRef.of(_registered(version)) for version in (earlier, after))
    for asked, version in ((earlier, old), (after, new)):
        if find_vectors(store, version) is None:
            raise ArtifactMissing(
                f"the vectors of {asked} are no longer kept, so nothing can be compared with them; "
                f"'nightjar pin' keeps those of a version"
            )
    if old.digest == new.digest:
        raise InputError(f"{earlier} and {after} are the same vectors: nothing moved")
    with (
        at_work(loaded.pipeline_dir, "drift"),
        steps_progress(errors) as progress,
    ):
        run = run_directly(loaded, read_provenance(loaded), progress)
        found = measure_drift(loaded, after.model, old, new, run)
    if found is None:
        raise ArtifactMissing(f"the vectors of {earlier} or {after} were deleted meanwhile")
    return found


def _newer(answerers: Answerers, what: str) -> AskedVersion:
    """The version that is asked about: without a version, the one judged last."""
    if "@" in what:
        return answerers.model(what)
    name = answerers.model_name(what)
    decided = None if name is None else answerers.standing.model(name).last_decision
    if name is None or decided is None or decided.new is None:
        return answerers.model(what)
    return answerers.model(f"{name}@{decided.new.number}")


def _earlier(answerers: Answerers, after: AskedVersion, before: str | None) -> AskedVersion:
    if before is not None:
        return answerers.model(f"{after.model}@{before}")
    standing = answerers.standing.model(after.model)
    number = _registered(after).version
    candidates = [standing.champion, *standing.previous]
    for version in candidates:
        if version is not None and version.number != number:
            return answerers.model(f"{after.model}@{version.number}")
    raise InputError(
        f"{after} is the only version of {after.model} so far: there is none to compare it with"
    )


def _registered(asked: AskedVersion) -> Any:
    if asked.registered is None:
        raise InputError(f"{asked} is not registered: only registered versions can be compared")
    return asked.registered


def _as_json(found: MeasuredDrift, n_words: int) -> dict[str, Any]:
    has_words = found.artifact.has_table("words")
    return {
        "model": found.model,
        **found.as_json(),
        "words": found.artifact.read("words").slice(0, n_words).to_pylist() if has_words else [],
        "bands": found.artifact.read("bands").to_pylist() if has_words else [],
        "vocabulary": found.artifact.read("vocabulary").to_pylist(),
    }


def _titles(store: Store, found: MeasuredDrift, tokens: Sequence[str]) -> Titles:
    """The titles of items in either version."""
    both = (find_vectors(store, version) for version in (found.before, found.after))
    return Titles({k: v for one in both for k, v in titles_in(one, tokens).by_token.items()})


def _print(found: MeasuredDrift, n_words: int, unit: str, store: Store) -> None:
    console = Terminal()
    drift = found.found
    place = f"{found.model} v{found.before.number} to v{found.after.number}"
    print_line(console, f"{place}: {found.said()}")
    moved = "" if drift.n_beyond is None else f", {drift.n_beyond:,} moved beyond chance"
    print_line(
        console,
        f"{counted(drift.n_shared, unit)} in both{moved}; {drift.n_come:,} came, "
        f"{drift.n_gone:,} are gone",
    )
    if not found.artifact.has_table("words"):
        return
    columns = (unit, "count", "moved", "by chance", "beyond", "before", "after")
    table = plain_table(*columns, wraps=["before", "after"], is_ruled=True)
    rows = found.artifact.read("words").slice(0, n_words).to_pylist()
    near = [(row[key] or ())[:_N_NEIGHBORS] for row in rows for key in _NEIGHBORS]
    tokens = [*(row["token"] for row in rows), *(token for some in near for token in some)]
    named = _titles(store, found, tokens).named
    for row in rows:
        floor = row["floor_displacement"]
        table.add_row(
            data_text(named(row["token"])),
            f"{row['count_after']:,}",
            f"{row['displacement']:.3f}",
            "-" if floor is None else f"{floor:.3f}",
            {None: "-", True: "yes", False: "no"}[row["is_beyond"]],
            *(
                data_text(", ".join(map(named, (row[key] or ())[:_N_NEIGHBORS])))
                for key in _NEIGHBORS
            ),
        )
    print_table(console, table)
