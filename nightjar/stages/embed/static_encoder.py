"""Model2Vec: the mean of static token vectors, without a network to run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nightjar.config import DocumentVectorsConfig
from nightjar.errors import EncoderError
from nightjar.model.lookup.nearest import unit_rows
from nightjar.model.tokenization import untyped_errors
from nightjar.stages.embed.encoder_files import import_extra
from nightjar.stages.embed.encoding import Encoded, ignore_progress

_DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError)
"""Errors from loading a folder that is not a model, or is truncated."""
_BATCH_SIZE = 64
_WEIGHTS = ("model.safetensors", "0_StaticEmbedding/model.safetensors")


class StaticEncoder:
    """A model2vec.StaticModel. Memory: its table, and the tokens of a batch."""

    def __init__(self, model: Any, config: DocumentVectorsConfig) -> None:
        self._model = model
        self._config = config
        self._max_length: int = config.max_length or model.max_length or 512

    @property
    def vector_size(self) -> int:
        """Dimensions of a vector."""
        return int(self._model.dim)

    def encode(
        self, texts: Sequence[str], advance: Callable[[int], None] = ignore_progress
    ) -> Encoded:
        """The vectors of documents."""
        return self._encode(texts, self._config.prompt or "", advance)

    def encode_queries(self, texts: Sequence[str]) -> Encoded:
        """The vectors of search queries."""
        return self._encode(texts, self._config.query_prompt or "", ignore_progress)

    def _encode(self, texts: Sequence[str], prompt: str, advance: Callable[[int], None]) -> Encoded:
        vectors = np.zeros((len(texts), self.vector_size), np.float32)
        is_cut = np.zeros(len(texts), np.bool_)
        step = self._config.batch_size or _BATCH_SIZE
        for start in range(0, len(texts), step):
            batch = [prompt + text for text in texts[start : start + step]]
            end = start + len(batch)
            vectors[start:end] = self._model.encode(
                batch, max_length=self._max_length, use_multiprocessing=False
            )
            is_cut[start:end] = self._are_cut(batch)
            advance(len(batch))
        is_known = np.atleast_1d(vectors.any(axis=1))
        if self._config.normalize:
            vectors = unit_rows(vectors)
        return Encoded(vectors, is_known, is_cut)

    def _are_cut(self, batch: Sequence[str]) -> list[bool]:
        """Which texts have more characters or tokens than model2vec accepts."""
        max_chars = self._max_length * self._model.median_token_length
        are_cut = [len(text) > max_chars for text in batch]
        # A token has at least one byte, so texts with fewer bytes need no counting.
        unsure = [
            place
            for place, text in enumerate(batch)
            if not are_cut[place] and len(text.encode()) > self._max_length
        ]
        tokenizer = self._model.tokenizer
        tokenizer.no_truncation()
        for place in unsure:
            n_tokens = len(tokenizer.encode(batch[place], add_special_tokens=False).ids)
            are_cut[place] = n_tokens > self._max_length
        return are_cut


def load_static_encoder(folder: Path, config: DocumentVectorsConfig) -> StaticEncoder:
    """Load a model2vec folder. Raises EncoderError."""
    model2vec = import_extra("model2vec")
    safetensors = import_extra("safetensors")
    if not any((folder / name).is_file() for name in _WEIGHTS):
        raise EncoderError(
            f"{config.path}: no model2vec folder, it has no {_WEIGHTS[0]}; for another folder of "
            f"sentence-transformers write encoder: sentence-transformers"
        )
    try:
        with untyped_errors():
            model = model2vec.StaticModel.from_pretrained(folder, force_download=False)
    except (*_DAMAGE, safetensors.SafetensorError) as error:
        raise EncoderError(
            f"{config.path}: the encoder cannot be loaded, a file of it may be cut "
            f"({type(error).__name__}: {error}); fetch it again"
        ) from error
    return StaticEncoder(model, config)
