"""From blocks of raw rows to typed ones: conditions first, then the columns of the roles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nightjar.config.table_sources import TableSource
from nightjar.errors import SourceError
from nightjar.sources.conditions import MISSING, FieldUse, compiled
from nightjar.sources.rejections import Reason, Rejection, Skip, digest_of
from nightjar.sources.tables.raw_rows import Column, Problem, RawRows
from nightjar.sources.tables.role_values import (
    Converted,
    RowReason,
    as_attributes,
    as_ids,
    as_titles,
    as_weights,
    shown_value,
)
from nightjar.sources.tables.times import UTC, as_times
from nightjar.store.schemas import ID_TYPE

Convert = Callable[[Column, str], Converted]

_TYPES: Mapping[str, tuple[pa.DataType, Convert]] = {
    **dict.fromkeys(("source", "target", "user", "item", "session"), (ID_TYPE, as_ids)),
    "weight": (pa.float64(), as_weights),
    "title": (pa.string(), as_titles),
}
ATTRIBUTES = "attributes"
PURGED_ROLES = ("user", "source", "target")
"""The roles whose ids can be purged."""
_ATTRIBUTES_TYPE = pa.list_(pa.field("element", pa.string(), nullable=False))


def column_uses(source: TableSource) -> list[FieldUse]:
    """The columns that are read of ``source``, each with the key that names it."""
    first: dict[str, FieldUse] = {}
    for key, name in source.uses:
        # A column that a condition alone needs may be absent if null meets the condition.
        is_optional = key == "where" and compiled(source.where[name])(None)
        first.setdefault(name, FieldUse(key, name, is_optional))
    if hasattr(source, "attribute_columns"):
        for name in source.attribute_columns:
            first[name] = FieldUse(first[name].key, name)
    return list(first.values())


def rows_schema(source: TableSource) -> pa.Schema:
    """The columns of the rows of ``source``: its roles, and attributes if it can have them.

    Ids are dictionary-encoded text; times are microseconds in UTC.
    """
    fields = [
        pa.field(role, UTC if role == "time" else _TYPES[role][0], nullable=role == "title")
        for role in source.role_columns
    ]
    if hasattr(source, "attribute_columns"):
        fields.append(pa.field(ATTRIBUTES, _ATTRIBUTES_TYPE, nullable=False))
    return pa.schema(fields)


@dataclass
class TypedRows:
    """The rows of a block that are kept, and what became of the others."""

    rows: pa.Table
    rejections: list[Rejection]
    counts: Counter[str]


class RowTyping:
    """Types the blocks of one file."""

    def __init__(
        self, source: TableSource, time_zone: str | None, purged: frozenset[bytes]
    ) -> None:
        self._source = source
        self._purged_ids = purged
        self._schema = rows_schema(source)
        self._tests = [(name, compiled(value)) for name, value in source.where.items()]
        self._time_zone = time_zone
        self._has_zone = False

    def typed(self, raw: RawRows) -> TypedRows:
        """The block's rows. Raises SourceError when no time so far has a zone."""
        counts = Counter(raw.skipped)
        unread = list(raw.rejections)
        if self._purged_ids:  # it is not known whose they are
            unread = [replace(rejection, excerpt="") for rejection in unread]
        if not raw.n_rows:
            return TypedRows(self._schema.empty_table(), unread, counts)
        is_wanted, problems = self._wanted(raw)
        counts[Skip.FILTERED] += raw.n_rows - int(is_wanted.sum())
        converted = {role: self._converted(role, raw) for role in self._source.role_columns}
        for role, column in self._source.role_columns.items():
            problems.append((raw.columns[column].codes, converted[role].problems))
        attributes = [
            (raw.columns[name], as_attributes(raw.columns[name], name))
            for name in getattr(self._source, "attribute_columns", ())
        ]
        problems += [(column.codes, found.problems) for column, found in attributes]
        for role in PURGED_ROLES if self._purged_ids else ():
            if role in converted:
                codes = raw.columns[self._source.role_columns[role]].codes
                problems.insert(0, (codes, self._purged(converted[role].values)))
        first = _first_problems(is_wanted, problems)
        self._check_zone(raw, is_wanted, first)
        is_kept = is_wanted.copy()
        is_kept[list(first)] = False
        rejections = [*unread, *(self._rejection(raw, row, first[row]) for row in first)]
        columns = [
            _taken(converted[role], raw.columns[column].codes, is_kept, self._schema.field(role))
            for role, column in self._source.role_columns.items()
        ]
        if ATTRIBUTES in self._schema.names:
            columns.append(_lists(attributes, is_kept))
        return TypedRows(pa.table(columns, schema=self._schema), rejections, counts)

    def _wanted(
        self, raw: RawRows
    ) -> tuple[NDArray[np.bool_], list[tuple[NDArray[np.int32], Mapping[int, Problem]]]]:
        """Which rows meet the conditions; those with an unreadable value do, for now."""
        is_wanted = np.ones(raw.n_rows, np.bool_)
        problems = []
        for name, test in self._tests:
            column = raw.columns.get(name)
            if column is None:
                continue  # a missing column is null, which meets this condition
            meets = np.array([test(_plain(value)) for value in column.objects()], np.bool_)
            meets[list(column.problems)] = True
            is_wanted &= meets[column.codes]
            problems.append((column.codes, column.problems))
        return is_wanted, problems

    def _converted(self, role: str, raw: RawRows) -> Converted:
        name = self._source.role_columns[role]
        convert: Convert = partial(_times, self._time_zone) if role == "time" else _TYPES[role][1]
        return convert(raw.columns[name], name)

    def _check_zone(
        self, raw: RawRows, is_wanted: NDArray[np.bool_], first: Mapping[int, Problem]
    ) -> None:
        if "time" not in self._source.role_columns or self._has_zone:
            return
        naive = [row for row in first if first[row].reason == RowReason.NO_TIME_ZONE]
        if naive and len(first) == int(is_wanted.sum()):
            raise SourceError(f"{raw.locator(naive[0])}: {first[naive[0]].detail}")
        self._has_zone = len(first) < int(is_wanted.sum())

    def _purged(self, ids: pa.Array) -> dict[int, Problem]:
        """The purged ones among distinct ids."""
        return {
            code: Problem(Reason.PURGED, "")
            for code, name in enumerate(ids.to_pylist())
            if digest_of(name) in self._purged_ids
        }

    def _rejection(self, raw: RawRows, row: int, problem: Problem) -> Rejection:
        if problem.reason == Reason.PURGED:
            return Rejection(raw.locator(row), problem.reason, "")
        shown = []
        for name in self._source.role_columns.values():
            column = raw.columns[name]
            value = column.values[int(column.codes[row])]
            shown.append(shown_value(value.as_py() if isinstance(value, pa.Scalar) else value))
        return Rejection(raw.locator(row), problem.reason, problem.detail, ", ".join(shown))


