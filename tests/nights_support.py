"""A pipeline with hand-made models, so that every decision is known beforehand."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from conftest import PROVENANCE, SMALL_CONFIG, run_a_night
from copying_support import copy_project

from nightjar.config import LoadedConfig, load_config
from nightjar.core import Night
from nightjar.pipeline import make_plan
from nightjar.pipeline.noise import measure_noise
from nightjar.promotion import Event, Standing, read_events, read_standing
from nightjar.registry import RegistryPlace

N_PAIRS = 20
GOOD, FAIR, POOR = 1.0, 0.97, 0.0
"""Shares of a vectors file's pairs that are in the benchmark's order."""


class HandMade:
    """A project directory: text, a benchmark, and vectors of any quality."""

    def __init__(self, directory: Path, **config: Any) -> None:
        self.directory = directory
        self.path = directory / "night.yaml"
        directory.mkdir(parents=True, exist_ok=True)
        rows = [f"left{row}\tright{row}\t{N_PAIRS - row}" for row in range(N_PAIRS)]
        (directory / "pairs.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
        self.write_text(100)
        self.document: dict[str, Any] = {
            "pipeline": {"name": "night"},
            "corpora": {
                "text": {"kind": "text", "sources": {"s": {"type": "text", "path": "text.txt"}}}
            },
            "training": {"workers": 1},
            "models": {"words": {"trainer": "import", "path": "vectors.txt", "format": "glove"}},
            "evaluation": {
                "bootstrap_samples": 100,
                "benchmarks": {"pairs": {"type": "similarity", "path": "pairs.tsv"}},
            },
            "registry": {"gate": {"benchmarks": ["pairs"], "margin": 0.05}},
            **config,
        }
        self.save()
        self.write_vectors(GOOD)

    def save(self) -> None:
        """Write the config as it is in ``document``."""
        self.path.write_text(yaml.safe_dump(self.document, sort_keys=False), encoding="utf-8")

    def write_text(self, n_lines: int) -> None:
        """``n_lines`` documents of three words."""
        lines = [f"left{row % N_PAIRS} right{row % N_PAIRS} word{row}." for row in range(n_lines)]
        (self.directory / "text.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def write_vectors(self, quality: float, name: str = "vectors.txt", seed: int = 0) -> None:
        """Vectors whose similarities keep the order of the first pairs, and reverse the rest.

        Files of one quality and different seeds score the same and differ in bytes.
        """
        n_kept = round(quality * N_PAIRS)
        ranks: Sequence[int] = [*range(n_kept), *reversed(range(n_kept, N_PAIRS))]
        lines = []
        for row, rank in enumerate(ranks):
            angle = 0.05 + 0.05 * rank
            lines.append(f"left{row} 1.0 0.0 {0.0001 * seed:.5f}")
            lines.append(f"right{row} {math.cos(angle):.6f} {math.sin(angle):.6f} 0.0")
        (self.directory / name).write_text("\n".join(lines) + "\n", encoding="utf-8")

    def night(self, *overrides: str, promotes: bool = False) -> Night:
        """Run a night."""
        return run_a_night(self.path, *overrides, promotes=promotes)

    @property
    def loaded(self) -> LoadedConfig:
        return load_config(self.path)

    @property
    def place(self) -> RegistryPlace:
        return RegistryPlace.of(self.loaded.config.registry, self.loaded.artifacts_dir)

    @property
    def standing(self) -> Standing:
        return read_standing(self.loaded)

    @property
    def champion(self) -> int | None:
        """Number of the champion of ``words``."""
        found = self.standing.model("words").champion
        return None if found is None else found.number

    @property
    def events(self) -> list[Event]:
        return list(read_events(self.loaded))

    @property
    def kinds(self) -> list[str]:
        return [event.kind.value for event in self.events]

    def due(self, *overrides: str) -> list[str]:
        """Labels of what is due."""
        return [step.label for step in make_plan(load_config(self.path, overrides)).due]


def make_first_night(made: Path) -> Path:
    """The directory of a project after its first night, which promoted."""
    project = HandMade(made / "project")
    assert outcome(project.night()) == "promoted"
    return project.directory


def make_blocked_night(made: Path) -> Path:
    """The same after another night, which the gate blocked."""
    project = HandMade(make_first_night(made))
    project.write_vectors(POOR)
    assert outcome(project.night()) == "blocked"
    return project.directory


def copied(made: Path, directory: Path, **config: Any) -> HandMade:
    """A copy of a project, free to change, with more in its config."""
    project = HandMade(directory, **config)
    copy_project(made, directory)
    project.save()
    return project


def make_measured(made: Path) -> Path:
    """The small pipeline after its first night, with the noise of ``cbow`` measured.

    It trains longer than elsewhere: after one epoch no seed has a neighbour where another has it.
    """
    document = copy.deepcopy(SMALL_CONFIG)
    document["models"]["cbow"]["epochs"] = 10
    document["registry"]["gate"]["mode"] = "warn"  # whatever it is worth, it is compared
    config = made / "project" / "pipeline_config.yaml"
    config.parent.mkdir()
    config.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    run_a_night(config)
    measure_noise(load_config(config), "cbow", 3, PROVENANCE)
    return config


def outcome(night: Night, model: str = "words") -> str:
    """The decision about a model in a night."""
    (found,) = [entry for entry in night.decisions if entry["model"] == model]
    return str(found["outcome"])
