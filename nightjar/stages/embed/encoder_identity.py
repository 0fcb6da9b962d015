"""What document vectors depend on. Known without loading an encoder."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from nightjar.config import DocumentVectorsConfig
from nightjar.stages.embed.extras import encoder_versions
from nightjar.stages.embed.folders import folder_files, hub_commit, is_hub_path, local_folder
from nightjar.store import Identity
from nightjar.store.schemas import DOCUMENT_VECTORS, DOCUMENTS, EMBEDDINGS

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

    ``embeddings_version``: of ``config.model``, if it has one. An encoder in a folder is known
    by its files, one of the hub by its commit. Device and batch size are no part of it: they
    change the last bits only. Raises EncoderError without the extra, SourceError without the
    folder, HubUnavailable when a revision cannot be looked up.
    """
    if embeddings_version is not None:
        return Identity(
            stage=DOCUMENT_VECTORS,
            name=name,
            config={"name": name, "model": config.model, "normalize": config.normalize},
            parents={DOCUMENTS: documents_version, EMBEDDINGS: embeddings_version},
            code={"revision": REVISION, "unicode": unicodedata.unidata_version},
        )
    if config.encoder is None or config.path is None:
        raise ValueError(f"document_vectors.{name} is of a model: its embeddings are needed")
    is_of_hub = is_hub_path(config.path)
    included = {"encoder", "max_length", "prompt", "normalize"}
    described = {"name": name, **config.model_dump(mode="json", include=included)}
    if is_of_hub:
        described |= {"path": config.path, "commit": hub_commit(config)}
    return Identity(
        stage=DOCUMENT_VECTORS,
        name=name,
        config=described,
        parents={DOCUMENTS: documents_version},
        inputs=() if is_of_hub else folder_files(local_folder(config.path, base_dir)),
        code={"revision": REVISION, "libraries": encoder_versions(config.encoder)},
    )
