"""Word2Vec and FastText by gensim; besides this, only ``nightjar.formats.gensim`` imports it.

gensim gets a vocabulary of decimal ids in our order with our counts, and a file per worker
(:mod:`.line_sentences`). With one worker the vectors are, byte for byte, those of
``gensim.models.Word2Vec`` or ``FastText`` trained from one ``corpus_file`` of fewer than 10,000
words with the same vocabulary order; beyond that size gensim drops words, and this engine does not.

FastText only gets the n-gram rows that the vocabulary uses, numbered densely, instead of all
``bucket`` rows: 2,000,000 rows of 100 take 800 MB, the 100,000 used ones 40 MB. Training reads rows
only through ``wv.buckets_word``, so the result is the same; rows start with the values that gensim
would have given them.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Sequence
from queue import Queue
from typing import Any

import numpy as np
from gensim.models import FastText, Word2Vec
from gensim.models.callbacks import CallbackAny2Vec
from gensim.models.fasttext import ft_ngram_hashes
from numpy.typing import NDArray

from nightjar.config.models import FastTextConfig, Word2VecConfig
from nightjar.errors import TrainingError
from nightjar.formats.embeddings import (
    blocks,
    stretches,
    write_ngrams,
    write_output_vectors,
    write_vectors,
    write_word_rows,
)
from nightjar.progress import Progress
from nightjar.stages.train.line_sentences import BATCH_WORDS, LineFile, line_files
from nightjar.stages.train.model_corpus import Vocabulary
from nightjar.stages.train.trainer import TrainingJob, check_finite

_KEEP_EVERY_WORD = 0.999_999
"""A subsampling threshold at which no word is ever dropped."""


class _PerWorkerFiles:
    """Lets worker i read all of file i instead of a share of one file's bytes.

    Also lets a worker that fails end the epoch: gensim would wait for it forever.
    """

    workers: int
    files: Sequence[LineFile]
    failure: BaseException | None = None

    def _worker_loop_corpusfile(
        self,
        corpus_file: str,
        thread_id: int,
        offset: float,
        cython_vocab: object,
        progress_queue: Queue[object],
        **kwargs: object,
    ) -> None:
        try:
            super()._worker_loop_corpusfile(  # type: ignore[misc]
                corpus_file, thread_id, offset, cython_vocab, progress_queue, **kwargs
            )
        except Exception as error:  # noqa: BLE001 (the training thread raises it)
            self.failure = error
            progress_queue.put(None)

    def _do_train_epoch(
        self, corpus_file: str, thread_id: int, offset: float, *args: object, **kwargs: object
    ) -> tuple[int, int, int]:
        del corpus_file, offset
        file = self.files[thread_id]
        # A worker stops after total_words / workers words: make sure that its file ends first.
        kwargs |= {"total_examples": file.n_lines, "total_words": self.workers * (file.n_words + 1)}
        result: tuple[int, int, int] = super()._do_train_epoch(  # type: ignore[misc]
            str(file.path), thread_id, 0, *args, **kwargs
        )
        return result


class _Word2Vec(_PerWorkerFiles, Word2Vec):  # type: ignore[misc]
    """gensim's Word2Vec with a file per worker."""


class _FastText(_PerWorkerFiles, FastText):  # type: ignore[misc]
    """gensim's FastText with a file per worker."""


class _EpochEnd(CallbackAny2Vec):  # type: ignore[misc]
    """Checks for NaN and reports progress after each epoch; gensim reports nothing within one."""

    def __init__(
        self, model: Word2VecConfig | FastTextConfig, n_words: int, progress: Progress
    ) -> None:
        self._model = model
        self._n_words = n_words
        self._progress = progress
        self._started_at = time.monotonic()
        self.epoch_seconds: list[float] = []

    def on_epoch_begin(self, model: _Word2Vec | _FastText) -> None:
        del model
        self._started_at = time.monotonic()

    def on_epoch_end(self, model: _Word2Vec | _FastText) -> None:
        seconds = time.monotonic() - self._started_at
        self.epoch_seconds.append(round(seconds, 3))
        epoch = len(self.epoch_seconds)
        if model.failure is not None:
            raise TrainingError(
                f"a worker of gensim failed in epoch {epoch}: {model.failure!r}; with fewer "
                f"workers or a smaller model it may fit. Nothing was published"
            ) from model.failure
        check_finite(_trained_matrices(model), epoch, f"lower alpha (now {self._model.alpha:g})")
        config = self._model
        learning_rate = config.alpha - (config.alpha - config.min_alpha) * epoch / config.epochs
        self._progress.advance(
            self._n_words,
            f"epoch {epoch}/{config.epochs}, {self._n_words / max(seconds, 1e-9):,.0f} words/s, "
            f"learning rate {learning_rate:.4f}",
        )


