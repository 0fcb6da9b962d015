"""Rows of local CSV, Parquet, JSON Lines and edge-list files, whole in memory.

Stands in until rows are read in shards, from servers and databases too.
"""

from __future__ import annotations

import glob
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from nightjar.config.table_sources import (
    EdgeListSource,
    SqlEdges,
    SqlEvents,
    SqlItems,
    TableSource,
)
from nightjar.errors import SourceError
from nightjar.files.paths import resolve_pattern
from nightjar.store import FileIdentity, Staging, file_identity, schemas

Sources = Mapping[str, TableSource]
Check = Callable[[Mapping[str, Any]], str]
"""Why a row cannot be used; "" for one that can."""


@dataclass(frozen=True)
class Gathered:
    """The rows of all sources, in the order of the config, and what was left out."""

    tables: Mapping[str, pa.Table]
    report: dict[str, dict[str, int]]
    quarantine: list[dict[str, Any]] = field(default_factory=list)

    @property
    def quarantined(self) -> pa.Table:
        """The table ``quarantine``."""
        return pa.Table.from_pylist(self.quarantine, schemas.ROWS_QUARANTINE_SCHEMA)


def table_files(sources: Sources, base_dir: Path) -> Iterator[tuple[str, Path]]:
    """Source and path of every file. Raises SourceError for what is not there."""
    for name, source in sources.items():
        if isinstance(source, SqlEdges | SqlEvents | SqlItems) or source.is_remote:
            raise SourceError(f"sources.{name}: rows of servers cannot be read yet")
        patterns = [source.path] if isinstance(source.path, str) else source.path
        for pattern in patterns:
            found = sorted(glob.glob(str(resolve_pattern(pattern, base_dir))))  # noqa: PTH207
            if not found:
                raise SourceError(f"sources.{name}: no file matches {pattern}; correct its path")
            yield from ((name, Path(path)) for path in found)


def table_inputs(sources: Sources, base_dir: Path) -> list[FileIdentity]:
    """The content of every file."""
    return [
        FileIdentity(f"{name}/{path.name}", found.bytes, found.sha256)
        for name, path in table_files(sources, base_dir)
        for found in (file_identity(path),)
    ]


def gather(sources: Sources, base_dir: Path, check: Check) -> Gathered:
    """Read every file; rows that ``check`` refuses are quarantined."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in sources}
    report = {name: {"files_read": 0, "rows_kept": 0, "quarantined": 0} for name in sources}
    quarantine: list[dict[str, Any]] = []
    for name, path in table_files(sources, base_dir):
        report[name]["files_read"] += 1
        for number, row in enumerate(_rows(path, sources[name]), start=1):
            if reason := check(row):
                report[name]["quarantined"] += 1
                quarantine.append(
                    {
                        "source": name,
                        "locator": f"{name}/{path.name}#{number}",
                        "reason": reason,
                        "detail": "",
                        "excerpt": str(row)[:200],
                    }
                )
            else:
                rows[name].append(row)
                report[name]["rows_kept"] += 1
    tables = {name: pa.Table.from_pylist(found) for name, found in rows.items()}
    return Gathered(tables, report, quarantine)


def _rows(path: Path, source: TableSource) -> Iterator[dict[str, Any]]:
    if isinstance(source, EdgeListSource):
        roles = list(source.role_columns)
        for line in path.read_text(encoding="utf-8").splitlines():
            fields = line.split()
            if fields and not line.startswith(("#", "%")):
                given = dict(zip(roles, fields, strict=False))
                yield {role: given.get(role) for role in roles}
        return
    if source.type == "parquet":
        table = pyarrow.parquet.read_table(path)
    elif source.type == "csv":
        table = pyarrow.csv.read_csv(path)
    else:
        table = pyarrow.json.read_json(path)
    columns = dict(source.role_columns)
    columns |= {name: name for name in getattr(source, "attribute_columns", ())}
    lost = [column for column in columns.values() if column not in table.column_names]
    if lost:
        raise SourceError(f"{path}: there is no column {lost[0]}; it has {table.column_names}")
    for row in table.to_pylist():
        yield {role: _text(role, row[column]) for role, column in columns.items()}


def _text(role: str, value: Any) -> Any:
    return value if role in ("time", "weight") or value is None else str(value)


def check_edge(row: Mapping[str, Any]) -> str:
    """Why a row is no edge."""
    if not row.get("source") or not row.get("target"):
        return "missing_node"
    try:
        weight = float(row.get("weight", 1.0))
    except (TypeError, ValueError):
        return "weight_no_number"
    return "" if math.isfinite(weight) and weight > 0 else "weight_not_positive"


def check_event(row: Mapping[str, Any]) -> str:
    """Why a row is no event."""
    return "" if row.get("user") and row.get("item") and row.get("time") is not None else "missing"


def check_item(row: Mapping[str, Any]) -> str:
    """Why a row says nothing about an item."""
    return "" if row.get("item") else "missing_item"


def write_tokens(
    staging: Staging, names: list[str], sentences: list[tuple[str, list[int]]]
) -> None:
    """Write the tables of a tokens artifact from rows of ``names``."""
    counts = Counter(row for _, ids in sentences for row in ids)
    spread = Counter(row for _, ids in sentences for row in set(ids))
    ranked = sorted(counts, key=lambda row: (-counts[row], names[row]))
    rank = {row: place for place, row in enumerate(ranked)}
    staging.write(
        "sentences",
        pa.table(
            [
                [name for name, _ in sentences],
                [0] * len(sentences),
                [[rank[row] for row in ids] for _, ids in sentences],
            ],
            schema=schemas.SENTENCES_SCHEMA,
        ),
    )
    staging.write(
        "vocabulary",
        pa.table(
            [
                list(range(len(ranked))),
                [names[row] for row in ranked],
                [counts[row] for row in ranked],
                [spread[row] for row in ranked],
            ],
            schema=schemas.VOCABULARY_SCHEMA,
        ),
    )
    staging.counts.update(
        documents_read=len(sentences),
        documents_without_tokens=0,
        sentences=len(sentences),
        tokens=sum(counts.values()),
        vocabulary=len(ranked),
    )
