"""The libraries of pre-trained encoders: installed or not, imported when they are needed."""

from __future__ import annotations

from importlib import import_module, metadata
from typing import Any, Literal

from nightjar.errors import EncoderError
from nightjar.store import library_versions

_LIBRARIES = {
    "sentence-transformers": ("sentence-transformers", "transformers", "tokenizers", "torch"),
    "model2vec": ("model2vec", "tokenizers"),
}
"""What shapes the vectors of each kind of encoder."""


def encoder_versions(encoder: Literal["sentence-transformers", "model2vec"]) -> dict[str, str]:
    """Versions of what computes the vectors, nothing being imported. Raises EncoderError."""
    try:
        return library_versions(*_LIBRARIES[encoder])
    except metadata.PackageNotFoundError as error:
        raise _missing(str(error.name)) from error


def import_extra(name: str) -> Any:
    """The module ``name`` of the extra. Raises EncoderError when it is not installed."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise _missing(error.name or name) from error


def _missing(name: str) -> EncoderError:
    return EncoderError(
        f"pre-trained encoders need {name}, which is not installed: "
        f"pip install 'nightjar[encoders]'"
    )
