"""JSON Lines, Parquet and CSV: fields, ids, and what goes to quarantine."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from corpus_support import run_ingest

from nightjar.errors import SourceError

# -- JSON Lines --------------------------------------------------------------------------


def jsonl(path: str, **settings: Any) -> dict[str, Any]:
    return {"in": {"type": "jsonl", "path": path, **settings}}


def test_json_lines_give_text_and_id(tmp_path: Path) -> None:
    lines = [{"body": "one é", "key": 7}, {"key": "b", "body": "two"}, {"body": "three"}]
    data = "\n".join(json.dumps(line) for line in lines).encode()
    (tmp_path / "a.jsonl.zst").write_bytes(zstandard.compress(b"\xef\xbb\xbf" + data))
    result = run_ingest(tmp_path, jsonl("a.jsonl.zst", text_field="body", id_field="key"))
    assert [(row["doc_id"], row["text"]) for row in result.documents] == [
        ("in:7", "one é"),
        ("in:b", "two"),
        ("in:8b5b9db0c13db24256c829aa364aa90c"[:19], "three"),
    ]


@pytest.mark.parametrize(
    ("line", "reason", "detail"),
    [
        (b"{not json", "invalid_json", "Expecting property name"),
        (b"[" * 100_000, "invalid_json", "recursion"),
        (b'{"text": 1' + b"0" * 5_000 + b"}", "invalid_json", "integer string conversion"),
        (b'["text"]', "not_an_object", "a JSON array, not an object"),
        (b"null", "not_an_object", "a JSON null, not an object"),
        (b'{"body": "x"}', "missing_field", "no field 'text'"),
        (b'{"text": null}', "not_text", "'text' is a JSON null"),
        (b'{"text": 1.5}', "not_text", "'text' is a JSON number"),
        (b'{"text": true}', "not_text", "'text' is a JSON boolean"),
        (b'{"text": ["a"]}', "not_text", "'text' is a JSON array"),
        (b'{"text": "caf\xe9"}', "undecodable", "invalid continuation byte"),
        (b'{"text": "half \\ud83d"}', "undecodable", "surrogates not allowed"),
        (b'{"text": " \\n"}', "empty", "nothing but white space"),
        (b"  ", "empty", "the line is blank"),
        (b'{"text": "x", "id": {}}', "invalid_id", "'id' is a JSON object"),
        (b'{"text": "x", "id": true}', "invalid_id", "'id' is a JSON boolean"),
        (b'{"text": "x", "id": "\\ud83d"}', "invalid_id", "cannot be stored"),
        (b'{"text": "x", "id": "%b"}' % (b"i" * 1_001), "invalid_id", "1,001 characters"),
    ],
)
def test_a_bad_json_line_is_quarantined_and_the_next_goes_on(
    tmp_path: Path, line: bytes, reason: str, detail: str
) -> None:
    (tmp_path / "a.jsonl").write_bytes(line + b'\n{"text": "good", "id": 1}\n')
    result = run_ingest(tmp_path, jsonl("a.jsonl", id_field="id"))
    assert result.texts == ["good"]
    (row,) = result.quarantine
    assert (row["locator"], row["reason"]) == ("a.jsonl:1", reason)
    assert detail in row["detail"]
    assert result.counts["quarantined"] == result.counts[f"quarantined_{reason}"] == 1


def test_a_json_line_too_long_for_memory_is_quarantined(tmp_path: Path) -> None:
    long_line = b'{"text": "%b"}' % (b"x" * 2_000_000)
    (tmp_path / "a.jsonl").write_bytes(long_line + b'\n{"text": "good"}\n')
    result = run_ingest(tmp_path, jsonl("a.jsonl"), max_chars=100)
    assert result.texts == ["good"]
    assert result.reasons == [("a.jsonl:1", "too_long")]
    assert "2,000,012 bytes" in result.quarantine[0]["detail"]


def test_escaped_json_within_the_limit_is_not_too_long(tmp_path: Path) -> None:
    line = json.dumps({"text": "😀" * 200_000})
    (tmp_path / "a.jsonl").write_text(line, encoding="utf-8")
    assert run_ingest(tmp_path, jsonl("a.jsonl"), max_chars=200_000).texts == ["😀" * 200_000]


@pytest.mark.parametrize("key", ["text_field", "id_field"])
def test_a_field_that_no_object_has_is_an_error_that_names_the_closest(
    tmp_path: Path, key: str
) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a", "ident": 1}\n{"text": "b"}\n')
    with pytest.raises(
        SourceError, match=rf"a\.jsonl: there is no {key} '(texts|idend)'; it has text, ident; did"
    ):
        run_ingest(tmp_path, jsonl("a.jsonl", **{key: "texts" if key == "text_field" else "idend"}))


# -- Parquet -----------------------------------------------------------------------------


def parquet(path: str, **settings: Any) -> dict[str, Any]:
    return {"in": {"type": "parquet", "path": path, **settings}}


def invalid_strings(values: list[bytes | None]) -> pa.Array:
    """A string column that is not UTF-8, as careless writers make it."""
    data = pa.array(values, pa.binary())
    validity, offsets, content = data.buffers()
    return pa.StringArray.from_buffers(len(values), offsets, content, validity)


def test_parquet_gives_text_and_id(tmp_path: Path) -> None:
    table = pa.table({"id": [3, None, 5], "body": ["one", "two", "three"], "n": [1.0, 2.0, 3.0]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=2)
    result = run_ingest(tmp_path, parquet("a.parquet", text_column="body", id_column="id"))
    assert [row["doc_id"] for row in result.documents] == ["in:3", "in:3fc4ccfe745870e2", "in:5"]
    assert result.texts == ["one", "two", "three"]


@pytest.mark.parametrize(
    "kind",
    [pa.large_string(), pa.binary(), pa.large_binary(), pa.dictionary(pa.int32(), pa.string())],
)
def test_parquet_strings_of_any_kind_are_text(tmp_path: Path, kind: pa.DataType) -> None:
    table = pa.table({"text": pa.array(["one", "é", "x"]).cast(kind), "id": ["a", "b", "c"]})
    pq.write_table(table, tmp_path / "a.parquet")
    result = run_ingest(tmp_path, parquet("a.parquet", id_column="id"))
    assert [(row["doc_id"], row["text"]) for row in result.documents] == [
        ("in:a", "one"),
        ("in:b", "é"),
        ("in:c", "x"),
    ]


def test_the_text_may_be_its_own_id_column(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["one"]}), tmp_path / "a.parquet")
    result = run_ingest(tmp_path, parquet("a.parquet", id_column="text"))
    assert result.documents[0]["doc_id"] == "in:one"


def test_null_and_undecodable_parquet_values_are_quarantined(tmp_path: Path) -> None:
    table = pa.table({"text": invalid_strings([b"one", None, b"\xff\xfe", b"two"])})
    pq.write_table(table, tmp_path / "a.parquet")
    result = run_ingest(tmp_path, parquet("a.parquet"))
    assert result.texts == ["one", "two"]
    assert result.reasons == [("a.parquet: row 2", "not_text"), ("a.parquet: row 3", "undecodable")]
    assert result.quarantine[1]["excerpt"] == "\\xff\\xfe"


def test_an_undecodable_parquet_id_is_quarantined_as_such(tmp_path: Path) -> None:
    table = pa.table({"text": ["one", "two"], "id": invalid_strings([b"\xff", b"b"])})
    pq.write_table(table, tmp_path / "a.parquet")
    result = run_ingest(tmp_path, parquet("a.parquet", id_column="id"))
    assert result.texts == ["two"]
    assert result.reasons == [("a.parquet: row 1", "invalid_id")]


def test_a_parquet_file_without_rows_is_quarantined_as_empty(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"text": ["one"]}), tmp_path / "b.parquet")
    result = run_ingest(tmp_path, parquet("*.parquet"))
    assert result.texts == ["one"]
    assert result.reasons == [("a.parquet", "empty")]


def test_a_wrong_parquet_column_is_an_error(tmp_path: Path) -> None:
    columns = {"body": ["x"], "stars": [1], "tags": [["x"]]}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    for settings, message in (
        ({"text_column": "boddy"}, r"no text_column 'boddy'; it has body, stars, tags; did you"),
        ({"text_column": "body", "id_column": "key"}, r"no id_column 'key'; it has body"),
        ({"text_column": "stars"}, r"the text_column 'stars' is int64, not text"),
        ({"text_column": "body", "id_column": "tags"}, r"the id_column 'tags' is list<"),
    ):
        with pytest.raises(SourceError, match=message):
            run_ingest(tmp_path, parquet("a.parquet", **settings))


def test_a_parquet_column_that_is_there_twice_is_an_error(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], ["text", "text"])
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(SourceError, match="several columns 'text'"):
        run_ingest(tmp_path, parquet("a.parquet"))


def test_a_damaged_parquet_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [f"text {n}" for n in range(5_000)]}), path)
    whole = path.read_bytes()
    for data in (b"", b"no parquet at all", whole[:-1], whole[: len(whole) // 2]):
        path.write_bytes(data)
        with pytest.raises(SourceError, match=r"a\.parquet: is no Parquet file, or damaged"):
            run_ingest(tmp_path, parquet("a.parquet"))
    path.write_bytes(whole[:100] + bytes(200) + whole[300:])
    with pytest.raises(SourceError, match=r"a\.parquet: is no Parquet file, or damaged"):
        run_ingest(tmp_path, parquet("a.parquet"))


# -- CSV ---------------------------------------------------------------------------------


def csv_source(path: str, **settings: Any) -> dict[str, Any]:
    return {"in": {"type": "csv", "path": path, **settings}}


def test_csv_gives_text_and_id(tmp_path: Path) -> None:
    data = 'id;text\r\n1;"a ""quoted""; text\r\nof two lines"\r\n2;plain é\r\n'
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(data.encode("cp1252")))
    source = csv_source("a.csv.gz", id_column="id", delimiter=";", encoding="cp1252")
    result = run_ingest(tmp_path, source)
    assert [(row["doc_id"], row["text"]) for row in result.documents] == [
        ("in:1", 'a "quoted"; text\nof two lines'),
        ("in:2", "plain é"),
    ]


def test_bad_csv_rows_are_quarantined_and_the_next_goes_on(tmp_path: Path) -> None:
    rows = [
        b"id,text",
        b"1,good",
        b"2",  # line 3
        b"3,too,many",
        b"",
        b'5,"a "bad" quote"',
        b"6,caf\xe9",
        b'7,"two',  # lines 8 and 9
        b'caf\xe9 lines"',
        b"8,",
        b"9,better",
        b'10,"never closed',
        b"11,not swallowed",
    ]
    (tmp_path / "a.csv").write_bytes(b"\n".join(rows))
    result = run_ingest(tmp_path, csv_source("a.csv", id_column="id"))
    assert [row["doc_id"] for row in result.documents] == ["in:1", "in:9", "in:11"]
    assert result.reasons == [
        ("a.csv:3", "malformed_row"),
        ("a.csv:4", "malformed_row"),
        ("a.csv:5", "empty"),
        ("a.csv:6", "malformed_row"),
        ("a.csv:7", "undecodable"),
        ("a.csv:8", "undecodable"),
        ("a.csv:10", "empty"),
        ("a.csv:12", "malformed_row"),
    ]
    details = [row["detail"] for row in result.quarantine]
    assert details[0] == "1 column, the header has 2"
    assert details[-1] == ("a quote that no line up to 13 closes rightly (unexpected end of data)")
    assert result.quarantine[-1]["excerpt"] == '10,"never closed'


def test_a_quote_that_is_never_closed_swallows_a_bounded_stretch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nightjar.stages.ingest.readers.csv_rows.MIN_FIELD_LIMIT", 1 << 16)
    before = csv.field_size_limit()
    filler = b"\n".join(b"%d,row" % number for number in range(8_000))
    (tmp_path / "a.csv").write_bytes(b'id,text\n0,"open\n' + filler + b"\nlast,the end\n")
    result = run_ingest(tmp_path, csv_source("a.csv", id_column="id"), max_chars=1_000)
    assert result.reasons[0] == ("a.csv:2", "too_long")
    assert "larger than field limit" in result.quarantine[0]["detail"]
    assert result.documents[-1]["doc_id"] == "in:last"
    assert csv.field_size_limit() == before


def test_a_csv_line_too_long_for_memory_is_quarantined(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"text\n" + b"x" * 9_000_000 + b"\ngood\n")
    result = run_ingest(tmp_path, csv_source("a.csv"), max_chars=1_000)
    assert result.texts == ["good"]
    assert result.reasons == [("a.csv:2", "too_long")]
    assert result.quarantine[0]["detail"] == "line 2 has 9,000,000 bytes"


def test_a_csv_header_without_the_column_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"id;answer\n1;x\n")
    for settings, message in (
        ({"text_column": "answers", "delimiter": ";"}, "'answers'; it has id, answer; did you"),
        ({"text_column": "answer"}, "no text_column 'answer'; it has id;answer"),
        ({"text_column": "answer", "id_column": "key", "delimiter": ";"}, "no id_column 'key'"),
    ):
        with pytest.raises(SourceError, match=message):
            run_ingest(tmp_path, csv_source("a.csv", **settings))


@pytest.mark.parametrize("header", [b'id,"text\n', b"id,te\xe9xt\n"])
def test_a_csv_header_that_cannot_be_read_is_an_error(tmp_path: Path, header: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(header)
    with pytest.raises(SourceError, match=r"a\.csv: the header line cannot be read"):
        run_ingest(tmp_path, csv_source("a.csv"))


def test_a_csv_file_without_a_header_is_quarantined_as_empty(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"")
    (tmp_path / "b.csv").write_bytes(b"text\none\n")
    result = run_ingest(tmp_path, csv_source("*.csv"))
    assert result.texts == ["one"]
    assert result.reasons == [("a.csv", "empty")]
