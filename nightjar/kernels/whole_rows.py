"""Adding complete rows: one to another, many to one, and one to many.

Rows are float32 of 16 * ``n_chunks`` values, a constant at compile time. Rows must exist; this is
only checked with NUMBA_BOUNDSCHECK. In the functions for many rows, a number below ``n_copied``
stands for its copy, row ``first_copy`` + number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba.core import types

from nightjar.kernels.vector_code import INT32, INT64, LANES, VectorCode, in_kernels

_CHUNKS_AT_ONCE = 14
"""Chunks of a row that stay in registers while looping over many rows."""


@in_kernels
def add_scaled_row(
    _context: Any,
    targets: Any,
    target: Any,
    sources: Any,
    source: Any,
    scale: Any,
    n_chunks: Any,
) -> Any:
    """Add ``scale`` times row ``source`` of ``sources`` to row ``target`` of ``targets``."""
    if not isinstance(n_chunks, types.IntegerLiteral):
        return None
    signature = types.void(targets, types.int64, sources, types.int64, types.float32, n_chunks)

    def write(code: VectorCode, arrays: Sequence[Any], arguments: Sequence[Any]) -> None:
        to, row = code.row(arrays[0], arguments[1]), code.row(arrays[1], arguments[3])
        factor = code.splat(arguments[4])

        def body(offset: Any, _state: list[Any]) -> list[Any]:
            total = code.multiply_add(factor, code.load(row, offset), code.load(to, offset))
            code.store(total, to, offset)
            return []

        code.chunks([], body)

    return signature, _generator((0, 2), n_chunks.literal_value, write)


@in_kernels
def fetch_row(_context: Any, matrix: Any, row: Any, n_chunks: Any) -> Any:
    """Prefetch a row for writing.

    Rows of frequent words are modified in the cache of another core, those of rare words are in
    none; waiting for them took more than half of the time of two threads.
    """
    if not isinstance(n_chunks, types.IntegerLiteral):
        return None
    signature = types.void(matrix, types.int64, n_chunks)

    def write(code: VectorCode, arrays: Sequence[Any], arguments: Sequence[Any]) -> None:
        row = code.row(arrays[0], arguments[1])
        is_write, is_kept_near, is_data = (ir.Constant(INT32, value) for value in (1, 3, 1))
        for chunk in range(code.n_chunks):  # a chunk is a cache line
            line = code.address(row, ir.Constant(INT64, chunk * LANES), ir.IntType(8))
            code.call("llvm.prefetch.p0", ir.VoidType(), line, is_write, is_kept_near, is_data)

    return signature, _generator((0,), n_chunks.literal_value, write)


@in_kernels
def sum_rows(
    _context: Any,
    targets: Any,
    target: Any,
    matrix: Any,
    rows: Any,
    start: Any,
    stop: Any,
    n_copied: Any,
    first_copy: Any,
    scale: Any,
    n_chunks: Any,
) -> Any:
    """Set row ``target`` of ``targets`` to ``scale`` times the sum of many rows of ``matrix``.

    They are ``rows[start:stop]``, int32, at least one.
    """
    if not isinstance(n_chunks, types.IntegerLiteral):
        return None
    signature = types.void(
        targets, types.int64, matrix, rows, types.int64, types.int64, types.int64, types.int64,
        types.float32, n_chunks,
    )  # fmt: skip

    def write(code: VectorCode, arrays: Sequence[Any], arguments: Sequence[Any]) -> None:
        to_array, matrix, rows = arrays
        to = code.row(to_array, arguments[1])
        factor = code.splat(arguments[8])
        for offsets in _offset_groups(code.n_chunks):

            def add(pointer: Any, sums: list[Any], offsets: list[Any] = offsets) -> list[Any]:
                return [
                    code.builder.fadd(total, code.load(pointer, offset))
                    for total, offset in zip(sums, offsets, strict=True)
                ]

            zeros = [code.constant(0.0)] * len(offsets)
            sums = _each_row(code, matrix, rows, arguments[4:8], zeros, add)
            for total, offset in zip(sums, offsets, strict=True):
                code.store(code.builder.fmul(factor, total), to, offset)

    return signature, _generator((0, 2, 3), n_chunks.literal_value, write)


@in_kernels
def add_to_rows(
    _context: Any,
    matrix: Any,
    rows: Any,
    start: Any,
    stop: Any,
    n_copied: Any,
    first_copy: Any,
    sources: Any,
    source: Any,
    n_chunks: Any,
) -> Any:
    """Add row ``source`` of ``sources`` to many rows of ``matrix``: ``rows[start:stop]``, int32.

    There is at least one; a repeated row is updated each time.
    """
    if not isinstance(n_chunks, types.IntegerLiteral):
        return None
    signature = types.void(
        matrix, rows, types.int64, types.int64, types.int64, types.int64, sources, types.int64,
        n_chunks,
    )  # fmt: skip

    def write(code: VectorCode, arrays: Sequence[Any], arguments: Sequence[Any]) -> None:
        matrix, rows, from_array = arrays
        row = code.row(from_array, arguments[7])
        for offsets in _offset_groups(code.n_chunks):
            added = [code.load(row, offset) for offset in offsets]

            def add(
                pointer: Any,
                _state: list[Any],
                offsets: list[Any] = offsets,
                added: list[Any] = added,
            ) -> list[Any]:
                moved = [
                    code.builder.fadd(code.load(pointer, offset), value)
                    for offset, value in zip(offsets, added, strict=True)
                ]
                for offset, value in zip(offsets, moved, strict=True):
                    code.store(value, pointer, offset)
                return []

            _each_row(code, matrix, rows, arguments[2:6], [], add)

    return signature, _generator((0, 1, 6), n_chunks.literal_value, write)


def _generator(
    array_arguments: Sequence[int],
    n_chunks: int,
    write: Callable[[VectorCode, Sequence[Any], Sequence[Any]], None],
) -> Callable[[Any, Any, Any, Sequence[Any]], Any]:
    """The code generator for numba; ``write`` gets the opened arrays."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Sequence[Any]) -> Any:
        arrays = [
            context.make_array(signature.args[i])(context, builder, arguments[i])
            for i in array_arguments
        ]
        write(VectorCode(context, builder, n_chunks), arrays, arguments)
        return context.get_dummy_value()

    return generate


