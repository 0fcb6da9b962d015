"""What is to be told, kept until it is delivered.

``pipelines/NAME/alerts/undelivered/`` holds a file for each night, or check, whose message was not
delivered yet. It is written before the message is sent, so a kill in between loses nothing, and
goes with the next message. Nothing of the webhook's URL is in it.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nightjar.errors import StoreError
from nightjar.pipeline.alerts.happenings import Happening
from nightjar.store import delete, names, put_new, replace

_NAME = re.compile(r"\d{6}-")
_MOST = 30
"""So many undelivered messages are kept, the newest; the records of nights have all."""


@dataclass(frozen=True)
class Entry:
    """What one night, or one check, has to tell."""

    name: str
    happenings: tuple[Happening, ...]
    why: str = ""
    """Why the last try failed; "" before the first has ended."""

    @property
    def told(self) -> list[tuple[str, Happening]]:
        """Each thing with an id that stays the same."""
        return [(f"{self.name}-{place}", found) for place, found in enumerate(self.happenings, 1)]


class Outbox:
    """The undelivered messages of a pipeline. Every write is atomic."""

    def __init__(self, pipeline_dir: Path) -> None:
        self._directory = pipeline_dir / "alerts" / "undelivered"

    def entries(self) -> list[Entry]:
        """What is not delivered, oldest first. Raises StoreError when a file cannot be read."""
        return [found for name in self._names() if (found := self._read(name))]

    def put(self, happenings: Sequence[Happening]) -> None:
        """Keep what is to be told; drops the oldest beyond a limit. Raises StoreNotWritable."""
        moment = datetime.now(UTC)
        # Before the time a number, which goes on rising when the clock is set back.
        known = [int(name.partition("-")[0]) for name in self._names()]
        name = f"{max(known, default=0) + 1:06d}-{moment:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
        self._write(Entry(name, tuple(happenings)), is_new=True)
        for old in self._names()[:-_MOST]:
            delete(self._directory / old)

    def failed(self, entries: Sequence[Entry], why: str) -> None:
        """Note why entries were not delivered. Raises StoreNotWritable."""
        for entry in entries:
            self._write(Entry(entry.name, entry.happenings, why), is_new=False)

    def delivered(self, entries: Sequence[Entry]) -> None:
        """Remove entries."""
        for entry in entries:
            delete(self._directory / entry.name)

    def _names(self) -> list[str]:
        return [name for name in names(self._directory) if _NAME.match(name)]

    def _read(self, name: str) -> Entry | None:
        path = self._directory / name
        try:
            content = json.loads(path.read_bytes())
            happenings = tuple(Happening(**found) for found in content["happenings"])
            return Entry(name, happenings, str(content["why"]))
        except FileNotFoundError:  # delivered meanwhile
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"{path}: this undelivered message cannot be read ({type(error).__name__}); "
                f"delete the file: the records of nights have what it says"
            ) from error

    def _write(self, entry: Entry, *, is_new: bool) -> None:
        content: dict[str, Any] = {
            "happenings": [asdict(found) for found in entry.happenings],
            "why": entry.why,
        }
        write = put_new if is_new else replace
        write(self._directory / entry.name, json.dumps(content, allow_nan=False).encode())
