"""One training by Nightjar, through the pipeline's own plan and steps.

    python -m benchmarks.trainers_native JOB

``JOB`` is JSON: ``task`` and its arguments (see the functions named ``task_*``). The last line
printed is the answer as JSON. The configuration is generated, with one model; the stages between
tokens and embeddings are run and timed as in the pipeline, one per process.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numba.core import event
from numpy.typing import NDArray

from benchmarks.trainers_quality import WORD_PAIRS, quality
from benchmarks.trainers_records import (
    BEFORE_MODELS,
    GLOVE,
    MAIN,
    MB,
    MEMORY,
    NATIVE,
    SKIPGRAM,
    CorpusFacts,
    Settings,
    Training,
    clear,
)
from nightjar.config import LoadedConfig, load_config
from nightjar.formats.embeddings import Embeddings
from nightjar.kernels.code_digest import code_digest
from nightjar.pipeline import Provenance, Step, make_plan, run_step
from nightjar.progress import SILENT
from nightjar.stages.train.engines import ENGINES
from nightjar.stages.train.model_corpus import ModelCorpus, select_vocabulary
from nightjar.stages.train.spans import keep_limits
from nightjar.store import Artifact, Store, schemas

CORPUS_FILE = "corpus.txt"
WARM_UP_FILE = "warm-up.txt"
WARM_UP_SENTENCES = 200
_NOT_TIMED = (schemas.CORPUS_REPORT, schemas.EVALUATION)


class _Seconds(event.Listener):
    """Wall-clock seconds of one kind of numba event; nested ones count once."""

    def __init__(self, kind: str) -> None:
        self.total = 0.0
        self._depth = 0
        self._started_at = 0.0
        register: Any = event.register
        register(kind, self)

    def on_start(self, event: event.Event) -> None:
        del event
        if self._depth == 0:
            self._started_at = time.perf_counter()
        self._depth += 1

    def on_end(self, event: event.Event) -> None:
        del event
        self._depth -= 1
        if self._depth == 0:
            self.total += time.perf_counter() - self._started_at


# -- configuration ---------------------------------------------------------------------------


def _write_config(
    directory: Path, settings: Settings, source: dict[str, Any], model: dict[str, Any], seed: int
) -> LoadedConfig:
    pairs = Path(settings.data) / "eval" / "similarity"
    config: dict[str, Any] = {
        "pipeline": {"name": "benchmark", "artifacts_dir": "store"},
        "corpora": {"reviews": {"kind": "text", "sources": {"text": source}}},
        "training": {"seed": seed, "checkpoint_minutes": None},
        "models": {"model": model},
        "evaluation": {
            "benchmarks": {
                name: {"type": "similarity", "path": str(pairs / f"{name}.tsv")}
                for name in WORD_PAIRS
            }
        },
        "registry": {"gate": {"benchmarks": [WORD_PAIRS[0]]}},
    }
    if source["type"] == "text":
        config["corpora"]["reviews"]["tokenize"] = {
            "tokenizer": "whitespace",
            "split_sentences": False,
        }
    directory.mkdir(exist_ok=True)
    path = directory / "pipeline_config.yaml"
    path.write_text(json.dumps(config, indent=1), encoding="utf-8")  # JSON is YAML
    return load_config(path)


def _reviews(settings: Settings) -> dict[str, Any]:
    files = sorted((Path(settings.data) / "imdb").glob("*.parquet"))[: settings.n_files]
    return {"type": "parquet", "path": [str(path) for path in files], "id_column": "id"}


def _due(loaded: LoadedConfig) -> list[Step]:
    """The due steps that embeddings need, upstream first."""
    return [step for step in make_plan(loaded).due if step.stage not in _NOT_TIMED]


def _run(loaded: LoadedConfig, step: Step, n_workers: int) -> Artifact:
    provenance = Provenance(git_commit=None, actor="benchmark", n_workers=n_workers)
    ref = run_step(loaded, step, SILENT, provenance)
    return Store(loaded.artifacts_dir).open(ref)


# -- tasks -----------------------------------------------------------------------------------


def task_prepare(root: Path, settings: Settings) -> dict[str, Any]:
    """Publish the tokens, write gensim's text file and a warm-up text; returns corpus facts."""
    model = settings.model(SKIPGRAM, NATIVE, settings.vector_size, 1)
    loaded = _write_config(root / "corpus", settings, _reviews(settings), model, 1)
    _run_before_models(loaded)
    tokens = Store(loaded.artifacts_dir).open(make_plan(loaded).step(schemas.TOKENS).ref)
    vocabulary = select_vocabulary(tokens, loaded.config.models["model"])
    corpus = ModelCorpus(tokens, vocabulary)
    _write_texts(root, corpus)
    _run_before_models(_warm_up_config(root, settings, model))
    return {"facts": asdict(_facts(corpus, settings)), "missing": _missing(settings)}


