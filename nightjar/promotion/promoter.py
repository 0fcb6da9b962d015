"""How a night judges its candidates and promotes those that pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from nightjar.config import LoadedConfig
from nightjar.errors import ModelFilesDamaged, RegistryUnavailable, StandingChanged
from nightjar.promotion.applying import Desk
from nightjar.promotion.contenders import Contender, Question
from nightjar.promotion.events import (
    ARTIFACTS,
    DECISION,
    DECISIONS,
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
from nightjar.registry import GATE_TAG, RegisteredVersion, check_files_whole


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
    is_held: bool = False
    """Whether the model is held, so that nothing is promoted."""
    left_to_do: str = ""
    """What MLflow does not show yet, and why. The next :meth:`Promoter.recover` tries again."""

    @property
    def outcome(self) -> Outcome:
        """What came of it. The gate's outcome, but nothing is promoted that was not."""
        if self.decision.outcome is not Outcome.PROMOTED or self.is_promoted:
            return self.decision.outcome
        return Outcome.WAITING if self.is_held else Outcome.PASSED

    @property
    def reason(self) -> str:
        """The gate's reason, with the remark before it."""
        return f"{self.note}. {self.decision.reason}" if self.note else self.decision.reason

    @property
    def is_undecided(self) -> bool:
        """Whether the gate could not decide, although no config or order asks for a person."""
        waits = self.decision.outcome is Outcome.WAITING and not self.is_held
        return waits and not self.decision.awaits_approval


@dataclass(frozen=True)
class Acceptance:
    """A night's corpus that its own rule accepted."""

    corpus: str
    artifacts: Mapping[str, ArtifactDigest]
    """By stage."""
    amounts: Mapping[str, int]
    """By what is counted (:data:`nightjar.store.corpus_kinds.AMOUNTS`)."""
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

        An alarm reports an alias that was moved by hand (its model is held, recorded once), or
        decisions that could not be put on their versions' pages in MLflow. Raises ForeignModel,
        LedgerDamaged, RegistryUnavailable.
        """
        models = sorted({*self._desk.configured, *self.standing().models})
        with self._desk.writing(models) as alarms:
            pass
        for model in models:
            versions = self._desk.reader.versions(self._desk.registered_name(model))
            problem = self._describe(model, versions)
            alarms += [problem] if problem else []
        return alarms

    def judge(self, question: Question) -> Decision:
        """Ask the gate. Writes nothing.

        Raises StandingChanged unless champion and reference are those of :meth:`standing`.
        """
        standing = self.standing()
        model = standing.model(question.model)
        for role, contender, expected in (
            ("champion", question.champion, model.champion),
            ("reference", question.reference, model.reference),
        ):
            if _version(contender) != expected:
                raise StandingChanged(
                    f"{question.model} got another {role} by a run or command meanwhile; look "
                    f"again ('nightjar history {question.model}') and repeat the command"
                )
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
            return replace(settled, left_to_do=self._show(question))

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
            is_held = model.is_held
            note = f"held: {model.hold_reason}" if is_held else ""
            waiting = model.waiting
            if waiting is not None and waiting.new == candidate:
                if waiting.decision_key == decision.key:
                    said = note or "it waits already"
                    return SettledDecision(decision, None, False, said, is_held)
            else:
                self._supersede(question, model)
            reason = f"{note}. It would pass: {decision.reason}" if note else decision.reason
            event = self._record(EventKind.WAITING, question, decision, reason)
            return SettledDecision(decision, event, False, note, is_held)
        if model.waiting is not None and model.waiting.new != candidate:
            self._supersede(question, model)
        evidence = serving_evidence(serving)
        if decision.moves_reference:
            evidence |= reference_evidence(candidate)
        event = self._record(EventKind.PROMOTED, question, decision, decision.reason, evidence)
        return SettledDecision(decision, event, True)

    def _show(self, question: Question) -> str:
        """Show in MLflow what is settled; return what could not be shown, "" if nothing.

        The ledger decides, so a failure here is no failure of the promotion.
        """
        name = self._desk.registered_name(question.model)
        number = question.candidate.version.number
        try:
            self._desk.keep_challenger(question.model, number)
            found = self._desk.reader.version(name, number)
        except RegistryUnavailable as error:
            return _not_shown(question.model, number, error)
        return self._describe(question.model, [] if found is None else [found])

    def _describe(self, model: str, versions: Sequence[RegisteredVersion]) -> str:
        """Put on the page of each version what the ledger says was decided about it last.

        Writes nothing where it is there already. Returns what could not be written, "" if nothing.
        """
        decided = {
            event.new.digest: event
            for event in self._desk.ledger.events()
            if event.subject == model and event.kind in DECISIONS and event.new is not None
        }
        for version in versions:
            event = decided.get(version.embeddings_digest)
            if event is None or _is_shown(event, version):
                continue
            try:
                self._desk.registry.describe(version.name, version.version, *_page(event))
            except RegistryUnavailable as error:
                return _not_shown(model, version.version, error)
        return ""

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
                        **{f"n_{name}": n for name, n in acceptance.amounts.items()},
                        **serving_evidence(current),
                    },
                )
            )


def _page(event: Event) -> tuple[dict[str, str], str]:
    """A decision for the page of its version: tags, and the end of the description.

    What passed the gate and is held waits. The tag with the key stands last: who finds it finds the
    others.
    """
    decision = Decision.of_json(event.evidence[DECISION])
    rules = {
        f"{GATE_TAG}.{rule.rule}": f"{'holds' if rule.holds else 'fails'}: {rule.said}"
        for rule in decision.rules
    }
    when = "" if event.night is None else f" in night {event.night}"
    lines = [f"- {key.removeprefix(f'{GATE_TAG}.')} {said}" for key, said in rules.items()]
    tags = {
        GATE_TAG: event.kind.value,
        f"{GATE_TAG}_reason": event.reason,
        **rules,
        f"{GATE_TAG}_event": str(event.number),
        f"{GATE_TAG}_key": decision.key,
    }
    return tags, "\n".join((f"{event.kind}{when}: {event.reason}", "", *lines))


def _is_shown(event: Event, version: RegisteredVersion) -> bool:
    """Whether the page has this decision: the same one may be made of a version twice."""
    shown = tuple(version.tags.get(f"{GATE_TAG}_{name}") for name in ("key", "event"))
    return shown == (event.decision_key, str(event.number))


def _not_shown(model: str, number: int, error: RegistryUnavailable) -> str:
    return (
        f"{model}: what was decided about version {number} is in the ledger, but MLflow does not "
        f"show all of it. The next night tries again ({error})"
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
