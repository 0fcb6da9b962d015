"""The interface of executors, and the simplest one: pieces in this process, one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

Piece = TypeVar("Piece")
Result = TypeVar("Result")


class Advance(Protocol):
    """Receives progress, in the unit of the stage."""

    def __call__(self, amount: float, note: str = "", /) -> None:
        """``amount`` more units are done; ``note`` is a short live remark."""


class Executor(Protocol):
    """Processes the pieces of a stage."""

    @property
    def n_workers(self) -> int:
        """How many pieces are processed at once."""

    @property
    def is_cluster(self) -> bool:
        """Whether its workers may be other machines, with their own memory and cores.

        If not, work that threads of this process can do is better done by them.
        """

    def release(self) -> None:
        """Release resources between two maps; the next one may take longer to start."""

    def map(
        self,
        function: Callable[[Piece, Advance], Result],
        pieces: Sequence[Piece],
        advance: Advance,
    ) -> Iterator[Result]:
        """The result of ``function`` for each piece, in the order of the pieces.

        An error of the function is raised as soon as it is known, and the remaining pieces are
        abandoned. Raises WorkerLost when workers keep ending without a result, or when there is
        none for too long.
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
"""For small work: nothing has to be started."""

INLINE_BYTES = 8 << 20
"""With less compressed text than this, starting processes does not pay off."""
