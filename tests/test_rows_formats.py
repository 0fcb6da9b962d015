"""The same rows from every format, and values as they are written."""

from __future__ import annotations

import bz2
import datetime as dt
import gzip
import json
import sqlite3
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rows_support import corpus_of, edges, events, read_corpus, reasons, rows_of

from nightjar.errors import SourceError
from nightjar.sources.tables import blocks

EDGES = [("a", "b", 1.0), ("Ünïcode x", "7", 2.5), ("b", "a", 0.5)]
MOMENT = dt.datetime(2026, 1, 31, 12, 30, tzinfo=dt.UTC)


def _csv(rows: list[tuple[Any, ...]], header: str = "source,target,weight") -> str:
    return "".join(f"{line}\n" for line in (header, *(",".join(map(str, row)) for row in rows)))


def _sqlite(path: Path) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("CREATE TABLE e (id INTEGER, source TEXT, target, weight REAL)")
        rows = [(number, *row) for number, row in enumerate(EDGES)]
        connection.executemany("INSERT INTO e VALUES (?, ?, ?, ?)", rows)
    connection.close()


def _write(base: Path) -> dict[str, dict[str, Any]]:
    """The edges in every format; the source that reads each."""
    text = _csv(EDGES)
    (base / "plain.csv").write_text(text, encoding="utf-8")
    (base / "marked.csv").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    (base / "mac.csv").write_bytes(text.replace("\n", "\r").encode())
    quoted = "".join(
        ";".join(f'"{field}"' for field in line.split(",")) + "\n" for line in text.splitlines()
    )
    (base / "quoted.csv").write_text(quoted, encoding="utf-8")
    (base / "wide.csv").write_text(text, encoding="utf-16")
    (base / "latin.csv").write_text(text, encoding="cp1252")
    (base / "stated.csv").write_text("sep=|\n" + text.replace(",", "|"), encoding="utf-8")
    (base / "bare.csv").write_text(text.partition("\n")[2], encoding="utf-8")
    (base / "p.csv.gz").write_bytes(gzip.compress(text.encode()))
    (base / "p.csv.bz2").write_bytes(bz2.compress(text.encode()))
    with zipfile.ZipFile(base / "p.zip", "w") as archive:
        archive.writestr("one.csv", _csv(EDGES[:2]))
        archive.writestr("two.csv", _csv(EDGES[2:]))
    lines = [{"source": s, "target": int(t) if t == "7" else t, "weight": w} for s, t, w in EDGES]
    (base / "e.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    columns = zip(*EDGES, strict=True)
    table = pa.table(dict(zip(("source", "target", "weight"), map(list, columns), strict=True)))
    pq.write_table(table, base / "e.parquet")
    _sqlite(base / "e.db")
    files = ("plain", "marked", "mac", "quoted", "stated")
    weighted = {"weight_column": "weight"}
    return {
        **{name: {"type": "csv", "path": f"{name}.csv", **weighted} for name in files},
        "wide": {"type": "csv", "path": "wide.csv", "encoding": "utf-16", **weighted},
        "latin": {"type": "csv", "path": "latin.csv", "encoding": "cp1252", **weighted},
        "bare": {
            "type": "csv",
            "path": "bare.csv",
            "columns": ["source", "target", "weight"],
            **weighted,
        },
        "gzip": {"type": "csv", "path": "p.csv.gz", **weighted},
        "bzip2": {"type": "csv", "path": "p.csv.bz2", **weighted},
        "zip": {"type": "csv", "path": "p.zip", **weighted},
        "jsonl": {"type": "jsonl", "path": "e.jsonl", **weighted},
        "parquet": {"type": "parquet", "path": "e.parquet", **weighted},
        "sql": {
            "type": "sql",
            "url": "sqlite:///e.db",
            "query": "SELECT * FROM e",
            "key_column": "id",
            **weighted,
        },
    }


def test_every_format_gives_the_same_rows(tmp_path: Path) -> None:
    found = {name: rows_of(edges(tmp_path, source)) for name, source in _write(tmp_path).items()}
    assert {name: rows for name, rows in found.items() if rows != EDGES} == {}


def test_an_edge_list_splits_at_white_space_and_skips_comments(tmp_path: Path) -> None:
    lines = "# nodes\n% more\na b 2\n\tc \t d  0.5 x\r\n# between\ne\x0bf 1 \n"
    (tmp_path / "e.txt").write_bytes(lines.encode())
    read = edges(tmp_path, {"type": "text", "path": "e.txt", "weighted": True})
    assert rows_of(read) == [("a", "b", 2.0), ("c", "d", 0.5), ("e", "f", 1.0)]
    assert read.counts["comments_skipped"] == 3
    unweighted = edges(tmp_path, {"type": "text", "path": "e.txt"})
    assert rows_of(unweighted) == [("a", "b"), ("c", "d"), ("e", "f")]


def test_a_regular_edge_list_names_the_lines_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "e.txt").write_text("# one\n# two\n a  b 1\n" + "c\td -3\n")
    read = edges(tmp_path, {"type": "text", "path": "e.txt", "weighted": True})
    assert (rows_of(read), reasons(read)) == ([("a", "b", 1.0)], [("e.txt:4", "negative_weight")])


