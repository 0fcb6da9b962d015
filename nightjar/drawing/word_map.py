"""A map of words for a page: neighbours are near each other, and a field finds a word.

The layout is the explorer's neighbour graph (:mod:`.neighbour_graph`). Without JavaScript the map
is the same, only the field finds nothing. The script reads and writes text nodes alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from nightjar.drawing.labels import labelled
from nightjar.drawing.neighbour_graph import lay_out_rows
from nightjar.files.harmless_text import harmless, visible
from nightjar.model.lookup.nearest import row_lengths, unit_rows
from nightjar.wording import counted, with_article

MAX_WORDS = 1_200
"""A map has at most so many words: a page of several maps stays below two megabytes."""
_SIZE, _MARGIN = 380, 12
_CORE = 1.35
"""The drawing is so much wider than the part that four fifths of the words are in."""
_BORDER = 0.16
"""Share of the drawing's half that is left for places far from the others."""
_WIDE = 900
"""Pixels of a map on a wide screen, where there is room for more and smaller labels."""
_LONGEST_LABEL = 18
_FEWEST_PLACED = 4

MAP_STYLE = """
.map svg { width: 100%; height: auto; max-width: 900px; display: block;
  border: 1px solid var(--line); }
.map text { fill: var(--ink); font: 11px system-ui, sans-serif; text-anchor: middle;
  paint-order: stroke; stroke: var(--ground); stroke-width: 2.4px; pointer-events: none; }
.map circle { fill: #7f8ea3; fill-opacity: .55; r: 1.9px; }
.map .m1 { fill: #228833; fill-opacity: .95; } .map .m2 { fill: #ee7733; fill-opacity: .95; }
.map circle.hit { fill: #cc3311; fill-opacity: 1; r: 6px; stroke: var(--ground); }
.map .wide-only { display: none; }
@media (min-width: 760px) { .map .wide-only { display: inline; }
  .map text { font-size: 5px; stroke-width: 1px; } .map circle { r: 1.1px; }
  .map circle.hit { r: 3px; } }
.map input { font: inherit; width: min(100%, 22rem); padding: .3rem .5rem; color: var(--ink);
  background: var(--ground); border: 1px solid var(--line); border-radius: 4px; }
.map ul { columns: 3 11rem; padding-left: 1.1rem; min-height: 1.6rem; }
.dot { display: inline-block; width: .7em; height: .7em; border-radius: 50%; }
.d0 { background: #7f8ea3; } .d1 { background: #228833; } .d2 { background: #ee7733; }
"""
"""The rules that maps need, once in a page."""
MAP_SCRIPT = """
for (const map of document.querySelectorAll('.map')) {
  const field = map.querySelector('input'), list = map.querySelector('ul');
  const words = Array.from(map.querySelectorAll('circle'), circle =>
    [circle, circle.firstElementChild.textContent.toLowerCase()]);
  field.disabled = false;
  field.addEventListener('input', () => {
    const wanted = field.value.trim().toLowerCase();
    list.replaceChildren();
    for (const [circle, text] of words) {
      const is_hit = wanted !== '' && (text.startsWith(wanted)
        || (circle.dataset.title || '').includes(wanted));
      circle.classList.toggle('hit', is_hit);
      if (is_hit && list.children.length < 30) {
        const item = document.createElement('li');
        item.textContent = circle.firstElementChild.textContent;
        list.append(item);
      }
      if (is_hit) circle.parentNode.append(circle);
    }
    if (wanted !== '' && !list.children.length) {
      const item = document.createElement('li');
      item.textContent = 'nothing on the map begins like this';
      list.append(item);
    }
  });
}
"""
"""The search, once in a page with maps."""


@dataclass(frozen=True)
class MappedWord:
    """A word of the map."""

    token: str
    count: int
    mark: int = 0
    """0, or which of the two kinds of words that are drawn in a colour."""
    title: str = ""
    """Of an item: what people know it by."""


def place_words(matrix: NDArray[np.float32]) -> NDArray[np.float64]:
    """A place (n, 2) for each row (n, vector_size) of one model, most frequent first.

    Deterministic. Begins with the two principal components of the directions.
    """
    lengths = row_lengths(matrix)
    units = unit_rows(matrix.astype(np.float64))
    centred = units - units.mean(axis=0) if len(units) else units
    places = np.zeros((len(matrix), 2))
    if len(matrix) < _FEWEST_PLACED or matrix.shape[1] < 2:
        places[:, 0] = np.arange(len(matrix))
        return places
    _, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, ::-1][:, :2]
    largest = np.argmax(np.abs(axes), axis=0)
    axes = axes * np.where(axes[largest, np.arange(2)] < 0, -1.0, 1.0)
    start = (centred @ axes).astype(np.float32)
    return lay_out_rows(matrix, lengths, start, lambda _note: None)


