"""Erasing documents from a search index."""

from __future__ import annotations

from dataclasses import replace

import pyarrow.compute as pc

from nightjar.core.erasure import Erased, Fate, Rewriting, are_of
from nightjar.core.stage import StageContext
from nightjar.stages.index.document_index import DocumentIndexSettings, index_documents
from nightjar.stages.index.index_settings import IndexSettings
from nightjar.store import Artifact, Identity, Staging, Store, schemas


def erase_from_search_index(store: Store, artifact: Artifact, erased: Erased) -> Rewriting | Fate:
    """An index with one of them is built anew: a graph would keep their vectors.

    Their rows must have been erased from its document vectors before. Deleted where those are gone.
    """
    hashes = artifact.read("entries", ["content_sha256"]).column("content_sha256")
    if not pc.any(are_of(hashes, erased.texts)).as_py():
        return Fate.UNTOUCHED
    version = artifact.manifest.parents[schemas.DOCUMENT_VECTORS]
    if not store.is_published(schemas.DOCUMENT_VECTORS, version):
        return Fate.DELETED
    vectors = store.open(store.ref(schemas.DOCUMENT_VECTORS, version))
    identity = Identity(**artifact.manifest.identity)

    def write(staging: Staging) -> None:
        staging.counts.clear()
        staging.report.clear()
        index_documents(vectors, StageContext(identity, staging), _settings(artifact))

    return write


def _settings(artifact: Artifact) -> DocumentIndexSettings:
    """Those of an index, but nothing is taken over from one that is there."""
    config = {
        key: value for key, value in artifact.manifest.identity["config"].items() if key != "dtype"
    }
    settings = DocumentIndexSettings(**{**config, "graph": IndexSettings(**config["graph"])})
    return replace(settings, max_changed=-1.0)
