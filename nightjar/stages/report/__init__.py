"""The corpus report: what tonight's text is like, and what is new in it.

A stage of its own, made from documents and tokens; nothing is made from it, so it delays and
stops no model. What is new since another night is found when it is asked for.
``measures`` counts, ``page`` draws one HTML page that loads nothing from elsewhere; the numbers
behind every plot are tables of the artifact.
"""

from nightjar.stages.report.measures import NewWords, compare_vocabularies
from nightjar.stages.report.report_stage import (
    PAGE,
    corpus_report_identity,
    page_with_comparison,
    report_corpus,
)

__all__ = [
    "PAGE",
    "NewWords",
    "compare_vocabularies",
    "corpus_report_identity",
    "page_with_comparison",
    "report_corpus",
]
