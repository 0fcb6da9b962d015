"""The files of a model, from its embeddings artifact.

:mod:`nightjar.model.lookup` describes the files. They are only kept for registered models; to query
embeddings that are not registered, or to embed and evaluate before they are, the files are written
temporarily (:func:`temporary_model`).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nightjar.config import TokenizeConfig
from nightjar.config.tokenize import VERBATIM
from nightjar.errors import ArtifactDamaged, EncoderError, StoreNotWritable
from nightjar.files.scratch import ScratchDirectory
from nightjar.formats.embeddings import NGRAMS, matrix_of, ngram_sizes
from nightjar.formats.spaces import space_of
from nightjar.kernels.code_digest import code_digest
from nightjar.model.lookup import (
    ModelContent,
    NearItems,
    NgramRows,
    QueryError,
    RecommenderContent,
    RecommenderSettings,
    Rows,
    VectorModel,
    write_model,
)
from nightjar.model.tokenization import Settings, phrases_to_json
from nightjar.store import Artifact, Staging, file_identity, schemas

RECOMMENDING = "recommending"
"""The key in the report of embeddings of items with what was fitted to recommend them."""


def model_code_digest() -> str:
    """Hash of the code that is packaged with a model, ignoring comments."""
    return code_digest("nightjar.model.lookup", "nightjar.model.tokenization")


def write_words(tokens: Artifact, staging: Staging) -> None:
    """Make embeddings learned from ``tokens`` store how texts are split into words.

    Then they can encode texts even when those tokens have been deleted.
    """
    config = _tokenize_of(tokens)
    words = {"tokenize": config.shaping_words(), "phrases": _phrases(tokens, config)}
    content = json.dumps(words, indent=1, ensure_ascii=False) + "\n"
    staging.add_file(schemas.WORDS_FILE).write_text(content, encoding="utf-8")
    if tokens.has_file(schemas.TOKENIZER_FILE):
        definition = tokens.file_path(schemas.TOKENIZER_FILE).read_text(encoding="utf-8")
        staging.add_file(schemas.TOKENIZER_FILE).write_text(definition, encoding="utf-8")


def _tokenize_of(tokens: Artifact) -> TokenizeConfig:
    """How texts become such tokens: ids of nodes and items are written as they are."""
    if {schemas.GRAPH, schemas.EVENTS} & set(tokens.manifest.parents):
        return VERBATIM
    return TokenizeConfig.model_validate(tokens.manifest.identity["config"])


def model_content(name: str, embeddings: Artifact) -> ModelContent:
    """The content of the model's files, read by row group as it is written."""
    definition = None
    if embeddings.has_file(schemas.TOKENIZER_FILE):
        definition = embeddings.file_path(schemas.TOKENIZER_FILE).read_text(encoding="utf-8")
    return ModelContent(
        name=name,
        tokenizer=tokenizer_settings(embeddings),
        n_tokens=embeddings.rows("vectors"),
        vector_size=embeddings.schema("vectors").field("vector").type.list_size,
        rows=_rows(embeddings),
        ngrams=_ngrams(embeddings),
        definition=definition,
        space=space_of(embeddings),
        phrases=_words(embeddings)["phrases"],
        recommender=_recommender(embeddings),
    )


def tokenizer_settings(embeddings: Artifact) -> Settings:
    """How texts are split for a model: as its training text was, or as its import says."""
    config = TokenizeConfig.model_validate(_words(embeddings)["tokenize"])
    return Settings(**config.shaping_words())


def _words(embeddings: Artifact) -> dict[str, Any]:
    """What :func:`write_words` wrote, or the configuration of an imported model."""
    if not embeddings.has_file(schemas.WORDS_FILE):
        imported = embeddings.manifest.identity["config"].get("tokenize")
        return {"tokenize": imported or {}, "phrases": None}
    path = embeddings.file_path(schemas.WORDS_FILE)
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ArtifactDamaged(f"{embeddings.ref}: {path.name} cannot be read: {error}") from error
    return found


