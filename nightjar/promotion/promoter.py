"""How a night judges its candidates and promotes those that pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from nightjar.config import LoadedConfig
from nightjar.errors import ModelFilesDamaged
from nightjar.promotion.applying import Desk
from nightjar.promotion.contenders import Contender, Question
from nightjar.promotion.events import (
    ARTIFACTS,
    DECISION,
    N_DOCUMENTS,
    N_TOKENS,
    Event,
    EventKind,
    Serving,
    VersionRef,
    reference_evidence,
    serving_evidence,
)
from nightjar.promotion.gate import Decision, Outcome, decide, decision_key
from nightjar.promotion.ledger import Ledger, NewEvent, Writer
from nightjar.promotion.standing import ArtifactDigest, ModelStanding, Standing
from nightjar.registry import GATE_TAG, check_files_whole


@dataclass(frozen=True)
class SettledDecision:
    """The result of settling a decision."""

    decision: Decision
    event: Event | None
    """The event that was written; None when there was nothing new to record."""
    is_promoted: bool
    """Whether this made the candidate champion."""
    note: str = ""
    """A remark: that the model is held, or why nothing was recorded."""


@dataclass(frozen=True)
class Acceptance:
    """A night's corpus that its own rule accepted."""

    corpus: str
    artifacts: Mapping[str, ArtifactDigest]
    """By stage."""
    n_documents: int
    n_tokens: int
    reason: str