def _times(zone: str | None, column: Column, name: str) -> Converted:
    return as_times(column, name, zone)


def _plain(value: object) -> object:
    return None if value is MISSING else value


def _first_problems(
    is_wanted: NDArray[np.bool_],
    problems: list[tuple[NDArray[np.int32], Mapping[int, Problem]]],
) -> dict[int, Problem]:
    """The first problem of each wanted row that has one, by row, in order."""
    found: dict[int, Problem] = {}
    for codes, of_codes in problems:
        if not of_codes:
            continue
        is_bad = np.zeros(int(codes.max(initial=0)) + 1, np.bool_)
        is_bad[[code for code in of_codes if code < len(is_bad)]] = True
        for row in np.flatnonzero(is_bad[codes] & is_wanted).tolist():
            found.setdefault(row, of_codes[int(codes[row])])
    return dict(sorted(found.items()))


def _taken(
    converted: Converted, codes: NDArray[np.int32], is_kept: NDArray[np.bool_], field: pa.Field
) -> pa.Array:
    """The kept rows of a column, with no value in its dictionary that no row has."""
    kept = codes if is_kept.all() else codes[is_kept]
    if not pa.types.is_dictionary(field.type):
        return converted.values.take(pa.array(kept)).cast(field.type)
    is_used = np.bincount(kept, minlength=len(converted.values)) > 0
    values = converted.values
    if not is_used.all():
        values = values.filter(pa.array(is_used))
        kept = (np.cumsum(is_used) - 1).astype(np.int32)[kept]
    return pa.DictionaryArray.from_arrays(pa.array(kept, pa.int32()), values)


def _lists(attributes: list[tuple[Column, Converted]], is_kept: NDArray[np.bool_]) -> pa.Array:
    """The attributes of each kept row, those of all columns after each other."""
    by_column = [
        (column.codes[is_kept].tolist(), found.values.to_pylist()) for column, found in attributes
    ]
    rows = [
        [value for codes, values in by_column for value in values[codes[row]]]
        for row in range(int(is_kept.sum()))
    ]
    return pa.array(rows, _ATTRIBUTES_TYPE)
