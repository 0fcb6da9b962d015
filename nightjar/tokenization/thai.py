"""The tokenizer ``thai``: words by dictionary, newmm of PyThaiNLP."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from .cutting import Cutter, by_script
from .libraries import import_library
from .settings import TokenizerSettings
from .unicode_words import make_unicode_tokenizer

_RUN = re.compile("[\u0e01-\u0e3a\u0e40-\u0e4e]+")
"""Thai letters, vowels, tone marks and signs; Thai digits are numbers as others are."""
_READ_ONLY, _READ_ONLY_BEFORE = "PYTHAINLP_READ_ONLY", "PYTHAINLP_READ_MODE"


def make_thai_tokenizer(settings: TokenizerSettings, _definition: str | None) -> Cutter:
    """Runs of Thai are cut by newmm; all else by the tokenizer ``unicode``.

    newmm takes the fewest words of the dictionary in the package that respect clusters of
    Thai characters. Nothing is downloaded or written. Raises LibraryMissing.
    """
    with _read_only():
        newmm = import_library("pythainlp.tokenize.newmm", "thai")
        words = import_library("pythainlp.corpus.common", "thai").thai_words()
        trie = import_library("pythainlp.util", "thai").Trie(words)
    segment = partial(newmm.segment, custom_dict=trie, safe_mode=True)
    return by_script(_RUN, segment, make_unicode_tokenizer(settings))


@contextmanager
def _read_only() -> Iterator[None]:
    """Keep PyThaiNLP from making a directory in the user's home when it is imported."""
    if _READ_ONLY in os.environ or _READ_ONLY_BEFORE in os.environ:
        yield  # the user has decided
        return
    os.environ[_READ_ONLY] = "1"
    try:
        yield
    finally:
        del os.environ[_READ_ONLY]
