"""From the trainings to the figures and the table: medians, ratios, shares of the machine."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.trainers_records import (
    CBOW,
    FASTTEXT,
    GENSIM,
    GLOVE,
    MAIN,
    MEMORY,
    MODELS,
    NATIVE,
    SCALING,
    SKIPGRAM,
    Record,
    Run,
)

GLOVE_NAMES = ("glove_iteration", "glove_counts")
NAMES = (SKIPGRAM, CBOW, FASTTEXT, *GLOVE_NAMES)
BOUNDS = {
    SKIPGRAM: ("at least", 6.0, 10.0),
    CBOW: ("at least", 2.5, 5.0),
    FASTTEXT: ("at least", 5.0, 8.0),
    "glove_iteration": ("at most", 0.2, 0.12),
    "glove_counts": ("at most", 0.4, 0.2),
}
"""Floor (or ceiling) and aim of each ratio."""
LEAST_SCALING = 1.8
MEMORY_BESIDE_MATRICES_MB = 400
NOTE = (
    "speed_ratio of glove_iteration and glove_counts is a share of the seconds of gensim's "
    "skip-gram epoch: smaller is better. Their quality is that of our GloVe after all its "
    "iterations beside gensim's skip-gram, the peer of the ratio, which learns another "
    "objective; so is their gensim memory. peak_rss_mb is of trainings of their own (part memory), "
    "for gensim the largest of the repeats; limit is "
    f"matrices + {MEMORY_BESIDE_MATRICES_MB}; matrices are the float32 values learned, without "
    "padding. counting holds no matrices: its memory is bounded by the configuration."
)


def _of(record: Record, model: str, engine: str, part: str = MAIN) -> list[Run]:
    return [
        run
        for run in record.runs
        if (run.training.model, run.training.engine, run.training.part) == (model, engine, part)
    ]


def _model_of(name: str) -> str:
    return GLOVE if name in GLOVE_NAMES else name


def _peer_of(name: str) -> str:
    return SKIPGRAM if name in GLOVE_NAMES else name


def _value(
    runs: Sequence[Run],
    value: Callable[[Run], float | None],
    total: Callable[[list[float]], float] = statistics.median,
) -> float | None:
    found = [number for run in runs if (number := value(run)) is not None]
    return total(found) if found else None


def _ratio(a: float | None, b: float | None) -> float | None:
    return a / b if a is not None and b else None


def _epoch_seconds(runs: Sequence[Run]) -> float | None:
    seconds = [value for run in runs for value in run.epoch_seconds]
    return statistics.median(seconds) if seconds else None


def speed_ratios(record: Record) -> dict[str, float | None]:
    """Our speed relative to gensim's; None while a training of either is missing."""
    ratios = {
        name: _ratio(
            _value(_of(record, name, NATIVE), lambda run: run.words_per_second),
            _value(_of(record, name, GENSIM), lambda run: run.words_per_second),
        )
        for name in (SKIPGRAM, CBOW, FASTTEXT)
    }
    epoch = _epoch_seconds(_of(record, SKIPGRAM, GENSIM))
    glove = _of(record, GLOVE, NATIVE)
    ratios["glove_iteration"] = _ratio(_epoch_seconds(glove), epoch)
    ratios["glove_counts"] = _ratio(_value(glove, lambda run: run.count_seconds), epoch)
    return ratios


def qualities(record: Record) -> dict[str, dict[str, float | None]]:
    """Mean quality over the seeds."""
    return {
        name: {
            NATIVE: _value(
                _of(record, _model_of(name), NATIVE), lambda run: run.quality, statistics.fmean
            ),
            GENSIM: _value(
                _of(record, _peer_of(name), GENSIM), lambda run: run.quality, statistics.fmean
            ),
        }
        for name in NAMES
    }


def memory(record: Record) -> dict[str, dict[str, float | None]]:
    """The largest peak of each, the size of the matrices, and the allowed peak."""
    return {name: _memory(record, name) for name in NAMES}


