"""One step of logistic regression between a few input rows and a few output rows.

Word2Vec's inner loop: for input rows a and output rows b with sign y (+1 for what occurred,
-1 for noise) the loss of a pair is log(1 + exp(-y a.b)) (Mikolov et al. 2013,
arXiv:1310.4546, equation 4), and both rows move along its gradient. One or two input rows
and up to eight output rows make a small matrix product whose sums stay in registers: that
needs a loop that numba's own compiler does not find, so it is written here as LLVM vectors
of 16 float32, which LLVM maps to the vectors of any processor.

All rows of a step are read before any is written. Output rows are written from the last to
the first: a slot that repeats the row of slot 0 with weight 0 has no effect.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LANES = 16
"""Values of a vector; rows are padded with zeros to a multiple of it."""
MAX_SLOTS = 8
"""Output rows of one step, at most."""


def _in_kernels(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: the function types and writes the code of its calls; constants are literals."""
    return cast("Callable[..., Any]", intrinsic(prefer_literal=True)(function))


_CONFIG: Any = numba.config
_FLOAT = ir.FloatType()
_INT32 = ir.IntType(32)
_INT64 = ir.IntType(64)
_VECTOR = ir.VectorType(_FLOAT, LANES)
_INT_VECTOR = ir.VectorType(_INT32, LANES)
_DOUBLE_VECTOR = ir.VectorType(ir.DoubleType(), LANES)
_LIMIT = 80.0
"""Beyond, exp(-|x|) is 0 in float32 for every purpose here."""
_EXP2 = (1.00000008, 0.69314721, 0.24022107, 0.05550327, 0.00967604, 0.00134004)
"""2**x in -0.5..0.5, relative error 1e-7 (fitted at Chebyshev nodes)."""
_LOG1P = (
    0.99999994,
    -0.50000363,
    0.33335112,
    -0.24970047,
    0.19898626,
    -0.1724745,
    0.16233724,
    -0.10131768,
)
"""log(1 + x) / x in sqrt(0.5) - 1..sqrt(2) - 1, relative error 2e-7."""


@_in_kernels
def logistic_step(
    _context: Any,
    inputs: Any,
    errors: Any,
    row_a: Any,
    row_b: Any,
    outputs: Any,
    slots: Any,
    signs: Any,
    weights: Any,
    rate: Any,
    losses: Any,
    n_rows: Any,
    n_slots: Any,
    n_chunks: Any,
) -> Any:
    """Step input rows ``row_a`` (and ``row_b`` if ``n_rows`` is 2) with ``n_slots`` outputs.

    ``inputs``, ``errors``, ``outputs``: float32 of shape (any, 16 * n_chunks); the inputs'
    gradients are added to the same rows of ``errors``, which may be ``inputs``. ``slots``
    int64 (8,): rows of ``outputs``; ``signs``, ``weights`` float32 (8,): +-1, and how often
    the pair counts. ``losses`` float64 (16,): the weighted losses before the step are
    added, and their sum is the loss. ``n_rows``, ``n_slots``, ``n_chunks`` are constants at
    compile time. ``row_a`` and ``row_b`` differ. Rows must exist: only with
    NUMBA_BOUNDSCHECK is that checked.
    """
    constants = (n_rows, n_slots, n_chunks)
    if not all(isinstance(kind, types.IntegerLiteral) for kind in constants):
        return None
    shape = _Shape(*(kind.literal_value for kind in constants))
    signature = types.void(
        inputs, errors, types.int64, types.int64, outputs, slots, signs, weights,
        types.float32, losses, *constants,
    )  # fmt: skip

    def generate(context: Any, builder: Any, signature: Any, arguments: Sequence[Any]) -> Any:
        inputs, errors, outputs, slot_rows, signs, weights, losses = (
            context.make_array(signature.args[i])(context, builder, arguments[i])
            for i in (0, 1, 4, 5, 6, 7, 9)
        )
        code = _StepCode(context, builder, shape)
        rows = [arguments[2], arguments[3]][: shape.n_rows]
        slots = code.load_slots(slot_rows.data)
        code.emit(
            inputs=[code.row(inputs, row) for row in rows],
            errors=[code.row(errors, row) for row in rows],
            outputs=[code.row(outputs, slot) for slot in slots],
            signs=code.load_lanes(signs.data),
            weights=code.load_lanes(weights.data),
            rate=arguments[8],
            losses=losses.data,
        )
        return context.get_dummy_value()

    return signature, generate


