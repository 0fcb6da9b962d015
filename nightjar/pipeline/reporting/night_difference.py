"""What differs between two nights: config, corpora, models, words and the time of the steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from nightjar.core import Night
from nightjar.core.nights import StepOutcome
from nightjar.formats.item_titles import Titles, titles_in
from nightjar.pipeline.reporting.night_facts import CorpusFacts, ModelFacts, NightFacts
from nightjar.pipeline.reporting.word_changes import (
    DRIFT,
    WordChanges,
    compare_words,
    drift_of_pair,
)
from nightjar.scoring.scores import Score
from nightjar.stages.report import compare_vocabularies
from nightjar.store import Artifact, schemas

_RAN = (StepOutcome.PUBLISHED, StepOutcome.FAILED)
_MOST_WORDS = 100


@dataclass(frozen=True)
class ConfigChange:
    """A key of the config that differs; None: the key is not there."""

    key: str
    before: Any
    after: Any


@dataclass(frozen=True)
class VocabularyChange:
    """How the distinct words of a corpus changed."""

    n_come: int
    n_gone: int
    come: tuple[tuple[str, int], ...]
    """The most frequent ones, with their counts."""
    gone: tuple[tuple[str, int], ...]
    titles: Titles = field(default_factory=Titles)
    """Of the items that are listed."""

    def as_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {**asdict(self), "titles": dict(self.titles.by_token)}


@dataclass(frozen=True)
class CorpusDifference:
    """A corpus in two nights; a side is None where that night's config does not have it."""

    before: CorpusFacts | None
    after: CorpusFacts | None
    vocabulary: VocabularyChange | None
    """None where one side's tokens are no longer kept."""

    @property
    def corpus(self) -> str:
        """Its name."""
        found = self.after or self.before
        return "" if found is None else found.corpus

    @property
    def figures(self) -> list[tuple[str, int | None, int | None]]:
        """Each number of it by its title, before and after."""
        before, after = ({} if side is None else side.figures for side in (self.before, self.after))
        return [(what, before.get(what), after.get(what)) for what in {**after, **before}]


@dataclass(frozen=True)
class ScoreChange:
    """A benchmark's main score in both nights; None where a night has none."""

    benchmark: str
    metric: str
    before: Score | None
    after: Score | None


@dataclass(frozen=True)
class ModelDifference:
    """A model in two nights; a side is None where that night's config does not have it."""

    before: ModelFacts | None
    after: ModelFacts | None
    scores: tuple[ScoreChange, ...]
    words: WordChanges | None
    """None where one side's vectors are no longer kept."""

    @property
    def model(self) -> str:
        """Its name."""
        found = self.after or self.before
        return "" if found is None else found.model

    @property
    def is_same(self) -> bool:
        """Whether both nights have the same embeddings."""
        if self.before is None or self.after is None:
            return False
        return self.before.embeddings == self.after.embeddings


@dataclass(frozen=True)
class StepChange:
    """A step that ran in one of the nights; seconds are None where it did not run."""

    label: str
    before: float | None
    after: float | None


@dataclass(frozen=True)
class NightDifference:
    """Everything that differs between two nights of one pipeline."""

    before: NightFacts
    after: NightFacts
    config: tuple[ConfigChange, ...]
    corpora: tuple[CorpusDifference, ...]
    models: tuple[ModelDifference, ...]
    steps: tuple[StepChange, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "before": _night_as_json(self.before.night),
            "after": _night_as_json(self.after.night),
            "config": [asdict(change) for change in self.config],
            "corpora": [
                {
                    "corpus": found.corpus,
                    "before": None if found.before is None else found.before.as_json(),
                    "after": None if found.after is None else found.after.as_json(),
                    "vocabulary": None if found.vocabulary is None else found.vocabulary.as_json(),
                }
                for found in self.corpora
            ],
            "models": [
                {
                    "model": found.model,
                    "before": None if found.before is None else found.before.as_json(),
                    "after": None if found.after is None else found.after.as_json(),
                    "words": None if found.words is None else found.words.as_json(),
                }
                for found in self.models
            ],
            "steps": [asdict(step) for step in self.steps],
        }


def _night_as_json(night: Night) -> dict[str, Any]:
    return {
        "night": night.number,
        "status": night.status.value,
        "is_trial": night.is_trial,
        "started_at": night.started_at,
        "seconds": night.seconds,
        "commit": night.code.get("commit", ""),
        "alarms": list(night.alarms),
    }


def compare_nights(
    before: NightFacts, after: NightFacts, *, reads_words: bool = True
) -> NightDifference:
    """Compare two nights. Raises StoreError when what is kept cannot be read.

    Without ``reads_words`` the words of models are not compared, which is the slow part.
    """
    return NightDifference(
        before,
        after,
        tuple(config_changes(before.night, after.night)),
        tuple(_corpus(before, after, corpus) for corpus in _both(before.corpora, after.corpora)),
        tuple(
            _model(before, after, model, reads_words)
            for model in _both(before.models, after.models)
        ),
        tuple(_steps(before.night, after.night)),
    )