def _run_before_models(loaded: LoadedConfig) -> None:
    for step in _due(loaded):
        if step.stage in BEFORE_MODELS:
            _run(loaded, step, 1)


def _missing(settings: Settings) -> dict[str, str]:
    """The models that this version of Nightjar cannot train with its own engine."""
    trainers = {name: settings.model(name, NATIVE, 1, 1)["trainer"] for name in settings.models}
    return {
        name: f"there is no native engine for {trainer}"
        for name, trainer in trainers.items()
        if (trainer, NATIVE) not in ENGINES
    }


def _write_texts(root: Path, corpus: ModelCorpus) -> None:
    """One sentence of kept words per line; sentences without kept words are left out."""
    words = corpus.vocabulary.words
    if broken := [word for word in words if len(word.split()) != 1]:
        raise SystemExit(f"gensim would split these words of the vocabulary: {broken[:5]}")
    lines = _lines(corpus, words)
    with (root / CORPUS_FILE).open("w", encoding="utf-8") as stream:
        first = [line for line, _ in zip(lines, range(WARM_UP_SENTENCES), strict=False)]
        stream.writelines(first)
        stream.writelines(lines)
    (root / WARM_UP_FILE).write_text("".join(first), encoding="utf-8")


def _lines(corpus: ModelCorpus, words: tuple[str, ...]) -> Iterator[str]:
    for batch in corpus.batches():
        for start, stop in pairwise(batch.offsets.tolist()):
            if stop > start:
                yield " ".join([words[row] for row in batch.ids[start:stop].tolist()]) + "\n"


def _facts(corpus: ModelCorpus, settings: Settings) -> CorpusFacts:
    """Count the corpus, and what remains after one draw of subsampling (seed 1)."""
    counts = corpus.vocabulary.counts
    keep = keep_limits(counts, settings.sample) / 2.0**32
    subword_rows = _subword_rows(corpus.vocabulary.words, settings)
    generator = np.random.default_rng(1)
    n_sentences = n_words = n_centres = n_rows = 0
    n_predictions = 0.0
    for batch in corpus.batches():
        has_context = batch.lengths >= 2
        n_sentences += len(has_context)
        n_words += int(batch.lengths[has_context].sum())
        is_kept = generator.random(len(batch.ids)) < keep[batch.ids]
        is_kept &= np.repeat(has_context, batch.lengths)
        n_centres += int(is_kept.sum())
        n_rows += int(subword_rows[batch.ids[is_kept]].sum())
        n_before = np.concatenate(([0], np.cumsum(is_kept)))
        n_predictions += _predictions(np.diff(n_before[batch.offsets]), settings.window)
    return CorpusFacts(
        n_sentences=n_sentences,
        n_corpus_words=n_words,
        n_vocabulary=len(counts),
        n_centres=n_centres,
        n_predictions=n_predictions,
        n_subword_rows=n_rows,
        kernels=code_digest("nightjar.kernels")[:16],
    )


def _predictions(lengths: NDArray[np.int64], window: int) -> float:
    """Expected pairs: words d apart share a window whose size is drawn from 1..window."""
    distances = range(1, window + 1)
    return float(
        sum(
            2 * (window - d + 1) / window * int(np.maximum(lengths - d, 0).sum()) for d in distances
        )
    )


def _subword_rows(words: tuple[str, ...], settings: Settings) -> NDArray[np.int64]:
    """The rows that FastText sums for each word: its own and those of its n-grams."""
    lengths = np.array([len(word) + 2 for word in words])
    sizes = range(settings.min_n, settings.max_n + 1)
    return 1 + sum((np.maximum(lengths - n + 1, 0) for n in sizes), np.zeros_like(lengths))


