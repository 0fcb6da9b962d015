"""Neighbours of a word, or answers to an analogy, in two versions side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from dash import dcc, html
from numpy.typing import NDArray

from nightjar.core.units import WORD
from nightjar.explorer.catalogue import TROUBLE, Version
from nightjar.explorer.jobs import Pending
from nightjar.explorer.pages.elements import (
    Component,
    Request,
    notice,
    ordinal,
    pending,
    table,
    word_links,
)
from nightjar.files.harmless_text import visible
from nightjar.formats.item_titles import titles_of
from nightjar.model.lookup import Neighbor, Reading, VectorModel
from nightjar.wording import counted, with_article


@dataclass(frozen=True)
class _Answer:
    """One version's answer, or why it has none."""

    version: Version
    model: VectorModel | None
    found: Sequence[Neighbor]
    problem: str | None


def words_page(request: Request) -> Component:
    """A word's frequency, rank and neighbours in both versions; without one, some to start from."""
    view = request.view
    left, right = request.versions()
    if not view.word:
        return _start(request, right)
    answers = [
        _ask(request, version, lambda model: model.neighbors([view.word], view.topn)[0])
        for version in (left, right)
    ]
    facts = [_facts(view.word, answer) for answer in answers]
    return [
        html.H1(_heading(view.word, answers)),
        _side_by_side(request, answers, facts),
        *_near_spellings(request, right, answers),
    ]


def _heading(word: str, answers: Sequence[_Answer]) -> Component:
    """What was searched; of an item the title, too."""
    models = [answer.model for answer in answers if answer.model is not None]
    title = next(filter(None, (titles_of(model, [word]).get(word) for model in models)), "")
    said = [" ", html.Small(visible(title), className="title")] if title else []
    return [html.Bdi(visible(word)), *said]


def analogies_page(request: Request) -> Component:
    """The words, nodes or items nearest to a sum of some minus others, in both versions."""
    view = request.view
    versions = request.versions()
    positive, negative = view.positive.split(), view.negative.split()
    if not positive and not negative:
        return _how_to_ask(request)
    answers = [
        _ask(
            request,
            version,
            lambda model: model.neighbors_of_mean(positive, negative, view.topn),
        )
        for version in versions
    ]
    title = " + ".join(map(visible, positive)) + "".join(f" - {visible(word)}" for word in negative)
    facts = [_remarks_on([*positive, *negative], answer) for answer in answers]
    return [html.H1(html.Bdi(title)), _side_by_side(request, answers, facts)]


def _how_to_ask(request: Request) -> Component:
    """A hint; only words have an example that everybody understands."""
    units = request.units
    example: list[Component] = [
        dcc.Link(
            "king woman, less man",
            href=request.view.link(positive="king woman", negative="man") or "",
        ),
        " asks: man is to king as woman is to what?",
    ]
    return html.P(
        [
            f"Write {units} to add and {units} to take away, separated by spaces. ",
            *(example if request.unit == WORD else ()),
        ],
        className="notice hint",
    )


def _ask(
    request: Request, version: Version, question: Callable[[VectorModel], Sequence[Neighbor]]
) -> _Answer:
    model = None
    try:
        model = request.library.model(version)
        return _Answer(version, model, question(model), None)
    except TROUBLE as error:
        return _Answer(version, model, (), str(error))


def _side_by_side(
    request: Request, answers: Sequence[_Answer], facts: Sequence[Component]
) -> Component:
    left, right = answers
    is_compared = left.problem is None and right.problem is None
    known = [{near.token for near in answer.found} for answer in answers]
    columns = []
    for answer, other, mark, fact in (
        (left, known[1], "gone", facts[0]),
        (right, known[0], "new", facts[1]),
    ):
        body = (
            notice(answer.problem)
            if answer.problem
            else _neighbours(request, answer, other if is_compared else None, mark)
        )
        columns.append(html.Section([html.H2(answer.version.label), fact, body]))
    n_shared = len(known[0] & known[1])
    summary = html.P(
        f"{n_shared} of {max(map(len, known))} in both versions; "
        f"marked: gone (left only), new (right only)",
        className="quiet",
    )
    return html.Div([html.Div(columns, className="columns"), summary if is_compared else None])


def _neighbours(request: Request, answer: _Answer, other: set[str] | None, mark: str) -> Component:
    rows = []
    tokens = [near.token for near in answer.found]
    link = word_links(request.view, answer.model, tokens)
    for place, near in enumerate(answer.found, start=1):
        is_marked = other is not None and near.token not in other
        bar = html.Span(className="bar", style={"width": f"{max(0.0, near.similarity) * 100:.0f}%"})
        label = html.Span(mark, className=f"mark {mark}") if is_marked else None
        rows.append(
            [
                str(place),
                html.Span([link(near.token), label], className="entry"),
                html.Span([bar, f"{near.similarity:.3f}"], className="similarity"),
            ]
        )
    return table(["", request.unit, "cosine similarity"], rows, numbers=(0,))


def _facts(word: str, answer: _Answer) -> Component:
    if answer.model is None:
        return None
    words = answer.model.table
    (reading,) = answer.model.readings([word])
    if not reading.is_known:
        return html.P(_remarks([reading]) or "not in the vocabulary", className="facts")
    row = words.row(reading.word)
    remark = f"{_remarks([reading])}: " if reading.remark else ""
    return html.P(
        f"{remark}{counted(int(words.counts[row]), 'occurrence')}, rank {ordinal(row)} of "
        f"{len(words):,}",
        className="facts",
    )


def _remarks(readings: Sequence[Reading]) -> str:
    """How words were read that are not in the vocabulary as they are written."""
    return "; ".join(visible(reading.remark, None) for reading in readings if reading.remark)


def _remarks_on(words: Sequence[str], answer: _Answer) -> Component:
    remarks = "" if answer.model is None else _remarks(answer.model.readings(words))
    return html.P(remarks, className="facts") if remarks else None


def _near_spellings(
    request: Request, version: Version, answers: Sequence[_Answer]
) -> list[Component]:
    """Words that start like a word that neither version knows."""
    if not all(answer.problem for answer in answers) or answers[1].model is None:
        return []
    index = request.library.prefixes(version)
    if isinstance(index, Pending):
        return [pending(index)]
    rows = index.rows(request.view.word[:3], 12)
    tokens = request.library.model(version).table.tokens_of(_as_rows(rows))
    links = [*map(word_links(request.view, request.library.model(version), tokens), tokens)]
    said = f"{request.units.capitalize()} with the same beginning: "
    return [html.P([said, *links], className="words")] if links else []


def _start(request: Request, version: Version) -> Component:
    """Words to start from."""
    model = request.library.model(version)
    words, unit = model.table, request.library.unit(version)
    rows = request.library.start_words(version)
    if isinstance(rows, Pending):
        return pending(rows)
    tokens = words.tokens_of(rows)
    return [
        html.H1(f"Search {with_article(unit)}"),
        html.P(
            f"{version.label}: {counted(len(words), unit)}, "
            f"{counted(words.vector_size, 'dimension')}. Some whose neighbours stand out:",
            className="quiet",
        ),
        html.P([*map(word_links(request.view, model, tokens), tokens)], className="words"),
    ]


def _as_rows(rows: Sequence[int]) -> NDArray[np.int64]:
    return np.fromiter(rows, np.int64, len(rows))