def test_ids_are_text_as_written(tmp_path: Path) -> None:
    values = pa.array([7.0, 1e15, -3.0], pa.float64())
    table = pa.table({"source": pa.array([1, 2**62, -5]), "target": values})
    pq.write_table(table, tmp_path / "e.parquet")
    read = edges(tmp_path, {"type": "parquet", "path": "e.parquet"})
    digits = [("1", "7"), (str(2**62), "1000000000000000"), ("-5", "-3")]
    assert rows_of(read) == digits
    (tmp_path / "e.csv").write_text("source,target\n 007,1e3\n1.0,-0\n")
    read = edges(tmp_path, {"type": "csv", "path": "e.csv"})
    assert rows_of(read) == [(" 007", "1e3"), ("1.0", "-0")]


@pytest.mark.parametrize(
    "time",
    [
        *("1769862600", "1769862600.0", "1769862600000", "1769862600000000"),
        *("1769862600000000000", "2026-01-31T12:30:00Z", "2026-01-31 13:30:00+01:00"),
        "2026-01-31T12:30:00.0000004+00:00",
    ],
)
def test_a_time_is_a_number_since_1970_or_iso_8601(tmp_path: Path, time: str) -> None:
    (tmp_path / "e.csv").write_text(f"user,item,time\nu,i,{time}\n")
    assert rows_of(events(tmp_path, {"type": "csv", "path": "e.csv"})) == [("u", "i", MOMENT)]
    # Beside others of all kinds, each is parsed by itself.
    (tmp_path / "m.csv").write_text(f"user,item,time\nu,i,{time}\nu,j,1970-01-02T00:00Z\nu,k,0\n")
    found = rows_of(events(tmp_path, {"type": "csv", "path": "m.csv"}))
    assert [row[2].timestamp() for row in found] == [MOMENT.timestamp(), 86_400.0, 0.0]


