"""Commands about documents and words: search, diff, report."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import typer
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from nightjar.cli.corpora_asked import (
    CorpusReport,
    TwoNights,
    compare_documents,
    report_corpus,
)
from nightjar.cli.night_difference_output import print_difference
from nightjar.cli.options import CommonOptions, CorpusOption, EntryOption, NightOption, grouped
from nightjar.cli.outputs import print_json, print_line, save_text
from nightjar.cli.terminal import Terminal
from nightjar.core.units import unit_of_corpus
from nightjar.errors import InputError
from nightjar.files.harmless_text import visible
from nightjar.formats.item_titles import Titles
from nightjar.pipeline.reporting import compare_nights, find_night, read_facts
from nightjar.pipeline.searching import JSON_SNIPPET_CHARS, Found, SearchRequest, find_documents
from nightjar.stages.index import Filters
from nightjar.stages.ingest import ChangeKind, Comparison
from nightjar.wording import counted, plural_of

app = typer.Typer()
_HIT_INDENT = 4
_SNIPPET_LINES = 2


@dataclass(frozen=True)
class FilterOptions:
    """Which documents are searched."""

    source: Annotated[
        list[str] | None, typer.Option(help="Search only documents of this source; repeatable.")
    ] = None
    language: Annotated[
        list[str] | None, typer.Option(help="Search only documents in this language; repeatable.")
    ] = None
    contains: Annotated[
        str | None, typer.Option(help="Search only documents with this word or regular expression.")
    ] = None
    min_chars: Annotated[int | None, typer.Option(min=0, help="Skip shorter documents.")] = None
    max_chars: Annotated[int | None, typer.Option(min=0, help="Skip longer documents.")] = None

    def filters(self) -> Filters:
        """The filters of a search."""
        return Filters(
            tuple(self.source or ()),
            tuple(self.language or ()),
            self.contains,
            self.min_chars,
            self.max_chars,
        )


@app.command()
@grouped
def search(
    query: Annotated[str, typer.Argument(help="Describe what you look for in your own words.")],
    name: EntryOption = None,
    topn: Annotated[
        int, typer.Option("--topn", "-n", min=1, max=1_000, help="Show this many answers.")
    ] = 10,
    *,
    kept: FilterOptions,
    night: NightOption = None,
    common: CommonOptions,
) -> None:
    """Find the documents nearest in meaning, and the best sentence of each."""
    console = Terminal()
    request = SearchRequest(
        query=query,
        name=name,
        night=night,
        topn=topn,
        filters=kept.filters(),
        snippet_chars=JSON_SNIPPET_CHARS if common.as_json else _snippet_chars(console),
    )
    found = find_documents(common.load(), request)
    if common.as_json:
        print_json(found.as_json())
    else:
        _print_found(console, found)


@app.command()
@grouped
def diff(
    what: Annotated[
        str,
        typer.Argument(
            metavar="NIGHT|documents",
            help="A night: its number, last or last~1. Or the word 'documents'.",
        ),
    ],
    old: Annotated[
        str | None,
        typer.Argument(
            metavar="NIGHT|A",
            help="The night to compare it with. With 'documents': the older version; default: that "
            "of the accepted night before.",
        ),
    ] = None,
    new: Annotated[
        str | None,
        typer.Argument(metavar="B", help="The newer version; default: the last accepted night's."),
    ] = None,
    limit: Annotated[
        int,
        typer.Option(
            "--limit", "-n", min=0, help="List this many documents, or words (nodes, items)."
        ),
    ] = 20,
    corpus: CorpusOption = None,
    *,
    nights: TwoNights,
    common: CommonOptions,
) -> None:
    """Show what differs between two nights, or which documents of a corpus do.

    'diff 3 7' and 'diff last~1 last' compare nights: config, corpora, models with their scores and
    words, seconds. 'diff documents' compares the documents of two nights or versions.
    """
    if what != "documents":
        given = (new, corpus, nights.night, nights.against)
        _diff_nights(common, (what, old), limit, has_more=any(one is not None for one in given))
        return
    is_by_night = nights.against is not None or (new is not None and nights.night is not None)
    if old is not None and is_by_night:
        raise InputError("give two versions, or nights with --night and --against, not both")
    comparison = compare_documents(common.load(), corpus, nights, old, new)
    if common.as_json:
        print_json(_comparison_as_json(comparison, limit))
    else:
        _print_comparison(Terminal(), comparison, limit)


def _diff_nights(
    common: CommonOptions, asked: tuple[str, str | None], limit: int, *, has_more: bool
) -> None:
    first, second = asked
    if second is None or has_more:
        raise InputError(
            f"'nightjar diff' takes two nights, as in 'nightjar diff last~1 last', or the word "
            f"documents, as in 'nightjar diff documents'; given is {first}"
            f"{'' if second is None else f' {second}'}{' and more' if has_more else ''}"
        )
    loaded = common.load()
    before, after = (read_facts(loaded, find_night(loaded, one)) for one in (first, second))
    found = compare_nights(before, after)
    if common.as_json:
        print_json(found.as_json())
    else:
        print_difference(Terminal(), found, limit)


@app.command()
@grouped
def report(
    corpus: Annotated[
        str | None, typer.Argument(help="A corpus; needed if there are several.")
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=0, help="List this many new ones.")
    ] = 20,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write the HTML page, with the news."),
    ] = None,
    *,
    nights: TwoNights,
    common: CommonOptions,
) -> None:
    """Describe a corpus and the words (nodes, items) that came or went since the night before.

    The night before is the last accepted one.
    """
    loaded = common.load()
    found = report_corpus(loaded, corpus, nights)
    if output is not None:
        save_text(output, found.page)
    if common.as_json:
        print_json(found.as_json())
        return
    console = Terminal()
    _print_report(console, found, limit, unit_of_corpus(loaded.config, found.night.corpus))
    if output is not None:
        print_line(console, f"page written to {output}")


def _snippet_chars(console: Console) -> int:
    """The length of a snippet that fills two lines of this terminal."""
    return max(20, _SNIPPET_LINES * (console.width - _HIT_INDENT) - 10)


def _print_found(console: Console, found: Found) -> None:
    """Print each found document's source and its sentence with the query's words marked."""
    for rank, (hit, snippet) in enumerate(found.hits, start=1):
        document = hit.document
        about = [document.source, document.language, f"{counted(document.n_chars, 'character')}"]
        head = Text(f"{rank:>2}  ")
        head.append(f"{hit.similarity:.3f}", "bold").append("  ").append(
            visible(document.doc_id, None), "cyan"
        )
        head.append(f"  {', '.join(filter(None, about))}", "dim")
        console.print(head, no_wrap=True, overflow="ellipsis", crop=True)
        text = Text(snippet.text)  # its places count characters, so the door makes the escapes
        for start, stop in snippet.marks:
            text.stylize("bold yellow", start, stop)
        console.print(Padding(text, (0, 0, 0, _HIT_INDENT)))
    if not found.hits:
        console.print("No document passes the filters.")
    if found.unknown:
        words = ", ".join(visible(word) for word in found.unknown)
        print_line(console, f"{found.name} has no vector for {words}: other words decide")
    counts = found.index.manifest.counts
    n_without = counts["without_known_words"]
    note = f"{found.name}: {counted(counts['indexed'], 'document')}"
    note += f", {n_without:,} more have no known word" if n_without else ""
    console.print(Text(note, "dim"))


def _print_report(console: Console, found: CorpusReport, limit: int, unit: str) -> None:
    print_line(console, f"{found.night.label}: {found.report.ref}")
    for name, count in found.figures.items():
        console.print(f"{name.replace('_', ' '):<16}{count:>14,}", markup=False)
    for doubt in found.doubts:
        print_line(console, f"doubt: {doubt}", "yellow")
    since = found.since
    if since is None:
        console.print("No earlier night was accepted, so there is nothing to compare it with.")
        return
    print_line(console, f"compared with {since.night.label}, {since.tokens.ref}")
    units = plural_of(unit)
    for title, n_words, words in (
        (f"new {units}", since.words.n_appeared, since.words.appeared),
        (f"{units} that are gone", since.words.n_vanished, since.words.vanished),
    ):
        _print_words(console, f"{title}: {n_words:,}", words.slice(0, limit), found.titles)


def _print_words(console: Console, title: str, words: pa.Table, titles: Titles) -> None:
    columns = (words.column(name).to_pylist() for name in ("token", "count"))
    shown = [
        f"{visible(titles.named(token), None)} ({count:,})"
        for token, count in zip(*columns, strict=True)
    ]
    console.print(Text(": ".join(filter(None, (title, ", ".join(shown))))), soft_wrap=True)


def _print_comparison(console: Console, comparison: Comparison, limit: int) -> None:
    """Print how many documents of each source changed, and the first ``limit`` of them."""
    console.print(f"{comparison.old} -> {comparison.new}")
    for change, by_source in comparison.counts.items():
        sources = ", ".join(f"{source} {count:,}" for source, count in by_source.items())
        total = sum(by_source.values())
        console.print(f"{change.value:<10}{total:>12,}{f'  ({sources})' if sources else ''}")
    console.print(f"{'unchanged':<10}{comparison.n_unchanged:>12,}")
    marks = {ChangeKind.ADDED: "+", ChangeKind.CHANGED: "~", ChangeKind.REMOVED: "-"}
    for document in islice(comparison.documents(), limit):
        print_line(console, f"{marks[document.change]} {visible(document.doc_id, None)}")
    if comparison.n_changes > limit:
        console.print(f"... and {comparison.n_changes - limit:,} more (--limit)")


def _comparison_as_json(comparison: Comparison, limit: int) -> dict[str, Any]:
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