@_in_kernels
def add_scaled_row(
    _context: Any,
    targets: Any,
    target: Any,
    sources: Any,
    source: Any,
    scale: Any,
    n_chunks: Any,
) -> Any:
    """Add ``scale`` times row ``source`` of ``sources`` to row ``target`` of ``targets``.

    Both float32 of shape (any, 16 * n_chunks); ``n_chunks`` is a constant.
    """
    if not isinstance(n_chunks, types.IntegerLiteral):
        return None
    shape = _Shape(1, 0, n_chunks.literal_value)
    signature = types.void(targets, types.int64, sources, types.int64, types.float32, n_chunks)

    def generate(context: Any, builder: Any, signature: Any, arguments: Sequence[Any]) -> Any:
        matrices = [
            context.make_array(signature.args[i])(context, builder, arguments[i]) for i in (0, 2)
        ]
        code = _StepCode(context, builder, shape)
        code.emit_addition(
            code.row(matrices[0], arguments[1]), code.row(matrices[1], arguments[3]), arguments[4]
        )
        return context.get_dummy_value()

    return signature, generate


@_in_kernels
def fetch_row(_context: Any, matrix: Any, row: Any, n_chunks: Any) -> Any:
    """Ask the processor to bring a row near for writing: it is needed soon.

    Rows of frequent words lie changed in the cache of another core, those of rare ones in
    none; waiting for them took more than half of the time of two threads.
    """
    if not isinstance(n_chunks, types.IntegerLiteral):
        return None
    shape = _Shape(1, 0, n_chunks.literal_value)
    signature = types.void(matrix, types.int64, n_chunks)

    def generate(context: Any, builder: Any, signature: Any, arguments: Sequence[Any]) -> Any:
        matrix = context.make_array(signature.args[0])(context, builder, arguments[0])
        code = _StepCode(context, builder, shape)
        code.emit_fetch(code.row(matrix, arguments[1]))
        return context.get_dummy_value()

    return signature, generate


@dataclass(frozen=True)
class _Shape:
    n_rows: int
    n_slots: int
    n_chunks: int