def test_times_without_a_zone_take_that_of_the_corpus(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("user,item,time\nu,i,2026-01-31 13:30:00\nv,i,2026-07-01\n")
    source = {"type": "csv", "path": "e.csv"}
    found = rows_of(events(tmp_path, source, time_zone="Europe/Berlin"))
    assert [row[2] for row in found] == [MOMENT, dt.datetime(2026, 6, 30, 22, tzinfo=dt.UTC)]
    stamp = pa.array(["2026-01-31 13:30:00"]).cast(pa.timestamp("ms"))
    naive = pa.table({"user": ["u"], "item": ["i"], "time": stamp})
    pq.write_table(naive, tmp_path / "e.parquet")
    source = {"type": "parquet", "path": "e.parquet"}
    assert rows_of(events(tmp_path, source, time_zone="Europe/Berlin")) == [("u", "i", MOMENT)]
    with pytest.raises(SourceError, match=r"row 1: the time .* names no time zone; set time_zone"):
        events(tmp_path, source)


def test_json_and_parquet_times_are_those_of_text(tmp_path: Path) -> None:
    rows = [{"user": "u", "item": 1, "time": time} for time in (1769862600, 1769862600000.0)]
    rows.append({"user": "u", "item": 1.0, "time": "2026-01-31T12:30:00Z"})
    (tmp_path / "e.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = rows_of(events(tmp_path, {"type": "jsonl", "path": "e.jsonl"}))
    assert found == [("u", "1", MOMENT)] * 3
    stamps = pa.array([MOMENT], pa.timestamp("ns", "Europe/Berlin"))
    table = pa.table({"user": ["u"], "item": ["1"], "time": stamps})
    pq.write_table(table, tmp_path / "e.parquet")
    found = rows_of(events(tmp_path, {"type": "parquet", "path": "e.parquet"}))
    assert found == [("u", "1", MOMENT)]


def test_conditions_are_those_of_documents(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("source,target,kind,n\na,b,x,1\nc,d,y,2\ne,f,x,3\n")
    where = {"kind": ["x", "z"], "n": {"min": 2}, "absent": {"not": "gone"}}
    read = edges(tmp_path, {"type": "csv", "path": "e.csv", "where": where})
    assert rows_of(read) == [("e", "f")]
    assert (read.counts["filtered_skipped"], read.counts["rows_read"]) == (2, 1)


def test_attributes_of_items_are_split(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("user,item,time\nu,1,0\n")
    items = 'item,title,genres,year\n1,"Toy, ""Story""",Comedy|Fun|Comedy,1995\n2, ,,1996\n'
    (tmp_path / "i.csv").write_text(items)
    (tmp_path / "i.jsonl").write_text(
        json.dumps({"item": 3, "title": None, "genres": ["A|B", "C"], "year": 1997.0}) + "\n"
    )
    settings = {"title_column": "title", "attribute_columns": ["genres", "year"]}
    corpus = corpus_of(
        "events",
        {"in": {"type": "csv", "path": "e.csv"}},
        items={
            "films": {"type": "csv", "path": "i.csv", **settings},
            "more": {"type": "jsonl", "path": "i.jsonl", **settings},
        },
    )
    read = read_corpus(tmp_path, corpus)
    found = [row for shard in read.of_items() for b in shard.batches() for row in b.to_pylist()]
    assert [tuple(row.values()) for row in found] == [
        ("1", 'Toy, "Story"', ["genres=Comedy", "genres=Fun", "year=1995"]),
        ("2", None, ["year=1996"]),
        ("3", None, ["genres=A", "genres=B", "genres=C", "year=1997"]),
    ]
    assert list(read.sources) == ["in", "items.films", "items.more"]
    assert (read.counts["rows_kept"], read.counts["items_rows_kept"]) == (1, 3)


def test_small_blocks_give_the_rows_and_lines_of_a_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [f"n{number % 7},n{number % 5},{number % 3 - 1}" for number in range(400)]
    rows[100], rows[200], rows[300] = "only one", "", '"quoted, once",b,1'
    (tmp_path / "e.csv").write_text("\n".join(["source,target,weight", *rows, ""]))
    source = {"type": "csv", "path": "e.csv", "weight_column": "weight"}
    whole = edges(tmp_path, source)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 64)
    parts = read_corpus(tmp_path, corpus_of("graph", {"in": source}), store="other")
    assert rows_of(parts) == rows_of(whole)
    assert sorted(reasons(parts)) == sorted(reasons(whole))
    assert whole.counts["quarantined_malformed_row"] == whole.counts["quarantined_empty"] == 1
