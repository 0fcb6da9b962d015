"""Trouble with sources that must end in one clear error, or cost one record."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpus_support import config_of, identity_of, run_ingest
from stage_support import context_of

from nightjar.errors import SourceChanged, SourceError
from nightjar.stages.ingest import ingest
from nightjar.store import Staging, publish


def test_objects_nested_as_deep_as_can_be_parsed_cost_one_line_each(tmp_path: Path) -> None:
    nested = [f'{{"text": "t", "id": {"[" * depth}{"]" * depth}}}' for depth in range(900, 1000)]
    lines = [*nested, '{"text": "good", "id": 1}']
    (tmp_path / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    result = run_ingest(tmp_path, {"s": {"type": "jsonl", "path": "a.jsonl", "id_field": "id"}})
    assert result.texts == ["good"]
    assert len(result.reasons) == 100
    assert {reason for _, reason in result.reasons} <= {"invalid_id", "invalid_json"}


def test_field_names_that_cannot_be_encoded_are_escaped_in_the_message(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"\\ud800": "x"}\n', encoding="utf-8")
    with pytest.raises(SourceError, match=r"it has \\ud800"):
        run_ingest(tmp_path, {"s": {"type": "jsonl", "path": "a.jsonl"}})


def test_a_file_that_vanished_since_the_plan_is_a_reason_to_run_again(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one\n", encoding="utf-8")
    config = config_of({"s": {"type": "text", "path": "a.txt"}})
    identity = identity_of(config, tmp_path)
    path.unlink()

    def write(staging: Staging) -> None:
        ingest(config, context_of(staging, identity, tmp_path))

    with pytest.raises(SourceChanged, match=r"not those of the plan any more.*a\.txt"):
        publish(tmp_path / "store", identity, write)


def test_an_archive_of_several_files_is_not_taken_for_text(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(b"a.txt\0\0\0 content"))
    with pytest.raises(SourceError, match=r"a\.tar\.gz: \.tar files are not supported"):
        run_ingest(tmp_path, {"s": {"type": "text", "path": "a.tar.gz"}})


def test_a_parquet_page_that_fails_its_checksum_is_an_error(tmp_path: Path) -> None:
    texts = [f"text {number * number}" for number in range(3_000)]
    path = tmp_path / "a.parquet"
    table = pa.table({"text": texts})
    pq.write_table(table, path, write_page_checksum=True, compression="none", use_dictionary=False)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"text 1000000", b"text 9999999"))
    assert path.read_bytes() != whole
    with pytest.raises(SourceError, match=r"a\.parquet.*damaged"):
        run_ingest(tmp_path, {"s": {"type": "parquet", "path": "a.parquet"}})


@pytest.mark.parametrize(
    "names", [(b"d\xff/a.txt", b"d\\udcff/a.txt"), (b"\xff.txt", b"\\udcff.txt")]
)
def test_names_that_escaping_makes_equal_are_an_error(
    tmp_path: Path, names: tuple[bytes, bytes]
) -> None:
    for name in names:
        path = tmp_path / "in" / os.fsdecode(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("x", encoding="utf-8")
        except (OSError, UnicodeError):
            pytest.skip("this file system takes only names in UTF-8")
    config = config_of({"s": {"type": "text", "path": "in/**/*.txt"}})
    with pytest.raises(SourceError, match=r"sources\.s\.path.*rename one"):
        identity_of(config, tmp_path)


def truncated_gzip(path: Path, n_lines: int) -> None:
    content = gzip.compress("".join(f"line {i} {i * i}\n" for i in range(n_lines)).encode())
    path.write_bytes(content[: len(content) * 9 // 10])


def test_what_was_read_of_a_damaged_file_is_kept_where_the_config_says_so(tmp_path: Path) -> None:
    truncated_gzip(tmp_path / "a.txt.gz", 20_000)
    (tmp_path / "b.txt").write_text("whole\n", encoding="utf-8")
    sources = {"s": {"type": "text", "path": ["a.txt.gz", "b.txt"]}}
    with pytest.raises(SourceError, match=r"a\.txt\.gz: the gzip data ends early"):
        run_ingest(tmp_path, sources)
    result = run_ingest(tmp_path, sources, on_error="quarantine")
    assert result.texts[0] == "line 0 0"
    assert result.texts[-1] == "whole"
    assert len(result.texts) > 10_000
    (row,) = [row for row in result.quarantine if row["reason"] == "damaged_file"]
    assert row["locator"] == "a.txt.gz"
    assert "a.txt.gz: the gzip data ends early" in row["detail"]
    assert str(tmp_path) not in row["detail"]  # a file that moves gives the same bytes


def test_a_night_that_loses_too_many_bytes_or_records_stops(tmp_path: Path) -> None:
    truncated_gzip(tmp_path / "a.txt.gz", 20_000)
    (tmp_path / "b.txt").write_text("whole\n", encoding="utf-8")
    sources = {"s": {"type": "text", "path": ["a.txt.gz", "b.txt"]}}
    with pytest.raises(SourceError, match=r"s: 100\.0% is lost.*damaged_file 1.*max_lost \(50"):
        run_ingest(tmp_path, sources, on_error="quarantine", max_lost=0.5)
    (tmp_path / "c.jsonl").write_text('{"text": "a"}\nbad\n{"text": 5}\n', encoding="utf-8")
    broken = {"c": {"type": "jsonl", "path": "c.jsonl"}}
    message = r"c: 66\.7% is lost to errors \(invalid_json 1, not_text 1; the first at c\.jsonl:2"
    with pytest.raises(SourceError, match=message):
        run_ingest(tmp_path, broken, max_lost=0.66)
    assert run_ingest(tmp_path, broken, max_lost=0.67).texts == ["a"]


def test_a_source_is_not_saved_by_others_that_are_whole(tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text("\n".join(f"line {i}" for i in range(999)), encoding="utf-8")
    (tmp_path / "c.jsonl").write_text("bad\n", encoding="utf-8")
    sources = {
        "good": {"type": "text", "path": "good.txt"},
        "c": {"type": "jsonl", "path": "c.jsonl"},
    }
    with pytest.raises(SourceError, match=r"sources\.c: 100\.0% is lost"):
        run_ingest(tmp_path, sources, max_lost=0.5)
