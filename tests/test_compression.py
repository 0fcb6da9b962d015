"""Compressed sources: bombs, archives, and what was whole before the damage."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import stat
import tarfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from corpus_support import run_ingest, text_source
from pydantic import ValidationError
from reader_support import read, read_until_error, rejections, texts

from nightjar.config import IngestConfig
from nightjar.errors import SourceError
from nightjar.files.compression import ExpansionLimits, decompress
from nightjar.stages.ingest.records import Document

TEN_GB = 10_000_000_000
ZEROS = bytes(50_000_000)
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.compress,
}
SUFFIXES = pytest.mark.parametrize("suffix", COMPRESS)
LINES = b"".join(b"line %d %d\n" % (number, number * number) for number in range(60_000))


def archive(path: Path, members: Iterable[tuple[str, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members:
            file.writestr(name, data)
    return path


# -- bombs -------------------------------------------------------------------------------


@SUFFIXES
def test_a_bomb_of_ten_gigabytes_is_refused_long_before_it_is_expanded(
    tmp_path: Path, suffix: str
) -> None:
    one = COMPRESS[suffix](ZEROS)
    path = tmp_path / f"bomb.txt{suffix}"
    path.write_bytes(one * (TEN_GB // len(ZEROS)))
    n_bytes = 0
    tracemalloc.start()
    message = ""
    with path.open("rb") as file:
        pieces = decompress(path, iter(lambda: file.read(65_536), b""), ExpansionLimits())
        try:
            for piece in pieces:
                n_bytes += len(piece)
        except SourceError as error:
            message = str(error)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "bomb.txt" in message
    assert "above 200 times" in message
    assert "raise max_expansion_ratio" in message
    assert n_bytes <= 100_000_000
    assert peak < 150_000_000


def test_a_bomb_within_an_archive_is_refused(tmp_path: Path) -> None:
    inner = bz2.compress(ZEROS) * (TEN_GB // len(ZEROS))
    path = archive(tmp_path / "bomb.zip", [("a.txt.bz2", inner)])
    assert path.stat().st_size < 10_000
    with pytest.raises(SourceError, match=r"bomb\.zip/a\.txt\.bz2: .*max_expansion_ratio"):
        list(read(path))


def test_files_of_an_archive_that_are_a_bomb_together_are_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "bomb.zip", [(f"{n}.txt", ZEROS) for n in range(3)])
    with pytest.raises(SourceError, match=r"bomb\.zip: .* compressed bytes expand to"):
        list(read(path, document="file", max_chars=100))


@SUFFIXES
def test_expanded_bytes_have_a_limit_of_their_own(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.txt{suffix}"
    path.write_bytes(COMPRESS[suffix](LINES))
    limits = ExpansionLimits(max_bytes=len(LINES))
    assert len(texts(read(path, limits=limits))) == 60_000
    with pytest.raises(SourceError, match=r"more than 999,999 bytes; .*max_expanded_bytes"):
        list(read(path, limits=ExpansionLimits(max_bytes=999_999)))


def test_a_higher_ratio_may_be_allowed(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(b"repeated\n" * 12_000_000, 1))
    with pytest.raises(SourceError, match="max_expansion_ratio"):
        list(read(path, document="file", max_chars=10))
    (rejection,) = rejections(
        read(path, document="file", max_chars=10, limits=ExpansionLimits(max_ratio=1_100))
    )
    assert rejection == ("a.txt.gz", "too_long")


def test_the_limits_are_keys_of_the_config() -> None:
    sources = {"in": {"type": "text", "path": "a.txt"}}
    config = IngestConfig.model_validate({"sources": sources, "max_expanded_bytes": "5GB"})
    assert config.max_expanded_bytes == 5_000_000_000
    default = IngestConfig.model_validate({"sources": sources})
    limits = ExpansionLimits(default.max_expanded_bytes, default.max_expansion_ratio)
    assert limits == ExpansionLimits()
    with pytest.raises(ValidationError, match="no file is that small"):
        IngestConfig.model_validate({"sources": sources, "max_expanded_bytes": 0})


def test_xz_that_takes_too_much_memory_is_refused(tmp_path: Path) -> None:
    data = bytearray(lzma.compress(b"text", filters=[{"id": lzma.FILTER_LZMA2, "preset": 0}]))
    place = data.index(b"\x21\x01") + 2  # the filter's id, the size of its properties, these
    data[place] = 38  # a dictionary of 1 GiB
    header_end = 12 + (data[12] + 1) * 4
    data[header_end - 4 : header_end] = _crc32(bytes(data[12 : header_end - 4]))
    (tmp_path / "a.xz").write_bytes(data)
    with pytest.raises(SourceError, match=r"a\.xz: takes too much memory to decompress"):
        list(read(tmp_path / "a.xz"))


def test_zstandard_that_takes_too_much_memory_is_refused(tmp_path: Path) -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=28, write_content_size=False)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    (tmp_path / "a.zst").write_bytes(stream.compress(b"text") + stream.flush())
    with pytest.raises(SourceError, match=r"a\.zst: takes too much memory to decompress"):
        list(read(tmp_path / "a.zst"))


def _crc32(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "little")


# -- what was whole before the damage ----------------------------------------------------


@SUFFIXES
@pytest.mark.parametrize("damage", ["truncated", "damaged"])
def test_lines_before_the_damage_are_read(tmp_path: Path, suffix: str, damage: str) -> None:
    whole = COMPRESS[suffix](LINES)
    first = COMPRESS[suffix](b"first\nsecond\nthi")
    data = bytearray(first + whole)
    if damage == "truncated":
        del data[-len(whole) // 2 :]
    else:
        data[-len(whole) // 3] ^= 0xFF
    (tmp_path / f"a.txt{suffix}").write_bytes(data)
    found, message = read_until_error(read(tmp_path / f"a.txt{suffix}"))
    assert read_until_error(read(tmp_path / f"a.txt{suffix}", encoding="auto")) == (found, message)
    assert found[:2] == ["first", "second"]
    assert found[2:3] in ([], ["thiline 0 0"])
    # bzip2 and Zstandard have blocks, of which none may be whole; the others lose 8 KiB.
    expected = {".gz": 20_000, ".xz": 20_000}.get(suffix, 2)
    assert expected <= len(found) < 60_000
    if suffix in {".gz", ".xz"}:
        assert found[10] == "line 8 64"
    assert damage in message


def test_each_reader_gives_what_was_whole_before_a_truncated_archive_ends(tmp_path: Path) -> None:
    rows = range(40_000)
    page = "<page><id>{0}</id><revision><text>t {0}</text></revision></page>"
    content = {
        "text": "".join(f"t {n}\n" for n in rows),
        "jsonl": "".join(json.dumps({"text": f"t {n}"}) + "\n" for n in rows),
        "csv": "text\n" + "".join(f"t {n}\n" for n in rows),
        "mediawiki": "<mediawiki>" + "".join(page.format(n) for n in rows) + "</mediawiki>",
    }
    for kind, text in content.items():
        path = tmp_path / f"{kind}.gz"
        data = gzip.compress(text.encode())
        path.write_bytes(data[: len(data) // 2])
        found, message = read_until_error(read(path, kind))
        assert len(found) > 10_000, kind
        assert found == [f"t {n}" for n in range(len(found))], kind
        assert "truncated" in message, kind


def test_row_groups_before_a_damaged_one_are_read(tmp_path: Path) -> None:
    texts_ = [f"text {number * number}" for number in range(3_000)]
    path = tmp_path / "a.parquet"
    table = pa.table({"text": texts_})
    options = {"write_page_checksum": True, "compression": "none", "use_dictionary": False}
    pq.write_table(table, path, row_group_size=500, **options)
    path.write_bytes(path.read_bytes().replace(b"text 4000000", b"text 9999999"))
    found, message = read_until_error(read(path, "parquet"))
    assert found == texts_[:2_000]
    assert "damaged" in message


# -- archives ----------------------------------------------------------------------------


def test_files_of_an_archive_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    members = [
        ("b/two.txt", b"two\nthree"),
        ("a.txt", b"one\n"),
        ("c.txt.gz", gzip.compress(b"four")),
        ("__MACOSX/._a.txt", b"not text"),
        ("empty/", b""),
    ]
    path = archive(tmp_path / "a.zip", members)
    assert texts(read(path)) == ["one", "two", "three", "four"]
    result = run_ingest(tmp_path, text_source("a.zip", document="file"))
    assert [(row["doc_id"], row["text"]) for row in result.documents] == [
        ("in:a.zip/a.txt", "one"),
        ("in:a.zip/b/two.txt", "two\nthree"),
        ("in:a.zip/c.txt.gz", "four"),
    ]


def test_an_archive_of_a_mac_has_the_names_that_were_meant(tmp_path: Path) -> None:
    """UTF-8 without a word, accents apart, and files beside the files."""
    names = [
        "cafe\u0301.txt",
        "x/__MACOSX/b.txt",
        "x/._c.txt",
        ".DS_Store",
        "x/Thumbs.db",
        "日.txt",
    ]
    path = archive(tmp_path / "a.zip", [(name, name.encode()) for name in names])
    data = path.read_bytes()  # zipfile writes the flag of UTF-8 by itself
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        pieces = data.split(mark)
        places = [place - 4 + 1] * (len(pieces) - 1)
        data = mark.join(
            [pieces[0]]
            + [
                piece[:at] + bytes([piece[at] & ~0x08]) + piece[at + 1 :]
                for piece, at in zip(pieces[1:], places, strict=True)
            ]
        )
    path.write_bytes(data)
    result = run_ingest(tmp_path, text_source("a.zip", document="file"))
    assert [row["doc_id"] for row in result.documents] == ["in:a.zip/café.txt", "in:a.zip/日.txt"]


def test_backslashes_in_an_archive_of_windows_are_folders(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name in ("sub\\", "sub\\a.txt", "__MACOSX\\b.txt"):
            info = zipfile.ZipInfo(name)
            info.create_system = 0
            file.writestr(info, "one" if name.endswith("txt") else "")
    assert [r.locator for r in read(path) if isinstance(r, Document)] == ["a.zip/sub/a.txt:1"]


def test_an_archive_without_a_suffix_is_read_by_its_content(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", [("a.txt", b"one"), ("part-0001", gzip.compress(b"two"))])
    assert texts(read(path.rename(tmp_path / "object"))) == ["one", "two"]


def test_each_table_of_an_archive_has_its_header(tmp_path: Path) -> None:
    members = [("a.csv", b"id,text\n1,one\n"), ("b.csv", b"text,id\ntwo,2\nbad\n")]
    path = archive(tmp_path / "a.zip", members)
    records = list(read(path, "csv", id_column="id"))
    assert texts(iter(records)) == ["one", "two"]
    assert rejections(iter(records)) == [("a.zip/b.csv:3", "malformed_row")]


def test_names_that_lead_out_of_an_archive_are_labels(tmp_path: Path) -> None:
    folder = tmp_path / "in" / "deep"
    folder.mkdir(parents=True)
    path = archive(folder / "a.zip", [("../../evil.txt", b"one"), ("/etc/evil", b"two")])
    before = sorted(tmp_path.rglob("*"))
    assert texts(read(path)) == ["one", "two"]
    assert sorted(tmp_path.rglob("*")) == before
    assert not Path("/etc/evil").exists()


def test_links_within_an_archive_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        link = zipfile.ZipInfo("link.txt")
        link.create_system = 3
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(link, "/etc/passwd")
        file.writestr("a.txt", "one")
    assert texts(read(path)) == ["one"]


def test_an_archive_that_cannot_be_read_is_an_error_that_says_why(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", [("a.txt", LINES), ("b.txt", b"two"), ("é", b"")])
    whole = path.read_bytes()
    encrypted = bytearray(whole)
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        encrypted[encrypted.index(signature) + offset] |= 1
    broken = bytearray(whole)
    broken[2_000] ^= 0xFF
    cases = [
        (whole[: len(whole) // 2], r"a\.zip: archive is damaged or truncated"),
        (bytes(encrypted), r"a\.zip/a\.txt: is encrypted"),
        (bytes(broken), r"a\.zip/a\.txt: the file in the archive is damaged"),
        (whole.replace("é".encode(), b"\xff\xff"), r"a\.zip: archive is damaged or truncated"),
        (b"no archive", r"a\.zip: archive is damaged or truncated"),
    ]
    for data, message in cases:
        path.write_bytes(data)
        with pytest.raises(SourceError, match=message):
            list(read(path))


def test_an_archive_without_files_or_of_archives_is_an_error(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as file:
        file.writestr("a.txt", "one")
    with pytest.raises(SourceError, match=r"a\.zip: the archive holds no file"):
        list(read(archive(tmp_path / "a.zip", [("empty/", b"")])))
    path = archive(tmp_path / "b.zip", [("inner.zip", inner.getvalue())])
    with pytest.raises(SourceError, match=r"b\.zip/inner\.zip: \.zip files are not supported"):
        list(read(path))


def test_an_archive_compressed_in_another_way_is_an_error(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_LZMA) as file:
        file.writestr("a.txt", "one")
    with pytest.raises(SourceError, match=r"a\.zip/a\.txt: is compressed in a way .*number 14"):
        list(read(tmp_path / "a.zip"))


def _tar() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as file:
        for name in ("a.txt", "b.txt"):
            entry = tarfile.TarInfo(name)
            entry.size = len(LINES)
            file.addfile(entry, io.BytesIO(LINES))
    return packed.getvalue()


def _zip() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("a.txt", LINES)
    return packed.getvalue()


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (_tar(), "is a tar archive"),
        (b"7z\xbc\xaf\x27\x1c\0\4 rest", "is a 7z archive"),
        (b"Rar!\x1a\x07\1\0 rest", "is a rar archive"),
        (_zip(), "is a zip archive"),
        *((COMPRESS[suffix](LINES), f"holds {suffix} data within") for suffix in COMPRESS),
    ],
    ids=["tar", "7z", "rar", "zip", *COMPRESS],
)
def test_archives_and_what_is_compressed_twice_are_no_text_whatever_their_name(
    tmp_path: Path, data: bytes, what: str
) -> None:
    files = {f"dump{suffix}": compress(data) for suffix, compress in COMPRESS.items()}
    files["part-0001"] = gzip.compress(data)
    if "holds" not in what:
        files["part.txt"] = data
    for name, content in files.items():
        path = tmp_path / name
        path.write_bytes(content)
        for encoding in ("auto", "cp1252"):
            with pytest.raises(SourceError, match=rf"{name}: {what}"):
                list(read(path, encoding=encoding))
        member = archive(tmp_path / "whole.zip", [(name, content)])
        with pytest.raises(SourceError, match=rf"whole\.zip/{name}: {what}"):
            list(read(member))


def test_text_that_speaks_of_archives_is_text(tmp_path: Path) -> None:
    text = f"{'x' * 257}ustar and Rar!"
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    assert texts(read(tmp_path / "a.txt")) == [text]
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"one") + gzip.compress(b"\ntwo\n"))
    assert texts(read(tmp_path / "a.txt.gz")) == ["one", "two"]
    (tmp_path / "empty.gz").write_bytes(gzip.compress(b""))
    assert texts(read(tmp_path / "empty.gz")) == []
