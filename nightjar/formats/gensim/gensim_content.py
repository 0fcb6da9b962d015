"""The content of a gensim model: checked, and in our order of words.

A Huffman tree is determined by the ordered counts; in gensim the order of equally frequent words
decides which of two subtrees goes where. Reordering words then changes their paths, and the rows of
the inner nodes belong to paths. The rows can be moved along if the new tree has the same paths
except for the nodes' numbers and the side of each branch: for a branch on the other side, the sign
of the row is flipped, since the sigmoid of -x is one minus that of x.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gensim.models import KeyedVectors, Word2Vec
from gensim.models.fasttext import FastTextKeyedVectors
from numpy.typing import NDArray

from nightjar.errors import InputError, VocabularyError
from nightjar.formats.content import first_not_finite, first_repeated, whole_counts
from nightjar.formats.embeddings import blocks
from nightjar.formats.gensim.hyperparameters import ngrams_of
from nightjar.store import FileIdentity
from nightjar.wording import counted


@dataclass(frozen=True, eq=False)
class OrderedRows:
    """The rows ``order`` of ``matrix``, each times its sign: float32 blocks, copied one at a time.

    ``matrix`` is of any float type and shape (n, vector_size), ``order`` int64, ``signs``
    float32 of +1 and -1 or None.
    """

    matrix: NDArray[Any]
    order: NDArray[np.int64]
    signs: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.order)

    def stretches(self) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """Slices of rows and their values. A value too large for float32 becomes infinite."""
        for span in blocks(len(self.order)):
            with np.errstate(over="ignore"):
                values = np.ascontiguousarray(self.matrix[self.order[span]], np.float32)
            if self.signs is not None:
                values *= self.signs[span, np.newaxis]
            yield span, values


@dataclass(frozen=True, eq=False)
class TreePaths:
    """The path of each word from the root, end to end: inner nodes and codes (0 or 1)."""

    lengths: NDArray[np.int64]
    nodes: NDArray[np.int64]
    codes: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class NodeRows:
    """Row i of our inner nodes is ``signs[i]`` times row ``order[i]`` of the model's."""

    order: NDArray[np.int64]
    signs: NDArray[np.float32]


def sorted_tree(counts: NDArray[np.int64]) -> TreePaths:
    """The tree that gensim, and our native trainer, build from ``counts`` (descending)."""
    model = Word2Vec(hs=1, negative=0, min_count=1, sorted_vocab=0, sample=0, vector_size=1)
    descending = -np.sort(-counts)
    model.raw_vocab = {str(row): count for row, count in enumerate(descending.tolist())}
    model.prepare_vocab()
    return _paths(model.wv, np.arange(len(counts)))


def node_rows(wv: KeyedVectors, ours: TreePaths, order: NDArray[np.int64]) -> NodeRows | None:
    """The mapping of the model's tree rows to ``ours``, with the words of ``wv`` in ``order``.

    None when no renumbering fits. Raises InputError when the model has no tree.
    """
    if not {"code", "point"} <= wv.expandos.keys():
        raise InputError(
            "the gensim model has hs on but no Huffman tree; call model.create_binary_tree(), or "
            "pass model.wv to import the vectors alone"
        )
    theirs = _paths(wv, order)
    if not np.array_equal(theirs.lengths, ours.lengths):
        return None
    rows = np.zeros(len(order) - 1, np.int64)
    rows[ours.nodes] = theirs.nodes
    flips = np.zeros(len(order) - 1, np.int64)
    flips[ours.nodes] = theirs.codes ^ ours.codes
    fits = np.array_equal(rows[ours.nodes], theirs.nodes) and np.array_equal(
        flips[ours.nodes], theirs.codes ^ ours.codes
    )
    if not fits or len(np.unique(rows)) < len(rows):
        return None
    return NodeRows(rows, (1 - 2 * flips).astype(np.float32))


def _paths(wv: KeyedVectors, order: NDArray[np.int64]) -> TreePaths:
    nodes = [np.asarray(path, np.int64) for path in wv.expandos["point"][order]]
    codes = [np.asarray(code, np.int64) for code in wv.expandos["code"][order]]
    lengths = np.array([len(path) for path in nodes], np.int64)
    return TreePaths(lengths, np.concatenate(nodes), np.concatenate(codes))


_HINT = "pass model.wv to import the vectors alone"


