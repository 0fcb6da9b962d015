"""A source file while it is read: its bytes, their hash, the progress; members of a zip."""

from __future__ import annotations

import hashlib
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from nightjar.errors import SourceChanged, SourceError
from nightjar.files.compression import Expansion, ExpansionLimits, decompress, is_content
from nightjar.sources.rejections import storable
from nightjar.store import FileIdentity, file_identity
from nightjar.wording import counted

_CHUNK_BYTES = 1 << 16


class InputFile:
    """A file that is hashed while it is read, to prove that it is the planned one."""

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
        """Its decompressed bytes, in pieces. Call it only once.

        Raises SourceError when the file cannot be read, its compression is damaged, or it expands
        beyond ``limits``.
        """
        self._chunks = self._read()
        return _no_zip(self.path, decompress(self.path, self._chunks, self.limits))

    def advance(self, n_bytes: int) -> None:
        """Report progress of a reader that does not go through :meth:`content`."""
        self._on_read(n_bytes)

    def check_unchanged(self, planned: FileIdentity) -> None:
        """Raise SourceChanged unless the bytes that were read are the planned ones.

        Reads the file again unless all of it went through :meth:`content`.
        """
        if self._chunks is None:
            self.check_on_disk(planned)
            return
        for _ in self._chunks:
            pass
        _compare(self.path, planned, self._n_bytes, self._digest.hexdigest())

    def check_on_disk(self, planned: FileIdentity) -> None:
        """Raise SourceChanged unless the file on disk is still the planned one."""
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
            f"{path}: the file changed since the run was planned "
            f"({counted(planned.bytes, 'byte')}, sha256 {planned.sha256[:12]}; now "
            f"{counted(n_bytes, 'byte')}, {sha256[:12]}); run again "
            f"when it is complete"
        )


def unreadable(path: Path, error: OSError) -> SourceError:
    """The error for a file that cannot be read."""
    return SourceError(
        f"{path}: cannot be read ({error.strerror or error}); check the disk and the permissions"
    )


def vanished(path: Path) -> SourceChanged:
    """The error for a file that existed when the run was planned."""
    return SourceChanged(f"{path}: the file is gone since the run was planned; run again")


_MEMBER_CHUNK_BYTES = 1 << 16
_SIGNATURE = b"PK\x03\x04"
_IS_UTF_8 = 1 << 11
_DOS = 0
_WAYS = frozenset((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
_DAMAGES = (
    zipfile.BadZipFile,
    EOFError,
    zlib.error,
    struct.error,
    RuntimeError,  # a member's header differs from the directory
    ValueError,  # names in a wrong encoding, invalid offsets
)
_IS_ENCRYPTED = 1


def is_archive(path: Path) -> bool:
    """Whether ``path`` is an archive of files: by its suffix, or without one by its content."""
    if path.suffix:
        return path.suffix.lower() == ".zip"
    try:
        with path.open("rb") as stream:
            return stream.read(len(_SIGNATURE)) == _SIGNATURE
    except OSError:
        return False  # whoever reads it says why it cannot be read


def _no_zip(path: Path, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """``pieces``, unless they are an archive that is not read as one, be it by its suffix."""
    first = next(pieces, b"")
    if first.startswith(_SIGNATURE):
        raise SourceError(
            f"{path}: is a zip archive; name it .zip, outside of other archives and uncompressed"
        )
    if first:
        yield first
    del first  # a hostile one may have 64 MiB
    yield from pieces


def archive_members(file: InputFile) -> Iterator[InputFile]:
    """The files of the archive ``file``, in the order of their names.

    Skips folders, links and files added by archiving programs. Names are only labels, so
    ``../../x`` is harmless. Memory: the archive's directory. Raises SourceError when the archive is
    damaged, empty or encrypted, expands beyond its limits in total, or uses a compression method
    unusual for zip files.
    """
    path = file.path
    with _named_errors(path, ""), zipfile.ZipFile(path) as archive:
        members = sorted(
            ((_name(info), info) for info in archive.infolist()), key=lambda member: member[0]
        )
        found = [(name, info) for name, info in members if is_content(name, info)]
        if not found:
            raise SourceError(f"{path}: the archive holds no file")
        total = Expansion(path, file.limits)
        n_archive = path.stat().st_size
        for name, info in found:
            yield _Member(archive, name, info, file, _Expanded(total, n_archive))
            file.advance(info.compress_size)


def _name(info: zipfile.ZipInfo) -> str:
    """The name of a member as it was meant.

    Macs write UTF-8 without saying so, with accents apart from their letters; some programs of
    Windows write backslashes.
    """
    name = info.filename
    if not info.flag_bits & _IS_UTF_8 and not name.isascii():
        with suppress(UnicodeError):  # then it is the code page that the format names
            name = name.encode("cp437").decode("utf-8")
    if info.create_system == _DOS and "/" not in name:
        name = name.replace("\\", "/")
    return unicodedata.normalize("NFC", name)


@dataclass(frozen=True)
class _Expanded:
    """How far an archive has expanded, and its size."""

    total: Expansion
    n_archive: int


class _Member(InputFile):
    """A file within an archive: read like any other, hashed with the archive."""

    def __init__(
        self,
        archive: zipfile.ZipFile,
        name: str,
        info: zipfile.ZipInfo,
        file: InputFile,
        expanded: _Expanded,
    ) -> None:
        name = storable(name)
        super().__init__(Path(f"{file.path}/{name}"), f"{file.label}/{name}", _ignore, file.limits)
        self._archive = archive
        self._info = info
        self._total = expanded.total
        self._n_archive = expanded.n_archive

    def content(self) -> Iterator[bytes]:
        """Its decompressed bytes, in pieces."""
        if self._info.flag_bits & _IS_ENCRYPTED:
            raise SourceError(f"{self.path}: is encrypted; put the file there without a password")
        if self._info.compress_type not in _WAYS:
            raise SourceError(
                f"{self.path}: is compressed in a way that is not supported (number "
                f"{self._info.compress_type}); make the archive with zip's usual deflate"
            )
        for piece in _no_zip(self.path, decompress(self.path, self._stored(), self.limits)):
            self._total.add(len(piece), self._n_archive)
            yield piece

    def _stored(self) -> Iterator[bytes]:
        """The stored bytes, which may be compressed once more: ``a.zip/b.txt.gz``."""
        unpacked = Expansion(self.path, self.limits)
        with _named_errors(self.path, "the file in the "), self._archive.open(self._info) as stream:
            while chunk := stream.read(_MEMBER_CHUNK_BYTES):
                unpacked.add(len(chunk), self._n_archive)
                yield chunk


def _ignore(_n_bytes: int) -> None:
    pass


@contextmanager
def _named_errors(path: Path, part: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise vanished(path) from error
    except _DAMAGES as error:
        raise SourceError(
            f"{path}: {part}archive is damaged or truncated ({error}); restore or fetch it again"
        ) from error
    except OSError as error:
        raise unreadable(path, error) from error
