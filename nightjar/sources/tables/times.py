"""Times of events: timestamps, numbers since 1970, and ISO 8601.

A number's unit follows from its size: below 1e11 seconds (until the year 5138), below 1e14
milliseconds, below 1e17 microseconds, else nanoseconds. So milliseconds count from March 1973 on.
Text of digits alone is such a number. A time without a zone takes that of the corpus; without one
it has a problem.
"""

from __future__ import annotations

import datetime as dt
import decimal
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nightjar.files.numbers import number_in
from nightjar.sources.conditions import MISSING
from nightjar.sources.rejections import Reason, excerpt
from nightjar.sources.tables.raw_rows import Column, Problem
from nightjar.sources.tables.role_values import Converted, RowReason

UTC = pa.timestamp("us", tz="UTC")
_UNITS = ((1e11, 1e6), (1e14, 1e3), (1e17, 1.0), (math.inf, 1e-3))
"""Limit of a number, and microseconds in its unit."""
_EARLIEST, _LATEST = -62_135_596_800_000_000, 253_402_300_799_999_999
"""Years 1 to 9999, which every language can hold."""
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


def as_times(column: Column, name: str, zone: str | None) -> Converted:
    """Times as microseconds in UTC. ``zone`` is that of times that name none."""
    problems = dict(column.problems)
    values = column.values
    micros = _of_arrow(values, zone) if isinstance(values, pa.Array) else None
    if micros is None:
        micros = np.zeros(len(values), np.int64)
        for code, value in enumerate(column.objects()):
            found = _micros(value, name, zone)
            if isinstance(found, Problem):
                problems.setdefault(code, found)
            else:
                micros[code] = found
    for code in np.flatnonzero((micros < _EARLIEST) | (micros > _LATEST)).tolist():
        problems.setdefault(code, _no_time(name, column.objects()[code]))
        micros[code] = 0
    return Converted(pa.array(micros, pa.int64()).cast(UTC), problems)


def _of_arrow(values: pa.Array, zone: str | None) -> NDArray[np.int64] | None:
    """All values at once; None if they are not all alike."""
    kind = values.type
    if values.null_count:
        return None
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        number = pa.float64() if pa.types.is_floating(kind) else pa.int64()
        numbers = values.cast(number, safe=False)
        return _since_1970(numbers.to_numpy(zero_copy_only=False))
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _of_timestamps(values, zone)
    if not pa.types.is_string(kind):
        return None
    for number in (pa.int64(), pa.float64()):
        try:
            return _since_1970(pc.cast(values, number).to_numpy(zero_copy_only=False))
        except pa.ArrowInvalid:
            continue
    try:
        return np.asarray(pc.cast(values, UTC).cast(pa.int64()).to_numpy(zero_copy_only=False))
    except pa.ArrowInvalid:
        pass
    if zone is None:
        return None
    try:
        return _of_timestamps(pc.cast(values, pa.timestamp("us")), zone)
    except pa.ArrowInvalid:
        return None


def _of_timestamps(values: pa.Array, zone: str | None) -> NDArray[np.int64] | None:
    try:
        micros = values.cast(pa.timestamp("us", getattr(values.type, "tz", None)), safe=False)
        if micros.type.tz is None:
            if zone is None:
                return None
            micros = pc.assume_timezone(micros, zone, ambiguous="earliest", nonexistent="earliest")
    except pa.ArrowInvalid:  # a year that has no microseconds of 64 bits
        return None
    return np.array(micros.cast(pa.int64()).to_numpy(zero_copy_only=False))


def _since_1970(numbers: NDArray[Any]) -> NDArray[np.int64]:
    """Microseconds; beyond the latest one for what is no number."""
    if numbers.dtype.kind == "f":
        size = np.abs(numbers)
        with np.errstate(invalid="ignore", over="ignore"):
            scaled = [numbers * factor for _, factor in _UNITS]
            micros = np.rint(np.select([size < top for top, _ in _UNITS], scaled, math.nan))
        is_fit = np.isfinite(micros) & (np.abs(micros) <= _LATEST)
        return np.where(is_fit, micros, _LATEST + 1.0).astype(np.int64)
    whole = numbers.astype(np.int64)
    size = np.where(whole == np.iinfo(np.int64).min, np.iinfo(np.int64).max, np.abs(whole))
    tops = [size < int(top) for top, _ in _UNITS[:-1]]
    found = np.select(tops, [whole * 1_000_000, whole * 1_000, whole], whole // 1_000)
    return np.asarray(found, np.int64)


def _micros(value: object, name: str, zone: str | None) -> int | Problem:
    if value is MISSING:
        return Problem(Reason.MISSING_FIELD, f"no field {name!r}")
    if isinstance(value, dt.datetime):
        return _of_moment(value, name, zone)
    if isinstance(value, dt.date):
        return _of_moment(dt.datetime.combine(value, dt.time()), name, zone)
    if isinstance(value, str):
        return _of_text(value, name, zone)
    if isinstance(value, int | float | decimal.Decimal) and not isinstance(value, bool):
        return _of_number(value, name)
    return _no_time(name, value)


def _of_number(value: float | decimal.Decimal, name: str) -> int | Problem:
    """As :func:`_since_1970`, for one number."""
    if not isinstance(value, int):
        value = float(value)
    if not math.isfinite(value):
        return _no_time(name, value)
    factor = next(factor for top, factor in _UNITS if abs(value) < top)
    if isinstance(value, int):
        found = value * int(factor) if factor >= 1 else value // 1_000
    else:
        found = round(value * factor)
    return found if _EARLIEST <= found <= _LATEST else _no_time(name, value)


def _of_text(text: str, name: str, zone: str | None) -> int | Problem:
    stripped = text.strip()
    number = number_in(stripped)
    if number is not None:
        is_whole = stripped.lstrip("+-").isdigit() and stripped.isascii()
        return _of_number(int(stripped) if is_whole else number, name)
    try:
        moment = dt.datetime.fromisoformat(stripped)
    except ValueError:
        return _no_time(name, text)
    return _of_moment(moment, name, zone)


def _of_moment(moment: dt.datetime, name: str, zone: str | None) -> int | Problem:
    if moment.tzinfo is None:
        if zone is None:
            return Problem(
                RowReason.NO_TIME_ZONE,
                f"the {name} {moment.isoformat()} names no time zone; set time_zone",
            )
        naive = pa.array([moment], pa.timestamp("us"))
        found = _of_timestamps(naive, zone)
        return int(found[0]) if found is not None else _no_time(name, moment)
    return (moment - _EPOCH) // _MICROSECOND


def _no_time(name: str, value: object) -> Problem:
    shown = "null" if value is None else repr(excerpt(str(value)))
    return Problem(
        RowReason.NOT_A_TIME,
        f"{name!r} is {shown}, neither seconds since 1970 nor ISO 8601",
    )
