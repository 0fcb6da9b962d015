"""Small stores of documents and their vectors, published like real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nightjar.store import Artifact, Identity, Staging, Store, publish, schemas


@dataclass(frozen=True)
class Text:
    """A document to publish; ``vector`` is None if none of its words is known."""

    doc_id: str
    text: str
    vector: Sequence[float] | None
    source: str = "news"
    language: str | None = None

    @property
    def sha256(self) -> str:
        return sha256(self.text.encode()).hexdigest()


def publish_documents(root: Path, texts: Sequence[Text], group: int = 3) -> Artifact:
    columns = {
        "doc_id": [text.doc_id for text in texts],
        "source": [text.source for text in texts],
        "text": [text.text for text in texts],
        "content_sha256": [text.sha256 for text in texts],
        "n_chars": [len(text.text) for text in texts],
        "language": [text.language for text in texts],
    }
    table = pa.table(columns, schema=schemas.DOCUMENTS_SCHEMA)

    def write(staging: Staging) -> None:
        with staging.writer("documents", table.schema) as writer:
            writer.write_table(table, row_group_size=group)

    identity = Identity(schemas.DOCUMENTS, "", {"texts": [text.sha256 for text in texts]})
    return Store(root).open(publish(root, identity, write))


def publish_vectors(
    root: Path, texts: Sequence[Text], embeddings: str = "e1", name: str = "documents"
) -> Artifact:
    """``embeddings`` is the version of what made the vectors."""
    documents = publish_documents(root, texts)
    size = next(len(text.vector) for text in texts if text.vector is not None)
    element = pa.field("element", pa.float32(), nullable=False)
    none = [0.0] * size
    rows = [none if text.vector is None else text.vector for text in texts]
    vectors = pa.array(rows, pa.list_(element, size))
    table = pa.table(
        {
            "doc_id": [text.doc_id for text in texts],
            "content_sha256": [text.sha256 for text in texts],
            "vector": vectors,
            "is_known": [text.vector is not None for text in texts],
        },
        schema=schemas.document_vectors_schema(size),
    )
    parents = {schemas.DOCUMENTS: documents.ref.version, schemas.EMBEDDINGS: embeddings}
    identity = Identity(schemas.DOCUMENT_VECTORS, name, {"model": "small"}, parents)
    ref = publish(root, identity, lambda staging: staging.write("vectors", table))
    return Store(root).open(ref)


def random_texts(n_texts: int, vector_size: int = 8, seed: int = 1) -> list[Text]:
    vectors: NDArray[np.float32] = np.random.default_rng(seed).standard_normal(
        (n_texts, vector_size), dtype=np.float32
    )
    return [
        Text(f"t:{seed}-{row}", f"text {row} of {seed}", vector.tolist())
        for row, vector in enumerate(vectors)
    ]
