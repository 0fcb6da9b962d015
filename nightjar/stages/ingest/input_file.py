"""One source file while it is read: its bytes, their hash and how far we are."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

from nightjar.errors import SourceChanged, SourceError
from nightjar.files.compression import ExpansionLimits, decompress
from nightjar.store import FileIdentity, file_identity

_CHUNK_BYTES = 1 << 16


class InputFile:
    """A file that is hashed while it is read, so that what was read is what was planned."""

    def __init__(
        self,
        path: Path,
        label: str,
        on_read: Callable[[int], None],
        limits: ExpansionLimits | None = None,
    ) -> None:
        self.path = path
        self.label = label
        self.limits = limits or ExpansionLimits()
        self._on_read = on_read
        self._digest = hashlib.sha256()
        self._n_bytes = 0
        self._chunks: Iterator[bytes] | None = None

    def content(self) -> Iterator[bytes]:
        """Its decompressed bytes, in pieces. Can be asked for once.

        Raises SourceError when the file cannot be read, its compression is damaged, or it
        expands beyond ``limits``.
        """
        self._chunks = self._read()
        return decompress(self.path, self._chunks, self.limits)

    def advance(self, n_bytes: int) -> None:
        """Report progress of a reader that does not go through :meth:`content`."""
        self._on_read(n_bytes)

    def check_unchanged(self, planned: FileIdentity) -> None:
        """Raise SourceChanged unless the bytes that were read are the planned ones.

        The file is read again unless all of it went through :meth:`content`.
        """
        if self._chunks is None:
            self.check_on_disk(planned)
            return
        for _ in self._chunks:
            pass
        _compare(self.path, planned, self._n_bytes, self._digest.hexdigest())

    def check_on_disk(self, planned: FileIdentity) -> None:
        """Raise SourceChanged unless the file, as it is now, is the planned one."""
        if not self.path.is_file():
            raise vanished(self.path)
        found = file_identity(self.path)
        _compare(self.path, planned, found.bytes, found.sha256)

    def _read(self) -> Iterator[bytes]:
        try:
            with self.path.open("rb") as stream:
                while chunk := stream.read(_CHUNK_BYTES):
                    self._digest.update(chunk)
                    self._n_bytes += len(chunk)
                    self._on_read(len(chunk))
                    yield chunk
        except FileNotFoundError as error:
            raise vanished(self.path) from error
        except OSError as error:
            raise unreadable(self.path, error) from error


def _compare(path: Path, planned: FileIdentity, n_bytes: int, sha256: str) -> None:
    if (n_bytes, sha256) != (planned.bytes, planned.sha256):
        raise SourceChanged(
            f"{path}: the file changed since the run was planned ({planned.bytes} bytes, sha256 "
            f"{planned.sha256[:12]}; now {n_bytes} bytes, {sha256[:12]}); run again when it is "
            f"complete"
        )


def unreadable(path: Path, error: OSError) -> SourceError:
    """The error for a file that the system refuses to read."""
    return SourceError(
        f"{path}: cannot be read ({error.strerror or error}); check the disk and the permissions"
    )


def vanished(path: Path) -> SourceChanged:
    """The error for a file that was there when the run was planned."""
    return SourceChanged(f"{path}: the file is gone since the run was planned; run again")
