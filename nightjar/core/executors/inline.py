"""One piece after the other, in this thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from nightjar.core.executors.base import Advance, Executor, Piece, Result


class _Inline:
    n_workers = 1
    is_cluster = False

    def release(self) -> None:
        pass

    def map(
        self,
        function: Callable[[Piece, Advance], Result],
        pieces: Sequence[Piece],
        advance: Advance,
    ) -> Iterator[Result]:
        for piece in pieces:
            yield function(piece, advance)


INLINE: Executor = _Inline()
"""For little work: there is nothing to start."""

INLINE_BYTES = 8 << 20
"""Less compressed text than this is not worth the start of processes."""
