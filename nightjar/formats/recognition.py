"""Detecting a file's format by its content, and decompressing it."""

from __future__ import annotations

import codecs
import lzma
import re
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nightjar.errors import InputError, SourceError
from nightjar.files.compression import decompress, is_content, suffix_of
from nightjar.files.numbers import is_number
from nightjar.formats.content import word2vec_header
from nightjar.formats.facebook import looks_like_fasttext
from nightjar.wording import counted

_CHUNK_BYTES = 1 << 20
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    RuntimeError,  # encrypted
    NotImplementedError,  # a compression method or version that zipfile does not know
    ValueError,
    struct.error,
)
_HEAD_BYTES = 1 << 16
_COMPRESSED = {".gz", ".bz2", ".zst", ".xz", ".lzma", ".lz4", ".7z", ".rar", ".tar", ".tgz"}
"""Suffixes that :func:`.decompress` opens, or rejects by name."""
_TAR_MAGIC_AT = 257
_FREE_BYTES = 100_000_000
_MAX_RATIO = 200
"""No vectors are compressed as well; below _FREE_BYTES any ratio is allowed."""
_FOLDERS = (
    ("config_sentence_transformers.json", "sentence-transformers"),
    ("tokenizer.json", "model2vec"),
    ("vocab/vectors", "spacy"),
    ("vectors.tsv", "projector"),
)
_MAGICS = (
    (b"PAR1", "parquet"),
    (b"SQLite format 3\0", "sqlite"),
)


@contextmanager
def plain_file(path: Path) -> Iterator[Path]:
    """``path``, or its content decompressed into a temporary file.

    A zip archive with one member counts as a compressed file, since GloVe's are like that. Raises
    SourceError when the data is damaged, InputError for an archive of several files.
    """
    suffix = None if path.is_dir() else _compression(path)
    if path.is_dir() or not (suffix or _is_archive(path)):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="nightjar-") as directory:
        plain = Path(directory) / (path.stem or "vectors")
        try:
            with plain.open("wb") as file:
                for piece in _content(path, suffix):
                    file.write(piece)
                    _refuse_bomb(path, file.tell())
        except OSError as error:
            raise InputError(
                f"{path}: cannot be decompressed into {directory} ({error.strerror}); give the "
                f"system's temporary directory more room, or decompress it yourself"
            ) from error
        _refuse_nested(path, plain)
        yield plain


def _refuse_nested(path: Path, plain: Path) -> None:
    """Raise InputError for an archive within an archive or a compressed file."""
    try:
        is_nested = _is_archive(plain)
    except SourceError:
        is_nested = True
    if is_nested:
        raise InputError(
            f"{path}: holds a zip archive within an archive or a compressed file; unpack it, and "
            f"name a file in what it holds"
        )


def _compression(path: Path) -> str | None:
    """The suffix of what it is compressed with, by its name or else by its content."""
    if path.suffix.lower() in _COMPRESSED:
        return path.suffix.lower()
    with path.open("rb") as file:
        return suffix_of(file.read(_CHUNK_BYTES))


def _refuse_bomb(path: Path, n_bytes: int) -> None:
    if n_bytes > max(_FREE_BYTES, _MAX_RATIO * path.stat().st_size):
        raise InputError(
            f"{path}: expands to more than {_MAX_RATIO} times its size, as a decompression bomb "
            f"does; if you trust the file, decompress it yourself and name the result"
        )


def _is_archive(path: Path) -> bool:
    """Whether it is a zip archive of anything but NumPy arrays."""
    return zipfile.is_zipfile(path) and not any(
        member.filename.endswith(".npy") for member in _members(path)
    )


def _members(path: Path) -> list[zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.infolist()
    except (*_ZIP_ERRORS, OSError) as error:
        raise SourceError(f"{path}: the archive is damaged ({error}); fetch it again") from error


def _content(path: Path, suffix: str | None) -> Iterator[bytes]:
    if suffix is not None:
        with path.open("rb") as file:
            chunks = iter(lambda: file.read(_CHUNK_BYTES), b"")
            yield from decompress(path, chunks, suffix=suffix)
        return
    members = [member.filename for member in _members(path) if is_content(member.filename, member)]
    if len(members) != 1:
        raise InputError(
            f"{path}: the archive holds {counted(len(members), 'file')} "
            f"({', '.join(members[:5])}); unpack it and name one of them"
        )
    try:
        with zipfile.ZipFile(path) as archive, archive.open(members[0]) as member:
            while piece := member.read(_CHUNK_BYTES):
                yield piece
    except _ZIP_ERRORS as error:
        raise SourceError(
            f"{path}: {members[0]} cannot be unpacked ({error}); fetch the archive again"
        ) from error


def detect(path: Path) -> str:
    """The format of a plain file or folder. Raises InputError for an unknown one.

    Pickles are never opened unless asked for, so the format of gensim's files has to be named.
    """
    if path.is_dir():
        for name, found in _FOLDERS:
            if (path / name).exists():
                return found
        raise InputError(
            f"{path}: holds none of {', '.join(name for name, _ in _FOLDERS)}, so its format is "
            f"unknown; name a file in it, or set format"
        )
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    return _detect_file(path, head)


def _detect_file(path: Path, head: bytes) -> str:
    for magic, found in _MAGICS:
        if head.startswith(magic):
            return found
    if looks_like_fasttext(head):
        return "fasttext"
    if zipfile.is_zipfile(path):
        return "numpy"
    if len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 40:
        return "safetensors"
    if head.startswith(b"\x80") and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        raise InputError(
            f"{path}: is a pickle, which can run anything when it is opened; if gensim wrote it "
            f"and you trust who did, set format: gensim"
        )
    if (inner := suffix_of(head)) is not None:
        raise InputError(
            f"{path}: holds {inner} data within a compressed file; unpack it, and name what is in "
            f"it"
        )
    if head[_TAR_MAGIC_AT:].startswith(b"ustar"):
        raise InputError(f"{path}: is a tar archive; unpack it, and name a file in it")
    header = word2vec_header(path, head)
    if header is None:
        return "glove"
    is_text = _is_text(head[header.n_bytes :], header.vector_size)
    return "word2vec" if is_text else "word2vec-binary"


_NUMBERS_ARE_TEXT = 3
"""As many numbers at the end of a line are no values in binary."""
_NO_TEXT = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")


def _is_text(rows: bytes, size: int) -> bool:
    """Whether the beginning of the rows is text, or at least the first row is, in another encoding.

    Values in binary are text by chance once in forty; all in the beginning of a file are not.
    """
    if not _NO_TEXT.search(rows) and _is_utf8(rows):
        return True
    n_numbers = max(1, min(size, _NUMBERS_ARE_TEXT))
    values = rows.lstrip(b"\r\n").partition(b"\n")[0].split()[1:][-n_numbers:]
    return len(values) == n_numbers and all(map(is_number, values))


def _is_utf8(beginning: bytes) -> bool:
    """Whether it is UTF-8; a character may be cut at its end."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(beginning)
    except UnicodeDecodeError:
        return False
    return True
