"""Collecting the scores of several trainings of one model, and how far their words move.

``nightjar noise`` trains and evaluates a model with other seeds, then publishes this artifact. No
night plans it: it holds as long as the model's config does and the corpus stays about as large.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pyarrow as pa

from nightjar.config import NightjarConfig
from nightjar.core import Keep, Of, Parent, Planning, Stage
from nightjar.core.stage import Erased, Fate, Rewriting, StageContext
from nightjar.drift import FLOOR, MIN_TRAININGS, Vectors, measure_floor
from nightjar.scoring.scores import items_in_files, main_scores, read_scores
from nightjar.store import Artifact, Identity, Staging, Store, schemas

REVISION = 2
"""Raise it when the same trainings are collected otherwise than before."""


def erase_from_noise(store: Store, artifact: Artifact, erased: Erased) -> Rewriting | Fate:
    """Leave out the words, some of which may be of the documents; their bands stay."""
    del store, erased
    if not artifact.has_table(schemas.FLOOR_WORDS):
        return Fate.UNTOUCHED

    def write(staging: Staging) -> None:
        for table in ("trainings", schemas.FLOOR_BANDS):
            staging.write(table, artifact.read(table))

    return write


@dataclass(frozen=True)
class MeasureNoise(Stage):
    """The stage that collects a model's scores from trainings with other seeds."""

    evaluations: Mapping[int, str] = field(default_factory=dict)
    """The version of the evaluation of each training, by seed."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """The settings that all of them share, and the amount of text."""

    name = schemas.NOISE
    verb = "noise"
    of = Of.MODEL
    keep = Keep.RECORD
    about = (
        "scores of trainings with other seeds, and how far words move between them, by "
        "`nightjar noise` alone"
    )
    tables = {
        "trainings": schemas.NOISE_SCHEMA,
        schemas.FLOOR_WORDS: schemas.FLOOR_WORDS_SCHEMA,
        schemas.FLOOR_BANDS: schemas.FLOOR_BANDS_SCHEMA,
    }
    erasers = {schemas.NOISE: erase_from_noise}

    @classmethod
    def subjects(cls, config: NightjarConfig) -> Iterable[str]:
        """None: no night measures it."""
        del config
        return ()

    def parents(self) -> Iterable[Parent]:
        """None: the evaluations are named in the config, since there are several."""
        return ()

    def identity(self, planning: Planning) -> Identity:
        """The evaluations, and what their trainings share."""
        del planning
        return Identity(
            stage=schemas.NOISE,
            name=self.subject,
            config={
                "model": self.subject,
                "training": dict(self.training),
                "evaluations": {str(seed): found for seed, found in self.evaluations.items()},
            },
            code={"revision": REVISION},
        )

    def write(self, context: StageContext) -> None:
        """Write the main score of each seed and benchmark, and the floor of drift.

        The floor needs three trainings, and as many shared words as a vector has values.
        """
        rows = []
        vectors = []
        benchmarks: dict[str, list[Any]] = {}
        for seed, version in self.evaluations.items():
            evaluation = context.store.open(context.store.ref(schemas.EVALUATION, version))
            identity = evaluation.manifest.identity
            vectors.append(evaluation.manifest.parents[schemas.EMBEDDINGS])
            files = items_in_files(evaluation.manifest)
            for name, score in main_scores(read_scores(evaluation)).items():
                settings = identity["config"]["benchmarks"][name]
                benchmarks[name] = [settings, files.get(name)]
                rows.append({"seed": seed, "benchmark": name, "score": score.value})
        context.staging.report["benchmarks"] = benchmarks
        context.staging.counts["trainings"] = len(self.evaluations)
        table = pa.Table.from_pylist(rows, schema=schemas.NOISE_SCHEMA)
        context.staging.write("trainings", table)
        if len(vectors) >= MIN_TRAININGS:
            _write_floor(vectors, context)


def _write_floor(versions: Sequence[str], context: StageContext) -> None:
    store = context.store
    artifacts = [store.open(store.ref(schemas.EMBEDDINGS, version)) for version in versions]
    trainings = [partial(Vectors.read, artifact) for artifact in artifacts]
    try:
        floor = measure_floor(trainings)
    except ValueError as error:
        context.staging.report["no_floor"] = str(error)
        return
    context.staging.report[FLOOR] = floor.report
    for name, table in floor.tables().items():
        context.staging.write(name, table)
