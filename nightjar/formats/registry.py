"""All formats by name, and the functions that write and read them."""

from __future__ import annotations

import shutil
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from nightjar.errors import InputError, ModelTooLarge
from nightjar.files.paths import SPECIAL, check_output, special_file, unfinished_beside
from nightjar.formats import arrays, facebook, static, word2vec_files
from nightjar.formats import vector_tables as tables
from nightjar.formats.content import ExportedVectors, ReadVectors, checked
from nightjar.formats.origins import KEEPS_INSIDE, companion_of, write_companion
from nightjar.formats.recognition import detect, plain_file

Writer = Callable[[ExportedVectors, Path], None]
Reader = Callable[[Path, int | None], ReadVectors]
AUTO = "auto"


@dataclass(frozen=True)
class Format:
    """One kind of file or folder."""

    what: str
    """A one-line description."""
    suffix: str
    """Suffix of a file; "" for a folder."""
    write: Writer
    read: Reader
    loading: str
    """A line of Python that opens PATH."""
    cannot_hold: Callable[[str], bool] = lambda token: token == ""
    """Whether a token cannot be written."""
    keeps_ngrams: bool = False


def _write_gensim(vectors: ExportedVectors, path: Path) -> None:
    from nightjar.formats.gensim_files import write_gensim  # noqa: PLC0415 (imports gensim)

    write_gensim(vectors, path)


def _read_gensim(path: Path, limit: int | None) -> ReadVectors:
    from nightjar.formats.gensim_files import read_gensim  # noqa: PLC0415 (imports gensim)

    return read_gensim(path, limit)


_KEYED = "KeyedVectors.load_word2vec_format"
FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "word2vec": Format(
            "word2vec text: a header, then a word and its values a line",
            ".txt",
            word2vec_files.write_word2vec,
            word2vec_files.read_text,
            f'gensim.models.{_KEYED}("PATH")',
            word2vec_files.has_space,
        ),
        "word2vec-binary": Format(
            "word2vec binary, a quarter of the size",
            ".bin",
            word2vec_files.write_word2vec_binary,
            word2vec_files.read_word2vec_binary,
            f'gensim.models.{_KEYED}("PATH", binary=True)',
            word2vec_files.cannot_hold,
        ),
        "glove": Format(
            "GloVe text: a word and its values a line",
            ".txt",
            word2vec_files.write_glove,
            word2vec_files.read_text,
            f'gensim.models.{_KEYED}("PATH", no_header=True)',
            word2vec_files.has_space,
        ),
        "fasttext": Format(
            "fastText's .bin, with n-grams: unknown words get a vector",
            ".bin",
            facebook.write_fasttext,
            facebook.read_fasttext,
            'gensim.models.fasttext.load_facebook_vectors("PATH")',
            facebook.cannot_hold,
            keeps_ngrams=True,
        ),
        "gensim": Format(
            "gensim's own KeyedVectors (FastTextKeyedVectors with n-grams), memory-mapped",
            "",
            _write_gensim,
            _read_gensim,
            'gensim.models.KeyedVectors.load("PATH/vectors.kv", mmap="r")',
            keeps_ngrams=True,
        ),
        "safetensors": Format(
            "safetensors: vectors, counts, tokens as UTF-8, n-grams",
            ".safetensors",
            arrays.write_safetensors,
            arrays.read_safetensors,
            'safetensors.numpy.load_file("PATH")["vectors"]',
            keeps_ngrams=True,
        ),
        "numpy": Format(
            "NumPy archive: vectors, tokens, counts, n-grams",
            ".npz",
            arrays.write_numpy,
            arrays.read_numpy,
            'numpy.load("PATH")["vectors"]',
            lambda token: token == "" or token.endswith("\0"),
            keeps_ngrams=True,
        ),
        "parquet": Format(
            "Parquet: token, count, vector",
            ".parquet",
            tables.write_parquet,
            tables.read_parquet,
            'pyarrow.parquet.read_table("PATH")',
        ),
        "projector": Format(
            "a folder for TensorBoard's embedding projector",
            "",
            tables.write_projector,
            tables.read_projector,
            "tensorboard --logdir PATH",
            tables.breaks_a_line,
        ),
        "spacy": Format(
            "a spaCy pipeline with vectors",
            "",
            static.write_spacy,
            static.read_spacy,
            'spacy.load("PATH").vocab["king"].vector',
        ),
        "sentence-transformers": Format(
            "sentence-transformers' StaticEmbedding: texts to vectors",
            "",
            static.write_sentence_transformers,
            static.read_static,
            'sentence_transformers.SentenceTransformer("PATH").encode(["a text"])',
        ),
        "model2vec": Format(
            "Model2Vec: texts to vectors, without torch",
            "",
            static.write_model2vec,
            static.read_static,
            'model2vec.StaticModel.from_pretrained("PATH").encode(["a text"])',
        ),
        "sqlite": Format(
            "SQLite, for small devices: token, rank, count, vector as bytes",
            ".sqlite",
            tables.write_sqlite,
            tables.read_sqlite,
            'sqlite3.connect("PATH").execute("SELECT token, vector FROM vectors LIMIT 5")',
            tables.holds_nul,
        ),
    }
)
"""The names for ``nightjar export --format`` and for models with trainer ``import``."""


