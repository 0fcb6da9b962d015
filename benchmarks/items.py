"""Next items: MovieLens 100K by every method, and a million generated events in seconds.

The protocol: each user's last event is held out (test), and the one before it (validation); the
test item is ranked among all items but those that the user has had; the validation event is the
last of the history. Everything fitted (memories, blend) and every hyperparameter is chosen on the
validation events (``--tune N`` draws N settings); the test events are looked at once.

Everything runs through the functions of the pipeline: events, sessions, training, evaluation.
MovieLens is not part of the repository: ``get-movielens DIRECTORY`` below the shared data fetches
it.

``--log FILE`` takes any other log instead, Parquet with ``user``, ``item`` and ``time``, its
sessions by user. ``--set`` changes settings of the model (JSON).
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from nightjar.config import EvaluationConfig, EventsCorpusConfig, NextItemBenchmark, Word2VecConfig
from nightjar.config.trainers import TrainingConfig
from nightjar.core.stage import StageContext
from nightjar.progress import SILENT
from nightjar.scoring.scores import read_scores
from nightjar.stages.evaluate import evaluate
from nightjar.stages.events import build_events, write_sessions
from nightjar.stages.train.recommender_fitting import fit_recommender
from nightjar.stages.train.train_stage import Lessons, train
from nightjar.store import Artifact, Identity, Staging, Store, publish, schemas

FLOORS = {"output": 0.19, "blend": 0.215}
"""HR@10 on MovieLens 100K."""
MOST_SECONDS = 60.0
MANY_EVENTS = 1_000_000
"""Those that may take so long."""
WAYS = ("output", "input", "cooccurrence", "blend")
DEFAULTS: Mapping[str, Any] = {
    "vector_size": 32,
    "window": 4,
    "window_side": "past",
    "shrink_windows": False,
    "epochs": 20,
    "alpha": 0.025,
    "negative": 40,
    "ns_exponent": 0.25,
    "sample": 0.0,
    "min_count": 1,
}
"""What validation events chose (docs/items.md)."""
SEARCHED: Mapping[str, tuple[Any, ...]] = {
    "vector_size": (32, 48, 64, 96, 128),
    "window": (2, 3, 4, 5, 7),
    "window_side": ("past", "past", "both"),
    "shrink_windows": (False, True),
    "epochs": (10, 15, 20, 30),
    "alpha": (0.0125, 0.025, 0.05),
    "negative": (10, 20, 40, 64),
    "ns_exponent": (0.0, 0.25, 0.5),
    "sample": (0.0,),
    "min_count": (1,),
}
_BATCH = 65_536


def main() -> None:
    """Measure what is there and print or write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--movielens", type=Path, help="directory with ml-100k.inter")
    parser.add_argument("--log", type=Path, help="Parquet of a log to take instead of MovieLens")
    parser.add_argument("--set", type=json.loads, default={}, help="other settings of the model")
    parser.add_argument("--items", type=int, help="of the generated log; default: events / 50")
    parser.add_argument("--events", type=int, default=1_000_000, help="generated; 0: none")
    parser.add_argument("--tune", type=int, default=0, help="settings to draw, on validation only")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        rows = log_to_judge(arguments, directory)
        if rows is not None:
            corpus = prepared(directory / "log", rows, share=1.0)
            if arguments.tune:
                tune(corpus, arguments.tune, arguments.seed)
                return
            found = scored(corpus, {**DEFAULTS, **arguments.set})
            print(table(found), flush=True)
        if arguments.events:
            found["seconds"], parts = generated(
                directory / "generated", arguments.events, arguments.items
            )
            found["seconds_by_step"] = parts
            print(f"{arguments.events:,} generated events in {found['seconds']:.1f} s: {parts}")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    below = {
        name: floor
        for name, floor in FLOORS.items()
        if found.get("hit_rate_at_10", {name: 1}).get(name, 1) < floor and not arguments.log
    }
    if below or (found.get("seconds", 0) > MOST_SECONDS and arguments.events <= MANY_EVENTS):
        sys.exit(f"below what must be reached: {below or found['seconds']}")


def log_to_judge(arguments: argparse.Namespace, directory: Path) -> pa.Table | None:
    """The events of ``--log``, or of MovieLens; None where there are none."""
    if arguments.log is not None:
        return pq.read_table(arguments.log, columns=["user", "item", "time"])
    path = movielens(arguments, directory)
    return None if path is None else read_movielens(path)


