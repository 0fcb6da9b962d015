"""One AdaGrad step of GloVe on the rows of two words, as LLVM vectors of 16 float32.

A word's row holds four vectors of 16 * n_chunks values in contiguous memory: the word vector, its
sums of squared gradients, the context vector, and its sums. The last two lanes make the biases part
of the product: those of a word vector are its bias and 1, those of a context vector are 1 and its
bias. The ones never change.

numba's own compiler does not vectorize these loops: it cannot know that two rows of one array do
not overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba.core import types

from nightjar.kernels.vector_code import (
    FLOAT,
    INT32,
    INT64,
    LANES,
    VECTOR,
    VectorCode,
    in_kernels,
)

WORD_BIAS, WORD_ONE = CONTEXT_ONE, CONTEXT_BIAS = LANES - 2, LANES - 1
"""Lanes of a vector's last chunk."""
N_EXTRA = 2
"""Number of these lanes."""


_WORD, _CONTEXT = 0, 2
"""Parts of a row; the sums of squares are the part after each."""


@in_kernels
def pair_products(_context: Any, rows: Any, a: Any, b: Any, n_chunks: Any) -> Any:
    """Word vector a with context vector b, and word vector b with context vector a.

    ``rows`` float32 (n_words, 4 * 16 * n_chunks); biases are part of the products. ``n_chunks`` is
    a constant. Rows must exist; this is only checked with NUMBA_BOUNDSCHECK.
    """
    if not isinstance(n_chunks, types.IntegerLiteral):
        return None
    tuple_type: Any = types.UniTuple
    result = tuple_type(types.float32, 2)
    signature = result(rows, types.int64, types.int64, n_chunks)

    def generate(context: Any, builder: Any, signature: Any, arguments: Sequence[Any]) -> Any:
        rows = context.make_array(signature.args[0])(context, builder, arguments[0])
        code = _RowCode(context, builder, n_chunks.literal_value)
        products = code.products(code.row(rows, arguments[1]), code.row(rows, arguments[2]))
        return context.make_tuple(builder, result, products)

    return signature, generate


@in_kernels
def step_pair(
    _context: Any, rows: Any, a: Any, b: Any, step_ab: Any, step_ba: Any, n_chunks: Any
) -> Any:
    """AdaGrad's step on word a with context b, and on word b with context a; a is not b.

    A step is the learning rate times the derivative of the loss with respect to the product.
    ``rows`` and ``n_chunks`` as in :func:`pair_products`.
    """
    if not isinstance(n_chunks, types.IntegerLiteral):
        return None
    signature = types.void(rows, types.int64, types.int64, types.float32, types.float32, n_chunks)

    def generate(context: Any, builder: Any, signature: Any, arguments: Sequence[Any]) -> Any:
        rows = context.make_array(signature.args[0])(context, builder, arguments[0])
        code = _RowCode(context, builder, n_chunks.literal_value)
        a, b = code.row(rows, arguments[1]), code.row(rows, arguments[2])
        code.step([(a, b, arguments[3]), (b, a, arguments[4])])
        return context.get_dummy_value()

    return signature, generate


@in_kernels
def step_single(_context: Any, rows: Any, a: Any, b: Any, step: Any, n_chunks: Any) -> Any:
    """AdaGrad's step on word a with context b, which may be the same word."""
    if not isinstance(n_chunks, types.IntegerLiteral):
        return None
    signature = types.void(rows, types.int64, types.int64, types.float32, n_chunks)

    def generate(context: Any, builder: Any, signature: Any, arguments: Sequence[Any]) -> Any:
        rows = context.make_array(signature.args[0])(context, builder, arguments[0])
        code = _RowCode(context, builder, n_chunks.literal_value)
        code.step([(code.row(rows, arguments[1]), code.row(rows, arguments[2]), arguments[3])])
        return context.get_dummy_value()

    return signature, generate


