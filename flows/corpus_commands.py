"""Commands about documents and tokens."""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any

import typer
from rich.console import Console

from flows import lookups
from flows.options import DEFAULT_CONFIG, ConfigOption, JsonOption, SetOption, print_json
from nightjar.config import load_config
from nightjar.corpus import Change, Comparison
from nightjar.errors import InputError

app = typer.Typer()


@app.command()
def diff(
    stage: Annotated[str, typer.Argument(metavar="documents", help="What is compared.")],
    old: Annotated[
        str | None, typer.Argument(metavar="A", help="The older version; default: the one before.")
    ] = None,
    new: Annotated[
        str | None, typer.Argument(metavar="B", help="The newer version; default: the newest.")
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=0, help="How many documents are listed.")
    ] = 20,
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show which documents were added, changed and removed between two versions."""
    if stage != "documents":
        raise InputError(
            f"{stage}: only documents can be compared, as in 'nightjar diff documents'"
        )
    comparison = lookups.compare_documents(load_config(config, set_ or []), old, new)
    if as_json:
        print_json(_as_json(comparison, limit))
    else:
        _print(Console(), comparison, limit)


def _print(console: Console, comparison: Comparison, limit: int) -> None:
    """How many documents of each source changed, and the first ``limit`` of them."""
    console.print(f"{comparison.old} -> {comparison.new}")
    for change, by_source in comparison.counts.items():
        sources = ", ".join(f"{source} {count:,}" for source, count in by_source.items())
        total = sum(by_source.values())
        console.print(f"{change.value:<10}{total:>12,}{f'  ({sources})' if sources else ''}")
    console.print(f"{'unchanged':<10}{comparison.n_unchanged:>12,}")
    marks = {Change.ADDED: "+", Change.CHANGED: "~", Change.REMOVED: "-"}
    for document in islice(comparison.documents(), limit):
        console.print(f"{marks[document.change]} {document.doc_id}", markup=False, highlight=False)
    if comparison.n_changes > limit:
        console.print(f"... and {comparison.n_changes - limit:,} more (--limit)")


def _as_json(comparison: Comparison, limit: int) -> dict[str, Any]:
    """The same, for a script."""
    return {
        "old": comparison.old,
        "new": comparison.new,
        **{change.value: by_source for change, by_source in comparison.counts.items()},
        "unchanged": comparison.n_unchanged,
        "documents": [
            {"doc_id": document.doc_id, "change": document.change.value}
            for document in islice(comparison.documents(), limit)
        ],
    }
