"""Generating LLVM code for rows of float32: shared by the intrinsics of the kernels.

A row is a number of chunks, vectors of 16 float32, which LLVM maps to the vectors of any processor.
Within a kernel the number of chunks is a constant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numba
from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16
"""Values in a vector; rows are padded with zeros to a multiple of it."""

FLOAT = ir.FloatType()
INT32 = ir.IntType(32)
INT64 = ir.IntType(64)
VECTOR = ir.VectorType(FLOAT, LANES)
_CONFIG: Any = numba.config


def in_kernels(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: the function types its calls and generates their code; constants are literals."""
    return cast("Callable[..., Any]", intrinsic(prefer_literal=True)(function))


class VectorCode:
    """Generates instructions at a place in a kernel, for rows of ``n_chunks``."""

    def __init__(self, context: Any, builder: Any, n_chunks: int) -> None:
        self.context = context
        self.builder = builder
        self.n_chunks = n_chunks

    def constant(self, value: float) -> Any:
        """A vector with ``value`` in every lane."""
        return ir.Constant(VECTOR, [value] * LANES)

    def call(self, name: str, kind: Any, *arguments: Any) -> Any:
        """Call the LLVM function ``name``, declared on its first use."""
        function_type = ir.FunctionType(kind, [argument.type for argument in arguments])
        module = self.builder.module
        declare: Any = cgutils.get_or_insert_function
        function = declare(module, function_type, name)
        return self.builder.call(function, arguments)

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        """A * b + c, in each lane."""
        return self.call("llvm.fmuladd.v16f32", VECTOR, a, b, c)

    def shuffle(self, a: Any, b: Any, lanes: Sequence[int]) -> Any:
        """The numbered lanes of a, followed by b."""
        mask = ir.Constant(ir.VectorType(INT32, len(lanes)), list(lanes))
        return self.builder.shuffle_vector(a, b, mask)

    def splat(self, scalar: Any) -> Any:
        """A vector with ``scalar`` in every lane."""
        undefined = ir.Constant(VECTOR, ir.Undefined)
        first = self.builder.insert_element(undefined, scalar, ir.Constant(INT32, 0))
        return self.shuffle(first, undefined, [0] * LANES)

    def address(self, pointer: Any, index: Any, kind: Any) -> Any:
        """Address of a value, for access as ``kind``."""
        return self.builder.bitcast(self.builder.gep(pointer, [index]), kind.as_pointer())

    def load(self, pointer: Any, index: Any, kind: Any = VECTOR) -> Any:
        """Load; rows need not be aligned."""
        return self.builder.load(self.address(pointer, index, kind), align=4)

    def store(self, value: Any, pointer: Any, index: Any) -> None:
        """Store; rows need not be aligned."""
        self.builder.store(value, self.address(pointer, index, value.type), align=4)

    def row(self, matrix: Any, row: Any) -> Any:
        """Address of the first value of a row of an array, with numba's bounds check."""
        builder = self.builder
        if _CONFIG.BOUNDSCHECK:
            n_rows = builder.extract_value(matrix.shape, 0)
            is_outside = builder.icmp_unsigned(">=", row, n_rows)
            with builder.if_then(is_outside, likely=False):
                message = ("a row lies outside of its matrix",)
                self.context.call_conv.return_user_exc(builder, IndexError, message)
        width = ir.Constant(INT64, self.n_chunks * LANES)
        return builder.gep(matrix.data, [builder.mul(row, width)])

    def chunks(
        self,
        state: list[Any],
        body: Callable[[Any, list[Any]], list[Any]],
        n_chunks: int | None = None,
    ) -> list[Any]:
        """A loop over the first ``n_chunks`` (default: all) of a row, carrying ``state`` along."""
        builder = self.builder
        before = builder.block
        loop = builder.append_basic_block("chunks")
        after = builder.append_basic_block("chunks.end")
        builder.branch(loop)
        builder.position_at_end(loop)
        offset = builder.phi(INT64)
        carried = [builder.phi(value.type) for value in state]
        results = body(offset, carried)
        following = builder.add(offset, ir.Constant(INT64, LANES))
        offset.add_incoming(ir.Constant(INT64, 0), before)
        offset.add_incoming(following, builder.block)
        for phi, first, result in zip(carried, state, results, strict=True):
            phi.add_incoming(first, before)
            phi.add_incoming(result, builder.block)
        end = ir.Constant(INT64, (n_chunks or self.n_chunks) * LANES)
        builder.cbranch(builder.icmp_unsigned("<", following, end), loop, after)
        builder.position_at_end(after)
        return results
