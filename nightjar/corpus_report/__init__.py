"""The corpus report: what tonight's text is like, and what is new in it.

A stage of its own, made from documents and tokens, and of the tokens of the last version as
something to compare with; nothing is made from it, so it delays and stops no model.
``measures`` counts, ``page`` draws one HTML page that loads nothing from elsewhere; the numbers
behind every plot are tables of the artifact.
"""

from nightjar.corpus_report.identity import corpus_report_identity
from nightjar.corpus_report.stage import PAGE, report_corpus

__all__ = ["PAGE", "corpus_report_identity", "report_corpus"]
