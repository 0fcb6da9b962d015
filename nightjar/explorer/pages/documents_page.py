"""Documents that are nearest in meaning to a query, as ``nightjar search`` finds them."""

from __future__ import annotations

from dash import dcc, html

from nightjar.explorer.pages.elements import Component, Request, notice, table
from nightjar.files.harmless_text import visible
from nightjar.pipeline.searching import Found, SearchRequest, find_documents
from nightjar.stages.index import Filters, Hit, Snippet
from nightjar.wording import counted

_SNIPPET_CHARS = 320
_HOW_TO_ASK = (
    "Describe what you look for in your own words: documents near in meaning are found, whether or "
    "not they have these words. For example: "
)
_EXAMPLE = "a new treatment for patients"


def documents_page(request: Request) -> Component:
    """The best documents with their best passage; without a query, how to ask."""
    view, loaded = request.view, request.library.loaded
    entries = request.catalogue.entries
    if not view.query.strip():
        return _how_to_ask(request)
    found = find_documents(
        loaded,
        SearchRequest(
            query=view.query,
            # Where there are several, the first one is shown; where there is none, this says so.
            name=view.entry or next(iter(entries), None),
            topn=view.topn,
            filters=Filters(
                sources=(view.source,) if view.source else (), contains=view.contains or None
            ),
            snippet_chars=_SNIPPET_CHARS,
        ),
    )
    return [html.H1(html.Bdi(visible(view.query, 200))), *_remarks(found), _hits(found)]


def _how_to_ask(request: Request) -> Component:
    if not request.catalogue.entries:
        return notice(
            "The configuration embeds no documents, so there is nothing to search. "
            "'nightjar search QUERY' says what to add.",
            "hint",
        )
    example = request.view.link(query=_EXAMPLE)
    return html.P(
        [
            _HOW_TO_ASK,
            dcc.Link(_EXAMPLE, href=example or ""),
            ".",
        ],
        className="notice hint",
    )


def _remarks(found: Found) -> list[Component]:
    counts = found.index.manifest.counts
    remarks = []
    if not counts["indexed"]:
        remarks.append(
            notice(
                f"the index of {visible(found.name)} is empty: of "
                f"{counted(counts['documents'], 'document')} none has a known word",
                "hint",
            )
        )
    elif not found.hits:
        remarks.append(notice("no document passes the filters", "hint"))
    if found.unknown:
        words = ", ".join(visible(word) for word in found.unknown)
        remarks.append(notice(f"the model has no vector for {words}: other words decide", "hint"))
    without = counts["without_known_words"]
    rest = f", {without:,} more have no known word" if without else ""
    is_approximate = found.index.manifest.report["approximate"]
    how = "by an approximate index" if is_approximate else "each compared with the query"
    about = f"{visible(found.name)}: {counted(counts['indexed'], 'document')}{rest}, {how}."
    return [*remarks, html.P(about, className="quiet")]


def _hits(found: Found) -> Component:
    if not found.hits:
        return None
    rows = [
        [str(rank), f"{hit.similarity:.3f}", _document(hit), _passage(snippet)]
        for rank, (hit, snippet) in enumerate(found.hits, start=1)
    ]
    head = ["rank", "similarity", "document", "passage"]
    return table(head, rows, numbers=(0, 1), is_stacked=True)


def _document(hit: Hit) -> Component:
    document = hit.document
    about = [document.source, document.language, counted(document.n_chars, "character")]
    return html.Div(
        [
            html.Div(visible(document.doc_id, 200), className="name"),
            html.Small(", ".join(visible(part) for part in about if part)),
        ],
        className="lines",
    )


def _passage(snippet: Snippet) -> Component:
    """The passage as text, with the query's words marked."""
    parts: list[Component] = []
    end = 0
    for start, stop in snippet.marks:
        parts += [snippet.text[end:start], html.Mark(snippet.text[start:stop])]
        end = stop
    return html.Bdi([*parts, snippet.text[end:]])
