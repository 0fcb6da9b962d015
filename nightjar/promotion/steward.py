"""A person's orders: promote, roll back, pin, hold, resume, retire, adopt, repair.

All orders work for models that the ledger knows, whether or not the config still has them. An
order that cannot be carried out is refused with a reason and writes nothing.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec

from nightjar.config import LoadedConfig, base_of
from nightjar.core.using import at_work
from nightjar.errors import ModelFilesDamaged, NightjarError, PromotionRefused
from nightjar.formats.spaces import Fit, fit_of_model, mode_of
from nightjar.promotion.applying import AliasState, Desk, number_of
from nightjar.promotion.events import (
    DECISION,
    DECISIONS,
    JUDGED_AGAIN,
    REPAIR,
    Event,
    EventKind,
    Serving,
    VersionRef,
    anchor_evidence,
    reference_evidence,
    serving_evidence,
)
from nightjar.promotion.gate import VETO, Decision, Outcome
from nightjar.promotion.ledger import NewEvent, Writer
from nightjar.promotion.standing import ModelStanding
from nightjar.registry import BASE, FIT_TAG, RegisteredVersion, check_files_whole
from nightjar.store import Store, schemas

PrepareServing = Callable[[str, RegisteredVersion], Serving]
"""Publishes what is searched once that version of the model is champion."""
JudgeAgain = Callable[[str, RegisteredVersion], Decision | None]
"""Asks the gate about that version of the model and the champion of this moment."""

_MAX_LISTED = 5


_Given = ParamSpec("_Given")


def _at_work(
    order: Callable[Concatenate[Steward, _Given], Change],
) -> Callable[Concatenate[Steward, _Given], Change]:
    """Mark an order as at work, so that nothing it uses but no record names yet is deleted."""

    @wraps(order)
    def carried_out(steward: Steward, /, *args: _Given.args, **kwargs: _Given.kwargs) -> Change:
        with at_work(steward.pipeline_dir, order.__name__):
            return order(steward, *args, **kwargs)

    return carried_out


@dataclass(frozen=True)
class Change:
    """The result of an order."""

    event: Event | None
    """None when nothing had to change."""
    notes: tuple[str, ...] = ()
    """What the person should know."""


class Steward:
    """Carries out a person's orders on the models of a pipeline.

    ``prepare_serving`` makes what is searched whenever an order changes a champion;
    ``judge_again`` judges a version when a person promotes it.
    """

    def __init__(
        self,
        loaded: LoadedConfig,
        actor: str,
        prepare_serving: PrepareServing | None = None,
        judge_again: JudgeAgain | None = None,
    ) -> None:
        self._loaded = loaded
        self._desk = Desk(loaded, Writer(actor))
        self._prepare_serving = prepare_serving
        self._judge_again = judge_again

    @property
    def pipeline_dir(self) -> Path:
        """The directory of the pipeline's records."""
        return self._loaded.pipeline_dir

    # -- who is champion -------------------------------------------------------------------

    @_at_work
    def promote(
        self, model: str, number: int, *, is_forced: bool = False, reason: str = ""
    ) -> Change:
        """Make a version champion that a night has judged or that was champion before.

        It is judged again, against the champion of this moment, unless it was champion before. A
        version that the gate blocks or no night has judged needs ``is_forced`` and a ``reason``.
        Where the gate agrees, it decides about the reference, too: many small losses, each
        approved, still add up. Otherwise the version becomes the reference.
        """
        before = self._undisputed(model)
        target = self._target(model, number)
        version = VersionRef.of(target)
        if version == before.champion:
            raise PromotionRefused(f"{model} version {number} is the champion already")
        problem, is_judged = self._unapproved(model, version)
        judged = None
        if is_judged and self._judge_again is not None:
            try:
                judged = self._judge_again(model, target)
            except NightjarError as error:
                if not (is_forced and reason):
                    raise
                problem = f"could not be judged: {error}"
            if judged is not None:
                is_blocked = judged.outcome is Outcome.BLOCKED
                problem = f"does not pass the gate now: {judged.reason}" if is_blocked else ""
        if problem and not (is_forced and reason):
            raise PromotionRefused(
                f"{model} version {number} {problem}; to promote it anyway, give --force "
                f"and --reason TEXT"
            )
        self._check_whole(target)
        moves_reference = bool(problem) or judged is None or judged.moves_reference
        event = NewEvent(
            kind=EventKind.FORCED if problem else EventKind.APPROVED,
            subject=model,
            old=before.champion,
            new=version,
            reason=reason or "approved",
            evidence={
                **(reference_evidence(version) if moves_reference else {}),
                **({} if judged is None else {JUDGED_AGAIN: judged.as_json()}),
            },
        )
        change = self._crown(event, before, target)
        notes = list(change.notes)
        if before.hold is not None:
            notes.append(
                f"{model} stays held ({before.hold_reason}): 'nightjar resume {model}' lets nights "
                f"promote again"
            )
        return replace(change, notes=tuple(notes))

    @_at_work
    def rollback(self, model: str, number: int | None = None, reason: str = "") -> Change:
        """Bring back the previous champion, or an earlier one, and hold the model.

        It becomes the reference, too: a person has chosen it.
        """
        before = self._undisputed(model)
        version = self._rollback_target(model, before, number)
        target = self._target(model, version.number)
        if VersionRef.of(target) != version:
            raise PromotionRefused(
                f"{target.name} version {version.number} is not the one that was champion: it has "
                f"been registered again since"
            )
        problems = check_files_whole(self._desk.place, target)
        if problems:
            others = ", ".join(self._whole(model, before.previous)) or "none"
            raise ModelFilesDamaged(
                f"{problems[0]}. Its files must be whole; versions to roll back to instead (--to): "
                f"{others}"
            )
        event = NewEvent(
            kind=EventKind.ROLLED_BACK,
            subject=model,
            old=before.champion,
            new=version,
            reason=reason or f"rolled back to version {version.number}",
            evidence=reference_evidence(version),
        )
        change = self._crown(event, before, target)
        held = f"{model} is held: nights promote nothing until 'nightjar resume {model}'"
        return replace(change, notes=(held, *change.notes, *self._derived(model, target)))

    def _rollback_target(self, model: str, before: ModelStanding, number: int | None) -> VersionRef:
        if not before.previous:
            raise PromotionRefused(f"{model} has no earlier champion to roll back to")
        if number is None:
            return before.previous[0]
        for version in before.previous:
            if version.number == number:
                return version
        earlier = ", ".join(str(version.number) for version in before.previous[:_MAX_LISTED])
        raise PromotionRefused(
            f"{model} version {number} is no earlier champion; those are {earlier}. 'nightjar "
            f"promote {model} {number}' makes any other version champion"
        )

    def _derived(self, model: str, target: RegisteredVersion) -> Iterator[str]:
        """Warn of champions that were made from other embeddings of ``model`` than ``target``."""
        standing = self._desk.standing()
        for name, config in self._loaded.config.models.items():
            champion = standing.model(name).champion
            if base_of(config) != model or champion is None:
                continue
            made_from = self._made_from(name, champion)
            if made_from == target.embeddings_version:
                continue
            fitting = [
                version.number
                for version in standing.model(name).previous
                if self._made_from(name, version) == target.embeddings_version
            ]
            advice = (
                f"'nightjar rollback {name} --to {fitting[0]}' brings back the one that fits"
                if fitting
                else f"'nightjar hold {name}' keeps it as it is"
            )
            yield (
                f"{name} version {champion.number} was made from another version of {model} "
                f"({made_from or 'unknown'}, not {target.embeddings_version}): {advice}"
            )

    def _made_from(self, model: str, version: VersionRef) -> str | None:
        """The embeddings that a derived model's version was made from."""
        found = self._desk.reader.version(self._desk.registered_name(model), version.number)
        return None if found is None else found.tags.get(f"nightjar.{BASE}_version")

    def _crown(self, event: NewEvent, before: ModelStanding, target: RegisteredVersion) -> Change:
        """Write an event that makes ``target`` champion; refused if the model changed meanwhile."""
        serving = self._prepare_serving(event.subject, target) if self._prepare_serving else {}
        evidence = {**(event.evidence or {}), **serving_evidence(serving)}
        with self._writing(event.subject) as now:
            if now.champion != before.champion or now.is_in_conflict:
                raise PromotionRefused(
                    f"{event.subject} was changed by another run or command meanwhile; look again "
                    f"('nightjar history {event.subject}') and repeat the command"
                )
            row = self._desk.record(replace(event, evidence=evidence))
            self._desk.keep_challenger(event.subject, None)
        return Change(row)

    # -- pins --------------------------------------------------------------------------------

    @_at_work
    def pin(self, model: str, number: int) -> Change:
        """Keep a version's files."""
        self._known(model)
        target = self._target(model, number)
        self._check_whole(target)
        version = VersionRef.of(target)
        with self._writing(model) as now:
            if version in now.pins:
                return Change(None, (f"{model} version {number} is pinned already",))
            row = self._desk.record(
                NewEvent(
                    kind=EventKind.PINNED,
                    subject=model,
                    old=now.champion,
                    new=version,
                    reason="kept until unpinned",
                )
            )
        return Change(row)

    @_at_work
    def rebase(
        self, model: str, number: int | None = None, reason: str = "", *, of_space: bool = False
    ) -> Change:
        """Measure small losses against a version from now on; by default the champion.

        With ``of_space``, let the vectors of later nights keep to its coordinates instead.
        """
        before = self._known(model)
        if number is None and before.champion is None:
            raise PromotionRefused(f"{model} has no champion to measure against; name a version")
        wanted = before.champion.number if number is None and before.champion else number
        target = self._target(model, wanted or 0)
        self._check_whole(target)
        version = VersionRef.of(target)
        if of_space:
            return self._anchored(model, target, reason)
        with self._writing(model) as now:
            if now.reference == version:
                return Change(None, (f"{model} version {version.number} is the reference already",))
            old = number_of(now.reference)
            row = self._desk.record(
                NewEvent(
                    kind=EventKind.REBASED,
                    subject=model,
                    old=now.champion,
                    new=version,
                    reason=reason
                    or f"the reference from now on, instead of {'none' if old is None else old}",
                    evidence=reference_evidence(version),
                )
            )
        return Change(row)

    def _anchored(self, model: str, target: RegisteredVersion, reason: str) -> Change:
        """Let the vectors of ``model`` keep to the coordinates of ``target`` from now on."""
        mode = mode_of(self._loaded.config, model)
        if mode == "own":
            raise PromotionRefused(
                f"{model} keeps to no coordinates: set models.{model}.space to aligned, warm or "
                f"compass first"
            )
        fit = Fit.of_text(target.tags.get(FIT_TAG, ""))
        wanted = fit_of_model(self._loaded.config, model)
        if fit is not None and not fit.suits(wanted, mode):
            raise PromotionRefused(
                f"{model} version {target.version} is of another kind or size than the config "
                f"makes, so that no vectors can keep to it"
            )
        version = VersionRef.of(target)
        store = Store(self._loaded.artifacts_dir)
        if not store.is_published(schemas.EMBEDDINGS, version.embeddings):
            raise PromotionRefused(
                f"the vectors of {model} version {version.number} are no longer kept; choose a "
                f"version that 'nightjar collect --dry-run' lists as kept"
            )
        with self._writing(model) as now:
            if now.anchors and now.anchors[-1].version == version:
                note = f"the vectors of {model} keep to version {version.number} already"
                return Change(None, (note,))
            row = self._desk.record(
                NewEvent(
                    kind=EventKind.REBASED,
                    subject=model,
                    old=now.champion,
                    new=version,
                    reason=reason or "later vectors keep to its coordinates",
                    evidence=anchor_evidence(mode, target),
                )
            )
        return Change(row)

    def unpin(self, model: str, number: int) -> Change:
        """Allow deleting a pinned version's files once nothing else needs them."""
        self._known(model)
        with self._writing(model) as now:
            pins = {pin.number: pin for pin in now.pins}
            if number not in pins:
                listed = ", ".join(map(str, pins)) or "none"
                raise PromotionRefused(
                    f"{model} version {number} is not pinned; pinned versions: {listed}"
                )
            row = self._desk.record(
                NewEvent(
                    kind=EventKind.UNPINNED,
                    subject=model,
                    old=now.champion,
                    new=pins[number],
                    reason="kept no longer than needed",
                )
            )
        is_reference = pins[number] == now.reference
        note = f"version {number} stays the reference" if is_reference else ""
        return Change(row, (note,) if note else ())

    # -- holds -------------------------------------------------------------------------------

    def hold(self, model: str, reason: str = "") -> Change:
        """Let nights judge and record, but promote nothing, until :meth:`resume`."""
        self._known(model)
        with self._writing(model) as now:
            if now.hold is not None:
                return Change(None, (f"{model} is held already: {now.hold.reason}",))
            row = self._record_order(EventKind.HELD, model, now, reason or "held by a person")
        return Change(row)

    def resume(self, model: str, reason: str = "") -> Change:
        """Let nights promote again."""
        self._known(model)
        with self._writing(model) as now:
            if now.is_in_conflict:
                raise PromotionRefused(now.hold_reason)
            if now.hold is None:
                return Change(None, (f"{model} is not held",))
            row = self._record_order(EventKind.RESUMED, model, now, reason or "resumed by a person")
        return Change(row)

    def _record_order(self, kind: EventKind, model: str, now: ModelStanding, reason: str) -> Event:
        return self._desk.record(
            NewEvent(kind=kind, subject=model, old=now.champion, new=now.champion, reason=reason)
        )

    # -- the end -----------------------------------------------------------------------------

    def retire(self, model: str, reason: str = "") -> Change:
        """Retire a model that is gone from the config: it no longer has a champion.

        Its aliases are deleted and retention keeps nothing of it. A model that returns to the
        config starts from scratch.
        """
        self._known(model)
        if model in self._desk.configured:
            raise PromotionRefused(
                f"{model} is in {self._loaded.path.name}: the next night would promote it again. "
                f"Take it out of the file first"
            )
        self._undisputed(model)
        with self._writing(model) as now:
            if now.is_retired:
                return Change(None, (f"{model} is retired already",))
            row = self._desk.record(
                NewEvent(
                    kind=EventKind.RETIRED,
                    subject=model,
                    old=now.champion,
                    new=None,
                    reason=reason or "retired by a person",
                )
            )
            challenger = self._desk.aliases(model).challenger
            if challenger is not None:
                self._desk.registry.point(self._desk.registered_name(model), "challenger", None)
        return Change(row)

    # -- an alias that was moved by hand -------------------------------------------------------

    @_at_work
    def adopt(self, model: str, *, takes_over: bool = False) -> Change:
        """Accept the alias ``champion`` where it is.

        With ``takes_over`` this ledger becomes the owner of the registered model, whoever owned
        it before.
        """
        self._known(model)
        name = self._desk.registered_name(model)
        if takes_over and self._desk.reader.model_tags(name):
            self._desk.registry.own(name, self._desk.ledger.make_id(), takes_over=True)
        aliases = self._desk.aliases(model)
        target = None
        if aliases.champion is not None:
            target = self._target(model, aliases.champion)
            self._check_whole(target)
        serving: Serving = {}
        if self._prepare_serving is not None and target is not None:
            serving = self._prepare_serving(model, target)
        version = None if target is None else VersionRef.of(target)
        with self._writing(model) as now:
            state = self._desk.aliases(model).state(now.last_move)
            if not now.is_in_conflict and state is AliasState.RIGHT:
                if takes_over:
                    return Change(None, (f"{name} belongs to this pipeline directory now",))
                raise PromotionRefused(f"{model}: {_fits(now)}; there is nothing to adopt")
            if self._desk.aliases(model).champion != aliases.champion:
                raise PromotionRefused(f"{model}: the alias was moved again; repeat the command")
            first = now.reference is None and version is not None
            row = self._desk.record(
                NewEvent(
                    kind=EventKind.ADOPTED,
                    subject=model,
                    old=now.champion,
                    new=version,
                    reason="the alias as it was moved by hand is right",
                    evidence={
                        **serving_evidence(serving),
                        **reference_evidence(version if first else None),
                    },
                )
            )
            self._desk.keep_challenger(model, None)
        return Change(row, self._hold_note(model))

    @_at_work
    def repair(self, model: str) -> Change:
        """Move the alias ``champion`` back to where the ledger says."""
        self._known(model)
        champion = self._desk.standing().model(model).champion
        if champion is not None:
            name = self._desk.registered_name(model)
            if not self._desk.is_registered(model, champion):
                raise PromotionRefused(
                    f"{name} version {champion.number} is gone from the registry, so the alias "
                    f"cannot go back to it: 'nightjar adopt {model}' takes the alias as it is, and "
                    f"'nightjar rollback {model}' then brings an earlier champion back"
                )
            self._check_whole(self._target(model, champion.number))
        with self._writing(model) as now:
            if not now.is_in_conflict:
                raise PromotionRefused(f"{model}: {_fits(now)}; there is nothing to repair")
            current = self._desk.aliases(model).champion
            row = self._desk.record(
                NewEvent(
                    kind=EventKind.RESUMED,
                    subject=model,
                    old=None if current is None else self._ref(model, current),
                    new=now.champion,
                    reason="the alias goes back to where the ledger says",
                    evidence={REPAIR: True},
                )
            )
            self._desk.keep_challenger(model, None)
        return Change(row, self._hold_note(model))

    def _hold_note(self, model: str) -> tuple[str, ...]:
        now = self._desk.standing().model(model)
        if now.hold is None:
            return ()
        return (f"{model} stays held ({now.hold.reason}): 'nightjar resume {model}' ends that",)

    # -- checks before an order ----------------------------------------------------------------

    @contextmanager
    def _writing(self, model: str) -> Iterator[ModelStanding]:
        """Hold the ledger's lock and complete unfinished events; yields the model's standing."""
        with self._desk.writing([model]):
            yield self._desk.standing().model(model)

    def _known(self, model: str) -> ModelStanding:
        """The standing of a model. Raises PromotionRefused if neither config nor ledger has it."""
        standing = self._desk.standing()
        known = sorted({*self._desk.configured, *standing.models})
        if model not in known:
            close = difflib.get_close_matches(model, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"have {', '.join(known)}"
            raise PromotionRefused(
                f"{model}: neither {self._loaded.path.name} nor the ledger has such a model; {hint}"
            )
        return standing.model(model)

    def _undisputed(self, model: str) -> ModelStanding:
        """Complete unfinished events; return the standing. Refused while in conflict."""
        self._known(model)
        with self._writing(model) as now:
            if now.is_in_conflict:
                raise PromotionRefused(now.hold_reason)
        return now

    def _target(self, model: str, number: int) -> RegisteredVersion:
        """A version that Nightjar registered. Raises PromotionRefused."""
        name = self._desk.registered_name(model)
        found = self._desk.reader.version(name, number)
        if found is None:
            raise PromotionRefused(
                f"{name} has no version {number}; 'nightjar versions' lists them"
            )
        if not found.embeddings_digest:
            raise PromotionRefused(
                f"{name} version {number} was not registered by Nightjar: it has no embeddings to "
                f"answer questions with. Point the alias to another version, or 'nightjar repair "
                f"{model}'"
            )
        return found

    def _ref(self, model: str, number: int) -> VersionRef:
        """Reference of a version, whether or not Nightjar registered it."""
        found = self._desk.reader.version(self._desk.registered_name(model), number)
        return VersionRef(number, "", "") if found is None else VersionRef.of(found)

    def _check_whole(self, target: RegisteredVersion) -> None:
        problems = check_files_whole(self._desk.place, target)
        if problems:
            raise ModelFilesDamaged(f"{problems[0]}. Its files must be whole")

    def _whole(self, model: str, versions: Sequence[VersionRef]) -> Iterator[str]:
        """Yield those of the newest versions whose files have the right sizes."""
        name = self._desk.registered_name(model)
        for version in versions[:_MAX_LISTED]:
            found = self._desk.reader.version(name, version.number)
            if found is not None and not check_files_whole(
                self._desk.place, found, reads_bytes=False
            ):
                yield f"version {version.number}"

    def _unapproved(self, model: str, version: VersionRef) -> tuple[str, bool]:
        """Why a person has to force the version, and whether the gate can be asked again.

        "" when the gate had let it through. A corpus that is not accepted stays a problem, whatever
        the scores.
        """
        events = [
            event
            for event in self._desk.ledger.events()
            if event.subject == model
            and event.new is not None
            and event.new.digest == version.digest
        ]
        decisions = [event for event in events if event.kind in DECISIONS]
        if any(event.moves_alias for event in events):
            return "", False  # it was champion before
        if not decisions:
            return "has not been judged by any night", False
        last = decisions[-1]
        rules = last.evidence[DECISION]["rules"]
        is_vetoed = any(rule["rule"] == VETO and not rule["holds"] for rule in rules)
        problem = f"was blocked: {last.reason}" if last.kind is EventKind.BLOCKED else ""
        return problem, not is_vetoed


def _fits(standing: ModelStanding) -> str:
    champion = number_of(standing.champion)
    where = "nowhere" if champion is None else f"to version {champion}"
    return f"the alias champion points {where}, as the ledger says"
