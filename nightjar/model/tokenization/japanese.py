"""The tokenizer ``japanese``: morphemes by Sudachi."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from .character_classes import ideographs
from .libraries import import_library
from .settings import TokenizerSettings
from .text_cutting import Cutter, by_script
from .unicode_words import make_unicode_tokenizer

_KANA = "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"
_BETWEEN = r"\s!-/:-@\[-`{-~\u2010-\u2027\u3000-\u3004\u3008-\u301f\u30fb\uff01-\uff0f\uff5f-\uff65"
"""Spaces and punctuation, which tell Sudachi where clauses end."""

MAX_CHARS = 2_000
"""Sudachi takes 49,149 bytes at a time, counted after its own normalisation, too, which may
make 18 bytes of one character."""
_OVERLAP = 100
"""Morphemes that end so near to the end of a window are cut again in the next one."""


def make_japanese_tokenizer(settings: TokenizerSettings, _definition: str | None) -> Cutter:
    """Runs of kana and ideographs are cut by Sudachi; all else by the tokenizer ``unicode``.

    ``japanese_mode`` is Sudachi's: A cuts into the shortest units, C keeps compounds and
    names whole. Tokens stand as they are written, not in their dictionary form. Raises
    LibraryMissing.
    """
    sudachi = import_library("sudachipy", "japanese")
    import_library("sudachidict_core", "japanese")
    dictionary = sudachi.Dictionary(dict="core")
    make = getattr(dictionary, "tokenizer", None) or dictionary.create  # before Sudachi 0.7
    analyser = make(mode=getattr(sudachi.SplitMode, settings.japanese_mode or "C"))

    def segment(run: str) -> Iterator[str]:
        return _pieces(analyser, run)

    return by_script(_run(), segment, make_unicode_tokenizer(settings))


def _pieces(analyser: Any, run: str) -> Iterator[str]:
    """The morphemes of a run of any length, window by window."""
    first = 0
    while first < len(run):
        window = run[first : first + MAX_CHARS]
        is_last = first + len(window) == len(run)
        done = 0
        for morpheme in analyser.tokenize(window):
            if not is_last and done and morpheme.end() > MAX_CHARS - _OVERLAP:
                break
            if morpheme.end() > done:
                yield window[done : morpheme.end()]
                done = morpheme.end()
        first += done or len(window)


@cache
def _run() -> re.Pattern[str]:
    written = f"{_KANA}{ideographs()}"
    return re.compile(f"[{written}](?:[{written}]++|[{_BETWEEN}]++(?=[{written}]))*+")
