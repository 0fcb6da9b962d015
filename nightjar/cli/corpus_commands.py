"""Commands about documents and words: search, diff, report."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import typer
from rich.console import Console
from rich.text import Text

from nightjar.cli import corpora_asked as corpora
from nightjar.cli import render
from nightjar.cli.corpora_asked import AskedNights, CorpusReport
from nightjar.cli.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    CorpusOption,
    JsonOption,
    NightOption,
    SetOption,
    print_json,
)
from nightjar.cli.outputs import save_text
from nightjar.config import load_config
from nightjar.errors import InputError
from nightjar.pipeline.searching import JSON_SNIPPET_CHARS, SearchRequest, find_documents
from nightjar.stages.index import Filters
from nightjar.stages.ingest import ChangeKind, Comparison

app = typer.Typer()

_AgainstOption = Annotated[
    int | None,
    typer.Option(
        "--against", metavar="ID", help="Compare with this night; default: the accepted one before."
    ),
]


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="Describe what you look for in your own words.")],
    name: Annotated[
        str | None,
        typer.Option("--in", help="Choose an entry of document_vectors; needed if several."),
    ] = None,
    topn: Annotated[
        int, typer.Option("--topn", "-n", min=1, max=1_000, help="Show this many answers.")
    ] = 10,
    source: Annotated[
        list[str] | None, typer.Option(help="Search only documents of this source; repeatable.")
    ] = None,
    language: Annotated[
        list[str] | None, typer.Option(help="Search only documents in this language; repeatable.")
    ] = None,
    contains: Annotated[
        str | None, typer.Option(help="Search only documents with this word or regular expression.")
    ] = None,
    min_chars: Annotated[int | None, typer.Option(min=0, help="Skip shorter documents.")] = None,
    max_chars: Annotated[int | None, typer.Option(min=0, help="Skip longer documents.")] = None,
    night: NightOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find the documents nearest in meaning, and the best sentence of each."""
    console = Console()
    question = SearchRequest(
        query=query,
        name=name,
        night=night,
        topn=topn,
        filters=Filters(tuple(source or ()), tuple(language or ()), contains, min_chars, max_chars),
        snippet_chars=JSON_SNIPPET_CHARS if as_json else render.snippet_chars(console),
    )
    found = find_documents(load_config(config, set_ or []), question)
    if as_json:
        print_json(found.as_json())
    else:
        render.print_found(console, found)


@app.command()
def diff(
    stage: Annotated[str, typer.Argument(metavar="documents", help="The word 'documents'.")],
    old: Annotated[
        str | None,
        typer.Argument(
            metavar="A", help="The older version; default: that of the accepted night before it."
        ),
    ] = None,
    new: Annotated[
        str | None,
        typer.Argument(metavar="B", help="The newer version; default: the last accepted night's."),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=0, help="List this many documents.")
    ] = 20,
    corpus: CorpusOption = None,
    night: NightOption = None,
    against: _AgainstOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show which documents were added, changed and removed between two nights or versions."""
    if stage != "documents":
        raise InputError(
            f"{stage}: only documents can be compared, as in 'nightjar diff documents'"
        )
    if old is not None and (against is not None or (new is not None and night is not None)):
        raise InputError("give two versions, or nights with --night and --against, not both")
    loaded = load_config(config, set_ or [])
    comparison = corpora.compare_documents(loaded, AskedNights(corpus, night, against), old, new)
    if as_json:
        print_json(_as_json(comparison, limit))
    else:
        _print(Console(), comparison, limit)


@app.command()
def report(
    corpus: Annotated[
        str | None, typer.Argument(help="A corpus; needed if there are several.")
    ] = None,
    night: NightOption = None,
    against: _AgainstOption = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="List this many words.")] = 20,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write the HTML page, with the news."),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Describe a corpus and the words that came or went since the accepted night before."""
    loaded = load_config(config, set_ or [])
    found = corpora.report_corpus(loaded, AskedNights(corpus, night, against))
    if output is not None:
        save_text(output, found.page)
    if as_json:
        print_json(found.as_json())
        return
    console = Console()
    _print_report(console, found, limit)
    if output is not None:
        console.print(f"page written to {output}", markup=False, highlight=False, soft_wrap=True)


def _print_report(console: Console, found: CorpusReport, limit: int) -> None:
    console.print(
        f"{found.night.label}: {found.report.ref}", markup=False, highlight=False, soft_wrap=True
    )
    for name, count in found.figures.items():
        console.print(f"{name.replace('_', ' '):<16}{count:>14,}", markup=False)
    since = found.since
    if since is None:
        console.print("No earlier night was accepted, so there is nothing to compare it with.")
        return
    line = f"compared with {since.night.label}, {since.tokens.ref}"
    console.print(line, markup=False, highlight=False, soft_wrap=True)
    for title, n_words, words in (
        ("new words", since.words.n_appeared, since.words.appeared),
        ("words that are gone", since.words.n_vanished, since.words.vanished),
    ):
        _print_words(console, f"{title}: {n_words:,}", words.slice(0, limit))


def _print_words(console: Console, title: str, words: pa.Table) -> None:
    columns = (words.column(name).to_pylist() for name in ("token", "count"))
    shown = [
        f"{render.printable(token)} ({count:,})" for token, count in zip(*columns, strict=True)
    ]
    console.print(Text(": ".join(filter(None, (title, ", ".join(shown))))), soft_wrap=True)


def _print(console: Console, comparison: Comparison, limit: int) -> None:
    """Print how many documents of each source changed, and the first ``limit`` of them."""
    console.print(f"{comparison.old} -> {comparison.new}")
    for change, by_source in comparison.counts.items():
        sources = ", ".join(f"{source} {count:,}" for source, count in by_source.items())
        total = sum(by_source.values())
        console.print(f"{change.value:<10}{total:>12,}{f'  ({sources})' if sources else ''}")
    console.print(f"{'unchanged':<10}{comparison.n_unchanged:>12,}")
    marks = {ChangeKind.ADDED: "+", ChangeKind.CHANGED: "~", ChangeKind.REMOVED: "-"}
    for document in islice(comparison.documents(), limit):
        console.print(f"{marks[document.change]} {document.doc_id}", markup=False, highlight=False)
    if comparison.n_changes > limit:
        console.print(f"... and {comparison.n_changes - limit:,} more (--limit)")


def _as_json(comparison: Comparison, limit: int) -> dict[str, Any]:
    """The comparison for a script."""
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
