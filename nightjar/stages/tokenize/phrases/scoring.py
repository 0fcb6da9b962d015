"""Scoring candidates with the counts of the entire corpus, to decide which are phrases.

Candidates and words that are spelled alike once joined by the delimiter are counted together. That
only matters where words contain (characters of) the delimiter: in later passes, or when the
tokenizer leaves it inside words. gensim counts spellings, so it treats ``new_york`` + ``city``,
``new`` + ``york_city`` and a word ``new_york_city`` as one type.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nightjar.kernels.phrase_counting import hash_texts, score_pairs
from nightjar.stages.tokenize.phrases.counts import PhraseCounts
from nightjar.stages.tokenize.phrases.phrase_table import PhraseTable

_LOW_BITS = np.uint64(0xFFFFFFFF)
_BLOCK_ROWS = 1 << 18


@dataclass(frozen=True, eq=False)
class Spelling:
    """Summed counts of equal spellings.

    ``word_counts`` is by id. ``row_counts`` belongs to ``rows``, the candidates (ascending) that
    share their spelling; the others keep their own counts. ``n_repeated`` is the number of
    candidates and words minus the number of distinct spellings.
    """

    word_counts: NDArray[np.int64]
    rows: NDArray[np.int64]
    row_counts: NDArray[np.int64]
    n_repeated: int


def same_spellings(
    counts: PhraseCounts,
    word_counts: NDArray[np.int64],
    is_connector: NDArray[np.bool_],
    words: Sequence[str],
    delimiter: str,
) -> Spelling:
    """Find equal spellings.

    The hash of a spelling is computed from those of its words; only spellings with equal hashes are
    written out and compared, so the result is exact. Of two equal spellings, one has a word with a
    character of the delimiter. Memory: the words' text and 17 bytes each; for these words and the
    candidates with such a word, 32 bytes each.
    """
    if not any(character in word for character in set(delimiter) for word in words):
        nothing = np.zeros(0, np.int64)
        return Spelling(word_counts, nothing, nothing, 0)
    hashes = _Hashes(counts, words, delimiter)
    types = np.flatnonzero(hashes.is_marked & (word_counts > 0) & ~is_connector)
    # A word is stored as -1 - id among the candidates' rows.
    marked = [(-1 - types, hashes.hashes[types])]
    marked += [(rows[mask], found[mask]) for rows, found, mask in hashes.blocks()]
    is_possible = _possible([found for _, found in marked])
    shift = np.uint64(65 - len(is_possible).bit_length())
    others = []
    for rows, found, mask in hashes.blocks():
        alike = ~mask & is_possible[found >> shift]
        others.append((rows[alike], found[alike]))
    items = np.concatenate([rows for rows, _ in marked + others])
    groups = _equal_hashes(items, np.concatenate([found for _, found in marked + others]))
    return _added_up(groups, counts, word_counts, words, delimiter)


def _possible(hashes: list[NDArray[np.uint64]]) -> NDArray[np.bool_]:
    """For the leading bits of a hash, whether one of ``hashes`` has them; 8 bytes per hash."""
    n_bits = max(10, (4 * sum(map(len, hashes))).bit_length())
    is_possible = np.zeros(1 << n_bits, np.bool_)
    for found in hashes:
        is_possible[found >> np.uint64(64 - n_bits)] = True
    return is_possible


class _Hashes:
    """Hashes of words, and of candidates one block at a time."""

    def __init__(self, counts: PhraseCounts, words: Sequence[str], delimiter: str) -> None:
        self._counts = counts
        marks = np.zeros(256, np.bool_)
        marks[list(delimiter.encode())] = True
        self.hashes, self._powers, self.is_marked = _hashed(words, marks)
        runs = [delimiter + "".join(words[word] + delimiter for word in run) for run in counts.runs]
        self._run_hashes, self._run_powers, _ = _hashed(runs, marks)
        self._run_is_marked = np.array(
            [bool(self.is_marked[list(run)].any()) for run in counts.runs], np.bool_
        )

    def blocks(
        self,
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.bool_]]]:
        """Rows of candidates, their hashes, and whether one of their words is marked."""
        for start in range(0, len(self._counts), _BLOCK_ROWS):
            pairs = self._counts.pairs[start : start + _BLOCK_ROWS]
            rows = np.arange(start, start + len(pairs))
            firsts, lasts = pairs >> np.uint64(32), pairs & _LOW_BITS
            runs = np.searchsorted(self._counts.starts, rows, side="right") - 1
            found = self.hashes[firsts] * self._run_powers[runs] + self._run_hashes[runs]
            found = found * self._powers[lasts] + self.hashes[lasts]
            is_marked = self.is_marked[firsts] | self.is_marked[lasts] | self._run_is_marked[runs]
            yield rows, found, is_marked


def _hashed(
    texts: Sequence[str], marks: NDArray[np.bool_]
) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.bool_]]:
    """For each text: hash, power, whether it has a byte of ``marks``."""
    array = pa.array(texts, pa.large_string())
    _, offsets, data = array.buffers()
    found = (np.empty(len(texts), np.uint64), np.empty(len(texts), np.uint64))
    is_marked = np.empty(len(texts), np.bool_)
    hash_texts(
        np.frombuffer(data or b"", np.uint8),
        np.frombuffer(offsets, np.int64)[: len(texts) + 1],
        *(marks, *found, is_marked),
    )
    return *found, is_marked


def _equal_hashes(items: NDArray[np.int64], hashes: NDArray[np.uint64]) -> Iterator[list[int]]:
    """The ``items`` that share a hash, for each such hash."""
    order = np.argsort(hashes, kind="stable")
    hashes = hashes[order]
    starts = np.flatnonzero(np.append(True, hashes[1:] != hashes[:-1]))
    ends = np.append(starts[1:], len(hashes))
    several = ends - starts > 1
    for start, end in zip(starts[several].tolist(), ends[several].tolist(), strict=True):
        yield items[order[start:end]].tolist()


def _added_up(
    groups: Iterable[list[int]],
    counts: PhraseCounts,
    word_counts: NDArray[np.int64],
    words: Sequence[str],
    delimiter: str,
) -> Spelling:
    word_counts = word_counts.copy()
    total_of: dict[int, int] = {}
    n_repeated = 0
    for group in groups:
        alike: dict[str, list[int]] = {}
        rows = [item for item in group if item >= 0]
        for row, candidate in zip(rows, counts.words_of(np.array(rows, np.int64)), strict=True):
            text = delimiter.join(words[word] for word in candidate)
            alike.setdefault(text, []).append(row)
        for item in group:
            if item < 0:
                alike.setdefault(words[-1 - item], []).append(item)
        for items in alike.values():
            total = sum(
                int(counts.counts[item] if item >= 0 else word_counts[-1 - item]) for item in items
            )
            n_repeated += len(items) - 1
            for item in items if len(items) > 1 else ():
                if item >= 0:
                    total_of[item] = total
                else:
                    word_counts[-1 - item] = total
    rows_alike = sorted(total_of)
    return Spelling(
        word_counts,
        np.array(rows_alike, np.int64),
        np.array([total_of[row] for row in rows_alike], np.int64),
        n_repeated,
    )


BLOCK_ROWS = 1 << 18
"""Candidates scored at a time."""


class ScoreSettings(Protocol):
    """The keys of the config's section ``tokenize.phrases`` that affect scoring."""

    @property
    def scoring(self) -> str:
        """``default`` (word2phrase) or ``npmi``."""

    @property
    def min_count(self) -> int:
        """The default scoring subtracts it; NPMI ignores anything rarer."""

    @property
    def threshold(self) -> float:
        """A phrase's score must be above it."""

    @property
    def delimiter(self) -> str:
        """The text between the words of a joined token."""


