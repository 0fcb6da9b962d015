"""Whether a night's corpus is good enough to search, to compare with and to promote from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nightjar.config import LoadedConfig
from nightjar.config.corpora import CorpusConfig
from nightjar.core import Parent, Plan
from nightjar.promotion import AcceptedNight, ArtifactDigest
from nightjar.stages.report import DOUBTS
from nightjar.store import Artifact, Store, schemas
from nightjar.store.corpus_kinds import CORPUS_SOURCES, KINDS, kept_by_source, kind_of
from nightjar.wording import counted

CORPUS_STAGES = (*CORPUS_SOURCES, schemas.TOKENS)
"""The stages whose artifacts an accepted night names: what its kind of corpus has of them."""
_SHRUNKEN = 0.1
"""A person is told when a larger share is lost, although the corpus' rule lets it pass."""


@dataclass(frozen=True)
class CorpusVerdict:
    """The result of a corpus' own rule for tonight, with its numbers."""

    corpus: str
    is_accepted: bool
    reason: str
    amounts: Mapping[str, int]
    """By what is counted: documents and tokens, nodes and edges, events and items."""
    artifacts: dict[str, ArtifactDigest]
    losses: tuple[str, ...] = ()
    """What was lost since the last accepted night and should be looked at; not in the record."""

    def as_json(self) -> dict[str, Any]:
        """Plain JSON types, for the record of the night."""
        return {
            "is_accepted": self.is_accepted,
            "reason": self.reason,
            **self.amounts,
            "versions": {stage: found.version for stage, found in self.artifacts.items()},
        }


def judge_corpus(
    loaded: LoadedConfig, plan: Plan, corpus: str, last: AcceptedNight | None
) -> CorpusVerdict | None:
    """Judge tonight's ``corpus`` against the ``last`` accepted night; None until it is made.

    Depends only on the published manifests and the config, so the verdict is reproducible.
    """
    store = Store(loaded.artifacts_dir)
    found: dict[str, Artifact] = {}
    for stage in CORPUS_STAGES:
        step = plan.shared.get(Parent(stage, corpus))
        if step is not None:
            if not store.is_published(stage, step.ref.version):
                return None
            found[stage] = store.open(step.ref)
    section = loaded.config.corpora[corpus]
    amounts = amounts_of(found.get(KINDS[section.kind].source), found[schemas.TOKENS])
    problems, losses = [], []
    if last is not None:
        for what, now in amounts.items():
            before, most = last.amounts.get(what, 0), _most_lost(section, what)
            lost = 1 - now / before if before else 0.0
            loss = f"{lost:.1%} of the {what} are lost ({now:,} of {before:,})"
            rule_name = f"corpora.{corpus}.accept.max_{what}_lost ({most:.1%})"
            if lost > most:
                problems.append(f"{loss}, more than {rule_name}")
            elif lost > _SHRUNKEN:
                losses.append(f"{loss}, which {rule_name} allows")
        losses += _silent_sources(store, found, last)
    main = next(iter(amounts))
    reason = "; ".join(problems) or (
        ", ".join(counted(n, what.removesuffix("s")) for what, n in amounts.items())
        + (
            "; the first night"
            if last is None
            else f"; {counted(last.amounts.get(main, 0), main.removesuffix('s'))} before"
        )
    )
    digests = {
        stage: ArtifactDigest(art.ref.version, art.manifest.digest) for stage, art in found.items()
    }
    return CorpusVerdict(corpus, not problems, reason, amounts, digests, tuple(losses))


def amounts_of(source: Artifact | None, tokens: Artifact) -> dict[str, int]:
    """What the rule of a corpus counts, the main thing first.

    ``source`` is what the tokens are made from; None counts as no document.
    """
    if source is not None and source.ref.stage != schemas.DOCUMENTS:
        return {name: source.manifest.counts[name] for name in kind_of(source.ref.stage).amounts}
    n_documents = 0 if source is None else source.rows(schemas.DOCUMENTS)
    return {"documents": n_documents, "tokens": tokens.manifest.counts["tokens"]}


def _most_lost(section: CorpusConfig, what: str) -> float:
    most: float = getattr(section.accept, f"max_{what}_lost")
    return most


def _silent_sources(
    store: Store, found: Mapping[str, Artifact], last: AcceptedNight
) -> Iterator[str]:
    """The sources that gave something in the ``last`` accepted night and give nothing tonight."""
    for stage in CORPUS_SOURCES:
        now, before = found.get(stage), last.artifacts.get(stage)
        if now is None or before is None or not store.is_published(stage, before.version):
            continue
        then = kept_by_source(store.open(store.ref(stage, before.version)))
        for source, n_kept in kept_by_source(now).items():
            if then.get(source, 0) and not n_kept:
                unit = kind_of(stage).unit
                yield f"the source {source} gives no {unit}, and gave {then[source]:,}"


def corpus_doubts(loaded: LoadedConfig, plan: Plan, corpus: str) -> tuple[str, ...]:
    """What looks wrong in tonight's ``corpus``, according to its report; none without one."""
    step = plan.shared.get(Parent(schemas.CORPUS_REPORT, corpus))
    store = Store(loaded.artifacts_dir)
    if step is None or not store.is_published(schemas.CORPUS_REPORT, step.ref.version):
        return ()
    return tuple(store.open(step.ref).manifest.report.get(DOUBTS, ()))