class _RowCode(VectorCode):
    """Writes the instructions for rows of four vectors of ``n_chunks``."""

    def __init__(self, context: Any, builder: Any, n_chunks: int) -> None:
        super().__init__(context, builder, 4 * n_chunks)
        self._part_chunks = n_chunks

    def products(self, a: Any, b: Any) -> list[Any]:
        """Word a with context b, and word b with context a."""

        def body(offset: Any, sums: list[Any]) -> list[Any]:
            return [
                self.multiply_add(
                    self.load(word, self._place(_WORD, offset)),
                    self.load(context, self._place(_CONTEXT, offset)),
                    total,
                )
                for (word, context), total in zip([(a, b), (b, a)], sums, strict=True)
            ]

        zeros = self.constant(0.0)
        return [self._sum(total) for total in self.chunks([zeros] * 2, body, self._part_chunks)]

    def step(self, pairs: Sequence[tuple[Any, Any, Any]]) -> None:
        """The steps of pairs (row of the word, row of the context, step) without common vectors."""
        splats = [self.splat(step) for _, _, step in pairs]

        def body(offset: Any, _state: list[Any]) -> list[Any]:
            self._step_chunk(pairs, offset, splats, splats)
            return []

        last = self._part_chunks - 1
        if last:
            self.chunks([], body, last)
        self._step_chunk(
            pairs,
            ir.Constant(INT64, last * LANES),
            [self._with_zero(splat, WORD_ONE) for splat in splats],
            [self._with_zero(splat, CONTEXT_ONE) for splat in splats],
        )

    def _step_chunk(
        self,
        pairs: Sequence[tuple[Any, Any, Any]],
        offset: Any,
        word_steps: Sequence[Any],
        context_steps: Sequence[Any],
    ) -> None:
        """The steps of 16 lanes; everything is read before anything is written."""
        gradients = []
        for (word, context, _), word_step, context_step in zip(
            pairs, word_steps, context_steps, strict=True
        ):
            word_values = self.load(word, self._place(_WORD, offset))
            context_values = self.load(context, self._place(_CONTEXT, offset))
            word_gradient = self.builder.fmul(word_step, context_values)
            context_gradient = self.builder.fmul(context_step, word_values)
            gradients.append((word, _WORD, word_values, word_gradient))
            gradients.append((context, _CONTEXT, context_values, context_gradient))
        squares = [self.load(row, self._place(part + 1, offset)) for row, part, _, _ in gradients]
        for (row, part, values, gradient), sums in zip(gradients, squares, strict=True):
            self._move(row, part, offset, values, sums, gradient)

    def _move(
        self, row: Any, part: int, offset: Any, values: Any, squares: Any, gradient: Any
    ) -> None:
        """Store a part's updated values, and after them its squares with this gradient's added.

        With fast sums, LLVM divides by the root using the processor's estimate of 1 / sqrt(x) and a
        Newton step, if there is one.
        """
        root = self.call("llvm.sqrt.v16f32", VECTOR, squares)
        moved = self.builder.fsub(values, self.builder.fdiv(gradient, root))
        self.store(moved, row, self._place(part, offset))
        total = self.multiply_add(gradient, gradient, squares)
        self.store(total, row, self._place(part + 1, offset))

    # -- parts of a row ----------------------------------------------------------------------

    def _with_zero(self, vector: Any, lane: int) -> Any:
        zero = ir.Constant(FLOAT, 0.0)
        return self.builder.insert_element(vector, zero, ir.Constant(INT32, lane))

    def _sum(self, vector: Any) -> Any:
        """The sum of the lanes, by repeated halving."""
        n = LANES
        while n > 1:
            n //= 2
            halves = self.shuffle(vector, vector, [*range(n, 2 * n), *[0] * (LANES - n)])
            vector = self.builder.fadd(vector, halves)
        return self.builder.extract_element(vector, ir.Constant(INT32, 0))

    def _place(self, part: int, offset: Any) -> Any:
        return self.builder.add(offset, ir.Constant(INT64, part * self._part_chunks * LANES))
