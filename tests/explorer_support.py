"""A small registry to explore: one model, two registered versions, one unregistered artifact.

Its most frequent tokens are hostile: markup, script URLs, control characters. So are a document,
its id, and an alarm of the last night.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from nights_support import HandMade
from numpy.typing import NDArray
from registry_support import World, vector_column

from nightjar.core import Nights
from nightjar.drift import FLOOR
from nightjar.promotion.measured_noise import N_WORDS, running_words, training_of
from nightjar.store import Identity, Staging, Store, publish, schemas

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(2)</script>",
    "javascript:alert(3)",
    "[x](javascript:alert(4))",
    "![x](http://192.0.2.1/x.png)",
    "$\\alpha$",
    "%{x}",
    "\u202eevil",
    "nul\x00",
    "long" * 2_500,
)
WORDS = (*HOSTILE, "king", "queen", "kind", "kingdom", *(f"word{i:03d}" for i in range(90)))
SIZE = 6


def vectors(seed: int) -> NDArray[np.float32]:
    """Vectors of WORDS: versions are rotations of each other, except for one word and noise."""
    common = np.random.default_rng(0).standard_normal((len(WORDS), SIZE))
    generator = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(generator.standard_normal((SIZE, SIZE)))
    found = common @ turn + 0.01 * generator.standard_normal(common.shape)
    if seed > 1:
        found[WORDS.index("word007")] *= -1  # the one that moves
    return found.astype(np.float32)


@dataclass(frozen=True)
class Explored:
    """The configuration, and the embeddings of version 1, version 2 and the unregistered ones."""

    config: Path
    embeddings: tuple[str, str, str]


def write_vectors(path: Path, seed: int) -> None:
    """A file of vectors as ``nightjar export --format parquet`` writes it."""
    rows = {"token": list(WORDS), "count": list(range(len(WORDS), 0, -1))}
    pq.write_table(pa.table({**rows, "vector": vector_column(vectors(seed))}), path)


def make_explored(directory: Path) -> Explored:
    """Two nights that promote version 1 and version 2; a third artifact, published by hand."""
    model = {"trainer": "import", "path": "vectors.parquet", "format": "parquet"}
    project = HandMade(directory / "project", models={"w2v": model})
    pairs = [f"word{2 * row:03d}\tword{2 * row + 1:03d}\t{row}" for row in range(20)]
    (project.directory / "pairs.tsv").write_text("\n".join(pairs) + "\n", encoding="utf-8")
    project.document["registry"]["gate"]["margin"] = 1.0
    _write_documents(project)
    project.save()
    versions = []
    for seed in (1, 2):
        write_vectors(project.directory / "vectors.parquet", seed)
        versions.append(project.night().version(schemas.EMBEDDINGS, "w2v") or "")
    _add_alarm(project, f"look at {HOSTILE[0]} and {HOSTILE[7]}")
    other = World(project.loaded.artifacts_dir).embeddings("other", "w2v", WORDS, vectors(3))
    return Explored(project.path, (versions[0], versions[1], other.ref.version))


def _write_documents(project: HandMade) -> None:
    """Documents to search; the last one is hostile, and so is its id."""
    texts = [f"word{row:03d} word{row + 1:03d} king" for row in range(0, 60, 2)]
    documents = [{"id": f"doc{row}", "text": text} for row, text in enumerate(texts)]
    documents.append({"id": HOSTILE[0], "text": f"{HOSTILE[1]} queen kingdom {HOSTILE[0]}"})
    lines = "".join(f"{json.dumps(document)}\n" for document in documents)
    (project.directory / "documents.jsonl").write_text(lines, encoding="utf-8")
    source = {"type": "jsonl", "path": "documents.jsonl", "text_field": "text", "id_field": "id"}
    project.document["corpora"]["text"]["sources"] = {"s": source}
    project.document["document_vectors"] = {"documents": {"model": "w2v"}}


def _add_alarm(project: HandMade, said: str) -> None:
    """Put an alarm into the record of the last night."""
    nights = Nights(project.loaded.pipeline_dir)
    path = nights.path(nights.numbers()[-1]) / "night.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**record, "alarms": [said]}), encoding="utf-8")


def measure_floor_by_hand(root: Path, model: str, embeddings: str, displacement: float) -> None:
    """Publish a noise artifact with a floor for the settings of some embeddings."""
    store = Store(root)
    vectors = store.open(store.ref(schemas.EMBEDDINGS, embeddings))
    training = {**training_of(store, vectors), N_WORDS: running_words(vectors)}
    columns = [
        [0, 50],
        [49, 50],
        [displacement, displacement / 2],
        [0.5, None],
        [displacement, displacement / 2],
    ]
    names = schemas.FLOOR_BANDS_SCHEMA.names
    bands = pa.table(dict(zip(names, columns, strict=True)), schema=schemas.FLOOR_BANDS_SCHEMA)
    config = {"model": model, "training": training, "evaluations": {}}
    identity = Identity(schemas.NOISE, model, config, code={"revision": 1})

    def write(staging: Staging) -> None:
        staging.report[FLOOR] = {"losses": [0.0, 0.1, 0.2], "n_trainings": 3}
        staging.write(schemas.FLOOR_BANDS, bands)

    publish(root, identity, write)
