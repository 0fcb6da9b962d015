"""Rows and files that are wrong: refused or quarantined by name, and counted."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rows_support import corpus_of, edges, events, read_corpus, reasons, rows_of

from nightjar.errors import SourceError
from nightjar.sources.tables import ReadRows, blocks

CSV = {"type": "csv", "path": "e.csv"}
WEIGHTED = {**CSV, "weight_column": "weight"}


def _edges(base: Path, content: str | bytes, **settings: object) -> ReadRows:
    data = content.encode() if isinstance(content, str) else content
    (base / "e.csv").write_bytes(data)
    return edges(base, {**CSV, **settings})


@pytest.mark.parametrize(
    ("weight", "reason"),
    [
        *(("-1", "negative_weight"), ("-0.5e3", "negative_weight"), ("0", "zero_weight")),
        *(("0.0", "zero_weight"), ("1e-320", "zero_weight"), ("nan", "not_a_number")),
        *(("inf", "not_a_number"), ("1e39", "not_a_number"), ("", "not_a_number")),
        *(("heavy", "not_a_number"), ("1_000", "not_a_number")),
    ],
)
def test_a_weight_is_a_finite_positive_number(tmp_path: Path, weight: str, reason: str) -> None:
    content = f"source,target,weight\na,b,1\na,c,{weight}\n"
    read = _edges(tmp_path, content, weight_column="weight")
    assert (rows_of(read), reasons(read)) == ([("a", "b", 1.0)], [("e.csv:3", reason)])
    assert read.counts[f"quarantined_{reason}"] == read.counts["quarantined"] == 1


def test_weights_of_parquet_and_json_are_checked_alike(tmp_path: Path) -> None:
    weights = [1.0, float("nan"), None, -1.0, 0.0]
    expected = ["not_a_number", "not_a_number", "negative_weight", "zero_weight"]
    pq.write_table(
        pa.table({"source": ["a"] * 5, "target": ["b"] * 5, "weight": weights}),
        tmp_path / "e.parquet",
    )
    source = {"type": "parquet", "path": "e.parquet", "weight_column": "weight"}
    read = edges(tmp_path, source)
    assert [reason for _, reason in reasons(read)] == expected
    assert reasons(read)[0][0] == "e.parquet: row 2"
    rows = [{"source": "a", "target": "b", "weight": w} for w in (1, "x", True, -1, 0, 10**400)]
    (tmp_path / "e.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    read = edges(tmp_path, {"type": "jsonl", "path": "e.jsonl", "weight_column": "weight"})
    assert [reason for _, reason in reasons(read)] == [*expected, "not_a_number"]


@pytest.mark.parametrize(
    ("node", "detail"),
    [
        *((b"", "is empty"), (b" \t ", "is white space"), (b"a\0b", "line break or a NUL")),
        *((b'"a\nb"', "line break or a NUL"), (b"x" * 1_001, "has more than 1,000 characters")),
        ("a\u2028b".encode(), "line break or a NUL"),
    ],
)
def test_an_id_is_a_short_text_on_one_line(tmp_path: Path, node: bytes, detail: str) -> None:
    read = _edges(tmp_path, b"source,target\na,b\nc," + node + b"\n")
    assert (rows_of(read), reasons(read)) == ([("a", "b")], [("e.csv:3", "invalid_id")])
    (batch,) = read.quarantine()
    assert detail in batch.column("detail")[0].as_py()


def test_ids_of_other_types_are_invalid(tmp_path: Path) -> None:
    lines = ["null", "true", "[1]", "{}", "NaN", "1e300", '"\\ud800"', '"a"', "1"]
    content = "".join(f'{{"source": {line}, "target": "b"}}\n' for line in lines)
    (tmp_path / "e.jsonl").write_text(content + '{"target": "b"}\n')
    read = edges(tmp_path, {"type": "jsonl", "path": "e.jsonl"})
    assert rows_of(read) == [("a", "b"), ("1", "b")]
    invalid = [(f"e.jsonl:{line}", "invalid_id") for line in range(1, 8)]
    assert reasons(read) == [*invalid, ("e.jsonl:10", "missing_field")]


def test_nodes_may_be_called_like_columns(tmp_path: Path) -> None:
    assert rows_of(_edges(tmp_path, "source,target\nsource,target\ntarget,null\n")) == [
        ("source", "target"),
        ("target", "null"),
    ]


def test_a_missing_column_is_named_with_the_closest_one(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"e\.csv: there is no source_column 'source'; it has "):
        _edges(tmp_path, "from,target\na,b\n")
    with pytest.raises(SourceError, match=r"it has SOURCE, Target; did you mean 'SOURCE'\?"):
        _edges(tmp_path, "SOURCE,Target\na,b\n")
    with pytest.raises(SourceError, match=r"where 'kind'"):
        _edges(tmp_path, "source,target\na,b\n", where={"kind": "x"})
    with pytest.raises(SourceError, match=r"2 columns 'source'"):
        _edges(tmp_path, "source,source,target\na,b,c\n")
    pq.write_table(pa.table({"source": [[1]], "target": ["b"]}), tmp_path / "e.parquet")
    with pytest.raises(SourceError, match=r"source_column 'source' is list<.*not text or whole"):
        edges(tmp_path, {"type": "parquet", "path": "e.parquet"})


@pytest.mark.parametrize("block_bytes", [1 << 24, 16])
@pytest.mark.parametrize(
    ("content", "rows", "expected"),
    [
        ("a,b,c\nd,e\n", ["d"], [("e.csv:2", "malformed_row")]),
        ("a\nd,e\n", ["d"], [("e.csv:2", "malformed_row")]),
        ("a,b\n\n\nd,e\n", ["a", "d"], [("e.csv:3-4", "empty")]),
        ('a,"b\nd,e\n', ["d"], [("e.csv:2", "malformed_row")]),
        ('"a"x,b\nd,e\n', ["d"], [("e.csv:2", "malformed_row")]),
        ('"a,""1""",b\n"d",e\n', ['a,"1"', "d"], []),
        ("a,b", ["a"], []),
        (b"a,b\n\xff,c\nd,e\n", ["a", "d"], [("e.csv:3", "undecodable")]),
        (b"a,b\n\xff,c,x\nd\n", ["a"], [("e.csv:3", "undecodable"), ("e.csv:4", "malformed_row")]),
    ],
)
def test_lines_that_are_no_rows(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    block_bytes: int,
    content: str | bytes,
    rows: list[str],
    expected: list[tuple[str, str]],
) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", block_bytes)
    data = content.encode() if isinstance(content, str) else content
    read = _edges(tmp_path, b"source,target\n" + data)
    assert [source for source, _ in rows_of(read)] == rows
    found = reasons(read)
    if found[:2] == [("e.csv:3", "empty"), ("e.csv:4", "empty")]:  # a block ends between them
        found = [("e.csv:3-4", "empty")]
    assert found == expected
    assert read.counts["quarantined"] == (2 if "3-4" in str(expected) else len(expected))


