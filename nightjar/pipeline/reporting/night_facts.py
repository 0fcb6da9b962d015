"""What is known of a night: its record, and what its artifacts and the ledger say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from nightjar.config import LoadedConfig
from nightjar.core import Night
from nightjar.core.units import unit_of
from nightjar.errors import StoreError
from nightjar.pipeline.acceptance import amounts_of
from nightjar.pipeline.answerers import version_at_end
from nightjar.promotion import Event, Standing, amounts_in, read_events, standing_of
from nightjar.scoring.scores import Score, main_scores, read_scores
from nightjar.store import Artifact, Store, fingerprint, schemas
from nightjar.store.corpus_kinds import KINDS, NO_DROPS, kept_by_source
from nightjar.wording import plural_of

_CUT = ("documents_without_tokens", "token_too_short", "token_too_long")


@dataclass(frozen=True)
class CorpusFacts:
    """A corpus as of a night. Numbers are None when the artifacts are no longer kept."""

    corpus: str
    is_accepted: bool | None
    """None: the night got no further."""
    reason: str
    kind: str
    source: str | None
    """Version of what the tokens are made from: documents, a graph or events."""
    tokens: str | None
    """Version of the tokens."""
    amounts: Mapping[str, int | None]
    """By what is counted: documents and tokens of a text."""
    n_words: int | None = None
    """Distinct words, nodes or items."""
    n_quarantined: int | None = None
    sources: Mapping[str, int] = field(default_factory=dict)
    """Documents, edges or events of each source."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Records, documents and tokens that were left out, by reason."""

    @property
    def source_stage(self) -> str:
        """The stage of :attr:`source`."""
        return KINDS[self.kind].source

    @property
    def unit(self) -> str:
        """What sources give, in the singular."""
        return KINDS[self.kind].unit

    @property
    def distinct(self) -> str:
        """What its vocabulary has, as a title. Of items and nodes those that models learn."""
        units = plural_of(self.embeds)
        return f"distinct {units}" if self.kind == "text" else f"{units} with vectors"

    @property
    def embeds(self) -> str:
        """What its models have vectors of, in the singular."""
        return KINDS[self.kind].embeds

    @property
    def figures(self) -> dict[str, int | None]:
        """Every number of it, by its title."""
        return {
            **self.amounts,
            self.distinct: self.n_words,
            "in quarantine": self.n_quarantined,
        }

    def as_json(self) -> dict[str, Any]:
        """Plain JSON types; ``documents`` is called ``graph`` or ``events`` for another kind."""
        return {
            "corpus": self.corpus,
            "is_accepted": self.is_accepted,
            "reason": self.reason,
            self.source_stage: self.source,
            "tokens": self.tokens,
            **{f"n_{name}": n for name, n in self.amounts.items()},
            "n_words": self.n_words,
            "n_quarantined": self.n_quarantined,
            "sources": dict(self.sources),
            "dropped": dict(self.dropped),
        }


@dataclass(frozen=True)
class ModelFacts:
    """A model as of a night."""

    model: str
    trainer: str
    embeddings: str | None
    """Version of the artifact; None when it was not made."""
    n_words: int | None = None
    vector_size: int | None = None
    seconds: float | None = None
    """How long the training took, whenever that was."""
    losses: tuple[tuple[int, float], ...] = ()
    """Mean loss by epoch, which count from 1."""
    scores: Mapping[str, Score] = field(default_factory=dict)
    """The main score of each benchmark."""
    health: Mapping[str, float | None] = field(default_factory=dict)
    decision: Mapping[str, Any] | None = None
    """As in the night's record; None when it was not judged."""
    missing: str = ""
    """What is no longer kept, in words."""

    @property
    def version(self) -> int | None:
        """The registered version that was judged."""
        return None if self.decision is None else int(self.decision["candidate"]["version"])

    @property
    def outcome(self) -> str:
        """The decision in a word."""
        return "not judged" if self.decision is None else str(self.decision["outcome"])

    @property
    def drift(self) -> Mapping[str, Any] | None:
        """What the decision says about drift; None in older records, and without a champion."""
        found = None if self.decision is None else self.decision.get("drift")
        return found if isinstance(found, Mapping) else None

    def as_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "model": self.model,
            "version": self.version,
            "outcome": self.outcome,
            "reason": None if self.decision is None else self.decision["reason"],
            "embeddings": self.embeddings,
            "n_words": self.n_words,
            "vector_size": self.vector_size,
            "seconds": self.seconds,
            "losses": [list(loss) for loss in self.losses],
            "scores": {name: _score_as_json(score) for name, score in self.scores.items()},
            "drift": None if self.drift is None else dict(self.drift),
            "missing": self.missing,
        }


def _score_as_json(score: Score) -> dict[str, Any]:
    found = asdict(score)
    kept = ("metric", "value", "ci_low", "ci_high", "n_items", "n_covered")
    return {name: found[name] for name in kept}


