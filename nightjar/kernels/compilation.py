"""Compiling kernels with numba, and the compiler flags, which shape their results.

Machine code is cached between runs (:mod:`.machine_code`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import numba

from nightjar.kernels.machine_code import keep_machine_code

P = ParamSpec("P")
R = TypeVar("R")

_FAST_SUMS = frozenset(("reassoc", "contract", "nsz", "arcp"))
"""Sums in any order, fused multiply-add, reciprocals; NaN and infinities stay exact."""


def compiled(*, has_fast_sums: bool = False) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorator: compile a function on its first call, to run without the interpreter lock.

    Division by zero gives an infinity or NaN, as in numpy: the check that Python's
    ZeroDivisionError would need keeps loops from being vectorized (3.5 times slower).
    ``has_fast_sums`` lets the compiler reorder float sums, which vectorizes them; results are still
    reproducible on one machine.
    """

    def compile_lazily(function: Callable[P, R]) -> Callable[P, R]:
        dispatcher: Any = numba.njit(
            nogil=True,
            error_model="numpy",
            fastmath=set(_FAST_SUMS) if has_fast_sums else False,
        )(function)
        keep_machine_code(dispatcher, function)
        return cast("Callable[P, R]", dispatcher)

    return compile_lazily


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: inline the function into kernels, so that their constants stay constant."""
    return cast("Callable[P, R]", numba.njit(inline="always")(function))
