"""Index: from document vectors to the index that ``nightjar search`` uses.

``vectors.npy`` has the unit vector of each document and is memory-mapped, so exact search starts at
once. A corpus of :data:`APPROXIMATE_FROM` documents or more also gets an HNSW graph. If the encoder
is the same as last time, the last graph is updated: deleted documents are removed, new ones added.
New embeddings change every vector, so the graph is built anew.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nightjar.config import NightjarConfig
from nightjar.core import Keep, Of, Parent, Planning, Stage
from nightjar.core.stage import Erased, Fate, Rewriting, StageContext, are_of
from nightjar.errors import StoreError
from nightjar.formats.embeddings import matrix_of
from nightjar.formats.spaces import SPACE
from nightjar.model.lookup.lookup_files import map_array, write_matrix
from nightjar.model.lookup.nearest import row_lengths, unit_rows
from nightjar.progress import Progress
from nightjar.stages.index.building import (
    DTYPE,
    INDEX_FILE,
    BuiltIndex,
    IndexedRows,
    IndexSettings,
    Sample,
    add_rows,
    build_index,
    measure,
    new_index,
    usearch_version,
)
from nightjar.store import Artifact, Identity, Manifest, Staging, Store, schemas

logger = logging.getLogger(__name__)


REVISION = 1
"""Raise it when the same vectors give a different index than before."""
APPROXIMATE_FROM = 100_000
"""From this number of documents on there is a graph. Exact search reads every vector: 100,000 of
300 dimensions are 120 MB and take about 20 ms, less than starting the command."""
MAX_CHANGED = 0.3
"""The largest share of the last graph's documents that may be deleted before the graph is built
anew: removed rows leave gaps and broken links behind."""
VECTORS_FILE = "vectors.npy"
NO_KEY = -1


@dataclass(frozen=True)
class DocumentIndexSettings:
    """When to build a graph, and how."""

    approximate_from: int = APPROXIMATE_FROM
    max_changed: float = MAX_CHANGED
    graph: IndexSettings = field(default_factory=IndexSettings)


DEFAULTS = DocumentIndexSettings()


def search_index_identity(
    name: str, document_vectors_version: str, settings: DocumentIndexSettings = DEFAULTS
) -> Identity:
    """The identity of the search index of the document vectors ``name``.

    The graph that it was updated from is left out, like the order of work of several threads: the
    recall was measured either way.
    """
    return Identity(
        stage=schemas.SEARCH_INDEX,
        name=name,
        config={**asdict(settings), "dtype": DTYPE},
        parents={schemas.DOCUMENT_VECTORS: document_vectors_version},
        code={"revision": REVISION, "usearch": usearch_version()},
    )


def index_documents(
    document_vectors: Artifact,
    context: StageContext,
    settings: DocumentIndexSettings = DEFAULTS,
) -> None:
    """Write ``entries``, ``vectors.npy`` and, for a large corpus, the graph.

    Memory: ids and hashes of the documents, and the graph (2 bytes per value and about 200 bytes
    per document). Raises RecallTooLow when the graph's recall stays too low.
    """
    staging, progress = context.staging, context.progress
    documents = _write_vectors(document_vectors, staging, progress)
    has_vector = _has_vector(staging.directory / VECTORS_FILE)
    encoder = _encoder(document_vectors.manifest)
    staging.counts["documents"] = len(has_vector)
    staging.counts["indexed"] = int(has_vector.sum())
    staging.counts["without_known_words"] = int((~has_vector).sum())
    staging.report.update(encoder=encoder, approximate=False)
    staging.report[SPACE] = document_vectors.manifest.report.get(SPACE)
    keys = np.where(has_vector, np.arange(len(has_vector)), NO_KEY)
    if has_vector.sum() >= settings.approximate_from and usearch_version() is not None:
        work = _Work(staging, documents, has_vector, settings, context.n_workers, progress)
        previous = _previous(context.store, document_vectors.manifest.name, encoder, settings)
        keys = work.grow(previous) if previous is not None else work.build()
    column = pa.array(keys, pa.int64(), mask=keys == NO_KEY)
    staging.write(
        "entries",
        pa.Table.from_arrays([*documents.columns, column], schema=schemas.INDEX_ENTRIES_SCHEMA),
    )


def _write_vectors(document_vectors: Artifact, staging: Staging, progress: Progress) -> pa.Table:
    """Write the unit rows, zeros where a document has no vector; returns ids and hashes."""
    n_rows = document_vectors.rows("vectors")
    vector_size = document_vectors.schema("vectors").field("vector").type.list_size
    batches: list[pa.RecordBatch] = []
    progress.start("read vectors", n_rows, "documents")
    with write_matrix(staging.add_file(VECTORS_FILE), n_rows, vector_size) as write:
        for batch in document_vectors.batches("vectors"):
            matrix = matrix_of(batch)
            write(unit_rows(matrix, row_lengths(matrix)))
            batches.append(batch.select(["doc_id", "content_sha256"]))
            progress.advance(len(batch))
    schema = pa.schema([schemas.INDEX_ENTRIES_SCHEMA.field(place) for place in (0, 1)])
    return pa.Table.from_batches(batches).cast(schema) if batches else schema.empty_table()


def _has_vector(path: Path) -> NDArray[np.bool_]:
    matrix = map_array(path)
    found: NDArray[np.bool_] = row_lengths(matrix) > 0
    return found


def _encoder(manifest: Manifest) -> dict[str, Any]:
    """The encoder's part of an identity: all but the documents."""
    identity = Identity(
        stage=manifest.stage,
        name=manifest.name,
        config=manifest.identity["config"],
        parents={
            stage: version
            for stage, version in manifest.parents.items()
            if stage != schemas.DOCUMENTS
        },
        inputs=manifest.identity["inputs"],
        code=manifest.identity["code"],
    )
    digest = manifest.parent_digests.get(schemas.EMBEDDINGS, "")
    return {**identity.as_json(), "embeddings_digest": digest}


