"""Embed: a vector for every document of an accepted night, by a champion or an encoder."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from nightjar.config import NightjarConfig
from nightjar.core import Keep, Of, Parent, Planning, Stage, StageContext, Wanted
from nightjar.stages.embed import (
    document_vectors_identity,
    embed_documents,
    find_earlier,
    opened_encoder,
    parts_directory,
    unwanted_parts,
)
from nightjar.stages.embed.erasing_vectors import erase_from_document_vectors
from nightjar.store import ArtifactRef, Identity, schemas


class EmbedDocuments(Stage):
    """The document vectors of an entry of ``document_vectors``."""

    name = schemas.DOCUMENT_VECTORS
    verb = "embed"
    of = Of.VECTORS
    keep = Keep.SERVED
    about = (
        "for each entry of `document_vectors`: a vector for every document of an accepted night, "
        "by a model's champion or a pre-trained encoder"
    )
    tables = {"vectors": schemas.document_vectors_schema}
    erasers = {schemas.DOCUMENT_VECTORS: erase_from_document_vectors}
    is_served = True

    @classmethod
    def subjects(cls, config: NightjarConfig) -> Iterable[str]:
        """Every entry of ``document_vectors``."""
        return config.document_vectors

    def parents(self) -> Iterable[Parent]:
        """The documents, and the embeddings of its model."""
        entry = self.config.document_vectors[self.subject]
        yield Parent(schemas.DOCUMENTS, self.config.corpus_of_vectors(self.subject))
        if entry.model is not None:
            yield Parent(schemas.EMBEDDINGS, entry.model)

    def identity(self, planning: Planning) -> Identity:
        """Documents, and the model or the encoder's files."""
        return document_vectors_identity(
            self.subject,
            self.config.document_vectors[self.subject],
            self.loaded.base_dir,
            planning.parents[schemas.DOCUMENTS],
            planning.parents.get(schemas.EMBEDDINGS),
        )

    def write(self, context: StageContext) -> None:
        """As :func:`.embed_documents`."""
        entry = self.config.document_vectors[self.subject]
        earlier = find_earlier(context.store, context.identity)
        with opened_encoder(
            entry, context.base_dir, context.store, context.identity, context.staging.directory
        ) as encoder:
            embed_documents(encoder, context.parent(schemas.DOCUMENTS), context, earlier)

    def finish(self, ref: ArtifactRef) -> None:
        """What was encoded before a kill goes."""
        stage_dir = self.loaded.artifacts_dir / self.name
        shutil.rmtree(parts_directory(stage_dir, ref.version), ignore_errors=True)

    @classmethod
    def surplus(cls, root: Path, wanted: Wanted) -> Iterable[Path]:
        """Parts of encodings given up."""
        return unwanted_parts(root / cls.name, wanted.planned)
