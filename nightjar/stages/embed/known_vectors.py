"""Vectors that need no encoding: from finished parts of a killed run, or an earlier artifact.

The parts are stored in a directory beside the stage's artifacts, named after the version in
progress. Each part is one file, written atomically, and identified by a hash over the hashes of its
texts, which is checked before use. The format is NumPy's ``.npz`` without pickle: every array has a
checksum.
"""

from __future__ import annotations

import hashlib
import io
import logging
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nightjar.errors import StoreError
from nightjar.stages.embed.encoding import Bools, Encoded, Floats
from nightjar.store import Artifact, Identity, Store, replace
from nightjar.store.schemas import DOCUMENT_VECTORS, DOCUMENTS, EMBEDDINGS
from nightjar.wording import counted

logger = logging.getLogger(__name__)


PREFIX = ".parts-"
_DAMAGE = (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error, EOFError)
"""Errors from reading a file that is not a complete part."""


def parts_directory(stage_dir: Path, version: str) -> Path:
    """The directory for the parts of the artifact with ``version``."""
    return stage_dir / f"{PREFIX}{version}"


def unwanted_parts(stage_dir: Path, wanted: Collection[str]) -> list[Path]:
    """The parts of versions that are not in ``wanted``."""
    return [
        path
        for path in sorted(stage_dir.glob(f"{PREFIX}*"))
        if path.name.removeprefix(PREFIX) not in wanted
    ]


@dataclass(frozen=True)
class PartKey:
    """A part's number and its documents."""

    number: int
    n_documents: int
    sha256: bytes
    """Of the hashes of the documents' texts, in order, and of what encodes them."""

    @classmethod
    def of(cls, number: int, hashes: Sequence[str], embeddings_digest: str = "") -> PartKey:
        """The key of the part that holds the texts with these hashes.

        ``embeddings_digest``: of what encodes them, if it is a model: it may be made again with
        other bytes.
        """
        content = "\n".join([embeddings_digest, *hashes]).encode()
        return cls(number, len(hashes), hashlib.sha256(content).digest())


@dataclass(frozen=True)
class Parts:
    """The finished parts in ``directory``, with vectors of ``vector_size`` dimensions."""

    directory: Path
    vector_size: int

    def save(self, key: PartKey, encoded: Encoded) -> None:
        """Write a part atomically. Raises StoreNotWritable."""
        stream = io.BytesIO()
        np.savez(
            stream,
            documents=np.frombuffer(key.sha256, np.uint8),
            vectors=encoded.vectors,
            is_known=encoded.is_known,
            is_cut=encoded.is_cut,
        )
        replace(self._path(key), stream.getvalue())

    def load(self, key: PartKey) -> Encoded | None:
        """A part, or None if it is missing, damaged or of other documents."""
        path = self._path(key)
        if not path.exists():
            return None
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
                if arrays["documents"].tobytes() != key.sha256:
                    raise ValueError("it is of other documents")
                encoded = Encoded(arrays["vectors"], arrays["is_known"], arrays["is_cut"])
            _check_arrays(encoded, (key.n_documents, self.vector_size))
        except _DAMAGE as error:
            logger.warning("%s cannot be used, it is encoded anew: %s", path, error)
            return None
        return encoded

    def _path(self, key: PartKey) -> Path:
        return self.directory / f"part-{key.number:06}.npz"


def _check_arrays(encoded: Encoded, shape: tuple[int, int]) -> None:
    if encoded.vectors.shape != shape or encoded.vectors.dtype != np.float32:
        found = f"{encoded.vectors.dtype} of {encoded.vectors.shape}"
        raise ValueError(f"its vectors are {found}, not float32 of {shape}")
    for flags in (encoded.is_known, encoded.is_cut):
        if flags.shape != shape[:1] or flags.dtype != np.bool_:
            raise ValueError("its flags are not those of its vectors")


_READ_ROWS = 4_096


