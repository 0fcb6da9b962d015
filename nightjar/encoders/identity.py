"""What document vectors depend on. Known without loading an encoder."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

from nightjar.config import DocumentVectorsConfig
from nightjar.errors import EncoderError
from nightjar.schemas import DOCUMENT_VECTORS, DOCUMENTS, EMBEDDINGS
from nightjar.store import Identity

REVISION = 1
"""Raised when the same encoder and documents give other vectors than before."""


def document_vectors_identity(
    name: str,
    config: DocumentVectorsConfig,
    base_dir: Path,
    documents_version: str,
    embeddings_version: str | None = None,
) -> Identity:
    """What shapes the document_vectors artifact ``name``.

    ``embeddings_version``: of ``config.model``, given when it has one. Device and batch size
    are no part of it: they change the last bits only.
    """
    parents = {DOCUMENTS: documents_version}
    described: dict[str, Any] = {"name": name, "normalize": config.normalize}
    if embeddings_version is None:
        raise EncoderError(
            f"document_vectors.{name}: no encoder of {base_dir} can be loaded by this version"
        )
    parents[EMBEDDINGS] = embeddings_version
    described["model"] = config.model
    return Identity(
        stage=DOCUMENT_VECTORS,
        name=name,
        config=described,
        parents=parents,
        code={"revision": REVISION, "unicode": unicodedata.unidata_version},
    )
