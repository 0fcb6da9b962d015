"""Parts: what a long encoding has finished, so that a killed one goes on from there.

One directory beside the artifacts of the stage, named by the version it is to become. Each
part is a file of its own, which is whole or not there. It names the documents it is of by
the hash of their texts' hashes, and is checked before it is used. NumPy's ``.npz`` without
pickle: every array has a checksum.
"""

from __future__ import annotations

import hashlib
import io
import logging
import zipfile
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nightjar.stages.embed.encoding import Encoded
from nightjar.store import replace

logger = logging.getLogger(__name__)

PREFIX = ".parts-"
_DAMAGE = (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error, EOFError)
"""What reading a file raises that is no whole part."""


def parts_directory(stage_dir: Path, version: str) -> Path:
    """Where the parts of the artifact that is to be ``version`` are."""
    return stage_dir / f"{PREFIX}{version}"


def unwanted_parts(stage_dir: Path, wanted: Collection[str]) -> list[Path]:
    """The parts of artifacts that are not to become one of the ``wanted`` versions."""
    return [
        path
        for path in sorted(stage_dir.glob(f"{PREFIX}*"))
        if path.name.removeprefix(PREFIX) not in wanted
    ]


@dataclass(frozen=True)
class PartKey:
    """A part by its place and its documents."""

    number: int
    n_documents: int
    sha256: bytes
    """Of the hashes of the documents' texts, in order."""

    @classmethod
    def of(cls, number: int, hashes: Sequence[str]) -> PartKey:
        """The key of the part that holds the texts with these hashes."""
        return cls(number, len(hashes), hashlib.sha256("\n".join(hashes).encode()).digest())


@dataclass(frozen=True)
class Parts:
    """The finished parts in ``directory``, of vectors with ``vector_size`` values."""

    directory: Path
    vector_size: int

    def save(self, key: PartKey, encoded: Encoded) -> None:
        """Write a part: whole, or not at all. Raises StoreNotWritable."""
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
        """A part, if it is there and whole; one of other documents counts as damaged."""
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
