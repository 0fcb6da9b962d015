"""The tokenizer ``chinese``: words of ideographs by dictionary, with jieba's algorithm."""

from __future__ import annotations

import re
from functools import cache

from .character_classes import ideographs
from .libraries import import_library
from .settings import TokenizerSettings
from .text_cutting import Cutter, by_script
from .unicode_words import make_unicode_tokenizer


def make_chinese_tokenizer(settings: TokenizerSettings, _definition: str | None) -> Cutter:
    """Runs of ideographs are cut by rjieba; all else by the tokenizer ``unicode``.

    jieba takes the most probable path through its dictionary, and a hidden Markov model for
    what is not in it. Words that mix scripts (卡拉OK) are cut where the script changes.
    Raises LibraryMissing.
    """
    # An instance of our own: the module's may have got words from other code in the process.
    cut = import_library("rjieba", "chinese").Jieba().cut
    return by_script(_run(), cut, make_unicode_tokenizer(settings))


@cache
def _run() -> re.Pattern[str]:
    return re.compile(f"[{ideographs()}]+")
