"""``nightjar diff NIGHT NIGHT`` with large vocabularies, beside the textbook's way in NumPy.

Two nights of one model, by default with 400,000 words of 100 values each. The second night's
vectors are the first ones turned, with noise; one word in fifty is another one. The command is a
process of its own, imports included. The reference reads the same two tables and aligns all shared
words with ``scipy.linalg.orthogonal_procrustes``, also in a process of its own. Where other
programs use the cores, too, the clock says little, so processor seconds decide.

    python -m benchmarks.night_diff --json night_diff.json
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml
from numpy.typing import NDArray

from nightjar.config import load_config
from nightjar.core import Nights, NightStatus
from nightjar.core.nights import StepOutcome, StepRecord
from nightjar.store import Identity, Staging, publish, schemas

MOST_SECONDS = 10.0
SHARE_OF_OTHERS = 0.02
NOISE = 0.3
CONFIG = {
    "pipeline": {"name": "large"},
    "corpora": {"text": {"kind": "text", "sources": {"s": {"type": "text", "path": "t.txt"}}}},
    "models": {"words": {"trainer": "import", "path": "vectors.txt", "format": "glove"}},
    "evaluation": {"benchmarks": {"pairs": {"type": "similarity", "path": "pairs.tsv"}}},
    "registry": {"gate": {"benchmarks": ["pairs"]}},
}


def main() -> None:
    """Measure and print or write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--words", type=int, default=400_000)
    parser.add_argument("--vector-size", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--reference", type=Path, nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.reference:
        align_all(*arguments.reference)
        return
    with tempfile.TemporaryDirectory() as temporary:
        found = figures(Path(temporary), arguments)
    text = json.dumps(found, indent=1)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")


def figures(directory: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds of the command and of the reference, medians of all repeats."""
    config = directory / "night.yaml"
    config.write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
    tables = write_nights(config, arguments.words, arguments.vector_size)
    command = [sys.executable, "-m", "nightjar.cli.main", "diff", "1", "2", "-c", str(config)]
    reference = [sys.executable, "-m", "benchmarks.night_diff", "--reference", *map(str, tables)]
    ours, theirs = [], []
    for _ in range(arguments.repeats):
        ours.append(measured(command))
        theirs.append(measured(reference))
    told = json.loads(subprocess.run([*command, "--json"], check=True, capture_output=True).stdout)
    words = told["models"][0]["words"]
    if words["n_come"] != words["n_gone"] or not words["moved"]:
        raise SystemExit(f"the command found something else: {words}")
    median = {
        f"{name}_{key}": statistics.median(one[key] for one in runs)
        for name, runs in (("diff", ours), ("reference", theirs))
        for key in ("seconds", "processor_seconds")
    }
    return {
        "words": arguments.words,
        "vector_size": arguments.vector_size,
        "cores": os.cpu_count(),
        "n_come": words["n_come"],
        "diff": ours,
        "reference": theirs,
        **median,
        "most_seconds": MOST_SECONDS,
        "is_fast_enough": median["diff_processor_seconds"] < MOST_SECONDS,
    }


def measured(command: list[str]) -> dict[str, float]:
    """Seconds and processor seconds of a process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": round(seconds, 2), "processor_seconds": round(used, 2)}


def write_nights(config: Path, n_words: int, size: int) -> list[Path]:
    """Two nights with embeddings alone; returns the files of their vectors."""
    loaded = load_config(config, [])
    generator = np.random.default_rng(1)
    before = generator.standard_normal((n_words, size), np.float32)
    turn = np.linalg.qr(generator.standard_normal((size, size)))[0].astype(np.float32)
    after = before @ turn + NOISE * generator.standard_normal((n_words, size), np.float32)
    other = generator.random(n_words) < SHARE_OF_OTHERS
    tokens = [f"word{place}" for place in range(n_words)]
    later = [f"new{place}" if other[place] else token for place, token in enumerate(tokens)]
    tables = []
    for words, vectors in ((tokens, before), (later, after)):
        version = publish_vectors(loaded.artifacts_dir, words, vectors)
        night = Nights(loaded.pipeline_dir).begin(
            "large", "benchmark", loaded.config.model_dump(mode="json"), (), False, None
        )
        step = StepRecord(
            schemas.EMBEDDINGS, ("words",), "train words", version, "", StepOutcome.PUBLISHED
        )
        night.night = replace(night.night, steps=(step,))
        night.end(NightStatus.COMPLETED)
        tables.append(loaded.artifacts_dir / schemas.EMBEDDINGS / version / "vectors.parquet")
    return tables


def publish_vectors(root: Path, tokens: list[str], vectors: NDArray[np.float32]) -> str:
    """An embeddings artifact; returns its version."""
    values = pa.array(vectors.ravel())
    column = pa.FixedSizeListArray.from_arrays(values, type=schemas.vector_type(vectors.shape[1]))
    counts = pa.array(np.arange(len(tokens), 0, -1))
    table = pa.Table.from_arrays(
        [pa.array(tokens), counts, column], schema=schemas.vectors_schema(vectors.shape[1])
    )

    def write(staging: Staging) -> None:
        staging.write("vectors", table)

    identity = Identity(
        stage=schemas.EMBEDDINGS,
        name="words",
        config={"first": float(vectors[0, 0])},
        parents={},
        code={"revision": 1},
    )
    return publish(root, identity, write, None).version


def align_all(before: Path, after: Path) -> None:
    """The reference: read both tables, align all shared words, find those that moved most."""
    import pandas as pd  # noqa: PLC0415  # what the command does not pay for
    from scipy.linalg import orthogonal_procrustes  # noqa: PLC0415

    then, now = (pd.read_parquet(path).set_index("token") for path in (before, after))
    shared = then.index.intersection(now.index)
    left, right = (np.stack(one.loc[shared, "vector"].to_numpy()) for one in (then, now))
    left /= np.linalg.norm(left, axis=1, keepdims=True)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    rotation, _ = orthogonal_procrustes(left, right)
    moved = 1 - ((left @ rotation) * right).sum(axis=1)
    print(list(shared[np.argsort(-moved)[:20]]))


if __name__ == "__main__":
    main()
