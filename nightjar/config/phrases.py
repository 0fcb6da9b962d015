"""The section ``tokenize.phrases``: which words become one token."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from nightjar.config.sections import Section, Text
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
        5, ge=1, description="default scoring subtracts it, npmi drops what is rarer"
    )
    threshold: float = Field(10.0, description="a phrase scores above it; of npmi between -1 and 1")
    delimiter: Annotated[Text, AfterValidator(_inside_a_token)] = Field(
        "_", description="between the words of a phrase"
    )
    connector_words: Literal["english"] | list[Text] = Field(
        [], description="words that a phrase may have inside, as tokens; english: gensim's list"
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
        """The connector words themselves."""
        if self.connector_words == "english":
            return ENGLISH_CONNECTOR_WORDS
        return frozenset(self.connector_words)
