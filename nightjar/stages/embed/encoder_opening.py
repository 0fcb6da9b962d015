"""The encoder that made, or is to make, an artifact."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nightjar.config import DocumentVectorsConfig
from nightjar.errors import EncoderError, SourceChanged
from nightjar.model.lookup import QueryError, VectorModel
from nightjar.stages.embed.encoding import TextEncoder
from nightjar.stages.embed.folders import folder_files, hub_folder, is_hub_path, local_folder
from nightjar.stages.embed.own_model import OwnModelEncoder, temporary_own_model
from nightjar.stages.embed.sentence_encoder import load_sentence_encoder
from nightjar.stages.embed.static_encoder import load_static_encoder
from nightjar.store import Artifact, FileIdentity, Identity, Store
from nightjar.store.schemas import EMBEDDINGS


@contextmanager
def opened_encoder(
    config: DocumentVectorsConfig, base_dir: Path, store: Store, identity: Identity, directory: Path
) -> Iterator[TextEncoder]:
    """The encoder of the document_vectors artifact with ``identity``, for the block.

    Of a configured model it is the embeddings that the identity names; its files are below
    ``directory`` for that time. Raises as :func:`pre_trained_encoder` and
    :func:`.own_model.temporary_own_model` do.
    """
    if EMBEDDINGS in identity.parents:
        embeddings = store.open(store.ref(EMBEDDINGS, identity.parents[EMBEDDINGS]))
        is_normalized: bool = identity.config["normalize"]
        with temporary_own_model(embeddings, directory, is_normalized=is_normalized) as encoder:
            yield encoder
    else:
        yield pre_trained_encoder(config, base_dir, identity)


def pre_trained_encoder(
    config: DocumentVectorsConfig, base_dir: Path, identity: Identity
) -> TextEncoder:
    """The pre-trained encoder with the files of ``identity``.

    Raises SourceChanged when its files are others now, EncoderError when they cannot be loaded.
    """
    folder = _folder(config, base_dir, identity)
    if config.encoder == "model2vec":
        return load_static_encoder(folder, config)
    return load_sentence_encoder(folder, config)


def encoder_of(
    config: DocumentVectorsConfig,
    base_dir: Path,
    vectors: Artifact,
    model: VectorModel | None = None,
) -> TextEncoder:
    """The encoder that a published document_vectors artifact was made with.

    ``model``: the open files of the embeddings that it was made with, where it was. Of
    ``config`` only where an encoder's files are, the device and the prompt for queries count.
    Raises as :func:`pre_trained_encoder` does, SourceChanged when ``config`` names no encoder any
    more, and EncoderError for a model that cannot cut texts into words: a library is missing.
    """
    made = vectors.manifest.identity
    if model is not None:
        try:
            model.words("")
        except QueryError as error:
            raise EncoderError(str(error)) from error
        return OwnModelEncoder(model, is_normalized=made["config"]["normalize"])
    if config.path is None:
        raise SourceChanged(
            f"document_vectors.{made['name']} has vectors of an encoder "
            f"({made['config']['encoder']}) that the config does not name any more; 'nightjar run' "
            f"embeds with what it names now"
        )
    inputs = tuple(FileIdentity(**entry) for entry in made["inputs"])
    identity = Identity(
        vectors.ref.stage, made["name"], made["config"], made["parents"], inputs, made["code"]
    )
    kept = {"encoder", "max_length", "prompt", "normalize"} & made["config"].keys()
    as_made = config.model_copy(update={key: made["config"][key] for key in kept})
    return pre_trained_encoder(as_made, base_dir, identity)


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
