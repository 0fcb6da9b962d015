"""The tags of a run and of a registered version: lineage, scores, files."""

from __future__ import annotations

import math

from nightjar.formats.spaces import fit_of, space_of
from nightjar.registry.readers import DIGEST_TAG, FIT_TAG, SPACE_TAG
from nightjar.registry.registered_names import KEY_TAG
from nightjar.registry.summary import ModelSummary

PREFIX = "nightjar."
NIGHT_TAG = f"{PREFIX}night"
TRIAL_TAG = f"{PREFIX}trial"
REGISTERED_MODEL_TAG = f"{PREFIX}registered_model"
_SCORE = "score."
_COVERAGE = "coverage."


def lineage_tags(summary: ModelSummary) -> dict[str, str]:
    """The model's lineage and scores; the same tags for run, logged model and version."""
    request = summary.request
    tags = {f"{PREFIX}{stage}_version": version for stage, version in summary.versions.items()}
    tags |= {
        KEY_TAG: request.key,
        DIGEST_TAG: request.embeddings.manifest.digest,
        SPACE_TAG: space_of(request.embeddings),
        FIT_TAG: fit_of(request.embeddings).as_text(),
        f"{PREFIX}pipeline": request.pipeline.name,
        f"{PREFIX}model": request.model_name,
        REGISTERED_MODEL_TAG: request.registered_model,
        f"{PREFIX}trainer": request.model.trainer,
        f"{PREFIX}corpus": "" if summary.corpus is None else summary.corpus.sources,
        f"{PREFIX}git_commit": request.git_commit or "",
        NIGHT_TAG: "" if request.night is None else str(request.night),
        TRIAL_TAG: "true" if request.is_trial else "",
    }
    for name, score in summary.main.items():
        tags |= _optional(f"{_SCORE}{name}", score.value)
        tags |= _optional(f"{_COVERAGE}{name}", score.coverage)
    return {key: value for key, value in tags.items() if value}


def _optional(key: str, value: float | None) -> dict[str, str]:
    """The tag in full precision; no tag for an undefined value."""
    return {} if value is None or math.isnan(value) else {key: repr(float(value))}
