"""One source file while it is read: its bytes, their hash and how far we are."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

from nightjar.corpus.compression import decompress
from nightjar.errors import SourceChanged, SourceError
from nightjar.store import FileIdentity, file_identity

_CHUNK_BYTES = 1 << 16


class InputFile:
    """A file that is hashed while it is read, so that what was read is what was planned."""

    def __init__(self, path: Path, label: str, on_read: Callable[[int], None]) -> None:
        self.path = path
        self.label = label
        self._on_read = on_read
        self._digest = hashlib.sha256()
        self._n_bytes = 0
        self._chunks: Iterator[bytes] | None = None

    def content(self) -> Iterator[bytes]:
        """Its decompressed bytes, in pieces. Can be asked for once.

        Raises SourceError when the file cannot be read or its compression is damaged.
        """
        self._chunks = self._read()
        return decompress(self.path, self._chunks)

    def advance(self, n_bytes: int) -> None:
        """Report progress of a reader that does not go through :meth:`content`."""
        self._on_read(n_bytes)

    def check_unchanged(self, expected: FileIdentity) -> None:
        """Raise SourceChanged unless what was read is what ``expected`` says.

        A file that was not read to its end through :meth:`content` is read now.
        """
        if self._chunks is None:
            found = _identity_now(self.path)
        else:
            for _ in self._chunks:
                pass
            found = FileIdentity(self.label, self._n_bytes, self._digest.hexdigest())
        if (found.bytes, found.sha256) != (expected.bytes, expected.sha256):
            raise SourceChanged(
                f"{self.path}: the file changed while it was read (planned: "
                f"{expected.bytes} bytes, sha256 {expected.sha256[:12]}; found: {found.bytes} "
                f"bytes, {found.sha256[:12]}); run again when it is complete"
            )

    def has_changed(self, expected: FileIdentity) -> bool:
        """Whether the file on disk is no longer what ``expected`` says."""
        found = _identity_now(self.path)
        return (found.bytes, found.sha256) != (expected.bytes, expected.sha256)

    def _read(self) -> Iterator[bytes]:
        try:
            with self.path.open("rb") as stream:
                while chunk := stream.read(_CHUNK_BYTES):
                    self._digest.update(chunk)
                    self._n_bytes += len(chunk)
                    self._on_read(len(chunk))
                    yield chunk
        except FileNotFoundError as error:
            raise _vanished(self.path) from error
        except OSError as error:
            raise SourceError(
                f"{self.path}: cannot be read ({error.strerror}); check the disk and the "
                f"permissions"
            ) from error


def _identity_now(path: Path) -> FileIdentity:
    if not path.is_file():
        raise _vanished(path)
    return file_identity(path)


def _vanished(path: Path) -> SourceChanged:
    return SourceChanged(f"{path}: the file is gone since the run was planned; run again")
