"""Estimating the memory and disk that a training needs, from its tokens artifact.

Memory is the process's peak: the matrices by trainer, engine and sizes, the memory per word, and
:data:`INTERPRETER_BYTES` and :data:`_WORKING_BYTES`, which were measured (docs/experiments.md).
Imports nothing that compiles or trains, because ``nightjar plan`` calls it. See :mod:`.durations`
for time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nightjar.config.models import FastTextConfig, GloVeConfig, TrainedConfig, Word2VecConfig
from nightjar.core.resources import (
    INTERPRETER_BYTES,
    Need,
    Part,
    Resources,
    gigabytes,
    largest_parts,
)
from nightjar.errors import ModelTooLarge
from nightjar.formats.embeddings import BLOCK_ROWS
from nightjar.stages.train.model_corpus import n_kept_words
from nightjar.stages.train.ngram_use import EXACT_WORDS, NgramUse, count_ngrams
from nightjar.stages.train.spans import keep_limits
from nightjar.store import Artifact
from nightjar.wording import counted

_WORKING_BYTES = {"word2vec": 310_000_000, "fasttext": 310_000_000, "glove": 290_000_000}
"""Compiler, sentences, noise words, by trainer of the native engine (260 to 300 MB measured)."""
_GENSIM_WORKING_BYTES = 240_000_000
"""The same for gensim, with SciPy (210 to 240 MB measured)."""
_BLOCKS = 4
"""Blocks of rows in memory while writing a table: copied, encoded, compressed."""
_LANES = 16
"""The native engine pads rows to a multiple of this many floats."""
_BIAS_LANES = 2
"""Floats that GloVe appends to a vector: its bias and a one."""
_COPIED_ROWS = 1_024
"""Most rows of which each of several native workers keeps a copy, and another to compare."""
_WORD_BYTES = 200
"""A word of the vocabulary as Python and Arrow hold it, with its count and limits."""
_GENSIM_WORD_BYTES = 600
"""A word in gensim's dictionaries, and in the one that its workers read."""
_GENSIM_NODE_BYTES = 600
"""A word's code, path and node while gensim builds its Huffman tree."""
_NGRAMS_BYTES = 400
"""The n-gram rows of a word: their numbers and their array."""
_LINE_TOKEN_BYTES = 6
"""A token, with its separator, in the text files that gensim reads."""
_BINS = 256
"""Groups of words of similar frequency, to estimate their co-occurrences."""


@dataclass(frozen=True, eq=False)
class Workload:
    """A model's training data, as far as the vocabulary describes it."""

    counts: NDArray[np.int64]
    """Counts of the kept words, descending."""
    n_sentences: int
    ngrams: NgramUse | None
    """None for a model without n-grams."""

    @property
    def n_words(self) -> int:
        """Words that the model learns."""
        return len(self.counts)

    @property
    def n_tokens(self) -> int:
        """Tokens per epoch."""
        return int(self.counts.sum())

    def first(self, n_words: int) -> Workload:
        """The workload with this ``max_vocabulary``."""
        return replace(self, counts=self.counts[:n_words])


def read_workload(tokens: Artifact, model: TrainedConfig, name: str = "NAME") -> Workload:
    """The workload of ``model`` (called ``name``) on ``tokens``.

    Raises VocabularyError when fewer than two words are left. Memory: the counts, and for FastText
    the words.
    """
    column = tokens.read("vocabulary", columns=["count"]).column("count")
    # to_numpy would import pandas.
    counts = np.asarray(np.from_dlpack(column.combine_chunks()), np.int64)
    n_words = n_kept_words(counts, model, name)
    words: Sequence[str] = ()
    if isinstance(model, FastTextConfig):
        column = tokens.read("vocabulary", columns=["token"]).column("token")
        words = column.slice(0, min(n_words, EXACT_WORDS)).to_pylist()
    return workload(model, words, counts[:n_words], tokens.rows("sentences"))


def workload(
    model: TrainedConfig, words: Sequence[str], counts: NDArray[np.int64], n_sentences: int
) -> Workload:
    """The workload of ``model`` on ``n_sentences`` sentences with these words and ``counts``.

    ``words`` has at least the first EXACT_WORDS of them, and is only used for FastText.
    """
    ngrams = None
    if isinstance(model, FastTextConfig) and model.max_n >= model.min_n:
        counted = words[:EXACT_WORDS]
        ngrams = count_ngrams(counted, len(counts), model.min_n, model.max_n, model.bucket)
    return Workload(counts, n_sentences, ngrams)


# -- memory and disk ---------------------------------------------------------------------------


