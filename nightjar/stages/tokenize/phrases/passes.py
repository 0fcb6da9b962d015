"""Several passes over the shards of a corpus.

Pass 1 joins words; pass 2 runs on the result of pass 1, so phrases are joined with words
(``new_york`` + ``city``), and so on. Between passes the phrases are added to the vocabulary. A pass
is a map over shards (:func:`count_for_pass`), a sum and merge, and a table: the result depends
neither on how the corpus is cut into shards nor on their order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nightjar.stages.tokenize.phrases.counts import PhraseCounts, count_shard, merge_counts
from nightjar.stages.tokenize.phrases.phrase_table import (
    PhraseIds,
    PhraseIndex,
    PhraseTable,
    SentenceIds,
    apply_phrases,
    index_phrases,
    new_words,
)
from nightjar.stages.tokenize.phrases.scoring import ScoreSettings, score


class PhraseSettings(ScoreSettings, Protocol):
    """The keys of the config's section ``tokenize.phrases``."""

    @property
    def connectors(self) -> frozenset[str]:
        """The connector words."""

    @property
    def passes(self) -> int:
        """Number of passes."""


@dataclass(frozen=True, eq=False)
class KnownWords:
    """The words by id: those of the first pass, then the phrases of later ones."""

    words: list[str]
    id_of: dict[str, int]
    is_connector: NDArray[np.bool_]

    @classmethod
    def of(cls, words: Iterable[str], connectors: frozenset[str]) -> KnownWords:
        """Number ``words`` in their order; they are distinct."""
        held = list(words)
        is_connector = np.fromiter((word in connectors for word in held), np.bool_, len(held))
        return cls(held, {word: number for number, word in enumerate(held)}, is_connector)

    def extended(self, table: PhraseTable, connectors: frozenset[str]) -> KnownWords:
        """The same ids, and new ones for phrases that are not yet words."""
        return KnownWords.of([*self.words, *new_words(table, self.id_of)], connectors)


@dataclass(frozen=True, eq=False)
class ShardCounts:
    """How often each id and each candidate occurs, in one shard or several."""

    words: NDArray[np.int64]
    phrases: PhraseCounts


@dataclass(frozen=True, eq=False)
class FoundPhrases:
    """The phrases of each pass, the vocabulary with them, and indexes to join them in shards."""

    tables: list[PhraseTable]
    vocabulary: KnownWords
    indexes: list[PhraseIndex]

    def join(self, shard: SentenceIds) -> SentenceIds:
        """The shard with the phrases of all passes joined."""
        return joined(shard, self.indexes)


def joined(shard: SentenceIds, indexes: Sequence[PhraseIndex]) -> SentenceIds:
    """The shard after the passes of ``indexes``."""
    for index in indexes:
        shard = apply_phrases(shard.ids, shard.offsets, index)
    return shard


def count_for_pass(
    shard: SentenceIds, indexes: Sequence[PhraseIndex], is_connector: NDArray[np.bool_]
) -> ShardCounts:
    """Count one shard for the next pass, after those of ``indexes``.

    The shard is joined again, which is faster than reading it back from disk.
    """
    shard = joined(shard, indexes)
    words = np.bincount(shard.ids, minlength=len(is_connector))
    return ShardCounts(words, count_shard(shard.ids, shard.offsets, is_connector))


CountPass = Callable[[Sequence[PhraseIndex], KnownWords], Iterable[ShardCounts]]
"""The counts of all shards by :func:`count_for_pass`, given the indexes of earlier passes."""


def find_phrases(
    words: Iterable[str],
    read_shards: Callable[[], Iterable[SentenceIds]],
    settings: PhraseSettings,
    spill_dir: Path | None = None,
    max_bytes: int = 1 << 30,
) -> FoundPhrases:
    """Find the phrases of a corpus in this process, in all passes.

    ``read_shards`` reads the shards for each pass, with ids of ``words``. Memory: a shard with what
    :func:`~.counts.count_shard` needs for it, and that of :func:`find_phrases_by`.
    """

    def count_pass(indexes: Sequence[PhraseIndex], vocabulary: KnownWords) -> Iterator[ShardCounts]:
        for shard in read_shards():
            yield count_for_pass(shard, indexes, vocabulary.is_connector)

    return find_phrases_by(count_pass, words, settings, spill_dir, max_bytes)


def find_phrases_by(
    count_pass: CountPass,
    words: Iterable[str],
    settings: PhraseSettings,
    spill_dir: Path | None = None,
    max_bytes: int = 1 << 30,
) -> FoundPhrases:
    """Find the phrases of a corpus that ``count_pass`` counts, wherever it runs.

    Stops after a pass that finds nothing. Memory: the vocabulary, the counts of one shard, and that
    of :func:`~.counts.merge_counts`.
    """
    connectors = settings.connectors
    vocabulary = KnownWords.of(words, connectors)
    tables: list[PhraseTable] = []
    indexes: list[PhraseIndex] = []
    for _ in range(settings.passes):
        word_counts = np.zeros(len(vocabulary.words), np.int64)
        shards = _adding_words(count_pass(indexes, vocabulary), word_counts)
        counts = merge_counts(shards, spill_dir, max_bytes)
        table = score(counts, word_counts, vocabulary.is_connector, vocabulary.words, settings)
        if len(table) == 0:
            break
        vocabulary = vocabulary.extended(table, connectors)
        tables.append(table)
        phrases = PhraseIds.of(table, vocabulary.id_of)
        indexes.append(index_phrases(phrases, vocabulary.is_connector))
    return FoundPhrases(tables, vocabulary, indexes)


def _adding_words(
    shards: Iterable[ShardCounts], word_counts: NDArray[np.int64]
) -> Iterator[PhraseCounts]:
    """The candidates of each shard, after its words are added to ``word_counts``."""
    for shard in shards:
        word_counts += shard.words
        yield shard.phrases
