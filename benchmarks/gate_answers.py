"""Real trainings for the benchmark of the gate, and what is asked of them.

The product's own stages train the shipped models with many seeds. Of each training the vectors of
the benchmarks' words are kept in a file, so that nothing is trained twice. Damaged copies of the
vectors answer the same items: that is how a truly worse version is made.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nightjar.config import LoadedConfig, load_config
from nightjar.formats.model_files import temporary_model
from nightjar.pipeline import Plan, Provenance, Step, run_step
from nightjar.pipeline.planning import plan_made
from nightjar.progress import SILENT
from nightjar.scoring.scores import Answers
from nightjar.stages.evaluate.benchmark_items import Examinee, distinct
from nightjar.stages.evaluate.kinds import benchmark_path
from nightjar.stages.evaluate.word_pairs import WordPairs
from nightjar.stages.evaluate.word_table import WordTable
from nightjar.store import ArtifactRef, Store, schemas

CONFIG = Path(__file__).parents[1] / "pipeline_config.yaml"
BENCHMARKS = ("wordsim353", "simlex999")
MODELS = ("word2vec-cbow", "word2vec-skipgram", "fasttext", "glove")

NOISE, SWAPS = "noise", "swaps"
DAMAGES = (NOISE, SWAPS)
"""What is done to vectors: every one is blurred, or some words get each other's."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Items:
    """The word pairs of each benchmark."""

    pairs: Mapping[str, WordPairs]

    @classmethod
    def shipped(cls) -> Items:
        """Those of the shipped configuration."""
        loaded = load_config(CONFIG)
        declared = loaded.config.evaluation.benchmarks
        return cls(
            {
                name: WordPairs.read(benchmark_path(name, declared[name], loaded.base_dir))
                for name in BENCHMARKS
            }
        )

    @property
    def words(self) -> list[str]:
        """Every word that is asked for."""
        pairs = self.pairs.values()
        return distinct(word for one in pairs for word in (*one.left, *one.right))

    def answers(self, words: Sequence[str], vectors: Floats) -> dict[str, Answers]:
        """The evaluation stage's answers of these vectors; a row of NaN is an unknown word."""
        is_known = ~np.isnan(vectors[:, 0])
        known = [word for word, known in zip(words, is_known.tolist(), strict=True) if known]
        table = WordTable.of(known, vectors[is_known], case_insensitive=True)
        asked = Examinee(None, table, seed=1)  # type: ignore[arg-type]  # pairs ask the words alone
        return {name: pairs.answer(asked).answers for name, pairs in self.pairs.items()}


# -- damage ------------------------------------------------------------------------------------


def damaged(vectors: Floats, damage: str, strength: float, seed: int) -> Floats:
    """Worse vectors than ``vectors``, whose rows have length one or are NaN.

    ``noise`` adds to each row a random one of about the length ``strength``. ``swaps`` gives a
    share of ``strength`` of the words each other's vectors. The same seed damages in the same
    direction with every strength, so that more is worse.
    """
    generator = np.random.default_rng([seed, DAMAGES.index(damage)])
    if damage == NOISE:
        noise = generator.standard_normal(vectors.shape, np.float32)
        return vectors + np.float32(strength / np.sqrt(vectors.shape[1])) * noise
    rows = np.flatnonzero(~np.isnan(vectors[:, 0]))
    chosen = generator.permutation(rows)[: round(strength * len(rows))]
    found = vectors.copy()
    found[chosen] = vectors[np.roll(chosen, 1)]
    return found


# -- training ----------------------------------------------------------------------------------


def train_all(
    directory: Path, models: Sequence[str], seeds: Sequence[int], n_processes: int | None = None
) -> Iterator[str]:
    """Train what ``directory`` lacks, several at once; yields the name of each file written."""
    directory.mkdir(parents=True, exist_ok=True)
    missing = [
        (model, seed)
        for seed in seeds
        for model in models
        if not vectors_path(directory, model, seed).is_file()
    ]
    if not missing:
        return
    _prepare(directory, models)
    with ProcessPoolExecutor(n_processes or os.cpu_count(), get_context("spawn")) as pool:
        waiting = [pool.submit(train_one, directory, model, seed) for model, seed in missing]
        for done in as_completed(waiting):
            yield done.result()


def vectors_path(directory: Path, model: str, seed: int) -> Path:
    """Where the vectors of a training are kept."""
    return directory / f"{model}-{seed:03}.npy"


def read_vectors(directory: Path, model: str, seed: int) -> Floats:
    """One row for each of :attr:`Items.words`, of length one; NaN for an unknown word."""
    found: Floats = np.load(vectors_path(directory, model, seed))
    return found


def train_one(directory: Path, model: str, seed: int) -> str:
    """Train one model with one seed and keep the vectors of the benchmarks' words."""
    loaded = _loaded(directory, f"models.{model}.seed={seed}")
    plan = plan_made(loaded)
    embeddings = _run(loaded, plan.step(schemas.EMBEDDINGS, model))
    path = vectors_path(directory, model, seed)
    artifact = Store(loaded.artifacts_dir).open(embeddings)
    evaluation = loaded.config.evaluation
    with temporary_model(model, artifact) as served:
        words = WordTable.of_model(served, evaluation.max_vocabulary, evaluation.case_insensitive)
        vectors = words.units(Items.shipped().words)
    with _replacing(path) as new:
        np.save(new, vectors)
    return path.name


def _prepare(directory: Path, models: Sequence[str]) -> None:
    """What every training starts from: documents, tokens and GloVe's counts."""
    loaded = _loaded(directory)
    plan = plan_made(loaded)
    for step in plan.steps:
        is_of_corpus = step.stage in (schemas.DOCUMENTS, schemas.TOKENS)
        is_counting = step.stage == schemas.COOCCURRENCES and _counts_for(plan, step, models)
        if is_of_corpus or is_counting:
            _run(loaded, step)


def _counts_for(plan: Plan, step: Step, models: Sequence[str]) -> bool:
    return any(
        plan.step(schemas.EMBEDDINGS, model).identity.parents.get(step.stage) == step.ref.version
        for model in models
    )


def _loaded(directory: Path, *overrides: str) -> LoadedConfig:
    artifacts = f"pipeline.artifacts_dir={directory.resolve() / 'artifacts'}"
    return load_config(CONFIG, (artifacts, "training.workers=1", *overrides))


def _run(loaded: LoadedConfig, step: Step) -> ArtifactRef:
    return run_step(loaded, step, SILENT, Provenance(None, "benchmark", 1))


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    new = path.with_name(f"new-{path.name}")
    yield new
    new.replace(path)
