"""The configuration: what ``pipeline_config.yaml`` may say, checked before anything runs.

``models`` declares every key with its type, bounds, default and meaning; ``loading`` reads
the file, applies ``a.b=c`` overrides and turns validation failures into one message that
names the key and the closest valid one. A hyper-parameter's value lives in the YAML, its
type and meaning in ``models``, nowhere else.
"""

from nightjar.config.loading import LoadedConfig, load_config
from nightjar.config.models import (
    AnalogyBenchmark,
    BenchmarkConfig,
    CsvSource,
    DocumentVectorsConfig,
    EvaluationConfig,
    FastTextConfig,
    GateConfig,
    GloVeConfig,
    ImportConfig,
    IngestConfig,
    JsonLinesSource,
    MediaWikiSource,
    ModelConfig,
    NightjarConfig,
    ParquetSource,
    PhrasesConfig,
    PipelineConfig,
    RegistryConfig,
    SifConfig,
    SimilarityBenchmark,
    SourceConfig,
    StsBenchmark,
    TextSource,
    TokenizeConfig,
    TrainedConfig,
    TrainingConfig,
    UsifConfig,
    Word2VecConfig,
    base_of,
)

__all__ = [
    "AnalogyBenchmark",
    "BenchmarkConfig",
    "CsvSource",
    "DocumentVectorsConfig",
    "EvaluationConfig",
    "FastTextConfig",
    "GateConfig",
    "GloVeConfig",
    "ImportConfig",
    "IngestConfig",
    "JsonLinesSource",
    "LoadedConfig",
    "MediaWikiSource",
    "ModelConfig",
    "NightjarConfig",
    "ParquetSource",
    "PhrasesConfig",
    "PipelineConfig",
    "RegistryConfig",
    "SifConfig",
    "SimilarityBenchmark",
    "SourceConfig",
    "StsBenchmark",
    "TextSource",
    "TokenizeConfig",
    "TrainedConfig",
    "TrainingConfig",
    "UsifConfig",
    "Word2VecConfig",
    "base_of",
    "load_config",
]
