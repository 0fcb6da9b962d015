"""The approximate indexes of models' words: artifacts built on demand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from nightjar.cli.display import display_for
from nightjar.config import LoadedConfig
from nightjar.model.lookup import VectorModel
from nightjar.pipeline.answerers import Answerers, AskedVersion, NobodyAnswersError
from nightjar.pipeline.provenance import git_commit, n_workers
from nightjar.stages.index import INDEX_FILE, WordIndexRequest, attach_word_index, word_index
from nightjar.store import Artifact


@dataclass(frozen=True)
class IndexedModel:
    """The index of a version; ``problem`` says why it has none."""

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


def index_models(
    loaded: LoadedConfig, what: str | None, night: int | None, console: Console
) -> tuple[IndexedModel, ...]:
    """Index the version that ``what`` names, or every model's champion.

    Shows progress on ``console``. Raises NobodyAnswersError when no model has an index.
    """
    answerers = Answerers(loaded)
    names = list(loaded.config.models) if what is None else [what]
    found = []
    for name in names:
        try:
            asked = answerers.model(name, night)
            with answerers.opened(asked) as model:
                found.append(IndexedModel(name, attach_index(answerers, asked, model, console)))
        except NobodyAnswersError as error:
            if len(names) == 1:
                raise
            found.append(IndexedModel(name, None, str(error)))
    _raise_without_any(found)
    return tuple(found)


def _raise_without_any(found: Sequence[IndexedModel]) -> None:
    if all(entry.index is None for entry in found):
        raise NobodyAnswersError(found[0].problem or "there is no model")


def attach_index(
    answerers: Answerers, asked: AskedVersion, model: VectorModel, console: Console
) -> Artifact:
    """Let the open ``model`` answer approximate questions from its index.

    Builds and publishes the index on first use, with progress on ``console``.
    """
    loaded, store = answerers.loaded, answerers.store
    request = WordIndexRequest(
        name=asked.model,
        embeddings=asked.embeddings,
        digest=answerers.digest(asked),
        model=model,
        n_threads=n_workers(loaded),
        git_commit=git_commit(loaded.base_dir),
    )
    ref = store.ref(request.identity.stage, request.identity.version)
    if store.is_published(ref.stage, ref.version):
        index = store.open(ref)
    else:
        label = f"index {asked.model}"
        with display_for(console) as display:
            progress = display.open(label)
            outcome = "failed"
            try:
                index = word_index(store, request, progress)
                outcome = f"recall@10 {index.manifest.report['recall_at_10']:.3f}"
            finally:
                display.close(label, outcome)
    attach_word_index(model, index)
    return index
