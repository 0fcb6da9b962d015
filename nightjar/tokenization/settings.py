"""What a tokenizer must know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

NormalForm = Literal["NFC", "NFKC"]


class TokenizerSettings(Protocol):
    """The keys of the config's section ``tokenize``."""

    @property
    def tokenizer(self) -> str:
        """Its name: unicode, whitespace or regex."""

    @property
    def pattern(self) -> str | None:
        """Of the regex tokenizer: what is a token."""

    @property
    def normalization(self) -> NormalForm | None:
        """NFC, NFKC or None."""

    @property
    def lowercase(self) -> bool:
        """Whether text is lower-cased."""

    @property
    def split_sentences(self) -> bool:
        """Whether stops end a sentence; a line break always does."""

    @property
    def min_token_chars(self) -> int:
        """Shorter tokens are dropped."""

    @property
    def max_token_chars(self) -> int:
        """Longer tokens are dropped."""


@dataclass(frozen=True)
class Settings:
    """The settings where there is no config: in a registered model."""

    tokenizer: str
    pattern: str | None
    normalization: NormalForm | None
    lowercase: bool
    split_sentences: bool
    min_token_chars: int
    max_token_chars: int
