"""Document search: the nearest documents that meet the conditions, with snippets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nightjar.errors import ArtifactDamaged, InputError, StoreError
from nightjar.files.html.html_elements import LINE_BREAK, TEXT_BLOCKS
from nightjar.model.lookup import ApproximateIndex, QueryError, TableDamaged
from nightjar.model.lookup.nearest import Nearest, nearest_rows, row_lengths, unit_rows
from nightjar.model.tokenization import SentenceSplitter, Settings, make_sentence_splitter
from nightjar.stages.index.building import INDEX_FILE
from nightjar.stages.index.index_stage import open_rows
from nightjar.store import Artifact, Store, schemas
from nightjar.wording import counted

Encode = Callable[[Sequence[str]], NDArray[np.float32]]
"""Texts to vectors, shape (n_texts, vector_size); a row of NaN for a text without one."""

MAX_SENTENCES = 400
"""Only the first sentences of a document, up to this number, are compared with the query."""
_MAX_SENTENCE_CHARS = 2_000
_ELLIPSIS = "…"
_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_LINE_BREAK_TAG = re.compile(
    rf"</?(?:{'|'.join(sorted((*TEXT_BLOCKS, LINE_BREAK)))})\b[^<>]{{0,200}}>", re.IGNORECASE
)


@dataclass(frozen=True)
class Snippet:
    """A passage of a document; ``marks`` are the positions of query words in ``text``."""

    text: str
    marks: tuple[tuple[int, int], ...]


def snippets(
    texts: Sequence[str], query: str, vector: NDArray[np.float32], encode: Encode, width: int
) -> list[Snippet]:
    """For each text, the sentence nearest to the query and as much of what follows as fits.

    ``vector`` is the query's, made by ``encode``; a snippet has at most ``width`` characters.
    Memory: the sentences of all texts and their vectors.
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
    # No normalization, no lowercasing: snippets show the text as written.
    return make_sentence_splitter(Settings("unicode", None, None, False, True, 1, 40))


