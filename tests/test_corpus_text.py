"""Plain text and compression: lines, encodings, .gz, .bz2, .zst, and what is damaged."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from corpus_support import run_ingest, text_source

from nightjar.errors import SourceError

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor(write_checksum=True).compress,
}
LINES = b"".join(b"line %d of the file\n" % number for number in range(3_000))
TEXTS = [f"line {number} of the file" for number in range(3_000)]
SUFFIXES = pytest.mark.parametrize("suffix", COMPRESS)


def test_each_line_is_a_document_whatever_ends_it(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone\ntwo\r\nthree\rfour \xc3\xa9\xe2\x80\xa8x")
    result = run_ingest(tmp_path, text_source("a.txt", language="en"))
    assert result.texts == ["one", "two", "three", "four é\nx"]
    first = result.documents[0]
    assert first == {
        "doc_id": "in:7692c3ad3540bb80",
        "source": "in",
        "text": "one",
        "content_sha256": "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed",
        "n_chars": 3,
        "language": "en",
    }


def test_a_line_end_across_two_reads_is_one_line_end(tmp_path: Path) -> None:
    # The files are read 64 KiB at a time: \r is the last byte of the first read.
    (tmp_path / "a.txt").write_bytes(b"a" * 65_535 + b"\r\nb")
    result = run_ingest(tmp_path, text_source("a.txt"))
    assert [len(text) for text in result.texts] == [65_535, 1]
    assert result.quarantine == []


def test_a_file_is_a_document_named_after_it(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_bytes(b"two\r\nlines\n")
    (tmp_path / "a.txt").write_bytes(b"one")
    result = run_ingest(tmp_path, text_source("*.txt", document="file"))
    assert [(row["doc_id"], row["text"]) for row in result.documents] == [
        ("in:a.txt", "one"),
        ("in:b.txt", "two\nlines"),
    ]


def test_blank_lines_are_quarantined_as_empty(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\n\n \t\ntwo\n")
    result = run_ingest(tmp_path, text_source("a.txt"))
    assert result.texts == ["one", "two"]
    assert result.reasons == [("a.txt:2", "empty"), ("a.txt:3", "empty")]


def test_an_empty_file_is_quarantined_as_empty(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"")
    (tmp_path / "b.txt").write_bytes(b"one")
    result = run_ingest(tmp_path, text_source("*.txt"))
    assert result.texts == ["one"]
    assert result.reasons == [("a.txt", "empty")]


def test_an_undecodable_line_is_quarantined_and_the_next_goes_on(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\ncaf\xe9 \0\ntwo\n")
    result = run_ingest(tmp_path, text_source("a.txt"))
    assert result.texts == ["one", "two"]
    (row,) = result.quarantine
    assert (row["locator"], row["reason"]) == ("a.txt:2", "undecodable")
    assert row["excerpt"] == "caf\\xe9 \\x00"
    assert "invalid continuation byte" in row["detail"]


def test_an_undecodable_file_is_quarantined(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"caf\xe9")
    (tmp_path / "b.txt").write_bytes(b"one")
    result = run_ingest(tmp_path, text_source("*.txt", document="file"))
    assert result.reasons == [("a.txt", "undecodable")]


@pytest.mark.parametrize(
    "encoding",
    ["latin-1", "utf-16", "utf-16-be", "utf-32", "cp037", "utf-8-sig", "shift_jis", "utf-7"],
)
def test_other_encodings_are_read_by_lines(tmp_path: Path, encoding: str) -> None:
    # U+0A0A and U+0D0A have the bytes of line ends within a character of UTF-16.
    words = {"shift_jis": "ソ表", "utf-16": "\u0a0aé\u0d0a", "utf-16-be": "\u0a0aé"}
    word = words.get(encoding, "e")
    (tmp_path / "a.txt").write_bytes(f"{word} a\r\nb {word}\rc\n".encode(encoding))
    result = run_ingest(tmp_path, text_source("a.txt", encoding=encoding))
    assert result.texts == [f"{word} a", f"b {word}", "c"]


def test_half_a_character_at_the_end_of_utf_16_is_undecodable(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("one\ntwo".encode("utf-16") + b"x")
    result = run_ingest(tmp_path, text_source("a.txt", encoding="utf-16"))
    assert result.texts == ["one"]
    assert result.reasons == [("a.txt:2", "undecodable")]


@SUFFIXES
def test_compressed_text_is_read_by_its_suffix(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"a.txt{suffix}").write_bytes(COMPRESS[suffix](LINES))
    assert run_ingest(tmp_path, text_source("a.txt*")).texts == TEXTS


@SUFFIXES
def test_files_of_several_compressed_streams_are_read_whole(tmp_path: Path, suffix: str) -> None:
    compress = COMPRESS[suffix]
    data = compress(LINES[:20_000]) + compress(b"") + compress(LINES[20_000:])
    (tmp_path / f"a{suffix}").write_bytes(data)
    assert run_ingest(tmp_path, text_source(f"a{suffix}")).texts == TEXTS


@SUFFIXES
def test_text_that_compresses_a_thousandfold_is_read_whole(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"a{suffix}").write_bytes(COMPRESS[suffix](b"a" * 5_000_000 + b"\nb\n"))
    result = run_ingest(tmp_path, text_source(f"a{suffix}"))
    assert [len(text) for text in result.texts] == [5_000_000, 1]


def test_zeros_behind_a_gzip_stream_are_padding(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(LINES) + bytes(100))
    assert run_ingest(tmp_path, text_source("a.gz")).texts == TEXTS


@SUFFIXES
def test_a_truncated_archive_is_an_error(tmp_path: Path, suffix: str) -> None:
    data = COMPRESS[suffix](LINES)
    for length in (len(data) - 1, len(data) // 2):
        (tmp_path / f"a{suffix}").write_bytes(data[:length])
        with pytest.raises(SourceError, match=rf"a\{suffix}: .*truncated"):
            run_ingest(tmp_path, text_source(f"a{suffix}"))
    assert not list(tmp_path.glob("artifacts/documents/*"))


@SUFFIXES
def test_a_second_stream_that_is_cut_is_an_error(tmp_path: Path, suffix: str) -> None:
    data = COMPRESS[suffix](LINES)
    (tmp_path / f"a{suffix}").write_bytes(data + data[:-5])
    with pytest.raises(SourceError, match="truncated"):
        run_ingest(tmp_path, text_source(f"a{suffix}"))


@SUFFIXES
def test_a_damaged_archive_is_an_error_that_names_the_place(tmp_path: Path, suffix: str) -> None:
    data = bytearray(COMPRESS[suffix](LINES))
    data[len(data) // 2] ^= 0xFF
    (tmp_path / f"a{suffix}").write_bytes(data)
    with pytest.raises(SourceError, match=r"damaged after byte \d+"):
        run_ingest(tmp_path, text_source(f"a{suffix}"))


@SUFFIXES
def test_a_wrong_checksum_is_an_error(tmp_path: Path, suffix: str) -> None:
    data = bytearray(COMPRESS[suffix](LINES))
    data[-5 if suffix == ".gz" else -2] ^= 0xFF
    (tmp_path / f"a{suffix}").write_bytes(data)
    with pytest.raises(SourceError, match="damaged"):
        run_ingest(tmp_path, text_source(f"a{suffix}"))


@SUFFIXES
def test_garbage_behind_an_archive_is_an_error(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"a{suffix}").write_bytes(COMPRESS[suffix](LINES) + b"garbage that is ignored")
    with pytest.raises(SourceError, match=rf"damaged after byte {len(COMPRESS[suffix](LINES))}"):
        run_ingest(tmp_path, text_source(f"a{suffix}"))


@SUFFIXES
def test_a_suffix_that_lies_is_an_error(tmp_path: Path, suffix: str) -> None:
    for content, held in ((LINES, "something else"), (b"", "nothing"), (b"\x1f", "something")):
        (tmp_path / f"a{suffix}").write_bytes(content)
        with pytest.raises(SourceError, match=rf"named \{suffix} but holds {held}"):
            run_ingest(tmp_path, text_source(f"a{suffix}"))
    (tmp_path / f"a{suffix}").write_bytes(COMPRESS[".bz2" if suffix == ".gz" else ".gz"](LINES))
    with pytest.raises(SourceError, match=r"but holds (bzip2|gzip) data"):
        run_ingest(tmp_path, text_source(f"a{suffix}"))


@SUFFIXES
@pytest.mark.parametrize("name", ["a.txt", "part-0001", "a.gzip"])
def test_compressed_text_without_a_suffix_is_read_as_it_is(
    tmp_path: Path, suffix: str, name: str
) -> None:
    (tmp_path / name).write_bytes(COMPRESS[suffix](LINES))
    (tmp_path / "b.txt").write_bytes(LINES)
    found = run_ingest(tmp_path, text_source(name))
    assert found.texts == run_ingest(tmp_path, text_source("b.txt"), store="plain").texts


def test_an_unsupported_compression_is_an_error_that_names_the_supported(tmp_path: Path) -> None:
    (tmp_path / "a.txt.7z").write_bytes(b"7z\xbc\xaf\x27\x1c")
    with pytest.raises(SourceError, match=r"\.7z files are not supported.*\.gz, .*\.xz or \.zst"):
        run_ingest(tmp_path, text_source("a.txt.7z"))


@pytest.mark.parametrize("document", ["line", "file"])
def test_a_line_of_50_mb_is_quarantined_in_bounded_memory(tmp_path: Path, document: str) -> None:
    stream = zlib.compressobj(1, wbits=31)
    zeros = b"x" * 1_000_000
    data = b"".join(stream.compress(zeros) for _ in range(50)) + stream.compress(b"\nnext\n")
    (tmp_path / "a.gz").write_bytes(data + stream.flush())
    (tmp_path / "b.txt").write_bytes(b"short")
    tracemalloc.start()
    try:
        paths = ["a.gz", "b.txt"]
        result = run_ingest(tmp_path, text_source(paths, document=document), max_chars=1_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 12_000_000
    assert result.texts == (["next", "short"] if document == "line" else ["short"])
    (row,) = result.quarantine
    assert (row["reason"], row["excerpt"]) == ("too_long", "x" * 200)
    assert row["detail"].startswith(
        "50,000,000 bytes" if document == "line" else "50,000,006 bytes"
    )
