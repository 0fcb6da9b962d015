"""Every importer on hostile input: it reads whole vectors or refuses, and never anything between.

Each test has a budget of examples. Pickles are not fuzzed, because opening one may run anything;
instead gensim saves objects whose parts were changed.
"""

from __future__ import annotations

import re
import sqlite3
import struct
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import examples
from gensim.models import KeyedVectors
from gensim.models.fasttext import FastTextKeyedVectors
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from nightjar.errors import InputError
from nightjar.formats import (
    FORMATS,
    ExportedVectors,
    Ngrams,
    ReadVectors,
    read_vectors,
    write_vectors,
)
from nightjar.model.tokenization import Settings

SETTINGS = Settings("unicode", None, "NFKC", True, True, 1, 40)
WORDS = ["the", "sea", "naïve", '5"', "日"]
READ_ELSEWHERE = {"gensim"}
AS_TEXT = {"word2vec", "glove", "projector"}
FUZZED = [name for name in FORMATS if name not in READ_ELSEWHERE]
few = settings(
    max_examples=examples(50),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def small_vectors(name: str) -> ExportedVectors:
    matrix = np.random.default_rng(2).normal(size=(len(WORDS), 3)).astype(np.float32)
    rows = np.ones((4, 3), np.float32)
    ngrams = Ngrams(2, 3, 9, np.array([1, 3, 4, 8], np.int32), rows)
    kept = ngrams if FORMATS[name].keeps_ngrams else None
    return ExportedVectors(WORDS, np.arange(5, 0, -1), matrix, SETTINGS, kept)


@cache
def files_of(name: str) -> dict[str, bytes]:
    """The files of a small model in a format, by their path within the folder; "" for a file."""
    with TemporaryDirectory() as directory:
        path = Path(directory) / "x"
        write_vectors(small_vectors(name), name, path)
        if path.is_file():
            return {"": path.read_bytes()}
        found = [file for file in sorted(path.rglob("*")) if file.is_file()]
        return {file.relative_to(path).as_posix(): file.read_bytes() for file in found}


def read_or_refused(path: Path, name: str, limit: int | None = None) -> ReadVectors | None:
    try:
        _, found = read_vectors(path, name, limit)
    except InputError as error:
        if str(path) not in str(error):
            raise
        return None
    assert len(found.tokens) == len(found.matrix) == len(set(found.tokens)) > 0
    assert np.isfinite(found.matrix).all()
    assert "" not in found.tokens
    assert "".join(found.tokens).encode()
    if found.counts is not None:
        assert found.counts.shape == (len(found.tokens),)
        assert found.counts.min() >= 0
    if found.ngrams is not None:
        assert found.ngrams.vectors.shape == (len(found.ngrams.buckets), found.matrix.shape[1])
        assert np.isfinite(found.ngrams.vectors).all()
    return found


def mutated(data: st.DataObject, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, max(0, len(changed) - 1)))
        if data.draw(st.booleans()):
            changed[place : place + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
        else:
            number = data.draw(st.sampled_from([0, 1, 255, 1 << 31, (1 << 63) - 1, (1 << 64) - 1]))
            changed[place : place + 8] = struct.pack("<Q", number)
    if data.draw(st.integers(0, 9)) == 0:
        del changed[data.draw(st.integers(0, len(changed))) :]
    return bytes(changed)


@pytest.mark.parametrize("name", FUZZED)
@few
@given(st.data())
def test_changed_bytes_are_read_or_refused(name: str, tmp_path: Path, data: st.DataObject) -> None:
    pytest.importorskip("spacy", reason="the extra formats is not installed")
    files = dict(files_of(name))
    victim = data.draw(st.sampled_from(sorted(files)))
    files[victim] = mutated(data, files[victim])
    with TemporaryDirectory(dir=tmp_path) as directory:
        path = Path(directory) / "x"
        for inner, content in files.items():
            place = path / inner if inner else path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        read_or_refused(path, data.draw(st.sampled_from([name, "auto"])))


@pytest.mark.parametrize("name", sorted({*FUZZED} - AS_TEXT))
def test_a_signalling_nan_is_refused_without_a_warning(name: str, tmp_path: Path) -> None:
    """Four bytes in the middle of a vector, of words or of n-grams; a processor notices them."""
    pytest.importorskip("spacy", reason="the extra formats is not installed")
    signalling = struct.pack("<I", 0x7F810000)
    vectors = small_vectors(name)
    if vectors.ngrams is not None:
        vectors.ngrams.vectors[1] = 0.3
    n_damaged = 0
    for value in (vectors.matrix[1, 1], np.float32(0.3)):
        path = tmp_path / str(value)
        write_vectors(vectors, name, path)
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        for file in files:
            file.write_bytes(file.read_bytes().replace(value.tobytes(), signalling))
        if any(signalling in file.read_bytes() for file in files):
            n_damaged += 1
            with pytest.raises(InputError, match=re.escape(str(path))):
                read_vectors(path, name)
    # fastText's file holds a word's vector less those of its n-grams.
    assert n_damaged == (2 if vectors.ngrams is not None and name != "fasttext" else 1)


# -- whole files whose parts contradict each other -------------------------------------------

DTYPES = ["f4", "f8", "f2", ">f4", "i4", "i8", "u1", "u8", "U3", "S2", "?", "c8"]


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray[Any, Any]:
    shape = draw(
        st.sampled_from([(5,), (5, 3), (4,), (4, 3), (4, 2), (1,), (3,), (), (0,), (5, 0)])
    )
    values = draw(st.integers(-3, 9)) + np.arange(int(np.prod(shape))) % draw(st.integers(1, 7))
    with np.errstate(all="ignore"):
        return values.astype(draw(st.sampled_from(DTYPES))).reshape(shape)


def valid_arrays(strings: bool) -> dict[str, np.ndarray[Any, Any]]:
    text = [word.encode() for word in WORDS]
    tokens = np.array(WORDS) if strings else np.frombuffer(b"".join(text), np.uint8)
    found = {
        "vectors": small_vectors("glove").matrix,
        "tokens": tokens,
        "counts": np.arange(5, 0, -1),
        "ngram_sizes": np.array([2, 3, 9]),
        "ngram_buckets": np.array([1, 3, 4, 8], np.int32),
        "ngram_vectors": np.ones((4, 3), np.float32),
    }
    return found if strings else found | {"token_offsets": np.cumsum([0, *map(len, text)])}


@pytest.mark.parametrize("name", ["numpy", "safetensors"])
@few
@given(st.data())
def test_arrays_that_do_not_fit_are_refused(name: str, tmp_path: Path, data: st.DataObject) -> None:
    library = pytest.importorskip("safetensors.numpy", reason="the extra formats is not installed")
    given_arrays = valid_arrays(name == "numpy")
    for key in data.draw(st.sets(st.sampled_from(sorted(given_arrays)), max_size=2)):
        if data.draw(st.booleans()):
            given_arrays[key] = data.draw(arrays())
        else:
            del given_arrays[key]
    path = tmp_path / "x"
    if name == "numpy":
        with path.open("wb") as file:
            np.savez(file, **given_arrays)
    else:
        kinds = "fiu"
        assume(all(array.dtype.kind in kinds for array in given_arrays.values()))
        little = {
            key: array.astype(array.dtype.newbyteorder("<")) for key, array in given_arrays.items()
        }
        library.save_file(little, path)
    read_or_refused(path, name)


CELLS = st.one_of(
    st.none(), st.integers(-(1 << 70), 1 << 70), st.floats(), st.text(max_size=3), st.booleans()
)
LISTS = st.lists(st.one_of(st.none(), st.floats(width=32), st.integers(-9, 9)), max_size=4)


@few
@given(st.lists(st.tuples(CELLS, CELLS, st.one_of(LISTS, CELLS)), max_size=4), st.data())
def test_tables_of_parquet_are_read_or_refused(
    tmp_path: Path, rows: list[tuple[Any, Any, Any]], data: st.DataObject
) -> None:
    rows += [("the", 1, [1.0, 2.0]), ("sea", 1, [1.0, 2.0])][: data.draw(st.integers(0, 2))]
    columns = {}
    for name, values in zip(("token", "count", "vector"), zip(*rows, strict=True), strict=False):
        try:
            columns[name] = pa.array(list(values))
        except (pa.ArrowException, OverflowError, TypeError):
            assume(False)
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table(columns), path)
    read_or_refused(path, "parquet", data.draw(st.sampled_from([None, 1])))


