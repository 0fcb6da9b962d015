"""Every stage of the pipeline, upstream first: a new one is a package and a line here."""

from nightjar.core import Stage
from nightjar.stages.count import Count
from nightjar.stages.embed import EmbedDocuments
from nightjar.stages.evaluate import Evaluate
from nightjar.stages.index import IndexDocuments
from nightjar.stages.ingest import Ingest
from nightjar.stages.report import Report
from nightjar.stages.tokenize import Tokenize
from nightjar.stages.train import Train

STAGES: tuple[type[Stage], ...] = (
    Ingest,
    Tokenize,
    Report,
    Count,
    Train,
    Evaluate,
    EmbedDocuments,
    IndexDocuments,
)

__all__ = [
    "STAGES",
    "Count",
    "EmbedDocuments",
    "Evaluate",
    "IndexDocuments",
    "Ingest",
    "Report",
    "Tokenize",
    "Train",
]
