"""A small real project with a growing text, and its size on the disk."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import yaml

from nightjar.config import LoadedConfig, load_config
from nightjar.core import Night, Provenance
from nightjar.pipeline import DirectRunner, NightRequest, make_plan, run_night

PROVENANCE = Provenance(git_commit=None, actor="test", n_workers=1)
N_WORDS = 120
"""Distinct words of the texts that :func:`sentences` makes."""


def sentences(n: int, seed: int, n_words: int = 40) -> list[str]:
    """``n`` distinct lines of pronounceable words, the frequent ones first by Zipf's law."""
    generator = np.random.default_rng(seed)
    weights = 1 / np.arange(1, N_WORDS + 1)
    found = generator.choice(N_WORDS, (n, n_words), p=weights / weights.sum())
    return [" ".join(_word(number) for number in row) for row in found]


def _word(number: int) -> str:
    return f"{'bdfgklmnpr'[number // 12]}{'aeiou'[number % 5]}{'lmnrst'[number % 6]}o"


@dataclass(frozen=True)
class Project:
    """A directory with a config and the texts that it names."""

    directory: Path

    @property
    def config(self) -> Path:
        return self.directory / "pipeline_config.yaml"

    @property
    def artifacts(self) -> Path:
        return self.directory / "artifacts"

    def load(self, *overrides: str) -> LoadedConfig:
        return load_config(self.config, overrides)

    def write_lines(self, lines: Sequence[str], name: str = "news.txt") -> None:
        (self.directory / name).write_text("\n".join(lines) + "\n", encoding="utf-8")

    def night(self, *overrides: str, promotes: bool = False) -> Night:
        """Run a night without Prefect."""
        loaded = self.load(*overrides)
        runner = DirectRunner(loaded, PROVENANCE)
        return run_night(loaded, runner, PROVENANCE, NightRequest("test", promotes))

    def due(self, *overrides: str) -> list[str]:
        """The labels of what the next night would make."""
        return [step.label for step in make_plan(self.load(*overrides)).due]


def make_project(directory: Path, **changes: Any) -> Project:
    """A project with one corpus, one small model and an index of its documents.

    ``changes`` replace or add sections of the config.
    """
    directory.mkdir(parents=True)
    project = Project(directory)
    pairs = [(_word(a), _word(b)) for a, b in zip(range(0, 30, 2), range(1, 31, 2), strict=True)]
    scores = [f"{a}\t{b}\t{number % 7}" for number, (a, b) in enumerate(pairs)]
    (directory / "pairs.tsv").write_text("\n".join(scores) + "\n", encoding="utf-8")
    config: dict[str, Any] = {
        "pipeline": {"name": "small", "artifacts_dir": "artifacts"},
        "corpora": {
            "news": {"kind": "text", "sources": {"in": {"type": "text", "path": "news.txt"}}}
        },
        "training": {"seed": 1, "workers": 1, "deterministic": True},
        "models": {
            "words": {
                "trainer": "word2vec",
                "architecture": "cbow",
                "vector_size": 16,
                "epochs": 1,
                "min_count": 1,
                "window": 3,
            }
        },
        "evaluation": {
            "bootstrap_samples": 20,
            "benchmarks": {"pairs": {"type": "similarity", "path": "pairs.tsv"}},
        },
        "document_vectors": {"by-words": {"model": "words"}},
        "registry": {"gate": {"benchmarks": ["pairs"], "min_coverage": 0.05, "margin": 2.0}},
    }
    config.update(changes)
    project.config.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return project


def disk_bytes(*places: Path) -> int:
    """Bytes on the disk below ``places``; a file with several names counts once."""
    sizes = {}
    for place in places:
        for path in place.rglob("*"):
            if path.is_file() and not path.is_symlink():
                found = path.stat()
                sizes[found.st_dev, found.st_ino] = found.st_size
    return sum(sizes.values())


def places_of(word: str, root: Path, but: tuple[str, ...] = ()) -> list[str]:
    """Files below ``root`` that contain ``word``: as bytes, in a Parquet table, in a database.

    Directories of ``root`` whose names begin as those in ``but`` are left out.
    """
    wanted = word.encode()
    return [
        path.relative_to(root).as_posix()
        for place in sorted(root.iterdir())
        if not (but and place.name.startswith(but))
        for path in sorted([place, *place.rglob("*")])
        if path.is_file() and (wanted in path.read_bytes() or _holds(path, wanted))
    ]


def _holds(path: Path, wanted: bytes) -> bool:
    return any(wanted in piece for piece in _decoded(path))


def _decoded(path: Path) -> Iterator[bytes]:
    """Content that a search for bytes would miss because pages are compressed."""
    if path.suffix == ".parquet":
        yield str(pq.ParquetFile(path).read().to_pydict()).encode()
    elif path.suffix == ".db":
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            yield "\n".join(database.iterdump()).encode()
