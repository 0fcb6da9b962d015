"""The outcome of a night, read back from its record and from what was published."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from nightjar.config import LoadedConfig, SimilarityBenchmark
from nightjar.core import Night
from nightjar.core.units import WORD, unit_of
from nightjar.errors import RegistryUnavailable
from nightjar.formats.item_titles import Titles, titles_of
from nightjar.model.lookup import VectorModel
from nightjar.pipeline.answerers import open_registered
from nightjar.promotion import read_events, standing_of
from nightjar.registry import CHAMPION, RegistryPlace, registered_name
from nightjar.scoring.scores import Score, main_scores, read_scores
from nightjar.stages.evaluate.kinds import read_benchmark
from nightjar.stages.evaluate.word_pairs import WordPairs
from nightjar.store import Store, schemas

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelOutcome:
    """One model: its scores, its decision, and where to find it.

    ``scores`` holds the main score of each benchmark, empty until the model is evaluated.
    ``registry_version`` and ``decision`` are None until it is judged.
    """

    model: str
    registered_model: str
    embeddings_version: str | None
    n_words: int | None
    scores: Mapping[str, Score]
    registry_version: int | None
    decision: str | None
    """"promoted", "blocked", "waiting", "unchanged" (the champion), or "passed" (in a trial)."""
    reason: str | None
    note: str = ""
    """A remark, such as held or trial."""
    champion: int | None = None
    """The version that the alias points to now; None if it points nowhere. While MLflow does not
    answer, the version that is champion by the ledger."""
    embeds: str = WORD
    """What it has vectors of: word, node or item."""


def read_outcomes(loaded: LoadedConfig, night: Night) -> tuple[ModelOutcome, ...]:
    """Read the outcome of every configured model in ``night``, as far as it got."""
    champions = _champions(loaded)
    return tuple(_outcome(loaded, night, model, champions[model]) for model in loaded.config.models)


def _champions(loaded: LoadedConfig) -> Mapping[str, int | None]:
    """The version that is champion, by model."""
    names = {
        model: registered_name(loaded.config.pipeline.name, model) for model in loaded.config.models
    }
    place = RegistryPlace.of(loaded.config.registry, loaded.artifacts_dir)
    try:
        reader = place.reader()
        return {model: reader.aliases(name).get(CHAMPION) for model, name in names.items()}
    except RegistryUnavailable as error:
        # The night is over and recorded: it has not failed.
        logger.warning("the champions are shown by the ledger: %s", error)
    standing = standing_of(read_events(loaded))
    found = {model: standing.model(model).champion for model in names}
    return {model: None if ref is None else ref.number for model, ref in found.items()}


def _outcome(loaded: LoadedConfig, night: Night, model: str, champion: int | None) -> ModelOutcome:
    store = Store(loaded.artifacts_dir)
    embeddings = night.version(schemas.EMBEDDINGS, model)
    evaluation = night.version(schemas.EVALUATION, model)
    n_words = None
    if embeddings is not None and store.is_published(schemas.EMBEDDINGS, embeddings):
        n_words = store.open(store.ref(schemas.EMBEDDINGS, embeddings)).rows("vectors")
    scores: Mapping[str, Score] = {}
    if evaluation is not None and store.is_published(schemas.EVALUATION, evaluation):
        scores = main_scores(read_scores(store.open(store.ref(schemas.EVALUATION, evaluation))))
    decision = next((found for found in night.decisions if found["model"] == model), None)
    return ModelOutcome(
        model=model,
        registered_model=registered_name(loaded.config.pipeline.name, model),
        embeddings_version=embeddings,
        n_words=n_words,
        scores=scores,
        registry_version=None if decision is None else decision["candidate"]["version"],
        decision=None if decision is None else decision["outcome"],
        reason=None if decision is None else decision["reason"],
        note="" if decision is None else decision["note"],
        champion=champion,
        embeds=unit_of(loaded.config, model),
    )


@dataclass(frozen=True)
class WordSample:
    """A word and its nearest ones, best first."""

    word: str
    neighbors: tuple[str, ...]
    titles: Titles = field(default_factory=Titles)
    """Of the word and its neighbours, if they are items."""


_N_NEIGHBORS = 5
_N_FREQUENT = 100
_FLOORS = (100, 20, 0)
"""How often a word must occur to be shown; the lower ones are for small corpora, and for imported
vectors without counts."""


def sample_words(loaded: LoadedConfig, outcome: ModelOutcome, n_words: int) -> list[WordSample]:
    """Some words with their neighbours in the champion, for people to judge by.

    Words of the similarity benchmarks that are frequent enough for their vectors to be learned,
    those with the nearest neighbours first; a word that is a neighbour of another one is left out.
    Of nodes and items the most frequent ones. Empty without a champion, and for text without such a
    benchmark. Raises NightjarError when the model cannot be read.
    """
    place = RegistryPlace.of(loaded.config.registry, loaded.artifacts_dir)
    version = place.reader().alias(outcome.registered_model, CHAMPION)
    is_text = outcome.embeds == WORD
    words = _benchmark_words(loaded) if is_text else []
    if version is None or (is_text and not words):
        return []
    model = open_registered(place, version)
    if not is_text:
        words = model.table.tokens_of(np.arange(min(_N_FREQUENT, len(model.table))))
    rows = model.table.rows(words)
    counts = np.where(rows < 0, -1, model.table.counts[rows])
    for floor in _FLOORS:
        known = [word for word, count in zip(words, counts.tolist(), strict=True) if count >= floor]
        found = _closest(model, known, n_words)
        if len(found) == n_words:
            break
    return found


def _benchmark_words(loaded: LoadedConfig) -> list[str]:
    words: list[str] = []
    for name, benchmark in loaded.config.evaluation.benchmarks.items():
        if isinstance(benchmark, SimilarityBenchmark):
            items = read_benchmark(name, benchmark, loaded.base_dir)
            if isinstance(items, WordPairs):
                words += [*items.left, *items.right]
    return list(dict.fromkeys(word.lower() for word in words))


def _closest(model: VectorModel, words: list[str], n_words: int) -> list[WordSample]:
    answers = model.neighbors(words, _N_NEIGHBORS)
    means = [sum(near.similarity for near in answer) for answer in answers]
    shown: list[WordSample] = []
    for place in sorted(range(len(words)), key=means.__getitem__, reverse=True):
        neighbors = tuple(near.token for near in answers[place])
        seen = {name for sample in shown for name in (sample.word, *sample.neighbors)}
        if neighbors and not seen & {words[place], *neighbors}:
            titles = titles_of(model, [words[place], *neighbors])
            shown.append(WordSample(words[place], neighbors, titles))
        if len(shown) == n_words:
            break
    return shown
