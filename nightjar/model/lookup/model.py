"""An open model: words and texts in; vectors, words and similarities out.

A word is looked up as it is written, and if it is unknown, as the model's tokenizer writes it: King
as king where texts were lower-cased. FastText composes words that are still unknown from their
n-grams. A text is split by the tokenizer.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..tokenization import (
    PhraseJoiner,
    Settings,
    TokenizerError,
    TokenizerSettings,
    make_normaliser,
    make_word_finder,
)
from .approximate import ApproximateIndex
from .lookup_errors import QueryError, TableDamaged, UnknownWords, counted
from .lookup_files import map_array
from .nearest import Nearest, cluster_rows, row_lengths, unit_rows
from .recommending import BLEND, WAYS, ItemRecommender, Recommendation, recommended
from .token_index import MAX_WORDS, suggest
from .vector_table import LONGEST_COMPOSED, SubwordVectors, VectorTable

SETTINGS = "settings.json"
DEFINITION = "tokenizer.json"
"""The file with the tokenizer's definition, if its settings are not enough."""
PHRASES = "phrases.json"
"""The file with the phrases to join, if any."""
NGRAM_BUCKETS = "ngram_buckets.npy"
NGRAM_ROWS = "ngram_rows.npy"

Floats = NDArray[np.float32]

_TEXTS_AT_ONCE = 512
"""Texts whose words are looked up together."""
_MAX_LISTED = 50
_MAX_SUGGESTED = 5
_LONGEST_WRITTEN = 200
"""Longer words are not tried in the tokenizer's spelling."""


@dataclass(frozen=True)
class Neighbor:
    """A token and its cosine similarity to the query."""

    token: str
    similarity: float


@dataclass(frozen=True)
class OddOneOut:
    """The word least similar to the others, and the similarity of each to the mean of all."""

    word: str
    similarities: tuple[float, ...]


@dataclass(frozen=True)
class Reading:
    """How a model reads a word."""

    given: str
    word: str
    """As it is looked up: ``given``, or that as the tokenizer writes it."""
    is_known: bool
    """Whether the word is in the vocabulary."""
    n_ngrams: int = 0
    """For an unknown word of a model with n-grams: how many it has."""
    n_known_ngrams: int = 0
    """How many of them have a vector, from which the word's vector is composed."""

    @property
    def remark(self) -> str:
        """What a person should know about it; "" for a word that is known as written."""
        if self.is_known:
            same = self.given == self.word
            return "" if same else f"{_shown(self.given)} is read as {_shown(self.word)}"
        if self.n_known_ngrams == 0:
            return ""
        return (
            f"{_shown(self.given)} is not in the vocabulary: its vector is composed from "
            f"{self.n_known_ngrams} of its {counted(self.n_ngrams, 'n-gram')}"
        )


