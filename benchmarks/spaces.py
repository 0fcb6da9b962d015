"""What keeping a space is worth to a consumer, over seven nights of growing text.

    python -m benchmarks.spaces --json FILE [--data DIR] [--reviews 3000] [--grow 500]

Film reviews (``imdb/*.parquet``, columns ``id``, ``label``, ``text``) below ``--data``, by default
../shared/data beside the project. Each night has ``--grow`` more of them than the one before, and
trains one skip-gram model four times, with ``space: own``, ``aligned``, ``warm`` and ``compass``,
through :class:`nightjar.Pipeline`. The gate lets everything pass, so that every night's candidate
is champion: what is measured is what consumers would get. Trainings are deterministic, so that
``own`` and ``aligned`` are the same training, and the four are alike in night 1.

The consumer is a logistic regression on the mean vectors of labelled reviews that are in nobody's
text. ``frozen`` learned on the vectors of night 1 and never again; ``refitted`` learns on each
night's anew. Both are tested on other reviews. ``lost`` is what the frozen one loses.

``score`` is what the gate saw: the mean over WordSim-353 and SimLex-999. ``overlap``: the share of
the ten nearest words that two nights in a row have in common, over the most frequent words of both.
``cosine``: of the vectors of a word in this night and the first, as they are, mean over the same
words; 1 where coordinates are kept and words do not move. ``seconds``: training, and aligning where
that happens, by the wall; on a busy machine compare only within a run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import yaml
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from nightjar import Model, Pipeline
from nightjar.core import Night

DATA = Path(__file__).parents[2] / "shared" / "data"
SPACES = ("own", "aligned", "warm", "compass")
NIGHTS = 7
N_COMPARED = 2_000
"""Words whose neighbours and coordinates are compared: the most frequent that both nights have."""
N_NEIGHBOURS = 10
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Reviews:
    """Texts, and whether each is positive."""

    texts: list[str]
    is_positive: NDArray[np.bool_]


@dataclass(frozen=True)
class Row:
    """One model after one night."""

    space: str
    night: int
    reviews: int
    outcome: str
    score: float
    seconds: float
    frozen: float
    refitted: float
    overlap: float | None
    cosine: float
    residual: float | None

    @property
    def lost(self) -> float:
        """What a consumer loses that does not learn anew."""
        return self.refitted - self.frozen


@dataclass(frozen=True)
class Data:
    """What the nights train on, and what the consumer learns and is tested on."""

    texts: pa.Table
    learned: Reviews
    tested: Reviews


def read_data(folder: Path, n_texts: int, n_labelled: int) -> Data:
    """Read the reviews; ends the program where there are none."""
    paths = sorted((folder / "imdb").glob("*.parquet"))
    if not paths:
        sys.exit(f"{folder / 'imdb'}: no Parquet file is there; give the folder with --data")
    table = ds.dataset(paths).to_table(["id", "label", "text"])
    order = np.random.default_rng(1).permutation(len(table))
    labels = np.array(table.column("label").to_pylist())[order]
    labelled = order[np.isin(labels, ["pos", "neg"])]
    if len(labelled) < 2 * n_labelled or len(table) < n_texts + 2 * n_labelled:
        sys.exit(f"{folder / 'imdb'} has {len(table)} reviews, too few; ask for less")
    learned, tested = labelled[:n_labelled], labelled[n_labelled : 2 * n_labelled]
    rest = order[~np.isin(order, labelled[: 2 * n_labelled])][:n_texts]
    return Data(
        table.take(rest).select(["id", "text"]), _reviews(table, learned), _reviews(table, tested)
    )


def _reviews(table: pa.Table, rows: NDArray[np.int64]) -> Reviews:
    some = table.take(rows)
    labels = np.array(some.column("label").to_pylist())
    return Reviews(some.column("text").to_pylist(), labels == "pos")


def write_config(directory: Path) -> Path:
    """The pipeline: one text, and one model for each way to keep a space."""
    benchmarks = "package:gensim/test/test_data"
    model = {
        "trainer": "word2vec",
        "architecture": "skipgram",
        "vector_size": 100,
        "min_count": 5,
        "epochs": 5,
    }
    config: dict[str, Any] = {
        "pipeline": {"name": "spaces", "artifacts_dir": "artifacts"},
        "corpora": {
            "reviews": {
                "kind": "text",
                "cleaning": {"steps": ["html", "control_characters"]},
                "sources": {
                    "reviews": {
                        "type": "parquet",
                        "path": "reviews.parquet",
                        "id_column": "id",
                        "text_column": "text",
                    }
                },
            }
        },
        "training": {"deterministic": True},
        "models": {space: {**model, "space": space} for space in SPACES},
        "evaluation": {
            "bootstrap_samples": 200,
            "benchmarks": {
                "wordsim353": {"type": "similarity", "path": f"{benchmarks}/wordsim353.tsv"},
                "simlex999": {"type": "similarity", "path": f"{benchmarks}/simlex999.txt"},
            },
        },
        "registry": {
            "gate": {
                "benchmarks": ["wordsim353", "simlex999"],
                "margin": 1.0,
                "min_coverage": 0.0,
                "max_vocabulary_lost": 1.0,
                "max_coverage_lost": 1.0,
            }
        },
    }
    path = directory / "pipeline_config.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return path


class Consumer:
    """A classifier of one model's mean vectors, learned on the first night and on each."""

    def __init__(self, data: Data) -> None:
        self._data = data
        self._frozen: Any = None

    def accuracies(self, model: Model) -> tuple[float, float]:
        """Of the classifier of night 1, and of one that has learned anew."""
        learned, tested = (
            model.encode(found.texts, unknown="zero")
            for found in (self._data.learned, self._data.tested)
        )
        fresh = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1_000))
        fresh.fit(learned, self._data.learned.is_positive)
        self._frozen = self._frozen or fresh
        wanted = self._data.tested.is_positive
        return float(self._frozen.score(tested, wanted)), float(fresh.score(tested, wanted))