def movielens(arguments: argparse.Namespace, directory: Path) -> Path | None:
    """The file of MovieLens 100K; None where it is not and cannot be fetched."""
    given: Path | None = arguments.movielens
    if given is not None:
        return given / "ml-100k.inter"
    fetch = arguments.data / "get-movielens"
    if not fetch.is_file():
        print(f"there is no {fetch}: MovieLens is left out", file=sys.stderr)
        return None
    target = directory / "fetched"
    command = ["bash", str(fetch), str(target)]
    done = subprocess.run(command, check=False, capture_output=True, timeout=300)
    path = target / "ml-100k.inter"
    if done.returncode or not path.exists():
        print(f"{fetch} fetched nothing: MovieLens is left out", file=sys.stderr)
        return None
    return path


def read_movielens(path: Path) -> pa.Table:
    """Its events, in the order of the file."""
    found = pa_csv.read_csv(path, parse_options=pa_csv.ParseOptions(delimiter="\t"))
    user, item, _, seconds = found.columns
    moments = np.asarray(seconds).astype(np.int64) * 1_000_000
    return pa.table(
        {
            "user": user.cast(pa.string()),
            "item": item.cast(pa.string()),
            "time": pa.array(moments).cast(pa.timestamp("us", tz="UTC")),
        }
    )


