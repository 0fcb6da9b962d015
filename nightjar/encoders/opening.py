"""The encoder that made, or is to make, an artifact."""

from __future__ import annotations

from pathlib import Path

from nightjar.config import DocumentVectorsConfig
from nightjar.encoders.encoding import TextEncoder
from nightjar.encoders.folders import folder_files, hub_folder, is_hub_path, local_folder
from nightjar.encoders.own_model import open_own_model
from nightjar.encoders.sentence_encoder import load_sentence_encoder
from nightjar.encoders.static_encoder import load_static_encoder
from nightjar.errors import SourceChanged
from nightjar.schemas import EMBEDDINGS
from nightjar.store import Artifact, FileIdentity, Identity, Store


def open_encoder(
    config: DocumentVectorsConfig, base_dir: Path, store: Store, identity: Identity
) -> TextEncoder:
    """The encoder of the document_vectors artifact with ``identity``.

    Of a configured model it is the embeddings that the artifact was made with. Raises
    SourceChanged when the files of an encoder are not those of ``identity``, and EncoderError
    when they cannot be loaded.
    """
    if EMBEDDINGS in identity.parents:
        embeddings = store.open(store.ref(EMBEDDINGS, identity.parents[EMBEDDINGS]))
        return open_own_model(store, embeddings, is_normalized=identity.config["normalize"])
    folder = _folder(config, base_dir, identity)
    if config.encoder == "model2vec":
        return load_static_encoder(folder, config)
    return load_sentence_encoder(folder, config)


def encoder_of(
    config: DocumentVectorsConfig, base_dir: Path, store: Store, vectors: Artifact
) -> TextEncoder:
    """The encoder that a published document_vectors artifact was made with.

    Of ``config`` only where its files are, the device and the prompt for queries count.
    Raises as :func:`open_encoder` does.
    """
    made = vectors.manifest.identity
    inputs = tuple(FileIdentity(**entry) for entry in made["inputs"])
    identity = Identity(
        vectors.ref.stage, made["name"], made["config"], made["parents"], inputs, made["code"]
    )
    kept = {"encoder", "max_length", "prompt", "normalize"} & made["config"].keys()
    as_made = config.model_copy(update={key: made["config"][key] for key in kept})
    return open_encoder(as_made, base_dir, store, identity)


def _folder(config: DocumentVectorsConfig, base_dir: Path, identity: Identity) -> Path:
    path = str(config.path)
    if is_hub_path(path):
        return hub_folder(config, identity.config["commit"])
    folder = local_folder(path, base_dir)
    if folder_files(folder) != tuple(identity.inputs):
        raise SourceChanged(
            f"{path}: the encoder's files are not those that the vectors are made with; run again"
        )
    return folder
