"""What tokenizers need beyond the standard library, imported when one is made."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType, ModuleType

from .tokenization_errors import LibraryMissing


@dataclass(frozen=True)
class Extra:
    """An extra of Nightjar: its name, and the distributions that a tokenizer takes from it."""

    name: str
    distributions: tuple[str, ...]


EXTRAS: Mapping[str, Extra] = MappingProxyType(
    {
        "chinese": Extra("chinese", ("rjieba",)),
        "japanese": Extra("japanese", ("sudachipy", "sudachidict-core")),
        "thai": Extra("thai", ("pythainlp",)),
        "subword": Extra("subword", ("tokenizers",)),
        "spacy": Extra("spacy", ("spacy",)),
    }
)
"""By the name of the tokenizer. Their versions shape the tokens."""


def import_library(module: str, tokenizer: str) -> ModuleType:
    """Import ``module``. Raises LibraryMissing, naming what to install for ``tokenizer``."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise LibraryMissing(missing_message(tokenizer)) from error


def missing_message(tokenizer: str) -> str:
    """What to say when a library of ``tokenizer`` is missing."""
    extra = EXTRAS[tokenizer]
    return (
        f"the tokenizer {tokenizer!r} needs {' and '.join(extra.distributions)}: pip install "
        f"'nightjar[{extra.name}]' (or pip install {' '.join(extra.distributions)})"
    )