def write_vectors(
    vectors: ExportedVectors, name: str, path: Path, *, replaces: bool = False
) -> Counter[str]:
    """Write ``path`` in the format ``name``, atomically; returns what was left out, by kind.

    It is written beside ``path`` and renamed. What the format cannot hold of the origin is in a
    companion (:mod:`.origins`). Raises InputError when ``path`` exists, unless
    ``replaces``, when it is neither a file nor a folder, and when it cannot be written.
    """
    form = FORMATS[name]
    check_output(path, replaces=replaces, may_be_folder=True)
    written = vectors.without(form.cannot_hold)
    left_out = Counter(token_cannot_be_written=len(vectors.tokens) - len(written.tokens))
    if vectors.ngrams is not None and not form.keeps_ngrams:
        left_out["ngrams"] = len(vectors.ngrams.buckets)
        written = replace(written, ngrams=None)
    if not written.tokens:
        raise InputError(f"no word of the model can be written as {name}; choose another format")
    unfinished = unfinished_beside(path)
    try:
        form.write(written, unfinished)
        if name not in KEEPS_INSIDE and unfinished.is_dir():
            write_companion(unfinished, written.source)
        _give_usual_modes(unfinished)
        companion_of(path).unlink(missing_ok=True)  # never beside vectors that it is not of
        _put_in_place(unfinished, path)
        if name not in KEEPS_INSIDE and path.is_file():
            write_companion(path, written.source)
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {error.strerror or error}; nothing was left behind"
        ) from error
    finally:
        _remove(unfinished)
    return +left_out


def _give_usual_modes(path: Path) -> None:
    """Give a file or folder the permissions of any new one: some libraries write for us alone.

    A folder is made to see them: the umask can only be asked by changing it, for all threads.
    """
    probe = path.with_name(f"{path.name}.probe")
    probe.mkdir()
    mode = stat.S_IMODE(probe.stat().st_mode)
    probe.rmdir()
    for found in (path, *path.rglob("*")):
        if not found.is_symlink():
            found.chmod(mode if found.is_dir() else mode & 0o666)


def _put_in_place(unfinished: Path, path: Path) -> None:
    """Rename; a folder cannot replace another in one step, so the old one is moved first."""
    if path.is_dir() or (path.exists() and unfinished.is_dir()):
        old = path.with_name(f"{unfinished.name}.old")
        path.rename(old)
        try:
            unfinished.rename(path)
        except OSError:
            old.rename(path)
            raise
        _remove(old)
        return
    unfinished.replace(path)


def _remove(path: Path) -> None:
    """Remove it as far as that is possible: what went wrong before is the error to be told."""
    with suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def read_vectors(path: Path, name: str = AUTO, limit: int | None = None) -> tuple[str, ReadVectors]:
    """Read ``path``; returns its format (``name``, or detected) and its content.

    ``limit`` reads only the first words. Repeated and empty words and the reader's repairs are
    counted in ``faults``. Raises InputError with the place of the error, SourceError for damaged
    compression.
    """
    if not path.exists():
        raise InputError(f"{path}: there is no such file or folder; correct the path")
    if (special := special_file(path)) is not None:
        raise InputError(f"{special}: is {SPECIAL}; name a file or folder")
    try:
        with plain_file(path) as plain, _naming(path, plain):
            found = detect(plain) if name == AUTO else name
            # Damaged bytes may be NaN or huge: refused when all is read, without NumPy's warnings.
            with np.errstate(over="ignore", invalid="ignore"):
                read = checked(path, FORMATS[found].read(plain, limit))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except MemoryError as error:
        raise ModelTooLarge(
            f"{path}: takes more memory than there is ({error}); read its first words alone, with "
            f"max_vocabulary"
        ) from error
    return found, read


@contextmanager
def _naming(path: Path, plain: Path) -> Iterator[None]:
    """Errors in the decompressed file ``plain`` name ``path``, which the user has.

    Names of columns and tables that are not UTF-8 are errors of the libraries that read them.
    """
    try:
        yield
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: is damaged: a name in it is not UTF-8 ({error.reason}); fetch or write it "
            f"again"
        ) from error
    except InputError as error:
        if plain == path:
            raise
        raise type(error)(str(error).replace(str(plain), str(path))) from error