def train_word2vec(job: TrainingJob[Word2VecConfig]) -> None:
    """Train Word2Vec (Mikolov et al. 2013) and write ``vectors`` and ``output_vectors``."""
    n_workers = _useful_workers(job)
    model = _Word2Vec(**_parameters(job, n_workers))
    model.build_vocab_from_freq(_frequencies(job.corpus.vocabulary))
    _fit(model, job)
    _write(job, model)


def train_fasttext(job: TrainingJob[FastTextConfig]) -> None:
    """Train FastText (Bojanowski et al. 2017) and write its four tables."""
    config, vocabulary = job.model, job.corpus.vocabulary
    n_workers = _useful_workers(job)
    model = _FastText(**_parameters(job, n_workers), bucket=0)
    model.build_vocab_from_freq(_frequencies(vocabulary))
    used_buckets = _install_ngrams(model.wv, vocabulary.words, config, job.seed)
    _fit(model, job)
    job.staging.counts["ngram_buckets_used"] = len(used_buckets)
    _write(job, model)
    size = config.vector_size
    write_word_rows(job.staging, vocabulary.words, size, stretches(model.wv.vectors_vocab))
    write_ngrams(job.staging, used_buckets, size, stretches(model.wv.vectors_ngrams))


def _write(
    job: TrainingJob[Word2VecConfig] | TrainingJob[FastTextConfig], model: _Word2Vec | _FastText
) -> None:
    """Write the tables that all models have."""
    size, vocabulary = job.model.vector_size, job.corpus.vocabulary
    vectors = stretches(model.wv.vectors)
    write_vectors(job.staging, vocabulary.words, vocabulary.counts, size, vectors)
    layers = _output_layers(model)
    write_output_vectors(job.staging, size, {kind: stretches(layers[kind]) for kind in layers})


def _parameters(
    job: TrainingJob[Word2VecConfig] | TrainingJob[FastTextConfig], n_workers: int
) -> dict[str, Any]:
    """Constructor arguments shared by gensim's two models.

    There are two corrections. gensim reads ``sample`` from 1 up as a word count, while the paper's
    formula then keeps every word. And with neither negative sampling nor subsampling it never sets
    its random state, although windows are drawn from it, so subsampling stays on with a threshold
    that keeps every word.
    """
    config = job.model
    sample = config.sample if config.sample < 1 else 0.0
    return {
        "vector_size": config.vector_size,
        "window": config.window,
        "min_count": 1,
        "sg": int(config.architecture == "skipgram"),
        "hs": int(config.hs),
        "negative": config.negative,
        "ns_exponent": config.ns_exponent,
        "sample": sample if sample or config.negative else _KEEP_EVERY_WORD,
        "alpha": config.alpha,
        "min_alpha": config.min_alpha,
        "cbow_mean": int(config.cbow_mean),
        "shrink_windows": config.shrink_windows,
        "epochs": config.epochs,
        "seed": job.seed,
        "workers": n_workers,
        # We order by count already; gensim's own sorting would reverse ties.
        "sorted_vocab": 0,
    }


