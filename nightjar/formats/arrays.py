"""safetensors and NumPy: a model's named arrays, with tokens as UTF-8 and offsets.

``vectors`` float32 (n_tokens, vector_size); ``counts`` int64; ``tokens`` uint8, end to end, the
i-th from ``token_offsets[i]`` to ``token_offsets[i + 1]``. With n-grams also ``ngram_buckets``,
``ngram_vectors`` and ``ngram_sizes`` (min_n, max_n, bucket). NumPy's archive stores ``tokens`` as
an array of strings instead.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nightjar.errors import InputError
from nightjar.formats.content import ExportedVectors, Ngrams, ReadVectors, extra_module


def _ngram_arrays(vectors: ExportedVectors) -> dict[str, NDArray[Any]]:
    ngrams = vectors.ngrams
    if ngrams is None:
        return {}
    return {
        "ngram_buckets": np.asarray(ngrams.buckets),
        "ngram_vectors": np.asarray(ngrams.vectors),
        "ngram_sizes": np.array([ngrams.min_n, ngrams.max_n, ngrams.bucket], np.int64),
    }


@contextmanager
def tensor_errors() -> Iterator[None]:
    """Convert errors of safetensors to the OSError that they mean."""
    refused = extra_module("safetensors").SafetensorError
    try:
        yield
    except refused as error:
        raise OSError(str(error)) from error


def write_safetensors(vectors: ExportedVectors, path: Path) -> None:
    """Write the arrays, with the source as strings in the metadata. Memory: the file once."""
    save_file = extra_module("safetensors.numpy").save_file
    encoded = [token.encode() for token in vectors.tokens]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    arrays = {
        "vectors": np.asarray(vectors.matrix),
        "counts": np.asarray(vectors.counts),
        "tokens": np.frombuffer(b"".join(encoded), np.uint8),
        "token_offsets": offsets,
        **_ngram_arrays(vectors),
    }
    metadata = {**vectors.source, "format": "nightjar vectors"}
    with tensor_errors():
        save_file(arrays, str(path), metadata=metadata)


def read_safetensors(path: Path, limit: int | None = None) -> ReadVectors:
    """Read what :func:`write_safetensors` wrote. Raises InputError for other tensors."""
    safetensors = extra_module("safetensors")
    try:
        with safetensors.safe_open(str(path), framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError) as error:
        raise InputError(f"{path}: safetensors cannot open it ({error}); fetch it again") from error
    return _from_arrays(path, arrays, _tokens_of_bytes(path, arrays), limit)


def _tokens_of_bytes(path: Path, arrays: Mapping[str, NDArray[Any]]) -> list[str]:
    if not {"tokens", "token_offsets"} <= arrays.keys():
        raise InputError(
            f"{path}: has {', '.join(sorted(arrays)) or 'nothing'}, not tokens and token_offsets, "
            f"so whose vectors they are is not known (docs/formats.md says how they are kept)"
        )
    text, offsets = arrays["tokens"].tobytes(), arrays["token_offsets"].tolist()
    try:
        return [text[start:stop].decode("utf-8") for start, stop in pairwise(offsets)]
    except (UnicodeDecodeError, TypeError) as error:
        raise InputError(f"{path}: its tokens are no UTF-8 ({error}); write it again") from error


def write_numpy(vectors: ExportedVectors, path: Path) -> None:
    """Write an archive for ``numpy.load``, without pickle; the source is a JSON string."""
    arrays: dict[str, Any] = _ngram_arrays(vectors)
    arrays["source"] = np.array(json.dumps(dict(vectors.source)))
    with path.open("wb") as file:
        np.savez(
            file,
            vectors=np.asarray(vectors.matrix),
            tokens=np.array(vectors.tokens, np.str_),
            counts=np.asarray(vectors.counts),
            **arrays,
        )


def read_numpy(path: Path, limit: int | None = None) -> ReadVectors:
    """Read ``vectors`` and ``tokens`` of an archive, and the other arrays if present."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files if name != "source"}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}: NumPy cannot open it without running code ({error}); save plain arrays"
        ) from error
    tokens = arrays.get("tokens")
    if tokens is None or tokens.dtype.kind != "U" or tokens.ndim != 1:
        raise InputError(f"{path}: has no array 'tokens' of strings; add one beside 'vectors'")
    return _from_arrays(path, arrays, tokens.tolist(), limit)


def _from_arrays(
    path: Path, arrays: Mapping[str, NDArray[Any]], tokens: list[str], limit: int | None
) -> ReadVectors:
    matrix, counts = arrays.get("vectors"), arrays.get("counts")
    is_matrix = matrix is not None and matrix.ndim == 2 and matrix.dtype.kind == "f"
    if matrix is None or not is_matrix or len(matrix) != len(tokens):
        shape = "nothing" if matrix is None else f"{matrix.dtype} {matrix.shape}"
        raise InputError(
            f"{path}: 'vectors' is {shape}, expected a float for each of {len(tokens)} tokens and "
            f"each value"
        )
    if counts is not None and (counts.shape != (len(tokens),) or counts.dtype.kind not in "iu"):
        raise InputError(
            f"{path}: 'counts' is {counts.dtype} {counts.shape}, expected a number each"
        )
    return ReadVectors(
        tokens[:limit],
        matrix[:limit].astype(np.float32),
        None if counts is None else counts[:limit].astype(np.int64),
        _ngrams(path, arrays),
    )


def _ngrams(path: Path, arrays: Mapping[str, NDArray[Any]]) -> Ngrams | None:
    names = ("ngram_sizes", "ngram_buckets", "ngram_vectors")
    if not any(name in arrays for name in names):
        return None
    sizes, buckets, rows = (arrays.get(name) for name in names)
    if sizes is None or buckets is None or rows is None or rows.shape[:1] != buckets.shape:
        raise InputError(f"{path}: needs all of {', '.join(names)}, or none")
    min_n, max_n, bucket = sizes.tolist()
    return Ngrams(min_n, max_n, bucket, buckets.astype(np.int32), rows.astype(np.float32))
