"""safetensors and NumPy: a model's named arrays, with tokens as UTF-8 and offsets.

``vectors`` float32 (n_tokens, vector_size); ``counts`` int64; ``tokens`` uint8, end to end, the
i-th from ``token_offsets[i]`` to ``token_offsets[i + 1]``. With n-grams also ``ngram_buckets``,
``ngram_vectors`` and ``ngram_sizes`` (min_n, max_n, bucket). NumPy's archive stores ``tokens`` as
an array of strings instead.
"""

from __future__ import annotations

import json
import lzma
import math
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nightjar.errors import InputError
from nightjar.formats.content import (
    ExportedVectors,
    Ngrams,
    ReadVectors,
    as_float32,
    extra_module,
)
from nightjar.wording import counted

_NGRAM_ARRAYS = ("ngram_sizes", "ngram_buckets", "ngram_vectors")
_ARRAYS = frozenset({"vectors", "counts", "tokens", "token_offsets", *_NGRAM_ARRAYS})
"""Others are not read."""
_NUMPY_ERRORS = (
    ValueError,
    OSError,
    EOFError,
    KeyError,
    SyntaxError,  # a header that Python cannot parse
    TypeError,
    OverflowError,
    RuntimeError,  # encrypted
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
)
_FREE_BYTES = 100_000_000
_MAX_RATIO = 200
"""No vectors are compressed as well; below _FREE_BYTES any ratio is allowed."""


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
            names = list(file.keys())
            arrays = {name: file.get_tensor(name) for name in names if name in _ARRAYS}
    except (safetensors.SafetensorError, OSError) as error:
        raise InputError(f"{path}: safetensors cannot open it ({error}); fetch it again") from error
    except TypeError as error:  # NumPy has no such type
        raise InputError(f"{path}: {error}; save float32 or float16") from error
    return _from_arrays(path, arrays, _tokens_of_bytes(path, arrays, names), limit)


def _tokens_of_bytes(path: Path, arrays: Mapping[str, NDArray[Any]], names: list[str]) -> list[str]:
    if not {"tokens", "token_offsets"} <= arrays.keys():
        raise InputError(
            f"{path}: has {', '.join(sorted(names)) or 'nothing'}, not tokens and token_offsets, "
            f"so whose vectors they are is not known (docs/formats.md says how they are kept)"
        )
    text, offsets = arrays["tokens"], arrays["token_offsets"]
    if text.dtype != np.uint8 or text.ndim != 1 or offsets.ndim != 1 or offsets.dtype.kind != "i":
        raise InputError(
            f"{path}: 'tokens' is {text.dtype} {text.shape} and 'token_offsets' {offsets.dtype} "
            f"{offsets.shape}; expected uint8 and int64, of one dimension each"
        )
    if not len(offsets) or offsets[0] != 0 or offsets[-1] != len(text) or _descends(offsets):
        raise InputError(
            f"{path}: 'token_offsets' does not ascend from 0 to {len(text)}, the length of "
            f"'tokens'; write it again"
        )
    content = text.tobytes()
    try:
        return [content[start:stop].decode("utf-8") for start, stop in pairwise(offsets.tolist())]
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: its tokens are no UTF-8 ({error}); write it again") from error


def _descends(offsets: NDArray[Any]) -> bool:
    return bool((offsets[1:] < offsets[:-1]).any())


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
        _check_claims(path)
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files if name in _ARRAYS}
    except _NUMPY_ERRORS as error:
        raise InputError(
            f"{path}: NumPy cannot open it without running code ({error}); save plain arrays"
        ) from error
    tokens = arrays.get("tokens")
    if tokens is None or tokens.dtype.kind != "U" or tokens.ndim != 1:
        raise InputError(f"{path}: has no array 'tokens' of strings; add one beside 'vectors'")
    if not _are_characters(tokens):
        raise InputError(f"{path}: its array 'tokens' holds what is no character; write it again")
    return _from_arrays(path, arrays, tokens.tolist(), limit)