def _memory(record: Record, name: str) -> dict[str, float | None]:
    runs = _of(record, _model_of(name), NATIVE, MEMORY)

    def peak(run: Run) -> float:
        if name == "glove_counts" and run.count_peak_rss_mb is not None:
            return run.count_peak_rss_mb
        return run.peak_rss_mb

    matrices = _value(runs, lambda run: run.matrices_mb, max)
    return {
        NATIVE: _value(runs, peak, max),
        GENSIM: _value(_of(record, _peer_of(name), GENSIM), lambda run: run.peak_rss_mb, max),
        "matrices": matrices,
        "limit": None if matrices is None else matrices + MEMORY_BESIDE_MATRICES_MB,
    }


# -- threads and vector size -------------------------------------------------------------


def _seconds_of_variants(
    record: Record, model: str, workers: int, vector_size: int
) -> float | None:
    runs = [
        run
        for run in _of(record, model, NATIVE, SCALING)
        if (run.training.workers, run.training.vector_size) == (workers, vector_size)
    ]
    return _epoch_seconds(runs)


def thread_scaling(record: Record) -> dict[str, float | None]:
    """Words per second with all workers, relative to one."""
    settings = record.settings
    size = settings.vector_size
    return {
        model: _ratio(
            _seconds_of_variants(record, model, 1, size),
            _seconds_of_variants(record, model, settings.workers, size),
        )
        for model in MODELS
    }


def large_vectors(record: Record) -> dict[str, float | None]:
    """Seconds per word with vectors three times as long, relative to the usual ones."""
    settings = record.settings
    workers, size = settings.workers, settings.vector_size
    return {
        model: _ratio(
            _seconds_of_variants(record, model, workers, 3 * size),
            _seconds_of_variants(record, model, workers, size),
        )
        for model in MODELS
    }


# -- arithmetic --------------------------------------------------------------------------


def epoch_work(record: Record, model: str) -> tuple[float, float] | None:
    """Floating-point operations and bytes that an epoch needs, counted from the equations.

    A pair of rows a, b of D values: their product (2 D) and both updates (4 D). CBOW sums a window
    and distributes its error (4 D per pair of words), FastText the same for the rows of a word and
    its n-grams (4 D per row). An entry of GloVe: product 2 D, gradients 2 D, their squares 4 D, and
    two roots, divisions and subtractions (6 D). Bytes: a row is read and written once per centre
    that needs it, even if it stays in a cache.
    """
    settings, facts = record.settings, record.facts
    d, n_outputs = settings.vector_size, settings.negative + 1
    row_bytes = 2.0 * 4 * d
    if model == GLOVE:
        n_entries = _value(_of(record, GLOVE, NATIVE), lambda run: run.n_entries)
        return None if n_entries is None else (14 * d * n_entries, n_entries * (4 * row_bytes + 16))
    outputs = facts.n_centres * n_outputs * row_bytes
    if model == CBOW:
        flops = 6.0 * d * n_outputs * facts.n_centres + 4.0 * d * facts.n_predictions
        return flops, outputs + facts.n_predictions * row_bytes
    flops = 6.0 * d * n_outputs * facts.n_predictions
    if model == FASTTEXT:
        return flops + 4.0 * d * facts.n_subword_rows, outputs + facts.n_subword_rows * row_bytes
    return flops, outputs + facts.n_predictions * row_bytes


def achieved(record: Record) -> dict[str, dict[str, float]]:
    """What our trainers achieve, and its share of the machine's peak."""
    peaks = record.peaks
    result = {}
    for model in MODELS:
        seconds, work = _epoch_seconds(_of(record, model, NATIVE)), epoch_work(record, model)
        if seconds is None or work is None or not peaks:
            continue
        flops, n_bytes = (amount / seconds for amount in work)
        result[model] = {
            "gflop_per_second": flops / 1e9,
            "share_of_peak_multiply_adds": flops / (2 * peaks["multiply_adds_per_second"]),
            "gbyte_per_second": n_bytes / 1e9,
            "share_of_peak_random_rows": n_bytes
            / peaks["matrices_bytes_per_second"]["random_rows"],
            "share_of_peak_memory_copy": n_bytes / peaks["memory_bytes_per_second"]["copy"],
            "share_of_peak_l2_copy": n_bytes / peaks["l2_bytes_per_second"]["copy"],
        }
        if model != GLOVE:
            result[model]["kflop_per_centre"] = work[0] / record.facts.n_centres / 1e3
    return result


