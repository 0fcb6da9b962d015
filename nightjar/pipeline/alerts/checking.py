"""``nightjar check``: whether nights run and end well, from their records alone.

No server is asked. Nights are in order of their numbers; the clock only says how old one is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from nightjar.config import LoadedConfig
from nightjar.core import Night, Nights, NightStatus
from nightjar.core.nights import moment
from nightjar.core.using import night_lease
from nightjar.errors import ConfigError, InputError, RetryLater, StoreError
from nightjar.pipeline.alerts.happenings import CHECK, Happening, short
from nightjar.pipeline.alerts.outbox import Outbox
from nightjar.pipeline.alerts.telling import post
from nightjar.promotion import read_events, standing_of
from nightjar.promotion.standing import ModelStanding
from nightjar.store import is_held, replace
from nightjar.wording import counted

_AHEAD = timedelta(minutes=5)
"""Clocks of two machines may differ by so much."""
_AGAIN = timedelta(hours=24)
"""The same findings are sent again after this long."""
_NO_NIGHT, _OLD, _FAILED, _DIED = "no night", "old", "failed", "died"
_CLOCK, _UNREADABLE, _NO_CHAMPION, _OLD_CHAMPION = "clock", "unreadable", "no champion", "champion"
_UNDELIVERED = "undelivered"


@dataclass(frozen=True)
class CheckLimits:
    """What counts as well."""

    max_age: timedelta
    """Since the end of the last night that completed."""
    max_champion_age: timedelta | None = None
    """Since a model's champion became champion; None: no limit."""
    model: str | None = None
    """The only model that matters; None: all of them."""


@dataclass(frozen=True)
class Finding:
    """Something that is not well, and what to do."""

    kind: str
    subject: str
    """The model or the night that it is about; "" for the pipeline."""
    text: str


@dataclass(frozen=True)
class Checkup:
    """What was found."""

    findings: tuple[Finding, ...]
    last: Night | None
    """The last night that counts: it completed or, for one model, judged it."""
    running: str = ""
    """The run that is under way, in words; "" if there is none."""

    @property
    def is_well(self) -> bool:
        """Whether there is nothing to do."""
        return not self.findings

    def as_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "is_well": self.is_well,
            "findings": [asdict(found) for found in self.findings],
            "last_night": None if self.last is None else self.last.number,
            "last_ended_at": None if self.last is None else self.last.ended_at,
            "running": self.running or None,
        }


def check_pipeline(
    loaded: LoadedConfig, limits: CheckLimits, now: datetime | None = None
) -> Checkup:
    """Look at the nights, the champions and the undelivered messages of a pipeline.

    What cannot be read is a finding, too. Raises InputError for an unknown model.
    """
    if limits.model is not None and limits.model not in loaded.config.models:
        raise InputError(
            f"{limits.model}: there is no such model; models has {', '.join(loaded.config.models)}"
        )
    return _Check(loaded, limits, now or datetime.now(UTC)).checkup()