@dataclass
class Known:
    """The most frequent words of a night, with their vectors and neighbours."""

    vectors: Mapping[str, Floats]
    neighbours: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, model: Model) -> Known:
        """Read them from a champion."""
        words = model.words[:N_COMPARED]
        found = model.neighbors(words, N_NEIGHBOURS)
        return cls(
            dict(zip(words, model.vectors(words), strict=True)),
            {
                word: frozenset(near.token for near in some)
                for word, some in zip(words, found, strict=True)
            },
        )

    def overlap(self, other: Known) -> float:
        """The mean share of neighbours that both have."""
        shared = self.neighbours.keys() & other.neighbours.keys()
        return float(
            np.mean([len(self.neighbours[w] & other.neighbours[w]) / N_NEIGHBOURS for w in shared])
        )

    def cosine(self, other: Known) -> float:
        """The mean cosine of a word's two vectors, as they are."""
        shared = sorted(self.vectors.keys() & other.vectors.keys())
        ours, theirs = (np.array([known.vectors[w] for w in shared]) for known in (self, other))
        lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
        return float(np.mean(np.sum(ours * theirs, axis=1) / lengths))


def run_nights(directory: Path, data: Data, sizes: Sequence[int]) -> list[Row]:
    """Run the nights; a row for each model and night."""
    config = write_config(directory)
    consumers = {space: Consumer(data) for space in SPACES}
    first: dict[str, Known] = {}
    last: dict[str, Known] = {}
    rows = []
    for number, size in enumerate(sizes, start=1):
        pq.write_table(data.texts.slice(0, size), directory / "reviews.parquet")
        pipeline = Pipeline(config)
        night = pipeline.run(on_progress=lambda report: None)  # noqa: ARG005
        due = pipeline.plan().due
        if due:
            sys.exit(f"after night {number} {', '.join(step.label for step in due)} is due")
        for space in SPACES:
            model = pipeline.model(space)
            known = Known.of(model)
            frozen, refitted = consumers[space].accuracies(model)
            decision = next(found for found in night.decisions if found["model"] == space)
            rows.append(
                Row(
                    space=space,
                    night=number,
                    reviews=size,
                    outcome=decision["outcome"],
                    score=decision["score"],
                    seconds=_seconds(night, space),
                    frozen=frozen,
                    refitted=refitted,
                    overlap=known.overlap(last[space]) if space in last else None,
                    cosine=known.cosine(first.setdefault(space, known)),
                    residual=_residual(pipeline, model),
                )
            )
            last[space] = known
            print(_line(rows[-1]), flush=True)
    return rows


