"""The phrases of a pass as a table, and joining them in the sentences of a shard."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nightjar.kernels.phrase_counting import child_slots, fill_phrases, join_phrases
from nightjar.store import schemas


@dataclass(frozen=True, eq=False)
class PhraseTable:
    """The phrases of one pass, by score descending, then spelling, then tokens.

    ``phrases[i]`` is ``tokens[i]`` joined; in a later pass, tokens may be phrases themselves.
    ``counts[i]`` is how often it occurred as a candidate before this pass joined anything; its
    score ``scores[i]`` is computed from that.
    """

    phrases: list[str]
    tokens: list[tuple[str, ...]]
    counts: NDArray[np.int64]
    scores: NDArray[np.float64]

    @classmethod
    def empty(cls) -> PhraseTable:
        """A table without phrases."""
        return cls([], [], np.zeros(0, np.int64), np.zeros(0))

    def __len__(self) -> int:
        return len(self.phrases)


def to_arrow(passes: Sequence[PhraseTable]) -> pa.Table:
    """The phrases of all passes, first pass first, with schema PHRASES_SCHEMA."""
    number = [np.full(len(table), at, np.int32) for at, table in enumerate(passes, start=1)]
    return pa.table(
        [
            pa.array([phrase for table in passes for phrase in table.phrases], pa.string()),
            pa.array(
                [list(tokens) for table in passes for tokens in table.tokens],
                schemas.PHRASES_SCHEMA.field("tokens").type,
            ),
            pa.array(np.concatenate([np.zeros(0, np.int64), *(t.counts for t in passes)])),
            pa.array(np.concatenate([np.zeros(0), *(t.scores for t in passes)])),
            pa.array(np.concatenate([np.zeros(0, np.int32), *number])),
        ],
        schema=schemas.PHRASES_SCHEMA,
    )


def from_arrow(table: pa.Table) -> list[PhraseTable]:
    """The phrases of each pass, the inverse of :func:`to_arrow`.

    Passes without phrases at the end are not restored.
    """
    numbers = table.column("pass").to_numpy()
    return [
        _from_rows(table.filter(pa.array(numbers == at)))
        for at in range(1, int(numbers.max(initial=0)) + 1)
    ]


def _from_rows(rows: pa.Table) -> PhraseTable:
    return PhraseTable(
        phrases=rows.column("phrase").to_pylist(),
        tokens=[tuple(tokens) for tokens in rows.column("tokens").to_pylist()],
        counts=rows.column("count").to_numpy(),
        scores=rows.column("score").to_numpy(),
    )


def new_words(table: PhraseTable, known: Container[str]) -> list[str]:
    """The phrases that are not in ``known``, without repetition, in the order of the table.

    In a vocabulary their ids follow those of the known words.
    """
    return [phrase for phrase in dict.fromkeys(table.phrases) if phrase not in known]


_CONNECTOR = 1
_FIRST = 2
_LAST = 4
_MIN_SLOTS = 64


@dataclass(frozen=True, eq=False)
class SentenceIds:
    """Sentences end to end: sentence i is ``ids[offsets[i]:offsets[i + 1]]``.

    The first offset is 0, the last one the number of ids.
    """

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PhraseIds:
    """Phrases by ids: ``token_ids[i]`` joined are ``phrase_ids[i]``."""

    token_ids: Sequence[Sequence[int]]
    phrase_ids: Sequence[int]

    @classmethod
    def of(cls, table: PhraseTable, id_of: Mapping[str, int]) -> PhraseIds:
        """Look the phrases of ``table`` and their tokens up in ``id_of``.

        A phrase with a token that has no id cannot occur and is left out.
        """
        kept = [
            ([id_of[token] for token in tokens], id_of[phrase])
            for phrase, tokens in zip(table.phrases, table.tokens, strict=True)
            if all(token in id_of for token in tokens)
        ]
        return cls([ids for ids, _ in kept], [phrase for _, phrase in kept])


@dataclass(frozen=True, eq=False)
class PhraseIndex:
    """Phrases as the kernels look them up: by :func:`index_phrases`."""

    phrases: PhraseIds
    roles: NDArray[np.uint8]
    run_keys: NDArray[np.int64]
    run_nodes: NDArray[np.int32]
    pairs: NDArray[np.uint64]
    nodes: NDArray[np.int32]
    joined: NDArray[np.int32]


def index_phrases(phrases: PhraseIds, is_connector: NDArray[np.bool_]) -> PhraseIndex:
    """Make ``phrases`` ready for :func:`apply_phrases`; ``is_connector`` is by id."""
    firsts = np.array([ids[0] for ids in phrases.token_ids], np.int64)
    lasts = np.array([ids[-1] for ids in phrases.token_ids], np.int64)
    roles = np.where(is_connector, _CONNECTOR, 0).astype(np.uint8)
    roles[firsts] |= _FIRST
    roles[lasts] |= _LAST
    node_of: dict[tuple[int, int], int] = {}
    nodes = np.array([_node(ids[1:-1], node_of) for ids in phrases.token_ids], np.int32)
    parents = np.array([0, *(parent for parent, _ in node_of)], np.int32)
    words = np.array([0, *(word for _, word in node_of)], np.int32)
    run_keys, run_nodes = child_slots(parents, words, _n_slots(len(parents)))
    n_slots = _n_slots(len(firsts))
    index = PhraseIndex(
        *(phrases, roles, run_keys, run_nodes, np.zeros(n_slots, np.uint64)),
        *(np.full(n_slots, -1, np.int32), np.zeros(n_slots, np.int32)),
    )
    pairs = (firsts.astype(np.uint64) << np.uint64(32)) | lasts.astype(np.uint64)
    joined = np.array(phrases.phrase_ids, np.int32)
    fill_phrases(pairs, nodes, joined, index.pairs, index.nodes, index.joined)
    return index


def _node(run: Sequence[int], node_of: dict[tuple[int, int], int]) -> int:
    """The node of ``run`` in a tree of runs, created if needed."""
    node = 0
    for word in run:
        node = node_of.setdefault((node, word), len(node_of) + 1)
    return node


def _n_slots(n_entries: int) -> int:
    return max(_MIN_SLOTS, 1 << (2 * n_entries).bit_length())


def apply_phrases(
    ids: NDArray[np.int32], offsets: NDArray[np.int64], index: PhraseIndex
) -> SentenceIds:
    """The shard's sentences with each phrase as one token, joined from left to right.

    As in gensim's ``Phrases``: the span from one word that is not a connector to the next such word
    is either a phrase or left alone; the last word of a phrase cannot start another. The number of
    sentences stays the same. Memory: 8 bytes per token.
    """
    joined = np.empty(len(ids), np.int32)
    joined_offsets = np.empty(len(offsets), np.int64)
    n = join_phrases(
        *(ids, offsets, index.roles, index.run_keys, index.run_nodes),
        *(index.pairs, index.nodes, index.joined, joined, joined_offsets),
    )
    return SentenceIds(joined[:n].copy(), joined_offsets)
