"""What a tokenizer must know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

NormalForm = Literal["NFC", "NFKC"]
Locale = Literal["tr", "az", "lt"]
JapaneseMode = Literal["A", "B", "C"]
SubwordAlgorithm = Literal["bpe", "unigram"]


class TokenizerSettings(Protocol):
    """The keys of the config's section ``tokenize``."""

    @property
    def tokenizer(self) -> str:
        """Its name: a key of :data:`.tokenizers.TOKENIZERS`."""

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
    def casefold(self) -> bool:
        """Whether lower-casing is Unicode's full case folding."""

    @property
    def locale(self) -> Locale | None:
        """The language whose rules lower-casing follows where they differ."""

    @property
    def apostrophes(self) -> Literal["keep", "split"]:
        """Whether an apostrophe inside a word belongs to it or separates."""

    @property
    def hyphens(self) -> Literal["split", "keep"]:
        """Whether a hyphen inside a word separates or belongs to it."""

    @property
    def japanese_mode(self) -> JapaneseMode | None:
        """Of the tokenizer japanese: Sudachi's mode; None is C."""

    @property
    def spacy_language(self) -> str | None:
        """Of the tokenizer spacy: the language's code; None is xx."""

    @property
    def subword_algorithm(self) -> SubwordAlgorithm | None:
        """Of the tokenizer subword, where it is trained; None is bpe."""

    @property
    def subword_vocabulary(self) -> int | None:
        """Of the tokenizer subword, where it is trained: pieces; None is 8,000."""

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
    casefold: bool = False
    locale: Locale | None = None
    apostrophes: Literal["keep", "split"] = "keep"
    hyphens: Literal["split", "keep"] = "split"
    japanese_mode: JapaneseMode | None = None
    spacy_language: str | None = None
    subword_algorithm: SubwordAlgorithm | None = None
    subword_vocabulary: int | None = None
