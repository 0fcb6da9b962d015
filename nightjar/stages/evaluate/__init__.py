"""Evaluate: embeddings in, scores with coverage and intervals out.

:mod:`.benchmarks` reads the benchmark files, :mod:`.benchmark_answers` answers them from the
vectors, :mod:`.bootstrap` gives scores their intervals, and :mod:`.evaluate_stage` publishes the
result.
"""

from nightjar.stages.evaluate.evaluate_stage import evaluate, evaluation_identity

__all__ = ["evaluate", "evaluation_identity"]