def test_invalid_bytes_can_be_replaced(tmp_path: Path) -> None:
    read = _edges(tmp_path, b"source,target\n\xff,c\n", errors="replace")
    assert rows_of(read) == [("\ufffd", "c")]


def test_a_line_of_many_megabytes_costs_only_itself(tmp_path: Path) -> None:
    read = _edges(tmp_path, b"source,target\na,b\n" + b"x" * (50 << 20) + b",y\nc,d\n")
    assert (rows_of(read), reasons(read)) == ([("a", "b"), ("c", "d")], [("e.csv:3", "too_long")])


def test_short_lines_of_an_edge_list(tmp_path: Path) -> None:
    (tmp_path / "e.txt").write_bytes(b"a b\nc\n\nd e\n\xff f\n")
    read = edges(tmp_path, {"type": "text", "path": "e.txt"})
    assert rows_of(read) == [("a", "b"), ("d", "e")]
    found = [("e.txt:2", "malformed_row"), ("e.txt:3", "empty"), ("e.txt:5", "undecodable")]
    assert reasons(read) == found


@pytest.mark.parametrize("content", ["", "source,target\n", "source,target"])
def test_a_file_without_rows_leaves_no_corpus(tmp_path: Path, content: str) -> None:
    with pytest.raises(SourceError, match=r"no row left: 1 read \(empty 1; the first at "):
        _edges(tmp_path, content)


