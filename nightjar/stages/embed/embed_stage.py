"""Embed: a vector for every document of an accepted night, by a champion or an encoder."""

from __future__ import annotations

import logging
import shutil
import time
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nightjar.config import DocumentVectorsConfig, NightjarConfig
from nightjar.core import Keep, Of, Parent, Planning, Stage, Wanted
from nightjar.core.stage import Erased, Fate, Rewriting, StageContext, are_of
from nightjar.errors import EncoderError, StoreError
from nightjar.formats.spaces import SPACE, space_of
from nightjar.progress import Progress
from nightjar.stages.embed.encoder_files import (
    encoder_versions,
    folder_files,
    hub_commit,
    is_hub_path,
    local_folder,
)
from nightjar.stages.embed.encoder_opening import opened_encoder
from nightjar.stages.embed.encoding import Bools, Encoded, Floats, TextEncoder
from nightjar.stages.embed.known_vectors import (
    EarlierVectors,
    PartKey,
    Parts,
    earlier_vectors,
    embeddings_digest,
    find_earlier,
    parts_directory,
    unwanted_parts,
)
from nightjar.store import (
    Artifact,
    ArtifactRef,
    Identity,
    Staging,
    Store,
    fingerprint,
    schemas,
)
from nightjar.store.schemas import DOCUMENT_VECTORS, DOCUMENTS, EMBEDDINGS, document_vectors_schema

logger = logging.getLogger(__name__)


REVISION = 1
"""Raise it when the same encoder and documents give different vectors than before."""


def document_vectors_identity(
    name: str,
    config: DocumentVectorsConfig,
    base_dir: Path,
    documents_version: str,
    embeddings_version: str | None = None,
) -> Identity:
    """The identity of the document_vectors artifact ``name``.

    ``embeddings_version`` is that of ``config.model``, if it names one. A local encoder is
    identified by its files, an encoder on the hub by its commit. Device and batch size are left
    out: they change only the last bits. Raises EncoderError without the extra, SourceError without
    the folder, HubUnavailable when a revision cannot be looked up.
    """
    if embeddings_version is not None:
        return Identity(
            stage=DOCUMENT_VECTORS,
            name=name,
            config={"name": name, "model": config.model, "normalize": config.normalize},
            parents={DOCUMENTS: documents_version, EMBEDDINGS: embeddings_version},
            code={"revision": REVISION, "unicode": unicodedata.unidata_version},
        )
    if config.encoder is None or config.path is None:
        raise ValueError(f"document_vectors.{name} is of a model: its embeddings are needed")
    is_of_hub = is_hub_path(config.path)
    included = {"encoder", "max_length", "prompt", "normalize"}
    described = {"name": name, **config.model_dump(mode="json", include=included)}
    if is_of_hub:
        described |= {"path": config.path, "commit": hub_commit(config)}
    return Identity(
        stage=DOCUMENT_VECTORS,
        name=name,
        config=described,
        parents={DOCUMENTS: documents_version},
        inputs=() if is_of_hub else folder_files(local_folder(config.path, base_dir)),
        code={"revision": REVISION, "libraries": encoder_versions(config.encoder)},
    )


PART_DOCUMENTS = 1_024
PART_CHARS = 2_000_000
"""A part is full when it reaches this size."""
_READ_ROWS = 256
_WRITE_ROWS = 4_096


@dataclass
class _Part:
    """Documents that are encoded together."""

    number: int
    doc_ids: list[str] = field(default_factory=list)
    hashes: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    n_chars: int = 0

    @property
    def is_full(self) -> bool:
        return len(self.texts) >= PART_DOCUMENTS or self.n_chars >= PART_CHARS


def embed_documents(
    encoder: TextEncoder,
    documents: Artifact,
    context: StageContext,
    earlier: Artifact | None = None,
) -> None:
    """Write the table ``vectors``, one row per document, in the order of ``documents``.

    Vectors that ``earlier`` (made by the same encoder) already has are copied from it. The rest is
    encoded in parts of 1,024 documents or 2,000,000 characters. Each finished part is saved beside
    the artifacts, and parts of a killed run are reused. Memory: one part, one row group of the
    documents, and 72 bytes per document of ``earlier``. Raises EncoderError when a vector is not
    finite.
    """
    staging, identity = context.staging, context.identity
    parts_dir = parts_directory(context.store.root / identity.stage, identity.version)
    with earlier_vectors(earlier, staging.directory, encoder.vector_size) as known:
        parts = Parts(parts_dir, encoder.vector_size)
        digest = embeddings_digest(context.store, identity)
        run = _Embedding(encoder, documents, staging, parts, known, digest)
        run.write(run.encode(context.progress), context.progress)
    staging.report["reused_from"] = str(earlier.ref) if earlier is not None and known else None
    logger.info("document vectors: %s", dict(staging.counts))