def _previous(
    store: Store, name: str, encoder: Mapping[str, Any], settings: DocumentIndexSettings
) -> Artifact | None:
    """The newest intact graph of the same encoder and settings; None without one."""
    expected = search_index_identity(name, "", settings)
    for ref in reversed(store.versions(schemas.SEARCH_INDEX)):
        try:
            artifact = store.open(ref)
        except StoreError as error:
            logger.warning("%s is passed over: %s", ref, error)
            continue
        manifest = artifact.manifest
        is_alike = (
            manifest.name == name
            and manifest.report["encoder"] == encoder
            and manifest.identity["config"] == expected.as_json()["config"]
            and manifest.identity["code"] == expected.as_json()["code"]
        )
        if is_alike and artifact.has_file(INDEX_FILE):
            return artifact
    return None


@dataclass(frozen=True, eq=False)
class _Work:
    """One graph in the making."""

    staging: Staging
    documents: pa.Table
    has_vector: NDArray[np.bool_]
    settings: DocumentIndexSettings
    n_threads: int
    progress: Progress

    def build(self) -> NDArray[np.int64]:
        """Build a graph of all documents; returns their keys."""
        keys = np.where(self.has_vector, np.arange(len(self.has_vector)), NO_KEY)
        built = build_index(self._rows(keys), self.settings.graph, self.n_threads, self.progress)
        self._save(built, None, added=int(self.has_vector.sum()), removed=0)
        return keys

    def grow(self, previous: Artifact) -> NDArray[np.int64]:
        """Update the graph of ``previous``; builds it anew if recall or overlap is too low."""
        entries = previous.read("entries")
        old_keys = _keys(entries)
        places = pc.index_in(_names(self.documents), value_set=_names(entries))
        places = pc.fill_null(places, NO_KEY).to_numpy()
        kept = np.where((places >= 0) & self.has_vector, old_keys[places], NO_KEY)
        # Documents with the same id and text share an entry; the first of them keeps the key.
        is_first = np.zeros(len(kept), dtype=bool)
        is_first[np.unique(kept, return_index=True)[1]] = True
        kept[~is_first] = NO_KEY
        removed = np.setdiff1d(old_keys[old_keys != NO_KEY], kept)
        n_old = int((old_keys != NO_KEY).sum())
        if len(removed) > self.settings.max_changed * n_old:
            logger.info("%d of %d documents are gone: built anew", len(removed), n_old)
            return self.build()
        return self._update(previous, kept, removed, int(old_keys.max(initial=NO_KEY)) + 1)

    def _update(
        self,
        previous: Artifact,
        kept: NDArray[np.int64],
        removed: NDArray[np.int64],
        next_key: int,
    ) -> NDArray[np.int64]:
        report = previous.manifest.report
        index = new_index(
            map_array(self.staging.directory / VECTORS_FILE).shape[1],
            report["connectivity"],
            report["expansion_add"],
        )
        index.load(previous.file_path(INDEX_FILE))
        added = np.flatnonzero((kept == NO_KEY) & self.has_vector)
        keys = kept.copy()
        keys[added] = np.arange(next_key, next_key + len(added))
        indexed = self._rows(keys)
        self.progress.start("update the index", len(added) + len(removed), "documents")
        if len(removed):
            index.remove(removed.astype(np.uint64))
            self.progress.advance(len(removed))
        add_rows(index, indexed, added, self.n_threads, self.progress)
        graph = self.settings.graph
        sample = Sample.drawn(indexed, graph)
        reached = replace(
            graph,
            connectivity=report["connectivity"],
            expansion_add=report["expansion_add"],
            expansion_search=report["expansion_search"],
        )
        for trial in measure(index, indexed, sample, reached):
            if trial.recall >= graph.min_recall:
                built = BuiltIndex(index, (trial,))
                self._save(built, previous, added=len(added), removed=len(removed))
                return keys
        logger.info("the updated index finds too little: built anew")
        return self.build()

    def _rows(self, keys: NDArray[np.int64]) -> IndexedRows:
        matrix = map_array(self.staging.directory / VECTORS_FILE)
        return IndexedRows(matrix, self.has_vector.astype(np.float32), keys)

    def _save(self, built: BuiltIndex, previous: Artifact | None, added: int, removed: int) -> None:
        built.save(self.staging.add_file(INDEX_FILE))
        self.staging.counts["added"] = added
        self.staging.counts["removed"] = removed
        self.staging.report.update(
            built.report(),
            approximate=True,
            threads=self.n_threads,
            grown_from=None if previous is None else str(previous.ref),
        )


