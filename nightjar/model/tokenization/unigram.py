"""The unigram model of pieces of words (Kudo 2018, arXiv:1804.10959), trained.

A word's probability is the sum over all ways to cut it of the products of its pieces'
probabilities. Expectation maximisation fits those; the pieces whose loss costs the least are
then left out, a quarter at a time, until the vocabulary has its size. Everything is added up
in one order, so the same counts give the same numbers.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

_KEPT = 0.75
"""Share of the pieces that a round of pruning leaves."""
_ROUNDS_OF_EM = 2
_LEAST_EXPECTED = 0.5
"""A piece that is expected less often is left out; a character counts as that often."""
MAX_PIECE_CHARS = 16
_STRETCH = 24
"""Longer words are trained on in stretches: products of more probabilities may underflow."""


def train_unigram(
    counts: Mapping[str, int], seeds: Sequence[str], size: int
) -> list[tuple[str, float]]:
    """At most ``size`` of ``seeds`` with the logarithm of their probability, best first.

    ``counts[word]`` is how often a word occurs. The characters of all words are pieces,
    whether they are seeds or not. In memory: words and pieces.
    """
    stretches: defaultdict[str, int] = defaultdict(int)
    for word, count in counts.items():
        for start in range(0, len(word), _STRETCH):
            stretches[word[start : start + _STRETCH]] += count
    characters = set().union(*stretches)
    pieces = sorted(characters.union(seed for seed in seeds if len(seed) <= MAX_PIECE_CHARS))
    probabilities = dict.fromkeys(pieces, 1 / len(pieces))
    while True:
        for _ in range(_ROUNDS_OF_EM):
            expected = _expected(stretches, probabilities)
            probabilities = _maximised(expected, characters)
        if len(probabilities) <= size:
            break
        kept = max(size, int(_KEPT * len(probabilities)))
        probabilities = _pruned(probabilities, expected, kept)
    logarithms = {piece: round(math.log(p), 6) for piece, p in probabilities.items()}
    return sorted(logarithms.items(), key=lambda entry: (-entry[1], entry[0]))


def _expected(
    stretches: Mapping[str, int], probabilities: Mapping[str, float]
) -> defaultdict[str, float]:
    """How often each piece is expected, over all ways to cut the words."""
    expected: defaultdict[str, float] = defaultdict(float)
    for word, count in stretches.items():
        edges, forward = _lattice(word, probabilities)
        if not forward[-1]:
            continue
        backward = [0.0] * len(word) + [1.0]
        scale = count / forward[-1]
        for start, end, piece, probability in reversed(edges):
            reached = probability * backward[end]
            backward[start] += reached
            expected[piece] += forward[start] * reached * scale
    return expected


def _lattice(
    word: str, probabilities: Mapping[str, float]
) -> tuple[list[tuple[int, int, str, float]], list[float]]:
    """The pieces in a word, by start, and the probability of the word up to each place."""
    edges = []
    forward = [1.0] + [0.0] * len(word)
    for start in range(len(word)):
        for end in range(start + 1, min(start + MAX_PIECE_CHARS, len(word)) + 1):
            piece = word[start:end]
            probability = probabilities.get(piece)
            if probability is not None:
                edges.append((start, end, piece, probability))
                forward[end] += forward[start] * probability
    return edges, forward


def _maximised(expected: Mapping[str, float], characters: set[str]) -> dict[str, float]:
    """Probabilities in proportion to what is expected, sorted by the piece."""
    kept = {piece: n for piece, n in sorted(expected.items()) if n >= _LEAST_EXPECTED}
    kept |= {sign: max(expected.get(sign, 0.0), _LEAST_EXPECTED) for sign in sorted(characters)}
    total = math.fsum(kept.values())
    return {piece: n / total for piece, n in kept.items()}


def _pruned(
    probabilities: Mapping[str, float], expected: Mapping[str, float], size: int
) -> dict[str, float]:
    """The characters and the pieces that would be missed most, ``size`` together."""
    losses = {
        piece: expected[piece] * (math.log(probability) - _without(piece, probabilities))
        for piece, probability in probabilities.items()
        if len(piece) > 1
    }
    n_characters = len(probabilities) - len(losses)
    ranked = sorted(losses, key=lambda piece: (-losses[piece], piece))
    kept = set(ranked[: max(0, size - n_characters)])
    return {p: value for p, value in probabilities.items() if len(p) == 1 or p in kept}


def _without(piece: str, probabilities: Mapping[str, float]) -> float:
    """The logarithm of the best way to cut a piece into others."""
    best = [0.0] + [-math.inf] * len(piece)
    for start in range(len(piece)):
        for end in range(start + 1, len(piece) + 1):
            part = piece[start:end]
            if part in probabilities and part != piece:
                best[end] = max(best[end], best[start] + math.log(probabilities[part]))
    return best[-1]
