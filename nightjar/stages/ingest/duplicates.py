"""Duplicates: repeated keys, and near-duplicate texts, which share most of their shingles.

Each shard keeps a MinHash signature of every document (:mod:`~nightjar.kernels.minhash`).
Signatures are split into bands; two documents that agree in a complete band are compared (Indyk and
Motwani 1998; Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", section 3.4).
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from nightjar.config import NearDuplicatesConfig

KEYS_IN_MEMORY = 1 << 18
"""Keys held at once, 16 bytes each with its row; about three times that while sorting."""


class RepeatedKeys:
    """Finds the rows that share a key with another row.

    Beyond KEYS_IN_MEMORY keys they are partitioned into files by value, so that equal keys are in
    the same file, and the files are processed one by one. ``n_expected`` is an upper bound on the
    number of keys; ``directory`` is created if files are needed, and removed at the end.
    """

    def __init__(self, n_expected: int, directory: Path) -> None:
        self._n_buckets = max(1, -(-n_expected // KEYS_IN_MEMORY))
        self._directory = directory
        self._held: list[NDArray[np.uint64]] = []
        self._n_held = 0

    def __enter__(self) -> Self:
        if self._n_buckets > 1:
            self._directory.mkdir()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        shutil.rmtree(self._directory, ignore_errors=True)

    def add(self, keys: NDArray[np.uint64], rows: NDArray[np.int64]) -> None:
        """Add one key for each of ``rows``, both of shape (n,); a row may have several keys."""
        pairs = np.empty((len(keys), 2), np.uint64)
        pairs[:, 0] = keys
        pairs[:, 1] = rows.astype(np.uint64)
        self._held.append(pairs)
        self._n_held += len(pairs)
        if self._n_buckets > 1 and self._n_held >= KEYS_IN_MEMORY:
            self._spill()

    def _spill(self) -> None:
        """Move the keys in memory to the files."""
        pairs = np.concatenate(self._held)
        self._held, self._n_held = [], 0
        bucket = (pairs[:, 0] >> np.uint64(32)) % np.uint64(self._n_buckets)
        order = np.argsort(bucket, kind="stable")
        ends = np.cumsum(np.bincount(bucket.astype(np.int64), minlength=self._n_buckets))
        start = 0
        for number, end in enumerate(ends.tolist()):
            if end > start:
                with (self._directory / f"{number:05d}").open("ab") as stream:
                    stream.write(pairs[order[start:end]].tobytes())
            start = end

    def rows(self) -> Iterator[NDArray[np.int64]]:
        """The rows that share a key with another, unordered, possibly repeated."""
        for pairs in self._buckets():
            order = np.argsort(pairs[:, 0], kind="stable")
            keys, rows = pairs[order, 0], pairs[order, 1]
            meets_other = (keys[1:] == keys[:-1]) & (rows[1:] != rows[:-1])
            shared = np.zeros(len(keys), np.bool_)
            shared[1:] |= meets_other
            shared[:-1] |= meets_other
            yield rows[shared].astype(np.int64)

    def _buckets(self) -> Iterator[NDArray[np.uint64]]:
        if self._n_buckets == 1:
            if self._held:
                yield np.concatenate(self._held)
            return
        if self._held:
            self._spill()
        for path in sorted(self._directory.iterdir()):
            yield np.fromfile(path, np.uint64).reshape(-1, 2)


N_BINS = 128
"""Values of a signature: the estimate of a similarity of 0.8 has a standard error of 0.035."""
SIGNATURE_BYTES = 4 * N_BINS
_LEAST_RECALL = 0.99
"""Probability that two documents are compared whose similarity is just the threshold."""
_TEXTS_AT_ONCE = 512
_BYTES_AT_ONCE = 4_000_000
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Bands:
    """How signatures are split: ``n_bands`` of ``n_rows`` values each."""

    n_bands: int
    n_rows: int

    @classmethod
    def of(cls, threshold: float) -> Bands:
        """The longest bands that find a pair at the threshold with probability _LEAST_RECALL."""
        for n_rows in range(N_BINS // 2, 1, -1):
            n_bands = N_BINS // n_rows
            if 1 - (1 - threshold**n_rows) ** n_bands >= _LEAST_RECALL:
                return cls(n_bands, n_rows)
        return cls(N_BINS, 1)

    def keys(self, signatures: NDArray[np.uint32]) -> NDArray[np.uint64]:
        """A number for each band, (n, n_bands); equal numbers mean equal bands."""
        used = signatures[:, : self.n_bands * self.n_rows].astype(np.uint64)
        cut = used.reshape(len(signatures), self.n_bands, self.n_rows)
        keys = np.broadcast_to(np.arange(self.n_bands, dtype=np.uint64), cut.shape[:2]).copy()
        for row in range(self.n_rows):
            keys = (keys ^ cut[:, :, row]) * _MULTIPLIER
            keys ^= keys >> np.uint64(29)
        return keys


def decoded(column: pa.FixedSizeBinaryArray) -> NDArray[np.uint32]:
    """The signatures in a column of bytes, (n, N_BINS)."""
    values = np.frombuffer(column.buffers()[1], np.uint32).reshape(-1, N_BINS)
    return values[column.offset : column.offset + len(column)]


class SignatureWriter:
    """Signs texts, a few hundred at a time, and writes a row for each signature."""

    def __init__(
        self, config: NearDuplicatesConfig, writer: pq.ParquetWriter, schema: pa.Schema
    ) -> None:
        self._n_words = config.shingle
        self._writer = writer
        self._schema = schema
        self._texts: list[str] = []
        self._n_chars = 0

    def add(self, text: str) -> None:
        """Sign ``text``, now or later."""
        self._texts.append(text)
        self._n_chars += len(text)
        if len(self._texts) >= _TEXTS_AT_ONCE or self._n_chars >= _BYTES_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write the remaining rows as a row group."""
        if self._texts:
            found = signatures_of(pa.array(self._texts, pa.large_string()), self._n_words)
            column = pa.FixedSizeBinaryArray.from_buffers(
                pa.binary(SIGNATURE_BYTES), len(found), [None, pa.py_buffer(found)]
            )
            self._writer.write_table(pa.table([column], schema=self._schema))
        self._texts.clear()
        self._n_chars = 0


