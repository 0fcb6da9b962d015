"""SIF and uSIF: sentence encoders that are precomputed as one row per word.

Both take the weighted mean of a text's word vectors, with more weight for rarer words, and then
remove the directions that all sentences of the corpus share:

- SIF (Arora, Liang and Ma 2017, openreview.net/forum?id=SyK00v5xx, algorithm 1): a word of
  probability p has weight a / (a + p); the first principal direction u is removed, v - u u'v.
- uSIF (Ethayarajh 2018, doi:10.18653/v1/W18-3012): a word has weight a / (a / 2 + p), with a
  from the vocabulary's size and the mean length of a sentence (section 3.2); of each of the first
  five directions c_i the share lambda_i is removed, its part of their squared singular values
  (section 3.3). Word vectors are used unchanged: the author's program divides each dimension by
  its norm over the words of the sentence, which a fixed row per word cannot do.

The removal is linear, so it is done once, on the words: row(w) = M weight(w) v(w) with M = I - sum
of lambda_i c_i c_i'. The mean of a text's rows is its SIF or uSIF vector. The rows are an
embeddings artifact like any other, so anything that encodes texts as the mean of their words then
encodes with SIF. The same is done for rows of n-grams, with p = 0.

The directions are the eigenvectors of the sum of v v' over all sentences of the corpus,
(vector_size, vector_size) in float64, uncentred as in the authors' programs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nightjar.config.models import SifConfig, UsifConfig
from nightjar.errors import VocabularyError
from nightjar.formats.embeddings import (
    NGRAMS,
    Embeddings,
    blocks,
    matrix_of,
    ngram_sizes,
    vector_array,
    write_vectors,
)
from nightjar.formats.model_files import write_words
from nightjar.progress import Progress
from nightjar.store import Artifact, Staging, schemas
from nightjar.wording import counted

logger = logging.getLogger(__name__)

Floats = NDArray[np.float64]
_BATCH_VALUES = 16_000_000
"""Values gathered at once for the words of some sentences: 64 MB."""
_MEAN_TOKENS = 32
"""Assumed tokens per sentence, to choose how many sentences to read at once."""


@dataclass(frozen=True, eq=False)
class _Words:
    """The base's words in the corpus.

    ``row_of`` int32: the row of each token id of the corpus, or -1; ``shares``: each row's word as
    a share of the corpus's tokens, 0 for a word that does not occur; ``n_tokens`` and ``n_found``:
    the running words of the corpus, and those of them that the base has.
    """

    row_of: NDArray[np.int32]
    shares: Floats
    n_tokens: int
    n_found: int


@dataclass(frozen=True, eq=False)
class Removal:
    """``directions``, (n, vector_size) unit vectors, and the share of each to remove."""

    directions: Floats
    shares: Floats

    @property
    def matrix(self) -> Floats:
        """M, (vector_size, vector_size), symmetric."""
        size = self.directions.shape[1]
        return np.eye(size) - (self.directions.T * self.shares) @ self.directions


def fit_encoder(
    name: str,
    model: SifConfig | UsifConfig,
    base: Artifact,
    tokens: Artifact,
    staging: Staging,
    progress: Progress,
) -> None:
    """Write ``vectors``, ``components`` and, where the base has them, ``ngrams``.

    Memory: the base's vectors twice, the vocabulary, and a batch of sentences. Raises
    VocabularyError when the corpus has none of the base's words.
    """
    embeddings = Embeddings.from_artifact(base)
    words = _find(embeddings, tokens)
    n_found = int(np.count_nonzero(words.shares))
    if n_found == 0:
        raise VocabularyError(
            f"models.{name}: none of the {counted(len(embeddings.tokens), 'word')} of "
            f"{model.model} occurs in the corpus, so there is nothing to weigh them by; is it in "
            f"another language or case?"
        )
    a = model.a if isinstance(model, SifConfig) else usif_a(words.shares, _mean_length(tokens))
    floor = a if isinstance(model, SifConfig) else a / 2
    weights = a / (floor + words.shares)
    weighted = (embeddings.matrix * weights[:, np.newaxis]).astype(np.float32)
    moments = _second_moments(weighted, words.row_of, tokens, name, progress)
    removal = common_directions(moments, model.components, all_of_each=isinstance(model, SifConfig))
    _write_vectors(staging, embeddings, weighted, removal)
    _write_components(staging, removal)
    write_words(tokens, staging)
    if sizes := ngram_sizes(base):
        _write_ngrams(staging, base, removal, a / floor)
        staging.report[NGRAMS] = asdict(sizes)
    staging.counts.update(
        vocabulary_kept=len(embeddings.tokens),
        words_not_in_corpus=len(embeddings.tokens) - n_found,
        tokens_kept=words.n_found,
        tokens_dropped_not_in_base=words.n_tokens - words.n_found,
        sentences=tokens.rows("sentences"),
    )
    staging.report.update(trainer=model.trainer, a=a, removed_shares=removal.shares.tolist())
    logger.info("%s: a = %.3g, %s removed", name, a, counted(len(removal.shares), "direction"))


def usif_a(shares: Floats, mean_length: float) -> float:
    """The a of uSIF from the words' shares (Ethayarajh 2018, equation 4 and above it).

    alpha is the share of words whose probability exceeds that of being met at least once in a
    uniform walk of ``mean_length`` steps; Z is half the number of words. At least one word counts.
    """
    shares = shares[shares > 0]
    n_words = len(shares)
    threshold = 1.0 - (1.0 - 1.0 / n_words) ** mean_length
    alpha = max(int(np.count_nonzero(shares > threshold)), 1) / n_words
    return float((1.0 - alpha) / (alpha * 0.5 * n_words)) or 1.0


def common_directions(moments: Floats, n_directions: int, *, all_of_each: bool) -> Removal:
    """The first eigenvectors of ``moments``, removed fully or by their share of the sum."""
    values, vectors = np.linalg.eigh(moments)
    n_directions = min(n_directions, int(np.count_nonzero(values > 0)))
    first = slice(None, -n_directions - 1, -1)
    values, directions = values[first][:n_directions], vectors.T[first][:n_directions]
    # An eigenvector's sign is arbitrary, so the largest value is made positive.
    largest = np.abs(directions).argmax(axis=1)
    directions = directions * np.sign(directions[np.arange(n_directions), largest])[:, np.newaxis]
    return Removal(directions, np.ones(n_directions) if all_of_each else values / values.sum())


def _find(embeddings: Embeddings, tokens: Artifact) -> _Words:
    table = tokens.read("vocabulary", columns=["token", "count"])
    counts = table.column("count").combine_chunks().to_numpy()
    ids = embeddings.ids
    rows = np.array([ids.get(word, -1) for word in table.column("token").to_pylist()], np.int32)
    shares = np.zeros(len(embeddings.tokens))
    n_tokens, found = int(counts.sum()), counts[rows >= 0]
    shares[rows[rows >= 0]] = found / n_tokens
    return _Words(rows, shares, n_tokens, int(found.sum()))


def _mean_length(tokens: Artifact) -> float:
    counts = tokens.read("vocabulary", columns=["count"]).column("count").to_numpy()
    return float(counts.sum()) / max(tokens.rows("sentences"), 1)


def _second_moments(
    weighted: NDArray[np.float32],
    row_of: NDArray[np.int32],
    tokens: Artifact,
    name: str,
    progress: Progress,
) -> Floats:
    """The sum of v v' over sentences, where v is the mean of the known words' weighted vectors."""
    size = weighted.shape[1]
    moments = np.zeros((size, size))
    progress.start(f"weigh {name}", tokens.rows("sentences"), "sentences")
    n_at_once = max(1, _BATCH_VALUES // (size * _MEAN_TOKENS))
    for batch in tokens.batches("sentences", ["token_ids"], n_at_once):
        column = batch.column("token_ids")
        offsets = column.offsets.to_numpy().astype(np.int64)
        rows = row_of[column.flatten().to_numpy()]
        is_known = rows >= 0
        ends = np.concatenate(([0], np.cumsum(is_known)))[offsets - offsets[0]]
        for means in _means(weighted, rows[is_known], ends):
            moments += (means.T @ means).astype(np.float64)
        progress.advance(len(batch))
    return moments


def _means(
    weighted: NDArray[np.float32], rows: NDArray[np.int32], ends: NDArray[np.int64]
) -> Iterator[NDArray[np.float32]]:
    """The mean of each sentence with a known word, some sentences at a time."""
    has_words = np.diff(ends) > 0
    starts, stops = ends[:-1][has_words], ends[1:][has_words]
    most = max(1, _BATCH_VALUES // weighted.shape[1])
    first = 0
    while first < len(starts):
        last = max(first + 1, int(np.searchsorted(stops, starts[first] + most, side="right")))
        span = slice(starts[first], stops[last - 1])
        offsets = starts[first:last] - starts[first]
        means = np.add.reduceat(weighted[rows[span]], offsets, axis=0)
        means /= (stops[first:last] - starts[first:last])[:, np.newaxis].astype(np.float32)
        yield means
        first = last


def _write_vectors(
    staging: Staging, embeddings: Embeddings, weighted: NDArray[np.float32], removal: Removal
) -> None:
    matrix = removal.matrix
    vectors = (
        (rows, (weighted[rows] @ matrix).astype(np.float32)) for rows in blocks(len(weighted))
    )
    size = weighted.shape[1]
    write_vectors(staging, embeddings.tokens, embeddings.counts, size, vectors)


def _write_components(staging: Staging, removal: Removal) -> None:
    n_directions, size = removal.directions.shape
    schema = schemas.components_schema(size)
    columns = [
        pa.array(np.arange(n_directions, dtype=np.int32)),
        pa.array(removal.shares),
        vector_array(removal.directions.astype(np.float32)),
    ]
    staging.write("components", pa.table(columns, schema=schema))


def _write_ngrams(staging: Staging, base: Artifact, removal: Removal, weight: float) -> None:
    schema = schemas.ngrams_schema(removal.directions.shape[1])
    matrix = weight * removal.matrix
    with staging.writer(NGRAMS, schema) as writer:
        for batch in base.batches(NGRAMS):
            rows = (matrix_of(batch) @ matrix).astype(np.float32)
            columns = [batch.column("bucket"), vector_array(rows)]
            writer.write_batch(pa.record_batch(columns, schema=schema))
