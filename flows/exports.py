"""``nightjar export``: a registered model's vectors in a format that other tools read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flows import lookups
from flows.provenance import git_commit
from nightjar.config import LoadedConfig
from nightjar.errors import InputError
from nightjar.formats import FORMATS, ExportedVectors, Ngrams, write_vectors
from nightjar.lookup import VectorModel
from nightjar.model_files import open_model
from nightjar.registry import BASE, registered_name
from nightjar.schemas import EMBEDDINGS
from nightjar.store import Artifact, Store


@dataclass(frozen=True)
class Exported:
    """What was written where, and what the format could not take."""

    artifact: str
    path: Path
    format: str
    n_tokens: int
    n_bytes: int
    left_out: Counter[str]

    @property
    def loading(self) -> str:
        """A line that opens it."""
        return FORMATS[self.format].loading.replace("PATH", str(self.path))

    def as_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "artifact": self.artifact,
            "path": str(self.path),
            "format": self.format,
            "tokens": self.n_tokens,
            "bytes": self.n_bytes,
            "left_out": dict(self.left_out),
            "load": self.loading,
        }


def export(
    loaded: LoadedConfig,
    what: str,
    format_name: str,
    output: Path | None,
    limit: int | None,
    *,
    replaces: bool = False,
) -> Exported:
    """Write the model ``what``: its name or registered name, ``@alias`` or ``@version`` behind it.

    ``output``: by default the model's name with the format's suffix. Raises InputError for an
    unknown model, alias or format, for a file that is there already, and for a missing extra.
    """
    form = FORMATS.get(format_name)
    if form is None:
        raise InputError(f"--format {format_name}: choose one of {', '.join(FORMATS)}")
    name, ref = lookups.model_ref(loaded, what)
    store = Store(loaded.artifacts_dir)
    embeddings = store.open(ref)
    model = open_model(store, name, embeddings)
    path = output or Path(f"{name}{form.suffix or '-' + format_name}")
    vectors = _vectors(loaded, name, model, embeddings).first(limit)
    left_out = write_vectors(vectors, format_name, path, replaces=replaces)
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return Exported(
        artifact=str(embeddings.ref),
        path=path,
        format=format_name,
        n_tokens=len(vectors.tokens) - left_out["token_cannot_be_written"],
        n_bytes=sum(file.stat().st_size for file in files),
        left_out=left_out,
    )


def _vectors(
    loaded: LoadedConfig, name: str, model: VectorModel, embeddings: Artifact
) -> ExportedVectors:
    table, subwords = model.table, model.subwords
    ngrams = None
    if subwords is not None:
        ngrams = Ngrams(*subwords.sizes, subwords.buckets, subwords.rows)
    source = {
        "model": registered_name(loaded.config.pipeline.name, name),
        "embeddings_version": embeddings.ref.version,
        "git_commit": embeddings.manifest.git_commit or git_commit(loaded.base_dir) or "",
        **{
            # A fine-tuned model or a sentence encoder has embeddings among its parents.
            f"{BASE if stage == EMBEDDINGS else stage}_version": version
            for stage, version in embeddings.manifest.parents.items()
        },
    }
    return ExportedVectors(
        tokens=table.tokens_of(np.arange(len(table))),
        counts=table.counts,
        matrix=table.vectors,
        tokenizer=model.tokenizer,
        ngrams=ngrams,
        source={key: value for key, value in source.items() if value},
        has_phrases=model.phrases is not None,
    )
