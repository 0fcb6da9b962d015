"""Evaluate: embeddings in, scores with coverage and intervals out.

Benchmark files are read by :mod:`~nightjar.evaluation.benchmarks`, their words looked up by
:mod:`~nightjar.evaluation.words`, scored by :mod:`~nightjar.evaluation.similarity`,
:mod:`~nightjar.evaluation.analogies` and, for texts, :mod:`~nightjar.evaluation.texts`, with
intervals from :mod:`~nightjar.evaluation.bootstrap`, and :mod:`~nightjar.evaluation.stage`
publishes it.
"""

from nightjar.evaluation.stage import evaluate, evaluation_identity
from nightjar.evaluation.texts import Encoder

__all__ = ["Encoder", "evaluate", "evaluation_identity"]
