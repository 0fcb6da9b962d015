"""Our trainers compared with gensim's: speed, quality and memory, in one run.

    python -m benchmarks.trainers --json FILE [--models NAME ...] [--without PART ...]
                                  [--resume FILE.partial]

Reads the film reviews ``imdb/*.parquet`` and the word pairs ``eval/similarity/*.tsv`` below
``--data`` (default: ../shared/data beside the project). Every training is a separate process, so
its peak memory is measured separately. Engines take turns, seed by seed, so that other load on the
machine affects both. Speed is the median of the repeats, quality the mean over their seeds. Kernels
are compiled before timing, and compile time is reported separately.

FILE.partial is updated after each training; ``--resume`` continues from there. This process only
imports the standard library (see benchmarks/trainers_records.py).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.trainers_records import (
    BEFORE_MODELS,
    GENSIM,
    GLOVE,
    MEMORY,
    MODELS,
    NATIVE,
    SCALING,
    SKIPGRAM,
    CorpusFacts,
    Record,
    Run,
    Settings,
    Training,
    clear,
)
from benchmarks.trainers_report import figures, running_ratio, table

PROJECT = Path(__file__).parents[1]
DATA = PROJECT.parent / "shared" / "data"
LIBRARIES = ("numpy", "numba", "llvmlite", "gensim", "pyarrow")
PEAKS, START_UP = "peaks", "start-up"
"""Parts that may be left out, besides SCALING: the machine's limits, compilation."""
PEAK_TRIAL_SECONDS = 0.15
COMPILES_AGAIN = 2
"""Attempts at a training if a kernel is compiled while it is timed."""