def _names(documents: pa.Table) -> pa.ChunkedArray:
    """What identifies a document: its id and its text."""
    return pc.binary_join_element_wise(
        documents.column("doc_id"), documents.column("content_sha256"), "\0"
    )


def _keys(entries: pa.Table) -> NDArray[np.int64]:
    """The key of each document, :data:`NO_KEY` where it has no vector."""
    keys: NDArray[np.int64] = pc.fill_null(entries.column("key"), NO_KEY).to_numpy()
    return keys


def open_rows(index: Artifact) -> IndexedRows:
    """The unit vectors of an index, memory-mapped, and the key of each."""
    keys = _keys(index.read("entries", ["key"]))
    matrix = map_array(index.file_path(VECTORS_FILE))
    return IndexedRows(matrix, (keys != NO_KEY).astype(np.float32), keys)


def erase_from_search_index(store: Store, artifact: Artifact, erased: Erased) -> Rewriting | Fate:
    """Build an index of erased documents anew, because a graph would keep their vectors.

    Their rows must have been erased from the document vectors first. If those vectors are gone, the
    index is deleted.
    """
    hashes = artifact.read("entries", ["content_sha256"]).column("content_sha256")
    if not pc.any(are_of(hashes, erased.texts)).as_py():
        return Fate.UNTOUCHED
    version = artifact.manifest.parents[schemas.DOCUMENT_VECTORS]
    if not store.is_published(schemas.DOCUMENT_VECTORS, version):
        return Fate.DELETED
    vectors = store.open(store.ref(schemas.DOCUMENT_VECTORS, version))
    identity = Identity(**artifact.manifest.identity)

    def write(staging: Staging) -> None:
        staging.counts.clear()
        staging.report.clear()
        index_documents(vectors, StageContext(identity, staging), _settings(artifact))

    return write


def _settings(artifact: Artifact) -> DocumentIndexSettings:
    """The settings of ``artifact``, changed so that no earlier graph is reused."""
    config = {
        key: value for key, value in artifact.manifest.identity["config"].items() if key != "dtype"
    }
    settings = DocumentIndexSettings(**{**config, "graph": IndexSettings(**config["graph"])})
    return replace(settings, max_changed=-1.0)


class IndexDocuments(Stage):
    """The stage that makes the search index of one entry of ``document_vectors``."""

    name = schemas.SEARCH_INDEX
    verb = "index"
    of = Of.VECTORS
    keep = Keep.SERVED
    about = "makes document vectors searchable, starting from the last index where it can"
    tables = {"entries": schemas.INDEX_ENTRIES_SCHEMA}
    files = (VECTORS_FILE, INDEX_FILE)
    erasers = {schemas.SEARCH_INDEX: erase_from_search_index}
    is_served = True

    @classmethod
    def subjects(cls, config: NightjarConfig) -> Iterable[str]:
        """Every entry of ``document_vectors``."""
        return config.document_vectors

    def parents(self) -> Iterable[Parent]:
        """The document vectors."""
        return (Parent(schemas.DOCUMENT_VECTORS, self.subject),)

    def identity(self, planning: Planning) -> Identity:
        """The vectors and the index's settings."""
        return search_index_identity(self.subject, planning.parents[schemas.DOCUMENT_VECTORS])

    def write(self, context: StageContext) -> None:
        """See :func:`.index_documents`."""
        index_documents(context.parent(schemas.DOCUMENT_VECTORS), context)
