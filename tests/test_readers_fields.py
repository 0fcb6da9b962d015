"""From fields to documents: joined texts, nested fields, ids, languages, filters."""

from __future__ import annotations

import csv
import datetime as dt
import decimal
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpus_support import run_ingest
from pydantic import ValidationError
from reader_support import read, rejections, texts

from nightjar.config import IngestConfig
from nightjar.errors import SourceError
from nightjar.sources.conditions import compiled
from nightjar.sources.rejections import Skip
from nightjar.stages.ingest.records import Document, Record

ROWS = [
    {"id": " a1 ", "title": "One", "body": "first", "lang": "en", "stars": 5},
    {"id": "a2", "title": "", "body": "second", "lang": " de ", "stars": 3},
    {"id": "a3", "title": "Three", "body": " ", "lang": "", "stars": 1},
]
KINDS = ("jsonl", "csv", "parquet")


def write(folder: Path, kind: str, rows: list[dict[str, Any]] | None = None) -> Path:
    path = folder / f"a.{kind}"
    rows = ROWS if rows is None else rows
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return path


def keys(kind: str, **settings: Any) -> dict[str, Any]:
    """Settings by their names for columns, as ``kind`` calls them."""
    if kind != "jsonl":
        return settings
    return {name.replace("_column", "_field"): value for name, value in settings.items()}


def documents(records: Iterator[Record]) -> list[tuple[str | None, str, str | None]]:
    return [
        (record.native_id, record.text, record.language)
        for record in records
        if isinstance(record, Document)
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_texts_are_joined_ids_stripped_and_languages_read(tmp_path: Path, kind: str) -> None:
    settings = keys(
        kind, text_column=["title", "body"], join=": ", id_column="id", language_column="lang"
    )
    assert documents(read(write(tmp_path, kind), kind, **settings)) == [
        ("a1", "One: first", "en"),
        ("a2", "second", "de"),
        ("a3", "Three", None),
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_records_that_a_filter_leaves_out_are_skipped_and_counted(
    tmp_path: Path, kind: str
) -> None:
    path = write(tmp_path, kind)
    settings = keys(kind, text_column="body", where={"stars": {"min": 3}, "title": {"not": ""}})
    records = list(read(path, kind, **settings))
    assert texts(iter(records)) == ["first"]
    assert records[1:] == [Skip.FILTERED, Skip.FILTERED]
    result = run_ingest(tmp_path, {"in": {"type": kind, "path": path.name, **settings}})
    assert result.counts["filtered_skipped"] == 2
    assert result.counts["documents_read"] == 1
    assert result.report["in"]["filtered_skipped"] == 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "settings",
    [
        {"text_column": ["body", "titel"]},
        {"id_column": "titel"},
        {"language_column": "titel"},
        {"where": {"titel": "x"}},
    ],
)
def test_a_field_that_is_nowhere_is_an_error_that_names_key_and_field(
    tmp_path: Path, kind: str, settings: dict[str, Any]
) -> None:
    (key,) = keys(kind, **settings)
    given = keys(kind, **{"text_column": "body", **settings})
    with pytest.raises(SourceError, match=rf"a\.{kind}: there is no {key} 'titel'; .*'title'\?"):
        list(read(write(tmp_path, kind), kind, **given))


@pytest.mark.parametrize("kind", KINDS)
def test_a_filter_that_holds_for_what_is_missing_may_name_what_is_nowhere(
    tmp_path: Path, kind: str
) -> None:
    settings = keys(kind, text_column="body", where={"deleted": {"not": True}, "spam": None})
    assert texts(read(write(tmp_path, kind), kind, **settings))[:2] == ["first", "second"]


def test_a_path_leads_into_nested_objects(tmp_path: Path) -> None:
    rows = [
        {"meta": {"text": "one", "key": {"id": 7}}, "meta.text": "the name itself goes first"},
        {"meta": {"text": "two", "key": {}}},
        {"meta": "not an object"},
        {"meta": {"text": None}},
        {"meta": {"text": {"text": "x"}}},
    ]
    path = write(tmp_path, "jsonl", rows)
    settings = {"text_field": "meta.text", "id_field": "meta.key.id"}
    records = list(read(path, "jsonl", **settings))
    assert documents(iter(records)) == [
        ("7", "the name itself goes first", None),
        (None, "two", None),
    ]
    assert rejections(iter(records)) == [
        ("a.jsonl:3", "missing_field"),
        ("a.jsonl:4", "not_text"),
        ("a.jsonl:5", "not_text"),
    ]


def test_of_several_texts_one_is_enough_but_none_is_not(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"a": "x", "b": "y"},
        {"b": "y", "a": None},
        {"c": 1},
        {"a": None, "b": None},
        {"a": "x", "b": 1},
    ]
    path = write(tmp_path, "jsonl", rows)
    records = list(read(path, "jsonl", text_field=["a", "b"]))
    assert texts(iter(records)) == ["x\n\ny", "y"]
    assert rejections(iter(records)) == [
        ("a.jsonl:3", "missing_field"),
        ("a.jsonl:4", "not_text"),
        ("a.jsonl:5", "not_text"),
    ]


