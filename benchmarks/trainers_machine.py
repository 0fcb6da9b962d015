"""The peak performance of the machine, with compiled loops on as many threads as the trainers.

    python -m benchmarks.trainers_machine JOB

``JOB`` is JSON: ``workers``, ``memory_mb``, ``row_values``, ``trial_seconds``. The last line
printed is the answer as JSON. Multiply-adds are measured with independent chains, in vectors of 8
float32 and, if the processor has them, of 16; memory with passes over arrays of three sizes, and
over rows in random order. The best of several trials counts.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import psutil
from llvmlite import binding, ir
from numba.core import types
from numba.extending import intrinsic
from numpy.typing import NDArray

TRIALS = 5
CHAINS = 10
"""Enough for two units of four cycles' latency; their sums stay in 16 registers."""
L2_BYTES = 512 << 10
"""A thread's working set that fits into any L2 cache, and into no L1 cache."""
MATRICES_BYTES = 64 << 20
"""For all threads together: the size of the trainers' matrices."""


@intrinsic(prefer_literal=True)
def multiply_add_chains(_context: Any, n_steps: Any, factor: Any, lanes: Any) -> Any:  # noqa: ARG001
    """``n_steps`` multiply-adds on each of CHAINS vectors of ``lanes``; their sum."""
    if not isinstance(lanes, types.IntegerLiteral):
        return None
    vector = ir.VectorType(ir.FloatType(), lanes.literal_value)
    signature = types.float32(types.int64, types.float32, lanes)

    def generate(context: Any, builder: Any, signature: Any, arguments: Sequence[Any]) -> Any:
        del context, signature
        int32, int64 = ir.IntType(32), ir.IntType(64)
        undefined = ir.Constant(vector, ir.Undefined)
        first = builder.insert_element(undefined, arguments[1], ir.Constant(int32, 0))
        mask = ir.Constant(ir.VectorType(int32, vector.count), [0] * vector.count)
        factors = builder.shuffle_vector(first, undefined, mask)
        starts = [
            builder.fmul(factors, ir.Constant(vector, [1.0 + chain] * vector.count))
            for chain in range(CHAINS)
        ]
        before, loop = builder.block, builder.append_basic_block("loop")
        after = builder.append_basic_block("after")
        builder.branch(loop)
        builder.position_at_end(loop)
        step = builder.phi(int64)
        chains = [builder.phi(vector) for _ in starts]
        kind = ir.FunctionType(vector, [vector] * 3)
        name = f"llvm.fma.v{vector.count}f32"
        multiply_add = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
        added = ir.Constant(vector, [0.001] * vector.count)
        moved = [builder.call(multiply_add, [chain, factors, added]) for chain in chains]
        following = builder.add(step, ir.Constant(int64, 1))
        for phi, start, result in zip(chains, starts, moved, strict=True):
            phi.add_incoming(start, before)
            phi.add_incoming(result, loop)
        step.add_incoming(ir.Constant(int64, 0), before)
        step.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed("<", following, arguments[0]), loop, after)
        builder.position_at_end(after)
        total = moved[0]
        for result in moved[1:]:
            total = builder.fadd(total, result)
        lanes_of = [
            builder.extract_element(total, ir.Constant(int32, i)) for i in range(vector.count)
        ]
        value = lanes_of[0]
        for lane in lanes_of[1:]:
            value = builder.fadd(value, lane)
        return value

    return signature, generate


def _chains_of(lanes: int) -> Callable[[int, float], float]:
    run_chains: Any = multiply_add_chains

    @numba.njit(nogil=True)
    def chains(n_steps: int, factor: float) -> float:
        return run_chains(n_steps, np.float32(factor), lanes)  # type: ignore[no-any-return]

    return chains


@numba.njit(nogil=True, fastmath=True)
def read_all(source: NDArray[np.float32], n_passes: int) -> float:
    """Sum ``source``."""
    total = np.float32(0.0)
    for _ in range(n_passes):
        for i in range(source.shape[0]):
            total += source[i]
    return float(total)


@numba.njit(nogil=True)
def write_all(target: NDArray[np.float32], n_passes: int) -> float:
    """Fill ``target`` with another value in each pass."""
    for n in range(n_passes):
        for i in range(target.shape[0]):
            target[i] = np.float32(n)
    return 0.0


@numba.njit(nogil=True)
def copy_all(source: NDArray[np.float32], target: NDArray[np.float32], n_passes: int) -> float:
    """Copy ``source`` to ``target``."""
    for n in range(n_passes):
        source[0] = n
        for i in range(source.shape[0]):
            target[i] = source[i]
    return 0.0


