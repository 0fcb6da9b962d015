"""How far several downloads are, told by the one thread that waits for them."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from nightjar.progress import Progress


class Tally:
    """Counts what threads bring; :meth:`tell` passes it on.

    ``sizes`` are the bytes that are to come of each object, None where only the answer
    tells: once all are known, the progress has a total.
    """

    def __init__(self, progress: Progress, label: str, sizes: Mapping[str, int | None]) -> None:
        self._progress = progress
        self._label = label
        self._sizes = dict(sizes)
        self._lock = threading.Lock()
        self._n_bytes = 0
        self._n_told = 0
        self._name = ""
        self._total = self._sum()
        if sizes:
            progress.start(label, self._total, "B")

    def expect(self, url: str, n_bytes: int | None) -> None:
        """So much is to come of the object at ``url``; called by any thread."""
        with self._lock:
            self._sizes[url] = n_bytes

    def add(self, n_bytes: int, name: str) -> None:
        """So much more came, of the object ``name``; called by any thread."""
        with self._lock:
            self._n_bytes += n_bytes
            self._name = name

    def tell(self) -> None:
        """Tell what came since the last time."""
        with self._lock:
            n_bytes, name = self._n_bytes, self._name
            total = self._sum() if self._total is None else self._total
        if total is not None and self._total is None:
            self._total, self._n_told = total, 0
            self._progress.start(self._label, total, "B")
        if n_bytes > self._n_told:
            self._progress.advance(n_bytes - self._n_told, f"{n_bytes / 1e6:,.1f} MB, {name}")
            self._n_told = n_bytes

    def _sum(self) -> int | None:
        sizes = [size for size in self._sizes.values() if size is not None]
        return sum(sizes) if len(sizes) == len(self._sizes) else None
