"""Small published artifacts to register, and a migrated MLflow database to copy."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from nightjar.config import (
    GateConfig,
    PipelineConfig,
    RegistryConfig,
    TokenizeConfig,
    Word2VecConfig,
)
from nightjar.config.models import ModelConfig
from nightjar.formats.model_files import array_hashes, temporary_model_files
from nightjar.progress import SILENT
from nightjar.registry import (
    RegisteredVersion,
    RegistrationRequest,
    RegistryPlace,
    ensure_registered,
)
from nightjar.registry.client import connect, import_mlflow
from nightjar.store import Artifact, Identity, Staging, Store, publish, schemas

# Imported once, quietly: MLflow warns about its own code while it is imported.
mlflow = import_mlflow()

PIPELINE = PipelineConfig(name="night")
GATE = GateConfig(benchmarks=["wordsim353", "simlex999"], min_coverage=0.3, margin=0.05)
WORD2VEC = Word2VecConfig(trainer="word2vec", vector_size=4, alpha=0.05, epochs=2)
LEDGER = "0123456789abcdef0123456789abcdef"
"""Id of the ledger that owns what is registered here."""
WORDS = ("the", "king", "queen", "man")
VECTORS = np.arange(16, dtype=np.float32).reshape(4, 4) / 7


def template_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that MLflow has migrated, which takes seconds; copying it is fast."""
    database = tmp_path_factory.getbasetemp() / "template" / "mlflow.db"
    if not database.exists():
        connect(f"sqlite:///{database}", database.parent / "artifacts")
    return database


def score_row(
    benchmark: str,
    value: float | None,
    n_covered: int = 90,
    category: str = "all",
    metric: str = "spearman",
) -> dict[str, Any]:
    """A row of ``scores`` over 100 items."""
    return {
        "model": "w2v",
        "benchmark": benchmark,
        "category": category,
        "metric": metric,
        "value": value,
        "ci_low": None if value is None else value - 0.1,
        "ci_high": None if value is None else value + 0.1,
        "n_items": 100,
        "n_covered": n_covered,
        "max_vocabulary": 300_000,
        "seconds": 0.5,
        "is_main": metric in ("spearman", "accuracy"),
    }


def vector_column(matrix: NDArray[np.float32]) -> pa.Array:
    """Rows of a matrix as an Arrow column."""
    flat = pa.array(matrix.astype(np.float32).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, type=schemas.vector_type(matrix.shape[1]))