def _seconds(night: Night, model: str) -> float:
    return round(
        sum(
            step.seconds
            for step in night.steps
            if model in step.subjects and step.stage in ("raw_embeddings", "embeddings")
        ),
        2,
    )


def _residual(pipeline: Pipeline, model: Model) -> float | None:
    path = pipeline.artifacts_dir / "embeddings" / str(model.embeddings_version) / "manifest.json"
    space = json.loads(path.read_text(encoding="utf-8"))["report"].get("space") or {}
    found: float | None = space.get("residual")
    return found


def _line(row: Row) -> str:
    overlap = "     -" if row.overlap is None else f"{row.overlap:6.3f}"
    residual = "     -" if row.residual is None else f"{row.residual:6.3f}"
    return (
        f"night {row.night} {row.space:>8} {row.reviews:>6} reviews {row.outcome:>9} "
        f"score {row.score:.4f} {row.seconds:7.1f} s  frozen {row.frozen:.4f} "
        f"refitted {row.refitted:.4f} overlap {overlap} cosine {row.cosine:6.3f} "
        f"residual {residual}"
    )


def summary(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """A line for each way: means over the nights after the first, and the last night's loss."""
    found = []
    for space in SPACES:
        later = [row for row in rows if row.space == space and row.night > 1]
        found.append(
            {
                "space": space,
                "score": float(np.mean([row.score for row in later])),
                "seconds": float(np.mean([row.seconds for row in later])),
                "overlap": float(np.mean([row.overlap for row in later if row.overlap])),
                "cosine_last": later[-1].cosine,
                "frozen": float(np.mean([row.frozen for row in later])),
                "refitted": float(np.mean([row.refitted for row in later])),
                "lost_mean": float(np.mean([row.lost for row in later])),
                "lost_worst": float(max(row.lost for row in later)),
                "lost_last": later[-1].lost,
            }
        )
    return found


def main() -> None:
    """Run, print the table, write the JSON."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--json", type=Path, required=True, help="write the figures to this file")
    options.add_argument("--data", type=Path, default=DATA)
    options.add_argument("--reviews", type=int, default=3_000, help="of night 1")
    options.add_argument("--grow", type=int, default=500, help="more of them each night")
    options.add_argument("--nights", type=int, default=NIGHTS)
    options.add_argument(
        "--labelled", type=int, default=3_000, help="to learn, and as many to test"
    )
    given = options.parse_args()
    sizes = [given.reviews + given.grow * number for number in range(given.nights)]
    data = read_data(given.data, sizes[-1], given.labelled)
    with tempfile.TemporaryDirectory() as directory:
        rows = run_nights(Path(directory), data, sizes)
    found = summary(rows)
    print("\n| space | score | seconds | overlap@10 | cosine | frozen | refitted | lost, worst |")
    for line in found:
        print(
            f"| {line['space']} | {line['score']:.3f} | {line['seconds']:.1f} "
            f"| {line['overlap']:.3f} | {line['cosine_last']:.3f} | {line['frozen']:.3f} "
            f"| {line['refitted']:.3f} | {100 * line['lost_mean']:.1f}, "
            f"{100 * line['lost_worst']:.1f} |"
        )
    content = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "reviews": sizes,
        "labelled": given.labelled,
        "summary": found,
        "nights": [{**asdict(row), "lost": row.lost} for row in rows],
    }
    given.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
