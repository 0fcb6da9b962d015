"""Candidate against champion, item by item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nightjar.config.benchmarks import BenchmarkConfig, FileBenchmark
from nightjar.errors import NightjarError
from nightjar.pipeline.reporting.night_facts import NightFacts
from nightjar.scoring.item_values import ABOUT, OF_A_CLUSTER, item_values
from nightjar.scoring.scores import items_of, main_scores, read_answers, read_scores
from nightjar.stages.evaluate.kinds import benchmark_path, corpus_stages, read_benchmark
from nightjar.store import Artifact, Store, file_identity, schemas

_SAME = 1e-9


@dataclass(frozen=True, eq=False)
class ItemDifferences:
    """A benchmark's items that both versions cover."""

    benchmark: str
    metric: str
    about: str
    """What the value of an item says."""
    names: tuple[str, ...]
    """Of each item, in the order of the benchmark; its number where its file has changed since."""
    ours: NDArray[np.float64]
    """Each item's value for the candidate, (n,)."""
    theirs: NDArray[np.float64]
    """Likewise for the champion."""
    n_only_ours: int
    n_only_theirs: int
    """Items that only one of both covers."""

    @property
    def differences(self) -> NDArray[np.float64]:
        """How much better the candidate's answers are, (n,), -1 to 1."""
        found: NDArray[np.float64] = self.ours - self.theirs
        return found

    @property
    def n_better(self) -> int:
        """Items that the candidate answers better."""
        return int((self.differences > _SAME).sum())

    @property
    def n_worse(self) -> int:
        """Items that the champion answers better."""
        return int((self.differences < -_SAME).sum())

    def extremes(self, n_items: int) -> tuple[list[int], list[int]]:
        """Places of the items that became better and of those that became worse, most first."""
        order = np.argsort(self.differences, kind="stable").tolist()
        worst = [place for place in order[:n_items] if self.differences[place] < -_SAME]
        best = [place for place in order[::-1][:n_items] if self.differences[place] > _SAME]
        return best, worst


def item_differences(
    facts: NightFacts, candidate: Artifact, champion: Artifact
) -> list[ItemDifferences]:
    """Compare two evaluations of one night, for each benchmark that both have."""
    ours, theirs = (main_scores(read_scores(one)) for one in (candidate, champion))
    shared = [name for name in ours if name in theirs]
    our_answers, their_answers = (read_answers(one, shared) for one in (candidate, champion))
    found = []
    for name in shared:
        if _items(candidate, name) != _items(champion, name):
            continue
        one, other = our_answers.get(name), their_answers.get(name)
        if one is None or other is None or len(one) != len(other):
            continue
        both = one.is_covered & other.is_covered
        metric = ours[name].metric
        names = item_names(facts, candidate, name, len(one))
        found.append(
            ItemDifferences(
                benchmark=name,
                metric=metric,
                about=ABOUT.get(metric, OF_A_CLUSTER),
                names=tuple(names[place] for place in np.flatnonzero(both).tolist()),
                ours=item_values(metric, one.values[both], one.gold[both]),
                theirs=item_values(metric, other.values[both], other.gold[both]),
                n_only_ours=int((one.is_covered & ~other.is_covered).sum()),
                n_only_theirs=int((other.is_covered & ~one.is_covered).sum()),
            )
        )
    return found


def item_names(
    facts: NightFacts, evaluation: Artifact, benchmark: str, n_items: int
) -> tuple[str, ...]:
    """What people call each item, from the benchmark's file if that is still the same one."""
    config = facts.loaded.config.evaluation.benchmarks.get(benchmark)
    if config is not None:
        try:
            names = _names(facts, evaluation, benchmark, config)
            if len(names) == n_items:
                return tuple(names)
        except (NightjarError, OSError):
            pass  # its items have numbers
    return tuple(f"item {number}" for number in range(1, n_items + 1))


def _names(
    facts: NightFacts, evaluation: Artifact, benchmark: str, config: BenchmarkConfig
) -> Sequence[str]:
    """The items' names; none when the file is another one now."""
    base_dir, seed = facts.loaded.base_dir, facts.loaded.config.evaluation.seed
    if isinstance(config, FileBenchmark):
        path = benchmark_path(benchmark, config, base_dir)
        if file_identity(path).sha256 != items_of(evaluation.manifest).get(benchmark):
            return ()
        return read_benchmark(benchmark, config, base_dir).item_names
    store = Store(facts.loaded.artifacts_dir)
    corpus = {
        stage: store.open(store.ref(stage, evaluation.manifest.parents[stage]))
        for stage in corpus_stages([config])
    }
    return read_benchmark(benchmark, config, base_dir, corpus, seed).item_names


def _items(evaluation: Artifact, benchmark: str) -> Mapping[str, Any]:
    """What the items of a benchmark depend on."""
    settings = evaluation.manifest.identity["config"]["benchmarks"].get(benchmark)
    return {"settings": settings, "sha256": items_of(evaluation.manifest).get(benchmark)}


def champion_before(facts: NightFacts, model: str) -> tuple[int, Artifact | None] | None:
    """Number and scores of the champion that a candidate was judged against.

    None where there was none, or it was the candidate itself.
    """
    decision = facts.models[model].decision
    if decision is None or not decision.get("champion"):
        return None
    champion, candidate = decision["champion"], decision["candidate"]
    if champion["digest"] == candidate["digest"]:
        return None
    return int(champion["version"]), facts.evaluation_of(model, champion["embeddings"])


def embeddings_of(facts: NightFacts, role: Mapping[str, Any] | None) -> Artifact | None:
    """The vectors of a version named in a decision; None where they are gone or others."""
    found = None if not role else facts.opened(schemas.EMBEDDINGS, role["embeddings"])
    if found is None or not role or found.manifest.digest != role["digest"]:
        return None
    return found
