"""Texts as vectors by a model of ours: the mean of their words' vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from nightjar.formats.model_files import temporary_text_model
from nightjar.model.lookup import VectorModel
from nightjar.stages.embed.encoding import Encoded, ignore_progress, to_unit_length
from nightjar.store import Artifact

_STEP = 256


class OwnModelEncoder:
    """A :class:`~nightjar.model.lookup.VectorModel`; all of a text counts, however long.

    The model's files are memory-mapped. Held besides: the words of one text.
    """

    def __init__(self, model: VectorModel, *, is_normalized: bool) -> None:
        self._model = model
        self._is_normalized = is_normalized

    @property
    def vector_size(self) -> int:
        """Values of a vector."""
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
            vectors = to_unit_length(vectors)
        return Encoded(vectors, is_known, np.zeros(len(texts), np.bool_))

    def encode_queries(self, texts: Sequence[str]) -> Encoded:
        """The same: documents and queries are texts alike."""
        return self.encode(texts)


@contextmanager
def temporary_own_model(
    embeddings: Artifact, directory: Path, *, is_normalized: bool
) -> Iterator[OwnModelEncoder]:
    """The encoder of an embeddings artifact, for the block.

    The files are written below ``directory`` for that time, even where the model is registered:
    what is encoded hangs on the artifact alone. Raises as
    :func:`~nightjar.formats.model_files.temporary_text_model` does.
    """
    name = embeddings.manifest.name
    with temporary_text_model(name, embeddings, directory) as model:
        yield OwnModelEncoder(model, is_normalized=is_normalized)
