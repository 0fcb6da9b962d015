"""The section ``tokenize``: how text is split into tokens, and which words are joined."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from nightjar.config.sections import Regex, Section, Text
from nightjar.model.tokenization.known_phrases import ENGLISH_CONNECTOR_WORDS


def _inside_a_token(delimiter: str) -> str:
    if delimiter.split() != [delimiter]:
        raise ValueError(f"{delimiter!r} has white space, which no token has; '_' is the usual one")
    return delimiter


class PhrasesConfig(Section):
    """Words that occur together more often than by chance become one token (docs/phrases.md)."""

    scoring: Literal["default", "npmi"] = Field(
        "default", description="word2phrase's, or normalized pointwise mutual information"
    )
    min_count: int = Field(
        5, ge=1, description="the default scoring subtracts it, npmi drops rarer phrases"
    )
    threshold: float = Field(
        10.0, description="a phrase must score above it; for npmi between -1 and 1"
    )
    delimiter: Annotated[Text, AfterValidator(_inside_a_token)] = Field(
        "_", description="between the words of a phrase"
    )
    connector_words: Literal["english"] | list[Text] = Field(
        [], description="words that a phrase may contain, as tokens; english: gensim's list"
    )
    passes: int = Field(1, ge=1, description="2: phrases are joined with words and phrases, ...")

    @model_validator(mode="after")
    def _threshold_fits_scoring(self) -> Self:
        if self.scoring == "default" and self.threshold <= 0:
            raise ValueError("threshold must be above 0 for scoring: default; 10 is the usual one")
        if self.scoring == "npmi" and not -1 <= self.threshold <= 1:
            raise ValueError("threshold must be between -1 and 1 for scoring: npmi, such as 0.5")
        return self

    @property
    def connectors(self) -> frozenset[str]:
        """The connector words."""
        if self.connector_words == "english":
            return ENGLISH_CONNECTOR_WORDS
        return frozenset(self.connector_words)


_OF_TOKENIZER = {
    "pattern": "regex",
    "japanese_mode": "japanese",
    "spacy_language": "spacy",
    "subword_path": "subword",
    "subword_algorithm": "subword",
    "subword_vocabulary": "subword",
}
"""Keys that apply to one tokenizer only."""
_WITH_UNICODE_WORDS = ("unicode", "chinese", "japanese", "thai")


class TokenizeConfig(Section):
    """How a document becomes sentences of tokens (docs/tokenizers.md)."""

    tokenizer: Literal[
        "unicode", "whitespace", "regex", "chinese", "japanese", "thai", "subword", "spacy"
    ] = "unicode"
    pattern: Regex | None = Field(None, description="for the regex tokenizer: what a token is")
    normalization: Literal["forms", "NFC", "NFKC"] | None = Field(
        "forms",
        description="forms: NFC, full width, ligatures; NFKC also writes 10² as 102, ™ as tm",
    )
    lowercase: bool = True
    casefold: bool = Field(False, description="lower-case by full case folding: ß is ss")
    locale: Literal["tr", "az", "lt"] | None = Field(
        None, description="lower-case by this language's rules: dotted and dotless i"
    )
    apostrophes: Literal["keep", "split"] = Field("keep", description="inside a word: don't")
    hyphens: Literal["split", "keep"] = Field("split", description="inside a word: re-read")
    japanese_mode: Literal["A", "B", "C"] | None = Field(
        None, description="for japanese: A short units, B middle, C names unsplit; default: C"
    )
    spacy_language: Text | None = Field(
        None, description="for spacy: language code; default: xx, any language"
    )
    subword_path: Text | None = Field(
        None, description="for subword: a tokenizer.json; default: one is trained on the corpus"
    )
    subword_algorithm: Literal["bpe", "unigram"] | None = Field(
        None, description="for subword, if trained; default: bpe"
    )
    subword_vocabulary: int | None = Field(
        None,
        ge=2,
        le=1_000_000,
        description="for subword, if trained: number of pieces; default: 8000",
    )
    split_sentences: bool = Field(True, description="otherwise a line is a sentence")
    min_token_chars: int = Field(1, ge=1)
    max_token_chars: int = Field(40, ge=1)
    phrases: PhrasesConfig | None = Field(None, description="null: a token is a word")

    def shaping(self) -> dict[str, Any]:
        """The keys that shape the tokens, as JSON: a definition counts by content, not path."""
        return self.model_dump(mode="json", exclude={"subword_path"})

    def shaping_words(self) -> dict[str, Any]:
        """The keys that shape the tokens before phrases are joined."""
        return self.model_dump(mode="json", exclude={"subword_path", "phrases"})

    @model_validator(mode="after")
    def _keys_belong_to_the_tokenizer(self) -> Self:
        if (self.tokenizer == "regex") != (self.pattern is not None):
            raise ValueError("pattern is for tokenizer: regex, and only for it")
        for key, tokenizer in _OF_TOKENIZER.items():
            if getattr(self, key) is not None and self.tokenizer != tokenizer:
                raise ValueError(f"{key} is for tokenizer: {tokenizer}, and only for it")
        for key, default in (("apostrophes", "keep"), ("hyphens", "split")):
            if getattr(self, key) != default and self.tokenizer not in _WITH_UNICODE_WORDS:
                raise ValueError(
                    f"{key}: {getattr(self, key)} is for tokenizer: "
                    f"{', '.join(_WITH_UNICODE_WORDS)}; {self.tokenizer} has rules of its own"
                )
        return self

    @model_validator(mode="after")
    def _a_file_is_not_trained(self) -> Self:
        trained = ("subword_algorithm", "subword_vocabulary")
        given = [key for key in trained if getattr(self, key) is not None]
        if self.subword_path is not None and given:
            raise ValueError(
                f"subword_path names a finished tokenizer, {' and '.join(given)} would train "
                f"one; give either"
            )
        return self

    @model_validator(mode="after")
    def _folding_is_lower_casing(self) -> Self:
        for key in ("casefold", "locale"):
            if getattr(self, key) and not self.lowercase:
                raise ValueError(f"{key} says how to lower-case; it needs lowercase: true")
        return self

    @model_validator(mode="after")
    def _some_length_is_allowed(self) -> Self:
        if self.min_token_chars > self.max_token_chars:
            raise ValueError("min_token_chars is above max_token_chars: no token would be left")
        return self


VERBATIM = TokenizeConfig(
    tokenizer="whitespace",
    normalization=None,
    lowercase=False,
    split_sentences=False,
    max_token_chars=1_000_000,
)
"""For ids of nodes and items: as they are written; those of a text have white space between."""
