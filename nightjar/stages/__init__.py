"""Every stage of the pipeline, upstream first. A new stage is a package and a line here."""

from nightjar.core import Stage
from nightjar.stages.drift import MeasureDrift
from nightjar.stages.embed.embed_stage import EmbedDocuments
from nightjar.stages.evaluate.evaluate_stage import Evaluate
from nightjar.stages.events.events_stage import ReadEvents, Sessionize
from nightjar.stages.graph.graph_stage import ReadGraph, Walk
from nightjar.stages.index.index_stage import IndexDocuments
from nightjar.stages.ingest.ingest_stage import Ingest
from nightjar.stages.noise import MeasureNoise
from nightjar.stages.report.events_report_stage import ReportEvents
from nightjar.stages.report.graph_report_stage import ReportGraph
from nightjar.stages.report.report_stage import Report
from nightjar.stages.tokenize.tokenize_stage import Tokenize
from nightjar.stages.train.train_stage import Count, Train, TrainRaw

STAGES: tuple[type[Stage], ...] = (
    Ingest,
    ReadGraph,
    ReadEvents,
    Tokenize,
    Walk,
    Sessionize,
    Report,
    ReportGraph,
    ReportEvents,
    Count,
    TrainRaw,
    Train,
    Evaluate,
    MeasureNoise,
    MeasureDrift,
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
    "MeasureDrift",
    "MeasureNoise",
    "ReadEvents",
    "ReadGraph",
    "Report",
    "ReportEvents",
    "ReportGraph",
    "Sessionize",
    "Tokenize",
    "Train",
    "TrainRaw",
    "Walk",
]
