"""Evaluate: embeddings in; scores, the answers behind them, and the vectors' health out.

:mod:`.kinds` lists the kinds of benchmarks, each a module with its items. :mod:`.benchmark_files`
reads tables and lines, :mod:`.word_table` finds the vectors of words, :mod:`.health` needs no
benchmark, and :mod:`.evaluate_stage` publishes the result.
"""

from nightjar.stages.evaluate.evaluate_stage import evaluate, evaluation_identity

__all__ = ["evaluate", "evaluation_identity"]
