"""Semantic search: queries to the index that serves an entry of ``document_vectors``.

The ledger names that index (:meth:`nightjar.pipeline.answerers.Answerers.served`). Vectors and
index are built before the event that names them, so nothing is built here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nightjar.config import LoadedConfig
from nightjar.errors import ArtifactDamaged, ArtifactMissing, InputError, StoreError
from nightjar.formats.spaces import space_of_documents
from nightjar.model.lookup import VectorModel
from nightjar.pipeline.answerers import Answerers, named_model_errors
from nightjar.promotion import ServedIndex
from nightjar.stages.embed import Encoded, TextEncoder, encoder_of
from nightjar.stages.index import DocumentSearch, Filters, Hit, Snippet, snippets
from nightjar.store import Artifact, schemas

JSON_SNIPPET_CHARS = 240


@dataclass(frozen=True)
class SearchRequest:
    """A query and filters for documents."""

    query: str
    name: str | None = None
    """The document vectors to search; None: the only entry."""
    night: int | None = None
    """None for what is served now."""
    topn: int = 10
    filters: Filters = field(default_factory=Filters)
    snippet_chars: int = JSON_SNIPPET_CHARS


@dataclass(frozen=True)
class Found:
    """The documents found, best first, each with its best passage."""

    name: str
    index: Artifact
    hits: tuple[tuple[Hit, Snippet], ...]
    unknown: tuple[str, ...] = ()
    """Words of the query that the model has no vector for, so that they count for nothing."""

    def as_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "in": self.name,
            "index": str(self.index.ref),
            "space": space_of_documents(self.index),
            "approximate": self.index.manifest.report["approximate"],
            "documents": self.index.manifest.counts["documents"],
            "unknown_words": list(self.unknown),
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
    """An index that is ready for queries."""

    name: str
    index: Artifact
    documents: DocumentSearch
    encoder: TextEncoder
    words: VectorModel | None
    """The model behind the encoder, if it is one of ours."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode texts as the documents were encoded; NaN for a text without a known word."""
        return _with_nan(self.encoder.encode(texts))

    def encode_queries(self, queries: Sequence[str]) -> NDArray[np.float32]:
        """Encode queries with the same encoder; NaN for a query without a known word."""
        return _with_nan(self.encoder.encode_queries(queries))

    def unknown_words(self, query: str) -> tuple[str, ...]:
        """Words of a query that have no vector; none for an encoder that is not one of ours."""
        if self.words is None:
            return ()
        words = list(dict.fromkeys(self.words.words(query)))
        with named_model_errors():
            vectors = self.words.vectors(words, unknown="nan")
        are_unknown = np.flatnonzero(np.isnan(vectors).any(axis=1))
        return tuple(words[place] for place in are_unknown.tolist())

    def encode_query(self, query: str) -> NDArray[np.float32]:
        """Encode a query. Raises InputError for a query without a known word."""
        vector: NDArray[np.float32] = self.encode_queries([query])[0]
        if np.isfinite(vector).all() and vector.any():
            return vector
        words = list(dict.fromkeys(self.words.words(query))) if self.words is not None else []
        if self.words is None or not words:
            raise InputError(f"{self.name} knows no word of {query!r}: use others")
        with named_model_errors():
            self.words.vectors(words)
        raise InputError(f"the vectors of the words in {query!r} cancel out: use others")


def _with_nan(encoded: Encoded) -> NDArray[np.float32]:
    return np.where(encoded.is_known[:, np.newaxis], encoded.vectors, np.float32(np.nan))


def find_documents(loaded: LoadedConfig, request: SearchRequest) -> Found:
    """Answer ``request`` from the index that is served.

    Raises InputError for a query that cannot be answered, StoreError when the index is gone or
    damaged.
    """
    if not request.query.strip():
        raise InputError("the query is empty: describe what you look for")
    with open_search(loaded, request.name, request.night) as search:
        query = search.encode_query(request.query)
        hits = search.documents.search(query, request.topn, request.filters)
        texts = [hit.document.text for hit in hits]
        parts = snippets(texts, request.query, query, search.encode, request.snippet_chars)
        unknown = search.unknown_words(request.query)
        return Found(search.name, search.index, tuple(zip(hits, parts, strict=True)), unknown)


@contextmanager
def open_search(
    loaded: LoadedConfig, name: str | None, night: int | None = None
) -> Iterator[OpenSearch]:
    """Open the index that serves the entry ``name`` (None: the only one), with its encoder.

    With ``night`` it is that night's index. Raises ConfigError for an unknown name, InputError
    when nothing is served, StoreError as :func:`find_documents` does.
    """
    answerers = Answerers(loaded)
    name = answerers.entry(name)
    served = answerers.served(name, night)
    store = answerers.store
    with ExitStack() as opened:
        with _named(name, served):
            index = store.open(store.ref(schemas.SEARCH_INDEX, served.search_index))
            documents = DocumentSearch(store, index)
        asked = answerers.encoding_model(served)
        words = None if asked is None else opened.enter_context(answerers.opened(asked))
        _check_space(name, documents.document_vectors, words)
        config = loaded.config.document_vectors[name]
        encoder = encoder_of(config, loaded.base_dir, documents.document_vectors, words)
        yield OpenSearch(name, index, documents, encoder, words)


def _check_space(name: str, vectors: Artifact, words: VectorModel | None) -> None:
    """Raise StoreError when documents and queries would be of two spaces.

    Older artifacts do not say theirs; versions and digests tie them to their model anyway.
    """
    space = space_of_documents(vectors)
    if words is None or words.space is None or space in (None, words.space):
        return
    raise StoreError(
        f"{name} has document vectors of the space {space} ({vectors.ref}), and {words.name}, "
        f"which would encode the query, is of the space {words.space}: they cannot be compared. "
        f"'nightjar run' embeds the documents again"
    )


@contextmanager
def _named(name: str, served: ServedIndex) -> Iterator[None]:
    """Add the index's purpose, and what to do, to the error of a damaged index."""
    try:
        yield
    except (ArtifactMissing, ArtifactDamaged) as error:
        advice = "" if isinstance(error, ArtifactDamaged) else ". 'nightjar run' makes it again"
        raise type(error)(
            f"{name} is searched with {schemas.SEARCH_INDEX}/{served.search_index}, which is not "
            f"whole: {error}{advice}"
        ) from error
