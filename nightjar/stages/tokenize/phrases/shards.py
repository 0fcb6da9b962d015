"""Phrases of the token shards of a corpus: an executor maps each pass over the shards.

Workers exchange data through files in a scratch directory within the shared staging directory:
``ranks-N.npy``, the rank of each id of shard N; ``connectors-P.npy`` and ``index-P.npz``, the
vocabulary's connector words and the phrases after pass P; ``counted-N.npz`` and
``recounted-N.npz``, the counts of shard N. Ids are ranks of words in the vocabulary before phrases,
followed by phrases in the order in which they were found.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from nightjar.config import PhrasesConfig
from nightjar.core.executors import Advance, Executor
from nightjar.kernels.phrase_counting import count_documents
from nightjar.progress import Progress
from nightjar.stages.tokenize.phrases.counts import PhraseCounts, merge_counts
from nightjar.stages.tokenize.phrases.passes import (
    FoundPhrases,
    KnownWords,
    ShardCounts,
    count_for_pass,
    find_phrases_by,
    joined,
)
from nightjar.stages.tokenize.phrases.phrase_table import (
    PhraseIndex,
    PhraseTable,
    SentenceIds,
    to_arrow,
)
from nightjar.stages.tokenize.ranking import RankedRows, Ranking, local_ranks, ranked_rows
from nightjar.store import (
    Artifact,
    FileEntry,
    Staging,
    named_write_errors,
    part_name,
    schemas,
    write_part,
)

_SCRATCH = ".phrases"
_WORDS = "words.parquet"
_BEST = 20


@dataclass(frozen=True)
class PhraseShard:
    """A token shard to count or join after ``n_passes`` passes."""

    shard: Artifact
    number: int
    n_passes: int
    staging: Path

    @property
    def scratch(self) -> Path:
        """The directory for the files that workers and the stage exchange."""
        return self.staging / _SCRATCH

    @property
    def root(self) -> Path:
        """The artifact directory of all stages."""
        return self.staging.parents[1]


class PhraseStage:
    """Finds the phrases of token shards, and writes the tables of the tokens artifact.

    Memory here: that of :func:`~.passes.find_phrases_by`; in a worker: a row group of a shard
    (about a million tokens), its candidates, and the shard's candidates so far.
    """

    def __init__(
        self,
        config: PhrasesConfig,
        shards: Sequence[Artifact],
        staging: Staging,
        progress: Progress,
        executor: Executor,
    ) -> None:
        self._config = config
        self._shards = shards
        self._staging = staging
        self._progress = progress
        self._executor = executor
        self._scratch = staging.directory / _SCRATCH
        self._n_tokens = sum(shard.manifest.counts["tokens"] for shard in shards)

    def run(self, words: pa.Table) -> Ranking:
        """Write ``phrases``, ``vocabulary`` and ``sentences``; returns the ranking with phrases.

        ``words`` is the vocabulary before phrases (VOCABULARY_SCHEMA). Updates the count
        ``tokens``.
        """
        with named_write_errors(self._staging.root):
            self._scratch.mkdir()
            pq.write_table(words, self._scratch / _WORDS)
            try:
                found = self._find(words.column("token").to_pylist())
                self._staging.write(schemas.PHRASES, to_arrow(found.tables))
                ranking = self._rank(found)
                self._join(len(found.tables))
            finally:
                _state.cache_clear()
                shutil.rmtree(self._scratch)
        self._report(found.tables)
        return ranking

    def _find(self, words: list[str]) -> FoundPhrases:
        def count_pass(
            indexes: Sequence[PhraseIndex], vocabulary: KnownWords
        ) -> Iterator[ShardCounts]:
            self._save_state(indexes, vocabulary)
            label = f"find phrases, pass {len(indexes) + 1} of {self._config.passes}"
            self._progress.start(label, self._n_tokens, "tokens")
            pieces = self._pieces(len(indexes))
            for path in self._executor.map(count_in_shard, pieces, self._progress.advance):
                yield _read_counts(path, len(vocabulary.words))

        found = find_phrases_by(count_pass, words, self._config, self._scratch)
        self._save_state(found.indexes, found.vocabulary)
        return found

    def _rank(self, found: FoundPhrases) -> Ranking:
        """Write the vocabulary of the joined shards, and a file with the rank of each old id."""
        words = found.vocabulary.words
        counts = np.zeros((2, len(words)), np.int64)
        self._progress.start("count phrases", self._n_tokens, "tokens")
        pieces = self._pieces(len(found.indexes))
        for path in self._executor.map(recount_shard, pieces, self._progress.advance):
            with np.load(path) as held:
                counts[:, held["ids"]] += held["counts"]
        ids = np.flatnonzero(counts[0])
        columns = [pa.array(words).take(pa.array(ids)), *(pa.array(row[ids]) for row in counts)]
        table = pa.table(columns, schema=schemas.SHARD_VOCABULARY_SCHEMA)
        ranking = Ranking.of([table])
        rank_of = np.full(len(words), -1, np.int32)
        tokens = ranking.tokens.to_pylist()
        rank_of[[found.vocabulary.id_of[token] for token in tokens]] = np.arange(len(tokens))
        np.save(self._scratch / "ranks.npy", rank_of)
        self._staging.write("vocabulary", ranking.table)
        self._staging.counts["tokens"] = int(counts[0].sum())
        return ranking

    def _join(self, n_passes: int) -> None:
        self._progress.start("join phrases", self._n_tokens, "tokens")
        pieces = self._pieces(n_passes)
        parts = self._executor.map(join_shard, pieces, self._progress.advance)
        self._staging.add_parts("sentences", list(parts))

    def _pieces(self, n_passes: int) -> list[PhraseShard]:
        return [
            PhraseShard(shard, number, n_passes, self._staging.directory)
            for number, shard in enumerate(self._shards)
        ]

    def _save_state(self, indexes: Sequence[PhraseIndex], vocabulary: KnownWords) -> None:
        np.save(self._scratch / f"connectors-{len(indexes)}.npy", vocabulary.is_connector)
        if indexes:
            arrays = {field.name: getattr(indexes[-1], field.name) for field in fields(PhraseIndex)}
            np.savez(self._scratch / f"index-{len(indexes)}.npz", **arrays)

    def _report(self, tables: Sequence[PhraseTable]) -> None:
        counts, report = self._staging.counts, self._staging.report
        counts["phrases"] = sum(map(len, tables))
        counts["tokens_before_phrases"] = self._n_tokens
        report["best_phrases"] = [table.phrases[:_BEST] for table in tables]


def count_in_shard(piece: PhraseShard, advance: Advance) -> Path:
    """Count the words and candidates of a shard for the next pass; returns their file."""
    state = _state(piece.scratch, piece.n_passes)
    words = np.zeros(len(state.is_connector), np.int64)

    def counted() -> Iterator[PhraseCounts]:
        for rows in _rows(piece):
            found = count_for_pass(
                SentenceIds(rows.ids, rows.offsets), state.indexes, state.is_connector
            )
            np.add(words, found.words, out=words)
            advance(len(rows.ids))
            yield found.phrases

    counts = merge_counts(counted(), piece.scratch)
    ids = np.flatnonzero(words)
    return _save(
        piece.scratch / f"counted-{piece.number}.npz",
        ids=ids.astype(np.int32),
        words=words[ids],
        run_lengths=np.array([len(run) for run in counts.runs], np.int64),
        run_words=np.array([word for run in counts.runs for word in run], np.int32),
        starts=counts.starts,
        pairs=counts.pairs,
        counts=counts.counts,
    )


def _read_counts(path: Path, n_words: int) -> ShardCounts:
    with np.load(path) as held:
        words = np.zeros(n_words, np.int64)
        words[held["ids"]] = held["words"]
        ends = np.cumsum(held["run_lengths"])[:-1]
        runs = tuple(tuple(run.tolist()) for run in np.split(held["run_words"], ends))
        runs = runs[: len(held["run_lengths"])]  # split makes one from nothing
        phrases = PhraseCounts(runs, held["starts"], held["pairs"], held["counts"])
    path.unlink()
    return ShardCounts(words, phrases)


def recount_shard(piece: PhraseShard, advance: Advance) -> Path:
    """Count a shard's tokens after joining, and the documents that contain each."""
    state = _state(piece.scratch, piece.n_passes)
    n_words = len(state.is_connector)
    counts, seen, document = np.zeros((2, n_words), np.int64), np.zeros(n_words, np.int64), 0
    for rows in _rows(piece):
        shard = joined(SentenceIds(rows.ids, rows.offsets), state.indexes)
        is_first = rows.sentences.column("sentence").to_numpy() == 0
        document = count_documents(
            shard.ids, shard.offsets, is_first, document, seen, counts[0], counts[1]
        )
        advance(len(rows.ids))
    ids = np.flatnonzero(counts[0])
    path = piece.scratch / f"recounted-{piece.number}.npz"
    return _save(path, ids=ids.astype(np.int32), counts=counts[:, ids])


