"""The files within a ``.zip`` archive, read where they are: nothing is extracted."""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nightjar.errors import SourceError
from nightjar.files.compression import Expansion, decompress
from nightjar.stages.ingest.input_file import InputFile, unreadable, vanished
from nightjar.stages.ingest.records import storable

_CHUNK_BYTES = 1 << 16
_NOT_DOCUMENTS = ("__MACOSX/",)
"""Folders that archiving programs add by themselves."""
_WAYS = frozenset((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
_DAMAGES = (
    zipfile.BadZipFile,
    EOFError,
    zlib.error,
    struct.error,
    RuntimeError,  # of the header beside the content, where it differs from the directory
    ValueError,  # names that are not in their encoding, offsets that are none
)
_IS_ENCRYPTED = 1
_UNIX = 3


def is_archive(path: Path) -> bool:
    """Whether ``path`` is to be read file by file, by its suffix."""
    return path.suffix.lower() == ".zip"


def archive_members(file: InputFile) -> Iterator[InputFile]:
    """The files of the archive ``file``, in the order of their names.

    Folders, links and what archiving programs add are passed over. Names are labels only, so
    that ``../../x`` leads nowhere. Holds the archive's directory. Raises SourceError when the
    archive is damaged, empty, encrypted, expands beyond its limits in all, or holds what is
    compressed in another way than zip files usually are.
    """
    path = file.path
    with _named_errors(path, ""), zipfile.ZipFile(path) as archive:
        infos = sorted(filter(_is_document, archive.infolist()), key=lambda info: info.filename)
        if not infos:
            raise SourceError(f"{path}: the archive holds no file")
        total = Expansion(path, file.limits)
        n_archive = path.stat().st_size
        for info in infos:
            yield _Member(archive, info, file, total, n_archive)
            file.advance(info.compress_size)


def _is_document(info: zipfile.ZipInfo) -> bool:
    mode = info.external_attr >> 16 if info.create_system == _UNIX else 0
    return not (info.is_dir() or stat.S_ISLNK(mode) or info.filename.startswith(_NOT_DOCUMENTS))


class _Member(InputFile):
    """A file within an archive: read like one beside it, hashed with the archive."""

    def __init__(
        self,
        archive: zipfile.ZipFile,
        info: zipfile.ZipInfo,
        file: InputFile,
        total: Expansion,
        n_archive: int,
    ) -> None:
        name = storable(info.filename)
        super().__init__(Path(f"{file.path}/{name}"), f"{file.label}/{name}", _ignore, file.limits)
        self._archive = archive
        self._info = info
        self._total = total
        self._n_archive = n_archive

    def content(self) -> Iterator[bytes]:
        """Its decompressed bytes, in pieces."""
        if self._info.flag_bits & _IS_ENCRYPTED:
            raise SourceError(f"{self.path}: is encrypted; put the file there without a password")
        if self._info.compress_type not in _WAYS:
            raise SourceError(
                f"{self.path}: is compressed in a way that is not supported (number "
                f"{self._info.compress_type}); make the archive with zip's usual deflate"
            )
        for piece in decompress(self.path, self._stored(), self.limits):
            self._total.add(len(piece), self._n_archive)
            yield piece

    def _stored(self) -> Iterator[bytes]:
        """What the archive holds, which may be compressed once more: ``a.zip/b.txt.gz``."""
        unpacked = Expansion(self.path, self.limits)
        with _named_errors(self.path, "the file in the "), self._archive.open(self._info) as stream:
            while chunk := stream.read(_CHUNK_BYTES):
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
