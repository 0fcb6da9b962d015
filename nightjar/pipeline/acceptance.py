"""Whether a night's corpus is good enough to search, to compare with and to promote from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nightjar.config import LoadedConfig
from nightjar.core import Parent, Plan
from nightjar.promotion import AcceptedNight, ArtifactDigest
from nightjar.stages.report import DOUBTS
from nightjar.store import Artifact, Store, schemas
from nightjar.wording import counted

_CORPUS_STAGES = (schemas.DOCUMENTS, schemas.TOKENS)
_SHRUNKEN = 0.1
"""A person is told when a larger share is lost, although the corpus' rule lets it pass."""


@dataclass(frozen=True)
class CorpusVerdict:
    """The result of a corpus' own rule for tonight, with its numbers."""

    corpus: str
    is_accepted: bool
    reason: str
    n_documents: int
    n_tokens: int
    artifacts: dict[str, ArtifactDigest]
    losses: tuple[str, ...] = ()
    """What was lost since the last accepted night and should be looked at; not in the record."""

    def as_json(self) -> dict[str, Any]:
        """Plain JSON types, for the record of the night."""
        return {
            "is_accepted": self.is_accepted,
            "reason": self.reason,
            "documents": self.n_documents,
            "tokens": self.n_tokens,
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
    for stage in _CORPUS_STAGES:
        step = plan.shared.get(Parent(stage, corpus))
        if step is not None:
            if not store.is_published(stage, step.ref.version):
                return None
            found[stage] = store.open(step.ref)
    documents, tokens = found.get(schemas.DOCUMENTS), found[schemas.TOKENS]
    n_documents = 0 if documents is None else documents.rows("documents")
    n_tokens = tokens.manifest.counts["tokens"]
    rule = loaded.config.corpora[corpus].accept
    problems, losses = [], []
    if last is not None:
        for what, now, before, most in (
            ("documents", n_documents, last.n_documents, rule.max_documents_lost),
            ("tokens", n_tokens, last.n_tokens, rule.max_tokens_lost),
        ):
            lost = 1 - now / before if before else 0.0
            loss = f"{lost:.1%} of the {what} are lost ({now:,} of {before:,})"
            rule_name = f"corpora.{corpus}.accept.max_{what}_lost ({most:.1%})"
            if lost > most:
                problems.append(f"{loss}, more than {rule_name}")
            elif lost > _SHRUNKEN:
                losses.append(f"{loss}, which {rule_name} allows")
        losses += _silent_sources(store, documents, last)
    reason = "; ".join(problems) or (
        f"{counted(n_documents, 'document')}, {counted(n_tokens, 'token')}"
        + (
            "; the first night"
            if last is None
            else f"; {counted(last.n_documents, 'document')} before"
        )
    )
    digests = {
        stage: ArtifactDigest(art.ref.version, art.manifest.digest) for stage, art in found.items()
    }
    return CorpusVerdict(
        corpus, not problems, reason, n_documents, n_tokens, digests, tuple(losses)
    )


def _silent_sources(store: Store, documents: Artifact | None, last: AcceptedNight) -> Iterator[str]:
    """The sources that gave documents in the ``last`` accepted night and give none tonight."""
    before = last.artifacts.get(schemas.DOCUMENTS)
    if documents is None or before is None:
        return
    if not store.is_published(schemas.DOCUMENTS, before.version):
        return
    then = store.open(store.ref(schemas.DOCUMENTS, before.version))
    for source, counts in documents.manifest.report["sources"].items():
        n_before = then.manifest.report["sources"].get(source, {}).get("documents_kept", 0)
        if n_before and not counts["documents_kept"]:
            yield f"the source {source} gives no document, and gave {n_before:,}"


def corpus_doubts(loaded: LoadedConfig, plan: Plan, corpus: str) -> tuple[str, ...]:
    """What looks wrong in tonight's ``corpus``, according to its report; none without one."""
    step = plan.shared.get(Parent(schemas.CORPUS_REPORT, corpus))
    store = Store(loaded.artifacts_dir)
    if step is None or not store.is_published(schemas.CORPUS_REPORT, step.ref.version):
        return ()
    return tuple(store.open(step.ref).manifest.report.get(DOUBTS, ()))
