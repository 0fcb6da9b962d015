"""The main scores with their confidence intervals, as SVG."""

from __future__ import annotations

from nightjar.drawing import Bar, bar_chart, standalone
from nightjar.registry.summary import ModelSummary


def score_plot(summary: ModelSummary) -> str:
    """One row per benchmark: a dot for the score, a line for its interval, up to 1."""
    bars = [
        Bar(
            f"{name} ({score.metric})",
            score.value,
            f"{score.value:.3f}",
            score.value if score.ci_low is None else score.ci_low,
            score.value if score.ci_high is None else score.ci_high,
        )
        for name, score in summary.main.items()
        if score.value is not None
    ]
    chart = bar_chart(summary.request.registered_model, bars, "score with its interval", most=1.0)
    return standalone(chart or '<svg class="chart" width="1" height="1"></svg>')
