"""The commands that exchange models with gensim; gensim is imported only when they run."""

from __future__ import annotations

from pathlib import Path

from flows import lookups
from flows.provenance import git_commit
from nightjar.config import LoadedConfig
from nightjar.errors import InputError
from nightjar.schemas import EMBEDDINGS
from nightjar.store import ArtifactRef, Store


def write_gensim(
    loaded: LoadedConfig, model: str, version: str | None, output: Path
) -> ArtifactRef:
    """Save the champion of ``model``, or the embeddings ``version`` of it, as gensim does.

    Returns what was written. Raises InputError when that version is of another model.
    """
    from nightjar.interchange import save_gensim, to_gensim  # noqa: PLC0415 (imports gensim)

    store = Store(loaded.artifacts_dir)
    if version is None:
        artifact = store.open(lookups.champion_ref(loaded, model))
    else:
        artifact = store.open(store.find(f"{EMBEDDINGS}/{version.removeprefix(EMBEDDINGS + '/')}"))
        if artifact.manifest.name != model:
            raise InputError(
                f"{artifact.ref} is of the model {artifact.manifest.name!r}, not {model!r}; "
                f"'nightjar versions {EMBEDDINGS}' lists them"
            )
    save_gensim(to_gensim(artifact), output)
    return artifact.ref


def read_gensim(loaded: LoadedConfig, path: Path, name: str) -> ArtifactRef:
    """Publish what gensim saved at ``path`` as the embeddings ``name``."""
    from nightjar.interchange import from_gensim, load_gensim  # noqa: PLC0415 (imports gensim)

    commit = git_commit(loaded.base_dir)
    return from_gensim(load_gensim(path), loaded.artifacts_dir, name, git_commit=commit)