class VectorModel:
    """A table of vectors, and everything needed to query it by word or text."""

    def __init__(
        self,
        name: str,
        table: VectorTable,
        tokenizer: TokenizerSettings,
        subwords: SubwordVectors | None = None,
        definition: str | None = None,
        phrases: Path | None = None,
        space: str | None = None,
    ) -> None:
        self.name = name
        self.table = table
        self.tokenizer = tokenizer
        self.subwords = subwords
        self.definition = definition
        self.space = space
        """The id of the space of its vectors: those of another space must not be mixed with them.

        None when nobody knows it."""
        self.phrases = phrases
        """The file of phrases, which is read at the first text; None without phrases."""
        self.item_recommender: ItemRecommender | None = None
        """For a model of items: what :meth:`recommend` needs."""
        self.approximate_index: ApproximateIndex | None = None
        """The index for ``approximate`` queries, over the rows of ``table``."""
        self.most_composed: int | None = None
        """How many characters of unknown words one question may have composed; None: any."""

    @classmethod
    def open(cls, directory: Path) -> VectorModel:
        """Open the files of a model (:mod:`.packing`). Raises TableDamaged."""
        table = VectorTable.open(directory)
        path = directory / SETTINGS
        try:
            settings: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            tokenizer = Settings(**settings["tokenizer"])
            name, ngrams = settings["model"], settings["subwords"]
            space = settings.get("space")
            phrases = directory / PHRASES if settings["has_phrases"] else None
            path = directory / DEFINITION
            definition = path.read_text(encoding="utf-8") if path.exists() else None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise TableDamaged(f"{path} cannot be read ({error}); fetch the model again") from error
        subwords = None
        if ngrams is not None:
            buckets, rows = (map_array(directory / name) for name in (NGRAM_BUCKETS, NGRAM_ROWS))
            subwords = SubwordVectors(
                buckets, rows, ngrams["min_n"], ngrams["max_n"], ngrams["bucket"]
            )
        model = cls(name, table, tokenizer, subwords, definition, phrases, space)
        model.item_recommender = ItemRecommender.open(name, directory, table.vectors)
        return model

    # -- words -----------------------------------------------------------------------------

    def read_as(self, words: Sequence[str]) -> list[str]:
        """Each word as it is looked up.

        A word outside the vocabulary becomes what the tokenizer makes of it, if that is one word
        of the vocabulary. Other words stay as they are.
        """
        found = list(words)
        for place in np.flatnonzero(self.table.rows(words) < 0).tolist():
            found[place] = self._as_written(found[place])
        return found

    def _as_written(self, word: str) -> str:
        if len(word) > _LONGEST_WRITTEN:
            return word
        try:
            written = self._normalise(word.strip())
            if self.table.row(written) >= 0:
                return written
            words = self._find_words(word)
        except (QueryError, UnicodeError):  # a library is missing here, or it is no text
            return word
        return words[0] if len(words) == 1 and self.table.row(words[0]) >= 0 else word

    @cached_property
    def _normalise(self) -> Callable[[str], str]:
        return make_normaliser(self.tokenizer)

    def readings(self, words: Sequence[str]) -> list[Reading]:
        """How each word is read."""
        return [self._reading(*pair) for pair in zip(words, self.read_as(words), strict=True)]

    def _reading(self, given: str, word: str) -> Reading:
        if self.table.row(word) >= 0:
            return Reading(given, word, is_known=True)
        n_known, n_ngrams = (0, 0) if self.subwords is None else self.subwords.n_known(word)
        return Reading(given, word, False, n_ngrams, n_known)

    def vectors(self, words: Sequence[str], unknown: str = "error") -> Floats:
        """The vector of each word, shape (n_words, vector_size).

        ``unknown`` says what to do with a word without a vector: ``error`` (UnknownWords, listing
        all of them), or ``nan``, a row of NaN.
        """
        _check_choice("unknown", unknown, ("error", "nan"))
        return self._vectors(self.read_as(words), unknown)

    def _vectors(self, words: Sequence[str], unknown: str) -> Floats:
        """The vectors of words as they are written."""
        rows = self.table.rows(words)
        found = np.full((len(words), self.table.vector_size), np.nan, np.float32)
        is_known = rows >= 0
        found[is_known] = self.table.vectors[rows[is_known]]
        others = np.flatnonzero(~is_known)
        if self.subwords is not None and others.size:
            unknown_words = [words[place] for place in others.tolist()]
            self._check_composed(_n_characters(unknown_words))
            found[others] = self.subwords.vectors(unknown_words)
        if unknown == "error" and others.size:
            missing = others[np.isnan(found[others, 0])]
            if missing.size:
                raise self._unknown([words[place] for place in missing.tolist()])
        return found

    def neighbors(
        self,
        words: Sequence[str],
        topn: int = 10,
        threshold: float | None = None,
        approximate: bool = False,
    ) -> list[list[Neighbor]]:
        """The nearest tokens of each word, except itself, best first.

        With ``threshold`` only those at least that similar; with ``approximate`` from
        ``approximate_index``, which is faster and may miss some. Raises UnknownWords, and
        QueryError without such an index.
        """
        words = self.read_as(words)
        queries = self._vectors(words, "error")
        excluded = [[row] if row >= 0 else [] for row in self.table.rows(words).tolist()]
        return self._nearest(queries, topn, excluded, threshold, approximate)

    def neighbors_of_vectors(
        self,
        vectors: NDArray[np.floating],
        topn: int = 10,
        threshold: float | None = None,
        approximate: bool = False,
    ) -> list[list[Neighbor]]:
        """The nearest tokens of each vector, shape (n, vector_size). Raises QueryError."""
        queries = self._checked(vectors)
        return self._nearest(queries, topn, None, threshold, approximate)

    def neighbors_of_mean(
        self,
        positive: Sequence[str],
        negative: Sequence[str] = (),
        topn: int = 10,
        threshold: float | None = None,
        approximate: bool = False,
    ) -> list[Neighbor]:
        """The nearest tokens of several words at once (3CosAdd, Mikolov et al. 2013).

        The query is the sum of the unit vectors of ``positive`` words minus those of ``negative``
        ones; all of these words are excluded. Raises UnknownWords, and QueryError without words.
        """
        words = [*positive, *negative]
        if not words:
            raise QueryError("no word is given: give one at least")
        words = self.read_as(words)
        vectors = self._vectors(words, "error")
        signs = np.repeat(np.array([1, -1], np.float32), [len(positive), len(negative)])
        query = signs @ unit_rows(vectors, row_lengths(vectors))
        rows = [row for row in self.table.rows(words).tolist() if row >= 0]
        return self._nearest(query[np.newaxis], topn, [rows], threshold, approximate)[0]

    def analogies(
        self,
        questions: Sequence[tuple[str, str, str]],
        topn: int = 10,
        approximate: bool = False,
    ) -> list[list[Neighbor]]:
        """Answers to "a is to b as c is to ?", best first (3CosAdd). Raises UnknownWords."""
        words = self.read_as([word for question in questions for word in question])
        vectors = self._vectors(words, "error")
        units = unit_rows(vectors, row_lengths(vectors)).reshape(len(questions), 3, -1)
        queries = units[:, 1] - units[:, 0] + units[:, 2]
        rows = self.table.rows(words).reshape(-1, 3).tolist()
        excluded = [[row for row in question if row >= 0] for question in rows]
        return self._nearest(queries, topn, excluded, None, approximate)

    def similarities(self, pairs: Sequence[tuple[str, str]]) -> Floats:
        """Cosine similarity of the two words of each pair. Raises UnknownWords."""
        vectors = self.vectors([word for pair in pairs for word in pair])
        units = unit_rows(vectors, row_lengths(vectors)).reshape(len(pairs), 2, -1)
        found: Floats = np.clip(np.einsum("ij,ij->i", units[:, 0], units[:, 1]), -1, 1)
        return found

    def odd_one_out(self, words: Sequence[str]) -> OddOneOut:
        """The word least similar to the mean of all.

        Raises UnknownWords, and QueryError for fewer than three words.
        """
        if len(words) < 3:
            raise QueryError(f"odd_one_out needs at least 3 words, {len(words)} given")
        vectors = self.vectors(words)
        units = unit_rows(vectors, row_lengths(vectors))
        mean = units.mean(axis=0, keepdims=True)
        similarities = units @ unit_rows(mean, row_lengths(mean))[0]
        odd = words[int(np.argmin(similarities))]
        return OddOneOut(odd, tuple(np.clip(similarities, -1, 1).tolist()))

    def clusters(self, words: Sequence[str], n_clusters: int, seed: int = 1) -> list[int]:
        """The cluster of each word, numbered from 0 in the order of the words.

        Raises UnknownWords, and QueryError when there are fewer words than clusters.
        """
        if not 1 <= n_clusters <= len(words):
            raise QueryError(
                f"n_clusters is {n_clusters}: choose 1 to {len(words)}, the number of words"
            )
        labels: list[int] = cluster_rows(self.vectors(words), n_clusters, seed).tolist()
        return labels

    @cached_property
    def _find_words(self) -> Callable[[str], list[str]]:
        # Created for the first text: computing the Unicode character classes takes a tenth of a
        # second.
        try:
            return make_word_finder(self.tokenizer, self.definition, self._joiner())
        except TokenizerError as error:
            raise QueryError(f"{self.name} cannot cut texts into words here: {error}") from error

    def _joiner(self) -> PhraseJoiner | None:
        if self.phrases is None:
            return None
        try:
            return PhraseJoiner.from_json(self.phrases.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise TableDamaged(
                f"{self.phrases} cannot be read ({error}); fetch the model again"
            ) from error

    def words(self, text: str) -> list[str]:
        """The words of a text, known or not, as training would have split it.

        Raises QueryError when a library that the tokenizer needs is not installed.
        """
        return self._find_words(text)

    # -- texts -----------------------------------------------------------------------------

    def encode(self, texts: Sequence[str], unknown: str = "error") -> Floats:
        """The mean vector of each text's words, shape (n_texts, vector_size).

        Words without a vector are left out. ``unknown`` says what to do with a text without any
        known word: ``error`` (QueryError), ``nan`` or ``zero``.
        """
        _check_choice("unknown", unknown, ("error", "nan", "zero"))
        means = np.full((len(texts), self.table.vector_size), np.nan, np.float32)
        n_composed = 0
        for first in range(0, len(texts), _TEXTS_AT_ONCE):
            some = texts[first : first + _TEXTS_AT_ONCE]
            means[first : first + len(some)], n_more = self._means(some)
            n_composed += n_more
            self._check_composed(n_composed)
        is_empty = np.isnan(means[:, 0])
        if unknown == "zero":
            means[is_empty] = 0.0
        elif unknown == "error" and is_empty.any():
            place, n_empty = int(np.argmax(is_empty)), int(is_empty.sum())
            raise QueryError(
                f"{n_empty} of {counted(len(texts), 'text')} {'has' if n_empty == 1 else 'have'} "
                f"no word that {self.name} knows, the first is item {place}: "
                f"{_shown(texts[place])}; with unknown 'nan' or 'zero' such rows are NaN or zero"
            )
        return means

    def _means(self, texts: Sequence[str]) -> tuple[NDArray[np.float64], int]:
        """The mean vector of each text's known words; NaN if there is none.

        Every distinct word of the texts is looked up, or composed, once. Also how many characters
        were composed.
        """
        counted = [Counter(self._find_words(text)) for text in texts]
        place_of = {word: place for place, word in enumerate(dict.fromkeys(chain(*counted)))}
        words = list(place_of)
        vectors = self._vectors(words, "nan")
        is_known = ~np.isnan(vectors[:, 0])
        means = np.full((len(texts), self.table.vector_size), np.nan)
        for number, counts in enumerate(counted):
            places = np.fromiter(map(place_of.__getitem__, counts), np.int64, len(counts))
            weights = np.fromiter(counts.values(), np.float64, len(counts))
            known = is_known[places]
            places, weights = places[known], weights[known]
            if places.size:
                # Sums of millions of float32 lose precision, so they are computed in float64.
                means[number] = weights @ vectors[places].astype(np.float64) / weights.sum()
        if self.subwords is None or self.most_composed is None:
            return means, 0
        unknown = np.flatnonzero(self.table.rows(words) < 0).tolist()
        return means, _n_characters([words[place] for place in unknown])

    def rank(self, query: str, texts: Sequence[str]) -> list[tuple[int, float]]:
        """Indices of the texts and their cosine similarity to the query, best first.

        A text without a known word is last, with 0. Raises QueryError if the query has none.
        """
        queries = self.encode([query])
        vectors = self.encode(texts, unknown="zero")
        units = unit_rows(vectors, row_lengths(vectors))
        similarities = units @ unit_rows(queries, row_lengths(queries))[0]
        has_words = vectors.any(axis=1)
        order = np.lexsort((np.arange(len(texts)), -similarities, ~has_words))
        clipped = np.clip(similarities, -1, 1)
        return [(int(place), float(clipped[place])) for place in order]

    # -- items -----------------------------------------------------------------------------

    def recommend(
        self,
        history: Sequence[str],
        topn: int = 10,
        by: str = BLEND,
        may_repeat: bool = False,
    ) -> list[Recommendation]:
        """The items most likely next after ``history`` (ids, the latest last), best first.

        ``by`` is blend, output, input or cooccurrence (:mod:`.recommending`). Items of the history
        are left out unless ``may_repeat``. Unknown items of it are ignored if others are known
        (:meth:`unknown_items`). Raises UnknownWords, and QueryError for a model that was not
        learned from events.
        """
        _check_choice("by", by, (BLEND, *WAYS))
        items = self.items_by_id()
        rows = items.history(history, self.table.rows(history).tolist())
        ((found, scores),) = recommended(items.recommender, [rows], topn, by, may_repeat)
        names = self.table.tokens_of(found)
        return [
            Recommendation(name, score, items.title(row))
            for name, score, row in zip(names, scores.tolist(), found.tolist(), strict=True)
        ]

    def unknown_items(self, items: Sequence[str]) -> list[str]:
        """Those of ``items`` that are known neither from events nor by attributes."""
        rows = self.items_by_id().rows_of(items, self.table.rows(items).tolist())
        return list(dict.fromkeys(items[place] for place in np.flatnonzero(rows < 0).tolist()))

    def titles_of(self, items: Sequence[str]) -> list[str | None]:
        """The title of each item, None where there is none."""
        rows = self.items_by_id().rows_of(items, self.table.rows(items).tolist())
        return [None if row < 0 else self.items_by_id().title(row) for row in rows.tolist()]

    def items_by_id(self) -> ItemRecommender:
        """What recommends. Raises QueryError for a model that was not learned from events."""
        if self.item_recommender is None:
            raise QueryError(
                f"{self.name} recommends nothing: only a model of a corpus of kind events does"
            )
        return self.item_recommender

    # -- errors ----------------------------------------------------------------------------

    @cached_property
    def _frequent(self) -> list[str]:
        return self.table.tokens_of(np.arange(min(MAX_WORDS, len(self.table))))

    def _unknown(self, missing: Sequence[str]) -> UnknownWords:
        distinct = list(dict.fromkeys(missing))
        listed = ", ".join(map(_shown, distinct[:_MAX_LISTED]))
        rest = len(distinct) - _MAX_LISTED
        hints = []
        for word in islice(distinct, _MAX_SUGGESTED):
            meant = suggest(word, self._frequent, self.table.index)
            if meant:
                hints.append(f"{_shown(word)}: did you mean {' or '.join(map(_shown, meant))}?")
        return UnknownWords(
            f"{self.name} has no vector for {counted(len(distinct), 'word')}: {listed}"
            f"{f' and {rest} more' if rest > 0 else ''}. {self._sought(distinct)}"
            f"{'. ' if hints else ''}{' '.join(hints)}",
            distinct,
        )

    def _sought(self, missing: Sequence[str]) -> str:
        """Where words without a vector were looked for."""
        if self.subwords is None:
            return "Words are looked up as written, then as the model's tokenizer writes them"
        its = "its" if len(missing) == 1 else "their"
        composed = f"None of {its} n-grams has a vector to compose one from"
        if any(len(word) > LONGEST_COMPOSED for word in missing):
            composed += f", or a word is longer than {LONGEST_COMPOSED:,} characters"
        return composed

    def _check_composed(self, n_characters: int) -> None:
        if self.most_composed is not None and n_characters > self.most_composed:
            raise QueryError(
                f"words that {self.name} does not know have {counted(n_characters, 'character')} "
                f"together, and {self.most_composed:,} are allowed: ask for fewer at a time"
            )

    def _checked(self, vectors: NDArray[np.floating]) -> Floats:
        if vectors.ndim != 2 or vectors.shape[1] != self.table.vector_size:
            raise QueryError(
                f"vectors have the shape {vectors.shape}, expected (any, {self.table.vector_size})"
            )
        is_wrong = ~np.isfinite(vectors).all(axis=1)
        if is_wrong.any():
            raise QueryError(f"vector {int(np.argmax(is_wrong))} has values that are not finite")
        return vectors.astype(np.float32)

    def _nearest(
        self,
        queries: Floats,
        topn: int,
        excluded: Sequence[Sequence[int]] | None,
        threshold: float | None,
        approximate: bool,
    ) -> list[list[Neighbor]]:
        table, index = self.table, self.approximate_index
        if not approximate:
            return self._named(table.nearest(queries, topn, excluded, threshold))
        if index is None:
            raise QueryError(
                f"{self.name} has no approximate index here ('nightjar index' builds one beside "
                f"the artifacts); without approximate the answer is exact"
            )
        return self._named(
            index.nearest(table.vectors, table.norms, queries, topn, excluded, threshold)
        )

    def _named(self, found: Sequence[Nearest]) -> list[list[Neighbor]]:
        rows = np.concatenate([np.zeros(0, np.int64), *(answer.rows for answer in found)])
        tokens = iter(self.table.tokens_of(rows))
        return [
            [Neighbor(next(tokens), similarity) for similarity in answer.similarities.tolist()]
            for answer in found
        ]


def _n_characters(words: Sequence[str]) -> int:
    return sum(min(len(word), LONGEST_COMPOSED) for word in words)


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise QueryError(f"{name} is {value!r}, choose {' or '.join(choices)}")


def _shown(text: str) -> str:
    short = text if len(text) <= 60 else f"{text[:57]}..."
    return short if short.isprintable() else ascii(short)
