"""The health of a model's vectors, without any benchmark.

- ``isotropy``: whether all directions are used, 0 to 1. The least over the largest partition
  function along the principal directions (Mu and Viswanath 2018, equation 7). Near 0 the vectors
  lie in a cone.
- ``hubness``: the skewness of how often a word is among the ten nearest of others (Radovanovic,
  Nanopoulos and Ivanovic 2010, section 2). When it is large, a few words are near everything.
- ``norm_frequency``: Spearman's correlation of a vector's length and its word's count. Near 1 or -1
  a length says nothing but the frequency.
- ``zero_vectors``: the share of words whose vector is zero.
- ``known_ngrams``: for a model with n-grams, the share of the n-grams of benchmark words outside
  the vocabulary that have a vector. Near 0 unknown words get no meaning.
- ``text_coverage``: for a model that is made from a text, the share of the text's running words
  that have a vector. Low when ``min_count`` or ``max_vocabulary`` cut too much, or when the
  imported vectors that an encoder is made from do not fit the text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nightjar.model.lookup import VectorModel
from nightjar.model.lookup.nearest import nearest_rows, unit_rows
from nightjar.scoring import metrics

ISOTROPY = "isotropy"
HUBNESS = "hubness"
NORM_FREQUENCY = "norm_frequency"
ZERO_VECTORS = "zero_vectors"
KNOWN_NGRAMS = "known_ngrams"
TEXT_COVERAGE = "text_coverage"

_MAX_ISOTROPY_WORDS = 50_000
_MAX_HUBNESS_WORDS = 10_000
_NEAREST = 10


@dataclass(frozen=True)
class Measured:
    """One measure; ``value`` is None where it is not defined."""

    measure: str
    value: float | None
    n_words: int
    """Words that it was measured on."""


def measure_health(
    model: VectorModel, n_words: int, unknown: Iterable[str], counts: Mapping[str, int]
) -> list[Measured]:
    """Every measure, over the ``n_words`` most frequent words of ``model``.

    ``unknown`` are words outside the vocabulary, for the n-grams; ``counts`` are those of the
    embeddings' manifest. Isotropy is measured on the 50,000 most frequent words, hubness on the
    10,000 most frequent. In memory: the vectors of those.
    """
    n_words = min(n_words, len(model.table))
    frequencies = model.table.counts[:n_words].astype(np.float64)
    lengths = model.table.norms[:n_words].astype(np.float64)
    n_isotropy = min(n_words, _MAX_ISOTROPY_WORDS)
    n_hubness = min(n_words, _MAX_HUBNESS_WORDS)
    found = [
        Measured(ISOTROPY, isotropy(model.table.vectors[:n_isotropy]), n_isotropy),
        Measured(HUBNESS, hubness(model.table.vectors[:n_hubness]), n_hubness),
        Measured(NORM_FREQUENCY, metrics.score(metrics.SPEARMAN, lengths, frequencies), n_words),
        Measured(ZERO_VECTORS, float(np.mean(lengths == 0)), n_words),
    ]
    if model.subwords is not None:
        words = list(unknown)
        parts = [model.subwords.n_known(word) for word in words]
        n_ngrams = sum(n_all for _, n_all in parts)
        share = sum(n_known for n_known, _ in parts) / n_ngrams if n_ngrams else None
        found.append(Measured(KNOWN_NGRAMS, share, len(words)))
    coverage = text_coverage(counts)
    if coverage is not None:
        found.append(Measured(TEXT_COVERAGE, coverage, len(model.table)))
    return found


def text_coverage(counts: Mapping[str, int]) -> float | None:
    """The share of the running words of a text that training kept, by its counts.

    None for imported vectors, which are made from no text.
    """
    kept = counts.get("tokens_kept", 0)
    dropped = [n for name, n in counts.items() if name.startswith("tokens_dropped_")]
    n_words = kept + sum(dropped)
    return kept / n_words if dropped and n_words else None


def isotropy(vectors: NDArray[np.float32]) -> float | None:
    """Least over largest sum of exp(c . v) over the rows v, for the principal directions c.

    Rows have length one here, so that a few long ones do not decide. None when all are zero.
    """
    units = unit_rows(vectors)
    units = units[units.any(axis=1)]
    if not len(units):
        return None
    gram = units.T.astype(np.float64) @ units.astype(np.float64)
    _, directions = np.linalg.eigh(gram)
    sums = np.zeros(2 * directions.shape[1])
    for start in range(0, len(units), 8_192):
        along = units[start : start + 8_192] @ directions.astype(np.float32)
        along = along.astype(np.float64)
        # A direction has no sign.
        sums += np.concatenate([np.exp(along).sum(axis=0), np.exp(-along).sum(axis=0)])
    return float(sums.min() / sums.max())


def hubness(vectors: NDArray[np.float32]) -> float | None:
    """Skewness of the number of words that have a word among their ten nearest.

    None for fewer than 12 words, or when all numbers are equal.
    """
    n_words = len(vectors)
    if n_words < _NEAREST + 2:
        return None
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    answers = nearest_rows(
        np.ascontiguousarray(vectors),
        lengths.astype(np.float32),
        np.ascontiguousarray(vectors),
        _NEAREST,
        [[row] for row in range(n_words)],
    )
    rows = np.concatenate([answer.rows for answer in answers])
    times = np.bincount(rows, minlength=n_words).astype(np.float64)
    spread = times.std()
    if spread == 0:
        return None
    return float(np.mean(((times - times.mean()) / spread) ** 3))
