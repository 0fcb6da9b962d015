"""Evaluate: scores of one model on the configured benchmarks."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial

from nightjar.config import NightjarConfig
from nightjar.core import Keep, Of, Parent, Planning, Stage, StageContext
from nightjar.formats.model_files import temporary_text_model
from nightjar.stages.evaluate import Encoder, evaluate, evaluation_identity
from nightjar.store import Identity, schemas


class Evaluate(Stage):
    """Scores of a model's embeddings."""

    name = schemas.EVALUATION
    verb = "evaluate"
    of = Of.MODEL
    keep = Keep.RECORD
    about = "word similarity, analogies and similarity of texts, with coverage and an interval"
    tables = {"scores": schemas.SCORES_SCHEMA}

    @classmethod
    def subjects(cls, config: NightjarConfig) -> Iterable[str]:
        """Every model."""
        return config.models

    def parents(self) -> Iterable[Parent]:
        """The embeddings."""
        return (Parent(schemas.EMBEDDINGS, self.subject),)

    def identity(self, planning: Planning) -> Identity:
        """Embeddings, and the benchmarks by content."""
        embeddings = planning.parents[schemas.EMBEDDINGS]
        return evaluation_identity(
            self.subject, self.config.evaluation, self.loaded.base_dir, embeddings
        )

    def write(self, context: StageContext) -> None:
        """As :func:`.evaluate`."""
        embeddings = context.parent(schemas.EMBEDDINGS)
        with ExitStack() as opened:

            def open_encoder() -> Encoder:
                files = temporary_text_model(self.subject, embeddings, context.staging.directory)
                return partial(opened.enter_context(files).encode, unknown="nan")

            evaluate(self.config.evaluation, embeddings, context, open_encoder)

    def changed_input(self, planned: Identity) -> str:
        """Whether a benchmark file is not that of the plan any more."""
        parents = dict(planned.parents)
        now = self.identity(Planning(parents))
        return "" if now.inputs == planned.inputs else f"a benchmark file of {self.label}"