def need(model: TrainedConfig, work: Workload, n_workers: int) -> Need:
    """What training ``model`` on ``work`` with ``n_workers`` threads needs."""
    engine: str = model.engine
    is_native = engine == "native"
    working = _WORKING_BYTES[model.trainer] if is_native else _GENSIM_WORKING_BYTES
    memory = [
        Part("interpreter and libraries", INTERPRETER_BYTES),
        Part("working memory", working),
        Part("tables being written", 4 * model.vector_size * _BLOCKS * _block_rows(work)),
        Part("vocabulary", work.n_words * _WORD_BYTES),
    ]
    if isinstance(model, GloVeConfig):
        return Need((*memory, *_glove_memory(model, work)), _glove_disk(model, work))
    matrices = _native_memory if is_native else _gensim_memory
    return Need((*memory, *matrices(model, work, n_workers)), _window_disk(model, work))


def _block_rows(work: Workload) -> int:
    return min(work.n_words, BLOCK_ROWS)


def _native_memory(
    model: Word2VecConfig | FastTextConfig, work: Workload, n_workers: int
) -> tuple[Part, ...]:
    """Rows padded to 16 floats; each of several workers copies the busiest rows twice."""
    row_bytes = 4 * -(-model.vector_size // _LANES) * _LANES
    n_words = work.n_words
    n_ngrams = work.ngrams.n_rows(n_words) if work.ngrams is not None else 0

    def n_copies(n_rows: int) -> int:
        return 2 * min(n_rows - 1, _COPIED_ROWS) * n_workers if n_workers > 1 else 0

    n_layers = int(model.negative > 0) + int(model.hs)
    parts = [
        Part("word rows", (n_words + n_copies(n_words + n_ngrams)) * row_bytes),
        Part("output rows", n_layers * (n_words + n_copies(n_words)) * row_bytes),
    ]
    if n_ngrams:
        parts.append(Part("n-gram rows", n_ngrams * row_bytes))
        parts.append(Part("n-grams of each word", n_words * _NGRAMS_BYTES))
    if model.hs:
        parts.append(Part("Huffman paths", int(n_words * 8 * (1 + np.log2(n_words)))))
    return tuple(parts)


def _gensim_memory(
    model: Word2VecConfig | FastTextConfig, work: Workload, n_workers: int
) -> tuple[Part, ...]:
    """The matrices, dictionaries and Huffman tree of gensim."""
    del n_workers
    n_words, row_bytes = work.n_words, 4 * model.vector_size
    n_layers = int(model.negative > 0) + int(model.hs)
    parts = [
        Part("word rows", n_words * row_bytes),
        Part("output rows", n_layers * n_words * row_bytes),
        Part("gensim's vocabulary", n_words * _GENSIM_WORD_BYTES),
    ]
    if work.ngrams is not None:
        parts.append(Part("n-gram rows", work.ngrams.n_rows(n_words) * row_bytes))
        parts.append(Part("n-grams of each word", n_words * _NGRAMS_BYTES))
    if isinstance(model, FastTextConfig):
        parts.append(Part("published vectors", n_words * row_bytes))
    if model.hs:
        parts.append(Part("Huffman tree", n_words * _GENSIM_NODE_BYTES))
    return tuple(parts)


def _glove_memory(model: GloVeConfig, work: Workload) -> tuple[Part, ...]:
    """Both layers with biases and accumulators; co-occurrences are streamed."""
    row_bytes = 4 * -(-(model.vector_size + _BIAS_LANES) // _LANES) * _LANES
    return (Part("vectors and accumulators of both layers", 4 * work.n_words * row_bytes),)


def _window_disk(model: Word2VecConfig | FastTextConfig, work: Workload) -> tuple[Part, ...]:
    row_bytes, n_words = 4 * model.vector_size, work.n_words
    n_layers = int(model.negative > 0) + int(model.hs)
    n_rows = n_words * (1 + n_layers)
    if isinstance(model, FastTextConfig):
        n_rows += n_words + (work.ngrams.n_rows(n_words) if work.ngrams else 0)
    parts = [Part("tables", n_rows * (row_bytes + 4) + _texts_bytes(work))]
    engine: str = model.engine
    if engine == "gensim":
        parts.append(Part("text files for gensim", work.n_tokens * _LINE_TOKEN_BYTES))
    return tuple(parts)


def _glove_disk(model: GloVeConfig, work: Workload) -> tuple[Part, ...]:
    n_values = work.n_words * (5 * model.vector_size + 4)
    return (Part("tables", 4 * n_values + 3 * _texts_bytes(work)),)


def _texts_bytes(work: Workload) -> int:
    """Size of a table of words and counts."""
    return 20 * work.n_words


def cooccurrences_at_most(work: Workload, window: int, *, is_symmetric: bool) -> int:
    """Non-zero cells of the co-occurrence matrix if words met at random.

    Real text repeats itself, so it has fewer. With P pairs within the window in total, words i and
    j with probabilities p and q meet Poisson(P p q) times: 1 - exp(-P p q) is the probability of a
    cell. Words are grouped by frequency.
    """
    n_pairs = pairs_within(work, window)
    edges = np.unique(np.geomspace(1, work.n_words + 1, _BINS).astype(np.int64)) - 1
    sizes = np.diff(edges).astype(np.float64)
    sums = np.add.reduceat(work.counts.astype(np.float64), edges[:-1])
    shares = sums / sizes / work.n_tokens
    met = (2.0 if is_symmetric else 1.0) * n_pairs * np.outer(shares, shares)
    return math.ceil(float(sizes @ -np.expm1(-met) @ sizes))


# -- what cannot fit -----------------------------------------------------------------------------


def check_fits(
    name: str, model: TrainedConfig, work: Workload, n_workers: int, resources: Resources
) -> None:
    """Raise ModelTooLarge when there is too little memory or disk for the model ``name``.

    The message says what is needed, what is available, and which values would fit.
    """
    needed = need(model, work, n_workers)
    capacity = resources.memory_capacity
    if needed.memory_bytes > capacity:
        raise ModelTooLarge(
            f"models.{name}: training needs about {gigabytes(needed.memory_bytes)} of memory and "
            f"{resources.memory_limit} has {gigabytes(capacity)} left "
            f"({largest_parts(needed.memory)}): "
            + _advice(name, model, work, lambda m, w: need(m, w, n_workers).memory_bytes, capacity)
        )
    if needed.disk_bytes > resources.disk_free:
        raise ModelTooLarge(
            f"models.{name}: training writes about {gigabytes(needed.disk_bytes)} and "
            f"{gigabytes(resources.disk_free)} are free where the artifacts are; free some "
            f"space, choose another pipeline.artifacts_dir, or: "
            + _advice(
                name,
                model,
                work,
                lambda m, w: need(m, w, n_workers).disk_bytes,
                resources.disk_free,
            )
        )


def _advice(
    name: str,
    model: TrainedConfig,
    work: Workload,
    bytes_of: Callable[[TrainedConfig, Workload], int],
    limit: int,
) -> str:
    """Which keys to change, with the largest values that fit, if any do."""

    def smaller(vector_size: int) -> TrainedConfig:
        return model.model_copy(update={"vector_size": vector_size})

    n_words = _largest(work.n_words, lambda n: bytes_of(model, work.first(n)) <= limit)
    size = _largest(model.vector_size, lambda n: bytes_of(smaller(n), work) <= limit)
    options = []
    if size >= 1:
        options.append(
            f"models.{name}.vector_size: {_rounded_down(size)} would fit (now {model.vector_size})"
        )
    if n_words >= 2:
        options.append(
            f"models.{name}.max_vocabulary: {_rounded_down(n_words)} would fit (now "
            f"{counted(work.n_words, 'word')}; a higher min_count has the same effect)"
        )
    if not options:
        return "no vector_size or max_vocabulary would fit alone; lower both, or free some room"
    if work.ngrams is not None:
        options.append(f"a smaller models.{name}.bucket or max_n means fewer n-gram rows")
    return "; ".join(options)


def _largest(most: int, fits: Callable[[int], bool]) -> int:
    """The largest number from 1 to ``most`` that ``fits``, or 0; smaller ones must fit too."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _rounded_down(value: int) -> int:
    """To two digits: 123,456 is 120,000."""
    unit = int(10 ** max(0, len(str(value)) - 2))
    return value // unit * unit


# -- what would learn nothing ----------------------------------------------------------------------


def subsampling_warning(name: str, model: TrainedConfig, work: Workload) -> str:
    """A warning if ``sample`` leaves less than one expected pair of words per epoch, else "".

    It is only a warning: the default is too low for a corpus of a few sentences, which trains
    nevertheless.
    """
    if isinstance(model, GloVeConfig):
        return ""
    kept = share_kept(work, model.sample)
    n_pairs = kept * kept * pairs_within(work, model.window)
    if n_pairs >= 1:
        return ""
    return (
        f"models.{name}.sample = {model.sample:g} keeps about {kept * work.n_tokens:.2g} of "
        f"{counted(work.n_tokens, 'token')} an epoch, so hardly two ever meet in a window: the "
        f"vectors stay near their random start; raise it, or set sample: 0"
    )


def share_kept(work: Workload, sample: float) -> float:
    """The average share of the tokens that subsampling keeps."""
    limits = keep_limits(work.counts, sample)
    return float(np.average(limits.astype(np.float64), weights=work.counts)) / (1 << 32)


def pairs_within(work: Workload, window: int) -> float:
    """Pairs of tokens at most ``window`` apart, if all sentences had the same length."""
    length = max(work.n_tokens / max(work.n_sentences, 1), 1.0)
    reach = min(float(window), length - 1.0)
    return work.n_tokens * (reach - reach * (reach + 1) / (2 * length))
