"""How long something has been idle, judged by what earlier cleanups saw.

File times are not used: copying and restoring change them, object storage lacks them, and they
come from other machines' clocks. Instead each cleanup records every name with its state and
the date. A name is idle for as long as its state has not changed, counted from the first
cleanup that saw it.
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
"""By name: its state, and since when."""


def idle_names(
    record: Path, states: Mapping[str, str], now: float, kept_seconds: float
) -> list[str]:
    """Return the names in ``states`` whose state is unchanged for more than ``kept_seconds``.

    ``now`` is in seconds since 1970. Observations are kept in the file ``record``; while that
    cannot be written, nothing ages. A date in the future (a clock was wrong) counts as ``now``.
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
        logger.warning("%s cannot be read: the ages of old files are counted from now", record)
        return {}
    return {name: (state, since.astimezone(UTC)) for name, (state, since) in seen.items()}


@cache
def _records() -> TypeAdapter[_Seen]:
    return TypeAdapter(dict[str, tuple[str, AwareDatetime]])
