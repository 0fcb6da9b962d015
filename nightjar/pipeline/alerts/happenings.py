"""What a night has to tell: failures, blocks, alarms, versions that wait, promotions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from nightjar.core import Night, Nights, NightStatus
from nightjar.errors import StoreError
from nightjar.files.harmless_text import harmless
from nightjar.promotion import Outcome

FAILED, BLOCKED, ALARM, WAITING, PROMOTED = "failed", "blocked", "alarm", "waiting", "promoted"
CHECK = "check"
"""What ``nightjar check --alert`` found. It is sent whatever ``alerts.events`` says."""
_LONGEST = 2000
_SAID = ("score", "champion_score", "reference_score", "consumers", "drift")
"""What a message says of a decision besides versions, outcome and reason."""


@dataclass(frozen=True)
class Happening:
    """One thing that a message tells."""

    kind: str
    subject: str
    """A model, a corpus, or "" for the night as a whole."""
    text: str
    night: int | None
    """None when there was no night."""
    time: str
    """ISO 8601, UTC."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Numbers about a decision, in JSON types."""

    def as_json(self) -> dict[str, Any]:
        """Plain JSON types, with a text that harms no terminal."""
        return {**asdict(self), "text": short(self.text)}


def short(text: str) -> str:
    """``text`` without what a terminal obeys, cut to 2,000 characters."""
    shown = harmless(text)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"


def happenings_of(night: Night, problems: Sequence[str]) -> list[Happening]:
    """What a night that has ended has to tell, the worst first.

    ``problems`` says why it failed. A block or a waiting version that only repeats an earlier
    night's decision is not told again; an alarm and a failure are, every night.
    """
    time = night.ended_at or night.started_at
    failed = [Happening(FAILED, "", text, night.number, time) for text in problems]
    if not failed and night.status is NightStatus.FAILED:
        failed = [Happening(FAILED, "", "the night failed", night.number, time)]
    new = [found for found in night.decisions if _is_new(night, found)]
    decided = [each for found in new if (each := _decided(night, found, time)) is not None]
    told = [*failed, *_refused(night, time), *decided]
    said = {found.text for found in told} | {
        f"{found['model']} keeps its champion: {found['reason']}" for found in new
    }
    alarms = [
        Happening(ALARM, "", alarm, night.number, time)
        for alarm in dict.fromkeys(night.alarms)
        if alarm not in said
    ]
    order = (FAILED, BLOCKED, ALARM, WAITING, PROMOTED)
    return sorted([*told, *alarms], key=lambda found: order.index(found.kind))


def died_before(nights: Nights, number: int) -> Iterator[Happening]:
    """The nights just before ``number`` whose process was killed: none of them could tell it."""
    for earlier in reversed([known for known in nights.numbers() if known < number]):
        try:
            night = nights.get(earlier)
        except StoreError:
            return
        if night.status is not NightStatus.ENDED_EARLY or night.ended_at is not None:
            return
        if not night.is_trial:
            yield Happening(
                FAILED,
                "",
                f"night {earlier} has no end: its process was killed, or the machine stopped",
                earlier,
                night.started_at,
            )


def _is_new(night: Night, decision: Mapping[str, Any]) -> bool:
    """Whether a decision was recorded as an event. A trial's never is, and each is new."""
    return decision["event"] is not None or night.is_trial


def _decided(night: Night, decision: Mapping[str, Any], time: str) -> Happening | None:
    number = decision["candidate"]["version"]
    said = {
        Outcome.PROMOTED: (PROMOTED, f"version {number} is champion"),
        Outcome.BLOCKED: (BLOCKED, f"version {number} is blocked"),
        Outcome.WAITING: (WAITING, f"version {number} waits for a person"),
    }.get(decision["outcome"])
    if said is None:
        return None
    kind, what = said
    note = f" ({decision['note']})" if decision["note"] else ""
    return Happening(
        kind=kind,
        subject=decision["model"],
        text=f"{what}: {decision['reason']}{note}",
        night=night.number,
        time=time,
        details={
            "version": number,
            "champion": (decision["champion"] or {}).get("version"),
            **{name: decision[name] for name in _SAID if name in decision},
        },
    )


def _refused(night: Night, time: str) -> Iterator[Happening]:
    """The corpora that the night is not accepted for: readers keep what they had."""
    for corpus, verdict in night.accepted.items():
        if not verdict["is_accepted"]:
            text = f"corpus {corpus} is not accepted: {verdict['reason']}"
            alarm = next((found for found in night.alarms if found.startswith(text)), text)
            yield Happening(BLOCKED, corpus, alarm, night.number, time)