def generate(n_events: int, seed: int = 1, n_items: int | None = None) -> pa.Table:
    """Events of users who follow paths: half of the time a successor, else what is popular.

    Popularity falls with the power of the rank; 25 events a user, 50 an item on average if
    ``n_items`` does not say otherwise.
    """
    generator = np.random.default_rng(seed)
    n_steps, n_items = 25, n_items or max(100, n_events // 50)
    n_users = n_events // n_steps
    weights = 1 / np.arange(1, n_items + 1) ** 0.9
    bounds = np.cumsum(weights / weights.sum())
    path = generator.permutation(n_items)
    place = np.argsort(path)
    items = np.empty((n_users, n_steps), np.int64)
    for step in range(n_steps):
        popular = np.searchsorted(bounds, generator.random(n_users)).clip(max=n_items - 1)
        items[:, step] = popular
        if step:
            ahead = generator.integers(1, 4, n_users)
            next_one = path[(place[items[:, step - 1]] + ahead) % n_items]
            follows = generator.random(n_users) < 0.5
            items[follows, step] = next_one[follows]
    times = 1_700_000_000 + generator.integers(0, 86_400, (n_users, 1)) + 60 * np.arange(n_steps)
    order = generator.permutation(n_users * n_steps)  # as several servers would log them
    users = np.repeat(np.arange(n_users), n_steps)[order]
    moments = pa.array(times.ravel()[order] * 1_000_000)
    return pa.table(
        {
            "user": pa.array(users).cast(pa.string()),
            "item": pa.array(items.ravel()[order]).cast(pa.string()),
            "time": moments.cast(pa.timestamp("us", tz="UTC")),
        }
    )


@dataclass(frozen=True)
class Corpus:
    """Published events and their tokens."""

    root: Path
    events: Artifact
    tokens: Artifact


def prepared(root: Path, rows: pa.Table, share: float) -> Corpus:
    """Sessions of users, with the last two events of ``share`` of them held out."""
    config = EventsCorpusConfig.model_validate(
        {
            "kind": "events",
            "sources": {"log": {"type": "parquet", "path": "log.parquet"}},
            "held_out": {"share": share},
        }
    )

    def events(staging: Staging) -> None:
        build_events(config, batches(rows), None, staging, SILENT)

    made = published(root, Identity(schemas.EVENTS, "", {"share": share}), events)
    identity = Identity(schemas.TOKENS, "", {}, {schemas.EVENTS: made.ref.version})

    def tokens(staging: Staging) -> None:
        write_sessions(config, made, StageContext(identity, staging))

    return Corpus(root, made, published(root, identity, tokens))


def batches(rows: pa.Table) -> Iterator[pa.RecordBatch]:
    """The rows as they would come from files."""
    yield from rows.to_batches(max_chunksize=_BATCH)


def published(root: Path, identity: Identity, write: Callable[[Staging], None]) -> Artifact:
    """The artifact, opened."""
    return Store(root).open(publish(root, identity, write))


def trained(corpus: Corpus, settings: Mapping[str, Any], n_workers: int = 1) -> Artifact:
    """Embeddings with what recommends."""
    model = Word2VecConfig.model_validate({"trainer": "word2vec", **settings})
    training = TrainingConfig(deterministic=n_workers == 1, checkpoint_minutes=None)
    parents = {schemas.TOKENS: corpus.tokens.ref.version, schemas.EVENTS: corpus.events.ref.version}
    identity = Identity(schemas.EMBEDDINGS, "items", {"model": dict(settings)}, parents)

    def write(staging: Staging) -> None:
        context = StageContext(identity, staging, n_workers=n_workers)
        train("items", model, training, Lessons(corpus.tokens), context)
        fit_recommender("items", corpus.events, staging, SILENT)

    return published(corpus.root, identity, write)


def judged(corpus: Corpus, embeddings: Artifact, ways: tuple[str, ...] = WAYS) -> Artifact:
    """Scores of each way on the test events."""
    benchmarks = {way: NextItemBenchmark(type="next_item", by=way) for way in ways}  # type: ignore[arg-type]
    config = EvaluationConfig.model_validate(
        {"benchmarks": {way: one.model_dump() for way, one in benchmarks.items()}}
    )
    parents = {
        schemas.EMBEDDINGS: embeddings.ref.version,
        schemas.EVENTS: corpus.events.ref.version,
    }
    identity = Identity(schemas.EVALUATION, "items", {}, parents)

    def write(staging: Staging) -> None:
        evaluate(config, embeddings, StageContext(identity, staging))

    return published(corpus.root, identity, write)


def scored(corpus: Corpus, settings: Mapping[str, Any]) -> dict[str, Any]:
    """HR@10 and NDCG@10 by method, and what was fitted."""
    embeddings = trained(corpus, settings)
    evaluation = judged(corpus, embeddings)
    found: dict[str, Any] = {"hit_rate_at_10": {}, "ndcg_at_10": {}}
    beside = next(iter(evaluation.manifest.report["beside"].values()))
    for name, scores in beside.items():
        for metric, value in scores.items():
            found[f"{metric}_at_10"][name] = value
    for row in read_scores(evaluation):
        name = f"fitted_{row.benchmark}" if row.benchmark in beside else row.benchmark
        found[f"{row.metric}_at_10"][name] = row.value
    found["fitted"] = embeddings.manifest.report["recommending"]
    found["settings"] = dict(settings)
    return found


def tune(corpus: Corpus, n_draws: int, seed: int) -> None:
    """Print the NDCG on the validation events of settings that are drawn at random."""
    drawing = random.Random(seed)
    for _ in range(n_draws):
        settings = {key: drawing.choice(values) for key, values in SEARCHED.items()}
        started = time.process_time()
        report = trained(corpus, settings).manifest.report["recommending"]
        seconds = time.process_time() - started
        line = {"validation_ndcg": report["validation_ndcg"], "cpu": round(seconds, 1), **settings}
        print(json.dumps(line), flush=True)


def generated(
    root: Path, n_events: int, n_items: int | None = None
) -> tuple[float, dict[str, float]]:
    """Seconds from rows to scores, those of each step, and those of the processors together.

    Rows are generated before the clock starts.
    """
    rows = generate(n_events, n_items=n_items)
    # Compiling is once per machine, not per night.
    small = prepared(root / "warm", generate(20_000), share=0.1)
    judged(small, trained(small, DEFAULTS, n_workers=2))
    processor = time.process_time()
    started = time.perf_counter()
    corpus = prepared(root, rows, share=0.1)
    ready = time.perf_counter()
    embeddings = trained(corpus, DEFAULTS, n_workers=2)
    learned = time.perf_counter()
    judged(corpus, embeddings, ("blend",))
    ended = time.perf_counter()
    parts = {
        "prepare": round(ready - started, 1),
        "train": round(learned - ready, 1),
        "judge": round(ended - learned, 1),
        "processor": round(time.process_time() - processor, 1),
    }
    return round(ended - started, 1), parts


def table(found: Mapping[str, Any]) -> str:
    """The scores as text."""
    lines = [f"{'method':<22}{'HR@10':>8}{'NDCG@10':>9}"]
    for name, value in found["hit_rate_at_10"].items():
        lines.append(f"{name:<22}{value:8.3f}{found['ndcg_at_10'][name]:9.3f}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
