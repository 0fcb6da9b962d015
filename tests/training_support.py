"""Real tokens artifacts and training runs for the training tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import TypeAdapter
from stage_support import context_of

from nightjar.config.models import GloVeConfig, ModelConfig, TokenizeConfig, TrainingConfig
from nightjar.progress import SILENT, Progress
from nightjar.stages.train import (
    Lessons,
    Parents,
    cooccurrences_identity,
    count,
    train,
    trained_identity,
)
from nightjar.store import Artifact, Identity, Staging, Store, fingerprint, publish, schemas

Sentences = Sequence[Sequence[str]]

SMALL: dict[str, dict[str, Any]] = {
    "word2vec": {
        "trainer": "word2vec",
        "engine": "gensim",
        "vector_size": 8,
        "min_count": 1,
        "epochs": 2,
        "negative": 3,
    },
    "fasttext": {
        "trainer": "fasttext",
        "engine": "gensim",
        "vector_size": 8,
        "min_count": 1,
        "epochs": 2,
        "negative": 3,
        "bucket": 5000,
    },
    "glove": {"trainer": "glove", "vector_size": 8, "min_count": 1, "epochs": 3, "window": 4},
}


def model_config(trainer: str, **changes: Any) -> ModelConfig:
    """A small, valid model of that trainer."""
    config: ModelConfig = TypeAdapter(ModelConfig).validate_python(SMALL[trainer] | changes)
    return config


def vocabulary_of(sentences: Sentences) -> list[tuple[str, int]]:
    """Words and counts: by count descending, then by word."""
    counts = Counter(token for sentence in sentences for token in sentence)
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def publish_tokens(root: Path, sentences: Sentences, row_group: int = 1000) -> Artifact:
    """Publish ``sentences`` as a tokens artifact, with ``row_group`` of them per row group."""
    words = vocabulary_of(sentences)
    ids = {word: row for row, (word, _) in enumerate(words)}
    n_documents = Counter(token for sentence in sentences for token in set(sentence))

    def write(staging: Staging) -> None:
        with staging.writer("sentences", schemas.SENTENCES_SCHEMA) as writer:
            for start in range(0, len(sentences), row_group):
                part = sentences[start : start + row_group]
                columns = [
                    pa.array([str(start + row) for row in range(len(part))], pa.string()),
                    pa.array([0] * len(part), pa.int32()),
                    pa.array(
                        [[ids[token] for token in sentence] for sentence in part],
                        schemas.SENTENCES_SCHEMA.field("token_ids").type,
                    ),
                ]
                writer.write_batch(pa.record_batch(columns, schema=schemas.SENTENCES_SCHEMA))
        columns = [
            pa.array(range(len(words)), pa.int32()),
            pa.array([word for word, _ in words], pa.string()),
            pa.array([count for _, count in words], pa.int64()),
            pa.array([n_documents[word] for word, _ in words], pa.int64()),
        ]
        staging.write("vocabulary", pa.table(columns, schema=schemas.VOCABULARY_SCHEMA))

    identity = Identity(
        schemas.TOKENS,
        "",
        TokenizeConfig().model_dump(mode="json"),
        {"sentences": fingerprint({"sentences": [list(s) for s in sentences]})},
    )
    return Store(root).open(publish(root, identity, write))


def train_model(
    tokens: Artifact,
    root: Path,
    trainer: str,
    progress: Progress = SILENT,
    n_workers: int = 1,
    deterministic: bool = False,
    **changes: Any,
) -> Artifact:
    """Train a small model and open what was published below ``root``."""
    model = model_config(trainer, **changes)
    training = TrainingConfig(seed=7, deterministic=deterministic)
    identity = trained_identity(trainer, model, training, Parents(tokens.ref.version))
    cooccurrences = None
    if isinstance(model, GloVeConfig):
        cooccurrences = publish_cooccurrences(tokens, root, n_workers=n_workers, **changes)

    def write(staging: Staging) -> None:
        context = context_of(staging, identity, progress=progress, n_workers=n_workers)
        train("NAME", model, training, Lessons(tokens, cooccurrences), context)

    return Store(root).open(publish(root, identity, write))


def publish_cooccurrences(
    tokens: Artifact, root: Path, progress: Progress = SILENT, n_workers: int = 1, **changes: Any
) -> Artifact:
    """Count what a small GloVe model learns from and open what was published."""
    model = model_config("glove", **changes)
    assert isinstance(model, GloVeConfig)
    identity = cooccurrences_identity(model, tokens.ref.version)
    assert identity is not None

    def write(staging: Staging) -> None:
        context = context_of(staging, progress=progress, n_workers=n_workers)
        count("NAME", model, TrainingConfig(), tokens, context)

    return Store(root).open(publish(root, identity, write))


def matrix(
    artifact: Artifact, table: str, column: str = "vector", kind: str | None = None
) -> NDArray[np.float32]:
    """A vector column (of the rows of ``kind``) as a float32 matrix."""
    data = artifact.read(table)
    if kind is not None:
        data = data.filter(pa.compute.equal(data.column("kind"), kind))
    vectors = data.column(column).combine_chunks()
    flat: NDArray[np.float32] = vectors.flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(len(data), vectors.type.list_size)


def column(artifact: Artifact, table: str, name: str) -> list[Any]:
    """One column as Python values."""
    values: list[Any] = artifact.read(table).column(name).to_pylist()
    return values


def file_hashes(artifact: Artifact) -> dict[str, str]:
    """sha256 of each Parquet file."""
    return {entry.name: entry.sha256 for entry in artifact.manifest.files}


def sentences_with_distinct_counts(n_words: int = 40, seed: int = 0) -> list[list[str]]:
    """Sentences of 3 to 12 words in which no two words occur equally often."""
    generator = np.random.default_rng(seed)
    tokens = np.repeat(np.arange(n_words), np.arange(3 * n_words, 0, -3)[:n_words])
    words = [f"{'abcdefgh'[row % 8]}word{row}" for row in generator.permutation(tokens)]
    sentences = []
    while words:
        length = int(generator.integers(3, 13))
        sentences.append(words[:length])
        words = words[length:]
    if len(sentences[-1]) < 2:
        sentences[-2] += sentences.pop()
    return sentences


def two_topics(n_sentences: int = 400, seed: int = 0) -> list[list[str]]:
    """Sentences about fruit or about metals, never about both."""
    generator = np.random.default_rng(seed)
    topics = (
        ["apple", "pear", "plum", "cherry", "quince", "fig"],
        ["iron", "copper", "zinc", "lead", "nickel", "tin"],
    )
    return [
        generator.choice(topics[row % 2], int(generator.integers(4, 9))).tolist()
        for row in range(n_sentences)
    ]


def topic_separation(artifact: Artifact) -> float:
    """Mean cosine within the topics of :func:`two_topics` minus the mean across them."""
    vectors = matrix(artifact, "vectors").astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    fruit = {"apple", "pear", "plum", "cherry", "quince", "fig"}
    is_fruit = np.array([token in fruit for token in column(artifact, "vectors", "token")])
    cosines = vectors @ vectors.T
    same = is_fruit[:, None] == is_fruit[None, :]
    np.fill_diagonal(same, False)
    across = is_fruit[:, None] != is_fruit[None, :]
    return float(cosines[same].mean() - cosines[across].mean())


@dataclass
class RecordedProgress:
    """Records the phases and how far each got."""

    totals: dict[str, float | None] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    label: str = ""

    def start(self, label: str, total: float | None, unit: str) -> None:
        self.label = label
        self.totals[label] = total

    def advance(self, amount: float, note: str = "") -> None:
        self.done[self.label] += int(amount)
        self.notes.append(note)
