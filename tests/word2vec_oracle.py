"""Word2Vec as the kernels define it, in plain Python with float64: slow, and easy to read."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Output = tuple[int, float, float]
"""Row, sign, weight."""


@dataclass
class Oracle:
    """Matrices of one model, trained in place by :meth:`train`."""

    inputs: Matrix
    noise_outputs: Matrix
    node_outputs: Matrix
    keep_limits: list[int]
    noise: list[int]
    paths: list[list[tuple[int, float]]]
    """(node, sign) from the root on, for each word."""
    window: int
    shrinks: bool
    n_negative: int
    has_paths: bool
    is_skipgram: bool
    is_mean: bool
    is_past: bool = False
    loss: float = 0.0
    n_predictions: int = 0

    def train(
        self, sentences: list[list[int]], first: float, slope: float, least: float, state: int
    ) -> None:
        """Train on the sentences of one span, from that random state."""
        self.state = state
        self.cursor = (state >> 32) * len(self.noise) >> 32
        n_before = 0
        for sentence in sentences:
            if len(sentence) >= 2:
                kept = [word for word in sentence if self._draw() < self.keep_limits[word]]
                self.rate = max(least, first - slope * n_before)
                for position in range(len(kept)):
                    self._predict(kept, position)
            n_before += len(sentence)

    def _draw(self) -> int:
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return self.state >> 32

    def _predict(self, kept: list[int], position: int) -> None:
        drawn = self._draw()
        size = drawn * self.window // 2**32 + 1 if self.shrinks else self.window
        before = kept[max(0, position - size) : position]
        context = before + ([] if self.is_past else kept[position + 1 : position + 1 + size])
        if not context:
            return
        self.n_predictions += len(context) if self.is_skipgram else 1
        groups = [(self.node_outputs, group) for group in self._path(kept[position])]
        if self.n_negative:
            groups += [(self.noise_outputs, group) for group in self._noise(kept[position])]
        if self.is_skipgram:
            for outputs, group in groups:
                for rows in self._pairs(context):
                    self.inputs[rows] += self._step(self.inputs[rows], outputs, group)
        else:
            hidden = sum(self.inputs[word] for word in context)
            if self.is_mean:
                hidden = hidden / len(context)
            error = sum(self._step(hidden[None], outputs, group)[0] for outputs, group in groups)
            for word in context:
                self.inputs[word] += error if self.is_mean else error / len(context)

    def _pairs(self, context: list[int]) -> Iterator[list[int]]:
        while context:
            n = 2 if len(context) > 1 and context[0] != context[1] else 1
            yield context[:n]
            context = context[n:]

    def _path(self, word: int) -> Iterator[list[Output]]:
        path = self.paths[word] if self.has_paths else []
        for start in range(0, len(path), 8):
            yield [(node, sign, 1.0) for node, sign in path[start : start + 8]]

    def _noise(self, centre: int) -> Iterator[list[Output]]:
        n_groups = -(-(self.n_negative + 1) // 8)
        size = -(-(self.n_negative + 1) // n_groups)
        words = [centre]
        for _ in range(self.n_negative):
            words.append(self.noise[self.cursor % len(self.noise)])
            self.cursor += 1
        for start in range(0, len(words), size):
            drawn = [word for word in words[max(start, 1) : start + size] if word != centre]
            group = [(word, -1.0, float(drawn.count(word))) for word in dict.fromkeys(drawn)]
            yield ([(centre, 1.0, 1.0)] if start == 0 else []) + group

    def _step(self, rows: Matrix, outputs: Matrix, group: list[Output]) -> Matrix:
        """Move the outputs along the gradient; returns the change of the input ``rows``."""
        slots = [row for row, _, _ in group]
        signs = np.array([sign for _, sign, _ in group])
        weights = np.array([weight for _, _, weight in group])
        signed = signs * (rows @ outputs[slots].T)
        self.loss += float((weights * np.log1p(np.exp(-signed))).sum())
        steps = self.rate * weights * signs / (1 + np.exp(signed))
        change = steps @ outputs[slots]
        outputs[slots] += steps.T @ rows
        return change


def huffman_codes(counts: list[int]) -> list[list[tuple[int, float]]]:
    """(node, sign) for each word from the root on, by gensim's recipe."""
    heap = [_Node(count, word) for word, count in enumerate(counts)]
    heapq.heapify(heap)
    for made in range(len(counts) - 1):
        left, right = heapq.heappop(heap), heapq.heappop(heap)
        heapq.heappush(heap, _Node(left.count + right.count, made, left, right))
    paths: list[list[tuple[int, float]]] = [[] for _ in counts]

    def walk(node: _Node, path: list[tuple[int, float]]) -> None:
        if node.left is None or node.right is None:
            paths[node.number] = path
        else:
            walk(node.left, [*path, (node.number, 1.0)])
            walk(node.right, [*path, (node.number, -1.0)])

    walk(heap[0], [])
    return paths


@dataclass
class _Node:
    count: int
    number: int
    left: _Node | None = None
    right: _Node | None = None

    def __lt__(self, other: _Node) -> bool:
        return self.count < other.count
