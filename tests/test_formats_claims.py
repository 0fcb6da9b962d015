"""What a file says of itself against what it holds: the same rigour in every reader.

Many of these files are known from public reports: a header that counts one word too many
(facebookresearch/fastText #452), words with spaces and words that are a space (#163, #204, #327;
explosion/spaCy #737; piskvorky/gensim #2795), no header (spaCy #8789), rows of other widths and
damaged binaries (gensim #388, #394), words cut within a character (gensim #567), labels in
wiki.fr.bin (fastText #822, gensim #1498), models from before the magic number
(Kyubyong/wordvectors #14, fastText #203), compressed models (fastText #1175), pruned vectors (spaCy
#1475, #5397), more tokens than rows (MinishLab/model2vec #108), a sparse row of ``9:0.02``
(Embedding/Chinese-Word-Vectors #168), marks of a merge in the first line (yanshao9798/tagger #5).
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import sqlite3
import struct
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from gensim.models import KeyedVectors

from nightjar.errors import InputError, ModelTooLarge
from nightjar.formats import ExportedVectors, ReadVectors, read_vectors, write_vectors
from nightjar.formats import content as format_content
from nightjar.model.tokenization import Settings

SETTINGS = Settings("unicode", None, "NFKC", True, True, 1, 40)
GLOVE = "the 0.5 -1 2\nking 1 2 3\nqueen 1.5 2.5 3.5\n"
ROWS = {"the": [0.5, -1.0, 2.0], "king": [1.0, 2.0, 3.0], "queen": [1.5, 2.5, 3.5]}


def read(path: Path, content: bytes | str, name: str = "auto") -> ReadVectors:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_vectors(path, name)[1]


def rows_of(found: ReadVectors) -> dict[str, list[float]]:
    return dict(zip(found.tokens, found.matrix.tolist(), strict=True))


# -- text ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("3 2\n" + GLOVE, r"3 of 3 rows do not have 2 values, the first is 'the 0.5 -1 2'"),
        ("3 1\n" + GLOVE, r"3 of 3 rows do not have 1 value"),
        ("3 4\n" + GLOVE, "is no word followed by 4 numbers"),
        (GLOVE + "surplus 1 2 3 4\n", r"1 of 4 rows do not have 3 values.*'surplus 1 2 3 4'"),
        (GLOVE + "two 1 2 3 rows 4 5 6\n", r"1 of 4 rows do not have 3 values"),
        ("1" * 10_000 + " 3\n" + GLOVE, "its header has a number of 10,000 digits"),
        ("3 " + "1" * 10_000 + "\n" + GLOVE, "its header has a number of 10,000 digits"),
        ("the" + " 1" * 70_000 + "\n", "vectors of 70,000 values, more than 65,536"),
        ("the" + " 0.12345" * 2_000_000 + "\n", "a row is longer than 8,388,608 bytes"),
        (GLOVE + "the 1_0 2 3\n", "cannot be read as vectors"),
        ("the 1:0.5 3:0.25\nking 2:1 3:1\n", "is no word followed by 2 numbers"),
        ("10000 3 4 5 2 2166136261 < >\n0 1 2 3\n", "has floret vectors"),
        ("<<<<<<< HEAD\n" + GLOVE, "is no word followed by"),
    ],
)
def test_texts_that_contradict_themselves_are_refused(
    content: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path / "v.txt", content)


def test_a_few_rows_with_too_many_values_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = [f"w{number} {number} 1 2" for number in range(400)]
    rows.insert(7, "surplus 1 2 3 4")
    found = read(tmp_path / "v.txt", "\n".join(rows) + "\n")
    assert found.tokens == [f"w{number}" for number in range(400)]
    assert found.faults == {"row_of_wrong_width": 1}


def test_numbers_within_a_word_are_kept_if_it_has_more_than_numbers(tmp_path: Path) -> None:
    found = read(tmp_path / "v.txt", GLOVE + "world war 2 7 8 9\n" + "route 66 a 4 5 6\n")
    assert found.tokens == ["the", "king", "queen", "world war 2", "route 66 a"]
    assert found.faults == {"token_with_spaces": 2}


def test_rows_of_odd_width_do_not_move_words_with_spaces(tmp_path: Path) -> None:
    rows = [f"w{number} {number} 1 2" for number in range(800)]
    rows[10:10] = ["short 1", "surplus 1 2 3 4 5", "", "new york 1 2 3"]
    rows.append("last one 4 5 6")
    found = read(tmp_path / "v.txt", "\n".join(rows) + "\n")
    assert found.tokens[9:12] == ["w9", "new york", "w10"]
    assert found.tokens[-1] == "last one"
    assert found.faults == {"row_of_wrong_width": 2, "token_with_spaces": 2}


def test_words_with_spaces_keep_their_place_in_a_file_of_many_blocks(tmp_path: Path) -> None:
    rows = [f"w{number} {number}" + " 0.123456789" * 99 for number in range(20_000)]
    for place in (3, 9_000, 19_990):
        rows[place] = f"new york {place}" + " 0.5" * 99
    found = read(tmp_path / "v.txt", "\n".join(rows) + "\n")
    assert [found.tokens.index("new york"), len(found.tokens)] == [3, 19_998]
    assert found.faults == {"token_with_spaces": 3, "duplicate_token": 2}
    assert found.tokens[8_998:9_001] == ["w8998", "w8999", "w9001"]


@pytest.mark.parametrize("blanks", [" ", "  ", "\t"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_blanks_at_line_ends_hide_no_values(blanks: str, line_end: str, tmp_path: Path) -> None:
    lines = GLOVE.splitlines()
    every = line_end.join(line + blanks for line in lines)
    assert rows_of(read(tmp_path / "a.txt", every)) == ROWS
    some = line_end.join([lines[0] + blanks, *lines[1:]]) + line_end
    found = read(tmp_path / "b.txt", some)
    assert rows_of(found) == ROWS
    assert not found.faults
    with pytest.raises(InputError, match="1 of 4 rows do not have 3 values"):
        read(tmp_path / "c.txt", every + line_end + "surplus 1 2 3 4")


# -- word2vec's binary format -----------------------------------------------------------------


@pytest.mark.parametrize("declared", [1, 2, 4, 5])
def test_a_binary_with_other_values_than_declared_is_refused(declared: int, tmp_path: Path) -> None:
    rows = [word.encode() + b" " + struct.pack("<3f", *row) for word, row in ROWS.items()]
    content = f"3 {declared}\n".encode() + b"".join(rows)
    with pytest.raises(InputError, match=r"v.bin: .*(number of\s+values|its rows have 3)"):
        read(tmp_path / "v.bin", content, "word2vec-binary")


def test_words_that_are_not_utf8_do_not_make_a_binary_damaged(tmp_path: Path) -> None:
    rows = [word + b" " + struct.pack("<2f", 1, 2) for word in (b"caf\xe9", b"ma\xdf", b"a\x1fb")]
    found = read(tmp_path / "v.bin", b"3 2\n" + b"".join(rows))
    assert found.tokens == ["caf\ufffd", "ma\ufffd", "a\x1fb"]
    assert found.faults == {"token_not_utf8": 2}


# -- arrays -----------------------------------------------------------------------------------

ARRAYS: dict[str, Any] = {
    "vectors": np.arange(6, dtype=np.float32).reshape(3, 2),
    "tokens": np.array(["a", "b", "c"]),
    "counts": np.array([3, 2, 1]),
    "ngram_sizes": np.array([2, 3, 9]),
    "ngram_buckets": np.array([1, 4], np.int32),
    "ngram_vectors": np.ones((2, 2), np.float32),
}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"ngram_sizes": np.array([2])}, r"'ngram_sizes' is int64 \(1,\).*expected min_n, max_n"),
        ({"ngram_sizes": np.array([4, 3, 9])}, "n-grams of 4 to 3 characters in 9 buckets"),
        ({"ngram_sizes": np.array([2, 3, 4])}, "in 4 buckets, and has buckets 1 to 4"),
        ({"ngram_sizes": np.array([2, 3, 1 << 40])}, "it declares n-grams of 2 to 3 characters"),
        ({"ngram_vectors": np.ones((2, 3), "f4")}, "those of words have 2 values"),
        ({"ngram_vectors": np.ones((3, 2), "f4")}, "2 n-grams have vectors of shape"),
        ({"ngram_vectors": np.full((2, 2), np.nan)}, "n-gram of bucket 1 has values that are NaN"),
        ({"ngram_buckets": np.array([4, 1])}, "the buckets of its n-grams do not ascend"),
        ({"ngram_buckets": np.array([1, 1 << 40])}, "1099511627776, which is no bucket"),
        ({"counts": np.array([3, -2, 1])}, "the count of 'b' is -2; a count is 0 or more"),
        ({"counts": np.array([3, 2, (1 << 64) - 1], np.uint64)}, "which is no count"),
        ({"counts": np.array([1 << 62] * 3)}, "its counts add up to more than"),
        ({"counts": np.array([3.0, 2.0, 1.0])}, "'counts' is float64"),
        ({"vectors": np.ones((2, 2), "f4")}, "expected a float for each of 3 tokens"),
        ({"tokens": np.array([0x110000, 65, 66], "<u4").view("<U1")}, "no character"),
    ],
)
def test_archives_of_numpy_that_contradict_themselves_are_refused(
    changed: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "v.npz"
    np.savez(path, **(ARRAYS | changed))
    with pytest.raises(InputError, match=message):
        read_vectors(path)


def npz(name: str, header: bytes, n_bytes: int = 0, method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        start = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
        archive.writestr(f"{name}.npy", start + bytes(n_bytes))
    return buffer.getvalue()


def test_an_archive_that_claims_terabytes_takes_no_memory(tmp_path: Path) -> None:
    shape = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000, 1000), }\n"
    with pytest.raises(InputError, match=r"claims float32 \(1000000000, 1000\), 4,000,000,000,000"):
        read(tmp_path / "v.npz", npz("vectors", shape))


def test_an_archive_that_is_a_bomb_is_refused(tmp_path: Path) -> None:
    shape = b"{'descr': '<f4', 'fortran_order': False, 'shape': (30000000, 1), }\n"
    content = npz("vectors", shape, 120_000_000, zipfile.ZIP_DEFLATED)
    assert len(content) < 200_000
    with pytest.raises(InputError, match="as a decompression bomb does"):
        read(tmp_path / "v.npz", content)


def test_half_a_character_is_replaced_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "v.npz"
    np.savez(path, **(ARRAYS | {"tokens": np.array(["a", "b\ud83d", "c"])}))
    _, found = read_vectors(path)
    assert found.tokens == ["a", "b\ufffd", "c"]
    assert found.faults == {"token_not_utf8": 1}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"token_offsets": np.array([0, 1, 2])}, "does not ascend from 0 to 3"),
        ({"token_offsets": np.array([0, 2, 1, 3])}, "does not ascend from 0 to 3"),
        ({"token_offsets": np.array([1, 1, 2, 3])}, "does not ascend from 0 to 3"),
        ({"token_offsets": np.array([[0, 1, 2, 3]])}, "of one dimension each"),
        ({"token_offsets": np.array([0.0, 1, 2, 3])}, "expected uint8 and int64"),
        ({"tokens": np.array([97, 98, 99])}, "expected uint8 and int64"),
        ({"ngram_sizes": np.array([2])}, r"'ngram_sizes' is int64 \(1,\)"),
        ({"counts": np.array([3, -2, 1])}, "the count of 'b' is -2"),
    ],
)
def test_safetensors_that_contradict_themselves_are_refused(
    changed: dict[str, Any], message: str, tmp_path: Path
) -> None:
    library = pytest.importorskip("safetensors.numpy", reason="the extra formats is not installed")
    path = tmp_path / "v.safetensors"
    tokens = {"tokens": np.frombuffer(b"abc", np.uint8), "token_offsets": np.array([0, 1, 2, 3])}
    library.save_file(ARRAYS | tokens | changed, path)
    with pytest.raises(InputError, match=message):
        read_vectors(path)


# -- tables -----------------------------------------------------------------------------------

VECTORS = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"token": ["a", None, "c"]}, "the token of row 1 is null"),
        ({"count": [3, 2, None]}, "the count of row 2 is null"),
        ({"count": [3.0, 2.0, float("nan")]}, "cannot be read"),
        ({"count": [3, -1, 1]}, "the count of 'b' is -1"),
        ({"count": ["3", "2", "1"]}, "the column count is of type string"),
        ({"vector": [[1.0, 2.0], None, [5.0, 6.0]]}, "the vector of row 1 is null"),
        ({"vector": [[1.0, 2.0], [3.0, None], [5.0, 6.0]]}, "vector of row 1 has a null among"),
        ({"vector": [[1.0, 2.0], [3.0], [5.0, 6.0]]}, "lists of different lengths"),
        ({"vector": [[1.0], [3.0, 4.0, 5.0], [5.0, 6.0]]}, "lists of different lengths"),
        ({"vector": ["1 2", "3 4", "5 6"]}, "the column vector is of type string"),
        ({"vector": [[True], [False], [True]]}, "the column vector is of type list<"),
        ({"token": [1.0, 2.0, 3.0]}, "the column token is of type double"),
        ({"token": [True, False, None]}, "the column token is of type bool"),
    ],
)
def test_tables_of_parquet_with_gaps_or_other_types_are_refused(
    columns: dict[str, list[Any]], message: str, tmp_path: Path
) -> None:
    every = {"token": ["a", "b", "c"], "count": [3, 2, 1], "vector": VECTORS} | columns
    path = tmp_path / "v.parquet"
    pq.write_table(pa.table(every), path)
    with pytest.raises(InputError, match=rf"v\.parquet: .*{message}"):
        read_vectors(path)


def test_parquet_with_a_column_twice_is_refused(tmp_path: Path) -> None:
    columns = [pa.array(["a"]), pa.array(["b"]), pa.array([[1.0]])]
    path = tmp_path / "v.parquet"
    pq.write_table(pa.Table.from_arrays(columns, names=["token", "token", "vector"]), path)
    with pytest.raises(InputError, match="has more than one column token"):
        read_vectors(path)


def test_whole_numbers_and_dictionaries_are_tokens(tmp_path: Path) -> None:
    path = tmp_path / "v.parquet"
    for tokens in (pa.array([7, 8, 9]), pa.array(["7", "8", "9"]).dictionary_encode()):
        pq.write_table(pa.table({"token": tokens, "vector": VECTORS}), path)
        assert read_vectors(path)[1].tokens == ["7", "8", "9"]


def test_rows_that_a_small_table_repeats_need_memory_that_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "v.parquet"
    pq.write_table(pa.table({"token": ["a", "b", "c"], "vector": VECTORS}), path)
    monkeypatch.setattr(format_content, "_TOKEN_BYTES", 1 << 50)
    with pytest.raises(ModelTooLarge, match=r"more memory than is available.*max_vocab"):
        read_vectors(path)


BLOB = struct.pack("<2f", 1, 2)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((None, 1, 1, BLOB), "row of token 'None' holds NoneType, int, bytes"),
        (("a", 1, None, BLOB), "row of token 'a' holds str, NoneType, bytes"),
        (("a", 1, "many", BLOB), "row of token 'a' holds str, str, bytes"),
        (("a", 1, 1.5, BLOB), "row of token 'a' holds str, float, bytes"),
        ((1.5, 1, 1, BLOB), "row of token '1.5' holds float, int, bytes"),
        (("a", 1, -1, BLOB), "the count of 'a' is -1"),
        (("a", 1, 1, "1 2"), "row of token 'a' holds str, int, str"),
        (("a", 1, 1, BLOB + BLOB), "the vector of 'a' has 16 bytes, expected 8"),
        (("a", 1, 1, b""), "the vector of 'a' is empty"),
    ],
)
def test_rows_of_sqlite_with_other_types_are_refused(
    row: tuple[Any, ...], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "v.sqlite"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE vectors (token, rank, count, vector)")
        rows = [("the", 0, 3, BLOB), row]
        database.executemany("INSERT INTO vectors VALUES (?, ?, ?, ?)", rows)
        database.commit()
    with pytest.raises(InputError, match=rf"v\.sqlite: .*{message}"):
        read_vectors(path)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE metadata SET value = 3 WHERE key = 'vector_size'", "has 8 bytes, expected 12"),
        ("UPDATE metadata SET value = 'two' WHERE key = 'vector_size'", "vector_size 'two'"),
        ("UPDATE metadata SET value = 'float64' WHERE key = 'dtype'", "vectors are 'float64', not"),
        (
            """ALTER TABLE vectors RENAME TO v;
            CREATE VIEW vectors AS
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
            SELECT i AS token, i AS rank, 1 AS count, x'0000803f' AS vector FROM n""",
            "'vectors' is a view",
        ),
    ],
)
def test_what_a_database_says_of_its_vectors_is_held_against_them(
    statement: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "v.sqlite"
    matrix = np.array([[1, 2], [3, 4]], np.float32)
    vectors = ExportedVectors(["a", "b"], np.array([2, 1]), matrix, SETTINGS)
    write_vectors(vectors, "sqlite", path)
    with closing(sqlite3.connect(path)) as database:
        database.executescript(statement)
    with pytest.raises(InputError, match=message):
        read_vectors(path)


@pytest.mark.parametrize(
    ("labels", "values", "message"),
    [
        ("token\tcount\na\t1\nb\n", "1\t2\n3\t4\n", "row 1 of metadata.tsv has 1 column"),
        ("token\tcount\na\t1\nb\tmany\n", "1\t2\n3\t4\n", "count of 'b' in metadata.tsv is 'many'"),
        ("token\tcount\na\t1\nb\t-1\n", "1\t2\n3\t4\n", "count of 'b' in metadata.tsv is '-1'"),
        ("token\tcount\na\t1\n", "1\t2\n3\t4\n", "has 1 row and vectors.tsv 2"),
        ("king\na\nb\n", "1\t2\n3\t4\n", "has 3 rows and vectors.tsv 2"),
        ("a\nb\n", "1\t2\n3\t\n", "cannot be read as numbers"),
        ("a\nb\n", "true\t2\nfalse\t4\n", "cannot be read as numbers"),
        ("a\nb\n", "1\t2\n3\n", "cannot be read as numbers"),
        ("", "1\t2\n3\t4\n", "is empty; it holds the words"),
    ],
)
def test_labels_and_values_of_the_projector_have_to_fit(
    labels: str, values: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "metadata.tsv").write_text(labels)
    (tmp_path / "vectors.tsv").write_text(values)
    with pytest.raises(InputError, match=message):
        read_vectors(tmp_path)


def test_a_blank_label_moves_no_other(tmp_path: Path) -> None:
    (tmp_path / "metadata.tsv").write_text("\ufefftoken\n\nb\nc\n", encoding="utf-8")
    (tmp_path / "vectors.tsv").write_text("1\t2\n3\t4\n5\t6\n")
    _, found = read_vectors(tmp_path)
    assert rows_of(found) == {"b": [3.0, 4.0], "c": [5.0, 6.0]}
    assert found.faults == {"empty_token": 1}


# -- folders and objects ----------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
class TestSpacy:
    @pytest.fixture
    def table(self) -> Any:
        return pytest.importorskip("spacy.vectors", reason="the extra formats is not installed")

    def save(self, tmp_path: Path, make: Callable[[Any], Any]) -> Path:
        pipeline = pytest.importorskip("spacy").blank("xx")
        pipeline.vocab.vectors = make(pipeline.vocab.strings)
        pipeline.to_disk(tmp_path / "pipeline")
        return tmp_path / "pipeline"

    def test_words_that_share_a_row_have_it_each(self, table: Any, tmp_path: Path) -> None:
        def make(strings: Any) -> Any:
            data = np.array([[1, 2], [3, 4]], np.float32)
            keys = [strings.add("the"), strings.add("sea")]
            found = table.Vectors(strings=strings, data=data, keys=keys)
            for word, row in (("ocean", 1), ("a", 0), ("lake", 1)):
                found.add(strings.add(word), row=row)
            return found

        _, found = read_vectors(self.save(tmp_path, make))
        assert rows_of(found) == {
            "the": [1, 2],
            "sea": [3, 4],
            "ocean": [3, 4],
            "a": [1, 2],
            "lake": [3, 4],
        }
        assert found.tokens == ["the", "sea", "ocean", "a", "lake"]
        assert not found.faults

    def test_rows_and_keys_without_a_word_are_counted(self, table: Any, tmp_path: Path) -> None:
        def make(strings: Any) -> Any:
            data = np.ones((4, 2), np.float32)
            found = table.Vectors(strings=strings, data=data, keys=[strings.add("the")])
            found.add(12_345, row=1)
            return found

        _, found = read_vectors(self.save(tmp_path, make))
        assert found.tokens == ["the"]
        assert found.faults == {"row_without_word": 2, "key_without_text": 1}

    def test_floret_is_named(self, table: Any, tmp_path: Path) -> None:
        def make(strings: Any) -> Any:
            data = np.ones((10, 2), np.float32)
            sizes = {"minn": 2, "maxn": 3, "hash_count": 2, "hash_seed": 0, "bow": "<", "eow": ">"}
            return table.Vectors(strings=strings, data=data, mode="floret", **sizes)

        with pytest.raises(InputError, match=r"has floret vectors, .* cannot be imported"):
            read_vectors(self.save(tmp_path, make))


def static_folder(tmp_path: Path, **changed: Any) -> Path:
    library = pytest.importorskip("safetensors.numpy", reason="the extra formats is not installed")
    matrix = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
    vectors = ExportedVectors(["a", "b", "c"], np.array([3, 2, 1]), matrix, SETTINGS)
    path = tmp_path / "static"
    write_vectors(vectors, "model2vec", path)
    library.save_file({"embeddings": matrix} | changed, path / "model.safetensors")
    return path


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"mapping": np.array([0, 1, 3])}, "does not give each token one of 3 rows"),
        ({"mapping": np.array([0, -1, 1])}, "does not give each token one of 3 rows"),
        ({"mapping": np.array([0.0, 1, 2])}, "does not give each token one of 3 rows"),
        ({"weights": np.ones(1, "f4")}, r"'weights' has the shape \(1,\), expected one for each"),
        ({"mapping": np.array([0, 1])}, "has 3 tokens and its weights 2 rows"),
    ],
)
def test_static_embeddings_that_contradict_themselves_are_refused(
    changed: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        read_vectors(static_folder(tmp_path, **changed))


def test_static_embeddings_share_and_weigh_rows(tmp_path: Path) -> None:
    changed = {"mapping": np.array([2, 0, 0]), "weights": np.array([1, 2, 3], np.float32)}
    _, found = read_vectors(static_folder(tmp_path, **changed))
    assert rows_of(found) == {"a": [5, 6], "b": [2, 4], "c": [3, 6]}


def test_a_tokenizer_with_a_gap_in_its_ids_is_refused(tmp_path: Path) -> None:
    path = static_folder(tmp_path)
    tokenizer = json.loads((path / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["\u2581c"] = 7
    (path / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(InputError, match="are not 0 to 2: that of '\u2581c' is 7"):
        read_vectors(path)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # gensim's files
@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("vectors", np.ones((3, 2), "f4"), "has 2 words, 2 counts and vectors of shape"),
        ("expandos", {"count": np.array([2])}, "has 2 words, 1 count "),
        ("expandos", {"count": np.array([2, -1])}, "the count of 'b' is -1"),
        ("expandos", {"count": np.array([2.5, 1])}, "its counts are no whole numbers"),
        ("index_to_key", ["a", ("b", "c")], "is of type tuple; every key must be text"),
    ],
)
def test_objects_of_gensim_that_contradict_themselves_are_refused(
    part: str, value: Any, message: str, tmp_path: Path
) -> None:
    keyed = KeyedVectors(2, count=2)
    keyed.index_to_key, keyed.key_to_index = ["a", "b"], {"a": 0, "b": 1}
    keyed.vectors = np.ones((2, 2), np.float32)
    keyed.expandos = {"count": np.array([2, 1])}
    setattr(keyed, part, value)
    keyed.save(str(tmp_path / "v.kv"))
    with pytest.raises(InputError, match=message):
        read_vectors(tmp_path / "v.kv", "gensim")


# -- compressed -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "compress", [gzip.compress, bz2.compress, lzma.compress, zstandard.compress]
)
@pytest.mark.parametrize("name", ["vectors", "vectors.txt", "vectors.vec"])
def test_compression_is_seen_without_its_suffix(
    compress: Callable[[bytes], bytes], name: str, tmp_path: Path
) -> None:
    assert rows_of(read(tmp_path / name, compress(GLOVE.encode()))) == ROWS


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def test_what_a_mac_adds_to_an_archive_does_not_count(tmp_path: Path) -> None:
    files = {
        "v/glove.txt": GLOVE.encode(),
        "__MACOSX/v/._glove.txt": b"\0\5\x16\7",
        ".DS_Store": b"",
        "v/._glove.txt": b"\0\5\x16\7",
        "v/__MACOSX/glove.txt": b"",
    }
    assert rows_of(read(tmp_path / "v.zip", zipped(**files))) == ROWS


def test_messages_name_the_file_that_is_there(tmp_path: Path) -> None:
    path = tmp_path / "v.txt.gz"
    with pytest.raises(InputError, match=str(path)) as raised:
        read(path, gzip.compress(("3 2\n" + GLOVE).encode()))
    assert "nightjar-" not in str(raised.value).replace(str(path), "")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: gzip.compress(gzip.compress(GLOVE.encode())),
            "holds .gz data within a compressed file",
        ),
        (lambda: zipped(a=zipped(b=GLOVE.encode())), "holds a zip archive within an archive"),
        (lambda: gzip.compress(zipped(b=GLOVE.encode())), "holds a zip archive within an archive"),
        (lambda: gzip.compress(bytes(110_000_000)), "expands to more than 200 times its size"),
        (lambda: zipped(a=bytes(110_000_000)), "expands to more than 200 times its size"),
        (lambda: b"v.txt".ljust(257, b"\0") + b"ustar" + bytes(250), "is a tar archive"),
    ],
    ids=["twice", "zip in zip", "zip in gzip", "gzip bomb", "zip bomb", "tar"],
)
def test_what_hides_in_compressed_files_is_named(
    make: Callable[[], bytes], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path / "v", make())


# -- written ----------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", ["word2vec", "glove", "word2vec-binary", "projector", "sqlite"])
def test_words_with_quotation_marks_are_written_as_they_are(name: str, tmp_path: Path) -> None:
    tokens = ["the", '"', '5"', 'a"b', "''", "a,b", "\\", "#x"]
    matrix = np.random.default_rng(8).normal(size=(len(tokens), 3)).astype(np.float32)
    vectors = ExportedVectors(tokens, np.arange(8, 0, -1), matrix, SETTINGS)
    left_out = write_vectors(vectors, name, tmp_path / "v")
    assert not left_out
    _, found = read_vectors(tmp_path / "v", name)
    assert found.tokens == tokens
    np.testing.assert_array_equal(found.matrix, matrix)
    if name in ("word2vec", "glove"):
        opened = KeyedVectors.load_word2vec_format(str(tmp_path / "v"), no_header=name == "glove")
        assert opened.index_to_key == tokens
        np.testing.assert_array_equal(opened.vectors, matrix)