SQL_CELLS = st.one_of(
    st.none(),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(codec="utf-8"), max_size=3),
    st.binary(max_size=9),
)


@few
@given(st.lists(st.tuples(SQL_CELLS, SQL_CELLS, SQL_CELLS, SQL_CELLS), max_size=3), SQL_CELLS)
def test_tables_of_sqlite_are_read_or_refused(
    tmp_path: Path, rows: list[tuple[Any, ...]], size: Any
) -> None:
    path = tmp_path / "x.sqlite"
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE vectors (token, rank, count, vector)")
        database.execute("CREATE TABLE metadata (key, value)")
        every = [*rows, ("the", 1, 2, struct.pack("<2f", 1, 2))]
        database.executemany("INSERT INTO vectors VALUES (?, ?, ?, ?)", every)
        database.execute("INSERT INTO metadata VALUES ('vector_size', ?)", [size])
        database.commit()
    read_or_refused(path, "sqlite")


LINES = st.lists(st.text("ab1.-\t é\r\0", max_size=9), max_size=5)


@few
@given(LINES, LINES)
def test_tables_of_the_projector_are_read_or_refused(
    tmp_path: Path, labels: list[str], values: list[str]
) -> None:
    folder = tmp_path / "x"
    folder.mkdir(exist_ok=True)
    (folder / "metadata.tsv").write_text("\n".join(labels), encoding="utf-8", newline="")
    (folder / "vectors.tsv").write_text("\n".join(values), encoding="utf-8", newline="")
    read_or_refused(folder, "projector")


