"""What is sent: JSON for programs, or what Slack shows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from nightjar.core import Night
from nightjar.pipeline.alerts.happenings import Happening, short
from nightjar.wording import counted

_FORMAT = 1
_MAX_TOLD = 100
_MAX_BLOCKS = 40
"""Slack takes 50 blocks, the first and the last of which are ours."""
_MAX_SECTION = 2900
"""Slack takes 3,000 characters in a section, 150 in a header and 40,000 in a text."""
_MAX_HEADER = 150
_MAX_TEXT = 4000
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


@dataclass(frozen=True)
class Message:
    """One message: what happened, oldest night first."""

    id: str
    """The same in every try."""
    pipeline: str
    night: Night | None
    """The night that ended; None when there was none."""
    happenings: Sequence[tuple[str, Happening]]
    """Each with its id, by which a receiver knows what it was told before."""

    @property
    def title(self) -> str:
        """One line: which night of which pipeline, and how many things of each kind."""
        kinds = [found.kind for _, found in self.happenings]
        said = ", ".join(f"{kinds.count(kind):,} {kind}" for kind in dict.fromkeys(kinds))
        if self.night is None:
            return f"{self.pipeline}: {said}"
        return f"{self.pipeline}, night {self.night.number} {self.night.status.value}: {said}"


def nightjar_body(message: Message) -> bytes:
    """The message as JSON, in ASCII; docs/alerts.md says what each key means."""
    told = message.happenings[-_MAX_TOLD:]
    return _as_bytes(
        {
            "format": _FORMAT,
            "id": message.id,
            "pipeline": message.pipeline,
            "sent_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "title": short(message.title),
            "night": None if message.night is None else _night(message.night),
            "events": [{"id": each, **found.as_json()} for each, found in told],
            "left_out": len(message.happenings) - len(told),
        }
    )


def slack_body(message: Message) -> bytes:
    """The message as Slack's incoming webhooks take it: a text, and blocks of Block Kit."""
    told = message.happenings[-_MAX_BLOCKS:]
    title = short(message.title)
    lines = [_line(found, message.night) for _, found in told]
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": _cut(title, _MAX_HEADER)}},
        *(
            {
                "type": "section",
                # Without verbatim Slack makes links of what looks like a URL or a channel.
                "text": {"type": "mrkdwn", "text": _escaped(line, _MAX_SECTION), "verbatim": True},
            }
            for line in lines
        ),
    ]
    left_out = len(message.happenings) - len(told)
    if left_out:
        more = f"{counted(left_out, 'earlier event')} left out: 'nightjar nights' has them"
        blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": more}]})
    return _as_bytes({"text": _escaped("\n".join((title, *lines)), _MAX_TEXT), "blocks": blocks})


def _night(night: Night) -> dict[str, Any]:
    return {
        "number": night.number,
        "status": night.status.value,
        "is_trial": night.is_trial,
        "started_at": night.started_at,
        "ended_at": night.ended_at,
        "seconds": night.seconds,
    }


def _line(found: Happening, night: Night | None) -> str:
    """``blocked glove: version 3 is blocked: ...``, with the night if it is another one."""
    is_earlier = found.night is not None and (night is None or found.night != night.number)
    when = f" (night {found.night})" if is_earlier else ""
    about = f" {found.subject}" if found.subject else ""
    consumers = found.details.get("consumers") if found.kind == "blocked" else None
    told = f". Tell {', '.join(consumers)}" if consumers else ""
    return f"{found.kind}{about}{when}: {short(found.text)}{told}"


def _escaped(text: str, longest: int) -> str:
    """``text`` for Slack, cut so that no escape is cut in two."""
    shown: list[str] = []
    n_chars = 0
    for character in text:
        piece = _ESCAPES.get(character, character)
        n_chars += len(piece)
        if n_chars >= longest:
            return "".join((*shown, "…"))
        shown.append(piece)
    return "".join(shown)


def _cut(text: str, longest: int) -> str:
    """``text`` escaped, for a header, which has no markup but the same three characters."""
    return _escaped(" ".join(text.split()), longest)


def _as_bytes(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")
