"""What every executor does, and the plainest of them: pieces here, one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

Piece = TypeVar("Piece")
Result = TypeVar("Result")


class Advance(Protocol):
    """Told how much more is done, in the unit of the stage's progress."""

    def __call__(self, amount: float, note: str = "", /) -> None:
        """``amount`` more units are done; ``note`` is a short live remark."""


class Executor(Protocol):
    """Does the pieces of a stage."""

    @property
    def n_workers(self) -> int:
        """How many pieces are done at once."""

    @property
    def is_cluster(self) -> bool:
        """Whether its workers may be other machines, with memory and cores of their own.

        Work that threads of this process do as well is better done by them where they are not.
        """

    def release(self) -> None:
        """Let go of what is held between two maps; the next one may take longer to start."""

    def map(
        self,
        function: Callable[[Piece, Advance], Result],
        pieces: Sequence[Piece],
        advance: Advance,
    ) -> Iterator[Result]:
        """``function`` of each piece, in the order of the pieces.

        An error of the function is raised as soon as it is known; pieces that are not done by
        then are given up. Raises WorkerLost when workers end again and again without a result, or
        when there is none for long.
        """


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