@dataclass(frozen=True)
class NightFacts:
    """A night, and access to what it left."""

    loaded: LoadedConfig
    night: Night
    corpora: Mapping[str, CorpusFacts]
    models: Mapping[str, ModelFacts]
    events: Sequence[Event]
    """Those of the ledger up to the night, and of commands before the next one."""

    @property
    def store(self) -> Store:
        """Where the artifacts are."""
        return Store(self.loaded.artifacts_dir)

    def embeds(self, model: str) -> str:
        """What a model has vectors of: word, node or item; also of one that is gone since."""
        return unit_of(self.loaded.config, model)

    @cached_property
    def standing(self) -> Standing:
        """What was champion, accepted and searched after the night."""
        return standing_of(self.events)

    def opened(self, stage: str, version: str | None) -> Artifact | None:
        """An artifact; None when there is none, or it cannot be read."""
        return _opened(self.store, stage, version)

    def evaluation_of(self, model: str, embeddings: str) -> Artifact | None:
        """The scores of some embeddings of a model on the night's items; None without any."""
        for step in self.night.steps:
            if step.stage != schemas.EVALUATION or model not in step.subjects:
                continue
            found = self.opened(schemas.EVALUATION, step.version)
            if found is None:
                continue
            if found.manifest.parents.get(schemas.EMBEDDINGS) == embeddings:
                return found
            # What was scored in an earlier night in the same way has the same identity otherwise.
            identity = dict(found.manifest.identity)
            identity["parents"] = {**identity["parents"], schemas.EMBEDDINGS: embeddings}
            earlier = self.opened(schemas.EVALUATION, fingerprint(identity))
            if earlier is not None:
                return earlier
        return None


def read_facts(loaded: LoadedConfig, night: Night) -> NightFacts:
    """Read a night. Raises StoreError when the ledger cannot be read."""
    store = Store(loaded.artifacts_dir)
    config = night.config
    corpora = list(config.get("corpora", {}))
    models = config.get("models", {})
    found = _Reader(store, night)
    return NightFacts(
        loaded,
        night,
        {corpus: found.corpus(corpus) for corpus in corpora},
        {model: found.model(model, dict(section)) for model, section in models.items()},
        tuple(_until(read_events(loaded), night.number)),
    )


def _opened(store: Store, stage: str, version: str | None) -> Artifact | None:
    if version is None:
        return None
    try:
        return store.open(store.ref(stage, version))
    except StoreError:
        return None


def _until(events: Sequence[Event], number: int) -> Iterator[Event]:
    for event in events:
        if event.night is not None and event.night > number:
            return
        yield event


@dataclass(frozen=True)
class _Reader:
    store: Store
    night: Night

    def opened(self, stage: str, version: str | None) -> Artifact | None:
        return _opened(self.store, stage, version)

    def corpus(self, corpus: str) -> CorpusFacts:
        verdict = self.night.accepted.get(corpus)
        section = self.night.config["corpora"][corpus]
        kind = KINDS[section.get("kind", "text")]
        versions = {
            stage: version_at_end(self.night, stage, corpus)
            for stage in (kind.source, schemas.TOKENS)
        }
        source, tokens = (self.opened(*entry) for entry in versions.items())
        amounts: dict[str, int | None] = dict.fromkeys(kind.amounts)
        amounts |= {} if verdict is None else amounts_in(verdict)
        if source is not None and tokens is not None:
            amounts |= amounts_of(source, tokens)
        return CorpusFacts(
            corpus=corpus,
            is_accepted=None if verdict is None else bool(verdict["is_accepted"]),
            reason="" if verdict is None else str(verdict["reason"]),
            kind=section.get("kind", "text"),
            source=versions[kind.source],
            tokens=versions[schemas.TOKENS],
            amounts=amounts,
            n_words=None if tokens is None else tokens.rows("vocabulary"),
            n_quarantined=None if source is None else source.rows("quarantine"),
            sources=kept_by_source(source),
            dropped=_dropped(source, tokens),
        )

    def model(self, model: str, section: Mapping[str, Any]) -> ModelFacts:
        decision = next((one for one in self.night.decisions if one["model"] == model), None)
        version = self.night.version(schemas.EMBEDDINGS, model)
        evaluation = self.opened(schemas.EVALUATION, self.night.version(schemas.EVALUATION, model))
        embeddings = self.opened(schemas.EMBEDDINGS, version)
        n_words = vector_size = seconds = None
        losses: tuple[tuple[int, float], ...] = ()
        missing = []
        if embeddings is not None:
            n_words = embeddings.rows("vectors")
            vector_size = embeddings.schema("vectors").field("vector").type.list_size
            raw = embeddings.manifest.parents.get(schemas.RAW_EMBEDDINGS)  # of an aligned model
            trained = self.opened(schemas.RAW_EMBEDDINGS, raw) or embeddings
            seconds = trained.manifest.seconds
            losses = _losses(embeddings)
        elif version is not None:
            missing.append("its vectors")
        if evaluation is None and version is not None:
            missing.append("its scores")
        return ModelFacts(
            model=model,
            trainer=str(section.get("trainer", "")),
            embeddings=version,
            n_words=n_words,
            vector_size=vector_size,
            seconds=seconds,
            losses=losses,
            scores={} if evaluation is None else main_scores(read_scores(evaluation)),
            health={} if evaluation is None else evaluation.manifest.report.get("health", {}),
            decision=decision,
            missing=" and ".join(missing) + " are no longer kept" if missing else "",
        )


def _losses(embeddings: Artifact) -> tuple[tuple[int, float], ...]:
    if not embeddings.has_table("losses"):
        return ()
    rows = embeddings.read("losses").to_pylist()
    return tuple((row["epoch"], row["mean_loss"]) for row in rows)


def _dropped(made_from: Artifact | None, tokens: Artifact | None) -> dict[str, int]:
    """By reason, over all sources."""
    found: dict[str, int] = {}
    sources = {} if made_from is None else made_from.manifest.report.get("sources", {})
    for counts in sources.values():
        for name, count in counts.items():
            if isinstance(count, int) and count and name not in NO_DROPS:
                reason = name.removeprefix("quarantined_").replace("_", " ")
                found[reason] = found.get(reason, 0) + count
    for name in _CUT:
        count = 0 if tokens is None else tokens.manifest.counts.get(name, 0)
        if count:
            found[name.replace("_", " ")] = count
    return found