def task_warm_up(root: Path, settings: Settings, trainings: list[Training]) -> dict[str, Any]:
    """Train each model on a few sentences; returns seconds of imports and of numba.

    The first model also pays for what numba does once in a process.
    """
    for training in trainings:
        model = settings.model(training.model, NATIVE, training.vector_size, 1)
        ENGINES[model["trainer"], NATIVE].load()
    imports = time.time() - psutil.Process().create_time()
    ready = _Seconds("numba:compiler_lock")
    kernels: dict[str, float] = {}
    for training in trainings:
        _warm_up(root, settings, training)
        kernels[training.model] = ready.total - sum(kernels.values())
    return {"imports": imports, "kernels": kernels, "all": imports + ready.total}


def _warm_up(root: Path, settings: Settings, training: Training) -> None:
    model = settings.model(training.model, training.engine, training.vector_size, 1)
    loaded = _warm_up_config(root, settings, model)
    clear(loaded.artifacts_dir, BEFORE_MODELS)
    while steps := _due(loaded):
        _run(loaded, steps[0], training.workers)


def _warm_up_config(root: Path, settings: Settings, model: dict[str, Any]) -> LoadedConfig:
    source = {"type": "text", "path": str(root / WARM_UP_FILE)}
    return _write_config(root / "warm-up", settings, source, {**model, "min_count": 1}, 1)


def task_train(root: Path, settings: Settings, training: Training) -> dict[str, Any]:
    """Run the first due step; kernels are loaded before timing, except for MEMORY.

    ``is_last`` says whether that was the training itself; otherwise call it again.
    """
    load_average = os.getloadavg()[0]
    compilation = _Seconds("numba:compile")
    if training.part != MEMORY:
        _warm_up(root, settings, training)
    model = settings.model(training.model, training.engine, training.vector_size, training.epochs)
    loaded = _write_config(root / "corpus", settings, _reviews(settings), model, training.seed)
    step = _due(loaded)[0]
    compiled_before = compilation.total
    started_at = time.perf_counter()
    artifact = _run(loaded, step, training.workers)
    return {
        "is_last": step.stage == schemas.EMBEDDINGS,
        "seconds": time.perf_counter() - started_at,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MB,
        "compile_seconds": compilation.total - compiled_before,
        "load_average": load_average,
        **_reported(artifact, training, Path(settings.data) / "eval" / "similarity"),
    }


def _reported(artifact: Artifact, training: Training, pairs: Path) -> dict[str, Any]:
    """What the step reports: seconds, losses, sizes."""
    report, counts = artifact.manifest.report, artifact.manifest.counts
    if artifact.ref.stage != schemas.EMBEDDINGS:
        return {
            "count_seconds": artifact.manifest.seconds,
            "n_entries": counts.get("cooccurrences"),
        }
    found = {
        "epoch_seconds": report["epoch_seconds"],
        "first_mean_loss": report["first_mean_loss"],
        "last_mean_loss": report["last_mean_loss"],
        "n_words": artifact.rows("vectors"),
        "matrices_mb": _matrices_mb(artifact, training.vector_size),
    }
    if training.model == GLOVE:
        found["n_entries"] = counts.get("cooccurrences")
        found["count_seconds"] = sum(
            report[key] for key in ("count_seconds", "order_seconds") if key in report
        )
    if training.part == MAIN:
        found["quality"] = quality(Embeddings.from_artifact(artifact), pairs)
    return found


def _matrices_mb(artifact: Artifact, vector_size: int) -> float:
    """Size of the learned values, without padding; FastText's ``vectors`` follow from its rows."""
    tables = {entry.name.removesuffix(".parquet"): entry.rows for entry in artifact.manifest.files}
    if "parameters" in tables:
        return tables["parameters"] * (2 * vector_size + 2) * 4 / MB
    rows = tables["output_vectors"] + tables.get("word_rows", tables["vectors"])
    return (rows + tables.get("ngrams", 0)) * vector_size * 4 / MB


def main() -> None:
    """Run the task given on the command line and print its answer."""
    job = json.loads(sys.argv[1])
    arguments: dict[str, Any] = {
        "root": Path(job["root"]),
        "settings": Settings(**job["settings"]),
    }
    if "training" in job:
        arguments["training"] = Training(**job["training"])
    if "trainings" in job:
        arguments["trainings"] = [Training(**training) for training in job["trainings"]]
    print(json.dumps(_TASKS[job["task"]](**arguments)))


_TASKS: dict[str, Callable[..., dict[str, Any]]] = {
    "prepare": task_prepare,
    "warm_up": task_warm_up,
    "train": task_train,
}

if __name__ == "__main__":
    main()