@dataclass(frozen=True)
class _Bench:
    """Starts the processes that do the work."""

    root: Path
    settings: Settings
    compiles: bool
    """Whether kernels are compiled into an empty cache; else the user's is used."""

    def ask(self, module: str, **job: Any) -> dict[str, Any]:
        """Run ``benchmarks.<module>`` and return the answer, its last line."""
        cache = str(self.root / "kernels")
        process = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{module}", json.dumps(job)],
            cwd=PROJECT,
            env={**os.environ, **({"NUMBA_CACHE_DIR": cache} if self.compiles else {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if process.returncode != 0:
            raise SystemExit(f"benchmarks.{module} exited with {process.returncode}: {job}")
        answer: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
        return answer

    def native(self, task: str, **job: Any) -> dict[str, Any]:
        """Run a task in the process for Nightjar's trainers."""
        settings = asdict(self.settings)
        return self.ask("trainers_native", task=task, root=str(self.root), settings=settings, **job)

    def train(self, training: Training, facts: CorpusFacts) -> Run:
        """Do one training."""
        if training.engine == GENSIM:
            answer = self.ask(
                "trainers_gensim",
                settings=asdict(self.settings),
                training=asdict(training),
                corpus_file=str(self.root / "corpus.txt"),
                pairs=str(Path(self.settings.data) / "eval" / "similarity"),
                n_corpus_words=facts.n_corpus_words,
            )
            return Run.from_json(answer)
        for _ in range(COMPILES_AGAIN):
            run = self._train_natively(training, facts)
            if run.compile_seconds == 0:
                break
        return run

    def _train_natively(self, training: Training, facts: CorpusFacts) -> Run:
        """One process for each step from the tokens to the embeddings."""
        store = self.root / "corpus" / "store"
        if training.part == SCALING:  # reuse co-occurrences
            clear(store, tuple(path.name for path in store.iterdir() if path.name != "embeddings"))
        else:
            clear(store, BEFORE_MODELS)
        steps = [self.native("train", training=asdict(training))]
        while not steps[-1]["is_last"]:
            steps.append(self.native("train", training=asdict(training)))
        last, counting = steps[-1], steps[:-1]
        n_entries = [step["n_entries"] for step in steps if step.get("n_entries")]
        count_seconds = sum(step.get("count_seconds", 0.0) for step in steps)
        epoch_seconds = last["epoch_seconds"]
        return Run(
            training=training,
            n_words=last["n_words"],
            words_per_second=facts.n_corpus_words * training.epochs / sum(epoch_seconds),
            epoch_seconds=epoch_seconds,
            count_seconds=count_seconds or None,
            n_entries=n_entries[-1] if n_entries else None,
            quality=last.get("quality"),
            peak_rss_mb=last["peak_rss_mb"],
            count_peak_rss_mb=max((step["peak_rss_mb"] for step in counting), default=None),
            matrices_mb=last["matrices_mb"],
            first_mean_loss=last["first_mean_loss"],
            last_mean_loss=last["last_mean_loss"],
            seconds=sum(step["seconds"] for step in steps),
            compile_seconds=sum(step["compile_seconds"] for step in steps),
            load_average=steps[0]["load_average"],
        )


# -- what to do --------------------------------------------------------------------------


def trainings(settings: Settings, missing: dict[str, str]) -> Iterator[Training]:
    """The trainings for the ratios, in order: engines in turns, seed by seed; then for memory.

    GloVe without skip-gram still needs its peer, gensim's skip-gram.
    """
    for seed in range(1, settings.repeats + 1):
        for model in MODELS:
            if model in settings.models and model not in missing:
                yield _training(settings, model, NATIVE, seed)
            is_peer = model == SKIPGRAM and GLOVE in settings.models
            if model != GLOVE and (model in settings.models or is_peer):
                yield _training(settings, model, GENSIM, seed)
    for model in settings.models:
        if model not in missing:
            yield replace(_training(settings, model, NATIVE, 1), epochs=1, part=MEMORY)


def variants(settings: Settings, missing: dict[str, str]) -> Iterator[Training]:
    """Our trainers with all threads, with one, and with vectors three times as long."""
    for seed in range(1, settings.repeats + 1):
        for model in settings.models:
            if model not in missing:
                base = replace(_training(settings, model, NATIVE, seed), epochs=1, part=SCALING)
                yield base
                if settings.workers > 1:
                    yield replace(base, workers=1)
                yield replace(base, vector_size=3 * settings.vector_size)


def _training(settings: Settings, model: str, engine: str, seed: int) -> Training:
    return Training(model, engine, seed, settings.workers, settings.vector_size, settings.epochs)


def _start_up(bench: _Bench, missing: dict[str, str]) -> dict[str, Any]:
    """Seconds of imports and numba until all kernels run, with an empty cache and a full one."""
    models = [model for model in bench.settings.models if model not in missing]
    trainings = [asdict(_training(bench.settings, model, NATIVE, 1)) for model in models]
    found = {}
    for state in ("cold", "warm"):
        found[state] = bench.native("warm_up", trainings=trainings)
        print(f"start-up, {state} cache: {found[state]}", flush=True)
    return found


def _machine() -> dict[str, Any]:
    versions = {name: metadata.version(name) for name in LIBRARIES}
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        **versions,
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def _begin(bench: _Bench, memory_mb: int, without: list[str]) -> Record:
    started_at = time.monotonic()
    prepared = bench.native("prepare")
    print(f"corpus in {time.monotonic() - started_at:.1f} s: {prepared['facts']}", flush=True)
    settings = bench.settings
    peaks: dict[str, Any] = {}
    if PEAKS not in without:
        row_values = -(-settings.vector_size // 16) * 16
        peaks = bench.ask(
            "trainers_machine",
            workers=settings.workers,
            memory_mb=memory_mb,
            row_values=row_values,
            trial_seconds=PEAK_TRIAL_SECONDS,
        )
        print(f"machine at its best: {peaks}", flush=True)
    start_up = {} if START_UP in without else _start_up(bench, prepared["missing"])
    return Record(
        settings=settings,
        facts=CorpusFacts(**prepared["facts"]),
        machine=_machine(),
        start_up=start_up,
        peaks=peaks,
        missing=prepared["missing"],
    )


def _resumed(bench: _Bench, path: Path) -> Record:
    """The record in ``path``; rejected if its settings, text or kernels differ."""
    record = Record.from_json(json.loads(path.read_text(encoding="utf-8")))
    prepared = bench.native("prepare")
    if (record.settings, record.facts) != (bench.settings, CorpusFacts(**prepared["facts"])):
        raise SystemExit(f"{path} was measured with other settings, text or kernels; start anew")
    print(f"goes on after {len(record.runs)} trainings", flush=True)
    return record


def _measure(bench: _Bench, record: Record, todo: list[Training], partial: Path | None) -> None:
    """Run the trainings that ``record`` lacks, and write it after each."""
    done = {run.training for run in record.runs}
    for number, training in enumerate(todo, 1):
        if training in done:
            continue
        run = bench.train(training, record.facts)
        record.runs.append(run)
        quality = "" if run.quality is None else f", quality {run.quality:.4f}"
        print(
            f"{number}/{len(todo)} {training.model} {training.engine} seed {training.seed}, "
            f"{training.workers} threads, size {training.vector_size}: "
            f"{run.words_per_second:,.0f} words/s, {run.peak_rss_mb:.0f} MB{quality}; so far "
            f"{running_ratio(record, training.model)}",
            flush=True,
        )
        if partial:
            beside = partial.with_name(f"{partial.name}.new")
            beside.write_text(json.dumps(record.to_json()), encoding="utf-8")
            beside.replace(partial)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.trainers", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--data", type=Path, default=DATA, help="the shared data directory")
    parser.add_argument("--files", type=int, default=8, help="how many files of reviews")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3, help="trainings of each, seeds 1, 2, ...")
    parser.add_argument("--workers", type=int, default=2, help="threads")
    parser.add_argument("--vector-size", type=int, default=100)
    parser.add_argument("--bucket", type=int, default=2_000_000, help="of FastText")
    parser.add_argument("--memory-mb", type=int, default=1024, help="a thread's, for the peaks")
    parser.add_argument("--without", nargs="+", choices=(PEAKS, START_UP, SCALING), default=[])
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--resume", type=Path, help="go on from this FILE.partial")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Measure everything, print the table, write the figures."""
    options = _options(arguments)
    data = options.data.resolve()
    files = sorted((data / "imdb").glob("*.parquet"))[: options.files]
    if not files:
        raise SystemExit(f"no reviews below {data}; set --data")
    settings = Settings(
        data=str(data),
        n_files=len(files),
        models=[model for model in MODELS if model in options.models],
        epochs=options.epochs,
        repeats=options.repeats,
        workers=options.workers,
        vector_size=options.vector_size,
        bucket=options.bucket,
    )
    partial = options.json.with_name(f"{options.json.name}.partial") if options.json else None
    with tempfile.TemporaryDirectory(prefix="nightjar-") as name:
        bench = _Bench(Path(name), settings, START_UP not in options.without)
        if options.resume:
            record = _resumed(bench, options.resume)
        else:
            record = _begin(bench, options.memory_mb, options.without)
        todo = list(trainings(settings, record.missing))
        if SCALING not in options.without:
            todo += variants(settings, record.missing)
        _measure(bench, record, todo, partial)
    print(table(record))
    if options.json:
        date = datetime.now(UTC).isoformat(timespec="seconds")
        text = json.dumps(figures(record, date), indent=1)
        options.json.write_text(text + "\n", encoding="utf-8")
        options.json.with_name(f"{options.json.name}.partial").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
