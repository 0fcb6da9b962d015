"""A model's files from its embeddings artifact: what is registered, and what lookups open.

:mod:`nightjar.lookup` says what the files are. :func:`open_model` keeps them below the artifact
store, in ``lookup/<embeddings version>-<code>``: a copy that can be deleted at any time and is
made anew when it is needed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from nightjar import schemas
from nightjar.code_digest import code_digest
from nightjar.config import TokenizeConfig
from nightjar.embeddings import NGRAMS, matrix_of, ngram_sizes
from nightjar.errors import EncoderError
from nightjar.lookup import (
    ModelContent,
    NgramRows,
    QueryError,
    Rows,
    TableDamaged,
    VectorModel,
    write_model,
)
from nightjar.store import Artifact, Store, named_write_errors
from nightjar.tokenization import Settings, phrases_to_json

DIRECTORY = "lookup"
_ATTEMPTS = 3
"""More than one only when several processes replace damaged files at the same time."""


def model_code_digest() -> str:
    """Hash of the code that travels with a model, and of what it answers: not of comments."""
    return code_digest("nightjar.lookup", "nightjar.tokenization")


def model_content(name: str, embeddings: Artifact, tokens: Artifact | None) -> ModelContent:
    """What goes into the model's files, read by row group as it is written.

    ``tokens`` is what the model was trained on: its tokenizer goes along. An imported model
    has none: its own configuration says how texts are cut into words.
    """
    definition = None
    if tokens is not None and tokens.has_file(schemas.TOKENIZER_FILE):
        definition = tokens.file_path(schemas.TOKENIZER_FILE).read_text(encoding="utf-8")
    return ModelContent(
        name=name,
        tokenizer=tokenizer_settings(embeddings, tokens),
        n_tokens=embeddings.rows("vectors"),
        vector_size=embeddings.schema("vectors").field("vector").type.list_size,
        rows=_rows(embeddings),
        ngrams=_ngrams(embeddings),
        definition=definition,
        phrases=None if tokens is None else _phrases(tokens),
    )


def tokenizer_settings(embeddings: Artifact, tokens: Artifact | None) -> Settings:
    """How texts are cut for a model: as its ``tokens`` were, or as its import says."""
    imported = embeddings.manifest.identity["config"].get("tokenize")
    source = imported if tokens is None else tokens.manifest.identity["config"]
    return Settings(**TokenizeConfig.model_validate(source or {}).shaping_words())


def _phrases(tokens: Artifact) -> str | None:
    """What joins phrases in a text as they are joined in ``tokens``; None where none are."""
    config = TokenizeConfig.model_validate(tokens.manifest.identity["config"]).phrases
    if config is None:
        return None
    passes: list[list[list[str]]] = []
    for batch in tokens.batches(schemas.PHRASES, ["tokens", "pass"]):
        for row in batch.to_pylist():
            passes += [[] for _ in range(row["pass"] - len(passes))]
            passes[row["pass"] - 1].append(row["tokens"])
    return phrases_to_json(passes, config.delimiter, config.connectors)


def open_model(store: Store, name: str, embeddings: Artifact) -> VectorModel:
    """Open the lookup files of an embeddings artifact; they are written at its first use.

    Raises StoreNotWritable, and ArtifactMissing when the tokens it was trained on are gone.
    """
    version = f"{embeddings.ref.version}-{model_code_digest()[:8]}"
    directory = store.root / DIRECTORY / version
    for _ in range(_ATTEMPTS):
        with suppress(TableDamaged):  # never written, or cut
            return VectorModel.open(directory)
        parent = embeddings.manifest.parents.get(schemas.TOKENS)
        tokens = None if parent is None else store.open(store.ref(schemas.TOKENS, parent))
        with named_write_errors(store.root):
            _write(directory, model_content(name, embeddings, tokens))
    return VectorModel.open(directory)


def open_text_model(store: Store, name: str, embeddings: Artifact) -> VectorModel:
    """Like :func:`open_model`, for a model that is to encode texts.

    Raises EncoderError when its tokenizer cannot be made: a library or a definition is missing.
    """
    model = open_model(store, name, embeddings)
    try:
        model.words("")
    except QueryError as error:
        raise EncoderError(str(error)) from error
    return model


def _write(directory: Path, content: ModelContent) -> None:
    """Write the files beside ``directory`` and rename them, unless another process was first."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=directory.parent) as temporary:
        written = Path(temporary) / "written"
        written.mkdir()
        write_model(written, content)
        if directory.exists():
            with suppress(TableDamaged):
                VectorModel.open(directory)
                return
            with suppress(FileNotFoundError):  # another process has moved it
                directory.rename(Path(temporary) / "damaged")
        try:
            written.rename(directory)
        except OSError:
            if not directory.is_dir():  # else another process was first
                raise


def _rows(embeddings: Artifact) -> Iterator[Rows]:
    for batch in embeddings.batches("vectors"):
        counts = batch.column("count").to_numpy(zero_copy_only=False)
        yield Rows(batch.column("token").to_pylist(), counts, matrix_of(batch))


def _ngrams(embeddings: Artifact) -> NgramRows | None:
    sizes = ngram_sizes(embeddings)
    if sizes is None:
        return None
    stretches = (
        (batch.column("bucket").to_numpy(zero_copy_only=False), matrix_of(batch))
        for batch in embeddings.batches(NGRAMS)
    )
    n_rows = embeddings.rows(NGRAMS)
    return NgramRows(sizes.min_n, sizes.max_n, sizes.bucket, n_rows, stretches)