def _both(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys((*after, *before)))


def config_changes(before: Night, after: Night) -> Iterator[ConfigChange]:
    """The keys of the recorded configs that differ, those of the code's versions included."""
    for prefix, old, new in (("", before.config, after.config), ("code.", before.code, after.code)):
        then, now = dict(_flat(old)), dict(_flat(new))
        for key in _both(then, now):
            if then.get(key) != now.get(key):
                yield ConfigChange(f"{prefix}{key}", then.get(key), now.get(key))


def _flat(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(config, Mapping) and config:
        for key, value in config.items():
            yield from _flat(value, f"{prefix}.{key}" if prefix else str(key))
    elif prefix:
        yield prefix, config


def _corpus(before: NightFacts, after: NightFacts, corpus: str) -> CorpusDifference:
    then, now = before.corpora.get(corpus), after.corpora.get(corpus)
    old = before.opened(schemas.TOKENS, None if then is None else then.tokens)
    new = after.opened(schemas.TOKENS, None if now is None else now.tokens)
    vocabulary = None
    if old is not None and new is not None:
        sources = (_source(before, then), _source(after, now))
        vocabulary = _titled(_vocabulary(old, new), sources)
    return CorpusDifference(then, now, vocabulary)


def _source(facts: NightFacts, corpus: CorpusFacts | None) -> Artifact | None:
    """What the tokens of a corpus were made from."""
    return None if corpus is None else facts.opened(corpus.source_stage, corpus.source)


def _titled(found: VocabularyChange, sources: Sequence[Artifact | None]) -> VocabularyChange:
    """With the titles that events know."""
    listed = [token for token, _ in (*found.come, *found.gone)]
    known: dict[str, str] = {}
    for source in sources:
        known |= titles_in(source, listed).by_token
    return replace(found, titles=Titles(known))


def _vocabulary(old: Artifact, new: Artifact) -> VocabularyChange:
    if old.manifest.digest == new.manifest.digest:
        return VocabularyChange(0, 0, (), ())
    found = compare_vocabularies(new, old)
    come, gone = (
        tuple(
            zip(
                *(table.column(name).to_pylist()[:_MOST_WORDS] for name in ("token", "count")),
                strict=True,
            )
        )
        for table in (found.appeared, found.vanished)
    )
    return VocabularyChange(found.n_appeared, found.n_vanished, come, gone)


def _model(before: NightFacts, after: NightFacts, model: str, reads_words: bool) -> ModelDifference:
    then, now = before.models.get(model), after.models.get(model)
    scores = tuple(
        _score(name, then, now)
        for name in _both({} if then is None else then.scores, {} if now is None else now.scores)
    )
    words = None
    if reads_words and then is not None and now is not None:
        words = words_between(after, model, then.embeddings, now.embeddings)
    return ModelDifference(then, now, scores, words)


def _score(name: str, then: ModelFacts | None, now: ModelFacts | None) -> ScoreChange:
    old = None if then is None else then.scores.get(name)
    new = None if now is None else now.scores.get(name)
    found = new or old
    return ScoreChange(name, "" if found is None else found.metric, old, new)


def words_between(
    facts: NightFacts, model: str, before: str | None, after: str | None
) -> WordChanges | None:
    """How the words changed between two versions of embeddings; None where one is gone.

    What a night has measured is used, if it measured exactly these two.
    """
    old, new = facts.opened(schemas.EMBEDDINGS, before), facts.opened(schemas.EMBEDDINGS, after)
    if old is None or new is None:
        return None
    return compare_words(old, new, _drift(facts, model, str(before), str(after)))


def _drift(facts: NightFacts, model: str, before: str, after: str) -> Artifact | None:
    found = facts.models[model].drift if model in facts.models else None
    name = str((found or {}).get("artifact", ""))
    stage, _, version = name.partition("/")
    if stage != DRIFT or not version:
        return None
    artifact = facts.opened(DRIFT, version)
    is_there = artifact is not None and artifact.has_table("words")
    return artifact if is_there and artifact and drift_of_pair(artifact, before, after) else None


def _steps(before: Night, after: Night) -> Iterator[StepChange]:
    then, now = _seconds(before), _seconds(after)
    for label in _both(then, now):
        yield StepChange(label, then.get(label), now.get(label))


def _seconds(night: Night) -> dict[str, float]:
    """Of each step that ran, by label; those of one label added up."""
    found: dict[str, float] = {}
    for step in night.steps:
        if step.outcome in _RAN:
            found[step.label] = found.get(step.label, 0.0) + step.seconds
    return found