def signatures_of(texts: pa.LargeStringArray, n_words: int) -> NDArray[np.uint32]:
    """The signatures of ``texts``, without nulls: (n, N_BINS)."""
    from nightjar.kernels.minhash import sign_texts  # noqa: PLC0415  # numba is slow to import

    _, offset_buffer, data = texts.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    signatures = np.empty((len(texts), N_BINS), np.uint32)
    hashes = np.empty(int(np.diff(offsets).max(initial=0)), np.uint64)
    sign_texts(np.frombuffer(data or b"", np.uint8), offsets, n_words, hashes, signatures)
    return signatures


class NearDuplicates:
    """The kept documents by band. Memory: about 600 bytes for each, and its bands."""

    def __init__(self, config: NearDuplicatesConfig) -> None:
        self._threshold = config.threshold
        self._bands = Bands.of(config.threshold)
        self._signatures: list[NDArray[np.uint32]] = []
        self._doc_ids: list[str] = []
        self._by_band: defaultdict[int, list[int]] = defaultdict(list)

    def find(self, signature: NDArray[np.uint32]) -> tuple[str, float] | None:
        """The most similar kept document and its similarity, if that is high enough.

        A text without words is similar to none.
        """
        if not signature.any():
            return None
        met = sorted(
            {number for key in self._keys(signature) for number in self._by_band.get(key, ())}
        )
        if not met:
            return None
        others = np.stack([self._signatures[number] for number in met])
        similarities = (others == signature).mean(axis=1)
        best = int(similarities.argmax())  # the first of the best
        if similarities[best] < self._threshold:
            return None
        return self._doc_ids[met[best]], float(similarities[best])

    def add(self, doc_id: str, signature: NDArray[np.uint32]) -> None:
        """Keep a document."""
        if not signature.any():
            return
        for key in self._keys(signature):
            self._by_band[key].append(len(self._doc_ids))
        self._doc_ids.append(doc_id)
        self._signatures.append(signature.copy())

    def _keys(self, signature: NDArray[np.uint32]) -> list[int]:
        keys: list[int] = self._bands.keys(signature[np.newaxis])[0].tolist()
        return keys
