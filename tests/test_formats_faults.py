"""Broken files of vectors: mended and counted where that is certain, refused by place else."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import sqlite3
import struct
import zipfile
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from conftest import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nightjar.errors import InputError, SourceError
from nightjar.formats import FORMATS, ReadVectors, read_vectors

GLOVE = "the 0.5 -1 2\nking 1 2 3\nqueen 1.5 2.5 3.5\n"
HEADER = "3 3\n"


def read(
    path: Path, content: bytes | str, name: str = "auto", limit: int | None = None
) -> tuple[str, ReadVectors]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_vectors(path, name, limit)


def rows_of(found: ReadVectors) -> dict[str, list[float]]:
    return dict(zip(found.tokens, found.matrix.tolist(), strict=True))


EXPECTED = {"the": [0.5, -1.0, 2.0], "king": [1.0, 2.0, 3.0], "queen": [1.5, 2.5, 3.5]}


@pytest.mark.parametrize(
    ("content", "name", "faults"),
    [
        (GLOVE, "glove", {}),
        (HEADER + GLOVE, "word2vec", {}),
        ("\ufeff" + GLOVE, "glove", {}),
        ("\ufeff" + HEADER + GLOVE, "word2vec", {}),
        (GLOVE.replace("\n", "\r\n"), "glove", {}),
        ((HEADER + GLOVE).replace("\n", "\r\n"), "word2vec", {}),
        ((HEADER + GLOVE).replace("\n", " \n").replace("3 3 \n", "3 3\n"), "word2vec", {}),
        (GLOVE.replace(" ", "\t"), "glove", {}),
        (GLOVE.rstrip("\n"), "glove", {"last_row_without_end": 1}),
        ((HEADER + GLOVE).rstrip("\n"), "word2vec", {"last_row_without_end": 1}),
        (GLOVE + "cut 1 2 -", "glove", {"cut_last_row": 1}),
        (GLOVE + "cut 1 2 1e-", "glove", {"cut_last_row": 1}),
        ("4 3\n" + GLOVE + "cut 1 -", "word2vec", {"cut_last_row": 1}),
        (
            "5 3\n" + GLOVE + "cut 1 2 -0.",
            "word2vec",
            {"cut_last_row": 1, "header_counts_wrongly": 1},
        ),
        (
            GLOVE.replace("the ", "the\t").replace("king ", "king\t").replace("queen ", "queen\t"),
            "glove",
            {},
        ),
        (HEADER + GLOVE.replace("the ", "the\t").replace("king ", "king\t"), "word2vec", {}),
        (GLOVE.replace(" ", "\t").replace("the\t", "the ").replace("king\t", "king "), "glove", {}),
        (
            GLOVE.replace("the ", "the  ").replace("king ", " king "),
            "glove",
            {"blanks_around_token": 2},
        ),
        (HEADER + GLOVE.replace("the ", "the   "), "word2vec", {"blanks_around_token": 1}),
        (
            HEADER + " " + GLOVE.replace("\nk", "\n k").replace("\nq", "\n q"),
            "word2vec",
            {"blanks_around_token": 3},
        ),
        (
            " " + GLOVE.replace("\nk", "\n k").replace("\nq", "\n q"),
            "glove",
            {"blanks_around_token": 3},
        ),
        (
            "\n".join(line.replace(" ", "  ", 1) for line in GLOVE.splitlines()) + "\n",
            "glove",
            {"blanks_around_token": 3},
        ),
        (GLOVE.replace("\n", "\n\n"), "glove", {}),
        ("9 3\n" + GLOVE, "word2vec", {"header_counts_wrongly": 1}),
        ("2 3\n" + GLOVE, "word2vec", {"header_counts_wrongly": 1}),
        (GLOVE + "king 9 9 9\n", "glove", {"duplicate_token": 1}),
        (GLOVE + "cut 1 2", "glove", {"cut_last_row": 1}),
        (GLOVE.encode() + "naï".encode()[:-1], "glove", {"cut_last_row": 1}),
        (HEADER + GLOVE + "cut", "word2vec", {"cut_last_row": 1, "header_counts_wrongly": 1}),
        (GLOVE + " 1 2 3\n", "glove", {"empty_token": 1}),
    ],
)
def test_texts_are_mended_and_what_was_mended_is_counted(
    content: str | bytes, name: str, faults: dict[str, int], tmp_path: Path
) -> None:
    found_name, found = read(tmp_path / "vectors.txt", content)
    assert found_name == name
    assert rows_of(found) == EXPECTED
    assert dict(found.faults) == faults


@pytest.mark.parametrize("inside", ["", "vectors.tsv"])
def test_a_pipe_is_refused_and_not_waited_for(inside: str, tmp_path: Path) -> None:
    path = tmp_path / "vectors"
    if inside:
        path.mkdir()
    os.mkfifo(path / inside)
    for name in ("auto", "word2vec", "projector"):
        with pytest.raises(InputError, match=f"{path / inside}: is a device, a pipe or a socket"):
            read_vectors(path, name)


def test_words_with_spaces_are_put_where_they_stood(tmp_path: Path) -> None:
    lines = GLOVE.splitlines()
    lines.insert(1, ". . . 7 8 9")
    lines.insert(3, "at name@example.com 4 5 6")
    _, found = read(tmp_path / "vectors.txt", "\n".join(lines) + "\n")
    assert found.tokens == ["the", ". . .", "king", "at name@example.com", "queen"]
    assert rows_of(found)[". . ."] == [7.0, 8.0, 9.0]
    assert found.faults == {"token_with_spaces": 2}


def test_a_first_word_with_spaces_is_found_by_the_second_row(tmp_path: Path) -> None:
    _, found = read(tmp_path / "vectors.txt", ". . 7 8 9\n" + GLOVE)
    assert found.tokens == [". .", "the", "king", "queen"]


def test_a_word_that_is_not_utf8_is_replaced_and_counted(tmp_path: Path) -> None:
    _, found = read(tmp_path / "vectors.txt", GLOVE.encode() + b"caf\xc3 1 1 1\n")
    assert found.tokens[-1] == "caf\ufffd"
    assert found.faults == {"token_not_utf8": 1}


def test_a_file_cut_anywhere_in_its_last_row_loses_that_row_alone(tmp_path: Path) -> None:
    content = "4 3\n" + GLOVE + "sea 0.1 0.2 -0.35\n"
    cut, kept = {"cut_last_row": 1}, {"last_row_without_end": 1}
    for n_bytes in range(1, len("sea 0.1 0.2 -0.35\n")):
        _, found = read(tmp_path / "vectors.txt", content[:-n_bytes])
        rows = rows_of(found)
        is_number = n_bytes <= 4  # -0.35, -0.3, -0., -0
        assert found.faults == (kept if is_number else cut), n_bytes
        assert rows.pop("sea", None) == (
            [*np.float32([0.1, 0.2]), np.float32(float("-0.35"[: 6 - n_bytes]))]
            if is_number
            else None
        )
        assert rows == EXPECTED
        for declared, expected in (("5", cut | {"header_counts_wrongly": 1}),):
            _, found = read(tmp_path / "vectors.txt", declared + content[1:-n_bytes])
            assert rows_of(found) == EXPECTED
            assert found.faults == expected


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("bad 1 x 3", "line 5, the row of 'bad', has 'x', which is no number.*delete that line"),
        ("kön 1 2 ä", "line 5, the row of 'kön', has 'ä', which is no number"),
        ("bad 1 2,5 3", "line 5, the row of 'bad', has '2,5', .* write decimal commas as points"),
    ],
)
def test_a_value_that_is_no_number_is_named_with_its_word(
    row: str, message: str, tmp_path: Path
) -> None:
    content = GLOVE.replace("\nking", "\n\nnew york 1 2 3\nking") + row + "\n"
    message = message.replace("line 5", "line 6")
    with pytest.raises(InputError, match=message):
        read(tmp_path / "vectors.txt", content)


def test_a_few_rows_of_the_wrong_width_are_left_out_many_refused(tmp_path: Path) -> None:
    rows = [f"w{number} {number} 1 2" for number in range(400)]
    rows.insert(50, "short 1 2")
    _, found = read(tmp_path / "few.txt", "\n".join(rows) + "\n")
    assert len(found.tokens) == 400
    assert found.faults == {"row_of_wrong_width": 1}
    rows[100:140] = ["short 1 2"] * 40
    with pytest.raises(InputError, match=r"41 of 401 rows do not have 3 values.*'short 1 2'"):
        read(tmp_path / "many.txt", "\n".join(rows))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "there is no vector in it"),
        (b"\n\n", "there is no vector in it"),
        (b"3 3\n", "there is no vector in it"),
        (b"just some prose, no numbers\nat all\n", "is no word followed by"),
        (GLOVE.encode() + b"bad 1 x 3\n", "cannot be read as vectors"),
        (GLOVE.encode() + b"bad 1 nan 3\n", "vector of 'bad' has values that are NaN"),
        (GLOVE.encode() + b"bad 1 inf 3\n", "vector of 'bad' has values that are NaN"),
        (b"<html><body>404</body></html>\n", "is no word followed by"),
        (b"3 99999999999\nthe 1 2 3\n", "is no word followed by"),
        (b"\x80\x04\x95abc", "is a pickle, which can run anything"),
    ],
)
def test_what_holds_no_vectors_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path / "vectors.txt", content)


# -- compressed ------------------------------------------------------------------------------


def zipped(content: bytes, *names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, content)
    return buffer.getvalue()


def damaged_deflate() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", GLOVE * 20)
    content = bytearray(buffer.getvalue())
    content[35:45] = b"\xff" * 10  # behind the local header of 30 bytes and the name
    return bytes(content)


def newer_archive() -> bytes:
    """An archive whose directory asks for a version of zip that is not known."""
    content = bytearray(zipped(GLOVE.encode(), "a.txt"))
    content[content.index(b"PK\1\2") + 6] = 255
    return bytes(content)


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        (".txt.gz", gzip.compress(GLOVE.encode(), mtime=0)),
        (".txt.bz2", bz2.compress(GLOVE.encode())),
        (".txt.zst", zstandard.compress(GLOVE.encode())),
        (".txt.xz", lzma.compress(GLOVE.encode())),
        (".zip", zipped(GLOVE.encode(), "glove.6B.3d.txt")),
    ],
)
def test_compressed_files_are_read(suffix: str, content: bytes, tmp_path: Path) -> None:
    name, found = read(tmp_path / f"vectors{suffix}", content)
    assert name == "glove"
    assert rows_of(found) == EXPECTED


@pytest.mark.parametrize(
    ("suffix", "content", "message"),
    [
        (".gz", gzip.compress(GLOVE.encode(), mtime=0)[:-9], "ends early"),
        (".gz", GLOVE.encode(), "named .gz but holds something else"),
        (".txt", zipped(GLOVE.encode(), "a.txt", "b.txt"), "the archive holds 2 files"),
        (".txt", zipped(GLOVE.encode(), "a.txt").replace(b"king", b"kong"), "Bad CRC-32"),
        (".txt", damaged_deflate(), "a.txt cannot be unpacked"),
        (".txt", newer_archive(), "the archive is damaged .zip file version 25.5"),
        (".xz", lzma.compress(GLOVE.encode())[:-9], "ends early"),
        (".lzma", GLOVE.encode(), ".lzma files are not supported"),
    ],
)
def test_damaged_compression_is_refused(
    suffix: str, content: bytes, message: str, tmp_path: Path
) -> None:
    with pytest.raises((InputError, SourceError), match=message):
        read(tmp_path / f"vectors{suffix}", content)


# -- text or binary --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("the 0,1 0,2 0,3\nof 0,4 0,5 0,6\n", "the 0,1 0,2 0,3.* no word .* decimal commas: write"),
        ("the NULL 0.1 0.2\nof 1 2 3\nx 1 2 3\n", "the NULL 0.1 0.2.* is no word followed by 3"),
        ("the 1 2\nof 1 2\nx 1 2\n", "the 1 2.* is no word followed by 3"),
    ],
)
def test_text_is_no_binary_whatever_is_wrong_with_it(
    rows: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path / "v", "3 3\n" + rows)


@pytest.mark.parametrize(
    "first",
    [
        b"new york 1 2 3",
        "kön 1 2 3".encode("latin-1"),
        b"a\0b 1 2 3",
        "日".encode() * 21_845 + b" 1 2 3",  # a character stands where the beginning ends
    ],
)
def test_text_is_recognized_by_all_of_its_beginning(first: bytes, tmp_path: Path) -> None:
    name, found = read(tmp_path / "v", b"2 3\n" + first + b"\nking 4 5 6\n")
    assert name == "word2vec"
    assert rows_of(found)["king"] == [4.0, 5.0, 6.0]


@pytest.mark.parametrize("n_rows", [1, 2, 9])
@pytest.mark.parametrize("size", [2, 3, 5, 100])
@pytest.mark.parametrize("scale", [1e-30, 0.1, 1.0, 100.0])
def test_binaries_are_recognized_however_small(
    n_rows: int, size: int, scale: float, tmp_path: Path
) -> None:
    generator = np.random.default_rng([n_rows, size])
    for seed in range(20):
        matrix = (generator.normal(size=(n_rows, size)) * scale).astype("<f4")
        rows = [f"w{row} ".encode() + values.tobytes() for row, values in enumerate(matrix)]
        content = f"{n_rows} {size}\n".encode() + b"\n".join(rows)
        name, found = read(tmp_path / "v", content)
        assert name == "word2vec-binary", seed
        np.testing.assert_array_equal(found.matrix, matrix)


# -- binary ----------------------------------------------------------------------------------


def binary(header: str = "3 3\n", separator: bytes = b"") -> bytes:
    rows = [word.encode() + b" " + struct.pack("<3f", *row) for word, row in EXPECTED.items()]
    return header.encode() + separator.join(rows) + separator


@pytest.mark.parametrize(
    ("content", "faults"),
    [
        (binary(), {}),
        (binary(separator=b"\n"), {}),
        (binary("9 3\n"), {"header_counts_wrongly": 1}),
        (binary("2 3\n"), {"header_counts_wrongly": 1}),
        (binary() + b"cut \0\0\0", {"cut_last_row": 1, "header_counts_wrongly": 1}),
        (binary("4 3\n") + b"cut \0\0\0", {"cut_last_row": 1}),
        (binary() + b"king " + struct.pack("<3f", 9, 9, 9), None),
    ],
)
def test_word2vec_binaries_are_mended(
    content: bytes, faults: dict[str, int] | None, tmp_path: Path
) -> None:
    name, found = read(tmp_path / "vectors.bin", content)
    assert name == "word2vec-binary"
    assert rows_of(found) == EXPECTED
    if faults is not None:
        assert dict(found.faults) == faults
    else:
        assert found.faults["duplicate_token"] == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"3 1000000000000\nthe " + bytes(12), "hold no row of 1,000,000,000,000 values"),
        (b"1000000000000 3\n", "there is no vector in it|hold no row"),
        (b"3 3\nthe " + struct.pack("<3f", 1, np.nan, 2), "has values that are NaN"),
        (b"3 3\n" + b"\xff" * 200_000, "there is no word at byte 4"),
    ],
)
def test_hostile_binaries_are_refused(content: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path / "vectors.bin", content, "word2vec-binary")


def facebook(**changes: int) -> bytes:
    """A fastText model of two words without n-grams, with some fields changed."""
    fields = {"size": 2, "bucket": 0, "min_n": 0, "max_n": 0, "words": 2, "rows": 2, "quant": 0}
    fields |= changes
    size = fields["size"]
    arguments = (size, 5, 5, 1, 5, 1, 2, 2, fields["bucket"], fields["min_n"], fields["max_n"], 100)
    data = struct.pack("<2i12id", 793_712_314, 12, *arguments, 1e-4)
    data += struct.pack("<3i2q", fields["words"], fields["words"], 0, 7, -1)
    for word, count in (("king", 4), ("queen", 3)):
        data += word.encode() + b"\0" + struct.pack("<qb", count, 0)
    data += bytes([fields["quant"]]) + struct.pack("<2q", fields["rows"], 2)
    return data + struct.pack("<4f", 1, 2, 3, 4) + b"\0" + struct.pack("<2q", 0, 2)


def test_a_plain_fasttext_model_is_read(tmp_path: Path) -> None:
    name, found = read(tmp_path / "m.bin", facebook())
    assert name == "fasttext"
    assert rows_of(found) == {"king": [1.0, 2.0], "queen": [3.0, 4.0]}
    assert found.counts is not None
    assert found.counts.tolist() == [4, 3]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (facebook()[:30], "ends within its header"),
        (facebook()[:100], "was cut"),
        (facebook(words=1_000_000_000), "it was cut"),
        (facebook(rows=1 << 50), "does not fit"),
        (facebook(rows=-5), "does not fit"),
        (facebook(bucket=2_000_000_000), "does not fit"),
        (facebook(size=3), "does not fit"),
        (facebook(quant=1), "is quantized and holds no plain vectors"),
        (facebook(words=0), "its dictionary of 0 entries"),
    ],
)
def test_hostile_fasttext_models_are_refused(content: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path / "m.bin", content)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("content", [b"", b"\0", b"not at all what it should be\n" * 3])
def test_every_reader_refuses_what_is_not_its_own(
    name: str, content: bytes, tmp_path: Path
) -> None:
    pytest.importorskip("spacy", reason="the extra formats is not installed")
    path = tmp_path / "file"
    if not FORMATS[name].suffix:
        path.mkdir()
        for inner in ("vectors.tsv", "metadata.tsv", "vectors.kv", "meta.json"):
            (path / inner).write_bytes(content)
    else:
        path.write_bytes(content)
    with pytest.raises(InputError, match=str(path)):
        read_vectors(path, name)


SEEDS = [GLOVE.encode(), (HEADER + GLOVE).encode(), binary(), facebook()]


@settings(
    max_examples=examples(150),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.data())
def test_any_bytes_are_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from(SEEDS)))
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 6))] = data.draw(st.binary(max_size=6))
        content = content or bytearray(b" ")
    try:
        _, found = read(tmp_path / "fuzzed", bytes(content))
    except (InputError, SourceError):
        return
    assert len(found.tokens) == len(found.matrix) == len(set(found.tokens)) > 0
    assert np.isfinite(found.matrix).all()


@pytest.mark.parametrize("name", ["parquet", "sqlite"])
def test_a_name_that_is_not_utf_8_is_damage(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x"
    if name == "parquet":
        pq.write_table(pa.table({"a_name": ["a"], "vector": [[1.0, 2.0]]}), path)
    else:
        with closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE a_name (key TEXT)")
            database.commit()
    content = path.read_bytes()
    assert b"a_name" in content
    path.write_bytes(content.replace(b"a_name", b"\xff_name"))
    with pytest.raises(InputError, match="UTF-8") as refused:
        read_vectors(path, name)
    assert str(path) in str(refused.value)