@dataclass
class _Check:
    loaded: LoadedConfig
    limits: CheckLimits
    now: datetime
    running: str = ""
    last: Night | None = None
    newest: Night | None = None
    """The newest night that has ended, or died, and is no trial."""
    n_trials: int = 0
    """Trials since the last night that counts."""
    found: list[Finding] = field(default_factory=list)

    def checkup(self) -> Checkup:
        directory = self.loaded.pipeline_dir
        for look, where in (
            (self.read_nights, directory / "nights"),
            (self.look_at_champions, directory / "ledger"),
            (self.look_at_messages, directory / "alerts"),
        ):
            try:
                self.found += look()
            except (StoreError, RetryLater) as error:
                self.found.append(Finding(_UNREADABLE, "", str(error)))
            except OSError as error:
                text = f"{error.filename or where} cannot be read ({error.strerror}); mend that"
                self.found.append(Finding(_UNREADABLE, "", text))
        return Checkup(tuple(self.found), self.last, self.running)

    # -- nights -------------------------------------------------------------------------

    def read_nights(self) -> list[Finding]:
        is_running = is_held(night_lease(self.loaded.pipeline_dir))
        if is_running:
            self.running = "a run is under way"
        is_first = True
        for night in Nights(self.loaded.pipeline_dir).newest_first():
            if is_first and is_running and night.status is NightStatus.RUNNING:
                self.running = f"night {night.number} is under way since {_when(night.started_at)}"
            elif night.is_trial:
                self.n_trials += 1
            else:
                self.newest = self.newest or night
                if self.counts(night):
                    self.last = night
                    break
            is_first = False
        return [*self.about_newest(), *self.about_age()]

    def counts(self, night: Night) -> bool:
        """Whether a night completed; for one model, whether it judged that one."""
        if self.limits.model is None:
            return night.ended_well
        return self.has_judged(night) and night.ended_at is not None

    def has_judged(self, night: Night) -> bool:
        return any(found["model"] == self.limits.model for found in night.decisions)

    def about_newest(self) -> Iterator[Finding]:
        night = self.newest
        if night is None or self.last is night:
            return
        name, runs = f"night {night.number}", f"; {self.running}" if self.running else ""
        if night.status is NightStatus.FAILED:
            why = night.alarms[-1] if night.alarms else "no reason is recorded"
            text = f"{name} failed: {why}. See 'nightjar nights show {night.number}'{runs}"
            yield Finding(_FAILED, name, text)
        elif night.ended_well:
            text = (
                f"{name} did not judge {self.limits.model}: 'nightjar nights show {night.number}'"
            )
            yield Finding(_FAILED, name, text)
        else:
            how = "was killed" if night.ended_at is None else "was interrupted"
            text = f"{name} {how}; 'nightjar run' goes on from what is published{runs}"
            yield Finding(_DIED, name, text)

    def about_age(self) -> Iterator[Finding]:
        do = "see that the schedule runs ('nightjar serve', cron), or 'nightjar run' now"
        runs = f"; {self.running}" if self.running else ""
        trials = f"; {counted(self.n_trials, 'trial')} since, which do not count"
        trials = trials if self.n_trials else ""
        if self.last is None or self.last.ended_at is None:
            what = "has run" if self.newest is None else "has completed"
            if self.limits.model is not None:
                what = f"has judged {self.limits.model}"
            yield Finding(_NO_NIGHT, "", f"no night {what} yet{runs}{trials}; {do}")
            return
        age = self.now - moment(self.last.ended_at)
        if age < -_AHEAD:
            text = (
                f"night {self.last.number} ended {_said(-age)} ahead of this clock, so its age "
                f"is unknown; was the clock set back? See 'date', then 'nightjar run'"
            )
            yield Finding(_CLOCK, f"night {self.last.number}", text)
        elif age > self.limits.max_age:
            whose = "completed" if self.limits.model is None else f"judged {self.limits.model}"
            text = (
                f"the last night that {whose}, {self.last.number}, ended {_said(age)} ago, more "
                f"than {_said(self.limits.max_age)}{runs}{trials}; {do}"
            )
            yield Finding(_OLD, f"night {self.last.number}", text)

    # -- champions and messages -----------------------------------------------------------

    def look_at_champions(self) -> list[Finding]:
        if self.newest is None:  # no night has run; that is said
            return []
        standing = standing_of(read_events(self.loaded))
        models = self.loaded.config.models if self.limits.model is None else [self.limits.model]
        found = [self.about_champion(model, standing.model(model)) for model in models]
        return [each for each in found if each is not None]

    def about_champion(self, model: str, standing: ModelStanding) -> Finding | None:
        if standing.champion is None:
            waiting = standing.waiting.new if standing.waiting else None
            do = f"'nightjar promote {model} {waiting.number}'" if waiting else ""
            do = do or f"'nightjar why {model}' says what the gate found"
            return Finding(_NO_CHAMPION, model, f"{model} has no champion: {do}")
        limit = self.limits.max_champion_age
        if limit is None or standing.last_move is None:
            return None
        age = self.now - standing.last_move.time
        if age <= limit:
            return None
        text = (
            f"{model} version {standing.champion.number} has been champion for {_said(age)}, more "
            f"than {_said(limit)}: 'nightjar why {model}' says why no newer one is"
        )
        return Finding(_OLD_CHAMPION, model, text)

    def look_at_messages(self) -> list[Finding]:
        entries = Outbox(self.loaded.pipeline_dir).entries()
        if not entries:
            return []
        nights = sorted({one.night for entry in entries for one in entry.happenings if one.night})
        about = f" about night {', '.join(map(str, nights))}" if nights else ""
        why = entries[-1].why or "the process ended while it was sent"
        text = (
            f"{counted(len(entries), 'message')}{about} not delivered: {why}. "
            f"'nightjar check --alert' tries again, and so does every night"
        )
        return [Finding(_UNDELIVERED, "", text)]


