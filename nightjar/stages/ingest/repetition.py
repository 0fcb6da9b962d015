"""Which of very many keys occur more than once, in bounded memory."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

KEYS_IN_MEMORY = 1 << 18
"""Held at once, of 16 bytes each with its row; some three times that while they are sorted."""


class RepeatedKeys:
    """Collects keys of rows, and says which rows share a key with another row.

    Beyond KEYS_IN_MEMORY keys they are put into files by their value, so that equal ones lie in
    the same file, and the files are gone through one by one. ``n_expected`` is how many keys
    will come, at most; ``directory`` is made where files are needed, and removed at the end.
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
        """One key for each of ``rows``, both of shape (n,); a row may come with several keys."""
        pairs = np.empty((len(keys), 2), np.uint64)
        pairs[:, 0] = keys
        pairs[:, 1] = rows.astype(np.uint64)
        self._held.append(pairs)
        self._n_held += len(pairs)
        if self._n_buckets > 1 and self._n_held >= KEYS_IN_MEMORY:
            self._spill()

    def _spill(self) -> None:
        """Put what is held into the files."""
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
        """The rows that share a key with another, in no order, some perhaps several times."""
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
