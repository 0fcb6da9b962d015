"""A pipeline of a graph and of events, small enough for whole nights in a test."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import yaml
from conftest import run_a_night

from nightjar.config import LoadedConfig, load_config
from nightjar.core import Night
from nightjar.pipeline import make_plan

N_NODES, N_USERS, N_ITEMS = 40, 60, 20


class KindsProject:
    """Two rings of nodes that know each other a little; users who walk along a ring of items."""

    def __init__(self, directory: Path, **models: Any) -> None:
        self.directory = directory
        self.path = directory / "night.yaml"
        directory.mkdir(parents=True, exist_ok=True)
        quick = {"vector_size": 8, "epochs": 2}
        self.document: dict[str, Any] = {
            "pipeline": {"name": "kinds"},
            "corpora": {
                "people": {
                    "kind": "graph",
                    "sources": {
                        "known": {"type": "text", "path": "known*.edges"},
                        "met": {"type": "csv", "path": "met.csv", "source_column": "from",
                                "target_column": "to"},
                    },
                    "held_out": 0.2,
                    "walks": {"per_node": 4, "length": 10},
                },
                "clicks": {
                    "kind": "events",
                    "sources": {"log": {"type": "csv", "path": "clicks*.csv"}},
                    "held_out": {"share": 0.5},
                    "time_zone": "UTC",
                },
            },
            "training": {"workers": 1, "deterministic": True},
            "models": {
                "nodes": {"trainer": "word2vec", "corpus": "people", **quick},
                "items": {"trainer": "word2vec", "corpus": "clicks", **quick},
                **models,
            },
            "evaluation": {
                "bootstrap_samples": 20,
                "benchmarks": {
                    "links": {"type": "link_prediction"},
                    "next": {"type": "next_item", "by": "input"},
                },
            },
            "registry": {
                "gate": {"benchmarks": ["links", "next"], "mode": "warn", "noise_prior": 0.0}
            },
        }  # fmt: skip
        self.save()
        self.write_edges("known1.edges", range(N_NODES))
        (directory / "met.csv").write_text("from,to\n0,21\n5,26\n0,0\n,3\n", encoding="utf-8")
        self.write_events("clicks1.csv", range(N_USERS))

    def save(self) -> None:
        """Write the config as it is in ``document``."""
        self.path.write_text(yaml.safe_dump(self.document, sort_keys=False), encoding="utf-8")

    def write_edges(self, name: str, nodes: range) -> None:
        """Each node with the next two on its ring of twenty."""
        lines = [
            f"{node} {node // 20 * 20 + (node + step) % 20}" for node in nodes for step in (1, 2)
        ]
        (self.directory / name).write_text("\n".join(lines) + "\n", encoding="utf-8")

    def write_events(self, name: str, users: range) -> None:
        """Six events of each user, one item after the other."""
        chance = random.Random(len(users))
        lines = ["user,item,time"]
        for user in users:
            start = chance.randrange(N_ITEMS)
            for step in range(6):
                time = f"2026-01-{1 + user % 20:02d}T10:{step:02d}:00Z"
                lines.append(f"u{user},film{(start + step) % N_ITEMS},{time}")
        (self.directory / name).write_text("\n".join(lines) + "\n", encoding="utf-8")

    def night(self, *overrides: str, promotes: bool = False) -> Night:
        """Run a night."""
        return run_a_night(self.path, *overrides, promotes=promotes)

    @property
    def loaded(self) -> LoadedConfig:
        return load_config(self.path)

    def due(self, *overrides: str) -> list[str]:
        """Labels of what is due."""
        return [step.label for step in make_plan(load_config(self.path, overrides)).due]