def join_shard(piece: PhraseShard, advance: Advance) -> FileEntry:
    """Write the shard's part of ``sentences``, with phrases joined."""
    state = _state(piece.scratch, piece.n_passes)
    rank_of = np.load(piece.scratch / "ranks.npy")

    def batches() -> Iterator[pa.RecordBatch]:
        for rows in _rows(piece):
            shard = joined(SentenceIds(rows.ids, rows.offsets), state.indexes)
            yield rows.batch(rank_of[shard.ids], shard.offsets)
            advance(len(rows.ids))

    name = part_name("sentences", piece.number)
    return write_part(piece.root, piece.staging, name, schemas.SENTENCES_SCHEMA, batches())


def _rows(piece: PhraseShard) -> Iterator[RankedRows]:
    path = piece.scratch / f"ranks-{piece.number}.npy"
    if path.exists():
        ranks = np.load(path)
    else:
        ranks = local_ranks(piece.shard, piece.scratch / _WORDS)
        with _replacing(path) as stream:
            np.save(stream, ranks)
    return ranked_rows(piece.shard, ranks)


@dataclass(frozen=True, eq=False)
class _State:
    indexes: list[PhraseIndex]
    is_connector: NDArray[np.bool_]


@lru_cache(maxsize=1)
def _state(scratch: Path, n_passes: int) -> _State:
    """The results of the passes so far; read once by each worker."""
    indexes = []
    for number in range(1, n_passes + 1):
        with np.load(scratch / f"index-{number}.npz") as held:
            indexes.append(PhraseIndex(**{name: held[name] for name in held.files}))
    return _State(indexes, np.load(scratch / f"connectors-{n_passes}.npy"))


def _save(path: Path, **arrays: Any) -> Path:
    with _replacing(path) as stream:
        np.savez(stream, **arrays)
    return path


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """Write the file atomically: a worker that was given up may still be writing it too."""
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    with temporary.open("wb") as stream:
        yield stream
    temporary.replace(path)
