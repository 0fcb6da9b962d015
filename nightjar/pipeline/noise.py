"""Measuring how much scores differ between trainings that differ in nothing but their seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import stdev

from nightjar.config import LoadedConfig, load_config
from nightjar.core import Action, Parent, Planner, Provenance, run_step
from nightjar.core.using import at_work
from nightjar.errors import ConfigError, InputError
from nightjar.pipeline.planning import anchors_of
from nightjar.progress import SILENT, Progress
from nightjar.promotion import read_standing
from nightjar.promotion.measured_noise import N_WORDS, running_words, training_of
from nightjar.stages import STAGES, Evaluate, MeasureNoise
from nightjar.store import ArtifactRef, Store, schemas
from nightjar.wording import counted

MIN_SEEDS = 2
_FIRST_SEED = 1_000_003
"""Seeds of the trainings follow it: hardly anybody configures them."""


@dataclass(frozen=True)
class MeasuredNoise:
    """The result of measuring a model's noise."""

    model: str
    artifact: ArtifactRef
    n_seeds: int
    deviations: dict[str, float]
    """Standard deviation of the score between trainings, by benchmark."""


def measure_noise(
    loaded: LoadedConfig,
    model: str,
    n_seeds: int,
    provenance: Provenance,
    progress: Callable[[str], Progress] = lambda label: SILENT,  # noqa: ARG005
) -> MeasuredNoise:
    """Train and evaluate ``model`` with ``n_seeds`` other seeds, and publish their scores.

    The text is that of the corpus' last accepted night. A model made from others is made anew from
    a training of its base with another seed. Trainings that are finished are not repeated after a
    kill; retention deletes their vectors afterwards. Raises ConfigError for a model that no seed
    changes, InputError before the first accepted night, and what training raises.
    """
    if model not in loaded.config.models:
        known = ", ".join(loaded.config.models)
        raise ConfigError(f"there is no model {model!r}; {loaded.path.name} has {known}")
    if n_seeds < MIN_SEEDS:
        raise ConfigError(
            f"{counted(n_seeds, 'training')} cannot show noise: give {MIN_SEEDS} seeds or more"
        )
    seeded = loaded.config.seeded_model(model)
    if seeded is None:
        raise ConfigError(
            f"no seed changes {model}, since its vectors are imported; the gate knows that its "
            f"scores have no noise of training"
        )
    corpus = loaded.config.corpus_of(model)
    accepted = read_standing(loaded).corpora.get(corpus, ())
    if not accepted:
        raise InputError(
            f"no night of the corpus {corpus} is accepted yet, so there is nothing to train on; "
            f"'nightjar run' runs one"
        )
    given = {Parent(stage, corpus): found.version for stage, found in accepted[0].artifacts.items()}
    store = Store(loaded.artifacts_dir)
    anchors = anchors_of(loaded)
    evaluations: dict[int, str] = {}
    with at_work(loaded.pipeline_dir, "noise"):
        for seed in range(_FIRST_SEED, _FIRST_SEED + n_seeds):
            other = load_config(loaded.path, [*loaded.overrides, f"models.{seeded}.seed={seed}"])
            planner = Planner(
                other, SILENT, is_offline=True, before={}, given=given, anchors=anchors
            )
            evaluations[seed] = planner.add(Evaluate(other, model), STAGES)
            for step in planner.plan.steps:
                if step.action is Action.RUN:
                    label = f"{step.label}, seed {len(evaluations)} of {n_seeds}"
                    run_step(other, step, progress(label), provenance)
            trained = planner.plan.step(schemas.EMBEDDINGS, model)
        embeddings = store.open(trained.ref)
        training = {**training_of(store, embeddings), N_WORDS: running_words(embeddings)}
        stage = MeasureNoise(loaded, model, evaluations, training)
        planner = Planner(loaded, SILENT, is_offline=True, before={}, given={})
        planner.add(stage, STAGES)
        ref = run_step(loaded, planner.plan.steps[0], SILENT, provenance)
    return MeasuredNoise(model, ref, n_seeds, _deviations(store, ref))


def _deviations(store: Store, ref: ArtifactRef) -> dict[str, float]:
    rows = store.open(ref).read("trainings").to_pylist()
    scores: dict[str, list[float]] = {}
    for row in rows:
        if row["score"] is not None:
            scores.setdefault(row["benchmark"], []).append(row["score"])
    return {name: stdev(values) for name, values in scores.items() if len(values) > 1}