class _StepCode:
    """Writes the instructions of a step. Lane 8 r + k of a vector is row r with slot k."""

    def __init__(self, context: Any, builder: Any, shape: _Shape) -> None:
        self._context = context
        self._builder = builder
        self._shape = shape
        self._pairs = [(r, k) for r in range(shape.n_rows) for k in range(shape.n_slots)]

    # -- values and memory -----------------------------------------------------------------

    def _constant(self, value: float) -> Any:
        return ir.Constant(_VECTOR, [value] * LANES)

    def _call(self, name: str, kind: Any, *arguments: Any) -> Any:
        function_type = ir.FunctionType(kind, [argument.type for argument in arguments])
        module = self._builder.module
        declare: Any = cgutils.get_or_insert_function
        function = declare(module, function_type, name)
        return self._builder.call(function, arguments)

    def _multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        return self._call("llvm.fmuladd.v16f32", _VECTOR, a, b, c)

    def _shuffle(self, a: Any, b: Any, lanes: Sequence[int]) -> Any:
        mask = ir.Constant(ir.VectorType(_INT32, len(lanes)), list(lanes))
        return self._builder.shuffle_vector(a, b, mask)

    def _splat(self, scalar: Any) -> Any:
        undefined = ir.Constant(_VECTOR, ir.Undefined)
        first = self._builder.insert_element(undefined, scalar, ir.Constant(_INT32, 0))
        return self._shuffle(first, undefined, [0] * LANES)

    def _address(self, pointer: Any, index: Any, kind: Any) -> Any:
        return self._builder.bitcast(self._builder.gep(pointer, [index]), kind.as_pointer())

    def _load(self, pointer: Any, index: Any, kind: Any = _VECTOR) -> Any:
        return self._builder.load(self._address(pointer, index, kind), align=4)

    def _store(self, value: Any, pointer: Any, index: Any) -> None:
        self._builder.store(value, self._address(pointer, index, value.type), align=4)

    def row(self, matrix: Any, row: Any) -> Any:
        """Address of the first value of a row of an array; checked as numba checks indices."""
        builder = self._builder
        if _CONFIG.BOUNDSCHECK:
            n_rows = builder.extract_value(matrix.shape, 0)
            is_outside = builder.icmp_unsigned(">=", row, n_rows)
            with builder.if_then(is_outside, likely=False):
                message = ("a row lies outside of its matrix",)
                self._context.call_conv.return_user_exc(builder, IndexError, message)
        width = ir.Constant(_INT64, self._shape.n_chunks * LANES)
        return builder.gep(matrix.data, [builder.mul(row, width)])

    def load_slots(self, slots: Any) -> list[Any]:
        """The row number in each slot."""
        numbers = [ir.Constant(_INT64, k) for k in range(self._shape.n_slots)]
        return [self._builder.load(self._builder.gep(slots, [k])) for k in numbers]

    def load_lanes(self, values: Any) -> Any:
        """The value of each slot, in the lanes of all rows; 0 in other lanes."""
        half = ir.VectorType(_FLOAT, MAX_SLOTS)
        loaded = self._load(values, ir.Constant(_INT64, 0), half)
        zeros = ir.Constant(half, [0.0] * MAX_SLOTS)
        mask = [MAX_SLOTS] * LANES
        for r, k in self._pairs:
            mask[MAX_SLOTS * r + k] = k
        return self._shuffle(loaded, zeros, mask)

    def _chunks(self, state: list[Any], body: Callable[[Any, list[Any]], list[Any]]) -> list[Any]:
        """A loop over the chunks of a row that carries ``state`` along."""
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
        end = ir.Constant(_INT64, self._shape.n_chunks * LANES)
        builder.cbranch(builder.icmp_unsigned("<", following, end), loop, after)
        builder.position_at_end(after)
        return results

    # -- the step --------------------------------------------------------------------------

    def emit(
        self,
        inputs: list[Any],
        errors: list[Any],
        outputs: list[Any],
        signs: Any,
        weights: Any,
        rate: Any,
        losses: Any,
    ) -> None:
        """Products, losses and gradients, then the update of all rows."""
        builder = self._builder
        products = self._products(inputs, outputs)
        signed = builder.fmul(products, signs)
        odds = self._exp(builder.fneg(signed))
        one_more = builder.fadd(odds, self._constant(1.0))
        self._add_losses(builder.fmul(self._log(one_more), weights), losses)
        rates = builder.fmul(builder.fmul(self._splat(rate), signs), weights)
        steps = builder.fmul(rates, builder.fdiv(odds, one_more))
        self._update(inputs, errors, outputs, steps)

    def emit_addition(self, target: Any, source: Any, scale: Any) -> None:
        """Add a scaled row to another."""
        factor = self._splat(scale)

        def body(offset: Any, _state: list[Any]) -> list[Any]:
            old, row = self._load(target, offset), self._load(source, offset)
            self._store(self._multiply_add(factor, row, old), target, offset)
            return []

        self._chunks([], body)

    def emit_fetch(self, row: Any) -> None:
        """Fetch each cache line of a row: a chunk is one."""
        is_write, is_kept_near, is_data = (ir.Constant(_INT32, value) for value in (1, 3, 1))
        for chunk in range(self._shape.n_chunks):
            offset = ir.Constant(_INT64, chunk * LANES)
            line = self._address(row, offset, ir.IntType(8))
            self._call("llvm.prefetch.p0", ir.VoidType(), line, is_write, is_kept_near, is_data)

    def _products(self, inputs: list[Any], outputs: list[Any]) -> Any:
        """The product of each row with each slot, in its lane."""

        def body(offset: Any, sums: list[Any]) -> list[Any]:
            rows = [self._load(pointer, offset) for pointer in inputs]
            results: dict[tuple[int, int], Any] = {}
            for k, pointer in enumerate(outputs):
                output = self._load(pointer, offset)
                for r, row in enumerate(rows):
                    index = self._pairs.index((r, k))
                    results[r, k] = self._multiply_add(row, output, sums[index])
            return [results[pair] for pair in self._pairs]

        zeros = self._constant(0.0)
        sums = self._chunks([zeros] * len(self._pairs), body)
        by_lane = [zeros] * LANES
        for (r, k), value in zip(self._pairs, sums, strict=True):
            by_lane[MAX_SLOTS * r + k] = value
        return self._sum_each(by_lane)

    def _sum_each(self, vectors: list[Any]) -> Any:
        """The sum of vector i in lane i: 15 additions of halves instead of 16 of everything.

        Every level adds the even half of the pieces of two vectors to the odd half: pieces
        of 8 lanes, then 4; within blocks of 4 lanes, where shuffles are cheap, 2, then 1.
        """
        vectors = [vectors[i] for i in _SUM_ORDER]
        for even, odd in _SUM_LEVELS:
            pairs = zip(vectors[::2], vectors[1::2], strict=True)
            vectors = [
                self._builder.fadd(self._shuffle(a, b, even), self._shuffle(a, b, odd))
                for a, b in pairs
            ]
        return vectors[0]

    def _exp(self, value: Any) -> Any:
        """Exponential of each lane within +-80 (Cephes: 2**n times a polynomial of the rest)."""
        builder = self._builder
        low = self._call("llvm.maxnum.v16f32", _VECTOR, value, self._constant(-_LIMIT))
        bounded = self._call("llvm.minnum.v16f32", _VECTOR, low, self._constant(_LIMIT))
        power = builder.fmul(bounded, self._constant(1.4426950408889634))
        whole = self._call("llvm.rint.v16f32", _VECTOR, power)
        fraction = self._polynomial(_EXP2, builder.fsub(power, whole))
        exponent = builder.shl(builder.fptosi(whole, _INT_VECTOR), self._integers(23))
        bits = builder.add(builder.bitcast(fraction, _INT_VECTOR), exponent)
        return builder.bitcast(bits, _VECTOR)

    def _log(self, value: Any) -> Any:
        """Natural logarithm of each lane, which is normal and positive."""
        builder = self._builder
        bits = builder.bitcast(value, _INT_VECTOR)
        from_root = builder.sub(bits, self._integers(0x3F3504F3))  # sqrt(0.5)
        exponent = builder.ashr(from_root, self._integers(23))
        reduced = builder.sub(bits, builder.shl(exponent, self._integers(23)))
        rest = builder.fsub(builder.bitcast(reduced, _VECTOR), self._constant(1.0))
        logarithm = builder.fmul(self._polynomial(_LOG1P, rest), rest)
        whole = builder.sitofp(exponent, _VECTOR)
        return self._multiply_add(whole, self._constant(0.6931471805599453), logarithm)

    def _integers(self, value: int) -> Any:
        return ir.Constant(_INT_VECTOR, [value] * LANES)

    def _polynomial(self, coefficients: Sequence[float], value: Any) -> Any:
        result = self._constant(coefficients[-1])
        for coefficient in reversed(coefficients[:-1]):
            result = self._multiply_add(result, value, self._constant(coefficient))
        return result

    def _add_losses(self, losses: Any, sums: Any) -> None:
        zero = ir.Constant(_INT64, 0)
        doubles = self._builder.fpext(losses, _DOUBLE_VECTOR)
        total = self._builder.fadd(self._load(sums, zero, _DOUBLE_VECTOR), doubles)
        self._store(total, sums, zero)

    def _update(self, inputs: list[Any], errors: list[Any], outputs: list[Any], steps: Any) -> None:
        """Add to each row the other side's rows times their steps."""
        by_pair = {
            (r, k): self._shuffle(steps, steps, [MAX_SLOTS * r + k] * LANES) for r, k in self._pairs
        }

        def body(offset: Any, _state: list[Any]) -> list[Any]:
            rows = [self._load(pointer, offset) for pointer in inputs]
            sums = [self._load(pointer, offset) for pointer in errors]
            moved = []
            for k, pointer in enumerate(outputs):
                output = self._load(pointer, offset)
                total = output
                for r, row in enumerate(rows):
                    sums[r] = self._multiply_add(by_pair[r, k], output, sums[r])
                    total = self._multiply_add(by_pair[r, k], row, total)
                moved.append(total)
            for pointer, total in zip(reversed(outputs), reversed(moved), strict=True):
                self._store(total, pointer, offset)
            for pointer, total in zip(errors, sums, strict=True):
                self._store(total, pointer, offset)
            return []

        self._chunks([], body)


def _sum_levels() -> tuple[list[tuple[list[int], list[int]]], list[int]]:
    """Shuffles of each level of ``_sum_each``, and the order that puts sum i into lane i."""
    blocks = range(0, LANES, 4)
    levels = [
        ([*range(8), *range(16, 24)], [*range(8, 16), *range(24, 32)]),
        (
            [i + j for i in (0, 8, 16, 24) for j in range(4)],
            [i + j for i in (4, 12, 20, 28) for j in range(4)],
        ),
        (
            [i + j for i in blocks for j in (0, 1, 16, 17)],
            [i + j for i in blocks for j in (2, 3, 18, 19)],
        ),
        (
            [i + j for i in blocks for j in (0, 2, 16, 18)],
            [i + j for i in blocks for j in (1, 3, 17, 19)],
        ),
    ]
    labels = [[i] * LANES for i in range(LANES)]
    for even, _ in levels:
        pairs = zip(labels[::2], labels[1::2], strict=True)
        labels = [[(a + b)[i] for i in even] for a, b in pairs]
    order = [labels[0].index(i) for i in range(LANES)]
    return levels, order


_SUM_LEVELS, _SUM_ORDER = _sum_levels()
