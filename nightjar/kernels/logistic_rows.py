"""One step of logistic regression between a few input rows and a few output rows.

Word2Vec's inner loop: for input rows a and output rows b with sign y (+1 for observed words, -1 for
noise) the loss of a pair is log(1 + exp(-y a.b)) (Mikolov et al. 2013, arXiv:1310.4546, equation
4), and both rows move along its gradient. One or two input rows and up to eight output rows make a
small matrix product whose sums stay in registers. numba's own compiler does not find that loop, so
it is written here as LLVM vectors of 16 float32, which LLVM maps to the vectors of any processor.

All rows of a step are read before any is written. Output rows are written from the last to the
first: a slot that repeats the row of slot 0 with weight 0 has no effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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

MAX_SLOTS = 8
"""Most output rows in one step."""
_INT_VECTOR = ir.VectorType(INT32, LANES)
_DOUBLE_VECTOR = ir.VectorType(ir.DoubleType(), LANES)
_LIMIT = 80.0
"""Beyond this, exp(-|x|) is effectively 0 in float32."""
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


@in_kernels
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
    moves: Any,
    rate: Any,
    losses: Any,
    n_rows: Any,
    n_slots: Any,
    n_chunks: Any,
    holds: Any,
) -> Any:
    """Step input rows ``row_a`` (and ``row_b`` if ``n_rows`` is 2) with ``n_slots`` outputs.

    ``inputs``, ``errors``, ``outputs``: float32 of shape (any, 16 * n_chunks); the inputs'
    gradients are added to the same rows of ``errors``, which may be ``inputs``. ``slots`` int64
    (8,): rows of ``outputs``; ``signs``, ``weights`` float32 (8,): +-1, and how often the pair
    counts; with ``holds``, ``moves`` float32 (8,) says how far the slot's row moves, 0 for not at
    all. ``losses`` float64 (16,): the weighted losses before the step are added to it; its sum is
    the total loss. ``n_rows``, ``n_slots``, ``n_chunks``, ``holds`` are constants at compile time.
    ``row_a`` and ``row_b`` differ. Rows must exist; this is only checked with NUMBA_BOUNDSCHECK.
    """
    constants = (n_rows, n_slots, n_chunks, holds)
    if not all(isinstance(kind, types.IntegerLiteral) for kind in constants):
        return None
    shape = _Shape(*(kind.literal_value for kind in constants))
    signature = types.void(
        inputs, errors, types.int64, types.int64, outputs, slots, signs, weights, moves,
        types.float32, losses, *constants,
    )  # fmt: skip

    def generate(context: Any, builder: Any, signature: Any, arguments: Sequence[Any]) -> Any:
        inputs, errors, outputs, slot_rows, signs, weights, moves, losses = (
            context.make_array(signature.args[i])(context, builder, arguments[i])
            for i in (0, 1, 4, 5, 6, 7, 8, 10)
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
            moves=code.load_lanes(moves.data) if shape.holds else None,
            rate=arguments[9],
            losses=losses.data,
        )
        return context.get_dummy_value()

    return signature, generate


@dataclass(frozen=True)
class _Shape:
    n_rows: int
    n_slots: int
    n_chunks: int
    holds: int


class _StepCode(VectorCode):
    """Generates the instructions of a step. Lane 8 r + k of a vector is row r with slot k."""

    def __init__(self, context: Any, builder: Any, shape: _Shape) -> None:
        super().__init__(context, builder, shape.n_chunks)
        self._shape = shape
        self._pairs = [(r, k) for r in range(shape.n_rows) for k in range(shape.n_slots)]

    def load_slots(self, slots: Any) -> list[Any]:
        """The row number in each slot."""
        numbers = [ir.Constant(INT64, k) for k in range(self._shape.n_slots)]
        return [self.builder.load(self.builder.gep(slots, [k])) for k in numbers]

    def load_lanes(self, values: Any) -> Any:
        """The value of each slot, in the lanes of all rows; 0 in other lanes."""
        half = ir.VectorType(FLOAT, MAX_SLOTS)
        loaded = self.load(values, ir.Constant(INT64, 0), half)
        zeros = ir.Constant(half, [0.0] * MAX_SLOTS)
        mask = [MAX_SLOTS] * LANES
        for r, k in self._pairs:
            mask[MAX_SLOTS * r + k] = k
        return self.shuffle(loaded, zeros, mask)

    # -- the step --------------------------------------------------------------------------

    def emit(
        self,
        inputs: list[Any],
        errors: list[Any],
        outputs: list[Any],
        signs: Any,
        weights: Any,
        moves: Any,
        rate: Any,
        losses: Any,
    ) -> None:
        """Products, losses and gradients, then the update of all rows."""
        builder = self.builder
        products = self._products(inputs, outputs)
        signed = builder.fmul(products, signs)
        odds = self._exp(builder.fneg(signed))
        one_more = builder.fadd(odds, self.constant(1.0))
        self._add_losses(builder.fmul(self._log(one_more), weights), losses)
        rates = builder.fmul(builder.fmul(self.splat(rate), signs), weights)
        steps = builder.fmul(rates, builder.fdiv(odds, one_more))
        of_outputs = steps if moves is None else builder.fmul(steps, moves)
        self._update(inputs, errors, outputs, steps, of_outputs)

    def _products(self, inputs: list[Any], outputs: list[Any]) -> Any:
        """The product of each row with each slot, in its lane."""

        def body(offset: Any, sums: list[Any]) -> list[Any]:
            rows = [self.load(pointer, offset) for pointer in inputs]
            results: dict[tuple[int, int], Any] = {}
            for k, pointer in enumerate(outputs):
                output = self.load(pointer, offset)
                for r, row in enumerate(rows):
                    index = self._pairs.index((r, k))
                    results[r, k] = self.multiply_add(row, output, sums[index])
            return [results[pair] for pair in self._pairs]

        zeros = self.constant(0.0)
        sums = self.chunks([zeros] * len(self._pairs), body)
        by_lane = [zeros] * LANES
        for (r, k), value in zip(self._pairs, sums, strict=True):
            by_lane[MAX_SLOTS * r + k] = value
        return self._sum_each(by_lane)

    def _sum_each(self, vectors: list[Any]) -> Any:
        """The sum of vector i in lane i, with 15 additions of halves instead of 16 full sums.

        Every level adds the even pieces of two vectors to the odd ones: pieces of 8 lanes, then 4;
        within blocks of 4 lanes, where shuffles are cheap, 2, then 1.
        """
        vectors = [vectors[i] for i in _SUM_ORDER]
        for even, odd in _SUM_LEVELS:
            pairs = zip(vectors[::2], vectors[1::2], strict=True)
            vectors = [
                self.builder.fadd(self.shuffle(a, b, even), self.shuffle(a, b, odd))
                for a, b in pairs
            ]
        return vectors[0]

    def _exp(self, value: Any) -> Any:
        """Exponential of each lane within +-80 (Cephes: 2**n times a polynomial)."""
        builder = self.builder
        low = self.call("llvm.maxnum.v16f32", VECTOR, value, self.constant(-_LIMIT))
        bounded = self.call("llvm.minnum.v16f32", VECTOR, low, self.constant(_LIMIT))
        power = builder.fmul(bounded, self.constant(1.4426950408889634))
        whole = self.call("llvm.rint.v16f32", VECTOR, power)
        fraction = self._polynomial(_EXP2, builder.fsub(power, whole))
        exponent = builder.shl(builder.fptosi(whole, _INT_VECTOR), self._integers(23))
        bits = builder.add(builder.bitcast(fraction, _INT_VECTOR), exponent)
        return builder.bitcast(bits, VECTOR)

    def _log(self, value: Any) -> Any:
        """Natural logarithm of each lane, which must be normal and positive."""
        builder = self.builder
        bits = builder.bitcast(value, _INT_VECTOR)
        from_root = builder.sub(bits, self._integers(0x3F3504F3))  # sqrt(0.5)
        exponent = builder.ashr(from_root, self._integers(23))
        reduced = builder.sub(bits, builder.shl(exponent, self._integers(23)))
        rest = builder.fsub(builder.bitcast(reduced, VECTOR), self.constant(1.0))
        logarithm = builder.fmul(self._polynomial(_LOG1P, rest), rest)
        whole = builder.sitofp(exponent, VECTOR)
        return self.multiply_add(whole, self.constant(0.6931471805599453), logarithm)

    def _integers(self, value: int) -> Any:
        return ir.Constant(_INT_VECTOR, [value] * LANES)

    def _polynomial(self, coefficients: Sequence[float], value: Any) -> Any:
        result = self.constant(coefficients[-1])
        for coefficient in reversed(coefficients[:-1]):
            result = self.multiply_add(result, value, self.constant(coefficient))
        return result

    def _add_losses(self, losses: Any, sums: Any) -> None:
        zero = ir.Constant(INT64, 0)
        doubles = self.builder.fpext(losses, _DOUBLE_VECTOR)
        total = self.builder.fadd(self.load(sums, zero, _DOUBLE_VECTOR), doubles)
        self.store(total, sums, zero)

    def _update(
        self,
        inputs: list[Any],
        errors: list[Any],
        outputs: list[Any],
        steps: Any,
        of_outputs: Any,
    ) -> None:
        """Add to each row the other side's rows times their steps."""
        by_pair = self._spread(steps)
        by_output = by_pair if of_outputs is steps else self._spread(of_outputs)

        def body(offset: Any, _state: list[Any]) -> list[Any]:
            rows = [self.load(pointer, offset) for pointer in inputs]
            sums = [self.load(pointer, offset) for pointer in errors]
            moved = []
            for k, pointer in enumerate(outputs):
                output = self.load(pointer, offset)
                total = output
                for r, row in enumerate(rows):
                    sums[r] = self.multiply_add(by_pair[r, k], output, sums[r])
                    total = self.multiply_add(by_output[r, k], row, total)
                moved.append(total)
            for pointer, total in zip(reversed(outputs), reversed(moved), strict=True):
                self.store(total, pointer, offset)
            for pointer, total in zip(errors, sums, strict=True):
                self.store(total, pointer, offset)
            return []

        self.chunks([], body)

    def _spread(self, steps: Any) -> dict[tuple[int, int], Any]:
        """The step of each pair in all lanes."""
        return {
            (r, k): self.shuffle(steps, steps, [MAX_SLOTS * r + k] * LANES) for r, k in self._pairs
        }


def _sum_levels() -> tuple[list[tuple[list[int], list[int]]], list[int]]:
    """Shuffles for each level of ``_sum_each``, and the order that puts sum i into lane i."""
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
