"""Encoders of sentence-transformers (BERT and similar), on the GPU if there is one.

The bits of a text's vector depend on the shape of its batch: on the padded length, and on the
number of rows when there are very few. So a text is padded to a length that depends on that text
alone, and every batch has the same number of rows. That makes a vector independent of the texts
around it, and a resumed or incremental run writes the same bytes as a full one: on the same device
with the same number of threads, libraries and batch_size.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nightjar.config import DocumentVectorsConfig
from nightjar.errors import EncoderError
from nightjar.model.lookup.nearest import unit_rows
from nightjar.model.tokenization import untyped_errors
from nightjar.stages.embed.encoder_files import import_extra
from nightjar.stages.embed.encoding import Bools, Encoded, Floats, ignore_progress
from nightjar.wording import counted

logger = logging.getLogger(__name__)

_LENGTHS = (*range(16, 129, 16), *range(160, 513, 32))
"""Lengths, in tokens, to which texts are padded; longer texts to multiples of 128."""
_CPU_ROWS = 8
"""More rows are no faster on a CPU, and the last batch of each length is padded to this size."""
_GPU_ROWS = 64
_COUNTED_TEXTS = 128
_UNSET_LENGTH = 1_000_000
_CHARS_PER_TOKEN = 100
"""A text is cut to this many characters per token before it is tokenized."""
_DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, ImportError)
"""Errors from loading a folder that is not an encoder, or is truncated."""
_DOCUMENT_PROMPTS = ("document", "passage", "corpus")


class SentenceEncoder:
    """A SentenceTransformer. Memory: its weights, and the activations of a batch."""

    def __init__(self, model: Any, config: DocumentVectorsConfig, max_length: int | None) -> None:
        self._model = model
        self._config = config
        self._max_length = max_length
        on_gpu = model.device.type != "cpu"
        self._n_rows = config.batch_size or (_GPU_ROWS if on_gpu else _CPU_ROWS)

    @property
    def vector_size(self) -> int:
        """Dimensions of a vector."""
        return int(self._model.get_embedding_dimension())

    def encode(
        self, texts: Sequence[str], advance: Callable[[int], None] = ignore_progress
    ) -> Encoded:
        """The vectors of documents, in batches of texts of similar length."""
        prompt = self._document_prompt()
        shortened = self._shortened(texts)
        n_tokens, n_without = self._count_tokens(shortened, prompt)
        vectors = np.zeros((len(texts), self.vector_size), np.float32)
        for length, places in self._groups(n_tokens):
            done = 0
            while done < len(places):
                chosen = places[done : done + self._n_rows]
                rows = self._rows([shortened[place] for place in chosen], prompt, length)
                if rows is None:
                    continue  # the device ran out of memory: try fewer rows
                vectors[chosen] = rows
                done += len(chosen)
                advance(len(chosen))
        is_known = n_tokens > n_without
        vectors[~is_known] = 0
        return Encoded(self._scaled(vectors), is_known, self._are_cut(texts, n_tokens))

    def encode_queries(self, texts: Sequence[str]) -> Encoded:
        """The vectors of search queries, with the encoder's query prompt."""
        shortened = self._shortened(texts)
        n_tokens, n_without = self._count_tokens(shortened, "")
        found = self._model.encode_query(
            shortened,
            prompt=self._config.query_prompt,
            batch_size=self._n_rows,
            show_progress_bar=False,
            **self._processing("longest", self._max_length),
        )
        vectors = np.array(found, np.float32).reshape(len(texts), self.vector_size)
        is_known = n_tokens > n_without
        vectors[~is_known] = 0
        return Encoded(self._scaled(vectors), is_known, self._are_cut(texts, n_tokens))

    def _document_prompt(self) -> str:
        """The configured prompt, or the one that the encoder was trained with."""
        if self._config.prompt is not None:
            return self._config.prompt
        prompts = self._model.prompts
        named = next((prompts[name] for name in _DOCUMENT_PROMPTS if prompts.get(name)), None)
        return str(named or prompts.get(self._model.default_prompt_name or "") or "")

    def _shortened(self, texts: Sequence[str]) -> list[str]:
        """The texts, cut to the characters that can matter: a text may have ten million."""
        if self._max_length is None:
            return list(texts)
        return [text[: self._max_length * _CHARS_PER_TOKEN] for text in texts]

    def _count_tokens(self, texts: Sequence[str], prompt: str) -> tuple[NDArray[np.int64], int]:
        """Tokens of each text with its prompt, untruncated, and of an empty text."""
        tokenizer = self._model.tokenizer
        counts = np.zeros(len(texts), np.int64)
        for start in range(0, len(texts), _COUNTED_TEXTS):
            stretch = [prompt + text for text in texts[start : start + _COUNTED_TEXTS]]
            counts[start : start + len(stretch)] = list(_lengths(tokenizer, stretch))
        return counts, next(_lengths(tokenizer, [prompt]))

    def _are_cut(self, texts: Sequence[str], n_tokens: NDArray[np.int64]) -> Bools:
        if self._max_length is None:
            return np.zeros(len(texts), np.bool_)
        max_chars = self._max_length * _CHARS_PER_TOKEN
        is_longer = np.array([len(text) > max_chars for text in texts], np.bool_)
        are_cut: Bools = is_longer | (n_tokens > self._max_length)
        return are_cut

    def _groups(self, n_tokens: NDArray[np.int64]) -> Iterator[tuple[int | None, NDArray[np.intp]]]:
        """Indices of the texts that are padded to the same length, the longest first."""
        if self._max_length is None:
            yield None, np.arange(len(n_tokens))
            return
        # The longest come first: if memory runs out, it does so at once.
        padded = np.array([_padded(int(count), self._max_length) for count in n_tokens], np.int64)
        for length in sorted(set(padded.tolist()), reverse=True):
            yield length, np.flatnonzero(padded == length)

    def _rows(self, texts: list[str], prompt: str, length: int | None) -> Floats | None:
        """The vectors of at most one batch of texts; None when the device has too little memory."""
        torch = import_extra("torch")
        filled = texts + texts[:1] * (self._n_rows - len(texts))
        try:
            found = self._model.encode_document(
                filled,
                prompt=prompt,
                batch_size=len(filled),
                show_progress_bar=False,
                **self._processing("max_length", length),
            )
        except RuntimeError as error:
            if self._n_rows == 1 or not _is_out_of_memory(torch, error):
                raise
            self._n_rows //= 2
            logger.warning("the device's memory is too small: batches of %d now", self._n_rows)
            _release_memory(torch)
            return None
        rows = np.array(found[: len(texts)], np.float32)
        if rows.shape[1] != self.vector_size:
            raise EncoderError(
                f"{self._config.path}: the encoder gives {counted(rows.shape[1], 'value')} a "
                f"vector and says that it gives {self.vector_size}; its files do not belong "
                f"together"
            )
        return rows

    @staticmethod
    def _processing(padding: str, length: int | None) -> dict[str, Any]:
        """How to pad and truncate to ``length``; empty for encoders that need neither."""
        if length is None:
            return {}
        text = {"padding": padding, "max_length": length, "truncation": "longest_first"}
        return {"processing_kwargs": {"text": text}}

    def _scaled(self, vectors: Floats) -> Floats:
        return unit_rows(vectors) if self._config.normalize else vectors


