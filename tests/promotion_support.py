"""A pipeline whose candidates have the scores that a test gives them, with MLflow on SQLite.

Registered versions are quick to create: a version in MLflow with the tags and the list of files
that registering writes, but without a model.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from config_support import MINIMAL
from copying_support import copy_project
from registry_support import mlflow, template_database

from nightjar.config import LoadedConfig, load_config
from nightjar.promotion import (
    BaseUse,
    BenchmarkScore,
    Contender,
    Event,
    Ledger,
    ModelStanding,
    Promoter,
    Question,
    ServedIndex,
    Serving,
    SettledDecision,
    Steward,
    VersionRef,
    ledger_directory,
    read_events,
)
from nightjar.registry import ClientWriter, RegisteredVersion, RegistryPlace
from nightjar.registry.registered_files import FILES_NAME, FILES_TAG, FileList
from nightjar.registry.registered_names import KEY_TAG
from nightjar.scoring.metrics import SHARE
from nightjar.scoring.resampling import own_units
from nightjar.scoring.scores import Answers

BENCHMARKS = ("wordsim353", "simlex999")
ITEMS = "a" * 64
N_ITEMS = 100
MODELS: Mapping[str, Any] = {
    "w2v": {"trainer": "word2vec"},
    "glove": {"trainer": "glove"},
    "sif": {"trainer": "sif", "model": "glove"},
}


def write_config(directory: Path, models: Mapping[str, Any] = MODELS, **gate: Any) -> Path:
    """A configuration below ``directory`` with those models and that gate."""
    content = yaml.safe_load(MINIMAL)
    content["pipeline"] = {"name": "night", "artifacts_dir": "artifacts"}
    content["models"] = dict(models)
    content["evaluation"] = {
        "benchmarks": {name: {"type": "similarity", "path": "x.tsv"} for name in BENCHMARKS}
    }
    rules = {"benchmarks": list(BENCHMARKS), "min_coverage": 0.3, "margin": 0.05, **gate}
    rules = {"noise_prior": 0.0, **rules}
    content["registry"] = {"gate": rules}
    path = directory / "pipeline_config.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def score(value: float | None, coverage: float = 0.9, items: str = ITEMS) -> BenchmarkScore:
    """A score that every item of a benchmark has: two of them differ by the same on any items."""
    number = np.nan if value is None else value
    answers = Answers(
        np.where(np.arange(N_ITEMS) < round(coverage * N_ITEMS), number, np.nan),
        np.ones(N_ITEMS),
        own_units(N_ITEMS),
    )
    return BenchmarkScore(
        *(value, coverage, "a kind", items, SHARE, answers.sha256()), answers=answers
    )


def scores(value: float | None, coverage: float = 0.9) -> dict[str, BenchmarkScore]:
    """The same score on every benchmark of the gate."""
    return {name: score(value, coverage) for name in BENCHMARKS}


def served(version: VersionRef, night: int = 1, model: str = "w2v") -> Serving:
    """What is served when ``version`` is champion."""
    index = ServedIndex(
        f"d{night}", f"v{night}{version.embeddings}", "i", model, version.embeddings
    )
    return {"by-model": index}


@dataclass
class Pipeline:
    """An artifact directory with an MLflow store and a configuration."""

    config: Path
    evaluations: dict[str, Mapping[str, BenchmarkScore]] = field(default_factory=dict)
    """Tonight's scores, by digest of the embeddings."""

    @classmethod
    def create(
        cls, directory: Path, tmp_path_factory: pytest.TempPathFactory, **gate: Any
    ) -> Pipeline:
        """A new one below ``directory``."""
        pipeline = cls(write_config(directory, **gate))
        database = directory / "artifacts" / "mlflow" / "mlflow.db"
        database.parent.mkdir(parents=True)
        shutil.copyfile(template_database(tmp_path_factory), database)
        return pipeline

    def copied(self, directory: Path) -> Pipeline:
        """The same in another directory."""
        copy = copy_project(self.config.parent, directory)
        return Pipeline(copy / self.config.name, dict(self.evaluations))

    @property
    def loaded(self) -> LoadedConfig:
        return load_config(self.config)

    @property
    def place(self) -> RegistryPlace:
        loaded = self.loaded
        return RegistryPlace.of(loaded.config.registry, loaded.artifacts_dir)

    @property
    def client(self) -> Any:
        return mlflow.MlflowClient(self.place.uri, self.place.uri)

    @property
    def ledger(self) -> Ledger:
        return Ledger(ledger_directory(self.loaded))

    def events(self, model: str | None = None) -> list[Event]:
        """The events in the ledger, of one model if given."""
        return [event for event in read_events(self.loaded) if model in (None, event.subject)]

    def kinds(self, model: str = "w2v") -> list[tuple[str, int | None]]:
        """Kind and version of each event of a model."""
        return [
            (str(event.kind), event.new.number if event.new else None)
            for event in self.events(model)
        ]

    def standing(self, model: str = "w2v") -> ModelStanding:
        return self.promoter().standing().model(model)

    def alias(self, alias: str = "champion", model: str = "w2v") -> int | None:
        """The version that the alias points to in MLflow."""
        number = self.client.get_registered_model(f"night-{model}").aliases.get(alias)
        return None if number is None else int(number)

    def mark(self, model: str = "w2v") -> str | None:
        """The event that the registered model's tag names as applied."""
        tags: dict[str, str] = self.client.get_registered_model(f"night-{model}").tags
        return tags.get("nightjar.ledger_event")

    # -- nights and orders -------------------------------------------------------------------

    def promoter(self, night: int | None = None) -> Promoter:
        return Promoter(self.loaded, "night", night)

    def steward(self) -> Steward:
        return Steward(self.loaded, "ann")

    def folder(self, version: VersionRef) -> Path:
        """Where the files of a version are."""
        return self.config.parent / "models" / f"{version.digest[:12]}-{version.number}"

    def version(
        self, key: str, value: float | None = 0.5, model: str = "w2v", base: str = ""
    ) -> VersionRef:
        """The registered version of the embeddings ``key``, created if it does not exist."""
        digest = hashlib.sha256(f"{model} {key}".encode()).hexdigest()
        self.evaluations.setdefault(digest, scores(value))
        name = f"night-{model}"
        found = self.place.reader().tagged(name, KEY_TAG, digest)
        if found:
            return VersionRef.of(found[0])
        ClientWriter(self.place).claim(name, self.promoter().ledger_id(), "")
        number = len(self.client.search_model_versions(f"name = '{name}'")) + 1
        version = VersionRef(number, digest[:12], digest)
        listed = self._write_files(version)
        tags = {
            KEY_TAG: digest,
            FILES_TAG: hashlib.sha256(listed.encode()).hexdigest(),
            "nightjar.embeddings_version": version.embeddings,
            "nightjar.embeddings_digest": digest,
        }
        if base:
            tags["nightjar.base_embeddings_version"] = base
        made = self.client.create_model_version(name, str(self.folder(version)), tags=tags)
        assert int(made.version) == number
        return version

    def _write_files(self, version: VersionRef) -> str:
        folder = self.folder(version)
        (folder / "artifacts" / "lookup").mkdir(parents=True)
        (folder / "artifacts" / "lookup" / "vectors.npy").write_bytes(version.digest.encode())
        listed = FileList.of(folder).to_text()
        (folder / FILES_NAME).write_text(listed)
        return listed

    def registered(self, version: VersionRef, model: str = "w2v") -> RegisteredVersion:
        found = self.place.reader().version(f"night-{model}", version.number)
        assert found is not None
        return found

    def contender(self, version: VersionRef | None) -> Contender | None:
        """A version with tonight's scores."""
        if version is None:
            return None
        return Contender(version, self.evaluations.get(version.digest, {}))

    def question(
        self, candidate: VersionRef, model: str = "w2v", base: VersionRef | None = None
    ) -> Question:
        """Whether the candidate may replace the champion."""
        standing = self.standing(model)
        asked = self.contender(candidate)
        assert asked is not None
        return Question(
            model,
            asked,
            self.contender(standing.champion),
            self.contender(standing.reference),
            self.loaded.config.registry_of(model).gate,
            None if base is None else BaseUse("glove", base.embeddings, base.digest),
        )

    def night(
        self,
        candidate: VersionRef,
        model: str = "w2v",
        *,
        number: int = 1,
        base: VersionRef | None = None,
        is_trial: bool = False,
    ) -> SettledDecision:
        """One night of one model: recover, judge, settle."""
        promoter = self.promoter(number)
        promoter.recover()
        question = self.question(candidate, model, base)
        decision = promoter.judge(question)
        will_promote = promoter.will_promote(question, decision) and not is_trial
        settled = promoter.settle(question, decision, served(candidate, number, model), is_trial)
        assert settled.is_promoted is will_promote
        return settled