@pytest.mark.parametrize(
    ("condition", "values", "others"),
    [
        ("en", ["en", ["de", "en"]], ["EN", None, 5, ["de"], ""]),
        (5, [5, 5.0, "5", " 5.0 ", decimal.Decimal(5)], ["five", True, None, 6, "nan"]),
        (0.5, [0.5, "0.5"], [5]),
        (True, [True, "true", "True"], [1, "yes", None, False]),
        (False, [False, "FALSE"], [0, None]),
        (None, [None], ["", 0, False]),
        (["en", 5, None], ["en", "5", 5, None], ["de", 6]),
        ({"min": 2, "max": 4}, [2, "3.5", 4, [9, 3]], [1, 5, "x", None, True]),
        ({"min": "2026-01-31"}, ["2026-02-01", dt.date(2026, 2, 1),
                                    dt.datetime(2027, 1, 1, tzinfo=dt.UTC)],
         ["2025-12-31", dt.date(2026, 1, 30), None, dt.datetime(2026, 1, 1, tzinfo=dt.UTC)]),
        ({"regex": "^[a-c]+$"}, ["abc", ["x", "b"]], ["abcd", None, "", True]),
        ({"regex": "^4"}, [42, "42"], [24]),
        ({"regex": r"^\w+$"}, ["Übergrößen", "слово", "a_1"], ["a b", "a-b"]),
        ({"regex": r"^\d\s[\w.]+[^\d]$"}, ["1 ü.x", "٣\u00a0é!"], ["a b", "1 é9"]),
        ({"regex": r"^[]a]|^[^]\d]x|[[:punct:]]$"}, ["]", "bx", "zz!"], ["b", "]xz", "5x"][:1]),
        ({"regex": "x"}, ["\ud83dx"], ["\ud83d"]),
        ({"not": ["a", None]}, ["b", 1, ""], ["a", None]),
        ({"not": "a"}, ["b", None, ["b"]], ["a", ["a", "b"]]),
        ({"min": 1, "not": 3}, [1, 2, "4"], [0, 3, "3"]),
        ({"not": {"min": 3}}, [2, None, "x"], [3, 4]),
        ({"min": 3}, ["3e0", "1000", decimal.Decimal("3.5")],
         ["Infinity", "inf", "1_000", "nan", decimal.Decimal("sNaN")]),
        (1000, ["1000", "1e3", "+1000.0"], ["1_000", "1000x"]),
    ],
)  # fmt: skip
def test_a_condition_holds_for_some_values_and_not_for_others(
    condition: Any, values: list[Any], others: list[Any]
) -> None:
    test = compiled(condition)
    assert [value for value in values if not test(value)] == []
    assert [value for value in others if test(value)] == []


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"a": {"minimum": 1}}, r"a: expected min, max, regex, not \(got minimum\)"),
        ({"a": {}}, r"\(got nothing\)"),
        ({"a": []}, "a: the list is empty"),
        ({"a": [[1]]}, r"a: expected text, a number.*\(got \[1\]\)"),
        ({"a": dt.date(2026, 1, 1)}, "put dates in quotes"),
        ({"a": {"min": dt.date(2026, 1, 1)}}, "put dates in quotes"),
        ({"a": {"min": 5, "max": 4}}, "a: min is above max"),
        ({"a": {"min": 5, "max": "x"}}, "two numbers, or two texts"),
        ({"a": {"min": None}}, "two numbers, or two texts"),
        ({"a": {"max": True}}, "two numbers, or two texts"),
        ({"a": {"regex": "("}}, "a: not a regular expression"),
        ({"a": {"regex": 5}}, "a: a regex is text"),
        ({"a": {"regex": "(?!x)y"}}, "a: this expression is not supported: .*no look-around"),
        ({"a": {"regex": r"(a)\1"}}, "a: this expression is not supported"),
        ({"a": {"regex": r"\büber"}}, r"a: \\b knows words of ASCII letters alone"),
        ({"a": {"regex": r"[^\W\d]"}}, r"a: \\W within \[...\] is not supported"),
        ({"a": {"regex": "\ud83d"}}, "a: the expression has half a character"),
        ({"a": [[1] * 1000] * 1000}, r"a: expected text, .{0,150}; put dates in quotes"),
        ({"a": dict.fromkeys(map(str, range(100_000)))}, r"\(got 0, 1, 2, 3, 4, ...\)"),
        ({"a": {"not": {"mn": 1}}}, r"got mn"),
        ({"a": float("inf")}, "compares with nothing"),
        ({"": 1}, "the name of a field is empty"),
    ],
)
def test_a_filter_that_says_nothing_is_refused_by_the_config(
    where: dict[str, Any], message: str
) -> None:
    source = {"type": "jsonl", "path": "a", "where": where}
    with pytest.raises(ValidationError, match=message):
        IngestConfig.model_validate({"sources": {"in": source}})


