"""Held-out edges and last events, asked in the simplest way. Stand in until they have modules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from nightjar.config import LinkPredictionBenchmark
from nightjar.errors import BenchmarkError
from nightjar.scoring.resampling import own_units
from nightjar.scoring.scores import Answers
from nightjar.stages.evaluate.benchmark_items import Answered, CorpusItems, Examinee
from nightjar.store import Artifact, schemas


@dataclass(frozen=True)
class HeldOutLinks(CorpusItems):
    """Edges that no model sees, and as many pairs that are no edges."""

    pairs: tuple[tuple[str, str], ...]
    gold: tuple[float, ...]

    metrics: ClassVar[tuple[str, ...]] = ("auc",)
    stage: ClassVar[str] = schemas.GRAPH

    @classmethod
    def held_out(cls, corpus: Artifact, config: LinkPredictionBenchmark, seed: int) -> Self:
        """The held-out edges, then pairs drawn at random."""
        names = corpus.read(schemas.NODES, ["node"]).column("node").to_pylist()
        held = corpus.read(schemas.HELD_OUT)
        edges = list(zip(*(held.column(n).to_pylist() for n in ("source", "target")), strict=True))
        if not edges:
            raise BenchmarkError("no edge is held out; raise held_out of the corpus")
        known = set(edges)
        for name in ("edges",):
            rows = corpus.read(name, ["source", "target"])
            known |= set(zip(*(rows.column(n).to_pylist() for n in rows.column_names), strict=True))
        generator = np.random.default_rng(seed)
        edges = edges[: config.max_edges]
        others: list[tuple[int, int]] = []
        while len(others) < len(edges):
            a, b = generator.integers(0, len(names), 2).tolist()
            if a != b and (a, b) not in known and (b, a) not in known:
                others.append((a, b))
        pairs = tuple((names[a], names[b]) for a, b in [*edges, *others])
        return cls(pairs, (1.0,) * len(edges) + (0.0,) * len(others))

    def __len__(self) -> int:
        """The number of pairs."""
        return len(self.pairs)

    @property
    def item_names(self) -> Sequence[str]:
        """Both nodes."""
        return [f"{one} - {other}" for one, other in self.pairs]

    def answer(self, asked: Examinee) -> Answered:
        """The cosine of each pair."""
        one, other = (asked.model.vectors(side, "nan") for side in zip(*self.pairs, strict=True))
        norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
        values = ((one * other).sum(axis=1) / norms).astype(np.float64)
        asked.advance(len(self))
        return Answered(Answers(values, np.array(self.gold), own_units(len(self))), ())
