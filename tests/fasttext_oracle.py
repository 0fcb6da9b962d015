"""FastText as the kernels define it, in plain Python with float64: slow, and easy to read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from word2vec_oracle import Matrix, Oracle


@dataclass
class FastTextOracle(Oracle):
    """Words are the means of several rows of ``inputs``; otherwise as Word2Vec's oracle."""

    word_rows: list[list[int]] = field(default_factory=list)

    def train(
        self, sentences: list[list[int]], first: float, slope: float, least: float, state: int
    ) -> None:
        self.state = state
        self.cursor = (state >> 32) * len(self.noise) >> 32
        n_before = 0
        for sentence in sentences:
            kept = [word for word in sentence if self._draw() < self.keep_limits[word]]
            self.rate = max(least, first - slope * n_before)
            if len(kept) >= 2:
                self._train_sentence(kept)
            n_before += len(sentence)

    def _train_sentence(self, kept: list[int]) -> None:
        """Read rows when a word enters the ring, and update them when it leaves."""
        self.seen: dict[int, Matrix] = {}
        self.moved: dict[int, Matrix] = {}
        for position in range(len(kept)):
            for new in range(len(self.seen), min(len(kept), position + self.window + 1)):
                self.seen[new] = self.inputs[self.word_rows[kept[new]]].mean(axis=0)
                self.moved[new] = np.zeros_like(self.seen[new])
            self._predict(kept, position)
            self._retire(kept, position - self.window)
        for position in range(max(0, len(kept) - self.window), len(kept)):
            self._retire(kept, position)

    def _retire(self, kept: list[int], position: int) -> None:
        if position >= 0:
            for row in self.word_rows[kept[position]]:
                self.inputs[row] += self.moved[position]

    def _predict(self, kept: list[int], position: int) -> None:
        drawn = self._draw()
        size = drawn * self.window // 2**32 + 1 if self.shrinks else self.window
        places = [
            place
            for place in range(max(0, position - size), min(len(kept), position + size + 1))
            if place != position
        ]
        self.n_predictions += len(places) if self.is_skipgram else 1
        groups = [(self.node_outputs, group) for group in self._path(kept[position])]
        if self.n_negative:
            groups += [(self.noise_outputs, group) for group in self._noise(kept[position])]
        if self.is_skipgram:
            for outputs, group in groups:
                for pair in self._two_at_a_time(places):
                    now = np.array([self.seen[place] + self.moved[place] for place in pair])
                    for place, change in zip(pair, self._step(now, outputs, group), strict=True):
                        self.moved[place] += change
            return
        n_rows = {place: len(self.word_rows[kept[place]]) for place in places}
        hidden = sum(n_rows[p] * (self.seen[p] + self.moved[p]) for p in places)
        n_all = sum(n_rows.values())
        if self.is_mean:
            hidden = hidden / n_all
        error = sum(self._step(hidden[None], outputs, group)[0] for outputs, group in groups)
        for place in places:
            self.moved[place] += error if self.is_mean else error / n_all

    def _two_at_a_time(self, places: list[int]) -> Iterator[list[int]]:
        for start in range(0, len(places), 2):
            yield places[start : start + 2]
