"""Vectors that an earlier artifact of the same encoder has: they are not computed again."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nightjar.errors import StoreError
from nightjar.stages.embed.encoding import Bools, Floats
from nightjar.store import Artifact, Identity, Store
from nightjar.store.schemas import DOCUMENT_VECTORS, DOCUMENTS

logger = logging.getLogger(__name__)

_READ_ROWS = 4_096


def find_earlier(store: Store, identity: Identity) -> Artifact | None:
    """The newest whole artifact made like ``identity``, of any documents and under any name."""
    wanted = _encoder_of(identity.as_json())
    for ref in reversed(store.versions(DOCUMENT_VECTORS)):
        try:
            artifact = store.open(ref)
        except StoreError as error:
            logger.warning("%s: its vectors are not used again: %s", ref, error)
            continue
        if _encoder_of(artifact.manifest.identity) == wanted:
            return artifact
    return None


def _encoder_of(identity: Mapping[str, Any]) -> dict[str, Any]:
    """What shapes a text's vector: all of the identity but the documents and the name."""
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

    Held in memory: the hashes (72 bytes a document). The vectors are a temporary file of
    4 bytes a value, memory-mapped.
    """

    def __init__(self, hashes: NDArray[np.bytes_], vectors: Floats, is_known: Bools) -> None:
        self._order = np.argsort(hashes, kind="stable")
        self._hashes = hashes[self._order]
        self._vectors = vectors
        self._is_known = is_known

    def rows(self, hashes: Sequence[str]) -> NDArray[np.int64]:
        """Where the vector of each text is, -1 where it has none."""
        wanted = np.array(hashes, dtype="S64")
        places = np.searchsorted(self._hashes, wanted)
        places[places == len(self._hashes)] = 0
        if len(self._hashes) == 0:
            return np.full(len(wanted), -1, np.int64)
        return np.where(self._hashes[places] == wanted, self._order[places], -1)

    def take(self, rows: NDArray[np.int64]) -> tuple[Floats, Bools]:
        """The vectors of ``rows``, and whether each has one."""
        return np.asarray(self._vectors[rows]), self._is_known[rows]


@contextmanager
def earlier_vectors(
    artifact: Artifact | None, directory: Path, vector_size: int
) -> Iterator[EarlierVectors | None]:
    """The vectors of ``artifact``, in a temporary file in ``directory``; None without one.

    A damaged artifact, or one of other sizes, is left out with a warning: everything is encoded.
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
        raise StoreError(f"they have {found_size} values, the encoder gives {vector_size}")
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