@numba.njit(nogil=True)
def change_rows(
    matrix: NDArray[np.float32], order: NDArray[np.int64], value: float, n_passes: int
) -> float:
    """Add to every value of each row, in the order ``order``."""
    change = np.float32(value)
    for _ in range(n_passes):
        for n in range(order.shape[0]):
            row = matrix[order[n]]
            for i in range(row.shape[0]):
                row[i] += change
    return 0.0


@dataclass(frozen=True)
class _Threads:
    """The threads that do the work, and how long a trial takes."""

    executor: ThreadPoolExecutor
    n_workers: int
    trial_seconds: float

    def best_rate(self, amount: float, work: Callable[[int, int], float]) -> float:
        """Total amount per second; ``work(worker, times)`` does ``times`` the amount."""
        self._seconds(work, 1)
        times = 1
        while (taken := self._seconds(work, times)) < self.trial_seconds / 4:
            times *= 4
        times = max(1, round(times * self.trial_seconds / taken))
        return (
            self.n_workers * amount * times / min(self._seconds(work, times) for _ in range(TRIALS))
        )

    def _seconds(self, work: Callable[[int, int], float], times: int) -> float:
        started_at = time.perf_counter()
        list(self.executor.map(work, range(self.n_workers), [times] * self.n_workers))
        return time.perf_counter() - started_at


def _multiply_adds(threads: _Threads) -> dict[str, float]:
    """Multiply-adds per second, over all threads, by vector width."""
    n_steps = 100_000
    widths = [8, 16] if "avx512f" in binding.get_host_cpu_features().flatten() else [8]
    rates = {}
    for lanes in widths:
        chains = _chains_of(lanes)

        def work(worker: int, times: int, chains: Callable[..., float] = chains) -> float:
            return chains(n_steps * times, 0.999 - 0.001 * worker)

        rates[f"{lanes} float32"] = threads.best_rate(n_steps * CHAINS * lanes, work)
    return rates


def _passes(threads: _Threads, n_bytes: int) -> dict[str, float]:
    """Bytes per second that all threads read, write, or copy (read plus written)."""
    n_values = n_bytes // 8
    sources = [np.ones(n_values, np.float32) for _ in range(threads.n_workers)]
    targets = [np.ones(n_values, np.float32) for _ in range(threads.n_workers)]

    def read(worker: int, times: int) -> float:
        return float(read_all(sources[worker], times))

    def write(worker: int, times: int) -> float:
        return float(write_all(targets[worker], times))

    def copy(worker: int, times: int) -> float:
        return float(copy_all(sources[worker], targets[worker], times))

    n_moved = {read: 1, write: 1, copy: 2}
    return {
        work.__name__: threads.best_rate(4.0 * n_values * n, work) for work, n in n_moved.items()
    }


def _random_rows(threads: _Threads, row_values: int) -> float:
    """Bytes per second, read plus written, of rows in random order, for separate threads."""
    n_rows = MATRICES_BYTES // threads.n_workers // (4 * row_values)
    orders = [
        np.random.default_rng(worker).permutation(n_rows) for worker in range(threads.n_workers)
    ]
    matrices = [np.ones((n_rows, row_values), np.float32) for _ in range(threads.n_workers)]

    def work(worker: int, times: int) -> float:
        return float(change_rows(matrices[worker], orders[worker], 1.0, times))

    return threads.best_rate(8 * n_rows * row_values, work)


def main() -> None:
    """Measure and print."""
    job = json.loads(sys.argv[1])
    n_workers = int(job["workers"])
    features = binding.get_host_cpu_features().flatten()
    # By default, LLVM avoids 512-bit vectors on processors that they may slow down.
    config: Any = numba.config
    config.CPU_NAME = binding.get_host_cpu_name()
    config.CPU_FEATURES = f"{features},-prefer-256-bit" if "avx512f" in features else features
    available = psutil.virtual_memory().available
    memory_bytes = min(int(job["memory_mb"]) << 20, available // (4 * n_workers))
    with ThreadPoolExecutor(n_workers) as executor:
        threads = _Threads(executor, n_workers, job["trial_seconds"])
        multiply_adds = _multiply_adds(threads)
        answer = {
            "multiply_adds_per_second": max(multiply_adds.values()),
            "multiply_adds_per_second_by_vector": multiply_adds,
            "memory_bytes_per_second": _passes(threads, memory_bytes),
            "matrices_bytes_per_second": {
                **_passes(threads, MATRICES_BYTES // n_workers),
                "random_rows": _random_rows(threads, int(job["row_values"])),
            },
            "l2_bytes_per_second": _passes(threads, L2_BYTES),
            "bytes_per_thread": {
                "memory": memory_bytes,
                "matrices": MATRICES_BYTES // n_workers,
                "l2": L2_BYTES,
            },
        }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
