"""The corpus of one model: token ids streamed from Parquet, unknown words left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from nightjar.errors import ArtifactDamaged, VocabularyError
from nightjar.progress import Progress
from nightjar.stages.train.vocabulary import Vocabulary
from nightjar.store import Artifact, FileEntry

READ_SENTENCES = 8_192
"""Sentences of a batch: some 200,000 tokens."""


@dataclass(frozen=True, eq=False)
class TokenBatch:
    """Consecutive sentences, end to end.

    Sentence s is ``ids[offsets[s]:offsets[s + 1]]``; ``ids`` int32 of shape (n_tokens,),
    ``offsets`` int64 of shape (n_sentences + 1,). A sentence may be empty.
    """

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each sentence."""
        return np.diff(self.offsets)


@dataclass(frozen=True)
class CorpusSize:
    """What a pass over the corpus finds."""

    n_sentences: int
    """All of them, whether or not anything of them is left."""
    n_sentences_with_context: int
    """Sentences of two or more kept tokens: only these can be learned from."""
    n_tokens_kept: int
    n_tokens_with_context: int
    """Kept tokens of the sentences with context."""


@dataclass(frozen=True, eq=False)
class Corpus:
    """The sentences of a tokens artifact, restricted to the words of a vocabulary."""

    tokens: Artifact
    vocabulary: Vocabulary
    part: FileEntry | None = None
    """The part of the sentences that it is restricted to; None: all."""

    def batches(self) -> Iterator[TokenBatch]:
        """All sentences in order, without the tokens that the vocabulary dropped.

        At most one row group, as it is stored, is in memory, and READ_SENTENCES of it
        decoded: a whole one, with what is computed of it, would take 90 MB. Leaving a word
        out brings its neighbours together: windows are counted in kept words, as the
        reference implementations do.
        """
        parts = self.tokens.parts("sentences") if self.part is None else [self.part]
        batches = (self.tokens.part_batches(part, ["token_ids"], READ_SENTENCES) for part in parts)
        for batch in chain.from_iterable(batches):
            column = batch.column("token_ids")
            offsets = column.offsets.to_numpy().astype(np.int64)
            ids = column.flatten().to_numpy()
            if len(ids) and (ids.min() < 0 or ids.max() >= self.vocabulary.n_in_corpus):
                raise ArtifactDamaged(
                    f"{self.tokens.ref}: a sentence has a token id that its vocabulary lacks; "
                    f"remove {self.tokens.directory} and run again: it is rebuilt from its parents"
                )
            is_kept = ids < self.vocabulary.n_learned
            n_kept_before = np.concatenate(([0], np.cumsum(is_kept)))
            yield TokenBatch(ids[is_kept], n_kept_before[offsets - offsets[0]])

    def measure(self, progress: Progress, name: str = "NAME") -> CorpusSize:
        """Count sentences and kept tokens in one pass; ``name`` is the model's.

        Raises VocabularyError when no sentence has two kept tokens.
        """
        progress.start("read tokens", self.tokens.rows("sentences"), "sentences")
        n_sentences = n_with_context = n_tokens = n_tokens_with_context = 0
        for batch in self.batches():
            lengths = batch.lengths
            has_context = lengths >= 2
            n_sentences += len(lengths)
            n_with_context += int(has_context.sum())
            n_tokens += len(batch.ids)
            n_tokens_with_context += int(lengths[has_context].sum())
            progress.advance(len(lengths))
        if n_with_context == 0:
            raise VocabularyError(
                f"none of {n_sentences} sentences holds two or more of the "
                f"{self.vocabulary.n_learned} words kept, so there is no context to learn from; "
                f"lower models.{name}.min_count, raise models.{name}.max_vocabulary, or set "
                f"tokenize.split_sentences: false"
            )
        return CorpusSize(n_sentences, n_with_context, n_tokens, n_tokens_with_context)
