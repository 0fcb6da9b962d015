"""The approximate indexes of the champions: built where they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from flows.display import display_for
from flows.lookups import NoChampionError, model_ref
from flows.provenance import git_commit, n_workers
from nightjar.config import LoadedConfig
from nightjar.lookup import VectorModel
from nightjar.model_files import open_model
from nightjar.search import INDEX_FILE, WordIndexRequest, attach_word_index, word_index
from nightjar.store import Artifact, Store


@dataclass(frozen=True)
class IndexedModel:
    """A champion's index; ``problem`` says why it has none."""

    model: str
    index: Artifact | None
    problem: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        if self.index is None:
            return {"artifact": None, "problem": self.problem}
        manifest = self.index.manifest
        return {
            "artifact": str(self.index.ref),
            "path": str(self.index.file_path(INDEX_FILE)),
            "embeddings": manifest.parents,
            "words": manifest.counts["indexed"],
            "recall_at_10": manifest.report["recall_at_10"],
            "connectivity": manifest.report["connectivity"],
            "expansion_search": manifest.report["expansion_search"],
            "seconds": manifest.seconds,
            "problem": None,
        }


def index_champions(
    loaded: LoadedConfig, model: str | None, console: Console
) -> tuple[IndexedModel, ...]:
    """Index the champion of ``model``, or of every model. Raises when none has an index."""
    names = list(loaded.config.models) if model is None else [model]
    found = []
    for name in names:
        try:
            found.append(IndexedModel(name, open_with_index(loaded, name, console)[1]))
        except NoChampionError as error:
            if len(names) == 1:
                raise
            found.append(IndexedModel(name, None, str(error)))
    _raise_without_any(found)
    return tuple(found)


def _raise_without_any(found: Sequence[IndexedModel]) -> None:
    if all(entry.index is None for entry in found):
        raise NoChampionError(found[0].problem or "there is no model")


def open_with_index(
    loaded: LoadedConfig, name: str, console: Console
) -> tuple[VectorModel, Artifact]:
    """A model (by default its champion), open, with its index, built at its first use.

    The progress of building goes to ``console``.
    """
    store = Store(loaded.artifacts_dir)
    name, ref = model_ref(loaded, name)
    embeddings = store.open(ref)
    model = open_model(store, name, embeddings)
    commit = git_commit(loaded.base_dir)
    request = WordIndexRequest(name, embeddings, model, n_workers(loaded), commit)
    index_ref = store.ref(request.identity.stage, request.identity.version)
    if store.is_published(index_ref.stage, index_ref.version):
        index = store.open(index_ref)
    else:
        label = f"index {name}"
        with display_for(console) as display:
            progress = display.open(label)
            outcome = "failed"
            try:
                index = word_index(store, request, progress)
                outcome = f"recall@10 {index.manifest.report['recall_at_10']:.3f}"
            finally:
                display.close(label, outcome)
    attach_word_index(model, index)
    return model, index
