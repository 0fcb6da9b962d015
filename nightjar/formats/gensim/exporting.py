"""A published embeddings artifact becomes a gensim model; gensim's own files, saved and loaded."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gensim.models import FastText, KeyedVectors, Word2Vec
from gensim.models.fasttext import FastTextKeyedVectors
from gensim.utils import SaveLoad
from numpy.typing import NDArray

from nightjar.errors import InputError, VocabularyError
from nightjar.formats.gensim.hyperparameters import (
    FASTTEXT,
    WORD2VEC,
    Hyperparameters,
    read_ngrams,
    read_settings,
    trained_with,
)
from nightjar.formats.gensim.reading_matrices import read_layer, read_word_rows
from nightjar.formats.gensim.reading_matrices import read_ngrams as read_ngram_rows
from nightjar.store import Artifact
from nightjar.store.schemas import EMBEDDINGS


def save_gensim(model: Word2Vec | KeyedVectors, path: Path) -> None:
    """Write ``model`` as gensim does; large matrices become files beside ``path``.

    Raises InputError when the place cannot be written.
    """
    try:
        model.save(str(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error


def load_gensim(path: Path) -> Word2Vec | KeyedVectors:
    """What gensim saved at ``path``. The file is a pickle: loading one runs what it says.

    Raises InputError when it cannot be read, or is nothing that gensim saved.
    """
    try:
        model = SaveLoad.load(str(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError) as error:
        raise InputError(f"{path}: is no model that gensim saved ({error})") from error
    if not isinstance(model, Word2Vec | KeyedVectors):
        raise InputError(f"{path}: holds a {type(model).__name__}, not word vectors of gensim")
    return model


@dataclass(frozen=True, eq=False)
class _Vectors:
    """``tokens[i]`` occurs ``counts[i]`` times and has the vector ``matrix[i]``."""

    tokens: list[str]
    counts: NDArray[np.int64]
    matrix: NDArray[np.float32]


def to_gensim(artifact: Artifact) -> Word2Vec | FastText | KeyedVectors:
    """The model as gensim would hold it after training: vectors, output layer, tree, counts.

    Word2Vec and FastText go on training (``train``, also after ``build_vocab(update=True)``)
    from the ``alpha`` and ``min_alpha`` of the manifest's config; ``comment`` names the
    artifact. GloVe, and whatever has no output layer, becomes KeyedVectors with the counts as
    the attribute ``count``; FastText without one FastTextKeyedVectors.

    The words keep the order of the artifact. In memory: all matrices of the model. FastText
    has a row for each of ``bucket`` n-grams, used or not, since gensim finds rows by the
    hash alone: bucket x vector_size x 4 bytes (800 MB for 2,000,000 rows of 100), of which the
    system gives only the pages that are touched, until the model is saved or copied.

    Raises InputError for an artifact of another stage, VocabularyError for one without words,
    ArtifactMissing and ArtifactDamaged.
    """
    if artifact.ref.stage != EMBEDDINGS:
        raise InputError(f"{artifact.ref} has no vectors; name an artifact of the stage embeddings")
    vectors = _read_vectors(artifact)
    trainer = trained_with(artifact).get("trainer")
    is_trainable = artifact.has_table("output_vectors")
    if trainer == FASTTEXT:
        return (
            _fasttext(artifact, vectors) if is_trainable else _fasttext_vectors(artifact, vectors)
        )
    if trainer == WORD2VEC and is_trainable:
        return _word2vec(artifact, vectors)
    return _keyed_vectors(vectors)


def _read_vectors(artifact: Artifact) -> _Vectors:
    table = artifact.read("vectors")
    if not len(table):
        raise VocabularyError(f"{artifact.ref}: there are no words; train the model on more text")
    tokens = table.column("token").to_pylist()
    seen: set[str] = set()
    for token in tokens:
        if token in seen:
            raise VocabularyError(f"{artifact.ref}: {token!r} has more than one vector")
        seen.add(token)
    counts = table.column("count").to_numpy().astype(np.int64, copy=False)
    size = table.schema.field("vector").type.list_size
    matrix = np.empty((len(table), size), np.float32)
    n_read = 0
    for chunk in table.column("vector").chunks:
        values = chunk.flatten().to_numpy(zero_copy_only=False).reshape(len(chunk), size)
        is_bad = ~np.isfinite(values).all(axis=1)
        if is_bad.any():
            token = tokens[n_read + int(np.argmax(is_bad))]
            raise InputError(
                f"{artifact.ref}: the vector of {token!r} holds NaN or infinite values; train the "
                f"model again with a lower learning rate"
            )
        matrix[n_read : n_read + len(chunk)] = values
        n_read += len(chunk)
    return _Vectors(tokens, counts, matrix)


def _keyed_vectors(vectors: _Vectors) -> KeyedVectors:
    wv = KeyedVectors(vectors.matrix.shape[1])
    _install_words(wv, vectors)
    wv.vectors = vectors.matrix
    return wv


def _word2vec(artifact: Artifact, vectors: _Vectors) -> Word2Vec:
    settings = read_settings(artifact)
    model = Word2Vec(**settings.gensim_arguments(), min_count=1, sorted_vocab=0)
    _install_vocabulary(model, artifact, settings, vectors)
    model.wv.vectors = vectors.matrix
    _install_output_layers(model, artifact)
    return model


def _fasttext(artifact: Artifact, vectors: _Vectors) -> FastText:
    settings, ngrams = read_settings(artifact), read_ngrams(artifact)
    model = FastText(
        **settings.gensim_arguments(),
        min_n=ngrams.min_n,
        max_n=ngrams.max_n,
        bucket=ngrams.bucket,
        min_count=1,
        sorted_vocab=0,
    )
    _install_vocabulary(model, artifact, settings, vectors)
    _install_ngram_rows(model.wv, artifact, vectors)
    _install_output_layers(model, artifact)
    return model


def _fasttext_vectors(artifact: Artifact, vectors: _Vectors) -> FastTextKeyedVectors:
    ngrams = read_ngrams(artifact)
    bucket = ngrams.bucket if ngrams.are_on else 0
    wv = FastTextKeyedVectors(vectors.matrix.shape[1], ngrams.min_n, ngrams.max_n, bucket)
    _install_words(wv, vectors)
    wv.vectors_vocab_lockf = np.ones(1, np.float32)
    wv.vectors_ngrams_lockf = np.ones(1, np.float32)
    _install_ngram_rows(wv, artifact, vectors)
    return wv


def _install_words(wv: KeyedVectors, vectors: _Vectors) -> None:
    wv.index_to_key = vectors.tokens
    wv.key_to_index = {token: row for row, token in enumerate(vectors.tokens)}
    wv.next_index = len(vectors.tokens)
    wv.allocate_vecattrs(attrs=["count"], types=[int])
    wv.expandos["count"][:] = vectors.counts


def _install_vocabulary(
    model: Word2Vec, artifact: Artifact, settings: Hyperparameters, vectors: _Vectors
) -> None:
    """Have gensim compute what follows from the counts, and say that it has been trained.

    Subsampling, the noise distribution and the Huffman tree come from gensim's own
    ``prepare_vocab``, without the random matrices that ``build_vocab`` would draw. While it
    runs, nothing may be trimmed or sorted.
    """
    model.raw_vocab = dict(zip(vectors.tokens, vectors.counts.tolist(), strict=True))
    model.prepare_vocab()
    model.sorted_vocab = 1
    model.min_count = model.effective_min_count = settings.min_count
    model.max_final_vocab = settings.max_vocabulary
    counts = artifact.manifest.counts
    dropped = [value for name, value in counts.items() if name.startswith("tokens_dropped_")]
    model.corpus_count = counts.get("sentences", 0)
    model.corpus_total_words = counts.get("tokens_kept", int(vectors.counts.sum())) + sum(dropped)
    model.min_alpha_yet_reached = settings.min_alpha
    model.train_count = 1
    model.comment = f"nightjar {artifact.ref}"


def _install_ngram_rows(wv: Any, artifact: Artifact, vectors: _Vectors) -> None:
    """Word rows, n-gram rows, and the published vectors, which are the means of both."""
    wv.vectors_vocab = read_word_rows(artifact, vectors.tokens)
    wv.vectors_ngrams = read_ngram_rows(artifact, wv.bucket)
    wv.recalc_char_ngram_buckets()
    # Without n-grams gensim trains the vectors themselves: one matrix under two names.
    wv.vectors = vectors.matrix if wv.bucket else wv.vectors_vocab


def _install_output_layers(model: Word2Vec, artifact: Artifact) -> None:
    """In gensim the tree has a row more than it has inner nodes."""
    n_words = len(model.wv)
    if model.negative:
        model.syn1neg = read_layer(artifact, "negative", n_words, n_words)
    if model.hs:
        model.syn1 = read_layer(artifact, "hs", n_words, n_words - 1)
