"""One model's training data: its words, and the corpus as a stream of their ids.

Ids are ranks by count, so ``min_count`` and ``max_vocabulary`` both cut off the rare end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from nightjar.config.models import TrainedConfig
from nightjar.errors import ArtifactDamaged, VocabularyError
from nightjar.progress import Progress
from nightjar.store import Artifact, FileEntry
from nightjar.store.schemas import DOCUMENTS, EVENTS, GRAPH
from nightjar.wording import counted


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The ``words[i]`` a model learns, with their ``counts`` (int64) in the whole corpus."""

    words: tuple[str, ...]
    counts: NDArray[np.int64]
    dropped: Counter[str]
    """Words and tokens left out, by reason; the keys are those of the manifest's counts."""
    n_in_corpus: int
    """Words of the tokens artifact; ids in its sentences are below this."""
    n_from_base: int = 0
    """Words at the end, with count 0, that only the base of a fine-tuned model has."""

    def __len__(self) -> int:
        return len(self.words)

    @property
    def n_learned(self) -> int:
        """Words of the corpus; their rows are the token ids."""
        return len(self.words) - self.n_from_base

    def extended(self, base_words: Iterable[str]) -> Vocabulary:
        """Append those of ``base_words`` that are missing, in their order.

        They do not occur in the corpus, so they keep their vectors (except for n-grams that they
        share with other words) and are never drawn as noise.
        """
        known = set(self.words)
        new = tuple(word for word in dict.fromkeys(base_words) if word not in known)
        return replace(
            self,
            words=self.words + new,
            counts=np.concatenate([self.counts, np.zeros(len(new), np.int64)]),
            n_from_base=self.n_from_base + len(new),
        )


def select_vocabulary(tokens: Artifact, model: TrainedConfig, name: str = "NAME") -> Vocabulary:
    """The words that ``min_count`` and ``max_vocabulary`` keep; the table is in memory.

    ``name`` is the model's name in messages. Raises VocabularyError when fewer than two are left,
    ArtifactDamaged when the ids are not ranks.
    """
    table = tokens.read("vocabulary", columns=["token_id", "token", "count"])
    counts = table.column("count").to_numpy().astype(np.int64, copy=False)
    ids = table.column("token_id").to_numpy()
    if not np.array_equal(ids, np.arange(len(ids))) or np.any(counts[1:] > counts[:-1]):
        raise ArtifactDamaged(
            f"{tokens.ref}: the ids of its vocabulary are no ranks by count; remove "
            f"{tokens.directory} and run again: it is rebuilt from its parents"
        )
    n_frequent = _n_frequent(counts, model)
    n_kept = n_kept_words(counts, model, name)
    return Vocabulary(
        words=tuple(table.column("token").slice(0, n_kept).to_pylist()),
        counts=counts[:n_kept].copy(),
        dropped=Counter(
            vocabulary_dropped_min_count=len(counts) - n_frequent,
            vocabulary_dropped_max_vocabulary=n_frequent - n_kept,
            tokens_dropped_min_count=int(counts[n_frequent:].sum()),
            tokens_dropped_max_vocabulary=int(counts[n_kept:n_frequent].sum()),
        ),
        n_in_corpus=len(counts),
    )


def n_kept_words(counts: NDArray[np.int64], model: TrainedConfig, name: str = "NAME") -> int:
    """How many words with these ``counts`` (descending) ``model`` keeps.

    Raises VocabularyError when there are fewer than two.
    """
    n_frequent = _n_frequent(counts, model)
    n_kept = min(n_frequent, model.max_vocabulary or n_frequent)
    if n_kept < 2:
        raise _too_few(n_kept, counts, model.min_count, name)
    return n_kept


def _n_frequent(counts: NDArray[np.int64], model: TrainedConfig) -> int:
    return int(np.searchsorted(-counts, -model.min_count, side="right"))


def _too_few(n_kept: int, counts: NDArray[np.int64], min_count: int, name: str) -> VocabularyError:
    if len(counts) < 2:
        return VocabularyError(
            f"the corpus has {counted(len(counts), 'different word')} and a model needs at least "
            f"2; add text to sources"
        )
    return VocabularyError(
        f"{n_kept} of {counted(len(counts), 'word')} occur at least models.{name}.min_count = "
        f"{min_count} times and a model needs at least 2; lower min_count (the second "
        f"most frequent word occurs {counted(counts[1], 'time')}) or add text"
    )


def _source(tokens: Artifact) -> str:
    """The stage that the tokens are made from."""
    return next((stage for stage in _LONGER if stage in tokens.manifest.parents), DOCUMENTS)


_LONGER = {
    DOCUMENTS: "set tokenize.split_sentences: false",
    GRAPH: "add edges to sources",
    EVENTS: "make longer sessions: sessions.by, sessions.gap_minutes, min_item_events, and "
    "held_out.share, which takes the last events of sessions",
}
"""What gives sentences more tokens, by what they are made from."""
READ_SENTENCES = 8_192
"""Sentences in a batch: about 200,000 tokens."""


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
    """Size of the corpus, from one pass over it."""

    n_sentences: int
    """All sentences, including those without kept tokens."""
    n_sentences_with_context: int
    """Sentences of two or more kept tokens: only these can be learned from."""
    n_tokens_kept: int
    n_tokens_with_context: int
    """Kept tokens of the sentences with context."""


@dataclass(frozen=True, eq=False)
class ModelCorpus:
    """The sentences of a tokens artifact, restricted to the words of a vocabulary."""

    tokens: Artifact
    vocabulary: Vocabulary
    part: FileEntry | None = None
    """The part of the sentences to read; None for all."""

    def batches(self) -> Iterator[TokenBatch]:
        """All sentences in order, without the tokens that the vocabulary dropped.

        Memory: at most one stored row group, of which READ_SENTENCES are decoded; decoding all of
        it would take 90 MB. Dropping a word makes its neighbours adjacent: windows are counted in
        kept words, as in the reference implementations.
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
                f"none of {counted(n_sentences, 'sentence')} holds two or more of the "
                f"{counted(self.vocabulary.n_learned, 'word')} kept, so there is no context to "
                f"learn from; lower models.{name}.min_count, raise models.{name}.max_vocabulary, "
                f"or {_LONGER[_source(self.tokens)]}"
            )
        return CorpusSize(n_sentences, n_with_context, n_tokens, n_tokens_with_context)
