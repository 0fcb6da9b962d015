"""Semantic search: what ``nightjar search`` asks of the newest document vectors."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from flows.display import display_for
from flows.provenance import git_commit, n_workers
from nightjar import schemas
from nightjar.config import LoadedConfig
from nightjar.encoders import Encoded, TextEncoder, encoder_of
from nightjar.errors import ArtifactDamaged, ConfigError, InputError, UnknownTokenError
from nightjar.lookup import UnknownWords, VectorModel
from nightjar.model_files import open_model
from nightjar.search import (
    DocumentSearch,
    Filters,
    Hit,
    Snippet,
    search_index,
    search_index_identity,
    snippets,
)
from nightjar.store import Artifact, Manifest, Store

JSON_SNIPPET_CHARS = 240
_EXAMPLE = """document_vectors:
  documents:
    model: {model}"""


@dataclass(frozen=True)
class Question:
    """What is looked for, and among which documents."""

    query: str
    name: str | None = None
    """The document vectors to search; None: the only ones."""
    topn: int = 10
    filters: Filters = field(default_factory=Filters)
    snippet_chars: int = JSON_SNIPPET_CHARS


@dataclass(frozen=True)
class Found:
    """The documents that answer, best first, each with the part that does."""

    name: str
    index: Artifact
    hits: tuple[tuple[Hit, Snippet], ...]

    def as_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "in": self.name,
            "index": str(self.index.ref),
            "approximate": self.index.manifest.report["approximate"],
            "documents": self.index.manifest.counts["documents"],
            "hits": [
                {
                    "rank": rank,
                    "similarity": hit.similarity,
                    "doc_id": hit.document.doc_id,
                    "source": hit.document.source,
                    "language": hit.document.language,
                    "n_chars": hit.document.n_chars,
                    "snippet": snippet.text,
                    "marks": [list(mark) for mark in snippet.marks],
                }
                for rank, (hit, snippet) in enumerate(self.hits, start=1)
            ],
        }


@dataclass(frozen=True, eq=False)
class OpenSearch:
    """The newest document vectors of a name, ready to be asked."""

    name: str
    index: Artifact
    documents: DocumentSearch
    encoder: TextEncoder
    words: VectorModel | None
    """The model behind the encoder, where it is one of ours."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of texts, as of the documents; NaN for a text without a known word."""
        return _with_nan(self.encoder.encode(texts))

    def encode_queries(self, queries: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of queries by the same encoder; NaN for one without a known word."""
        return _with_nan(self.encoder.encode_queries(queries))

    def encode_query(self, query: str) -> NDArray[np.float32]:
        """The vector of a query. Raises InputError for one without a known word."""
        vector: NDArray[np.float32] = self.encode_queries([query])[0]
        if np.isfinite(vector).all() and vector.any():
            return vector
        words = list(dict.fromkeys(self.words.words(query))) if self.words is not None else []
        if self.words is None or not words:
            raise InputError(f"there is no word in {query!r} that {self.name} knows")
        try:
            self.words.vectors(words)
        except UnknownWords as error:
            raise UnknownTokenError(str(error)) from error
        raise InputError(f"the words of {query!r} have no direction: use others")


def _with_nan(encoded: Encoded) -> NDArray[np.float32]:
    return np.where(encoded.is_known[:, np.newaxis], encoded.vectors, np.float32(np.nan))


def find_documents(loaded: LoadedConfig, question: Question, console: Console) -> Found:
    """Answer ``question`` from the newest published document vectors.

    Their index is built where it is not yet; its progress goes to ``console``. Raises
    InputError for a question that cannot be answered.
    """
    if not question.query.strip():
        raise InputError("the query is empty: write what you look for")
    search = open_search(loaded, question.name, console)
    query = search.encode_query(question.query)
    hits = search.documents.search(query, question.topn, question.filters)
    texts = [hit.document.text for hit in hits]
    parts = snippets(texts, question.query, query, search.encode, question.snippet_chars)
    return Found(search.name, search.index, tuple(zip(hits, parts, strict=True)))


def open_search(loaded: LoadedConfig, name: str | None, console: Console) -> OpenSearch:
    """Open the newest document vectors ``name`` (None: the only ones), their index and encoder.

    The index is built where it is not yet; its progress goes to ``console``. Raises
    ConfigError for an unknown name, InputError when nothing is published.
    """
    name = _configured_name(loaded, name)
    store = Store(loaded.artifacts_dir)
    vectors = _newest_vectors(loaded, store, name)
    index = _index(loaded, store, vectors, console)
    config = loaded.config.document_vectors[name]
    encoder = encoder_of(config, loaded.base_dir, store, vectors)
    words = None
    version = vectors.manifest.parents.get(schemas.EMBEDDINGS)
    if version is not None:
        embeddings = store.open(store.ref(schemas.EMBEDDINGS, version))
        words = open_model(store, embeddings.manifest.name, embeddings)
    return OpenSearch(name, index, DocumentSearch(store, index), encoder, words)


def _configured_name(loaded: LoadedConfig, name: str | None) -> str:
    configured = list(loaded.config.document_vectors)
    config = Path(loaded.path).name
    if not configured:
        example = _EXAMPLE.format(model=next(iter(loaded.config.models)))
        raise ConfigError(
            f"{config} embeds no documents, so there is nothing to search. Add, for example,\n\n"
            f"{example}\n\nand run 'nightjar run'"
        )
    if name is None:
        if len(configured) > 1:
            raise InputError(f"choose what to search with --in: {', '.join(configured)}")
        return configured[0]
    if name in configured:
        return name
    close = difflib.get_close_matches(name, configured, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"have {', '.join(configured)}"
    raise ConfigError(f"{name}: {config} has no such document_vectors; {hint}")


def _newest_vectors(loaded: LoadedConfig, store: Store, name: str) -> Artifact:
    for ref in reversed(store.versions(schemas.DOCUMENT_VECTORS)):
        try:
            manifest = Manifest.read(Path(ref.path))
        except ArtifactDamaged:
            continue  # whose it is cannot be known; 'nightjar verify' reports it
        if manifest.name == name:
            return store.open(ref)
    raise InputError(
        f"{name} is not published yet: 'nightjar run' embeds the documents of {loaded.path.name}"
    )


def _index(loaded: LoadedConfig, store: Store, vectors: Artifact, console: Console) -> Artifact:
    """The published index of ``vectors``, or one that is built now."""
    identity = search_index_identity(vectors.manifest.name, vectors.ref.version)
    if store.is_published(identity.stage, identity.version):
        return store.open(store.ref(identity.stage, identity.version))
    label = f"index {vectors.manifest.name}"
    with display_for(console) as display:
        progress = display.open(label)
        outcome = "failed"
        try:
            commit = git_commit(loaded.base_dir)
            index = search_index(store, vectors, progress, n_workers(loaded), commit)
            outcome = f"{index.manifest.counts['indexed']:,} documents"
        finally:
            display.close(label, outcome)
    return index
