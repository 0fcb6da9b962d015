"""Opening the encoder of an artifact: a pre-trained one, or one of our own models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from nightjar.config import DocumentVectorsConfig
from nightjar.errors import EncoderError, SourceChanged
from nightjar.formats.model_files import temporary_text_model
from nightjar.model.lookup import QueryError, VectorModel
from nightjar.model.lookup.nearest import unit_rows
from nightjar.stages.embed.encoder_files import folder_files, hub_folder, is_hub_path, local_folder
from nightjar.stages.embed.encoding import Encoded, TextEncoder, ignore_progress
from nightjar.stages.embed.sentence_encoder import load_sentence_encoder
from nightjar.stages.embed.static_encoder import load_static_encoder
from nightjar.store import Artifact, FileIdentity, Identity, Store
from nightjar.store.schemas import EMBEDDINGS

_STEP = 256


class OwnModelEncoder:
    """A :class:`~nightjar.model.lookup.VectorModel` as an encoder; it never cuts a text.

    The model's files are memory-mapped. Further memory: the words of one text.
    """

    def __init__(self, model: VectorModel, *, is_normalized: bool) -> None:
        self._model = model
        self._is_normalized = is_normalized

    @property
    def vector_size(self) -> int:
        """Dimensions of a vector."""
        return self._model.table.vector_size

    def encode(
        self, texts: Sequence[str], advance: Callable[[int], None] = ignore_progress
    ) -> Encoded:
        """The mean vector of each text's known words."""
        vectors = np.zeros((len(texts), self.vector_size), np.float32)
        for start in range(0, len(texts), _STEP):
            stretch = texts[start : start + _STEP]
            vectors[start : start + len(stretch)] = self._model.encode(stretch, unknown="nan")
            advance(len(stretch))
        is_known = ~np.isnan(vectors[:, 0])
        vectors[~is_known] = 0
        if self._is_normalized:
            vectors = unit_rows(vectors)
        return Encoded(vectors, is_known, np.zeros(len(texts), np.bool_))

    def encode_queries(self, texts: Sequence[str]) -> Encoded:
        """The same as :meth:`encode`."""
        return self.encode(texts)


@contextmanager
def temporary_own_model(
    embeddings: Artifact, directory: Path, *, is_normalized: bool
) -> Iterator[OwnModelEncoder]:
    """The encoder of an embeddings artifact, for the block.

    The model's files are written below ``directory`` meanwhile, even if the model is registered:
    document vectors depend on the artifact alone. Raises as
    :func:`~nightjar.formats.model_files.temporary_text_model` does.
    """
    name = embeddings.manifest.name
    with temporary_text_model(name, embeddings, directory) as model:
        yield OwnModelEncoder(model, is_normalized=is_normalized)


@contextmanager
def opened_encoder(
    config: DocumentVectorsConfig, base_dir: Path, store: Store, identity: Identity, directory: Path
) -> Iterator[TextEncoder]:
    """The encoder of the document_vectors artifact with ``identity``, for the block.

    For a configured model it uses the embeddings named in the identity and writes their files below
    ``directory`` meanwhile. Raises as :func:`pre_trained_encoder` and :func:`temporary_own_model`
    do.
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

    Raises SourceChanged when the files have changed since, EncoderError when they cannot be loaded.
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

    ``model`` is the opened model of its embeddings, for vectors of one of our models. ``config``
    only supplies the path of a pre-trained encoder, the device and the query prompt. Raises as
    :func:`pre_trained_encoder` does; SourceChanged when ``config`` no longer names an encoder;
    EncoderError when the model needs a missing library to split text into words.
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
