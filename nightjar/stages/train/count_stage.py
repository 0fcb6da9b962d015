"""Count: tokens to the co-occurrences that GloVe learns from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from nightjar.config import GloVeConfig, NightjarConfig
from nightjar.core import Keep, Of, Parent, Planning, Stage, StageContext
from nightjar.stages.train import cooccurrences_identity, count
from nightjar.stages.train.resources import read_resources
from nightjar.store import Identity, schemas


class Count(Stage):
    """Co-occurrences; models that count alike share them."""

    name = schemas.COOCCURRENCES
    verb = "count"
    of = Of.MODEL
    keep = Keep.CORPUS
    about = "for GloVe: which words occur near each other, once for all models that count alike"
    tables = {"cooccurrences": schemas.COOCCURRENCES_SCHEMA}
    uses_executor = True

    @classmethod
    def subjects(cls, config: NightjarConfig) -> Iterable[str]:
        """Every GloVe model."""
        return [name for name, model in config.models.items() if isinstance(model, GloVeConfig)]

    def parents(self) -> Iterable[Parent]:
        """The tokens of the model's corpus."""
        return (Parent(schemas.TOKENS, self.config.corpus_of(self.subject)),)

    def identity(self, planning: Planning) -> Identity:
        """Only what shapes the counts."""
        identity = cooccurrences_identity(
            self._model, planning.parents[schemas.TOKENS], self.config.corpus_of(self.subject)
        )
        if identity is None:
            raise TypeError(f"{self.subject} learns from no co-occurrences")
        return identity

    def write(self, context: StageContext) -> None:
        """As :func:`.count`."""
        tokens = context.parent(schemas.TOKENS)
        resources = read_resources(self.loaded.artifacts_dir)
        count(self.subject, self._model, self.config.training, tokens, context, resources)

    @property
    def _model(self) -> GloVeConfig:
        return cast("GloVeConfig", self.config.models[self.subject])
