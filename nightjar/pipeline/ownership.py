"""One config owns a pipeline's name: two with the same name would undo each other's work."""

from __future__ import annotations

import json
import os
from pathlib import Path

from nightjar.config import LoadedConfig
from nightjar.errors import ConfigError
from nightjar.store import put_new, replace

_OWNER = "owner.json"


def claim_pipeline(loaded: LoadedConfig) -> None:
    """Make this config the owner of its pipeline's name unless another config is.

    The owner's path is stored relative to the artifacts, so a project may be moved as a whole. A
    deleted config owns nothing. Raises ConfigError naming the owner.
    """
    path = loaded.pipeline_dir / _OWNER
    root = loaded.artifacts_dir
    content = json.dumps({"config": os.path.relpath(loaded.path.resolve(), root)}).encode()
    if put_new(path, content):
        return
    try:
        owner = (root / json.loads(path.read_bytes())["config"]).resolve()
    except (ValueError, KeyError, TypeError):
        owner = Path()
    if owner == loaded.path.resolve():
        return
    if owner.is_file():
        raise ConfigError(
            f"{loaded.path}: the pipeline {loaded.config.pipeline.name!r} in {root} belongs to "
            f"{owner}; give this one another pipeline.name or another pipeline.artifacts_dir"
        )
    replace(path, content)