@dataclass(frozen=True)
class _Embedding:
    encoder: TextEncoder
    documents: Artifact
    staging: Staging
    parts: Parts
    earlier: EarlierVectors | None
    embeddings_digest: str

    def encode(self, progress: Progress) -> list[PartKey]:
        """Make sure that every part is on disk; returns the parts' keys in order."""
        counts = self.staging.counts
        n_documents = self.documents.rows("documents")
        n_reused = self._n_reused()
        counts.update(documents=n_documents, reused=n_reused, encoded=n_documents - n_reused)
        counts.update(documents_cut=0, documents_without_known_words=0)
        progress.start("embed documents", n_documents - n_reused, "documents")
        meter = _Meter(progress, n_documents - n_reused)
        keys = []
        for part in self._pending():
            key = PartKey.of(part.number, part.hashes, self.embeddings_digest)
            keys.append(key)
            encoded = self.parts.load(key)
            if encoded is None:
                encoded = self.encoder.encode(part.texts, meter.encoded)
                _check_finite(encoded, part)
                self.parts.save(key, encoded)
            else:
                meter.found(len(part.texts))
            counts["documents_cut"] += int(encoded.is_cut.sum())
        return keys

    def _n_reused(self) -> int:
        if self.earlier is None:
            return 0
        return sum(
            int((self.earlier.rows(batch.column(0).to_pylist()) >= 0).sum())
            for batch in self.documents.batches("documents", ["content_sha256"])
        )

    def _pending(self) -> Iterator[_Part]:
        """The documents without an earlier vector, in parts."""
        part = _Part(0)
        columns = ["doc_id", "content_sha256", "text"]
        for batch in self.documents.batches("documents", columns, _READ_ROWS):
            doc_ids, hashes = batch.column(0).to_pylist(), batch.column(1).to_pylist()
            texts = batch.column(2)
            for place in self._places_to_encode(hashes):
                text = texts[place].as_py()
                part.doc_ids.append(doc_ids[place])
                part.hashes.append(hashes[place])
                part.texts.append(text)
                part.n_chars += len(text)
                if part.is_full:
                    yield part
                    part = _Part(part.number + 1)
        if part.texts:
            yield part

    def _places_to_encode(self, hashes: Sequence[str]) -> list[int]:
        if self.earlier is None:
            return list(range(len(hashes)))
        places: list[int] = np.flatnonzero(self.earlier.rows(hashes) < 0).tolist()
        return places

    def write(self, keys: Sequence[PartKey], progress: Progress) -> None:
        """Merge earlier vectors and parts in the order of the documents."""
        schema = document_vectors_schema(self.encoder.vector_size)
        new = _NewVectors(self.parts, keys)
        progress.start("write vectors", self.documents.rows("documents"), "documents")
        with self.staging.writer("vectors", schema) as table:
            columns = ["doc_id", "content_sha256"]
            for batch in self.documents.batches("documents", columns, _WRITE_ROWS):
                vectors, is_known = self._rows(batch.column(1).to_pylist(), new)
                self.staging.counts["documents_without_known_words"] += int((~is_known).sum())
                values = pa.array(np.ascontiguousarray(vectors).reshape(-1))
                column = pa.FixedSizeListArray.from_arrays(values, type=schema.field(2).type)
                arrays = [batch.column(0), batch.column(1), column, pa.array(is_known)]
                table.write_batch(pa.record_batch(arrays, schema=schema))
                progress.advance(len(batch))

    def _rows(self, hashes: Sequence[str], new: _NewVectors) -> tuple[Floats, Bools]:
        """The vectors of some documents, and whether the encoder knows a token of each."""
        if self.earlier is None:
            return new.take(len(hashes))
        vectors = np.zeros((len(hashes), self.encoder.vector_size), np.float32)
        is_known = np.zeros(len(hashes), np.bool_)
        rows = self.earlier.rows(hashes)
        is_new = rows < 0
        vectors[~is_new], is_known[~is_new] = self.earlier.take(rows[~is_new])
        vectors[is_new], is_known[is_new] = new.take(int(is_new.sum()))
        return vectors, is_known


class _NewVectors:
    """The vectors of the parts in order, with one part in memory at a time."""

    def __init__(self, parts: Parts, keys: Sequence[PartKey]) -> None:
        self._parts = parts
        self._keys = iter(keys)
        self._vectors: Floats = np.zeros((0, parts.vector_size), np.float32)
        self._is_known: Bools = np.zeros(0, np.bool_)

    def take(self, n_rows: int) -> tuple[Floats, Bools]:
        """The next ``n_rows`` vectors, and whether the encoder knows a token of each."""
        vectors, flags = [self._vectors[:0]], [self._is_known[:0]]
        n_missing = n_rows
        while n_missing:
            if not len(self._vectors):
                self._open(next(self._keys))
            n_taken = min(n_missing, len(self._vectors))
            vectors.append(self._vectors[:n_taken])
            flags.append(self._is_known[:n_taken])
            self._vectors = self._vectors[n_taken:]
            self._is_known = self._is_known[n_taken:]
            n_missing -= n_taken
        return np.concatenate(vectors), np.concatenate(flags)

    def _open(self, key: PartKey) -> None:
        encoded = self._parts.load(key)
        if encoded is None:
            raise StoreError(
                f"{self._parts.directory}: part {key.number} was changed while it was used; run "
                f"the same command again"
            )
        self._vectors, self._is_known = encoded.vectors, encoded.is_known