@dataclass(frozen=True, eq=False)
class Content:
    """The tables of an embeddings artifact: words by count descending, rows to match."""

    tokens: tuple[str, ...]
    counts: NDArray[np.int64]
    vectors: OrderedRows
    word_rows: OrderedRows | None = None
    ngrams: OrderedRows | None = None
    """By bucket number."""
    layers: dict[str, OrderedRows] = field(default_factory=dict)
    are_counts_ranks: bool = False
    """The model has no counts: its words are in its order, with counts down to 1."""
    keeps_ties: bool = False
    """Equally frequent words are in the model's order, because its Huffman tree depends on it."""

    def inputs(self) -> tuple[FileIdentity, ...]:
        """Size and sha256 of the words and of every matrix.

        Raises InputError when a matrix has a value that is not finite in float32.
        """
        return (
            _vocabulary_identity(self.tokens, self.counts),
            *(self._rows_identity(name, rows) for name, rows in self._matrices()),
        )

    def _matrices(self) -> Iterator[tuple[str, OrderedRows]]:
        yield "vectors", self.vectors
        if self.word_rows is not None:
            yield "word_rows", self.word_rows
        if self.ngrams is not None:
            yield "ngrams", self.ngrams
        for kind, rows in self.layers.items():
            yield f"output_vectors-{kind}", rows

    def _rows_identity(self, name: str, rows: OrderedRows) -> FileIdentity:
        digest = hashlib.sha256()
        n_bytes = 0
        if name == "ngrams":
            digest.update(rows.order.tobytes())
            n_bytes += rows.order.nbytes
        for span, values in rows.stretches():
            bad = first_not_finite(values)
            if bad is not None:
                raise InputError(
                    f"{self._row_name(name, span.start + bad)} of the gensim model holds NaN, "
                    f"infinite or too large values for float32; train it again with a lower alpha"
                )
            digest.update(values.data)
            n_bytes += values.nbytes
        return FileIdentity(name, n_bytes, digest.hexdigest())

    def _row_name(self, name: str, row: int) -> str:
        if name == "ngrams" and self.ngrams is not None:
            return f"the n-gram row of bucket {self.ngrams.order[row]}"
        if name == "output_vectors-hs":
            return f"the row of the Huffman tree's node {row}"
        kind = {"vectors": "vector", "word_rows": "own row"}.get(name, "output row")
        return f"the {kind} of {self.tokens[row]!r}"


def content_of_model(model: Word2Vec, only_used_ngrams: bool) -> Content:
    """The content of Word2Vec or FastText. Raises InputError and VocabularyError."""
    tokens = _tokens(model.wv)
    counts = _counts(model.wv)
    if counts is None or counts.min() < 1:
        raise InputError(
            f"the gensim model has words without a count, and noise words and subsampling need "
            f"it; build its vocabulary, or {_HINT}"
        )
    order = _order(model, tokens, counts)
    layers = {}
    if model.negative:
        layers["negative"] = OrderedRows(_layer(model, "syn1neg"), order.words)
    if order.nodes is not None:
        layers["hs"] = OrderedRows(_layer(model, "syn1"), order.nodes.order, order.nodes.signs)
    return _content(
        model.wv,
        tokens,
        counts,
        order.words,
        only_used_ngrams,
        layers=layers,
        keeps_ties=order.keeps_ties,
    )


def content_of_vectors(wv: KeyedVectors, only_used_ngrams: bool) -> Content:
    """The content of (FastText)KeyedVectors. Raises InputError and VocabularyError."""
    tokens, counts = _tokens(wv), _counts(wv)
    if counts is None:
        counts = np.arange(len(tokens), 0, -1, dtype=np.int64)
        return _content(
            wv, tokens, counts, np.arange(len(tokens)), only_used_ngrams, are_counts_ranks=True
        )
    return _content(wv, tokens, counts, _by_count_and_token(tokens, counts), only_used_ngrams)


def _content(
    wv: KeyedVectors,
    tokens: list[str],
    counts: NDArray[np.int64],
    order: NDArray[np.int64],
    only_used_ngrams: bool,
    **rest: Any,
) -> Content:
    word_rows = ngrams = None
    if isinstance(wv, FastTextKeyedVectors):
        word_rows = OrderedRows(_matrix(wv, "vectors_vocab", len(tokens)), order)
        ngrams = _ngram_rows(wv, only_used_ngrams)
    return Content(
        tokens=tuple(tokens[row] for row in order),
        counts=counts[order],
        vectors=OrderedRows(_matrix(wv, "vectors", len(tokens)), order),
        word_rows=word_rows,
        ngrams=ngrams,
        **rest,
    )


