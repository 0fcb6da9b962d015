"""Exchanging models with gensim, which is imported only when these functions run."""

from __future__ import annotations

from pathlib import Path

from nightjar.config import LoadedConfig
from nightjar.pipeline.answerers import Answerers
from nightjar.pipeline.provenance import git_commit
from nightjar.store import ArtifactRef


def write_gensim(loaded: LoadedConfig, what: str, night: int | None, output: Path) -> ArtifactRef:
    """Save the version that ``what`` and ``night`` name as gensim does.

    See :meth:`nightjar.pipeline.answerers.Answerers.model`. Returns the embeddings written.
    Raises ArtifactMissing when their artifact, which holds more than the registered files, is
    gone or from another training.
    """
    from nightjar.formats.gensim import save_gensim, to_gensim  # noqa: PLC0415 (imports gensim)

    answerers = Answerers(loaded)
    artifact = answerers.embeddings(answerers.model(what, night))
    save_gensim(to_gensim(artifact), output)
    return artifact.ref


def read_gensim(loaded: LoadedConfig, path: Path, name: str) -> ArtifactRef:
    """Publish the model that gensim saved at ``path`` as the embeddings ``name``."""
    from nightjar.formats.gensim import from_gensim, load_gensim  # noqa: PLC0415 (imports gensim)

    commit = git_commit(loaded.base_dir)
    return from_gensim(load_gensim(path), loaded.artifacts_dir, name, git_commit=commit)