def _check_claims(path: Path) -> None:
    """Raise InputError for an array that claims more than its file in the archive holds.

    Otherwise the memory for it would be taken before anything is read.
    """
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.filename.removesuffix(".npy") not in _ARRAYS:
                continue
            if member.file_size > max(_FREE_BYTES, _MAX_RATIO * member.compress_size):
                raise InputError(
                    f"{path}: {member.filename} expands from "
                    f"{counted(member.compress_size, 'byte')} to {member.file_size:,}, as a "
                    f"decompression bomb does; save it uncompressed"
                )
            with archive.open(member) as file:
                version = np.lib.format.read_magic(file)
                read = np.lib.format.read_array_header_2_0
                if version == (1, 0):
                    read = np.lib.format.read_array_header_1_0
                shape, _, dtype = read(file)
                n_bytes = math.prod(shape) * dtype.itemsize
                if not dtype.hasobject and n_bytes > member.file_size:
                    raise InputError(
                        f"{path}: {member.filename} claims {dtype} {shape}, "
                        f"{counted(n_bytes, 'byte')}, and holds {member.file_size:,}; fetch it "
                        f"again"
                    )


def _are_characters(tokens: NDArray[Any]) -> bool:
    if not tokens.size or not tokens.dtype.itemsize:
        return True
    codes = np.ascontiguousarray(tokens, tokens.dtype.newbyteorder("=")).view(np.uint32)
    return int(codes.max()) <= sys.maxunicode


def _from_arrays(
    path: Path, arrays: Mapping[str, NDArray[Any]], tokens: list[str], limit: int | None
) -> ReadVectors:
    matrix, counts = arrays.get("vectors"), arrays.get("counts")
    is_matrix = matrix is not None and matrix.ndim == 2 and matrix.dtype.kind == "f"
    if matrix is None or not is_matrix or len(matrix) != len(tokens):
        shape = "nothing" if matrix is None else f"{matrix.dtype} {matrix.shape}"
        raise InputError(
            f"{path}: 'vectors' is {shape}, expected a float for each of "
            f"{counted(len(tokens), 'token')} and each value"
        )
    if counts is not None and (counts.shape != (len(tokens),) or counts.dtype.kind not in "iu"):
        raise InputError(
            f"{path}: 'counts' is {counts.dtype} {counts.shape}, expected a number each"
        )
    if counts is not None and len(counts) and int(counts.max()) > np.iinfo(np.int64).max:
        raise InputError(f"{path}: 'counts' has {counts.max()}, which is no count; correct it")
    return ReadVectors(
        tokens[:limit],
        as_float32(matrix[:limit]),
        None if counts is None else counts[:limit].astype(np.int64),
        _ngrams(path, arrays),
    )


def _ngrams(path: Path, arrays: Mapping[str, NDArray[Any]]) -> Ngrams | None:
    if not any(name in arrays for name in _NGRAM_ARRAYS):
        return None
    sizes, buckets, rows = (arrays.get(name) for name in _NGRAM_ARRAYS)
    if sizes is None or buckets is None or rows is None:
        raise InputError(f"{path}: needs all of {', '.join(_NGRAM_ARRAYS)}, or none")
    are_numbers = sizes.dtype.kind in "iu" and buckets.dtype.kind in "iu" and rows.dtype.kind == "f"
    if not are_numbers or sizes.shape != (3,) or buckets.ndim != 1 or rows.ndim != 2:
        found = ", ".join(
            f"'{name}' is {array.dtype} {array.shape}"
            for name, array in zip(_NGRAM_ARRAYS, (sizes, buckets, rows), strict=True)
        )
        raise InputError(
            f"{path}: {found}; expected min_n, max_n and bucket, a number for each n-gram, and a "
            f"row of floats for each"
        )
    min_n, max_n, bucket = sizes.tolist()
    return Ngrams(min_n, max_n, bucket, _as_int32(path, buckets), as_float32(rows))


def _as_int32(path: Path, buckets: NDArray[Any]) -> NDArray[np.int32]:
    found = buckets.astype(np.int32)
    if (found != buckets).any():
        raise InputError(f"{path}: 'ngram_buckets' has {buckets.max()}, which is no bucket")
    return found