def test_damaged_files(tmp_path: Path) -> None:
    lines = "".join(f"n{number},m{number * 7919}\n" for number in range(40_000))
    packed = gzip.compress(f"source,target\n{lines}".encode())
    (tmp_path / "e.csv.gz").write_bytes(packed[: len(packed) // 2])
    source = {"type": "csv", "path": "e.csv.gz"}
    with pytest.raises(SourceError, match=r"sources\.in: .*e\.csv\.gz"):
        edges(tmp_path, source)
    read = edges(tmp_path, source, on_error="quarantine")
    kept = rows_of(read)
    assert 1_000 < len(kept) < 40_000
    assert kept == [(f"n{number}", f"m{number * 7919}") for number in range(len(kept))]
    assert reasons(read) == [("e.csv.gz", "damaged_file")]
    (tmp_path / "e.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(SourceError, match="is no Parquet file, or damaged"):
        edges(tmp_path, {"type": "parquet", "path": "e.parquet"})


def test_places_that_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(SourceError, match=r"sources\.in\.path: folder: is a directory; name its"):
        edges(tmp_path, {"type": "csv", "path": "folder"})
    (tmp_path / "e.csv").write_text("user,item,time\nu,i,0\n")
    items = {"films": {"type": "csv", "path": "gone.csv"}}
    with pytest.raises(SourceError, match=r"^items\.films\.path: gone\.csv: there is no file"):
        read_corpus(tmp_path, corpus_of("events", {"in": CSV}, items=items))


def test_a_file_of_one_json_array_is_no_json_lines(tmp_path: Path) -> None:
    (tmp_path / "e.jsonl").write_text('[{"source": "a", "target": "b"}]')
    with pytest.raises(SourceError, match="holds one JSON array"):
        edges(tmp_path, {"type": "jsonl", "path": "e.jsonl"})


def test_losses_above_the_limit_stop_the_night(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("source,target,weight\na,b,1\na,c,-1\na,d,x\n")
    with pytest.raises(SourceError) as raised:
        edges(tmp_path, WEIGHTED, max_lost=0.5)
    assert str(raised.value) == (
        "sources.in: 66.7% is lost to errors (negative_weight 1, not_a_number 1; the first at "
        "e.csv:3: 'weight' is negative), more than max_lost (50.0%): check the files and the "
        "source's settings"
    )


@pytest.mark.parametrize("time", ["soon", "", "2026-13-01", "1e30", "9999999999999999999999"])
def test_what_is_no_time_is_quarantined(tmp_path: Path, time: str) -> None:
    (tmp_path / "e.csv").write_text(f"user,item,time\nu,i,0\nu,j,{time}\n")
    read = events(tmp_path, CSV)
    assert ([row[1] for row in rows_of(read)], reasons(read)) == (
        ["i"],
        [("e.csv:3", "not_a_time")],
    )


def test_a_time_without_a_zone_among_others_is_quarantined(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("user,item,time\nu,i,2026-01-01\nu,j,2026-01-01T00:00Z\n")
    assert reasons(events(tmp_path, CSV)) == [("e.csv:2", "no_time_zone")]
    (tmp_path / "e.csv").write_text("user,item,time\nu,i,2026-01-01\nu,j,soon\n")
    with pytest.raises(SourceError, match=r"sources\.in: e\.csv:2: .* names no time zone"):
        events(tmp_path, CSV)