@dataclass(frozen=True)
class World:
    """An artifact directory with a corpus and an MLflow store; ``model`` is registered in it."""

    artifacts_dir: Path
    model: str = "w2v"

    @classmethod
    def create(cls, directory: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
        """A new one under ``directory``."""
        world = cls(directory / "artifacts")
        database = world.artifacts_dir / "mlflow" / "mlflow.db"
        database.parent.mkdir(parents=True)
        shutil.copyfile(template_database(tmp_path_factory), database)
        return world

    @property
    def name(self) -> str:
        """The registered model."""
        return f"night-{self.model}"

    @property
    def store(self) -> Store:
        return Store(self.artifacts_dir)

    @property
    def registry(self) -> RegistryConfig:
        return RegistryConfig(gate=GATE)

    @property
    def place(self) -> RegistryPlace:
        return RegistryPlace.of(self.registry, self.artifacts_dir)

    @property
    def uri(self) -> str:
        return self.place.uri

    @cached_property
    def client(self) -> Any:
        return mlflow.MlflowClient(self.uri, self.uri)

    def publish(
        self,
        stage: str,
        name: str,
        key: Any,
        tables: Mapping[str, pa.Table],
        config: dict[str, Any] | None = None,
        report: Mapping[str, Any] | None = None,
    ) -> Artifact:
        """Publish the given tables; ``key`` distinguishes versions."""

        def write(staging: Staging) -> None:
            for table, data in tables.items():
                staging.write(table, data)
            staging.report.update(report or {"n_workers": 1})

        identity = Identity(
            stage, name, config=config or {"key": key, "model": {"seed": 1}, "deterministic": True}
        )
        return self.store.open(publish(self.artifacts_dir, identity, write))

    def documents(self) -> Artifact:
        """Three documents of two sources."""
        rows = [
            {
                "doc_id": f"{source}:{number}",
                "source": source,
                "text": "the king",
                "content_sha256": str(number),
                "n_chars": 8,
                "language": "en",
            }
            for number, source in enumerate(("wiki", "news", "wiki"))
        ]
        table = pa.Table.from_pylist(rows, schema=schemas.DOCUMENTS_SCHEMA)
        return self.publish(schemas.DOCUMENTS, "", "documents", {"documents": table})

    def tokens(self) -> Artifact:
        """Two sentences over five distinct tokens."""
        sentences = [
            {"doc_id": "wiki:0", "sentence": number, "token_ids": [0, 1]} for number in range(2)
        ]
        vocabulary = [
            {"token_id": rank, "token": word, "count": 9 - rank, "n_documents": 1}
            for rank, word in enumerate((*WORDS, "rare"))
        ]
        return self.publish(
            schemas.TOKENS,
            "",
            "tokens",
            {
                "sentences": pa.Table.from_pylist(sentences, schema=schemas.SENTENCES_SCHEMA),
                "vocabulary": pa.Table.from_pylist(vocabulary, schema=schemas.VOCABULARY_SCHEMA),
            },
            TokenizeConfig().model_dump(mode="json"),
        )

    def embeddings(
        self,
        key: Any = "embeddings",
        name: str = "w2v",
        words: Sequence[str] = WORDS,
        vectors: NDArray[np.float32] = VECTORS,
        ngrams: tuple[NDArray[np.int32], NDArray[np.float32]] | None = None,
        model: ModelConfig | None = None,
    ) -> Artifact:
        """Word vectors, two losses, and n-gram rows (bucket, vector) if given, of ``model``."""
        tables = {
            "vectors": pa.table(
                [list(words), list(range(len(words), 0, -1)), vector_column(vectors)],
                schema=schemas.vectors_schema(vectors.shape[1]),
            ),
            "losses": pa.table([[1, 2], [0.75, 0.5]], schema=schemas.LOSSES_SCHEMA),
        }
        if ngrams is not None:
            tables["ngrams"] = pa.table(
                [pa.array(ngrams[0]), vector_column(ngrams[1])],
                schema=schemas.ngrams_schema(vectors.shape[1]),
            )
        config = None if model is None else {"model": model.model_dump(mode="json")}
        return self.publish(schemas.EMBEDDINGS, name, key, tables, config)

    def evaluation(
        self, embeddings: Artifact, scores: Sequence[dict[str, Any]], name: str = "w2v"
    ) -> Artifact:
        """An evaluation of ``embeddings`` with those scores."""
        table = pa.Table.from_pylist(list(scores), schema=schemas.SCORES_SCHEMA)
        with temporary_model_files(name, embeddings) as files:
            report = {"model_files": array_hashes(files)}
        key = [embeddings.manifest.digest, *scores]
        return self.publish(schemas.EVALUATION, name, key, {"scores": table}, report=report)

    def request(
        self,
        wordsim: float | None = 0.5,
        simlex: float | None = 0.3,
        n_covered: int = 90,
        *,
        registry: RegistryConfig | None = None,
        model: ModelConfig = WORD2VEC,
        name: str | None = None,
        embeddings: Artifact | None = None,
        more_scores: Sequence[dict[str, Any]] = (),
    ) -> RegistrationRequest:
        """A request to register a model with those two scores."""
        name = name or self.model
        registry = registry or self.registry
        embeddings = embeddings or self.embeddings()
        evaluation = self.evaluation(
            embeddings,
            [
                score_row("wordsim353", wordsim, n_covered),
                score_row("simlex999", simlex, n_covered),
                *more_scores,
            ],
            name,
        )
        return RegistrationRequest(
            pipeline=PIPELINE,
            registry=registry,
            model_name=name,
            model=model,
            source=self.documents(),
            tokens=self.tokens(),
            embeddings=embeddings,
            evaluation=evaluation,
            artifacts_dir=self.artifacts_dir,
            git_commit="0123abc",
            actor="tester",
            ledger_id=LEDGER,
            night=17,
        )

    def register(self, request: RegistrationRequest) -> RegisteredVersion:
        """Register a model: a version without an alias."""
        return ensure_registered(request, SILENT)

    def crown(self, request: RegistrationRequest) -> RegisteredVersion:
        """Register a model and make it champion, whatever its scores."""
        version = self.register(request)
        self.client.set_registered_model_alias(version.name, "champion", str(version.version))
        return version

    def versions(self) -> list[Any]:
        """MLflow's own list of registered versions, ascending."""
        found = self.client.search_model_versions(f"name = '{self.name}'")
        return sorted(found, key=lambda version: int(version.version))

    def alias(self, alias: str) -> int | None:
        """The version that the alias points to in MLflow."""
        number = self.client.get_registered_model(self.name).aliases.get(alias)
        return None if number is None else int(number)

    def logged_models(self) -> list[str]:
        """Ids of the model's logged models whose rows exist, deleted or not."""
        database = self.artifacts_dir / "mlflow" / "mlflow.db"
        with closing(sqlite3.connect(database)) as connection:
            rows = connection.execute(
                "SELECT model_id FROM logged_model_tags WHERE tag_key = 'nightjar.model' "
                "AND tag_value = ?",
                (self.model,),
            )
            return sorted(model_id for (model_id,) in rows)

    def runs(self) -> list[Any]:
        """Every run of the model."""
        experiments = [found.experiment_id for found in self.client.search_experiments()]
        condition = f"tags.`nightjar.model` = '{self.model}'"
        return list(self.client.search_runs(experiments, condition))
