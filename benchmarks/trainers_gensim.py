"""One training by plain gensim, as its documentation shows it: ``corpus_file``, a text file.

    python -m benchmarks.trainers_gensim JOB

``JOB`` is JSON: ``settings``, ``training``, ``corpus_file``, ``pairs``. The last line printed is
the run as JSON. gensim skips parts of a corpus file and reads others twice
(nightjar/stages/train/line_sentences.py); its words per second are computed from the full corpus
nevertheless.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from gensim.models import FastText, Word2Vec
from gensim.models.callbacks import CallbackAny2Vec

from benchmarks.trainers_records import CBOW, FASTTEXT, MB, Run, Settings, Training


class _EpochSeconds(CallbackAny2Vec):  # type: ignore[misc]
    """Times the epochs only, without the vocabulary scan."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._started_at = 0.0

    def on_epoch_begin(self, model: Word2Vec) -> None:
        del model
        self._started_at = time.perf_counter()

    def on_epoch_end(self, model: Word2Vec) -> None:
        del model
        self.seconds.append(time.perf_counter() - self._started_at)


def _fit(
    settings: Settings, training: Training, corpus_file: str, epochs: _EpochSeconds
) -> Word2Vec:
    options: dict[str, Any] = {
        "corpus_file": corpus_file,
        "vector_size": training.vector_size,
        "window": settings.window,
        "negative": settings.negative,
        "sample": settings.sample,
        "alpha": settings.alpha[training.model],
        "min_count": settings.min_count,
        "sg": int(training.model != CBOW),
        "epochs": training.epochs,
        "seed": training.seed,
        "workers": training.workers,
        "callbacks": [epochs],
    }
    if training.model == FASTTEXT:
        ngrams = {"min_n": settings.min_n, "max_n": settings.max_n, "bucket": settings.bucket}
        return FastText(**options, **ngrams)
    return Word2Vec(**options)


def _quality(model: Word2Vec, pairs: Path) -> float:
    # Imported after peak memory was measured, because it imports pyarrow.
    from benchmarks.trainers_quality import quality  # noqa: PLC0415
    from nightjar.formats.embeddings import Embeddings  # noqa: PLC0415

    words = model.wv.index_to_key
    counts = np.array([model.wv.get_vecattr(word, "count") for word in words], np.int64)
    return quality(Embeddings(tuple(words), counts, model.wv.vectors), pairs)


def main() -> None:
    """Run the training given on the command line."""
    job = json.loads(sys.argv[1])
    settings, training = Settings(**job["settings"]), Training(**job["training"])
    load_average = os.getloadavg()[0]
    started_at = time.perf_counter()
    epochs = _EpochSeconds()
    model = _fit(settings, training, job["corpus_file"], epochs)
    seconds = time.perf_counter() - started_at
    peak_rss_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MB
    matrices = [model.wv.vectors, model.syn1neg]
    if training.model == FASTTEXT:
        matrices = [model.wv.vectors_vocab, model.wv.vectors_ngrams, model.syn1neg]
    run = Run(
        training=training,
        n_words=len(model.wv),
        words_per_second=job["n_corpus_words"] * training.epochs / sum(epochs.seconds),
        epoch_seconds=epochs.seconds,
        quality=_quality(model, Path(job["pairs"])),
        peak_rss_mb=peak_rss_mb,
        matrices_mb=sum(matrix.nbytes for matrix in matrices) / MB,
        seconds=seconds,
        load_average=load_average,
    )
    print(json.dumps(asdict(run)))


if __name__ == "__main__":
    main()