def _padded(n_tokens: int, max_length: int) -> int:
    """The length to which a text of ``n_tokens`` is padded or truncated."""
    fits = next((length for length in _LENGTHS if length >= n_tokens), -(-n_tokens // 128) * 128)
    return min(fits, max_length)


def _lengths(tokenizer: Any, texts: list[str]) -> Iterator[int]:
    """Tokens of each text, including special ones."""
    if hasattr(tokenizer, "encode_batch_fast"):  # of the library tokenizers (static embeddings)
        tokenizer.no_truncation()
        tokenizer.no_padding()
        yield from (len(found.ids) for found in tokenizer.encode_batch_fast(texts))
    else:
        found = tokenizer(texts, padding=False, truncation=False, verbose=False)
        yield from map(len, found["input_ids"])


def _is_out_of_memory(torch: Any, error: RuntimeError) -> bool:
    # On Apple's GPUs it is an ordinary RuntimeError.
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error)


def _release_memory(torch: Any) -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()


def load_sentence_encoder(folder: Path, config: DocumentVectorsConfig) -> SentenceEncoder:
    """Load a folder of sentence-transformers, without requests and without running its code.

    Raises EncoderError when it cannot be loaded, or the device does not exist.
    """
    library = import_extra("sentence_transformers")
    safetensors = import_extra("safetensors")
    device = _device(config)
    _check_folder(folder, config)
    import_extra("transformers.utils.logging").disable_progress_bar()
    try:
        with untyped_errors():
            model = library.SentenceTransformer(
                str(folder), device=device, trust_remote_code=False, local_files_only=True
            )
    except (*_DAMAGE, safetensors.SafetensorError) as error:
        raise _not_loaded(config, f"{type(error).__name__}: {error}") from error
    if model.get_embedding_dimension() is None:
        raise _not_loaded(config, "it does not say how long its vectors are")
    model.float()  # half precision would give other vectors
    model.eval()
    own_length = _own_length(model)
    if own_length is not None and (config.max_length or 0) > own_length:
        raise EncoderError(
            f"{config.path}: max_length is {config.max_length}, the encoder takes {own_length} "
            f"tokens at most; lower it"
        )
    max_length = own_length and (config.max_length or own_length)
    logger.info("%s: loaded on %s, texts of %s tokens", config.path, device, max_length or "any")
    return SentenceEncoder(model, config, max_length)


def _own_length(model: Any) -> int | None:
    """The most tokens that the encoder accepts; None without such a limit."""
    if not hasattr(model[0], "auto_model"):
        return None
    length = int(model.max_seq_length or _UNSET_LENGTH)
    if length < _UNSET_LENGTH:
        return length
    # A tokenizer without a limit stores a number of 30 digits.
    return int(getattr(model[0].auto_model.config, "max_position_embeddings", 512))


def _device(config: DocumentVectorsConfig) -> str:
    """The torch device to use. Raises EncoderError when the configured one does not exist."""
    torch = import_extra("torch")
    is_there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if config.device == "auto":
        return next((name for name, there in is_there.items() if there), "cpu")
    if not is_there.get(config.device, True):
        raise EncoderError(
            f"device: torch sees no {config.device} here; write device: auto to use a GPU only "
            f"where there is one"
        )
    return config.device


def _check_folder(folder: Path, config: DocumentVectorsConfig) -> None:
    names = ("modules.json", "config.json")
    found = [folder / name for name in names if (folder / name).is_file()]
    if not found:
        raise EncoderError(
            f"{config.path}: no folder of sentence-transformers, it has neither {names[0]} nor "
            f"{names[1]}"
        )
    # For truncated JSON, tokenizers raises a bare Exception.
    for path in [*found, *folder.glob("tokenizer*.json")]:
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise _not_loaded(config, f"{path.name}: {error}") from error


def _not_loaded(config: DocumentVectorsConfig, reason: str) -> EncoderError:
    return EncoderError(
        f"{config.path}: the encoder cannot be loaded, a file of it may be missing or cut "
        f"({reason}); fetch it again"
    )
