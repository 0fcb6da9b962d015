"""Fine-tuning: a model with ``init_from`` starts from the vectors of its base.

The base is an embeddings artifact, trained here or imported. Its words are added to the vocabulary
of the corpus (:meth:`.Vocabulary.extended`), its rows initialize those of the same words, and its
output layer of negative sampling is used too, if it has one. A Huffman tree depends on the counts,
so its layer starts at zero. Anything that the base lacks starts as it would without a base.

A model with ``space: warm`` starts from its anchor in the same way, but with the words of its
corpus alone: a word that is gone from the text goes from the model. With ``space: compass`` only
the output layer comes from the anchor, and those rows do not move (Di Carlo et al. 2019,
arXiv:1906.02376): the words are learned against them, so they land in the anchor's coordinates.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from nightjar.config.models import FastTextConfig, TrainedConfig
from nightjar.errors import InputError
from nightjar.formats.embeddings import matrix_of, ngram_sizes
from nightjar.stages.train.model_corpus import Vocabulary
from nightjar.store import Artifact
from nightjar.wording import counted


def check_base(name: str, model: TrainedConfig, base: Artifact) -> None:
    """Raise InputError when ``model`` cannot start from ``base``."""
    size = int(base.schema("vectors").field("vector").type.list_size)
    if size != model.vector_size:
        raise InputError(
            f"models.{name}.vector_size is {model.vector_size}, and {model.init_from}, which it "
            f"starts from, has vectors of {counted(size, 'value')}; set it to {size}"
        )
    if not isinstance(model, FastTextConfig) or model.max_n < model.min_n:
        return
    sizes = ngram_sizes(base)
    if sizes is None:
        raise InputError(
            f"models.{name} learns n-grams, and {model.init_from}, which it starts from, has "
            f"none; start from a FastText model, or set max_n: 0"
        )
    if (sizes.min_n, sizes.max_n, sizes.bucket) != (model.min_n, model.max_n, model.bucket):
        raise InputError(
            f"models.{name}: set min_n: {sizes.min_n}, max_n: {sizes.max_n} and bucket: "
            f"{sizes.bucket}, those of {model.init_from}, which it starts from"
        )


def base_words(base: Artifact) -> Iterator[str]:
    """The words of ``base``, most frequent first."""
    for batch in base.batches("vectors", ["token"]):
        yield from batch.column("token").to_pylist()


def base_places(base: Artifact, vocabulary: Vocabulary) -> NDArray[np.int64]:
    """The row in ``vocabulary`` of each word of ``base``, int64; -1 for one that it lacks."""
    row_of = {word: row for row, word in enumerate(vocabulary.words)}
    return np.array([row_of.get(word, -1) for word in base_words(base)], np.int64)


def start_words(base: Artifact, vocabulary: Vocabulary, rows: NDArray[np.float32]) -> None:
    """Copy the vectors of ``base`` into ``rows``, which has a row for each vocabulary word.

    Memory: the positions of the words, one row group of vectors.
    """
    places = base_places(base, vocabulary)
    n_read = 0
    for batch in base.batches("vectors", ["vector"]):
        found = places[n_read : n_read + len(batch)]
        rows[found[found >= 0]] = matrix_of(batch)[found >= 0]
        n_read += len(batch)


def start_outputs(
    base: Artifact, vocabulary: Vocabulary, rows: NDArray[np.float32]
) -> NDArray[np.int64]:
    """The same for the output rows of negative sampling, if both models have them.

    Returns the rows that were set.
    """
    if not (base.has_table("output_vectors") and len(rows)):
        return np.zeros(0, np.int64)
    places = base_places(base, vocabulary)
    filled = []
    for batch in base.batches("output_vectors"):
        is_negative = np.array(batch.column("kind").to_pylist()) == "negative"
        found = places[batch.column("row").to_numpy()[is_negative]]
        rows[found[found >= 0]] = matrix_of(batch)[is_negative][found >= 0]
        filled.append(found[found >= 0])
    return np.concatenate(filled) if filled else np.zeros(0, np.int64)


def hold_outputs(
    compass: Artifact, vocabulary: Vocabulary, rows: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Copy the output rows of ``compass``; returns how far each row may move: 0 for those, else 1.

    float32 (n_words,). A word that the compass lacks has a free row.
    """
    moves = np.ones(len(vocabulary), np.float32)
    moves[start_outputs(compass, vocabulary, rows)] = 0.0
    return moves


def start_ngrams(
    base: Artifact,
    buckets: NDArray[np.int32],
    row_of_bucket: NDArray[np.int64],
    rows: NDArray[np.float32],
) -> None:
    """The same for n-grams: ``buckets``, ascending, are at ``rows[row_of_bucket]``."""
    if not base.has_table("ngrams") or len(buckets) == 0:
        return
    for batch in base.batches("ngrams"):
        wanted = batch.column("bucket").to_numpy()
        places = np.minimum(np.searchsorted(buckets, wanted), len(buckets) - 1)
        is_used = buckets[places] == wanted
        rows[row_of_bucket[places[is_used]]] = matrix_of(batch)[is_used]