# -- JSON that is not JSON Lines ---------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "held"),
    [
        (json.dumps([{"text": "a"}, {"text": "b"}]), r"one JSON array; .*jq -c \.\[\] FILE"),
        (json.dumps([{"text": "a"}, {"text": "b"}], indent=1), "one JSON array"),
        ("\n\n" + json.dumps([{"text": "x" * 2_000_000}]), "one JSON array"),
        (json.dumps({"text": "a"}, indent=2), r"not on a line each; .*jq -c \. FILE"),
        ('{"text": "a"}{"text": "b"}', "not on a line each"),
        ('{"text": "a"} {"text": "b"}', "not on a line each"),
    ],
)
def test_json_that_is_not_lines_is_refused_saying_what_they_are(
    tmp_path: Path, content: str, held: str
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(SourceError, match=rf"a\.jsonl: holds .*{held}"):
        list(read(path, "jsonl", max_chars=10))


def test_a_first_line_that_is_spoilt_does_not_cost_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    for first in ('{"text": "cut', '{"text": "a"} x', "[1, 2]", "x"):
        path.write_text(f'{first}\n{{"text": "good"}}\n', encoding="utf-8")
        assert texts(read(path, "jsonl")) == ["good"]


def test_json_lines_are_read_in_other_encodings(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    content = '{"text": "é one"}\n{"text": 5}\n'
    for encoding, setting in (("utf-16", "auto"), ("utf-16-le", "auto"), ("cp1252", "cp1252")):
        path.write_bytes(content.encode(encoding))
        records = list(read(path, "jsonl", encoding=setting))
        assert texts(iter(records)) == ["é one"]
        assert rejections(iter(records)) == [("a.jsonl:2", "not_text")]


def test_undecodable_json_may_be_read_with_replacements(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "caf\xe9"}\n')
    assert rejections(read(path, "jsonl")) == [("a.jsonl:1", "undecodable")]
    assert texts(read(path, "jsonl", errors="replace")) == ["caf\ufffd"]


# -- Parquet -----------------------------------------------------------------------------


def test_a_file_of_another_schema_in_a_glob_is_named_with_its_column(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"], "n": [1]}), tmp_path / "a.parquet")
    source = {"in": {"type": "parquet", "path": "*.parquet", "where": {"n": {"min": 0}}}}
    for table, message in (
        ({"body": ["a"], "n": [1]}, "no text_column 'text'; it has body, n"),
        ({"text": [1], "n": [1]}, "the text_column 'text' is int64, not text"),
        ({"text": ["b"]}, "there is no where 'n'; it has text"),
        ({"text": ["b"], "n": [{"x": 1}]}, "the where 'n' is struct<.*not something that comp"),
    ):
        pq.write_table(pa.table(table), tmp_path / "b.parquet")
        with pytest.raises(SourceError, match=rf"sources\.in: .*b\.parquet: .*{message}"):
            run_ingest(tmp_path, source)


def test_parquet_values_of_any_kind_can_be_filtered(tmp_path: Path) -> None:
    table = pa.table(
        {
            "text": ["a", "b", "c"],
            "day": [dt.date(2026, 1, day) for day in (1, 2, 3)],
            "price": pa.array([decimal.Decimal("1.50"), None, decimal.Decimal("2.50")]),
            "tags": [["x", "y"], ["y"], None],
            "ok": [True, False, None],
        }
    )
    path = tmp_path / "a.parquet"
    pq.write_table(table, path)
    for where, expected in (
        ({"day": {"min": "2026-01-02"}}, ["b", "c"]),
        ({"price": {"max": 2}}, ["a"]),
        ({"price": None}, ["b"]),
        ({"tags": "x"}, ["a"]),
        ({"ok": {"not": False}}, ["a", "c"]),
    ):
        assert texts(read(path, "parquet", where=where)) == expected


@pytest.mark.parametrize("kind", [pa.float32(), pa.float16()])
def test_short_numbers_of_parquet_are_those_that_were_written(
    tmp_path: Path, kind: pa.DataType
) -> None:
    path = tmp_path / "a.parquet"
    found = [0.7, 0.9, 0.1, None, float("nan")]
    one = pa.array(found, pa.float64()).cast(kind)
    rows = [None if value is None else [value, None] for value in found]
    many = pa.array(rows, pa.list_(pa.float64())).cast(pa.list_(kind))
    pq.write_table(pa.table({"text": list("abcde"), "one": one, "many": many}), path)
    for column in ("one", "many"):
        for condition, expected in (
            ({"min": 0.7}, ["a", "b"]),
            ({"max": 0.7}, ["a", "c"]),
            (0.9, ["b"]),
            ([0.1, 0.9], ["b", "c"]),
            ({"regex": r"^0\.\d$"}, ["a", "b", "c"]),
        ):
            assert texts(read(path, "parquet", where={column: condition})) == expected
    assert texts(read(path, "parquet", where={"one": None})) == ["d"]


def test_whole_numbers_of_32_bits_are_ids_exactly_as_stored(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    ids = pa.array([123456792.0, 3.0, None], pa.float32())
    pq.write_table(pa.table({"text": ["a", "b", "c"], "id": ids}), path)
    records = read(path, "parquet", id_column="id")
    assert [each[0] for each in documents(records)] == ["123456792", "3", None]


@pytest.mark.parametrize("is_listed", [False, True])
def test_times_of_an_unknown_zone_are_an_error_that_names_column_and_zone(
    tmp_path: Path, is_listed: bool
) -> None:
    path = tmp_path / "a.parquet"
    kind: pa.DataType = pa.timestamp("us", "W. Europe Standard Time")
    times = pa.array([0], kind)
    if is_listed:
        times = pa.ListArray.from_arrays([0, 1], times)
    pq.write_table(pa.table({"text": ["a"], "t": times}), path)
    with pytest.raises(SourceError, match=r"a\.parquet: .*'t' have .*'W\. Europe Standard Time'"):
        list(read(path, "parquet", where={"t": {"min": "2026-01-01"}}))
    assert texts(read(path, "parquet")) == ["a"]


def test_an_encrypted_parquet_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["a"]}), path)
    data = path.read_bytes()
    path.write_bytes(b"PARE" + data[4:-4] + b"PARE")
    with pytest.raises(SourceError, match=r"a\.parquet: .*(encrypted|damaged)"):
        list(read(path, "parquet"))


def test_a_large_row_group_is_read_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    line = "".join(chr(33 + n * n % 90) for n in range(20_000))
    rows = [f"{n} {line}" for n in range(4_000)]
    pq.write_table(
        pa.table({"text": rows}), path, row_group_size=4_000, use_dictionary=False,
        compression="none",
    )  # fmt: skip
    assert path.stat().st_size > 75_000_000
    del rows
    before = pa.total_allocated_bytes()
    peak = 0
    for n, record in enumerate(read(path, "parquet")):
        assert isinstance(record, Document)
        assert record.text.startswith(f"{n} ")
        peak = max(peak, pa.total_allocated_bytes() - before)
    assert peak < 45_000_000


# -- CSV ---------------------------------------------------------------------------------


def csv_file(folder: Path, content: str | bytes) -> Path:
    path = folder / "a.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_rows_after_a_quote_that_is_never_closed_are_read(tmp_path: Path) -> None:
    filler = [f"{n},row {n}" for n in range(3, 60_000)]
    content = "\n".join(["id,text", '1,"open', '2,"a ""quoted"" one"', *filler])
    records = list(read(csv_file(tmp_path, content), "csv"))
    assert texts(iter(records)) == ['a "quoted" one', *(f"row {n}" for n in range(3, 60_000))]
    assert rejections(iter(records)) == [("a.csv:2", "malformed_row")]


def test_open_quotes_on_every_line_take_no_more_than_linear_time(tmp_path: Path) -> None:
    content = "id,text\n" + "".join(f'{n},"open {n}\n' for n in range(50_000))
    records = list(read(csv_file(tmp_path, content), "csv"))
    assert len(rejections(iter(records))) == 50_000
    assert rejections(iter(records))[-1] == ("a.csv:50001", "malformed_row")


@pytest.fixture
def short_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row of at most 20,000 lines instead of 200,000."""
    monkeypatch.setattr("nightjar.sources.csv_lines._MAX_ROW_LINES", 20_000)


@pytest.mark.usefixtures("short_rows")
def test_lines_made_to_stay_open_are_read_no_more_than_thrice(tmp_path: Path) -> None:
    # Each of them opens a row wherever reading starts, and none ends it.
    path = csv_file(tmp_path, "id,text\n" + 'a","\n' * 30_000)
    found = rejections(read(path, "csv"))
    assert 1 <= len(found) < 20
    assert {reason for _, reason in found} <= {"malformed_row", "too_long"}


@pytest.mark.parametrize("quote", ['"', None])
def test_an_escape_at_the_end_of_a_row_does_not_take_the_next_one_with_it(
    tmp_path: Path, quote: str | None
) -> None:
    content = "id,text\n1,C:\\dir\\\n2,second row\n3,third row\n4,one\\\nlonger\n5,x\\\\\n6,y\\"
    records = list(read(csv_file(tmp_path, content), "csv", escape="\\", quote=quote))
    assert texts(iter(records)) == ["second row", "third row", "one\nlonger", "x\\"]
    assert rejections(iter(records)) == [("a.csv:2", "malformed_row"), ("a.csv:8", "malformed_row")]


def test_lines_within_quotes_are_no_rows_whatever_their_end_is(tmp_path: Path) -> None:
    for start in ('1,"a', '"C:\\\\","a', '1,"a "" b'):
        content = f'id,text\n{start}\\\n2,no row\n",too many\n3,three\n'
        records = list(read(csv_file(tmp_path, content), "csv", escape="\\"))
        assert texts(iter(records)) == ["three"]
        assert rejections(iter(records)) == [("a.csv:2", "malformed_row")]
    content = 'id,text\n"C:\\\\",a\\\n2,two\n3,three\n'
    records = list(read(csv_file(tmp_path, content), "csv", escape="\\"))
    assert texts(iter(records)) == ["two", "three"]


@pytest.mark.usefixtures("short_rows")
@pytest.mark.parametrize("line", ["a\\\n", "a,b\\\n"])
def test_with_escapes_at_the_end_of_every_row_each_is_a_row(tmp_path: Path, line: str) -> None:
    content = "id,text\n" + line * 20_500 + "\n1,whole\n" + line * 1_000
    records = list(read(csv_file(tmp_path, content), "csv", escape="\\"))
    assert len(records) == 21_502
    assert texts(iter(records)) == ["whole"]


@pytest.mark.usefixtures("short_rows")
def test_an_open_quote_swallows_no_more_lines_than_a_row_may_have(tmp_path: Path) -> None:
    content = 'id,text\n1,"open\n' + "2,x\n" * 25_000
    records = list(read(csv_file(tmp_path, content), "csv"))
    assert rejections(iter(records)) == [("a.csv:2", "too_long")]
    assert len(texts(iter(records))) == 25_000


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_by_the_header(tmp_path: Path, delimiter: str) -> None:
    output = io.StringIO()
    writer = csv.writer(output, delimiter=delimiter)
    writer.writerows([["id", "a, b; c", "text"], ["1", "x", "one, two; three | four"]])
    path = csv_file(tmp_path, output.getvalue())
    assert texts(read(path, "csv", delimiter="auto")) == ["one, two; three | four"]
    assert texts(read(csv_file(tmp_path, "text\none\n"), "csv", delimiter="auto")) == ["one"]
    assert list(read(csv_file(tmp_path, ""), "csv", delimiter="auto")) == []


@pytest.mark.parametrize("blank", ["\n", "\r\n \t\n", "\n" * 300])
@pytest.mark.parametrize("delimiter", ["auto", ";"])
def test_blank_lines_before_a_header_are_skipped(
    tmp_path: Path, blank: str, delimiter: str
) -> None:
    path = csv_file(tmp_path, f"{blank}id;text\n\n1;one\n")
    records = list(read(path, "csv", delimiter=delimiter))
    assert texts(iter(records)) == ["one"]
    n_lines = blank.count("\n")
    assert rejections(iter(records)) == [(f"a.csv:{n_lines + 2}", "empty")]
    path = csv_file(tmp_path, f"sep=;\n{blank}id;text\n1;one\n")
    assert texts(read(path, "csv", delimiter=delimiter)) == ["one"]
    assert list(read(csv_file(tmp_path, blank), "csv", delimiter=delimiter)) == []


@pytest.mark.parametrize("encoding", ["auto", "utf-8", "utf-8-sig", "utf-16-le", "utf-16"])
def test_a_second_byte_order_mark_is_no_part_of_the_first_name(
    tmp_path: Path, encoding: str
) -> None:
    written = encoding if encoding.startswith("utf-16") else "utf-8"
    path = csv_file(tmp_path, '\ufeff\ufeff"id",text\n1,one\n'.encode(written))
    records = read(path, "csv", encoding=encoding, id_column="id")
    assert documents(records) == [("1", "one", None)]


def test_quotes_and_escapes_are_what_the_config_says(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "text,n\n'it\\'s, \"x\"',1\n")
    assert texts(read(path, "csv", quote="'", escape="\\")) == ['it\'s, "x"']
    path = csv_file(tmp_path, 'text\tn\n"quoted" 5" disk\t1\n"open\t2\n')
    settings = {"quote": None, "delimiter": "\t"}
    assert texts(read(path, "csv", **settings)) == ['"quoted" 5" disk', '"open']


def test_files_without_a_header_have_the_columns_of_the_config(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "1,one\n2,two\n3\n")
    records = list(read(path, "csv", columns=["id", "text"], id_column="id"))
    assert documents(iter(records)) == [("1", "one", None), ("2", "two", None)]
    assert rejections(iter(records)) == [("a.csv:3", "malformed_row")]


def test_header_names_that_stand_twice_or_are_blank(tmp_path: Path) -> None:
    assert texts(read(csv_file(tmp_path, ",,text\n1,2,one\n"), "csv")) == ["one"]
    with pytest.raises(SourceError, match=r"a\.csv: has 2 columns 'text'; .*name all of them"):
        list(read(csv_file(tmp_path, "text,text\na,b\n"), "csv"))
    path = csv_file(tmp_path, "a,b\nx,y\n")
    with pytest.raises(SourceError, match=r"a\.csv: has 2 columns 'text'"):
        list(read(path, "csv", columns=["text", "text"]))


def test_nul_bytes_in_csv_go_and_are_counted(tmp_path: Path) -> None:
    csv_file(tmp_path, b"id,text\n1,a\0b\n2,c\n")
    result = run_ingest(tmp_path, {"in": {"type": "csv", "path": "a.csv"}})
    assert result.texts == ["ab", "c"]
    assert result.counts["nul_characters_removed"] == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"quote": ";", "delimiter": ";"}, "are different characters"),
        ({"escape": '"'}, "are different characters"),
        ({"quote": "ab"}, r"should be one character \(got 'ab'\)"),
        ({"escape": "\n"}, "cannot be a mark"),
        ({"delimiter": ""}, "should be one character"),
        ({"columns": []}, "at least 1 item"),
    ],
)
def test_marks_that_cannot_be_told_apart_are_refused_by_the_config(
    settings: dict[str, Any], message: str
) -> None:
    source = {"type": "csv", "path": "a", **settings}
    with pytest.raises(ValidationError, match=message):
        IngestConfig.model_validate({"sources": {"in": source}})


# -- lines too long for memory -----------------------------------------------------------


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_line_of_50_mb_costs_one_record(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    with path.open("wb") as file:
        file.write(b'{"text": "' if kind == "jsonl" else b'id,text\n1,"')
        for _ in range(50):
            file.write(b"x" * 1_000_000)
        file.write(b'"}\n{"text": "next"}\n' if kind == "jsonl" else b'"\n2,next\n')
    records = list(read(path, kind, max_chars=1_000))
    assert texts(iter(records)) == ["next"]
    (rejection,) = rejections(iter(records))
    assert rejection == (f"a.{kind}:{1 if kind == 'jsonl' else 2}", "too_long")


@pytest.mark.timeout(30)
def test_no_expression_takes_more_than_linear_time() -> None:
    test = compiled({"regex": "^(a+)+b|(a|aa)+c|(.*){20}d$"})
    assert not test("a" * 1_000_000)


def test_conditions_nested_without_end_are_refused() -> None:
    condition: dict[str, Any] = {}
    condition["not"] = condition
    with pytest.raises(ValidationError, match="'not' is nested more than 10 deep"):
        IngestConfig.model_validate(
            {"sources": {"in": {"type": "csv", "path": "a", "where": {"a": condition}}}}
        )


# -- a first line for Excel --------------------------------------------------------------


@pytest.mark.parametrize("delimiter", ["auto", ";"])
@pytest.mark.parametrize("first", ["sep=;", "SEP=;", '"sep=;"'])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_line_that_tells_excel_the_delimiter_is_no_header(
    tmp_path: Path, delimiter: str, first: str, encoding: str
) -> None:
    content = f'{first}\r\nid;text\r\n1;Grüße, Köln\r\n2;"zwei\r\nZeilen; hier"\r\n3\r\n'
    (tmp_path / "a.csv").write_bytes(content.encode(encoding))
    settings = {"id_column": "id", "delimiter": delimiter, "encoding": encoding}
    records = list(read(tmp_path / "a.csv", "csv", **settings))
    assert texts(iter(records)) == ["Grüße, Köln", "zwei\nZeilen; hier"]
    assert rejections(iter(records)) == [("a.csv:6", "malformed_row")]


def test_the_line_for_excel_goes_before_named_columns(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("sep=\t\n1\tone\n")
    found = read(tmp_path / "a.csv", "csv", delimiter="auto", columns=["id", "text"])
    assert texts(found) == ["one"]


def test_another_delimiter_than_the_line_for_excel_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("sep=;\nid;text\n1;one\n")
    with pytest.raises(SourceError, match="its first line 'sep=;' tells Excel that ';' separates"):
        list(read(tmp_path / "a.csv", "csv"))
