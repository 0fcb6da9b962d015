"""What the due trainings of a plan will need, and which of them cannot run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from nightjar.config import LoadedConfig, TrainedConfig
from nightjar.config.trainers import ProneConfig
from nightjar.core import Action, Parent, Plan, Step
from nightjar.core.resources import Need, Resources
from nightjar.errors import ArtifactDamaged, InputError
from nightjar.stages.graph.walk_estimates import check_walks_fit, walks_need
from nightjar.stages.train.durations import Duration, duration
from nightjar.stages.train.estimates import Workload, check_fits, need, read_workload
from nightjar.stages.train.prone_estimates import check_prone_fits, prone_need
from nightjar.store import Artifact, Manifest, Store, schemas

_LEARNED = (schemas.RAW_EMBEDDINGS, schemas.EMBEDDINGS)
"""The stages that train, the first one for models with ``space: aligned``."""


@dataclass(frozen=True)
class Estimate:
    """The needs of one training."""

    n_words: int
    n_tokens: int
    n_ngram_rows: int | None
    """None for a model without n-grams."""
    is_about: bool
    """Whether the number of n-gram rows is extrapolated."""
    need: Need
    duration: Duration | None
    """None where nothing says how long it takes: walks and ProNE."""


@dataclass(frozen=True)
class Forecast:
    """A due training, or due walks: the estimate and why it cannot run.

    The estimate is None until the tokens, or of walks the graph, are published.
    """

    model: str
    """Name of the model, or ``walks of CORPUS``."""
    estimate: Estimate | None = None
    refusal: InputError | None = None


def forecast(
    loaded: LoadedConfig, plan: Plan, n_workers: int, resources: Resources
) -> tuple[Forecast, ...]:
    """Forecast the due walks and trainings of ``plan``, in order. Reads vocabularies and manifests.

    Models that import files or reweight another model's vectors do not train and are left out. The
    words that a fine-tuned model gets from its base are not counted: the base may not exist yet.

    Each training is compared with ``resources`` by itself, because they run one after another.
    """
    store = Store(loaded.artifacts_dir)
    due = [
        step
        for step in plan.due
        if step.stage in _LEARNED
        and isinstance(loaded.config.models[step.subject], TrainedConfig | ProneConfig)
        and schemas.RAW_EMBEDDINGS not in step.identity.parents  # turned, not trained
    ]
    published = tuple(_published(store)) if due else ()
    found = list(_walks(loaded, plan, n_workers, resources))
    for step in due:
        tokens = plan.shared[Parent(schemas.TOKENS, loaded.config.corpus_of(step.subject))]
        if tokens.action is Action.RUN:
            found.append(Forecast(step.subject))
        else:
            opened = store.open(tokens.ref)
            model = loaded.config.models[step.subject]
            if isinstance(model, ProneConfig):
                graph = store.open(store.ref(schemas.GRAPH, step.identity.parents[schemas.GRAPH]))
                found.append(_factorizing(step.subject, model, graph, opened, resources))
                continue
            found.append(_forecast(loaded, step, opened, n_workers, resources, published))
    return tuple(found)


def _walks(
    loaded: LoadedConfig, plan: Plan, n_workers: int, resources: Resources
) -> Iterator[Forecast]:
    """Due walks over graphs that are published."""
    store = Store(loaded.artifacts_dir)
    for step in plan.due:
        graph = step.identity.parents.get(schemas.GRAPH)
        if step.stage != schemas.TOKENS or graph is None:
            continue
        name, walks = f"walks of {step.subject}", loaded.config.graph_corpus(step.subject).walks
        if not store.is_published(schemas.GRAPH, graph):
            yield Forecast(name)
            continue
        opened, refusal = store.open(store.ref(schemas.GRAPH, graph)), None
        try:
            check_walks_fit(step.subject, walks, opened, n_workers, resources)
        except InputError as error:
            refusal = error
        n_nodes = opened.rows(schemas.NODES)
        n_visits = n_nodes * walks.per_node * walks.length
        needed = walks_need(walks, opened, n_workers)
        yield Forecast(name, Estimate(n_nodes, n_visits, None, False, needed, None), refusal)


def _factorizing(
    name: str, model: ProneConfig, graph: Artifact, tokens: Artifact, resources: Resources
) -> Forecast:
    refusal, n_nodes = None, tokens.rows("vocabulary")
    try:
        check_prone_fits(name, model, graph, n_nodes, resources)
    except InputError as error:
        refusal = error
    needed = prone_need(model, graph, n_nodes)
    n_tokens = tokens.manifest.counts["tokens"]
    return Forecast(name, Estimate(n_nodes, n_tokens, None, False, needed, None), refusal)


def _forecast(
    loaded: LoadedConfig,
    step: Step,
    tokens: Artifact,
    n_workers: int,
    resources: Resources,
    published: tuple[Manifest, ...],
) -> Forecast:
    model, refusal = cast("TrainedConfig", loaded.config.models[step.subject]), None
    try:
        work = read_workload(tokens, model, step.subject)
    except InputError as error:
        return Forecast(step.subject, refusal=error)
    try:
        check_fits(step.subject, model, work, n_workers, resources)
    except InputError as error:
        refusal = error
    estimate = Estimate(
        n_words=work.n_words,
        n_tokens=work.n_tokens,
        n_ngram_rows=_n_ngram_rows(work),
        is_about=work.ngrams is not None and not work.ngrams.is_exact,
        need=need(model, work, n_workers),
        duration=duration(model, work, n_workers, published),
    )
    return Forecast(step.subject, estimate, refusal)


def _n_ngram_rows(work: Workload) -> int | None:
    return None if work.ngrams is None else work.ngrams.n_rows(work.n_words)


def _published(store: Store) -> Iterator[Manifest]:
    """Manifests of all trainings, oldest first; 'nightjar verify' reports unreadable ones."""
    found = []
    for ref in (ref for stage in _LEARNED for ref in store.versions(stage)):
        try:
            manifest = Manifest.read(Path(ref.path))
        except ArtifactDamaged:
            continue
        if schemas.RAW_EMBEDDINGS not in manifest.parents:
            found.append(manifest)
    yield from sorted(found, key=lambda manifest: manifest.created_at)