class Promoter:
    """Decides for one night of a pipeline; ``night`` is its number.

    Every write holds the ledger's lock only briefly, so commands are safe during a night.
    """

    def __init__(self, loaded: LoadedConfig, actor: str, night: int | None = None) -> None:
        self._desk = Desk(loaded, Writer(actor, night))

    @property
    def ledger(self) -> Ledger:
        """The pipeline's ledger."""
        return self._desk.ledger

    def ledger_id(self) -> str:
        """The ledger's id, which is made if missing."""
        return self._desk.ledger.make_id()

    def standing(self) -> Standing:
        """The current standing, by the ledger."""
        return self._desk.standing()

    def recover(self) -> list[str]:
        """Complete what earlier runs and commands left unfinished; return the alarms.

        An alarm reports an alias that was moved by hand. Its model is held, recorded once.
        Raises ForeignModel, LedgerDamaged, RegistryUnavailable.
        """
        models = sorted({*self._desk.configured, *self.standing().models})
        with self._desk.writing(models) as alarms:
            return alarms

    def judge(self, question: Question) -> Decision:
        """Ask the gate. Writes nothing.

        Raises ValueError unless champion and reference are those of :meth:`standing`.
        """
        standing = self.standing()
        model = standing.model(question.model)
        for role, contender, expected in (
            ("champion", question.champion, model.champion),
            ("reference", question.reference, model.reference),
        ):
            if _version(contender) != expected:
                raise ValueError(f"the {role} of {question.model} is {expected}, not {contender}")
        base_champion = _base_champion(question, standing)
        key = decision_key(question, base_champion)
        versions = {
            "candidate": _version(question.candidate),
            "champion": _version(question.champion),
            "reference": _version(question.reference),
        }
        for event in reversed(self._desk.ledger.events()):
            if event.decision_key == key and event.subject == question.model:
                recorded = event.evidence[DECISION]
                found = Decision.of_json(recorded)
                # The same question has the same answer, but its words name versions by number, and
                # the same bytes may have another one since.
                if found.base_champion == base_champion and versions == {
                    role: None
                    if recorded[role] is None
                    else VersionRef(**recorded[role]["version"])
                    for role in versions
                }:
                    return found
        return decide(question, base_champion)

    def will_promote(self, question: Question, decision: Decision) -> bool:
        """Whether :meth:`settle` would make the candidate champion now."""
        is_held = self.standing().model(question.model).is_held
        return decision.outcome is Outcome.PROMOTED and not is_held

    def settle(
        self,
        question: Question,
        decision: Decision,
        serving: Serving | None = None,
        is_trial: bool = False,
    ) -> SettledDecision:
        """Record the decision if it says something new, and move the aliases.

        ``serving``, what is searched once the candidate is champion, goes into the promotion's
        event. A trial records nothing. Raises ModelFilesDamaged before anything is written when the
        candidate's files are damaged.
        """
        if is_trial:
            return SettledDecision(decision, None, False, "a trial promotes nothing")
        if decision.outcome is Outcome.PROMOTED:
            self._check_files(question)
        with self._desk.writing([question.model]):
            standing = self.standing()
            if not _is_current(question, decision, standing):
                note = "not recorded: meanwhile a command changed what it depends on"
                return SettledDecision(decision, None, False, note)
            model = standing.model(question.model)
            settled = self._settle(question, decision, model, serving)
            self._describe(question, decision)
            self._desk.keep_challenger(question.model, question.candidate.version.number)
        return settled

    def _check_files(self, question: Question) -> None:
        candidate = question.candidate.version
        name = self._desk.registered_name(question.model)
        found = self._desk.reader.version(name, candidate.number)
        if found is None:
            raise ModelFilesDamaged(
                f"{name} version {candidate.number} is not in the registry; run again, which "
                f"registers it again"
            )
        problems = check_files_whole(self._desk.place, found)
        if problems:
            self._desk.registry.set_aside(found)
            raise ModelFilesDamaged(
                f"{problems[0]}. It is not promoted; run again, which registers it again"
            )

    def _settle(
        self,
        question: Question,
        decision: Decision,
        model: ModelStanding,
        serving: Serving | None,
    ) -> SettledDecision:
        if decision.outcome is Outcome.UNCHANGED:
            return SettledDecision(decision, None, False)
        if decision.outcome is Outcome.BLOCKED:
            if decision.key in model.blocked_keys:
                return SettledDecision(decision, None, False, "as it was decided before")
            event = self._record(EventKind.BLOCKED, question, decision, decision.reason)
            return SettledDecision(decision, event, False)
        candidate = question.candidate.version
        if decision.outcome is Outcome.WAITING or model.is_held:
            note = f"held: {model.hold_reason}" if model.is_held else ""
            waiting = model.waiting
            if waiting is not None and waiting.new == candidate:
                if waiting.decision_key == decision.key:
                    return SettledDecision(decision, None, False, note or "it waits already")
            else:
                self._supersede(question, model)
            reason = f"{note}. It would pass: {decision.reason}" if note else decision.reason
            event = self._record(EventKind.WAITING, question, decision, reason)
            return SettledDecision(decision, event, False, note)
        if model.waiting is not None and model.waiting.new != candidate:
            self._supersede(question, model)
        evidence = serving_evidence(serving)
        if decision.moves_reference:
            evidence |= reference_evidence(candidate)
        event = self._record(EventKind.PROMOTED, question, decision, decision.reason, evidence)
        return SettledDecision(decision, event, True)

    def _describe(self, question: Question, decision: Decision) -> None:
        """Put the verdict with each rule on the version's page in MLflow, unless it is there."""
        if decision.outcome is Outcome.UNCHANGED:
            return
        number = question.candidate.version.number
        name = self._desk.registered_name(question.model)
        found = self._desk.reader.version(name, number)
        if found is None or found.tags.get(f"{GATE_TAG}_key") == decision.key:
            return
        rules = {
            f"{GATE_TAG}.{rule.rule}": f"{'holds' if rule.holds else 'fails'}: {rule.said}"
            for rule in decision.rules
        }
        night = self._desk.writer.night
        when = "" if night is None else f" in night {night}"
        lines = [f"- {key.removeprefix(f'{GATE_TAG}.')} {said}" for key, said in rules.items()]
        verdict = "\n".join((f"{decision.outcome}{when}: {decision.reason}", "", *lines))
        tags = {
            GATE_TAG: decision.outcome.value,
            f"{GATE_TAG}_key": decision.key,
            f"{GATE_TAG}_reason": decision.reason,
            **rules,
        }
        self._desk.registry.describe(name, number, tags, verdict)

    def _supersede(self, question: Question, model: ModelStanding) -> None:
        """Record that the waiting version no longer waits."""
        if model.waiting is None:
            return
        self._desk.record(
            NewEvent(
                kind=EventKind.SUPERSEDED,
                subject=question.model,
                old=model.champion,
                new=model.waiting.new,
                reason=f"version {question.candidate.version.number} is the newer candidate",
            )
        )

    def _record(
        self,
        kind: EventKind,
        question: Question,
        decision: Decision,
        reason: str,
        evidence: Mapping[str, Any] | None = None,
    ) -> Event:
        return self._desk.record(
            NewEvent(
                kind=kind,
                subject=question.model,
                old=_version(question.champion),
                new=question.candidate.version,
                reason=reason,
                decision_key=decision.key,
                evidence={
                    DECISION: {
                        **decision.as_json(),
                        "gate": question.gate.model_dump(mode="json"),
                        "candidate": question.candidate.as_json(),
                        "champion": _as_json(question.champion),
                        "reference": _as_json(question.reference),
                        "base": None if question.base is None else asdict(question.base),
                        "consumers": list(question.consumers),
                    },
                    **(evidence or {}),
                },
            )
        )

    def accept(self, acceptance: Acceptance, serving: Serving | None = None) -> Event | None:
        """Record that a night's corpus is accepted, and what is searched from now on.

        Returns None when nothing would change. Leaves out entries of ``serving`` whose model got
        another champion by a command meanwhile.
        """
        with self._desk.writing():
            standing = self.standing()
            current = {
                entry: served
                for entry, served in (serving or {}).items()
                if served.model is None
                or _is_of_champion(served.embeddings, served.model, standing)
            }
            is_served = all(
                standing.serving.get(entry) == served for entry, served in current.items()
            )
            nights = standing.corpora.get(acceptance.corpus, ())
            if nights and nights[0].artifacts == acceptance.artifacts and is_served:
                return None
            return self._desk.record(
                NewEvent(
                    kind=EventKind.ACCEPTED,
                    subject=acceptance.corpus,
                    reason=acceptance.reason,
                    evidence={
                        ARTIFACTS: {
                            stage: asdict(found) for stage, found in acceptance.artifacts.items()
                        },
                        N_DOCUMENTS: acceptance.n_documents,
                        N_TOKENS: acceptance.n_tokens,
                        **serving_evidence(current),
                    },
                )
            )


def _is_current(question: Question, decision: Decision, standing: Standing) -> bool:
    """Whether the standing that the decision was based on still holds."""
    model = standing.model(question.model)
    return (
        _version(question.champion) == model.champion
        and _version(question.reference) == model.reference
        and _base_champion(question, standing) == decision.base_champion
    )


def _base_champion(question: Question, standing: Standing) -> VersionRef | None:
    return None if question.base is None else standing.model(question.base.model).champion


def _as_json(contender: Contender | None) -> dict[str, Any] | None:
    return None if contender is None else contender.as_json()


def _version(contender: Contender | None) -> VersionRef | None:
    return None if contender is None else contender.version


def _is_of_champion(embeddings: str | None, model: str, standing: Standing) -> bool:
    champion = standing.model(model).champion
    return champion is not None and champion.embeddings == embeddings