def _useful_workers(job: TrainingJob[Word2VecConfig] | TrainingJob[FastTextConfig]) -> int:
    """At most one worker per batch: with fewer batches, threads only get in each other's way."""
    n_workers = max(1, min(job.n_workers, job.size.n_tokens_with_context // BATCH_WORDS))
    job.staging.report["n_workers"] = n_workers
    return n_workers


def _frequencies(vocabulary: Vocabulary) -> dict[str, int]:
    """Count of each word, by its id in decimal, in vocabulary order."""
    return {str(row): count for row, count in enumerate(vocabulary.counts.tolist())}


def _fit(
    model: _Word2Vec | _FastText,
    job: TrainingJob[Word2VecConfig] | TrainingJob[FastTextConfig],
) -> None:
    """Train ``model`` in place and report words and speed."""
    n_tokens = job.size.n_tokens_with_context
    epoch_end = _EpochEnd(job.model, n_tokens, job.progress)
    with line_files(
        job.corpus, job.size, model.workers, job.staging.directory, job.progress
    ) as files:
        model.files = files
        job.progress.start("train", n_tokens * job.model.epochs, "words")
        n_trained, _ = model.train(
            corpus_file=str(files[0].path),
            total_examples=sum(file.n_lines for file in files),
            total_words=sum(file.n_words for file in files),
            epochs=job.model.epochs,
            callbacks=[epoch_end],
        )
    seconds = sum(epoch_end.epoch_seconds)
    job.staging.report.update(
        words_trained=int(n_trained),
        epoch_seconds=epoch_end.epoch_seconds,
        words_per_second=round(n_tokens * job.model.epochs / max(seconds, 1e-9)),
    )
    # FastText computes this after the last epoch, from rows that were already checked.
    check_finite(
        {"vectors": model.wv.vectors}, job.model.epochs, f"lower alpha (now {job.model.alpha:g})"
    )


def _output_layers(model: _Word2Vec | _FastText) -> dict[str, NDArray[np.float32]]:
    """The output rows by kind; a Huffman tree of n words has n - 1 inner nodes."""
    layers = {}
    if model.negative:
        layers["negative"] = model.syn1neg
    if model.hs:
        layers["hs"] = model.syn1[:-1]
    return layers


def _trained_matrices(model: _Word2Vec | _FastText) -> dict[str, NDArray[np.float32]]:
    if isinstance(model, FastText):
        vectors = {"word rows": model.wv.vectors_vocab, "n-gram rows": model.wv.vectors_ngrams}
    else:
        vectors = {"vectors": model.wv.vectors}
    return {**vectors, **{f"output vectors ({k})": v for k, v in _output_layers(model).items()}}


def _install_ngrams(
    wv: Any, words: Sequence[str], config: FastTextConfig, seed: int
) -> NDArray[np.int32]:
    """Give ``wv`` (FastTextKeyedVectors) the n-gram rows of ``words``, numbered densely.

    Returns the bucket of each row, ascending. ``wv`` was built from ids, without n-grams.
    """
    if config.max_n < config.min_n:
        return np.empty(0, np.int32)
    hashes, ends = array("I"), array("q")
    for word in words:
        hashes.extend(ft_ngram_hashes(word, config.min_n, config.max_n, config.bucket))
        ends.append(len(hashes))
    used_buckets, rows = np.unique(np.asarray(hashes, np.int64), return_inverse=True)
    if len(used_buckets) == 0:
        return np.empty(0, np.int32)
    wv.bucket = len(used_buckets)
    wv.buckets_word = np.split(rows.astype(np.uint32), np.asarray(ends)[:-1])
    wv.vectors_ngrams = _initial_rows(used_buckets, config, seed + 1)
    return used_buckets.astype(np.int32)


def _initial_rows(
    buckets: NDArray[np.int64], config: FastTextConfig, seed: int
) -> NDArray[np.float32]:
    """The rows ``buckets`` of the matrix that gensim's prep_vectors draws for all buckets.

    They are drawn in blocks from the same stream; uniform in -1/vector_size..1/vector_size.
    """
    generator = np.random.default_rng(seed)
    result = np.empty((len(buckets), config.vector_size), np.float32)
    for rows in blocks(config.bucket):
        drawn = generator.random((rows.stop - rows.start, config.vector_size), dtype=np.float32)
        first, last = np.searchsorted(buckets, (rows.start, rows.stop))
        result[first:last] = drawn[buckets[first:last] - rows.start]
    result *= 2.0
    result -= 1.0
    result /= config.vector_size
    return result
