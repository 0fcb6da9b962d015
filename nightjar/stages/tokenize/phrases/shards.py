"""Phrases of the token shards of a corpus: an executor maps each pass over the shards.

What the workers need and what they find are tables of a scratch directory in the staging
directory, which all of them see (:mod:`.scratch_tables`).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

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
from nightjar.stages.tokenize.phrases.scratch_tables import (
    FINAL_RANKS,
    WORDS,
    add_recounted,
    load_ranks,
    load_state,
    save_counts,
    save_ranks,
    save_recounted,
    save_state,
    take_counts,
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
            pq.write_table(words, self._scratch / WORDS)
            try:
                found = self._find(words.column("token").to_pylist())
                self._staging.write(schemas.PHRASES, to_arrow(found.tables))
                ranking = self._rank(found)
                self._join(len(found.tables))
            finally:
                load_state.cache_clear()
                shutil.rmtree(self._scratch)
        self._report(found.tables)
        return ranking

    def _find(self, words: list[str]) -> FoundPhrases:
        def count_pass(
            indexes: Sequence[PhraseIndex], vocabulary: KnownWords
        ) -> Iterator[ShardCounts]:
            save_state(self._scratch, list(indexes), vocabulary.is_connector)
            label = f"find phrases, pass {len(indexes) + 1} of {self._config.passes}"
            self._progress.start(label, self._n_tokens, "tokens")
            pieces = self._pieces(len(indexes))
            for number in self._executor.map(count_in_shard, pieces, self._progress.advance):
                yield take_counts(self._scratch, number, len(vocabulary.words))

        found = find_phrases_by(count_pass, words, self._config, self._scratch)
        save_state(self._scratch, found.indexes, found.vocabulary.is_connector)
        return found

    def _rank(self, found: FoundPhrases) -> Ranking:
        """Write the vocabulary of the joined shards, and a file with the rank of each old id."""
        words = found.vocabulary.words
        counts = np.zeros((2, len(words)), np.int64)
        self._progress.start("count phrases", self._n_tokens, "tokens")
        pieces = self._pieces(len(found.indexes))
        for number in self._executor.map(recount_shard, pieces, self._progress.advance):
            add_recounted(self._scratch, number, counts)
        ids = np.flatnonzero(counts[0])
        columns = [pa.array(words).take(pa.array(ids)), *(pa.array(row[ids]) for row in counts)]
        table = pa.table(columns, schema=schemas.SHARD_VOCABULARY_SCHEMA)
        ranking = Ranking.of([table])
        rank_of = np.full(len(words), -1, np.int32)
        tokens = ranking.tokens.to_pylist()
        rank_of[[found.vocabulary.id_of[token] for token in tokens]] = np.arange(len(tokens))
        save_ranks(self._scratch / FINAL_RANKS, rank_of)
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

    def _report(self, tables: Sequence[PhraseTable]) -> None:
        counts, report = self._staging.counts, self._staging.report
        counts["phrases"] = sum(map(len, tables))
        counts["tokens_before_phrases"] = self._n_tokens
        report["best_phrases"] = [table.phrases[:_BEST] for table in tables]


def count_in_shard(piece: PhraseShard, advance: Advance) -> int:
    """Count the words and candidates of a shard for the next pass; returns its number."""
    state = load_state(piece.scratch, piece.n_passes)
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
    return save_counts(piece.scratch, piece.number, ShardCounts(words, counts))


def recount_shard(piece: PhraseShard, advance: Advance) -> int:
    """Count the tokens of a shard after joining, and in how many documents each is."""
    state = load_state(piece.scratch, piece.n_passes)
    n_words = len(state.is_connector)
    counts, seen, document = np.zeros((2, n_words), np.int64), np.zeros(n_words, np.int64), 0
    for rows in _rows(piece):
        shard = joined(SentenceIds(rows.ids, rows.offsets), state.indexes)
        is_first = rows.sentences.column("sentence").to_numpy() == 0
        document = count_documents(
            shard.ids, shard.offsets, is_first, document, seen, counts[0], counts[1]
        )
        advance(len(rows.ids))
    return save_recounted(piece.scratch, piece.number, counts)


def join_shard(piece: PhraseShard, advance: Advance) -> FileEntry:
    """Write the part of ``sentences`` that holds the shard's, phrases joined."""
    state = load_state(piece.scratch, piece.n_passes)
    rank_of = load_ranks(piece.scratch / FINAL_RANKS)

    def batches() -> Iterator[pa.RecordBatch]:
        for rows in _rows(piece):
            shard = joined(SentenceIds(rows.ids, rows.offsets), state.indexes)
            yield rows.batch(rank_of[shard.ids], shard.offsets)
            advance(len(rows.ids))

    name = part_name("sentences", piece.number)
    return write_part(piece.root, piece.staging, name, schemas.SENTENCES_SCHEMA, batches())


def _rows(piece: PhraseShard) -> Iterator[RankedRows]:
    path = piece.scratch / f"ranks-{piece.number}.parquet"
    if path.exists():
        ranks = load_ranks(path)
    else:
        ranks = local_ranks(piece.shard, piece.scratch / WORDS)
        save_ranks(path, ranks)
    return ranked_rows(piece.shard, ranks)
