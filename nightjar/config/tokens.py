"""The section ``tokenize``: how text is cut into tokens."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from nightjar.config.phrases import PhrasesConfig
from nightjar.config.sections import Regex, Section


class TokenizeConfig(Section):
    """How a document becomes sentences of tokens."""

    tokenizer: Literal["unicode", "whitespace", "regex"] = "unicode"
    pattern: Regex | None = Field(None, description="of the regex tokenizer: what is a token")
    normalization: Literal["NFC", "NFKC"] | None = "NFKC"
    lowercase: bool = True
    split_sentences: bool = Field(True, description="else a line is a sentence")
    min_token_chars: int = Field(1, ge=1)
    max_token_chars: int = Field(40, ge=1)
    phrases: PhrasesConfig | None = Field(None, description="null: a token is a word")

    @model_validator(mode="after")
    def _pattern_belongs_to_regex(self) -> Self:
        if (self.tokenizer == "regex") != (self.pattern is not None):
            raise ValueError("pattern is for tokenizer: regex, and only for it")
        return self

    @model_validator(mode="after")
    def _some_length_is_allowed(self) -> Self:
        if self.min_token_chars > self.max_token_chars:
            raise ValueError("min_token_chars is above max_token_chars: no token would be left")
        return self
