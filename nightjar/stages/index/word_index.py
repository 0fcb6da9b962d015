"""The approximate index of a model's words: an artifact that is built on request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from nightjar.errors import ArtifactDamaged, InputError
from nightjar.model.lookup import ApproximateIndex, QueryError, TableDamaged, VectorModel
from nightjar.progress import Progress
from nightjar.stages.index.building import (
    DTYPE,
    INDEX_FILE,
    IndexedRows,
    IndexSettings,
    build_index,
    usearch_version,
)
from nightjar.store import Artifact, Identity, Staging, Store, publish, schemas

REVISION = 1
"""Raise it when the same vectors and settings give a different index than before."""


@dataclass(frozen=True)
class WordIndexRequest:
    """An index of the words of one embeddings artifact."""

    name: str
    """Name of the model."""
    embeddings: str
    """Version of the embeddings artifact."""
    digest: str
    """Hash of its manifest: two trainings of one version may differ in bytes, and in neighbours."""
    model: VectorModel
    """The open files of these embeddings."""
    n_threads: int
    git_commit: str | None = None
    settings: IndexSettings = field(default_factory=IndexSettings)

    @property
    def identity(self) -> Identity:
        """The identity of the index. Raises InputError without usearch."""
        return Identity(
            stage=schemas.WORD_INDEX,
            name=self.name,
            config={**asdict(self.settings), "dtype": DTYPE, "embeddings_digest": self.digest},
            parents={schemas.EMBEDDINGS: self.embeddings},
            code={"revision": REVISION, "usearch": required_usearch()},
        )


def required_usearch() -> str:
    """The version of usearch. Raises InputError without it."""
    version = usearch_version()
    if version is None:
        raise InputError("an approximate index needs usearch: pip install 'nightjar[index]'")
    return version


def word_index(store: Store, request: WordIndexRequest, progress: Progress) -> Artifact:
    """Return the requested index; builds and publishes it if it does not exist yet.

    Raises InputError without usearch, RecallTooLow when the recall stays too low, StoreNotWritable,
    and ArtifactDamaged.
    """
    identity = request.identity

    def write(staging: Staging) -> None:
        table = request.model.table
        indexed = IndexedRows(table.vectors, table.norms)
        built = build_index(indexed, request.settings, request.n_threads, progress)
        built.save(staging.add_file(INDEX_FILE))
        staging.counts["words"] = len(table)
        staging.counts["indexed"] = len(built.index)
        staging.report.update(built.report(), threads=request.n_threads)

    if not store.is_published(identity.stage, identity.version):
        publish(store.root, identity, write, request.git_commit)
    return store.open(store.ref(identity.stage, identity.version))


def attach_word_index(model: VectorModel, index: Artifact) -> None:
    """Make ``model`` answer approximate queries from ``index``.

    Raises ArtifactDamaged, or InputError without usearch.
    """
    report: Mapping[str, Any] = index.manifest.report
    try:
        model.approximate_index = ApproximateIndex.open(
            index.file_path(INDEX_FILE), report["expansion_search"]
        )
    except (TableDamaged, KeyError) as error:
        raise ArtifactDamaged(
            f"{index.ref} cannot be used: {error}. Set it aside with 'nightjar verify "
            f"{index.ref} --set-aside'; it is built anew when it is asked for"
        ) from error
    except QueryError as error:
        raise InputError(str(error)) from error
