"""Spaces: which coordinate system the vectors of an embeddings artifact belong to.

A training turns and mirrors its coordinates at random, so vectors of two trainings must not be
mixed. Every embeddings artifact therefore has the id of its space. The artifact that founds a space
gives it the first digits of its digest; one that keeps to the coordinates of an earlier version
(its anchor) names that one's space in its report.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nightjar.config.models import FastTextConfig, ModelConfig, NightjarConfig
from nightjar.config.trainers import ImportConfig, SifConfig, UsifConfig, space_of_model
from nightjar.formats.embeddings import ngram_sizes
from nightjar.store import Artifact
from nightjar.store.fingerprint import canonical_json

SPACE = "space"
"""Key in the report of embeddings and document vectors: ``id``, ``mode`` and ``anchor``."""
ID_LENGTH = 12


def space_of(artifact: Artifact) -> str:
    """The id of the space of an embeddings artifact: 12 hex digits."""
    report: Mapping[str, Any] = artifact.manifest.report.get(SPACE) or {}
    return str(report.get("id") or artifact.manifest.digest[:ID_LENGTH])


def space_of_documents(artifact: Artifact) -> str | None:
    """The id of the space of document vectors or their index; None for those of before."""
    report: Mapping[str, Any] = artifact.manifest.report.get(SPACE) or {}
    return report.get("id")


def kept_space(mode: str, anchor: Artifact) -> dict[str, Any]:
    """The report of embeddings that keep to the coordinates of ``anchor``."""
    return {
        "mode": mode,
        "id": space_of(anchor),
        "anchor": {"embeddings": anchor.ref.version, "digest": anchor.manifest.digest},
    }


@dataclass(frozen=True)
class Fit:
    """What decides whether one version of a model can keep to the coordinates of another."""

    trainer: str
    vector_size: int
    ngrams: tuple[int, int, int] | None
    """min_n, max_n and bucket of a model with n-grams."""
    has_outputs: bool
    """Whether there is an output row for each word, as negative sampling has it."""

    def suits(self, other: Fit, mode: str) -> bool:
        """Whether a version with this fit can be the anchor of one with the other.

        Any vectors of the same size can be turned onto each other (``aligned``). ``warm`` needs the
        same trainer, ``compass`` its output rows, too.
        """
        if self.vector_size != other.vector_size:
            return False
        if mode == "aligned":
            return True
        is_alike = (self.trainer, self.ngrams) == (other.trainer, other.ngrams)
        return is_alike and (self.has_outputs or mode != "compass")

    def as_text(self) -> str:
        """JSON, for the tag of a registered version and the evidence of an event."""
        return canonical_json(
            {
                "trainer": self.trainer,
                "vector_size": self.vector_size,
                "ngrams": None if self.ngrams is None else list(self.ngrams),
                "has_outputs": self.has_outputs,
            }
        )

    @classmethod
    def of_text(cls, text: str) -> Fit | None:
        """What :meth:`as_text` wrote; None for anything else."""
        try:
            found = json.loads(text)
            ngrams = found["ngrams"]
            return cls(
                str(found["trainer"]),
                int(found["vector_size"]),
                None if ngrams is None else (int(ngrams[0]), int(ngrams[1]), int(ngrams[2])),
                bool(found["has_outputs"]),
            )
        except (ValueError, KeyError, TypeError, IndexError):
            return None


def fit_of(artifact: Artifact) -> Fit:
    """The fit of an embeddings artifact."""
    model: Mapping[str, Any] = artifact.manifest.identity["config"].get("model") or {}
    sizes = ngram_sizes(artifact)
    return Fit(
        trainer=str(model.get("trainer", "")),
        vector_size=artifact.schema("vectors").field("vector").type.list_size,
        ngrams=None if sizes is None else (sizes.min_n, sizes.max_n, sizes.bucket),
        has_outputs=artifact.has_table("output_vectors") and bool(model.get("negative", 1)),
    )


def fit_of_model(config: NightjarConfig, name: str) -> Fit:
    """The fit of what the configured model ``name`` learns. Raises TypeError for an import."""
    model: ModelConfig = config.models[name]
    if isinstance(model, ImportConfig):
        raise TypeError(f"{name} is imported: its coordinates are those of its file")
    if isinstance(model, SifConfig | UsifConfig):
        base = fit_of_model(config, model.model)
        return Fit(model.trainer, base.vector_size, base.ngrams, False)
    ngrams = None
    if isinstance(model, FastTextConfig) and model.max_n >= model.min_n:
        ngrams = (model.min_n, model.max_n, model.bucket)
    return Fit(model.trainer, model.vector_size, ngrams, bool(getattr(model, "negative", 0)))


def mode_of(config: NightjarConfig, name: str) -> str:
    """How a model keeps its coordinates; ``own`` for one that is gone from the config."""
    model = config.models.get(name)
    return "own" if model is None else space_of_model(model)
