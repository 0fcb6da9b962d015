"""From a published embeddings artifact to a gensim model; saving and loading gensim's files."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from gensim.models import FastText, KeyedVectors, Word2Vec
from gensim.models.fasttext import FastTextKeyedVectors
from gensim.utils import SaveLoad
from numpy.typing import NDArray

from nightjar.errors import ArtifactDamaged, InputError, VocabularyError
from nightjar.files.paths import SPECIAL
from nightjar.formats.content import first_not_finite, first_repeated
from nightjar.formats.embeddings import Embeddings, matrix_of
from nightjar.formats.gensim.hyperparameters import (
    FASTTEXT,
    WORD2VEC,
    Hyperparameters,
    read_ngrams,
    read_settings,
    trained_with,
)
from nightjar.store import Artifact
from nightjar.store.schemas import EMBEDDINGS
from nightjar.wording import counted


def save_gensim(model: Word2Vec | KeyedVectors, path: Path) -> None:
    """Write ``model`` in gensim's format; large matrices become files beside ``path``.

    Raises InputError when ``path`` cannot be written.
    """
    try:
        model.save(str(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error


def load_gensim(path: Path) -> Word2Vec | KeyedVectors:
    """Load what gensim saved at ``path``, a pickle: loading it runs code that it contains.

    Raises InputError when it cannot be read, or was not saved by gensim.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise InputError(f"{path}: is {SPECIAL}; name a file that gensim saved")
    try:
        model = SaveLoad.load(str(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError) as error:
        raise InputError(f"{path}: is no model that gensim saved ({error})") from error
    if not isinstance(model, Word2Vec | KeyedVectors):
        raise InputError(f"{path}: holds a {type(model).__name__}, not word vectors of gensim")
    return model


def to_gensim(artifact: Artifact) -> Word2Vec | FastText | KeyedVectors:
    """The model as gensim would hold it after training: vectors, output layer, tree, counts.

    Word2Vec and FastText can be trained further (``train``, also after
    ``build_vocab(update=True)``), from the ``alpha`` and ``min_alpha`` of the manifest's config;
    ``comment`` names the artifact. GloVe, and any model without an output layer, becomes
    KeyedVectors with the counts as the attribute ``count``; FastText without an output layer
    becomes FastTextKeyedVectors.

    Words keep the artifact's order. Memory: all matrices of the model. FastText has a row for each
    of ``bucket`` n-grams, used or not, because gensim finds rows by hash alone: bucket x
    vector_size x 4 bytes (800 MB for 2,000,000 rows of 100). The system only allocates the pages
    that are touched, until the model is saved or copied.

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


def _read_vectors(artifact: Artifact) -> Embeddings:
    vectors = Embeddings.from_artifact(artifact)
    if not vectors.tokens:
        raise VocabularyError(f"{artifact.ref}: there are no words; train the model on more text")
    again = first_repeated(vectors.tokens)
    if again is not None:
        raise VocabularyError(f"{artifact.ref}: {again!r} has more than one vector")
    bad = first_not_finite(vectors.matrix)
    if bad is not None:
        raise InputError(
            f"{artifact.ref}: the vector of {vectors.tokens[bad]!r} holds NaN or infinite values; "
            f"train the model again with a lower learning rate"
        )
    vectors.matrix.setflags(write=True)  # gensim trains it
    return vectors


def _keyed_vectors(vectors: Embeddings) -> KeyedVectors:
    wv = KeyedVectors(vectors.matrix.shape[1])
    _install_words(wv, vectors)
    wv.vectors = vectors.matrix
    return wv


def _word2vec(artifact: Artifact, vectors: Embeddings) -> Word2Vec:
    settings = read_settings(artifact)
    model = Word2Vec(**settings.gensim_arguments(), min_count=1, sorted_vocab=0)
    _install_vocabulary(model, artifact, settings, vectors)
    model.wv.vectors = vectors.matrix
    _install_output_layers(model, artifact)
    return model


def _fasttext(artifact: Artifact, vectors: Embeddings) -> FastText:
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


def _fasttext_vectors(artifact: Artifact, vectors: Embeddings) -> FastTextKeyedVectors:
    ngrams = read_ngrams(artifact)
    bucket = ngrams.bucket if ngrams.are_on else 0
    wv = FastTextKeyedVectors(vectors.matrix.shape[1], ngrams.min_n, ngrams.max_n, bucket)
    _install_words(wv, vectors)
    wv.vectors_vocab_lockf = np.ones(1, np.float32)
    wv.vectors_ngrams_lockf = np.ones(1, np.float32)
    _install_ngram_rows(wv, artifact, vectors)
    return wv


def _install_words(wv: KeyedVectors, vectors: Embeddings) -> None:
    wv.index_to_key = list(vectors.tokens)
    wv.key_to_index = {token: row for row, token in enumerate(vectors.tokens)}
    wv.next_index = len(vectors.tokens)
    wv.allocate_vecattrs(attrs=["count"], types=[int])
    wv.expandos["count"][:] = vectors.counts


def _install_vocabulary(
    model: Word2Vec, artifact: Artifact, settings: Hyperparameters, vectors: Embeddings
) -> None:
    """Let gensim compute what follows from the counts, and mark the model as trained.

    Subsampling, the noise distribution and the Huffman tree come from gensim's own
    ``prepare_vocab``, without the random matrices that ``build_vocab`` would draw. Trimming and
    sorting are off while it runs.
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


def _install_ngram_rows(wv: Any, artifact: Artifact, vectors: Embeddings) -> None:
    """Install word rows, n-gram rows, and the published vectors, which are the means of both."""
    wv.vectors_vocab = _read_word_rows(artifact, vectors.tokens)
    wv.vectors_ngrams = _read_ngram_rows(artifact, wv.bucket)
    wv.recalc_char_ngram_buckets()
    # Without n-grams gensim trains the vectors themselves: one matrix with two names.
    wv.vectors = vectors.matrix if wv.bucket else wv.vectors_vocab


def _install_output_layers(model: Word2Vec, artifact: Artifact) -> None:
    """Install the output layers; gensim's tree has one row more than inner nodes."""
    n_words = len(model.wv)
    if model.negative:
        model.syn1neg = _read_layer(artifact, "negative", n_words, n_words)
    if model.hs:
        model.syn1 = _read_layer(artifact, "hs", n_words, n_words - 1)


def _read_word_rows(artifact: Artifact, tokens: Sequence[str]) -> NDArray[np.float32]:
    """FastText's own row of each of ``tokens``.

    Raises ArtifactDamaged when the table has other tokens.
    """
    matrix = np.empty((len(tokens), _vector_size(artifact, "word_rows")), np.float32)
    n_read = 0
    for batch in artifact.batches("word_rows"):
        span = slice(n_read, n_read + len(batch))
        if batch.column("token").to_pylist() != list(tokens[span]):
            raise _mismatch(artifact, "the words of word_rows are not those of vectors")
        matrix[span] = matrix_of(batch)
        n_read = span.stop
    if n_read != len(tokens):
        raise _mismatch(
            artifact, f"word_rows has {counted(n_read, 'row')} for {counted(len(tokens), 'word')}"
        )
    return matrix


def _read_ngram_rows(artifact: Artifact, n_buckets: int) -> NDArray[np.float32]:
    """The full matrix of ``n_buckets`` rows; a bucket that is not in the table is zero."""
    matrix = np.zeros((n_buckets, _vector_size(artifact, "ngrams")), np.float32)
    for batch in artifact.batches("ngrams"):
        buckets = batch.column("bucket").to_numpy()
        _check_rows(artifact, "ngrams", buckets, n_buckets)
        matrix[buckets] = matrix_of(batch)
    return matrix


def _read_layer(artifact: Artifact, kind: str, n_rows: int, n_expected: int) -> NDArray[np.float32]:
    """The output rows of ``kind``, in a matrix of ``n_rows``: the first ``n_expected`` of them.

    Raises ArtifactDamaged unless the table has exactly these.
    """
    matrix = np.zeros((n_rows, _vector_size(artifact, "output_vectors")), np.float32)
    n_read = 0
    for batch in artifact.batches("output_vectors"):
        found = batch.filter(pc.equal(batch.column("kind"), kind))
        rows = found.column("row").to_numpy()
        _check_rows(artifact, "output_vectors", rows, n_expected)
        matrix[rows] = matrix_of(found)
        n_read += len(found)
    if n_read != n_expected:
        raise _mismatch(
            artifact,
            f"output_vectors has {counted(n_read, 'row')} of kind {kind}, not {n_expected}",
        )
    return matrix


def _vector_size(artifact: Artifact, table: str) -> int:
    return int(artifact.schema(table).field("vector").type.list_size)


def _check_rows(artifact: Artifact, table: str, rows: NDArray[Any], n_rows: int) -> None:
    if len(rows) and not 0 <= rows.min() <= rows.max() < n_rows:
        raise _mismatch(artifact, f"{table} numbers a row outside 0 to {n_rows - 1}")


def _mismatch(artifact: Artifact, problem: str) -> ArtifactDamaged:
    return ArtifactDamaged(
        f"{artifact.ref}: {problem}; train or import the model again, this one cannot be used"
    )