def _phrases(tokens: Artifact, config: TokenizeConfig) -> str | None:
    """The rules that join phrases in a text as in ``tokens``; None without phrases."""
    if config.phrases is None:
        return None
    passes: list[list[list[str]]] = []
    for batch in tokens.batches(schemas.PHRASES, ["tokens", "pass"]):
        for row in batch.to_pylist():
            passes += [[] for _ in range(row["pass"] - len(passes))]
            passes[row["pass"] - 1].append(row["tokens"])
    return phrases_to_json(passes, config.phrases.delimiter, config.phrases.connectors)


@contextmanager
def temporary_model_files(
    name: str, embeddings: Artifact, directory: Path | None = None
) -> Iterator[Path]:
    """A model's files from its embeddings artifact; they are gone after the block.

    They are written below ``directory``, or in the system's temporary directory: 4 bytes a
    value. Raises StoreNotWritable, ArtifactDamaged, and QueryError for a value that is not
    finite.
    """
    with ExitStack() as opened:
        with _named_refusals(name) if directory is None else nullcontext():
            temporary = ScratchDirectory(directory)
            files = Path(opened.enter_context(temporary))
            write_model(files, model_content(name, embeddings))
        yield files


@contextmanager
def temporary_model(
    name: str, embeddings: Artifact, directory: Path | None = None
) -> Iterator[VectorModel]:
    """A model from its embeddings artifact, open for the block: :func:`temporary_model_files`."""
    with temporary_model_files(name, embeddings, directory) as files:
        yield VectorModel.open(files)


@contextmanager
def temporary_text_model(
    name: str, embeddings: Artifact, directory: Path | None = None
) -> Iterator[VectorModel]:
    """Like :func:`temporary_model`, for a model that is to encode texts.

    Raises EncoderError as :func:`check_cuts_texts` does.
    """
    with temporary_model(name, embeddings, directory) as model:
        check_cuts_texts(model)
        yield model


def check_cuts_texts(model: VectorModel) -> None:
    """Raise EncoderError unless the tokenizer can be made: a library or definition is missing."""
    try:
        model.words("")
    except QueryError as error:
        raise EncoderError(str(error)) from error


def array_hashes(directory: Path) -> dict[str, str]:
    """The sha256 of each array among a model's files, by file name.

    Everything that the model computes with. The same embeddings give the same arrays.
    """
    return {path.name: file_identity(path).sha256 for path in sorted(directory.glob("*.npy"))}


@contextmanager
def _named_refusals(name: str) -> Iterator[None]:
    """Convert errors of writing to the system's temporary directory to StoreNotWritable."""
    try:
        yield
    except OSError as error:
        raise StoreNotWritable(
            f"{tempfile.gettempdir()}: the files of {name} cannot be written there for the time "
            f"of the question ({error.strerror}); free some space, or set TMPDIR to another "
            f"directory"
        ) from error


def _rows(embeddings: Artifact) -> Iterator[Rows]:
    for batch in embeddings.batches("vectors"):
        counts = batch.column("count").to_numpy(zero_copy_only=False)
        yield Rows(batch.column("token").to_pylist(), counts, matrix_of(batch))


def _recommender(embeddings: Artifact) -> RecommenderContent | None:
    """What recommends items, for a model that was learned from events. Memory: all of it."""
    found = embeddings.manifest.report.get(RECOMMENDING)
    if found is None:
        return None
    settings = RecommenderSettings.of_json(found["settings"])
    n_items = embeddings.rows("vectors")
    outputs = None
    if settings.output is not None:
        outputs = np.concatenate(
            [
                matrix_of(batch.filter(pc.equal(batch.column("kind"), pa.scalar("negative"))))
                for batch in embeddings.batches("output_vectors")
            ]
        )
    near = embeddings.read(schemas.NEAR_ITEMS).combine_chunks()
    lengths = np.bincount(near.column("row").to_numpy(), minlength=n_items)
    described = embeddings.read(schemas.DESCRIBED_ITEMS).combine_chunks()
    return RecommenderContent(
        settings=settings,
        output_vectors=outputs,
        near=NearItems(
            np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            near.column("item").to_numpy(),
            near.column("share").to_numpy(),
        ),
        titles=described.column("title").slice(0, n_items).combine_chunks(),
        new_items=described.slice(n_items),
    )


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
