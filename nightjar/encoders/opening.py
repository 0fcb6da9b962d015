"""The encoder that made, or is to make, an artifact."""

from __future__ import annotations

from pathlib import Path

from nightjar.config import DocumentVectorsConfig
from nightjar.encoders.encoding import TextEncoder
from nightjar.encoders.own_model import open_own_model
from nightjar.schemas import EMBEDDINGS
from nightjar.store import Identity, Store


def open_encoder(
    config: DocumentVectorsConfig, base_dir: Path, store: Store, identity: Identity
) -> TextEncoder:
    """The encoder of the document_vectors artifact with ``identity``.

    Of a configured model it is the embeddings that the artifact was made with.
    """
    del base_dir
    embeddings = store.open(store.ref(EMBEDDINGS, identity.parents[EMBEDDINGS]))
    return open_own_model(store, embeddings, is_normalized=config.normalize)
