"""The registered model: words to vectors, with mlflow, numpy and pyarrow alone.

MLflow copies this file into every model and runs it where the model is loaded, so it
imports nothing of Nightjar. ``vectors`` (token, vector) and, for FastText, ``ngrams``
(bucket, vector) are Parquet files; ``settings`` is JSON. All vectors are in memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd  # what mlflow.pyfunc hands to predict; mlflow itself requires it
import pyarrow.parquet as pq
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from numpy.typing import NDArray

_MAX_LISTED = 50
_UNKNOWN_CHOICES = ("error", "nan")


def read_vectors(path: Path, key: str) -> tuple[list[Any], NDArray[np.float32]]:
    """The ``key`` column and the vectors of a Parquet file, read by row group."""
    with pq.ParquetFile(path) as parquet:
        vector_size = parquet.schema_arrow.field("vector").type.list_size
        matrix = np.empty((parquet.metadata.num_rows, vector_size), dtype=np.float32)
        keys: list[Any] = []
        for group in range(parquet.num_row_groups):
            for batch in parquet.iter_batches(row_groups=[group], columns=[key, "vector"]):
                values = batch.column("vector").flatten().to_numpy(zero_copy_only=False)
                matrix[len(keys) : len(keys) + len(batch)] = values.reshape(-1, vector_size)
                keys += batch.column(key).to_pylist()
    return keys, matrix


def ngram_buckets(word: str, min_n: int, max_n: int, n_buckets: int) -> list[int]:
    """Bucket of each character n-gram of ``<word>``, as Facebook's fastText numbers them.

    Bojanowski et al. 2017, section 3.2: FNV-1a over the UTF-8 bytes. The reference
    implementation reads each byte as a signed char; a lone bracket is no n-gram.
    """
    characters = [char.encode("utf-8", "surrogatepass") for char in f"<{word}>"]
    return [
        value % n_buckets
        for start in range(len(characters))
        for n, value in enumerate(_prefix_hashes(characters[start : start + max_n]), start=1)
        if n >= min_n and not (n == 1 and start in (0, len(characters) - 1))
    ]


def _prefix_hashes(characters: list[bytes]) -> Iterator[int]:
    """FNV-1a of the first character, of the first two, and so on (32 bits)."""
    value = 2_166_136_261
    for character in characters:
        for byte in character:
            signed = byte | 0xFFFFFF00 if byte > 127 else byte
            value = ((value ^ signed) * 16_777_619) & 0xFFFFFFFF
        yield value


class SubwordVectors:
    """Vectors of unknown words from the rows of their n-grams.

    ``buckets`` is ascending; a bucket that is not in it has a row of zeros.
    """

    def __init__(self, path: Path, min_n: int, max_n: int, n_buckets: int) -> None:
        buckets, self._rows = read_vectors(path, "bucket")
        self._buckets = np.asarray(buckets, dtype=np.int64)
        self._range = (min_n, max_n, n_buckets)

    def vector(self, word: str) -> NDArray[np.float32] | None:
        """Mean over the word's n-grams; None when none of them has a row."""
        wanted = np.asarray(ngram_buckets(word, *self._range), dtype=np.int64)
        places = np.searchsorted(self._buckets, wanted)
        inside = places < len(self._buckets)
        places, wanted_inside = places[inside], wanted[inside]
        found = places[self._buckets[places] == wanted_inside]
        if found.size == 0:
            return None
        mean: NDArray[np.float32] = self._rows[found].sum(axis=0) / np.float32(wanted.size)
        return mean


class WordVectors(PythonModel):
    """``predict(words)`` is float32 of shape (n_words, vector_size)."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the model's files into memory."""
        paths = {name: Path(path) for name, path in context.artifacts.items()}
        settings = json.loads(paths["settings"].read_text(encoding="utf-8"))
        tokens, self._matrix = read_vectors(paths["vectors"], "token")
        self._rows = {token: row for row, token in enumerate(tokens)}
        self._name: str = settings["model"]
        subwords = settings["subwords"]
        self._subwords = (
            None
            if subwords is None
            else SubwordVectors(
                paths["ngrams"], subwords["min_n"], subwords["max_n"], subwords["bucket"]
            )
        )

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> np.ndarray[Any, np.dtype[np.float32]]:
        """The vectors of the words in the first column, in order.

        Words are looked up exactly as the tokenizer wrote them (the model card says how).
        FastText composes an unknown word from its n-grams. A word that still has no vector
        is an error that lists it, or with the parameter ``unknown="nan"`` a row of NaN.
        """
        del context
        unknown = (params or {}).get("unknown", _UNKNOWN_CHOICES[0])
        if unknown not in _UNKNOWN_CHOICES:
            raise MlflowException.invalid_parameter_value(
                f"unknown is {unknown!r}, choose {' or '.join(_UNKNOWN_CHOICES)}"
            )
        words = self._words(model_input)
        rows = np.fromiter((self._rows.get(word, -1) for word in words), np.int64, len(words))
        vectors = self._matrix[rows]
        missing: list[str] = []
        for place in np.flatnonzero(rows < 0):
            vector = self._subwords.vector(words[place]) if self._subwords else None
            vectors[place] = np.nan if vector is None else vector
            if vector is None:
                missing.append(words[place])
        if missing and unknown == "error":
            raise MlflowException.invalid_parameter_value(self._unknown_message(missing))
        return vectors

    @staticmethod
    def _words(model_input: pd.DataFrame) -> list[str]:
        words: list[Any] = model_input.iloc[:, 0].tolist()
        for place, word in enumerate(words):
            if not isinstance(word, str):
                raise MlflowException.invalid_parameter_value(
                    f"item {place} is {word!r} ({type(word).__name__}), expected a word"
                )
        return words

    def _unknown_message(self, missing: list[str]) -> str:
        distinct = list(dict.fromkeys(missing))
        listed = ", ".join(
            ascii(word) if not word.isprintable() else word for word in distinct[:_MAX_LISTED]
        )
        rest = len(distinct) - _MAX_LISTED
        return (
            f"{self._name} has no vector for {len(distinct)} "
            f"{'word' if len(distinct) == 1 else 'words'}: {listed}"
            f"{f' and {rest} more' if rest > 0 else ''}. Words are matched exactly; "
            f"params={{'unknown': 'nan'}} gives rows of NaN instead"
        )


set_model(WordVectors())
