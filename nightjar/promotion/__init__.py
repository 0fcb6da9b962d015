"""Promotion: the gate, the ledger, and the way back.

An event in the pipeline's ledger (:mod:`.ledger`, :mod:`.events`) makes a registered version
champion; MLflow's alias follows it (:mod:`.applying`). Folding the events gives the current
standing (:mod:`.standing`): champion, reference, rollback targets, accepted nights, and what is
searched.

A night asks the gate (:mod:`.gate`) about each candidate and settles its decision
(:class:`Promoter`); a person gives orders (:class:`Steward`); everything else only reads
(:func:`read_standing`). MLflow is imported only where the registry is not a SQLite file.
"""

from nightjar.promotion.contenders import (
    BaseUse,
    BenchmarkScore,
    Contender,
    Facts,
    Noise,
    Question,
    benchmark_scores,
    chosen_scores,
    decided_scores,
    facts_of,
    find_vectors,
    is_of,
)
from nightjar.promotion.current_standing import (
    Explanation,
    NightsDecision,
    explain,
    read_events,
    read_standing,
)
from nightjar.promotion.events import Event, EventKind, ServedIndex, Serving, VersionRef, amounts_in
from nightjar.promotion.gate import Decision, Outcome, decide
from nightjar.promotion.ledger import Ledger, ledger_directory
from nightjar.promotion.measured_noise import find_measurement, find_noise
from nightjar.promotion.promoter import Acceptance, Promoter, SettledDecision
from nightjar.promotion.standing import (
    AcceptedNight,
    AnchorVersion,
    ArtifactDigest,
    ModelStanding,
    Standing,
    standing_of,
)
from nightjar.promotion.steward import Change, JudgeAgain, PrepareServing, Steward

__all__ = [
    "Acceptance",
    "AcceptedNight",
    "AnchorVersion",
    "ArtifactDigest",
    "BaseUse",
    "BenchmarkScore",
    "Change",
    "Contender",
    "Decision",
    "Event",
    "EventKind",
    "Explanation",
    "Facts",
    "JudgeAgain",
    "Ledger",
    "ModelStanding",
    "NightsDecision",
    "Noise",
    "Outcome",
    "PrepareServing",
    "Promoter",
    "Question",
    "ServedIndex",
    "Serving",
    "SettledDecision",
    "Standing",
    "Steward",
    "VersionRef",
    "amounts_in",
    "benchmark_scores",
    "chosen_scores",
    "decide",
    "decided_scores",
    "explain",
    "facts_of",
    "find_measurement",
    "find_noise",
    "find_vectors",
    "is_of",
    "ledger_directory",
    "read_events",
    "read_standing",
    "standing_of",
]