def _tokens(wv: KeyedVectors) -> list[str]:
    tokens = list(wv.index_to_key)
    if not tokens:
        raise VocabularyError("the gensim model has no words; train it, or build its vocabulary")
    for row, token in enumerate(tokens):
        if not isinstance(token, str):
            raise InputError(
                f"key {row} of the gensim model is {token!r}, of type {type(token).__name__}; "
                f"every key must be text"
            )
        if any("\ud800" <= character <= "\udfff" for character in token):
            raise InputError(f"key {row} of the gensim model, {token!r}, is no valid Unicode text")
    again = first_repeated(tokens)
    if again is not None:
        raise InputError(f"the gensim model has more than one vector for {again!r}")
    return tokens


def _counts(wv: KeyedVectors) -> NDArray[np.int64] | None:
    counts = wv.expandos.get("count")
    if counts is None:
        return None
    if len(counts) != len(wv.index_to_key):
        raise InputError(
            f"the gensim model has {counted(len(wv.index_to_key), 'word')} and {len(counts)} "
            f"counts; it was changed by hand"
        )
    as_integers = whole_counts("the gensim model", counts)
    if as_integers.min() < 0:
        word = wv.index_to_key[int(np.argmin(as_integers))]
        raise InputError(f"the gensim model's count of {word!r} is {as_integers.min()}")
    return as_integers


def _by_count_and_token(tokens: list[str], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    rows = sorted(range(len(tokens)), key=lambda row: (-counts[row], tokens[row]))
    return np.array(rows, np.int64)


@dataclass(frozen=True, eq=False)
class _Order:
    """The order of rows for our tables."""

    words: NDArray[np.int64]
    nodes: NodeRows | None
    """Of the Huffman tree; None without hierarchical softmax."""
    keeps_ties: bool


def _order(model: Word2Vec, tokens: list[str], counts: NDArray[np.int64]) -> _Order:
    """Order by count and word, or by count alone if only that keeps the model's tree."""
    by_count_and_token = _by_count_and_token(tokens, counts)
    if not model.hs:
        return _Order(by_count_and_token, None, keeps_ties=False)
    by_count = np.argsort(-counts, kind="stable").astype(np.int64)
    tree = sorted_tree(counts)
    for words, keeps_ties in ((by_count_and_token, False), (by_count, True)):
        nodes = node_rows(model.wv, tree, words)
        if nodes is not None:
            return _Order(words, nodes, keeps_ties)
    raise InputError(
        f"the gensim model's Huffman tree is not the tree of its counts in descending order, as "
        f"after build_vocab(update=True) or with sorted_vocab=0, so the rows of its inner nodes "
        f"have no place; {_HINT}"
    )


def _matrix(wv: KeyedVectors, name: str, n_rows: int) -> NDArray[Any]:
    return _checked(getattr(wv, name, None), name, (n_rows, wv.vector_size))


def _layer(model: Word2Vec, name: str) -> NDArray[Any]:
    return _checked(getattr(model, name, None), name, (len(model.wv), model.wv.vector_size))


def _checked(matrix: NDArray[Any] | None, name: str, shape: tuple[int, int]) -> NDArray[Any]:
    if matrix is None or matrix.shape != shape:
        found = "is missing" if matrix is None else f"has the shape {matrix.shape}, not {shape}"
        raise InputError(
            f"the gensim model's {name} {found}: it was not initialised, or was changed by hand; "
            f"where only the output layer is concerned, {_HINT}"
        )
    return matrix


def _ngram_rows(wv: FastTextKeyedVectors, only_used_ngrams: bool) -> OrderedRows:
    """Rows by bucket: those that a word of the vocabulary uses, and others that are not zero."""
    settings = ngrams_of(wv)
    if not settings.are_on:
        return OrderedRows(np.zeros((0, wv.vector_size), np.float32), np.zeros(0, np.int64))
    matrix = _matrix(wv, "vectors_ngrams", settings.bucket)
    if not wv.buckets_word:
        wv.recalc_char_ngram_buckets()
    is_kept = np.zeros(settings.bucket, bool)
    for buckets in wv.buckets_word:
        is_kept[buckets] = True
    if not only_used_ngrams:
        for start in range(0, settings.bucket, 65_536):
            block = slice(start, start + 65_536)
            is_kept[block] |= matrix[block].any(axis=1)
    return OrderedRows(matrix, np.flatnonzero(is_kept).astype(np.int64))


def _vocabulary_identity(tokens: tuple[str, ...], counts: NDArray[np.int64]) -> FileIdentity:
    encoded = [token.encode() for token in tokens]
    lengths = np.array([len(token) for token in encoded], np.int64)
    content = lengths.tobytes() + counts.tobytes() + b"".join(encoded)
    return FileIdentity("vocabulary", len(content), hashlib.sha256(content).hexdigest())