def _check_finite(encoded: Encoded, part: _Part) -> None:
    is_finite = np.atleast_1d(np.isfinite(encoded.vectors).all(axis=1))
    if not is_finite.all():
        raise EncoderError(
            f"the vector of document {part.doc_ids[int(np.argmin(is_finite))]} is not finite "
            f"({int((~is_finite).sum())} of {len(is_finite)} here); the encoder's weights are "
            f"damaged or its numbers overflow: try another encoder, or device: cpu"
        )


class _Meter:
    """Texts per second and the time left, counting only texts that this run encodes."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._n_left = total
        self._n_encoded = 0
        self._started_at = time.monotonic()

    def found(self, n_texts: int) -> None:
        """Skip ``n_texts`` that a killed run had encoded."""
        self._n_left -= n_texts
        self._started_at = time.monotonic() if not self._n_encoded else self._started_at
        self._progress.advance(n_texts, "from the run before")

    def encoded(self, n_texts: int) -> None:
        """Count ``n_texts`` as encoded."""
        self._n_left -= n_texts
        self._n_encoded += n_texts
        rate = self._n_encoded / max(time.monotonic() - self._started_at, 1e-6)
        left = time_left(self._n_left / rate)
        self._progress.advance(n_texts, f"{rate:,.0f} texts/s, {left} left")


def time_left(seconds: float) -> str:
    """A duration in the largest unit that suits it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def erase_from_document_vectors(
    store: Store, artifact: Artifact, erased: Erased
) -> Rewriting | Fate:
    """Remove the rows of the erased documents."""
    del store
    n_gone = n_unknown = 0
    for batch in artifact.batches("vectors", ["content_sha256", "is_known"]):
        rows = batch.filter(are_of(batch.column("content_sha256"), erased.texts))
        n_gone += rows.num_rows
        n_unknown += rows.num_rows - pc.sum(rows.column("is_known")).as_py() if rows.num_rows else 0
    if not n_gone:
        return Fate.UNTOUCHED

    def write(staging: Staging) -> None:
        with staging.writer("vectors", artifact.schema("vectors")) as writer:
            for batch in artifact.batches("vectors"):
                writer.write_batch(
                    batch.filter(pc.invert(are_of(batch.column("content_sha256"), erased.texts)))
                )
        staging.counts["documents"] -= n_gone
        staging.counts["documents_without_known_words"] -= n_unknown

    return write


def _encoders_space(identity: Identity) -> str:
    """The id of the space of a pre-trained encoder: everything that shapes its vectors."""
    content = identity.as_json()
    config = {key: value for key, value in content["config"].items() if key != "name"}
    return fingerprint({"config": config, "inputs": content["inputs"], "code": content["code"]})


class EmbedDocuments(Stage):
    """The stage that makes the vectors of one entry of ``document_vectors``."""

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
        """The documents, and the embeddings of the entry's model if it names one."""
        entry = self.config.document_vectors[self.subject]
        yield Parent(schemas.DOCUMENTS, self.config.corpus_of_vectors(self.subject))
        if entry.model is not None:
            yield Parent(schemas.EMBEDDINGS, entry.model)

    def identity(self, planning: Planning) -> Identity:
        """The documents, and the model or the encoder's files."""
        return document_vectors_identity(
            self.subject,
            self.config.document_vectors[self.subject],
            self.loaded.base_dir,
            planning.parents[schemas.DOCUMENTS],
            planning.parents.get(schemas.EMBEDDINGS),
        )

    def write(self, context: StageContext) -> None:
        """See :func:`.embed_documents`."""
        entry = self.config.document_vectors[self.subject]
        earlier = find_earlier(context.store, context.identity)
        with opened_encoder(
            entry, context.base_dir, context.store, context.identity, context.staging.directory
        ) as encoder:
            embed_documents(encoder, context.parent(schemas.DOCUMENTS), context, earlier)
        embeddings = context.find_parent(schemas.EMBEDDINGS)
        space = _encoders_space(context.identity) if embeddings is None else space_of(embeddings)
        context.staging.report[SPACE] = {"id": space}

    def finish(self, ref: ArtifactRef) -> None:
        """Delete the parts, now that the artifact is published."""
        stage_dir = self.loaded.artifacts_dir / self.name
        shutil.rmtree(parts_directory(stage_dir, ref.version), ignore_errors=True)

    @classmethod
    def surplus(cls, root: Path, wanted: Wanted) -> Iterable[Path]:
        """Parts of artifacts that no night goes on with."""
        return unwanted_parts(root / cls.name, wanted.unfinished)
