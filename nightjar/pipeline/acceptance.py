"""Whether a night's corpus is good enough to search, to compare with and to promote from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nightjar.config import LoadedConfig
from nightjar.core import Parent, Plan
from nightjar.promotion import AcceptedNight, ArtifactDigest
from nightjar.store import Artifact, Store, schemas

_CORPUS_STAGES = (schemas.DOCUMENTS, schemas.TOKENS)


@dataclass(frozen=True)
class CorpusVerdict:
    """The result of a corpus' own rule for tonight, with its numbers."""

    corpus: str
    is_accepted: bool
    reason: str
    n_documents: int
    n_tokens: int
    artifacts: dict[str, ArtifactDigest]

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
    problems = []
    if last is not None:
        for what, now, before, most in (
            ("documents", n_documents, last.n_documents, rule.max_documents_lost),
            ("tokens", n_tokens, last.n_tokens, rule.max_tokens_lost),
        ):
            lost = 1 - now / before if before else 0.0
            if lost > most:
                problems.append(
                    f"{lost:.1%} of the {what} are lost ({now:,} of {before:,}), more than "
                    f"corpora.{corpus}.accept.max_{what}_lost ({most:.1%})"
                )
    reason = "; ".join(problems) or (
        f"{n_documents:,} documents, {n_tokens:,} tokens"
        + ("; the first night" if last is None else f"; {last.n_documents:,} documents before")
    )
    digests = {
        stage: ArtifactDigest(art.ref.version, art.manifest.digest) for stage, art in found.items()
    }
    return CorpusVerdict(corpus, not problems, reason, n_documents, n_tokens, digests)
