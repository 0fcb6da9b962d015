"""Every option of graphs and events at another value than its default, and files to read."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

N_NODES = 24
READING = {
    "on_error": "quarantine",
    "max_lost": 0.9,
    "max_expanded_bytes": "1GB",
    "max_expansion_ratio": 100,
    "max_fetch_bytes": "1GB",
}
_ROWS = {"limit": 90, "where": {"kind": "good"}}
_ENCODED = {"encoding": "latin-1", "errors": "replace"}
_EDGES = {"source_column": "from", "target_column": "to", "weight_column": "much"}
_EVENTS = {
    "user_column": "who",
    "item_column": "what",
    "time_column": "when",
    "session_column": "visit",
}
_ITEMS = {"item_column": "id", "title_column": "name", "attribute_columns": ["genre"]}


def _sources(directory: Path, name: str, roles: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """A source of each format for the table ``name``, with every key."""
    file = {"storage": None, **_ROWS, **roles}
    columns = list(_TABLES[name][0])
    return {
        f"{name}-c": {
            **file,
            **_ENCODED,
            "type": "csv",
            "path": f"{name}.csv",
            "columns": columns,
            "delimiter": ";",
            "quote": "'",
            "escape": "\\",
        },
        f"{name}-p": {**file, "type": "parquet", "path": f"{name}.parquet"},
        f"{name}-j": {**file, **_ENCODED, "type": "jsonl", "path": f"{name}.jsonl"},
        f"{name}-d": {
            **_ROWS,
            **roles,
            "type": "sql",
            "query": f"SELECT * FROM {name}",
            "url": f"sqlite:///{directory / 'kinds.db'}",
            "key_column": "key",
            "watermark_column": "key",
            "check_deleted": False,
        },
    }


def kinds_way(directory: Path) -> dict[str, Any]:
    """Changes of a config: corpora of graphs and events, their models and benchmarks."""
    known = {"sha256": None, "license": "CC0", "reference": "ours"}
    own = {"seed": 3, "gate_benchmarks": ["links"]}
    return {
        "corpora": {
            "text": {"kind": "text", "sources": {"s": {"type": "text", "path": "text.txt"}}},
            "people": {
                "kind": "graph",
                "sources": {
                    "known": {
                        "type": "text",
                        "path": "known.edges",
                        "storage": None,
                        "where": {},
                        "limit": 500,
                        "weighted": True,
                        **_ENCODED,
                    },
                    **_sources(directory, "met", _EDGES),
                },
                **READING,
                "directed": True,
                "self_loops": "keep",
                "duplicate_edges": "once",
                "held_out": 0.2,
                "walks": {"per_node": 2, "length": 6, "p": 0.5, "q": 2.0, "seed": 5},
                "accept": {"max_nodes_lost": 0.5, "max_edges_lost": 0.6},
            },
            "clicks": {
                "kind": "events",
                "sources": _sources(directory, "clicks", _EVENTS),
                "items": _sources(directory, "films", _ITEMS),
                **READING,
                "time_zone": "Europe/Berlin",
                "sessions": {
                    "by": "column",
                    "gap_minutes": 20.0,
                    "repeats": "once",
                    "max_events": 50,
                },
                "bots": {"events": 400, "minutes": 30.0},
                "min_item_events": 2,
                "held_out": {"share": 0.8, "test": 1, "validation": 1},
                "accept": {"max_events_lost": 0.5, "max_items_lost": 0.6},
            },
        },
        "models": {
            "prone": {
                "trainer": "prone",
                "corpus": "people",
                **own,
                "vector_size": 4,
                "ns_exponent": 0.5,
                "steps": 3,
                "mu": 0.1,
                "theta": 0.4,
                "spread": 2,
                "space": "aligned",
            },
            "items": {
                "trainer": "word2vec",
                "corpus": "clicks",
                "vector_size": 4,
                "epochs": 1,
                "gate_benchmarks": ["next"],
            },
        },
        "evaluation": {
            "bootstrap_samples": 20,
            "benchmarks": {
                "links": {
                    "type": "link_prediction",
                    "corpus": "people",
                    "max_edges": 10,
                    "metric": "average_precision",
                },
                "halves": {
                    "type": "node_classification",
                    "path": "halves.tsv",
                    **known,
                    "corpus": "people",
                    "train_share": 0.6,
                    "splits": 2,
                    "max_nodes": 10,
                    "metric": "macro_f1",
                },
                "next": {
                    "type": "next_item",
                    "corpus": "clicks",
                    "topn": 3,
                    "by": "cooccurrence",
                    "max_sessions": 20,
                    "metric": "hit_rate",
                },
            },
        },
        "registry": {"gate": {"benchmarks": ["links"], "mode": "warn"}},
    }


def _edges() -> list[tuple[Any, ...]]:
    ring = [(n, n // 12 * 12 + (n + step) % 12) for n in range(N_NODES) for step in (1, 2, 3)]
    return [(k, f"p{a}", f"p{b}", 1.5, "good") for k, (a, b) in enumerate(ring)]


def _clicks() -> list[tuple[Any, ...]]:
    return [
        (10 * user + step, f"u{user}", f"film{(user + step) % 9}", time, f"v{user}", "good")
        for user in range(12)
        for step in range(5)
        for time in (f"2026-01-{1 + user:02d} 10:0{step}:00",)
    ]


def _films() -> list[tuple[Any, ...]]:
    return [(n, f"film{n}", f"The {n}", "Drama|War", "good") for n in range(9)]


_TABLES: dict[str, tuple[Sequence[str], Sequence[tuple[Any, ...]]]] = {
    "met": (("key", "from", "to", "much", "kind"), _edges()),
    "clicks": (("key", "who", "what", "when", "visit", "kind"), _clicks()),
    "films": (("key", "id", "name", "genre", "kind"), _films()),
}
"""Columns and rows of each table."""


def write_kinds(directory: Path) -> None:
    """What the sources and benchmarks of :func:`kinds_way` read."""
    for name, (columns, found) in _TABLES.items():
        rows = [dict(zip(columns, row, strict=True)) for row in found]
        lines = [";".join(map(str, row)) for row in found]
        (directory / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        text = "".join(f"{json.dumps(row)}\n" for row in rows)
        (directory / f"{name}.jsonl").write_text(text, encoding="utf-8")
        pq.write_table(pa.Table.from_pylist(rows), directory / f"{name}.parquet")
        with closing(sqlite3.connect(directory / "kinds.db")) as database:
            named = ", ".join(map('"{}"'.format, columns))
            database.execute(f"CREATE TABLE {name} ({named})")
            marks = ", ".join("?" for _ in columns)
            database.executemany(f"INSERT INTO {name} VALUES ({marks})", found)
            database.commit()
    edges = "".join(f"{a} {b} {much}\n" for _, a, b, much, _ in _edges())
    (directory / "known.edges").write_text(edges, encoding="utf-8")
    halves = "".join(f"p{n}\t{'ab'[n // 12]}\n" for n in range(N_NODES))
    (directory / "halves.tsv").write_text(f"node\tlabel\n{halves}", encoding="utf-8")
