"""The kinds of benchmarks: a kind is a module of its own and a line here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from nightjar.config import (
    AnalogyBenchmark,
    BenchmarkConfig,
    CategorizationBenchmark,
    ClassificationBenchmark,
    LinkPredictionBenchmark,
    NeighborsBenchmark,
    NextItemBenchmark,
    NodeClassificationBenchmark,
    OutlierBenchmark,
    SimilarityBenchmark,
    StsBenchmark,
)
from nightjar.config.benchmarks import FileBenchmark
from nightjar.errors import BenchmarkError
from nightjar.files.paths import resolve_pattern, why_no_file
from nightjar.stages.evaluate.analogies import Analogies
from nightjar.stages.evaluate.benchmark_items import BenchmarkItems, CorpusItems, FileItems
from nightjar.stages.evaluate.categorization import CategorizedWords
from nightjar.stages.evaluate.classification import LabelledTexts
from nightjar.stages.evaluate.expected_neighbors import ExpectedNeighbors
from nightjar.stages.evaluate.held_out_sessions import HeldOutSessions
from nightjar.stages.evaluate.link_prediction import HeldOutLinks
from nightjar.stages.evaluate.node_classification import LabelledNodes
from nightjar.stages.evaluate.outliers import OutlierSets
from nightjar.stages.evaluate.text_pairs import TextPairs
from nightjar.stages.evaluate.word_pairs import WordPairs
from nightjar.store import Artifact, FileIdentity, file_identity

KINDS: Mapping[type[BenchmarkConfig], type[FileItems | CorpusItems]] = {
    SimilarityBenchmark: WordPairs,
    AnalogyBenchmark: Analogies,
    CategorizationBenchmark: CategorizedWords,
    OutlierBenchmark: OutlierSets,
    StsBenchmark: TextPairs,
    ClassificationBenchmark: LabelledTexts,
    NeighborsBenchmark: ExpectedNeighbors,
    NodeClassificationBenchmark: LabelledNodes,
    LinkPredictionBenchmark: HeldOutLinks,
    NextItemBenchmark: HeldOutSessions,
}
"""The items of each section of the configuration."""


def benchmark_path(name: str, config: FileBenchmark, base_dir: Path) -> Path:
    """The file of a benchmark. Raises BenchmarkError when there is none."""
    path = resolve_pattern(config.path, base_dir)
    if not path.is_file():
        if problem := why_no_file(path):
            raise BenchmarkError(f"evaluation.benchmarks.{name}: {path}: {problem}")
        raise BenchmarkError(
            f"evaluation.benchmarks.{name}: there is no file {path}; correct its path or take "
            f"the benchmark out"
        )
    return path


def benchmark_identity(name: str, config: FileBenchmark, base_dir: Path) -> FileIdentity:
    """A benchmark's file with its sha256. Raises BenchmarkError when the config states another."""
    path = benchmark_path(name, config, base_dir)
    found = file_identity(path)
    if config.sha256 is not None and found.sha256 != config.sha256:
        raise BenchmarkError(
            f"evaluation.benchmarks.{name}: {path} has the sha256 {found.sha256}, not that of the "
            f"config; restore the file, or correct evaluation.benchmarks.{name}.sha256"
        )
    return found


def corpus_stages(benchmarks: Iterable[BenchmarkConfig]) -> tuple[str, ...]:
    """The stages of a corpus that hold out the items of ``benchmarks``, each once."""
    kinds = (KINDS[type(benchmark)] for benchmark in benchmarks)
    return tuple(dict.fromkeys(kind.stage for kind in kinds if issubclass(kind, CorpusItems)))


def read_benchmark(
    name: str,
    config: BenchmarkConfig,
    base_dir: Path,
    corpus: Mapping[str, Artifact] = MappingProxyType({}),
    seed: int = 1,
) -> BenchmarkItems:
    """Every item of a benchmark.

    Those that are held out of the corpus come from ``corpus``, its artifacts by stage; ``seed``
    draws a sample of them. Raises BenchmarkError with the line or row that is malformed, KeyError
    for an artifact that is not given.
    """
    kind = KINDS[type(config)]
    if issubclass(kind, CorpusItems):
        try:
            return kind.held_out(corpus[kind.stage], config, seed)
        except BenchmarkError as error:
            raise BenchmarkError(f"evaluation.benchmarks.{name}: {error}") from error
    if not isinstance(config, FileBenchmark):
        raise TypeError(f"{name} has no file")
    return kind.read(benchmark_path(name, config, base_dir), config)