def _offset_groups(n_chunks: int) -> list[list[Any]]:
    """The offsets of a row's chunks, in groups that fit into registers."""
    offsets = [ir.Constant(INT64, chunk * LANES) for chunk in range(n_chunks)]
    return [
        offsets[first : first + _CHUNKS_AT_ONCE] for first in range(0, n_chunks, _CHUNKS_AT_ONCE)
    ]


def _each_row(
    code: VectorCode,
    matrix: Any,
    rows: Any,
    span: Sequence[Any],
    state: list[Any],
    body: Callable[[Any, list[Any]], list[Any]],
) -> list[Any]:
    """A loop over ``rows[start:stop]`` that carries ``state``; ``body`` gets each row's address.

    ``span`` is start, stop, n_copied, first_copy.
    """
    start, stop, n_copied, first_copy = span
    builder = code.builder
    before = builder.block
    loop = builder.append_basic_block("rows")
    after = builder.append_basic_block("rows.end")
    builder.branch(loop)
    builder.position_at_end(loop)
    place = builder.phi(INT64)
    carried = [builder.phi(value.type) for value in state]
    number = builder.sext(builder.load(builder.gep(rows.data, [place])), INT64)
    is_copied = builder.icmp_signed("<", number, n_copied)
    row = builder.select(is_copied, builder.add(number, first_copy), number)
    results = body(code.row(matrix, row), carried)
    following = builder.add(place, ir.Constant(INT64, 1))
    place.add_incoming(start, before)
    place.add_incoming(following, builder.block)
    for phi, first, result in zip(carried, state, results, strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(result, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, stop), loop, after)
    builder.position_at_end(after)
    return results
