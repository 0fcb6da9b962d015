"""The training loop around the kernels, shared by every native trainer.

A :class:`Learner` owns the matrices and divides an epoch into spans; :func:`fit` distributes the
spans to the workers, sums the loss in float64, reports progress, stops diverging models and writes
checkpoints.

Workers take the spans in order, each the next one when it is free, and read their own input: no
other thread is busy. Whatever a span depends on besides the matrices (random numbers, learning
rate) follows from the seed, the epoch and the span's position, so with one worker the result is the
same whether or not training was interrupted. With more workers, they update shared matrices without
locks (Recht et al. 2011, Hogwild).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from queue import SimpleQueue
from threading import Event, Lock
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from nightjar.config.models import TrainedConfig
from nightjar.stages.train.checkpoints import Position
from nightjar.stages.train.trainer import TrainingJob, check_finite, diverged, write_losses
from nightjar.store import release_free_memory
from nightjar.wording import counted

S = TypeVar("S")

WORST_LOSS = 2.0
"""A mean loss this many times that of the untrained model counts as divergence."""


@dataclass(frozen=True)
class SpanResult:
    """The result of one span."""

    n_units: int
    """Words or co-occurrences, the unit of :attr:`Learner.n_units`."""
    n_predictions: int
    """Terms of the loss."""
    loss_sum: float
    """Sum over the predictions, each before its step."""


class Learner(Protocol[S]):
    """A model in training: its matrices, and the division of an epoch into spans of type S."""

    unit: str
    """Name of what is counted: "words"."""
    n_units: int
    """Units in an epoch."""
    untrained_loss: float
    """Mean loss of a prediction before the first step."""
    advice: str
    """What to change if it diverges."""

    def spans(self, epoch: int, n_done: int) -> Iterator[S]:
        """The spans of ``epoch`` (from 1) in order, without the first ``n_done``.

        Called by one worker thread at a time. Anything drawn once per epoch is drawn here.
        """

    def learn(self, span: S, epoch: int, worker: int) -> SpanResult:
        """Train on ``span``; ``worker`` (from 0) has at most one span at a time."""

    def learning_rate(self, epoch: int, n_units_done: int) -> float:
        """The learning rate after ``n_units_done`` units of ``epoch``."""

    def arrays(self) -> Mapping[str, NDArray[np.float32]]:
        """All learned values, by name: views that checkpoints read and write."""


def fit(job: TrainingJob[Any], learner: Learner[S]) -> None:
    """Train ``learner`` in place and write ``losses`` and the report.

    Resumes from the job's checkpoint if there is one. Raises TrainingError when a loss or a value
    is not finite, or an epoch's mean loss is WORST_LOSS times that of the untrained model.
    """
    model: TrainedConfig = job.model
    position = job.checkpoints.restore(learner.arrays()) if job.checkpoints else None
    if position is not None:
        job.staging.report["resumed"] = (
            f"epoch {position.epoch}, {counted(position.n_units, 'unit')}"
        )
    position = position or Position()
    job.progress.start("train", learner.n_units * model.epochs, learner.unit)
    n_units_before = learner.n_units * (position.epoch - 1) + position.n_units
    if n_units_before:
        job.progress.advance(n_units_before, f"resumed in epoch {position.epoch}/{model.epochs}")
    release_free_memory()
    with _Workers(learner, job.n_workers) as workers:
        fitting = _Fit(job, learner, workers, time.monotonic())
        while position.epoch <= model.epochs:
            position = fitting.epoch(position)
    release_free_memory()
    mean_losses = list(position.mean_losses)
    write_losses(job.staging, mean_losses)
    seconds = sum(position.epoch_seconds)
    job.staging.report.update(
        epoch_seconds=[round(value, 3) for value in position.epoch_seconds],
        first_mean_loss=mean_losses[0],
        last_mean_loss=mean_losses[-1],
    )
    speed = round(learner.n_units * model.epochs / max(seconds, 1e-9))
    job.staging.report[f"{learner.unit.replace('-', '')}_per_second"] = speed


@dataclass
class _Fit(Generic[S]):
    """One call of :func:`fit`."""

    job: TrainingJob[Any]
    learner: Learner[S]
    workers: _Workers[S]
    saved_at: float

    def epoch(self, position: Position) -> Position:
        """Train the rest of the epoch of ``position``; returns the start of the next."""
        epoch, learner = position.epoch, self.learner
        spans = learner.spans(epoch, position.n_spans)
        is_over = False
        while not is_over:
            started_at = time.monotonic()
            results = self.workers.leg(spans, epoch)
            is_over = True
            for result in results:
                if not math.isfinite(result.loss_sum):
                    self.workers.pause()
                    raise diverged(f"the loss is {result.loss_sum}", epoch, learner.advice)
                position = _advanced(position, result)
                self._tell(position, result.n_units, time.monotonic() - started_at)
                if self._is_save_due():
                    self.workers.pause()
                    is_over = False
            position = replace(position, seconds=position.seconds + time.monotonic() - started_at)
            if not is_over:
                self._save(position)
        return self._next_epoch(position)

    def _next_epoch(self, position: Position) -> Position:
        learner, epoch = self.learner, position.epoch
        mean_loss = position.loss_sum / max(position.n_predictions, 1)
        if mean_loss > WORST_LOSS * learner.untrained_loss:
            finding = (
                f"its mean loss is {mean_loss:.4g}, that of the untrained model "
                f"{learner.untrained_loss:.4g}"
            )
            raise diverged(finding, epoch, learner.advice)
        check_finite(learner.arrays(), epoch, learner.advice)
        return Position(
            epoch=epoch + 1,
            mean_losses=(*position.mean_losses, mean_loss),
            epoch_seconds=(*position.epoch_seconds, position.seconds),
        )

    def _tell(self, position: Position, n_units: int, seconds_of_leg: float) -> None:
        learner, n_epochs = self.learner, self.job.model.epochs
        seconds = max(position.seconds + seconds_of_leg, 1e-9)
        speed = position.n_units / seconds
        n_left = learner.n_units * (n_epochs - position.epoch + 1) - position.n_units
        self.job.progress.advance(
            n_units,
            f"epoch {position.epoch}/{n_epochs}, {_large(speed)} {learner.unit}/s, "
            f"loss {position.loss_sum / max(position.n_predictions, 1):.4f}, "
            f"learning rate {learner.learning_rate(position.epoch, position.n_units):.4f}, "
            f"{_duration(n_left / max(speed, 1e-9))} left",
        )

    def _is_save_due(self) -> bool:
        checkpoints = self.job.checkpoints
        if checkpoints is None:
            return False
        return time.monotonic() - self.saved_at >= checkpoints.interval_seconds

    def _save(self, position: Position) -> None:
        if self.job.checkpoints is not None:
            self.job.checkpoints.save(self.learner.arrays(), position)
        self.saved_at = time.monotonic()


def _advanced(position: Position, result: SpanResult) -> Position:
    return replace(
        position,
        n_spans=position.n_spans + 1,
        n_units=position.n_units + result.n_units,
        n_predictions=position.n_predictions + result.n_predictions,
        loss_sum=position.loss_sum + result.loss_sum,
    )


def _large(number: float) -> str:
    """A number in few characters: 6.81 M, 123,456."""
    return f"{number / 1e6:.2f} M" if number >= 1e6 else f"{number:,.0f}"


def _duration(seconds: float) -> str:
    """A readable duration: 12 s, 3 min 5 s, 2 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class _Workers(Generic[S]):
    """The threads. Between two legs none is busy, and every span that was taken is done."""

    def __init__(self, learner: Learner[S], n_workers: int) -> None:
        self._learner = learner
        self._n_workers = n_workers
        self._threads = ThreadPoolExecutor(n_workers, thread_name_prefix="train")
        self._lock = Lock()
        self._is_paused = Event()

    def __enter__(self) -> _Workers[S]:
        return self

    def __exit__(self, *_: object) -> None:
        self.pause()
        # waits: for the spans that the threads have begun, seconds at most
        self._threads.shutdown()

    def pause(self) -> None:
        """End the leg: no worker takes another span."""
        self._is_paused.set()

    def leg(self, spans: Iterator[S], epoch: int) -> Iterator[SpanResult]:
        """The results of spans as they finish, until none is left or :meth:`pause`.

        An error in a worker ends the leg and is raised when the others have stopped.
        """
        self._is_paused.clear()
        results: SimpleQueue[SpanResult | None] = SimpleQueue()
        work = [
            self._threads.submit(self._work, worker, spans, epoch, results)
            for worker in range(self._n_workers)
        ]
        n_busy = len(work)
        while n_busy:
            # waits: each thread puts None when it ends, however it ends
            result = results.get()
            if result is None:
                n_busy -= 1
            else:
                yield result
        for future in work:
            # waits: not at all, each thread has said that it ends
            future.result()

    def _work(
        self, worker: int, spans: Iterator[S], epoch: int, results: SimpleQueue[SpanResult | None]
    ) -> None:
        try:
            while (span := self._next(spans)) is not None:
                results.put(self._learner.learn(span, epoch, worker))
        except BaseException:
            self.pause()
            raise
        finally:
            results.put(None)

    def _next(self, spans: Iterator[S]) -> S | None:
        with self._lock:
            return None if self._is_paused.is_set() else next(spans, None)
