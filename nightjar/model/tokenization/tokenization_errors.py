"""What can be wrong with a tokenizer's settings, or missing where it is made."""

from __future__ import annotations


class TokenizerError(ValueError):
    """A tokenizer cannot be made, or a text not cut by it: the message says what to do."""


class PatternError(TokenizerError):
    """A pattern matches the empty string."""


class LibraryMissing(TokenizerError):
    """A library that the tokenizer needs is not installed."""


class DefinitionError(TokenizerError):
    """The definition of a tokenizer is missing, or cannot be used."""