PARTS: dict[str, Callable[[], Any]] = {
    "vectors": lambda: np.ones((3, 2), np.float32),
    "index_to_key": lambda: ["the", 7, None],
    "expandos": lambda: {"count": np.array([1.5, np.nan])},
    "vector_size": lambda: 9,
    "vectors_ngrams": lambda: np.ones((3, 3), np.float32),
    "bucket": lambda: 70,
    "min_n": lambda: -1,
    "max_n": lambda: 0,
}


@few
@given(st.sets(st.sampled_from(sorted(PARTS)), max_size=3), st.booleans())
def test_objects_of_gensim_with_other_parts_are_read_or_refused(
    tmp_path: Path, changed: set[str], has_ngrams: bool
) -> None:
    if has_ngrams:
        keyed: Any = FastTextKeyedVectors(3, 2, 3, bucket=9, count=2)
        keyed.vectors_ngrams = np.ones((9, 3), np.float32)
        keyed.vectors_vocab = np.ones((2, 3), np.float32)
    else:
        keyed = KeyedVectors(3, count=2)
    keyed.index_to_key, keyed.key_to_index = ["a", "b"], {"a": 0, "b": 1}
    keyed.vectors = np.ones((2, 3), np.float32)
    keyed.expandos = {"count": np.array([2, 1])}
    for part in changed:
        setattr(keyed, part, PARTS[part]())
    path = tmp_path / "x.kv"
    try:
        keyed.save(str(path))
    except Exception:  # noqa: BLE001 (gensim cannot save it either)
        assume(False)
    read_or_refused(path, "gensim")


# -- a header that says something else than the rows ------------------------------------------

VALUES = st.floats(-3, 3, width=32).map(lambda value: round(value, 3))
TABLES = st.integers(2, 5).flatmap(
    lambda size: st.lists(st.lists(VALUES, min_size=size, max_size=size), min_size=3, max_size=8)
)


NAMES = st.lists(
    st.text("abzAZ09.-é日", min_size=1, max_size=9), min_size=8, max_size=8, unique=True
)


@settings(parent=few, derandomize=True)  # with luck, a few bytes are rows of two sizes
@given(TABLES, NAMES, st.integers(-4, 4), st.integers(-2, 2), st.booleans())
def test_a_header_that_contradicts_the_rows_gives_no_other_vectors(
    tmp_path: Path,
    rows: list[list[float]],
    names: list[str],
    more_values: int,
    more_rows: int,
    is_binary: bool,
) -> None:
    size = len(rows[0])
    declared = (max(0, len(rows) + more_rows), max(0, size + more_values))
    content = f"{declared[0]} {declared[1]}\n".encode()
    words = names[: len(rows)]
    for word, values in zip(words, rows, strict=True):
        numbers = " ".join(map(str, values)).encode() + b"\n"
        content += word.encode() + b" "
        content += struct.pack(f"<{size}f", *values) if is_binary else numbers
    path = tmp_path / "x"
    path.write_bytes(content)
    found = read_or_refused(path, "word2vec-binary" if is_binary else "word2vec")
    assert (found is not None) == (declared[1] == size or not (is_binary or declared[1]))
    if found is not None:
        assert found.tokens == words
        np.testing.assert_array_equal(found.matrix, np.array(rows, np.float32))
        assert found.faults["header_counts_wrongly"] == (declared[0] != len(rows))


# -- what we write ----------------------------------------------------------------------------

TOKENS = st.lists(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=4),
    min_size=1,
    max_size=6,
    unique=True,
)


@pytest.mark.parametrize("name", FORMATS)
@few
@given(TOKENS)
def test_whatever_the_words_are_they_are_written_or_counted(
    name: str, tmp_path: Path, tokens: list[str]
) -> None:
    pytest.importorskip("spacy", reason="the extra formats is not installed")
    matrix = np.random.default_rng(6).normal(size=(len(tokens), 3)).astype(np.float32)
    vectors = ExportedVectors(tokens, np.arange(len(tokens), 0, -1), matrix, SETTINGS)
    with TemporaryDirectory(dir=tmp_path) as directory:
        path = Path(directory) / "x"
        try:
            left_out = write_vectors(vectors, name, path)
        except InputError as error:
            if "no word of the model can be written" not in str(error):
                raise
            return
        _, found = read_vectors(path, name)
    kept = [token for token in tokens if not FORMATS[name].cannot_hold(token)]
    assert found.tokens == kept
    assert left_out["token_cannot_be_written"] == len(tokens) - len(kept)
    np.testing.assert_array_equal(found.matrix, matrix[[tokens.index(token) for token in kept]])
