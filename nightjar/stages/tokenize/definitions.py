"""What the chosen tokenizer is made of: library versions, and a definition where it has one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

from nightjar.config import TokenizeConfig
from nightjar.errors import ConfigError, InputError
from nightjar.files.paths import expand
from nightjar.model.tokenization import (
    EXTRAS,
    LibraryMissing,
    Tokenizer,
    TokenizerError,
    make_tokenizer,
    missing_message,
    train_subword,
)
from nightjar.store import Artifact, FileIdentity, Staging, file_identity, library_versions, schemas

_READ_ROWS = 256


def tokenizer_libraries(config: TokenizeConfig) -> Mapping[str, str]:
    """The installed version of each library that the tokenizer takes, without importing it.

    Raises InputError, naming the extra, when one is missing.
    """
    extra = EXTRAS.get(config.tokenizer)
    try:
        return {} if extra is None else library_versions(*extra.distributions)
    except metadata.PackageNotFoundError as error:
        raise InputError(missing_message(config.tokenizer)) from error


def definition_inputs(config: TokenizeConfig, base_dir: Path) -> list[FileIdentity]:
    """The file of ``tokenize.subword_path`` by its content; none without one.

    Raises ConfigError when there is no such file, SourceError when it cannot be read.
    """
    if config.subword_path is None:
        return []
    entry = file_identity(_definition_path(config.subword_path, base_dir))
    return [FileIdentity(schemas.TOKENIZER_FILE, entry.bytes, entry.sha256)]


def write_definition(
    config: TokenizeConfig, base_dir: Path, documents: Artifact, staging: Staging
) -> str | None:
    """The tokenizer's definition, written as ``tokenizer.json``; None where it needs none.

    The file of ``subword_path``, or a vocabulary trained over all documents. In memory:
    what :func:`~nightjar.model.tokenization.train_subword` holds. Raises ConfigError when the file
    is no such definition or the documents are too few to train one, and InputError, naming
    the extra, when the library is missing.
    """
    if config.tokenizer != "subword":
        return None
    if config.subword_path is not None:
        definition = _read(_definition_path(config.subword_path, base_dir))
        open_tokenizer(config, definition)
    else:
        try:
            definition = train_subword(config, _texts(documents))
        except TokenizerError as error:
            raise _named(error) from error
    staging.add_file(schemas.TOKENIZER_FILE).write_text(definition, encoding="utf-8")
    return definition


def open_tokenizer(config: TokenizeConfig, definition: str | None = None) -> Tokenizer:
    """The tokenizer that ``config`` names, for ``definition`` where it needs one.

    Raises ConfigError for settings or a definition that cannot be used, and InputError,
    naming the extra, when a library is missing.
    """
    try:
        return make_tokenizer(config, definition)
    except TokenizerError as error:
        raise _named(error) from error


def _named(error: TokenizerError) -> InputError:
    return InputError(str(error)) if isinstance(error, LibraryMissing) else ConfigError(str(error))


def _definition_path(pattern: str, base_dir: Path) -> Path:
    found = expand(pattern, base_dir)
    if len(found) != 1:
        count = "no file" if not found else f"{len(found)} files"
        raise ConfigError(
            f"tokenize.subword_path: {pattern!r} names {count}; name one tokenizer.json, relative "
            f"to the config file"
        )
    return found[0]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"tokenize.subword_path: {path} cannot be read ({error.strerror}); check it"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"tokenize.subword_path: {path} is not UTF-8; name a tokenizer.json"
        ) from error


def _texts(documents: Artifact) -> Iterator[str]:
    for batch in documents.batches("documents", ["text"], _READ_ROWS):
        yield from batch.column("text").to_pylist()