def score(
    counts: PhraseCounts,
    word_counts: NDArray[np.int64],
    is_connector: NDArray[np.bool_],
    words: Sequence[str],
    settings: ScoreSettings,
) -> PhraseTable:
    """The candidates with a score above the threshold.

    ``words[i]``, which occurs ``word_counts[i]`` times, is the token with id i. The formulas and
    their inputs are those of gensim's ``Phrases``: the number of types includes all words except
    connector words, and all candidates, however rare; the number of tokens includes connector
    words; candidates and words with the same joined spelling (``new_york`` + ``city``, ``new`` +
    ``york_city``) are one type, with their counts added.

    Memory beside the arguments: 8 bytes per word, the scores of BLOCK_ROWS candidates, the phrases,
    and, if words contain the delimiter, what :func:`same_spellings` needs.
    """
    spelling = same_spellings(counts, word_counts, is_connector, words, settings.delimiter)
    is_type = (word_counts > 0) & ~is_connector
    n_types = int(is_type.sum()) + len(counts) - spelling.n_repeated
    n_tokens = int(word_counts.sum())
    found: list[NDArray[np.int64]] = []
    found_counts: list[NDArray[np.int64]] = []
    found_scores: list[NDArray[np.float64]] = []
    for start in range(0, len(counts), BLOCK_ROWS):
        pairs = counts.pairs[start : start + BLOCK_ROWS]
        block = _block_counts(counts, spelling, start, start + len(pairs))
        scores = np.empty(len(pairs))
        score_pairs(
            *(pairs, block, spelling.word_counts, n_types, n_tokens, settings.min_count),
            *(settings.scoring == "npmi", scores),
        )
        rows = np.flatnonzero(scores > settings.threshold)
        found.append(rows + start)
        found_counts.append(block[rows])
        found_scores.append(scores[rows])
    if not found:
        return PhraseTable.empty()
    rows = np.concatenate(found)
    return _table(
        *(counts, rows, np.concatenate(found_counts), np.concatenate(found_scores)),
        *(words, settings.delimiter),
    )


def _block_counts(
    counts: PhraseCounts, spelling: Spelling, start: int, end: int
) -> NDArray[np.int64]:
    """Counts of rows ``start`` to ``end``; candidates with equal spellings have the total."""
    block = np.array(counts.counts[start:end])
    first, last = np.searchsorted(spelling.rows, [start, end])
    block[spelling.rows[first:last] - start] = spelling.row_counts[first:last]
    return block


def _table(
    counts: PhraseCounts,
    rows: NDArray[np.int64],
    row_counts: NDArray[np.int64],
    scores: NDArray[np.float64],
    words: Sequence[str],
    delimiter: str,
) -> PhraseTable:
    tokens = [tuple(words[word] for word in candidate) for candidate in counts.words_of(rows)]
    phrases = [delimiter.join(parts) for parts in tokens]
    order = sorted(range(len(rows)), key=lambda row: (-scores[row], phrases[row], tokens[row]))
    return PhraseTable(
        phrases=[phrases[row] for row in order],
        tokens=[tokens[row] for row in order],
        counts=row_counts[order],
        scores=scores[order],
    )
