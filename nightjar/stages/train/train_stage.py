"""Train: the embeddings of one model, learnt, imported or made from another model's."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from nightjar.config import (
    GloVeConfig,
    ImportConfig,
    NightjarConfig,
    SifConfig,
    UsifConfig,
    base_of,
)
from nightjar.core import Keep, Of, Parent, Planning, Stage, StageContext, Wanted
from nightjar.stages.train import (
    Lessons,
    Parents,
    checkpoint_path,
    embeddings_identity,
    fit_encoder,
    import_vectors,
    train,
    unwanted_checkpoints,
)
from nightjar.stages.train.resources import read_resources
from nightjar.store import ArtifactRef, Identity, names, schemas

_VERBS = {"import": "import", "sif": "weigh", "usif": "weigh"}
"""By trainer, of those that do not train."""


class Train(Stage):
    """The embeddings of a model."""

    name = schemas.EMBEDDINGS
    verb = "train"
    of = Of.MODEL
    keep = Keep.MODEL
    about = "one model: Word2Vec, FastText, GloVe; pre-trained vectors; a sentence encoder"
    tables = {
        "vectors": schemas.vectors_schema,
        "output_vectors": schemas.output_vectors_schema,
        "ngrams": schemas.ngrams_schema,
        "word_rows": schemas.input_vectors_schema,
        "parameters": schemas.glove_parameters_schema,
        "components": schemas.components_schema,
        "losses": schemas.LOSSES_SCHEMA,
    }
    files = (schemas.WORDS_FILE, schemas.TOKENIZER_FILE)

    @classmethod
    def subjects(cls, config: NightjarConfig) -> Iterable[str]:
        """Every model."""
        return config.models

    @property
    def subject_verb(self) -> str:
        """Train, import or weigh."""
        return _VERBS.get(self.config.models[self.subject].trainer, self.verb)

    def parents(self) -> Iterable[Parent]:
        """Tokens, co-occurrences of GloVe, the embeddings that it is made from."""
        model = self.config.models[self.subject]
        if isinstance(model, ImportConfig):
            return
        yield Parent(schemas.TOKENS, self.config.corpus_of(self.subject))
        if isinstance(model, GloVeConfig):
            yield Parent(schemas.COOCCURRENCES, self.subject)
        base = base_of(model)
        if base is not None:
            yield Parent(schemas.EMBEDDINGS, base)

    def identity(self, planning: Planning) -> Identity:
        """Model, parents and the code of its trainer."""
        found = planning.parents
        parents = Parents(
            found.get(schemas.TOKENS, ""),
            found.get(schemas.EMBEDDINGS),
            found.get(schemas.COOCCURRENCES),
        )
        return embeddings_identity(self.subject, self.config, self.loaded.base_dir, parents)

    def write(self, context: StageContext) -> None:
        """As :func:`.train`, ``import_vectors`` or ``fit_encoder``."""
        model = self.config.models[self.subject]
        if isinstance(model, ImportConfig):
            import_vectors(self.subject, model, context.base_dir, context.staging, context.progress)
            return
        tokens = context.parent(schemas.TOKENS)
        base = context.find_parent(schemas.EMBEDDINGS)
        if isinstance(model, SifConfig | UsifConfig):
            if base is None:
                raise TypeError(f"{self.subject} is made from no model")
            fit_encoder(self.subject, model, base, tokens, context.staging, context.progress)
            return
        lessons = Lessons(tokens, context.find_parent(schemas.COOCCURRENCES), base)
        resources = read_resources(self.loaded.artifacts_dir)
        train(self.subject, model, self.config.training, lessons, context, resources)

    def changed_input(self, planned: Identity) -> str:
        """The files of an imported model, if they are not those of the plan any more."""
        if not isinstance(self.config.models[self.subject], ImportConfig):
            return ""
        now = embeddings_identity(self.subject, self.config, self.loaded.base_dir, Parents(""))
        return "" if now.inputs == planned.inputs else f"models.{self.subject}.path"

    def finish(self, ref: ArtifactRef) -> None:
        """The checkpoint goes."""
        stage_dir = self.loaded.artifacts_dir / self.name
        checkpoint_path(stage_dir, ref.version).unlink(missing_ok=True)

    @classmethod
    def surplus(cls, root: Path, wanted: Wanted) -> Iterable[Path]:
        """Checkpoints of trainings given up, and what was drawn of vectors that go."""
        yield from unwanted_checkpoints(root / cls.name, wanted.planned)
        for name in names(root / schemas.DERIVED_DIR):
            if name.partition("-")[0] not in wanted.kept:
                yield root / schemas.DERIVED_DIR / name
