"""The commands that exchange models with gensim; gensim is imported only when they run."""

from __future__ import annotations

from pathlib import Path

from nightjar.config import LoadedConfig
from nightjar.pipeline.answerers import Answerers
from nightjar.pipeline.provenance import git_commit
from nightjar.store import ArtifactRef


def write_gensim(loaded: LoadedConfig, what: str, night: int | None, output: Path) -> ArtifactRef:
    """Save a version as gensim does.

    :meth:`nightjar.pipeline.answerers.Answerers.model` says which version that is.

    Returns what was written. Raises ArtifactMissing when its embeddings artifact, which has more
    than the registered files, is gone or is of another training.
    """
    from nightjar.formats.gensim import save_gensim, to_gensim  # noqa: PLC0415 (imports gensim)

    answerers = Answerers(loaded)
    artifact = answerers.embeddings(answerers.model(what, night))
    save_gensim(to_gensim(artifact), output)
    return artifact.ref


def read_gensim(loaded: LoadedConfig, path: Path, name: str) -> ArtifactRef:
    """Publish what gensim saved at ``path`` as the embeddings ``name``."""
    from nightjar.formats.gensim import from_gensim, load_gensim  # noqa: PLC0415 (imports gensim)

    commit = git_commit(loaded.base_dir)
    return from_gensim(load_gensim(path), loaded.artifacts_dir, name, git_commit=commit)
