"""The section ``corpora``: named inputs, each of a kind, with what is done to them.

A kind of corpus is a section here and the stages in :mod:`nightjar.stages` that make its
artifacts; every kind ends in tokens, which the models learn from.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nightjar.config.sections import Section
from nightjar.config.sources import IngestConfig
from nightjar.config.tokenize import TokenizeConfig


class AcceptConfig(Section):
    """When a night's corpus is good enough to be searched, compared with and promoted from."""

    max_documents_lost: float = Field(
        0.2, ge=0, le=1, description="share of the documents of the last accepted night"
    )
    max_tokens_lost: float = Field(
        0.2, ge=0, le=1, description="share of the tokens of the last accepted night"
    )


class TextCorpusConfig(IngestConfig):
    """Documents of text, cut into sentences of tokens."""

    kind: Literal["text"]
    tokenize: TokenizeConfig = TokenizeConfig()
    accept: AcceptConfig = AcceptConfig()

    @property
    def ingest(self) -> IngestConfig:
        """What shapes the documents: all but how they are cut and judged."""
        values = {name: getattr(self, name) for name in IngestConfig.model_fields}
        return IngestConfig.model_construct(**values)


CorpusConfig = TextCorpusConfig
"""One section for each kind; a second kind makes this a union told apart by ``kind``."""
