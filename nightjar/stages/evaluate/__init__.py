"""Evaluate: embeddings in, scores with coverage and intervals out.

Benchmark files are read by :mod:`.benchmarks`, their words looked up by
:mod:`.benchmark_words`, scored by :mod:`.similarity`,
:mod:`.analogies` and, for texts, :mod:`.semantic_similarity`, with
intervals from :mod:`.bootstrap`, and :mod:`.evaluating`
publishes it.
"""

from nightjar.stages.evaluate.evaluate_stage import evaluate, evaluation_identity
from nightjar.stages.evaluate.semantic_similarity import Encoder

__all__ = ["Encoder", "evaluate", "evaluation_identity"]
