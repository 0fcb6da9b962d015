"""How long something has lain idle, as those who tidy up have seen it.

File times are not asked: copying, restoring and object storage change or lack them, and
they are of other machines' clocks. Instead each tidying tells what lies there and in which
state, and what it is told is written down with the date. Idle is what was in the same state
for so long; the first tidying that sees it begins to count.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from pydantic import AwareDatetime, TypeAdapter, ValidationError

from nightjar.errors import StoreNotWritable
from nightjar.store.local_disk import delete, replace

logger = logging.getLogger(__name__)

_Seen = dict[str, tuple[str, datetime]]
"""By name: its state, and since when it has it."""


def idle_names(
    record: Path, states: Mapping[str, str], now: float, kept_seconds: float
) -> list[str]:
    """Those of ``states`` (by name) that have been the same for more than ``kept_seconds``.

    ``now`` in seconds since 1970. What was seen is kept in the file ``record``; where that
    cannot be written nothing ages. A date to come (a clock was wrong) counts as ``now``.
    """
    before = _read(record)
    moment = datetime.fromtimestamp(now, UTC)
    seen: _Seen = {}
    for name, state in states.items():
        known = before.get(name)
        since = known[1] if known and known[0] == state else moment
        seen[name] = (state, min(since, moment))
    if seen != before:
        _write(record, seen)
    return sorted(
        name for name, (_, since) in seen.items() if (moment - since).total_seconds() > kept_seconds
    )


def _write(record: Path, seen: _Seen) -> None:
    if not seen:
        delete(record)
        return
    content = {name: [state, since.isoformat()] for name, (state, since) in sorted(seen.items())}
    with suppress(StoreNotWritable):
        replace(record, json.dumps(content, indent=1).encode())


def _read(record: Path) -> _Seen:
    try:
        seen = _records().validate_json(record.read_bytes())
    except OSError:
        return {}
    except ValidationError:
        logger.warning("%s cannot be read: what it says of old files counts anew", record)
        return {}
    return {name: (state, since.astimezone(UTC)) for name, (state, since) in seen.items()}


@cache
def _records() -> TypeAdapter[_Seen]:
    return TypeAdapter(dict[str, tuple[str, AwareDatetime]])
