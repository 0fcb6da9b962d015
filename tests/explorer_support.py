"""A small registry to explore: one model, two registered versions, one artifact that is not.

Its most frequent tokens are hostile: markup, addresses of scripts, control characters.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml
from numpy.typing import NDArray
from registry_support import World, vector_column

from nightjar import schemas
from nightjar.config import Word2VecConfig
from nightjar.store import Artifact, Identity, Staging, publish

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
    """Vectors of WORDS: versions of one another turned around, but for one word and noise."""
    common = np.random.default_rng(0).standard_normal((len(WORDS), SIZE))
    generator = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(generator.standard_normal((SIZE, SIZE)))
    found = common @ turn + 0.01 * generator.standard_normal(common.shape)
    if seed > 1:
        found[WORDS.index("word007")] *= -1  # the one that moves
    return found.astype(np.float32)


@dataclass(frozen=True)
class Explored:
    """The configuration, and the embeddings of version 1, version 2 and of no version."""

    config: Path
    world: World
    embeddings: tuple[str, str, str]


def trained(world: World, seed: int) -> Artifact:
    """An embeddings artifact as training publishes it: its tokens are its parent."""
    table = pa.table(
        [list(WORDS), list(range(len(WORDS), 0, -1)), vector_column(vectors(seed))],
        schema=schemas.vectors_schema(SIZE),
    )
    losses = pa.table([[1, 2], [0.75, 0.5]], schema=schemas.LOSSES_SCHEMA)
    model = Word2VecConfig(
        trainer="word2vec", vector_size=SIZE, alpha=0.05, epochs=2, seed=seed
    ).model_dump(mode="json")
    identity = Identity(
        schemas.EMBEDDINGS,
        world.model,
        config={"model": model, "deterministic": True},
        parents={schemas.TOKENS: world.tokens().ref.version},
    )

    def write(staging: Staging) -> None:
        staging.write("vectors", table)
        staging.write("losses", losses)
        staging.report["n_workers"] = 1

    return world.store.open(publish(world.artifacts_dir, identity, write))


def make_explored(directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Explored:
    """Register version 1 and 2 (champion); publish a third artifact."""
    world = World.create(directory, tmp_path_factory)
    versions = []
    for seed, score in ((1, 0.5), (2, 0.6)):
        embeddings = trained(world, seed)
        world.crown(world.request(score, 0.3, embeddings=embeddings))
        versions.append(embeddings.ref.version)
    other = trained(world, 3)
    config = {
        "pipeline": {"name": "night", "artifacts_dir": str(world.artifacts_dir)},
        "corpora": {
            "text": {"kind": "text", "sources": {"news": {"type": "text", "path": "news.txt"}}}
        },
        "models": {"w2v": {"trainer": "word2vec", "vector_size": SIZE, "alpha": 0.05, "epochs": 2}},
        "evaluation": {
            "benchmarks": {
                name: {"type": "similarity", "path": f"{name}.tsv"}
                for name in ("wordsim353", "simlex999")
            }
        },
        "registry": {"gate": {"benchmarks": ["wordsim353", "simlex999"]}},
    }
    path = directory / "pipeline_config.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return Explored(path, world, (versions[0], versions[1], other.ref.version))
