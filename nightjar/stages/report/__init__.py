"""The corpus report: what tonight's text is like, and what is new in it.

A stage made from documents and tokens. Nothing is made from it, so it neither delays nor stops a
model. A comparison with another night is computed on request. :mod:`.measures` counts,
:mod:`.doubts` says what looks wrong. The page is one HTML file without external resources; the
numbers behind every plot are tables of the artifact.
"""

from nightjar.stages.report.measures import NewWords, compare_vocabularies
from nightjar.stages.report.report_runs import DOUBTS, PAGE
from nightjar.stages.report.report_stage import (
    LANGUAGE_DOUBTS,
    corpus_report_identity,
    page_with_comparison,
    report_corpus,
)

__all__ = [
    "DOUBTS",
    "LANGUAGE_DOUBTS",
    "PAGE",
    "NewWords",
    "compare_vocabularies",
    "corpus_report_identity",
    "page_with_comparison",
    "report_corpus",
]
