"""One AdaGrad step of GloVe on the rows of two words, as LLVM vectors of 16 float32.

A word's row holds four vectors of 16 * n_chunks values, end to end, so that all of it is one
stretch of memory: the word vector, its sums of squared gradients, the context vector, and
its sums. The last two lanes make the biases part of the product: those of a word vector are
its bias and 1, those of a context vector are 1 and its bias. The ones never move.

numba's own compiler does not find these loops: it cannot know that two rows of one array do
not overlap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LANES = 16
"""Values of a vector."""
WORD_BIAS, WORD_ONE = CONTEXT_ONE, CONTEXT_BIAS = LANES - 2, LANES - 1
"""Lanes of a vector's last chunk."""
N_EXTRA = 2
"""How many these are."""


def _in_kernels(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: the function types and writes the code of its calls; constants are literals."""
    return cast("Callable[..., Any]", intrinsic(prefer_literal=True)(function))


_FLOAT = ir.FloatType()
_INT32 = ir.IntType(32)
_INT64 = ir.IntType(64)
_VECTOR = ir.VectorType(_FLOAT, LANES)
_WORD, _CONTEXT = 0, 2
"""Parts of a row; the sums of squares are the part behind each."""


@_in_kernels
def pair_products(_context: Any, rows: Any, a: Any, b: Any, n_chunks: Any) -> Any:
    """Word vector a with context vector b, and word vector b with context vector a.

    ``rows`` float32 (n_words, 4 * 16 * n_chunks); biases are part of the products.
    ``n_chunks`` is a constant. Nothing is checked: rows must exist.
    """
    if not isinstance(n_chunks, types.IntegerLiteral):
        return None
    tuple_type: Any = types.UniTuple
    result = tuple_type(types.float32, 2)
    signature = result(rows, types.int64, types.int64, n_chunks)

    def generate(context: Any, builder: Any, signature: Any, arguments: Sequence[Any]) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        code = _RowCode(builder, data, n_chunks.literal_value)
        products = code.products(code.row(arguments[1]), code.row(arguments[2]))
        return context.make_tuple(builder, result, products)

    return signature, generate


@_in_kernels
def step_pair(
    _context: Any, rows: Any, a: Any, b: Any, step_ab: Any, step_ba: Any, n_chunks: Any
) -> Any:
    """AdaGrad's step on word a with context b, and on word b with context a; a is not b.

    A step is the learning rate times the loss's derivative by the product. ``rows`` and
    ``n_chunks`` as in :func:`pair_products`.
    """
    if not isinstance(n_chunks, types.IntegerLiteral):
        return None
    signature = types.void(rows, types.int64, types.int64, types.float32, types.float32, n_chunks)

    def generate(context: Any, builder: Any, signature: Any, arguments: Sequence[Any]) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        code = _RowCode(builder, data, n_chunks.literal_value)
        a, b = code.row(arguments[1]), code.row(arguments[2])
        code.step([(a, b, arguments[3]), (b, a, arguments[4])])
        return context.get_dummy_value()

    return signature, generate


@_in_kernels
def step_single(_context: Any, rows: Any, a: Any, b: Any, step: Any, n_chunks: Any) -> Any:
    """AdaGrad's step on word a with context b, which may be the same word."""
    if not isinstance(n_chunks, types.IntegerLiteral):
        return None
    signature = types.void(rows, types.int64, types.int64, types.float32, n_chunks)

    def generate(context: Any, builder: Any, signature: Any, arguments: Sequence[Any]) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        code = _RowCode(builder, data, n_chunks.literal_value)
        code.step([(code.row(arguments[1]), code.row(arguments[2]), arguments[3])])
        return context.get_dummy_value()

    return signature, generate


class _RowCode:
    """Writes the instructions."""

    def __init__(self, builder: Any, data: Any, n_chunks: int) -> None:
        self._builder = builder
        self._data = data
        self._width = n_chunks * LANES

    def row(self, number: Any) -> Any:
        """Address of the first value of a word's row."""
        width = ir.Constant(_INT64, 4 * self._width)
        return self._builder.gep(self._data, [self._builder.mul(number, width)])

    def products(self, a: Any, b: Any) -> list[Any]:
        """Word a with context b, and word b with context a."""

        def body(offset: Any, sums: list[Any]) -> list[Any]:
            return [
                self._multiply_add(
                    self._load(word, _WORD, offset), self._load(context, _CONTEXT, offset), total
                )
                for (word, context), total in zip([(a, b), (b, a)], sums, strict=True)
            ]

        zeros = ir.Constant(_VECTOR, [0.0] * LANES)
        return [self._sum(total) for total in self._chunks(self._width, [zeros, zeros], body)]

    def step(self, pairs: Sequence[tuple[Any, Any, Any]]) -> None:
        """The steps of pairs (row of the word, row of the context, step), no vector twice."""
        splats = [self._splat(step) for _, _, step in pairs]

        def body(offset: Any, _state: list[Any]) -> list[Any]:
            self._step_chunk(pairs, offset, splats, splats)
            return []

        last = self._width - LANES
        if last:
            self._chunks(last, [], body)
        self._step_chunk(
            pairs,
            ir.Constant(_INT64, last),
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
            word_values = self._load(word, _WORD, offset)
            context_values = self._load(context, _CONTEXT, offset)
            word_gradient = self._builder.fmul(word_step, context_values)
            context_gradient = self._builder.fmul(context_step, word_values)
            gradients.append((word, _WORD, word_values, word_gradient))
            gradients.append((context, _CONTEXT, context_values, context_gradient))
        squares = [self._load(row, part + 1, offset) for row, part, _, _ in gradients]
        for (row, part, values, gradient), sums in zip(gradients, squares, strict=True):
            self._move(row, part, offset, values, sums, gradient)

    def _move(
        self, row: Any, part: int, offset: Any, values: Any, squares: Any, gradient: Any
    ) -> None:
        """Store a part's moved values, and behind them the squares with this gradient's.

        Where compiled with fast sums, LLVM divides by the root through the processor's
        estimate of 1 / sqrt(x) and a Newton step, if it has one.
        """
        root = self._call("llvm.sqrt.v16f32", squares)
        moved = self._builder.fsub(values, self._builder.fdiv(gradient, root))
        self._store(moved, row, part, offset)
        self._store(self._multiply_add(gradient, gradient, squares), row, part + 1, offset)

    # -- values and memory -----------------------------------------------------------------

    def _call(self, name: str, *arguments: Any) -> Any:
        function_type = ir.FunctionType(_VECTOR, [_VECTOR] * len(arguments))
        declare: Any = cgutils.get_or_insert_function
        return self._builder.call(declare(self._builder.module, function_type, name), arguments)

    def _multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        return self._call("llvm.fmuladd.v16f32", a, b, c)

    def _splat(self, scalar: Any) -> Any:
        undefined = ir.Constant(_VECTOR, ir.Undefined)
        first = self._builder.insert_element(undefined, scalar, ir.Constant(_INT32, 0))
        mask = ir.Constant(ir.VectorType(_INT32, LANES), [0] * LANES)
        return self._builder.shuffle_vector(first, undefined, mask)

    def _with_zero(self, vector: Any, lane: int) -> Any:
        zero = ir.Constant(_FLOAT, 0.0)
        return self._builder.insert_element(vector, zero, ir.Constant(_INT32, lane))

    def _sum(self, vector: Any) -> Any:
        """The sum of the lanes, by halves."""
        builder, n = self._builder, LANES
        while n > 1:
            n //= 2
            lanes = [*range(n, 2 * n), *[0] * (LANES - n)]
            mask = ir.Constant(ir.VectorType(_INT32, LANES), lanes)
            vector = builder.fadd(vector, builder.shuffle_vector(vector, vector, mask))
        return builder.extract_element(vector, ir.Constant(_INT32, 0))

    def _address(self, row: Any, part: int, offset: Any) -> Any:
        index = self._builder.add(offset, ir.Constant(_INT64, part * self._width))
        return self._builder.bitcast(self._builder.gep(row, [index]), _VECTOR.as_pointer())

    def _load(self, row: Any, part: int, offset: Any) -> Any:
        return self._builder.load(self._address(row, part, offset), align=4)

    def _store(self, value: Any, row: Any, part: int, offset: Any) -> None:
        self._builder.store(value, self._address(row, part, offset), align=4)

    def _chunks(
        self, end: int, state: list[Any], body: Callable[[Any, list[Any]], list[Any]]
    ) -> list[Any]:
        """A loop over the chunks below ``end`` that carries ``state`` along."""
        builder = self._builder
        before = builder.block
        loop = builder.append_basic_block("chunks")
        after = builder.append_basic_block("chunks.end")
        builder.branch(loop)
        builder.position_at_end(loop)
        offset = builder.phi(_INT64)
        carried = [builder.phi(value.type) for value in state]
        results = body(offset, carried)
        following = builder.add(offset, ir.Constant(_INT64, LANES))
        offset.add_incoming(ir.Constant(_INT64, 0), before)
        offset.add_incoming(following, builder.block)
        for phi, first, result in zip(carried, state, results, strict=True):
            phi.add_incoming(first, before)
            phi.add_incoming(result, builder.block)
        stays = builder.icmp_unsigned("<", following, ir.Constant(_INT64, end))
        builder.cbranch(stays, loop, after)
        builder.position_at_end(after)
        return results
