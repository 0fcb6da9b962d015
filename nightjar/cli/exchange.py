"""Exchanging models with other tools: vectors in their formats, and models of gensim.

gensim is imported only when a function that needs it runs.
"""

from __future__ import annotations

import shlex
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nightjar.config import LoadedConfig
from nightjar.core.units import WORD, unit_of
from nightjar.errors import InputError
from nightjar.files.paths import check_output
from nightjar.formats import FORMATS, ExportedVectors, Ngrams, write_vectors
from nightjar.formats.mapped_files import map_file
from nightjar.formats.origins import SPACE
from nightjar.model.lookup import VectorModel
from nightjar.pipeline.answerers import Answerers, AskedVersion
from nightjar.pipeline.mapping import map_between, named_version
from nightjar.pipeline.provenance import git_commit
from nightjar.registry import BASE
from nightjar.store import ArtifactRef
from nightjar.store.schemas import EMBEDDINGS

_PREFIX = "nightjar."
"""Prefix of the tags that Nightjar gives a registered version."""


@dataclass(frozen=True)
class Exported:
    """What was written where, and what the format could not hold."""

    artifact: str
    path: Path
    format: str
    n_tokens: int
    n_bytes: int
    left_out: Counter[str]
    space: str | None = None
    """The id of the space of the vectors."""
    unit: str = WORD
    """What the vectors are of, in the singular."""

    @property
    def loading(self) -> str:
        """A line of code, or of the shell, that opens it."""
        line, path = FORMATS[self.format].loading, str(self.path)
        if '"PATH' in line:
            return line.replace('"PATH', f'"{_in_quotes(path)}')
        return line.replace("PATH", shlex.quote(path))

    def as_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "artifact": self.artifact,
            "space": self.space,
            "path": str(self.path),
            "format": self.format,
            "tokens": self.n_tokens,
            "bytes": self.n_bytes,
            "left_out": dict(self.left_out),
            "load": self.loading,
        }


def _in_quotes(path: str) -> str:
    """``path`` as it stands between the quotation marks of Python's ``"..."``."""
    return path.replace("\\", r"\\").replace('"', r"\"")


def export(
    loaded: LoadedConfig,
    what: str,
    night: int | None,
    format_name: str,
    output: Path | None,
    limit: int | None,
    *,
    replaces: bool = False,
) -> Exported:
    """Write the version that ``what`` and ``night`` name.

    See :meth:`nightjar.pipeline.answerers.Answerers.model`. ``output`` is by default the model's
    name with the format's suffix. Raises InputError for an unknown model, alias or format, for a
    file that already exists, and for a missing extra.
    """
    form = FORMATS.get(format_name)
    if form is None:
        raise InputError(f"--format {format_name}: choose one of {', '.join(FORMATS)}")
    answerers = Answerers(loaded)
    asked = answerers.model(what, night)
    path = output or Path(f"{asked.model}{form.suffix or '-' + format_name}")
    with answerers.opened(asked) as model:
        vectors = _vectors(model, _source(answerers, asked, model.space)).first(limit)
        left_out = write_vectors(vectors, format_name, path, replaces=replaces)
        space = model.space
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return Exported(
        artifact=f"{EMBEDDINGS}/{asked.embeddings}",
        space=space,
        path=path,
        format=format_name,
        n_tokens=len(vectors.tokens) - left_out["token_cannot_be_written"],
        n_bytes=sum(file.stat().st_size for file in files),
        left_out=left_out,
        unit=unit_of(loaded.config, asked.model),
    )


def _source(answerers: Answerers, asked: AskedVersion, space: str | None) -> dict[str, str]:
    """Where the vectors come from, by the registered version's tags or the manifest."""
    source = {
        "model": answerers.registered_name(asked.model),
        "embeddings_version": asked.embeddings,
        **({} if space is None else {SPACE: space}),
    }
    if asked.registered is not None:
        tags = asked.registered.tags
        source["version"] = str(asked.registered.version)
        source |= {
            key.removeprefix(_PREFIX): value
            for key, value in sorted(tags.items())
            if key == f"{_PREFIX}git_commit"
            or (key.startswith(_PREFIX) and key.endswith("_version"))
        }
        return source
    manifest = answerers.embeddings(asked).manifest
    # A fine-tuned model or a sentence encoder has embeddings among its parents.
    source |= {
        f"{BASE if stage == EMBEDDINGS else stage}_version": version
        for stage, version in manifest.parents.items()
    }
    return source if manifest.git_commit is None else {**source, "git_commit": manifest.git_commit}


def _vectors(model: VectorModel, source: dict[str, str]) -> ExportedVectors:
    table, subwords = model.table, model.subwords
    ngrams = None
    if subwords is not None:
        ngrams = Ngrams(*subwords.sizes, subwords.buckets, subwords.rows)
    return ExportedVectors(
        tokens=table.tokens_of(np.arange(len(table))),
        counts=table.counts,
        matrix=table.vectors,
        tokenizer=model.tokenizer,
        ngrams=ngrams,
        source=source,
        has_phrases=model.phrases is not None,
    )


@dataclass(frozen=True)
class Mapped:
    """What was written where, and how sure the map is."""

    path: Path
    n_vectors: int
    from_space: str
    to_space: str
    residual: float | None
    """None for an exact map."""
    n_words: int

    def as_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "path": str(self.path),
            "vectors": self.n_vectors,
            "from_space": self.from_space,
            "to_space": self.to_space,
            "residual": self.residual,
            "shared_words": self.n_words,
        }


def map_vectors(
    loaded: LoadedConfig,
    path: Path,
    versions: tuple[str, str],
    output: Path | None,
    column: str | None = None,
) -> Mapped:
    """Carry the vectors of a file from the space of one version to that of another.

    See :func:`nightjar.pipeline.mapping.map_between` and
    :func:`nightjar.formats.mapped_files.map_file`.
    """
    answerers = Answerers(loaded)
    left, right = (named_version(answerers, what) for what in versions)
    found = map_between(answerers, left, right)
    turn = found.turn
    out = output or path.with_name(f"{path.stem}-{turn.to_space}{path.suffix}")
    n_vectors = map_file(path, out, turn, column)
    return Mapped(out, n_vectors, turn.from_space, turn.to_space, found.residual, found.n_words)


def write_gensim(
    loaded: LoadedConfig, what: str, night: int | None, output: Path, *, replaces: bool = False
) -> ArtifactRef:
    """Save the version that ``what`` and ``night`` name as gensim does.

    See :meth:`nightjar.pipeline.answerers.Answerers.model`. Returns the embeddings written.
    Raises InputError when ``output`` exists, unless ``replaces``; ArtifactMissing when their
    artifact, which holds more than the registered files, is gone or from another training.
    """
    from nightjar.formats.gensim import save_gensim, to_gensim  # noqa: PLC0415 (imports gensim)

    check_output(output, replaces=replaces)
    answerers = Answerers(loaded)
    artifact = answerers.embeddings(answerers.model(what, night))
    save_gensim(to_gensim(artifact), output)
    return artifact.ref


def read_gensim(loaded: LoadedConfig, path: Path, name: str) -> ArtifactRef:
    """Publish the model that gensim saved at ``path`` as the embeddings ``name``."""
    from nightjar.formats.gensim import from_gensim, load_gensim  # noqa: PLC0415 (imports gensim)

    commit = git_commit(loaded.base_dir)
    return from_gensim(load_gensim(path), loaded.artifacts_dir, name, git_commit=commit)
