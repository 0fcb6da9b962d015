"""Evaluate: embeddings in, scores with coverage and intervals out.

Benchmark files are read by :mod:`.benchmarks`, answered by the vectors in
:mod:`.benchmark_answers`, scored with intervals from :mod:`.bootstrap`, and :mod:`.evaluate_stage`
publishes that.
"""

from nightjar.stages.evaluate.evaluate_stage import evaluate, evaluation_identity

__all__ = ["evaluate", "evaluation_identity"]