def map_of_words(
    title: str,
    words: Sequence[MappedWord],
    places: NDArray[np.float64],
    marks: Sequence[str],
    embeds: str = "word",
) -> str:
    """The map of ``words`` (n) at ``places`` (n, 2), most frequent first, with its search.

    ``marks`` names the kinds of words that have a colour, ``embeds`` says what they
    are. Without words it is an empty string.
    """
    if not words:
        return ""
    drawn, sought = _on_paper(places), with_article(embeds)
    parts = [
        f'<figure class="map"><h3>{escape(harmless(title))}</h3>',
        f'<p class="muted">{"".join(_legend(words, marks, embeds))}</p>',
        (
            '<input type="search" autocomplete="off" spellcheck="false" disabled '
            f'placeholder="find {sought}" aria-label="find {sought} on the map: '
            f'{escape(harmless(title), quote=True)}"><ul></ul>'
        ),
        (
            f'<svg viewBox="0 0 {_SIZE} {_SIZE}" role="img" '
            f'aria-label="{escape(harmless(title), quote=True)}">'
        ),
        *_circles(words, drawn),
        *_labels(words, drawn),
        "</svg></figure>",
    ]
    return "".join(parts)


def _on_paper(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Places within the drawing; the few that are far from the others are drawn near its border."""
    low, high = np.quantile(places, 0.1, axis=0), np.quantile(places, 0.9, axis=0)
    around = (places - (low + high) / 2) / np.maximum(_CORE * (high - low) / 2, 1e-9)
    beyond = np.maximum(np.abs(around) - 1.0, 0.0)
    around = np.clip(around, -1.0, 1.0) + np.sign(around) * _BORDER * (1.0 - np.exp(-beyond))
    half = _SIZE / 2 - _MARGIN
    drawn: NDArray[np.float64] = _SIZE / 2 + around * half / (1 + _BORDER)
    drawn[:, 1] = _SIZE - drawn[:, 1]
    return drawn


def _legend(words: Sequence[MappedWord], marks: Sequence[str], embeds: str) -> Iterator[str]:
    yield f"The {counted(len(words), f'most frequent {embeds}')}. "
    for number, name in enumerate(marks, start=1):
        n_words = sum(word.mark == number for word in words)
        yield f'<span class="dot d{number}"></span> {escape(harmless(name))}: {n_words:,}. '


def _circles(words: Sequence[MappedWord], drawn: NDArray[np.float64]) -> Iterator[str]:
    # Those in a colour come last, so that they lie on top.
    for place in sorted(range(len(words)), key=lambda number: words[number].mark):
        word, (x, y) = words[place], drawn[place].tolist()
        kind = f' class="m{word.mark}"' if word.mark else ""
        yield (
            f'<circle{kind}{_data(word)} cx="{x:.1f}" cy="{y:.1f}" r="2">'
            f"<title>{_said(word)}, {counted(word.count, 'time')}</title></circle>"
        )


def _said(word: MappedWord) -> str:
    title = f" ({escape(visible(word.title))})" if word.title else ""
    return f"{escape(visible(word.token))}{title}"


def _data(word: MappedWord) -> str:
    """The title, for the search; its letters may be anywhere in it."""
    title = escape(visible(word.title).lower(), quote=True) if word.title else ""
    return f' data-title="{title}"' if title else ""


def _labels(words: Sequence[MappedWord], drawn: NDArray[np.float64]) -> Iterator[str]:
    # Words in a colour are named first.
    order = sorted(range(len(words)), key=lambda number: words[number].mark == 0)
    texts = [visible(words[place].title or words[place].token, _LONGEST_LABEL) for place in order]
    points = drawn[order] * (1, -1) + (0, _SIZE)
    box = (0.0, float(_SIZE), 0.0, float(_SIZE))
    narrow = labelled(texts, points.astype(np.float32), box, (_SIZE, _SIZE), 40)
    # The others leave room for those.
    first = [*narrow, *(number for number in range(len(texts)) if number not in set(narrow))]
    rows = points[first].astype(np.float32)
    found = labelled([texts[number] for number in first], rows, box, (_WIDE, _WIDE), 160)
    wide = [first[place] for place in found]
    for number in dict.fromkeys((*narrow, *wide)):
        x, y = drawn[order[number]].tolist()
        kind = "" if number in narrow else ' class="wide-only"'
        yield f'<text{kind} x="{x:.1f}" y="{y - 3:.1f}">{escape(texts[number])}</text>'
