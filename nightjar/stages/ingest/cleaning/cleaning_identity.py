"""What shapes a cleaned text beside the configuration."""

from __future__ import annotations

import unicodedata
from importlib import metadata

from nightjar.config.cleaning import CleaningConfig

REVISION = 1
"""Raised whenever the same text and configuration give another result than before."""
_ASK_UNICODE = frozenset({"repair", "unicode", "urls", "emails", "personal_data", "numbers"})
"""Steps that ask Python's tables what a letter is, or how characters are composed."""


def code_identity(config: CleaningConfig) -> dict[str, str]:
    """Revision, and the versions of what ``config`` uses; imports none of it.

    Unicode's version is that of Python's tables, for what asks them about characters.
    """
    identity = {"revision": str(REVISION)}
    if "repair" in config.steps:
        identity["ftfy"] = metadata.version("ftfy")
    if config.language.languages:
        identity["py3langid"] = metadata.version("py3langid")
    filters = config.filters
    if (
        _ASK_UNICODE & set(config.steps)
        or filters.max_symbol_ratio is not None
        or filters.max_digit_ratio is not None
    ):
        identity["unicode"] = unicodedata.unidata_version
    return identity
