"""The tags of a run and of a registered version: lineage, scores, decision."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from nightjar.registry.gate import CHALLENGER, CHAMPION, Decision, GateScores
from nightjar.registry.reading import RegisteredVersion
from nightjar.registry.summary import ModelSummary

PREFIX = "nightjar."
REGISTRATION_TAG = f"{PREFIX}registration_version"
_SCORE = "score."
_COVERAGE = "coverage."
_DECISION = f"{PREFIX}decision"
_REASON = f"{PREFIX}reason"
_GATE_SCORE = f"{PREFIX}gate_score"
_GATE_COVERAGE = f"{PREFIX}gate_coverage"
_CHAMPION_SCORE = f"{PREFIX}champion_score"
_PREVIOUS_CHAMPION = f"{PREFIX}previous_champion"


@dataclass(frozen=True)
class Verdict:
    """A decision, and the version that was champion when it was taken."""

    decision: Decision
    previous_champion: int | None


def lineage_tags(summary: ModelSummary) -> dict[str, str]:
    """Where the model comes from and what it scores; for the run and the version alike."""
    request = summary.request
    tags = {f"{PREFIX}{stage}_version": version for stage, version in summary.versions.items()}
    tags |= {
        f"{PREFIX}pipeline": request.pipeline.name,
        f"{PREFIX}model": request.model_name,
        f"{PREFIX}trainer": request.model.trainer,
        f"{PREFIX}corpus": "" if summary.corpus is None else summary.corpus.sources,
        f"{PREFIX}git_commit": request.git_commit or "",
    }
    for name, score in summary.main.items():
        tags |= _optional(f"{_SCORE}{name}", score.value)
        tags |= _optional(f"{_COVERAGE}{name}", score.coverage)
    return {key: value for key, value in tags.items() if value}


def verdict_tags(verdict: Verdict) -> dict[str, str]:
    """The decision as tags of the version."""
    decision, previous = verdict.decision, verdict.previous_champion
    tags = {_DECISION: decision.decision, _REASON: decision.reason}
    tags |= _optional(_GATE_SCORE, decision.score)
    tags |= _optional(_GATE_COVERAGE, decision.coverage)
    tags |= _optional(_CHAMPION_SCORE, decision.champion_score)
    tags[_PREVIOUS_CHAMPION] = "" if previous is None else str(previous)
    return tags


def read_verdict(tags: Mapping[str, str]) -> Verdict | None:
    """The decision that the tags of a version hold; None when they hold none."""
    decisions: dict[str | None, Literal["champion", "challenger"]] = {
        CHAMPION: CHAMPION,
        CHALLENGER: CHALLENGER,
    }
    decision = decisions.get(tags.get(_DECISION))
    coverage = _number(tags, _GATE_COVERAGE)
    if decision is None or coverage is None:
        return None
    previous = tags.get(_PREVIOUS_CHAMPION, "")
    return Verdict(
        decision=Decision(
            decision=decision,
            reason=tags.get(_REASON, ""),
            score=_number(tags, _GATE_SCORE),
            coverage=coverage,
            champion_score=_number(tags, _CHAMPION_SCORE),
        ),
        previous_champion=int(previous) if previous.isdigit() else None,
    )


def gate_scores(version: RegisteredVersion) -> GateScores:
    """What the gate looks at, from the tags of a registered version."""
    scores = {name: _number(version.tags, f"{_SCORE}{name}") for name in _names(version, _SCORE)}
    coverage = {
        name: _number(version.tags, f"{_COVERAGE}{name}") or 0.0
        for name in _names(version, _COVERAGE)
    }
    return GateScores(label=f"version {version.version}", scores=scores, coverage=coverage)


def _names(version: RegisteredVersion, prefix: str) -> list[str]:
    return [key.removeprefix(prefix) for key in version.tags if key.startswith(prefix)]


def _optional(key: str, value: float | None) -> dict[str, str]:
    """The tag in full precision; none for an undefined value."""
    return {} if value is None or math.isnan(value) else {key: repr(float(value))}


def _number(tags: Mapping[str, str], key: str) -> float | None:
    """A tag that people may have edited, as a finite number or None."""
    try:
        value = float(tags[key])
    except (KeyError, ValueError):
        return None
    return value if math.isfinite(value) else None
