"""Estimating the duration of a training, from the last one of its kind or reference figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from nightjar.config.models import GloVeConfig, TrainedConfig
from nightjar.stages.train.estimates import Workload, cooccurrences_at_most, share_kept
from nightjar.store import Manifest

_CENTRE, _FIXED = 9.0, 300.0
_REFERENCE: Mapping[tuple[str, str, str], float] = {
    ("word2vec", "native", "skipgram"): 3_200_000.0,
    ("word2vec", "native", "cbow"): 4_400_000.0,
    ("word2vec", "gensim", "skipgram"): 260_000.0,
    ("word2vec", "gensim", "cbow"): 800_000.0,
    ("fasttext", "native", "skipgram"): 1_300_000.0,
    ("fasttext", "native", "cbow"): 1_600_000.0,
    ("fasttext", "gensim", "skipgram"): 160_000.0,
    ("fasttext", "gensim", "cbow"): 250_000.0,
    ("glove", "native", ""): 12_500_000.0,
}
"""Words (GloVe: co-occurrences) per second and worker on the reference machine (two cores of
a 2024 server, docs/experiments.md), with vector_size 100, window 5 and
negative 5 on IMDB reviews."""
_WINDOW_MODEL: Mapping[str, Any] = {
    "window": 5,
    "shrink_windows": True,
    "negative": 5,
    "hs": False,
    "sample": 0.0,
}
_REFERENCE_MODEL_SIZE = 100
_REFERENCE_KEPT = 0.757
"""Share of the tokens of the IMDB reviews that subsampling at 0.001 leaves."""
_FIXED_SECONDS = 3.0
"""To start, to read the tokens once and to write the tables."""


@dataclass(frozen=True)
class Duration:
    """An estimated duration."""

    seconds: float
    source: str
    """Its origin: an artifact, or the reference figures."""


def duration(
    model: TrainedConfig, work: Workload, n_workers: int, published: Sequence[Manifest]
) -> Duration:
    """Estimate the duration from the newest of ``published`` (oldest first) of the same kind.

    The same kind means the same trainer, engine and architecture. Without one, reference figures
    are used.
    """
    for manifest in reversed(published):
        measured = _measured(manifest, model, work, n_workers)
        if measured is not None:
            return measured
    speed = _REFERENCE[_kind(model)] * n_workers
    reference = model.model_copy(update=_reference_model(model))
    if isinstance(model, GloVeConfig):
        n_units = cooccurrences_at_most(work, model.window, is_symmetric=model.symmetric)
        ratio = _cost(model, work) / _cost(reference, work)
    else:
        n_units = work.n_tokens
        ratio = _cost(model, work) / (_cost(reference, work) * _REFERENCE_KEPT)
    seconds = model.epochs * n_units * ratio / speed
    return Duration(_FIXED_SECONDS + seconds, "reference figures")


def _reference_model(model: TrainedConfig) -> dict[str, Any]:
    window = {} if isinstance(model, GloVeConfig) else _WINDOW_MODEL
    return {"vector_size": _REFERENCE_MODEL_SIZE, **window}


def _measured(
    manifest: Manifest, model: TrainedConfig, work: Workload, n_workers: int
) -> Duration | None:
    """Scaled from that training; None when it is of another kind or recorded no times."""
    try:
        before: TrainedConfig = _model_adapter().validate_python(
            manifest.identity["config"]["model"]
        )
    except (KeyError, TypeError, ValidationError):
        return None
    epoch_seconds = manifest.report.get("epoch_seconds")
    counted = "cooccurrences" if isinstance(model, GloVeConfig) else "tokens_kept"
    n_units_before = manifest.counts.get(counted)
    if _kind(before) != _kind(model) or not epoch_seconds or not n_units_before:
        return None
    n_units = work.n_tokens
    if isinstance(model, GloVeConfig):
        n_units = cooccurrences_at_most(work, model.window, is_symmetric=model.symmetric)
        if manifest.counts.get("tokens_kept") == work.n_tokens and before.window == model.window:
            n_units = n_units_before
    # The first epoch may include compiling the kernels.
    per_unit = sorted(epoch_seconds)[len(epoch_seconds) // 2] / n_units_before
    workers = manifest.report.get("n_workers", n_workers) / n_workers
    ratio = _cost(model, work) / _cost(before, work) * workers
    fixed = max(0.0, manifest.seconds - sum(epoch_seconds))
    seconds = fixed + model.epochs * n_units * per_unit * ratio
    return Duration(seconds, f"{manifest.stage}/{manifest.version}")


@cache
def _model_adapter() -> TypeAdapter[TrainedConfig]:
    return TypeAdapter(TrainedConfig)


def _kind(model: TrainedConfig) -> tuple[str, str, str]:
    architecture = "" if isinstance(model, GloVeConfig) else model.architecture
    return model.trainer, model.engine, architecture


def _cost(model: TrainedConfig, work: Workload) -> float:
    """Work per token (GloVe: per co-occurrence), roughly in floats touched; only ratios matter.

    With s the share of tokens that subsampling keeps, w the mean words in a window, o the outputs
    of a prediction and d the vector_size: skip-gram s (9 + w) (o d + 300), CBOW s (o d + w d / 2 +
    300), GloVe d + 40. The constants were fitted to timings of the native Word2Vec
    (docs/experiments.md), to within a fifth; n-grams are ignored.
    """
    d = float(model.vector_size)
    if isinstance(model, GloVeConfig):
        return d + 40.0
    counts = work.counts
    kept = share_kept(work, model.sample)
    in_window = float(model.window + 1 if model.shrink_windows else 2 * model.window)
    outputs = 1.0 + model.negative if model.negative else 0.0
    if model.hs:
        shares = counts / counts.sum()
        outputs += float(-(shares * np.log2(shares)).sum())
    if model.architecture == "skipgram":
        return kept * (_CENTRE + in_window) * (outputs * d + _FIXED)
    return kept * (outputs * d + 0.5 * in_window * d + _FIXED)