def find_earlier(store: Store, identity: Identity) -> Artifact | None:
    """The newest intact artifact by the encoder of ``identity``, of any documents and any name."""
    wanted = _encoder_of(identity.as_json())
    digest = embeddings_digest(store, identity)
    for ref in reversed(store.versions(DOCUMENT_VECTORS)):
        try:
            artifact = store.open(ref)
        except StoreError as error:
            logger.warning("%s: its vectors are not used again: %s", ref, error)
            continue
        is_alike = _encoder_of(artifact.manifest.identity) == wanted
        if is_alike and artifact.manifest.parent_digests.get(EMBEDDINGS, "") == digest:
            return artifact
    return None


def embeddings_digest(store: Store, identity: Identity) -> str:
    """The digest of the embeddings that encode the documents; "" for a pre-trained encoder."""
    version = identity.parents.get(EMBEDDINGS)
    if version is None or not store.is_published(EMBEDDINGS, version):
        return ""
    return store.open(store.ref(EMBEDDINGS, version)).manifest.digest


def _encoder_of(identity: Mapping[str, Any]) -> dict[str, Any]:
    """The part of an identity that shapes a text's vector: all but the documents and the name."""
    config = {key: value for key, value in identity["config"].items() if key != "name"}
    parents = {key: value for key, value in identity["parents"].items() if key != DOCUMENTS}
    return {
        "config": config,
        "parents": parents,
        "inputs": list(identity["inputs"]),
        "code": identity["code"],
    }


class EarlierVectors:
    """The vectors of an earlier artifact, by the hash of their text.

    Memory: the hashes (72 bytes per document). The vectors are a memory-mapped temporary file of 4
    bytes per value.
    """

    def __init__(self, hashes: NDArray[np.bytes_], vectors: Floats, is_known: Bools) -> None:
        self._order = np.argsort(hashes, kind="stable")
        self._hashes = hashes[self._order]
        self._vectors = vectors
        self._is_known = is_known

    def rows(self, hashes: Sequence[str]) -> NDArray[np.int64]:
        """The row of each text's vector, -1 if it has none."""
        wanted = np.array(hashes, dtype="S64")
        places = np.searchsorted(self._hashes, wanted)
        places[places == len(self._hashes)] = 0
        if len(self._hashes) == 0:
            return np.full(len(wanted), -1, np.int64)
        return np.where(self._hashes[places] == wanted, self._order[places], -1)

    def take(self, rows: NDArray[np.int64]) -> tuple[Floats, Bools]:
        """The vectors at ``rows``, and whether the encoder knew a token of each."""
        return np.asarray(self._vectors[rows]), self._is_known[rows]


@contextmanager
def earlier_vectors(
    artifact: Artifact | None, directory: Path, vector_size: int
) -> Iterator[EarlierVectors | None]:
    """The vectors of ``artifact``, in a temporary file in ``directory``; None without an artifact.

    An artifact that is damaged or has another vector size is ignored with a warning.
    """
    if artifact is None:
        yield None
        return
    with TemporaryDirectory(prefix=".earlier-", dir=directory) as temporary:
        try:
            found = _read(artifact, Path(temporary) / "vectors.f32", vector_size)
        except StoreError as error:
            logger.warning("%s: its vectors are not used again: %s", artifact.ref, error)
            found = None
        yield found


def _read(artifact: Artifact, path: Path, vector_size: int) -> EarlierVectors:
    n_rows = artifact.rows("vectors")
    found_size = artifact.schema("vectors").field("vector").type.list_size
    if found_size != vector_size:
        raise StoreError(
            f"they have {counted(found_size, 'value')}, the encoder gives {vector_size}"
        )
    hashes = np.zeros(n_rows, "S64")
    is_known = np.zeros(n_rows, np.bool_)
    start = 0
    with path.open("wb") as stream:
        columns = ["content_sha256", "vector", "is_known"]
        for batch in artifact.batches("vectors", columns, _READ_ROWS):
            end = start + len(batch)
            hashes[start:end] = batch.column("content_sha256").to_pylist()
            is_known[start:end] = batch.column("is_known").to_numpy(zero_copy_only=False)
            # flatten() respects the offset of a sliced batch, .values does not.
            stream.write(batch.column("vector").flatten().to_numpy().tobytes())
            start = end
    if not n_rows:
        return EarlierVectors(hashes, np.zeros((0, vector_size), np.float32), is_known)
    vectors = np.memmap(path, np.float32, "r", shape=(n_rows, vector_size))
    return EarlierVectors(hashes, vectors, is_known)
