"""Our trainers beside gensim's: words a second and quality, in one run.

    python -m benchmarks.trainers [--data DIR] [--files N] [--epochs N] [--repeats N] [--json FILE]

Reads the film reviews ``imdb/*.parquet`` and the word pairs ``eval/similarity/*.tsv`` below
``--data`` (default: ../shared/data beside the project). Engines take turns, so that other
load on the machine meets both; speed is the median of the repeats, quality the mean Spearman
correlation over four sets of word pairs, each the mean over the repeats, whose seeds differ.
Kernels are compiled before the clock runs, and how long that took is reported apart.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter
from scipy.stats import spearmanr

from nightjar.config.models import IngestConfig, ModelConfig, TokenizeConfig, TrainingConfig
from nightjar.corpus import documents_identity, ingest
from nightjar.embeddings import Embeddings
from nightjar.progress import SILENT
from nightjar.store import Artifact, Identity, Staging, Store, publish
from nightjar.text import tokenize, tokens_identity
from nightjar.training import embeddings_identity, train

PROJECT = Path(__file__).parents[1]
DATA = PROJECT.parent / "shared" / "data"
WORD_PAIRS = ("wordsim353", "simlex999", "men", "mturk771")
SETTINGS = {"vector_size": 100, "window": 5, "negative": 5, "sample": 1e-3, "min_count": 5}
MODELS = {
    "skipgram": {"trainer": "word2vec", "architecture": "skipgram"},
    "cbow": {"trainer": "word2vec", "architecture": "cbow"},
}


@dataclass(frozen=True)
class Trained:
    """One training."""

    model: str
    engine: str
    workers: int
    seed: int
    words_per_second: float
    epoch_seconds: list[float]
    quality: float
    last_mean_loss: float | None


def _publish_tokens(root: Path, files: list[Path]) -> Artifact:
    source = {"type": "parquet", "path": [str(path) for path in files], "id_column": "id"}
    ingestion = IngestConfig.model_validate({"sources": {"imdb": source}})
    identity = documents_identity(ingestion, root)

    def write(staging: Staging) -> None:
        ingest(ingestion, root, identity, staging, SILENT)

    documents = Store(root).open(publish(root, identity, write))
    tokenization = TokenizeConfig()
    identity = tokens_identity(tokenization, documents.ref.version)
    write_tokens = partial(_tokenize, tokenization, documents)
    return Store(root).open(publish(root, identity, write_tokens))


def _tokenize(config: TokenizeConfig, documents: Artifact, staging: Staging) -> None:
    tokenize(config, documents, staging, SILENT)


def _train(
    root: Path, tokens: Artifact, pairs: Path, name: str, engine: str, seed: int, **changes: Any
) -> Trained:
    n_workers = changes.pop("workers", 2)
    settings = {**SETTINGS, **MODELS[name], "engine": engine, "seed": seed, **changes}
    model: ModelConfig = TypeAdapter(ModelConfig).validate_python(settings)
    training = TrainingConfig()
    identity: Identity = embeddings_identity(name, model, training, tokens.ref.version)

    def write(staging: Staging) -> None:
        train(model, training, tokens, staging, SILENT, n_workers)

    with tempfile.TemporaryDirectory(dir=root) as directory:
        artifact = Store(Path(directory)).open(publish(Path(directory), identity, write))
        report = artifact.manifest.report
        return Trained(
            name,
            engine,
            n_workers,
            seed,
            report["words_per_second"],
            report["epoch_seconds"],
            _quality(Embeddings.from_artifact(artifact), pairs),
            report.get("last_mean_loss"),
        )


def _quality(embeddings: Embeddings, directory: Path) -> float:
    """Mean Spearman correlation over the word pairs whose words are both known."""
    matrix = embeddings.matrix / np.linalg.norm(embeddings.matrix, axis=1, keepdims=True)
    correlations = []
    for name in WORD_PAIRS:
        lines = (directory / f"{name}.tsv").read_text(encoding="utf-8").splitlines()[1:]
        scores, cosines = [], []
        for line in lines:
            first, second, score = line.split("\t")
            rows = [embeddings.ids.get(word.lower()) for word in (first, second)]
            if None not in rows:
                scores.append(float(score))
                cosines.append(float(matrix[rows[0]] @ matrix[rows[1]]))
        correlations.append(float(spearmanr(scores, cosines).statistic))
    return statistics.mean(correlations)


def _compile(root: Path, tokens: Artifact, pairs: Path) -> dict[str, float]:
    """Seconds of a first epoch less those of a second, for each model."""
    seconds = {}
    for name in MODELS:
        runs = [_train(root, tokens, pairs, name, "native", 0, epochs=1) for _ in range(2)]
        seconds[name] = round(runs[0].epoch_seconds[0] - runs[1].epoch_seconds[0], 2)
    return seconds


def _report(runs: list[Trained], start_up: dict[str, float]) -> dict[str, Any]:
    def of(name: str, engine: str, value: str) -> list[float]:
        return [getattr(run, value) for run in runs if (run.model, run.engine) == (name, engine)]

    names = dict.fromkeys(run.model for run in runs)
    speed = {
        (name, engine): statistics.median(of(name, engine, "words_per_second"))
        for name in names
        for engine in ("native", "gensim")
    }
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "compile_seconds": start_up,
        "words_per_second": {f"{name} {engine}": speed[name, engine] for name, engine in speed},
        "speed_ratio": {
            name: round(speed[name, "native"] / speed[name, "gensim"], 2) for name in names
        },
        "quality": {
            name: {
                engine: round(statistics.mean(of(name, engine, "quality")), 4)
                for engine in ("native", "gensim")
            }
            for name in names
        },
        "runs": [asdict(run) for run in runs],
    }


def main() -> None:
    """Train everything in turns and print, or write, the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="the shared data directory")
    parser.add_argument("--files", type=int, default=8, help="how many files of reviews")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    files = sorted((options.data / "imdb").glob("*.parquet"))[: options.files]
    if not files:
        raise SystemExit(f"no reviews below {options.data}; set --data")
    pairs = options.data / "eval" / "similarity"
    runs: list[Trained] = []
    with tempfile.TemporaryDirectory(prefix="nightjar-") as name:
        root = Path(name)
        started = time.monotonic()
        tokens = _publish_tokens(root, files)
        print(f"tokens in {time.monotonic() - started:.1f} s", flush=True)
        start_up = _compile(root, tokens, pairs)
        changes = {"epochs": options.epochs, "workers": options.workers}
        for seed in range(1, options.repeats + 1):
            for model in MODELS:
                for engine in ("native", "gensim"):
                    runs.append(_train(root, tokens, pairs, model, engine, seed, **changes))
                    print(runs[-1], flush=True)
    report = _report(runs, start_up)
    print(json.dumps(report, indent=1))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