def _sentences(parts: Sequence[str]) -> list[str]:
    """The sentences, ready for a terminal: no control characters, single spaces."""
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
    """The ``width`` characters with the most query words, starting at a word."""
    starts = [start for start, _ in _marks(text, query)]
    room = width - 2 * len(_ELLIPSIS)
    best = max(starts, key=lambda start: sum(start <= s < start + room for s in starts), default=0)
    if best + room > len(text):
        best = max(0, len(text) - room)
    elif best:
        best = max(0, best - room // 4)  # some words before the match
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


_READ_ROWS = 2_048
_MAX_SHOWN = 10


@dataclass(frozen=True)
class Filters:
    """Conditions that a document must all meet; empty ones always hold."""

    sources: tuple[str, ...] = ()
    """The document is from any of these."""
    languages: tuple[str, ...] = ()
    contains: str | None = None
    """A regular expression (RE2), found anywhere in the text, ignoring case."""
    min_chars: int | None = None
    max_chars: int | None = None

    @property
    def are_empty(self) -> bool:
        """Whether every document passes."""
        return self == Filters()


def matching(documents: Artifact, filters: Filters) -> NDArray[np.bool_]:
    """Whether each document meets the conditions; reads only the columns that they need.

    One batch is in memory at a time. Raises InputError for a source or language that no document
    has, and for an invalid regular expression.
    """
    columns = {
        "source": bool(filters.sources),
        "language": bool(filters.languages),
        "n_chars": filters.min_chars is not None or filters.max_chars is not None,
        "text": filters.contains is not None,
    }
    wanted = [name for name, is_wanted in columns.items() if is_wanted] or ["n_chars"]
    seen: dict[str, set[str]] = {"source": set(), "language": set()}
    masks = []
    for batch in documents.batches("documents", wanted, _READ_ROWS):
        for name in seen.keys() & set(wanted):
            seen[name].update(batch.column(name).unique().drop_null().to_pylist())
        masks.append(_matches(batch, filters))
    for name, given in (("source", filters.sources), ("language", filters.languages)):
        _check_known(name, given, seen[name])
    return np.concatenate(masks) if masks else np.zeros(0, dtype=bool)


def _matches(batch: pa.RecordBatch, filters: Filters) -> NDArray[np.bool_]:
    found = np.ones(len(batch), dtype=bool)
    if filters.sources:
        found &= _flags(pc.is_in(batch.column("source"), pa.array(filters.sources)))
    if filters.languages:
        found &= _flags(pc.is_in(batch.column("language"), pa.array(filters.languages)))
    if filters.min_chars is not None:
        found &= _flags(pc.greater_equal(batch.column("n_chars"), filters.min_chars))
    if filters.max_chars is not None:
        found &= _flags(pc.less_equal(batch.column("n_chars"), filters.max_chars))
    if filters.contains is not None and found.any():
        try:
            is_there = pc.match_substring_regex(
                batch.column("text"), filters.contains, ignore_case=True
            )
        except pa.ArrowInvalid as error:
            raise InputError(
                f"{filters.contains!r} is not a regular expression: {error}; put a backslash "
                f"before a sign that stands for itself"
            ) from error
        found &= _flags(is_there)
    return found


def _flags(column: pa.BooleanArray) -> NDArray[np.bool_]:
    flags: NDArray[np.bool_] = pc.fill_null(column, False).to_numpy(zero_copy_only=False)
    return flags


def _check_known(name: str, given: Iterable[str], seen: set[str]) -> None:
    for value in given:
        if value not in seen:
            have = sorted(seen)
            rest = f" and {len(have) - _MAX_SHOWN} more" if len(have) > _MAX_SHOWN else ""
            shown = ", ".join(have[:_MAX_SHOWN]) or "none"
            raise InputError(f"no document has the {name} {value!r}; there are {shown}{rest}")


Floats = NDArray[np.float32]

_ROWS_AT_ONCE = 65_536


@dataclass(frozen=True)
class FoundDocument:
    """A row of the documents artifact."""

    doc_id: str
    source: str
    language: str | None
    n_chars: int
    text: str


@dataclass(frozen=True)
class Hit:
    """A matching document, and its cosine similarity to the query."""

    similarity: float
    document: FoundDocument


class DocumentSearch:
    """An open search index and its documents."""

    def __init__(self, store: Store, index: Artifact) -> None:
        """Open ``index``.

        Raises ArtifactMissing when its documents were deleted, ArtifactDamaged when a file is
        damaged.
        """
        self._index = index
        vectors = store.ref(
            schemas.DOCUMENT_VECTORS, index.manifest.parents[schemas.DOCUMENT_VECTORS]
        )
        self.document_vectors = store.open(vectors)
        version = self.document_vectors.manifest.parents[schemas.DOCUMENTS]
        self.documents = store.open(store.ref(schemas.DOCUMENTS, version))
        if index.rows("entries") != self.documents.rows("documents"):
            raise StoreError(
                f"{index.ref} has {counted(index.rows('entries'), 'document')}, "
                f"{self.documents.ref} has {self.documents.rows('documents'):,}: documents are "
                f"being purged. When that was "
                f"stopped, the next night finishes it, or 'nightjar collect'"
            )
        try:
            self._rows = open_rows(index)
            self._graph = _open_graph(index, self._rows.rows_of_keys())
        except TableDamaged as error:
            raise ArtifactDamaged(
                f"{index.ref} cannot be used: {error}. Set it aside with 'nightjar verify "
                f"{index.ref} --set-aside' and run 'nightjar run': it is built anew"
            ) from error

    def search(self, query: Floats, topn: int, filters: Filters | None = None) -> list[Hit]:
        """The ``topn`` documents nearest to ``query``, shape (vector_size,), best first.

        Uses the graph if there is one. With filters, every document that passes is compared
        exactly: the filters read them all anyway, and so ``topn`` answers are found if as many
        exist.
        """
        if filters is None or filters.are_empty:
            found = self.nearest(query[np.newaxis], topn)[0]
        else:
            passes = matching(self.documents, filters) & (self._rows.lengths > 0)
            found = self._nearest_of(np.flatnonzero(passes), query[np.newaxis], topn)[0]
        documents = self.read(found.rows)
        return [
            Hit(similarity, document)
            for similarity, document in zip(found.similarities.tolist(), documents, strict=True)
        ]

    def nearest(self, queries: Floats, topn: int) -> list[Nearest]:
        """Rows of the documents nearest to each query of ``queries`` (n_queries, vector_size)."""
        if self._graph is None:
            return self._nearest_of(self._rows.rows, queries, topn)
        return self._graph.nearest(self._rows.matrix, self._rows.lengths, queries, topn)

    def doc_ids(self) -> list[str]:
        """The id of each row."""
        ids: list[str] = self._index.read("entries", ["doc_id"]).column("doc_id").to_pylist()
        return ids

    def _nearest_of(self, rows: NDArray[np.int64], queries: Floats, topn: int) -> list[Nearest]:
        """The nearest among ``rows``; copies one block of them at a time."""
        best = [Nearest(np.zeros(0, np.int64), np.zeros(0, np.float32)) for _ in queries]
        for first in range(0, len(rows), _ROWS_AT_ONCE):
            some = rows[first : first + _ROWS_AT_ONCE]
            lengths = np.ones(len(some), np.float32)
            near = nearest_rows(self._rows.matrix[some], lengths, queries, topn)
            best = [
                _merged(old, Nearest(some[new.rows], new.similarities), topn)
                for old, new in zip(best, near, strict=True)
            ]
        return best

    def read(self, rows: NDArray[np.int64]) -> list[FoundDocument]:
        """The documents at ``rows``, in that order; reads only the row groups that contain them."""
        columns = ["doc_id", "source", "language", "n_chars", "text"]
        found: dict[int, FoundDocument] = {}
        with self.documents.row_groups("documents", columns) as groups:
            ends = np.cumsum(groups.sizes())
            for group in np.unique(np.searchsorted(ends, rows, side="right")).tolist():
                first = int(ends[group - 1]) if group else 0
                inside = rows[(rows >= first) & (rows < ends[group])]
                some = groups.read(group).select(columns).take(inside - first)
                found |= {
                    row: FoundDocument(**values)
                    for row, values in zip(inside.tolist(), some.to_pylist(), strict=True)
                }
        return [found[row] for row in rows.tolist()]


def _merged(one: Nearest, other: Nearest, topn: int) -> Nearest:
    rows = np.concatenate([one.rows, other.rows])
    similarities = np.concatenate([one.similarities, other.similarities])
    order = np.lexsort((rows, -similarities))[:topn]
    return Nearest(rows[order], similarities[order])


def _open_graph(index: Artifact, rows: NDArray[np.int64] | None) -> ApproximateIndex | None:
    """The graph, if the index has one. Raises InputError without usearch."""
    if not index.has_file(INDEX_FILE):
        return None
    expansion = index.manifest.report["expansion_search"]
    try:
        return ApproximateIndex.open(index.file_path(INDEX_FILE), expansion, rows)
    except QueryError as error:
        raise InputError(str(error)) from error
