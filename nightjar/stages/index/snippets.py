"""The part of a document that answers a query: its nearest sentence, with the words to mark."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from nightjar.files.html.html_elements import LINE_BREAK, TEXT_BLOCKS
from nightjar.model.lookup.nearest import row_lengths, unit_rows
from nightjar.model.tokenization import SentenceSplitter, Settings, make_sentence_splitter

Encode = Callable[[Sequence[str]], NDArray[np.float32]]
"""Texts to vectors, shape (n_texts, vector_size); a row of NaN for a text without one."""

MAX_SENTENCES = 400
"""Of one document so many are compared with the query: the first."""
_MAX_SENTENCE_CHARS = 2_000
_ELLIPSIS = "…"
_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_LINE_BREAK_TAG = re.compile(
    rf"</?(?:{'|'.join(sorted((*TEXT_BLOCKS, LINE_BREAK)))})\b[^<>]{{0,200}}>", re.IGNORECASE
)


@dataclass(frozen=True)
class Snippet:
    """A part of a document; ``marks`` are where words of the query stand in ``text``."""

    text: str
    marks: tuple[tuple[int, int], ...]


def snippets(
    texts: Sequence[str], query: str, vector: NDArray[np.float32], encode: Encode, width: int
) -> list[Snippet]:
    """Of each text its sentence nearest to the query, and what follows it while it fits.

    ``vector`` is the query's, of the encoder ``encode``; a snippet has ``width`` characters
    at most. In memory: the sentences of all texts and their vectors.
    """
    split = _splitter()
    sentences = [_sentences(split(_LINE_BREAK_TAG.sub("\n", text))) for text in texts]
    flat = [sentence for some in sentences for sentence in some]
    vectors = np.nan_to_num(encode([text[:_MAX_SENTENCE_CHARS] for text in flat]))
    lengths = row_lengths(vectors)
    direction = unit_rows(vector[np.newaxis], row_lengths(vector[np.newaxis]))[0]
    scores = np.where(lengths > 0, unit_rows(vectors, lengths) @ direction, -2.0)
    found, first = [], 0
    for some in sentences:
        best = int(np.argmax(scores[first : first + len(some)])) if some else 0
        found.append(_cut(some, best, query, width))
        first += len(some)
    return found


@cache
def _splitter() -> SentenceSplitter:
    # As it is written: no normalization, no lower case.
    return make_sentence_splitter(Settings("unicode", None, None, False, True, 1, 40))


def _sentences(parts: Sequence[str]) -> list[str]:
    """Sentences fit for a terminal: no control characters, single spaces."""
    cleaned = (_printable(part) for part in parts[:MAX_SENTENCES])
    return [sentence for sentence in cleaned if sentence]


def _printable(text: str) -> str:
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def _cut(sentences: Sequence[str], best: int, query: str, width: int) -> Snippet:
    if not sentences:
        return Snippet("", ())
    text = sentences[best]
    for following in sentences[best + 1 :]:
        if len(text) + 1 + len(following) > width:
            break
        text = f"{text} {following}"
    if len(text) > width:
        text = _window(text, query, width)
    return Snippet(text, _marks(text, query))


def _window(text: str, query: str, width: int) -> str:
    """The ``width`` characters that have the most words of the query, from a word's start."""
    starts = [start for start, _ in _marks(text, query)]
    room = width - 2 * len(_ELLIPSIS)
    best = max(starts, key=lambda start: sum(start <= s < start + room for s in starts), default=0)
    if best + room > len(text):
        best = max(0, len(text) - room)
    elif best:
        best = max(0, best - room // 4)  # some words of what comes before
    if best:
        best = text.find(" ", best) + 1 or best
    part = text[best : best + room]
    end = best + len(part)
    if end < len(text):
        part = part.rsplit(" ", 1)[0]
    before = _ELLIPSIS if best else ""
    return f"{before}{part}{_ELLIPSIS if end < len(text) else ''}"


def _marks(text: str, query: str) -> tuple[tuple[int, int], ...]:
    wanted = {word.group().casefold() for word in _WORD.finditer(query)}
    return tuple(word.span() for word in _WORD.finditer(text) if word.group().casefold() in wanted)
