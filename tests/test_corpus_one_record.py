"""One record must not end a night: whatever it holds, the others are documents."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpus_support import Ingested, run_ingest, text_source
from database_support import PASSWORD, SqliteReviews, make_postgres_reviews, running_postgres
from reader_support import read, rejections, texts

from nightjar.sources.rejections import Rejection
from nightjar.stages.ingest.records import Document


def kept(result: Ingested) -> list[tuple[str, str, str | None]]:
    return [(row["doc_id"], row["text"], row["language"]) for row in result.documents]


def source(kind: str, path: str, **settings: Any) -> dict[str, Any]:
    return {"in": {"type": kind, "path": path, **settings}}


# -- half a character --------------------------------------------------------------------


def test_a_language_with_half_a_character_counts_as_none(tmp_path: Path) -> None:
    lines = [r'{"text": "one", "lang": "e\ud83d"}', r'{"text": "two", "lang": "d\u0000"}']
    (tmp_path / "a.jsonl").write_text("\n".join([*lines, '{"text": "three", "lang": "en"}']))
    result = run_ingest(tmp_path, source("jsonl", "a.jsonl", language_field="lang"))
    assert [(text, language) for _, text, language in kept(result)] == [
        ("one", None),
        ("two", None),
        ("three", "en"),
    ]


def test_half_a_character_of_json_becomes_a_replacement_character_if_asked(tmp_path: Path) -> None:
    fields = r'"text": "half \ud83d", "id": "a\udc00", "lang": "e\udfff"'
    (tmp_path / "a.jsonl").write_text(f'{{{fields}}}\n{{"text": "whole \\ud83d\\ude00"}}\n')
    keys = {"id_field": "id", "language_field": "lang"}
    replaced = run_ingest(tmp_path, source("jsonl", "a.jsonl", errors="replace", **keys))
    assert kept(replaced)[0] == ("in:a\ufffd", "half \ufffd", "e\ufffd")
    assert replaced.texts == ["half \ufffd", "whole 😀"]
    strict = run_ingest(tmp_path, source("jsonl", "a.jsonl"), store="strict")
    assert strict.texts == ["whole 😀"]
    assert strict.quarantine[0]["reason"] == "undecodable"
    assert "with errors: replace or the cleaning step repair" in strict.quarantine[0]["detail"]


def test_parquet_that_is_not_utf_8_is_replaced_if_asked(tmp_path: Path) -> None:
    values = pa.array([b"caf\xe9", b"fine"], pa.binary())
    pq.write_table(pa.table({"text": values}), tmp_path / "a.parquet")
    assert run_ingest(tmp_path, source("parquet", "a.parquet")).texts == ["fine"]
    result = run_ingest(tmp_path, source("parquet", "a.parquet", errors="replace"), store="b")
    assert result.texts == ["caf\ufffd", "fine"]


# -- numbers as ids ----------------------------------------------------------------------


def test_whole_numbers_of_any_type_are_ids(tmp_path: Path) -> None:
    """A table with gaps in a column of whole numbers writes them as 1.0 and NaN."""
    lines = ['{"text": "a", "id": 12.0}', '{"text": "b", "id": 1e3}', '{"text": "c", "id": 1.5}']
    lines += ['{"text": "d", "id": 1e300}', '{"text": "e", "id": NaN}', '{"text": "f", "id": -0.0}']
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    records = list(read(tmp_path / "a.jsonl", "jsonl", id_field="id"))
    assert [record.native_id for record in records if isinstance(record, Document)] == [
        "12",
        "1000",
        None,
        "0",
    ]
    assert [record.locator for record in records if isinstance(record, Rejection)] == [
        "a.jsonl:3",
        "a.jsonl:4",
    ]


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (pa.array([1.0, None, 3.0]), ["1", None, "3"]),
        (pa.array([1.0, float("nan"), 3.5]), ["1", None]),
        (pa.array([1, None, 3], pa.decimal128(20, 2)), ["1", None, "3"]),
        (pa.array([7, 8, 7], pa.int16()).dictionary_encode(), ["7", "8", "7"]),
        (pa.array(["x", None, "y"]).dictionary_encode(), ["x", None, "y"]),
    ],
)
def test_ids_of_parquet_are_whole_numbers_of_any_type(
    tmp_path: Path, ids: pa.Array, expected: list[str | None]
) -> None:
    pq.write_table(pa.table({"text": ["a", "b", "c"], "id": ids}), tmp_path / "a.parquet")
    records = read(tmp_path / "a.parquet", "parquet", id_column="id")
    assert [r.native_id for r in records if isinstance(r, Document)] == expected


# -- Parquet -----------------------------------------------------------------------------


def test_a_time_that_python_does_not_have_is_null(tmp_path: Path) -> None:
    at = pa.array([0, 2**62, 86_400_000_000], pa.timestamp("us"))
    pq.write_table(pa.table({"text": ["a", "b", "c"], "at": at}), tmp_path / "a.parquet")
    found = read(tmp_path / "a.parquet", "parquet", where={"at": {"min": "1970-01-02"}})
    assert texts(found) == ["c"]
    assert texts(read(tmp_path / "a.parquet", "parquet", where={"at": None})) == ["b"]


@pytest.mark.parametrize("is_dictionary", [False, True])
def test_a_cell_that_is_too_long_is_not_read(tmp_path: Path, is_dictionary: bool) -> None:
    column = pa.array(["x" * 4_001, "short", None, "y" * 1_000])
    column = column.dictionary_encode() if is_dictionary else column
    pq.write_table(pa.table({"text": column, "id": column}), tmp_path / "a.parquet")
    records = list(read(tmp_path / "a.parquet", "parquet", max_chars=1_000))
    assert rejections(iter(records)) == [
        ("a.parquet: row 1", "too_long"),
        ("a.parquet: row 3", "not_text"),
    ]
    assert texts(iter(records)) == ["short", "y" * 1_000]
    ids = read(tmp_path / "a.parquet", "parquet", max_chars=1_000, id_column="id")
    assert rejections(ids)[0] == ("a.parquet: row 1", "too_long")
    where = {"id": {"not": {"regex": "^x"}}}
    wanted = list(read(tmp_path / "a.parquet", "parquet", max_chars=1_000, where=where))
    assert rejections(iter(wanted))[0] == ("a.parquet: row 1", "too_long")


# -- blank lines -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["text", "jsonl", "csv"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", " \t\n"])
def test_many_blank_lines_are_one_record_and_counted(tmp_path: Path, kind: str, end: str) -> None:
    first, last = ('{"text": "a"}', '{"text": "b"}') if kind == "jsonl" else ("a", "b")
    n_header = 1 if kind == "csv" else 0
    content = "text\n" * n_header + f"{first}\n" + end * 20_000 + f"{last}\n"
    (tmp_path / "a").write_bytes(content.encode())
    if kind == "csv" and end.startswith(" "):
        pytest.skip("a blank is a field of its own in CSV")
    result = run_ingest(tmp_path, source(kind, "a"))
    assert result.texts == ["a", "b"]
    assert result.counts["quarantined_empty"] == 20_000
    assert len(result.quarantine) < 10
    assert result.quarantine[0]["locator"].startswith(f"a:{2 + n_header}-")
    assert result.quarantine[-1]["locator"].endswith(f"-{20_001 + n_header}")
    assert "blank lines" in result.quarantine[0]["detail"]


def test_few_blank_lines_keep_their_places(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\n" * 99 + b"a\n")
    result = run_ingest(tmp_path, text_source("a.txt"))
    assert [row["locator"] for row in result.quarantine] == [f"a.txt:{n}" for n in range(1, 100)]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-8"])
def test_blank_lines_of_a_csv_field_are_text(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.csv").write_text(
        'text\n"a' + "\n" * 500 + 'b"\n' + "\n" * 300 + "c,d\n", encoding=encoding
    )
    records = list(read(tmp_path / "a.csv", "csv", encoding=encoding))
    assert texts(iter(records)) == ["a" + "\n" * 500 + "b"]
    blank = [r for r in records if isinstance(r, Rejection) and r.reason == "empty"]
    assert sum(record.n_records for record in blank) == 300
    assert rejections(iter(records))[-1] == ("a.csv:803", "malformed_row")


# -- databases ---------------------------------------------------------------------------


@pytest.fixture
def sqlite(tmp_path: Path) -> SqliteReviews:
    found = SqliteReviews(tmp_path)
    found.run(
        "INSERT INTO reviews VALUES (?, ?, ?, ?)", [(n, f"review {n}", 1, 5.0) for n in range(1, 6)]
    )
    return found


def test_a_row_that_is_not_utf_8_is_quarantined_under_its_key(
    tmp_path: Path, sqlite: SqliteReviews
) -> None:
    sqlite.run("UPDATE reviews SET text = CAST(X'636166e9' AS TEXT) WHERE id = 1")
    sqlite.run("UPDATE reviews SET text = X'00ff' WHERE id = 2")
    sqlite.run("UPDATE reviews SET text = CAST('bytes in UTF-8: é' AS BLOB) WHERE id = 3")
    sqlite.run("UPDATE reviews SET text = 5 WHERE id = 4")
    result = run_ingest(tmp_path, {"db": sqlite.source})
    assert result.texts == ["bytes in UTF-8: é", "5", "review 5"]
    assert result.reasons == [
        ("id 1", "undecodable"),
        ("id 2", "undecodable"),
    ]
    detail, excerpt = result.quarantine[0]["detail"], result.quarantine[0]["excerpt"]
    assert "can't decode byte 0xe9" in detail
    assert excerpt == "caf\\xe9"
    replaced = run_ingest(tmp_path, {"db": {**sqlite.source, "errors": "replace"}}, store="b")
    assert replaced.texts[0] == "caf\ufffd"


def test_a_row_that_is_too_long_is_not_stored(tmp_path: Path, sqlite: SqliteReviews) -> None:
    sqlite.run("UPDATE reviews SET text = hex(zeroblob(20000)) WHERE id = 1")
    sqlite.run("UPDATE reviews SET text = CAST(hex(zeroblob(20001)) AS BLOB) WHERE id = 2")
    result = run_ingest(tmp_path, {"db": sqlite.source}, max_chars=10_000)
    assert result.texts == ["review 3", "review 4", "review 5"]
    assert result.reasons == [("id 1", "too_long"), ("id 2", "too_long")]
    assert "has 40,000 bytes" in result.quarantine[0]["detail"]
    files = (tmp_path / "artifacts" / "fetched" / "objects").rglob("rows-*")
    assert sum(path.stat().st_size for path in files) < 1_000
    # With a higher limit the rows are read again.
    again = run_ingest(tmp_path, {"db": sqlite.source}, max_chars=100_000)
    assert len(again.texts) == 5


def test_keys_that_are_whole_numbers_of_any_type(tmp_path: Path, sqlite: SqliteReviews) -> None:
    query = "SELECT id * 1.0 AS id, text, at FROM reviews"
    result = run_ingest(tmp_path, {"db": {**sqlite.source, "query": query}})
    assert [row["doc_id"] for row in result.documents] == [f"db:{n}" for n in range(1, 6)]


def test_a_key_that_is_not_utf_8_costs_its_row(tmp_path: Path) -> None:
    reviews = SqliteReviews(tmp_path)
    reviews.run("INSERT INTO reviews VALUES (CAST(X'e9' AS TEXT), 'a', 1, 1), (2, 'b', 1, 1)")
    reviews.run("CREATE TABLE keys AS SELECT CAST(id AS TEXT) AS id, text, at FROM reviews")
    source_of_keys = {**reviews.source, "query": "SELECT * FROM keys"}
    for _ in range(2):  # the second night reads past the watermark
        result = run_ingest(tmp_path, {"db": source_of_keys})
        assert result.texts == ["b"]
        assert [row["reason"] for row in result.quarantine] == ["invalid_id"]


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    with running_postgres() as port:
        yield port


def test_times_without_end_and_before_the_first_year_are_text(
    tmp_path: Path, server: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    reviews = make_postgres_reviews(server, f"base_{time.time_ns()}")
    reviews.run(
        "CREATE TABLE events AS SELECT * FROM (VALUES"
        " (1, 'a', timestamptz 'infinity', date '-infinity', time '24:00', timestamp 'infinity'),"
        " (2, 'b', timestamptz '0044-03-15 BC', date '20000-01-01', time '01:00', timestamp 'now'),"
        " (3, 'c', timestamptz '2026-01-01', date '2026-01-01', time '02:00', timestamp 'now')"
        ") AS found (id, text, at, day, clock, until)"
    )
    settings = {
        "query": "SELECT * FROM events",
        "watermark_column": "at",
        "where": {"until": {"min": "2000"}, "clock": {"min": "01"}, "day": {"not": None}},
    }
    table = {**reviews.source, **settings}
    assert run_ingest(tmp_path, {"db": table}).texts == ["b", "c", "a"]
    reviews.run("INSERT INTO events VALUES (4, 'd', '2026-01-02', now(), '03:00', now())")
    assert run_ingest(tmp_path, {"db": table}).texts == ["b", "c", "d", "a"]
    fetched = tmp_path / "artifacts" / "fetched"
    (index,) = (fetched / "index").glob("*.json")
    mark = json.loads(index.read_text())["table"]["watermark"]["value"]
    assert dt.datetime.fromisoformat(mark).date() == dt.date(2026, 1, 2)