def alert_of_check(loaded: LoadedConfig, checkup: Checkup, now: datetime | None = None) -> str:
    """Send what a check found, and what was not delivered before; return what came of it.

    The same findings are sent once a day, and a night that failed has told it itself. Raises
    ConfigError when there is no webhook or its variables are not set, StoreError when what is to be
    sent cannot be kept.
    """
    settings = loaded.config.alerts.webhook
    if settings is None:
        raise ConfigError(
            f"{loaded.path.name}: --alert needs alerts.webhook, which says where to send to"
        )
    from nightjar.pipeline.alerts.webhook import check_environment  # noqa: PLC0415 (slow)

    if missing := check_environment(settings):
        raise ConfigError(
            f"the environment variable {missing}, which alerts.webhook names, is not set; cron "
            f"starts commands without the variables of your shell"
        )
    now = now or datetime.now(UTC)
    state = _Told(loaded.pipeline_dir / "alerts" / "last_check.json")
    told = [found for found in checkup.findings if found.kind not in (_UNDELIVERED, _FAILED)]
    is_known = bool(told) and state.knows(told, now)
    happenings = [] if is_known else [_happening(found, now) for found in told]
    has_any = bool(happenings or Outbox(loaded.pipeline_dir).entries())
    problem = post(loaded, happenings)
    if not is_known:
        state.note(told, now)
    if problem:
        return f"not sent: {problem}"
    if has_any:
        return "sent"
    return "not sent: the same was sent less than a day ago" if told else "nothing to send"


def _happening(found: Finding, now: datetime) -> Happening:
    return Happening(CHECK, found.subject, short(found.text), None, now.isoformat())


@dataclass(frozen=True)
class _Told:
    """What the last ``check --alert`` sent, so that a check every hour sends no storm."""

    path: Path

    def knows(self, findings: Sequence[Finding], now: datetime) -> bool:
        try:
            last = json.loads(self.path.read_bytes())
            age = now - moment(last["at"])
            return bool(last["digest"] == _digest(findings)) and timedelta() <= age < _AGAIN
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def note(self, findings: Sequence[Finding], now: datetime) -> None:
        content = {"digest": _digest(findings), "at": now.isoformat()}
        replace(self.path, json.dumps(content).encode())


def _digest(findings: Sequence[Finding]) -> str:
    """Depends on what is wrong, not on how many hours it has been so."""
    said = sorted((found.kind, found.subject) for found in findings)
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def _when(text: str) -> str:
    return f"{moment(text):%Y-%m-%d %H:%M} UTC"


def _said(age: timedelta) -> str:
    """``26 hours``, ``3 days``, ``5 minutes``: whole ones, rounded down."""
    hours = int(age.total_seconds() // 3600)
    if hours >= 72:
        return counted(hours // 24, "day")
    if hours >= 1:
        return counted(hours, "hour")
    return counted(int(age.total_seconds() // 60), "minute")