# -- the whole ---------------------------------------------------------------------------


def figures(record: Record, date: str) -> dict[str, Any]:
    """Everything, in the form of the JSON file."""
    engines = [(model, engine) for model in MODELS for engine in (NATIVE, GENSIM)]
    with_runs = [pair for pair in engines if _of(record, *pair)]
    content: dict[str, Any] = {
        "date": date,
        "machine": record.machine,
        "settings": asdict(record.settings),
        "note": NOTE,
        "missing": record.missing,
        "speed_ratio": speed_ratios(record),
        "quality": qualities(record),
        "peak_rss_mb": memory(record),
        "thread_scaling": thread_scaling(record),
        "vector_size_300": large_vectors(record),
        "words_per_second": {
            f"{model} {engine}": _value(
                _of(record, model, engine), lambda run: run.words_per_second
            )
            for model, engine in with_runs
        },
        "seconds": {
            f"{model} {engine}": _seconds(record, model, engine) for model, engine in with_runs
        },
        "start_up_seconds": record.start_up,
        "machine_peak": record.peaks,
        "achieved": achieved(record),
    }
    summary: dict[str, Any] = _rounded(content)
    runs = [asdict(run) for run in record.runs]
    return {**summary, "corpus": asdict(record.facts), "runs": runs}


def _seconds(record: Record, model: str, engine: str) -> dict[str, float | None]:
    runs = _of(record, model, engine)
    found = {
        "epoch": _epoch_seconds(runs),
        "training": _value(runs, lambda run: run.seconds),
        "counting": _value(runs, lambda run: run.count_seconds),
    }
    return {name: value for name, value in found.items() if value is not None}


def _rounded(value: Any) -> Any:
    """Floats to six significant digits."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value


def table(record: Record) -> str:
    """The figures with their floors and aims, as plain text."""
    ratios, quality, peaks = speed_ratios(record), qualities(record), memory(record)
    heading = (
        f"{'':16} {'ratio':>7}  {'bound':14} {'aim':>5} {'met':>4}   "
        f"{'quality':>7} {'gensim':>7}   {'peak MB':>7} {'limit':>6} {'gensim':>6}"
    )
    lines = [heading]
    for name in NAMES:
        kind, bound, aim = BOUNDS[name]
        lines.append(
            f"{name:16} {_shown(ratios[name], 3):>7}  {f'{kind} {bound:g}':14} {aim:>5g} "
            f"{_verdict(ratios[name], kind, bound):>4}   "
            f"{_shown(quality[name][NATIVE], 4):>7} {_shown(quality[name][GENSIM], 4):>7}   "
            f"{_shown(peaks[name][NATIVE], 0):>7} {_shown(peaks[name]['limit'], 0):>6} "
            f"{_shown(peaks[name][GENSIM], 0):>6}"
        )
    lines.append(
        "skipgram, cbow, fasttext: our words/s over gensim's, larger is better. glove_*: our "
        "seconds over\nthose of gensim's skip-gram epoch, smaller is better."
    )
    scaling, large = thread_scaling(record), large_vectors(record)
    workers, size = record.settings.workers, record.settings.vector_size
    lines.append(
        f"{'':16} {f'1 to {workers} threads':>14} (at least {LEAST_SCALING})   "
        f"vector_size {3 * size} over {size}"
    )
    lines += [
        f"{model:16} {_shown(scaling[model], 2):>14} "
        f"{_verdict(scaling[model], 'at least', LEAST_SCALING):>15}   {_shown(large[model], 2):>15}"
        for model in MODELS
    ]
    lines += [f"missing: {name}: {reason}" for name, reason in record.missing.items()]
    return "\n".join(lines)


def _shown(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _verdict(value: float | None, kind: str, bound: float) -> str:
    if value is None:
        return "-"
    return "yes" if (value >= bound if kind == "at least" else value <= bound) else "no"


def running_ratio(record: Record, model: str) -> str:
    """The current ratios of ``model``, for a progress line."""
    ratios = speed_ratios(record)
    names = GLOVE_NAMES if model == GLOVE else (model,)
    return ", ".join(f"{name} {_shown(ratios[name], 3)}" for name in names)
