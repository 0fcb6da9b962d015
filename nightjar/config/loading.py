"""Reading ``pipeline_config.yaml``: the file, the overrides, and their validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from nightjar.config.models import NightjarConfig
from nightjar.config.overrides import apply_overrides, parse_override
from nightjar.config.problems import ConfigText, problems
from nightjar.config.yaml_text import parse_document, read_text
from nightjar.errors import ConfigError


@dataclass(frozen=True)
class LoadedConfig:
    """A valid configuration and where its relative paths start.

    ``config`` holds every value with defaults filled in; ``base_dir`` is the absolute
    directory of the file; ``artifacts_dir`` is absolute.
    """

    config: NightjarConfig
    path: Path
    base_dir: Path
    overrides: tuple[str, ...]

    @property
    def artifacts_dir(self) -> Path:
        """Absolute directory of the artifact store. Raises ConfigError when there is none."""
        artifacts_dir = self.config.pipeline.artifacts_dir
        try:
            return (self.base_dir / Path(artifacts_dir).expanduser()).resolve()
        except (OSError, RuntimeError, ValueError) as error:
            raise ConfigError(
                f"{self.path.name}: pipeline.artifacts_dir: "
                f"{artifacts_dir!r} leads nowhere: {error}"
            ) from error

    @property
    def pipeline_dir(self) -> Path:
        """Absolute directory of the pipeline's nights, ledger and lease."""
        return self.artifacts_dir / "pipelines" / self.config.pipeline.name


def load_config(path: Path, overrides: Sequence[str] = ()) -> LoadedConfig:
    """Read and validate ``path``, with ``overrides`` of the form ``a.b=value`` applied.

    A value is read as YAML, so ``training.seed=3`` is a number and ``models.glove=null``
    removes that model. Raises ConfigError naming each wrong key, its value, and the line
    of the file or the override that gave it.
    """
    try:
        path = path.expanduser().absolute()
    except RuntimeError as error:
        raise ConfigError(f"{path}: there is no such home directory") from error
    text = read_text(path)
    original = parse_document(text, path)
    parsed = [parse_override(override) for override in overrides]
    document = apply_overrides(original, parsed)
    try:
        config = NightjarConfig.model_validate(document)
    except ValidationError as error:
        source = ConfigText(path.name, text, original, document, parsed)
        raise ConfigError("\n".join(problems(error, source))) from error
    loaded = LoadedConfig(config, path, path.parent, tuple(overrides))
    loaded.artifacts_dir  # noqa: B018 (a directory that leads nowhere is found now)
    return loaded
