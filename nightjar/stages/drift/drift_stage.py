"""Measuring the drift of a model: its champion, or another version, beside a newer one.

Which version is champion is not known when a night is planned. So no plan has this stage: the night
measures while it judges (:mod:`nightjar.pipeline.drifting`), as it rescores the champion.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nightjar.config import NightjarConfig
from nightjar.core import Keep, Of, Parent, Planning, Stage
from nightjar.core.stage import Erased, Fate, StageContext
from nightjar.drift import (
    BANDS,
    Drift,
    Floor,
    Moves,
    Vectors,
    band_of,
    drift_of,
    measure_moves,
)
from nightjar.errors import SourceChanged
from nightjar.store import Artifact, Identity, Manifest, Store, schemas

REVISION = 1
"""Raise it when the same vectors and floor give another artifact than before."""
N_WORDS = 10_000
"""Words in the table, those that moved farthest."""
N_LISTED = 100
"""Words with their neighbours before and after."""
N_VOCABULARY = 1_000
"""Words that came, and words that are gone, in the table: the most frequent ones."""

DRIFT = "drift"
"""Key in the report: the fields of :class:`DriftFound` but those that are counts."""
Doubles = NDArray[np.float64]


def erase_from_drift(store: Store, artifact: Artifact, erased: Erased) -> Fate:
    """Delete it: it may list words of the documents, and is measured again when it is asked for."""
    del store, artifact, erased
    return Fate.DELETED


@dataclass(frozen=True)
class MeasureDrift(Stage):
    """The stage that compares a model's embeddings with those of an earlier version."""

    before: str = ""
    """Version of the earlier embeddings."""
    before_digest: str = ""
    """Their manifest's digest: one version can be trained again with other bytes."""
    noise: str | None = None
    """Version of the noise artifact whose floor holds; None: there is none."""

    name = schemas.DRIFT
    verb = "drift"
    of = Of.MODEL
    keep = Keep.COMPARED
    about = "how far the words of a candidate moved from the champion, beside what chance does"
    tables = {
        "words": schemas.DRIFT_WORDS_SCHEMA,
        "bands": schemas.DRIFT_BANDS_SCHEMA,
        "vocabulary": schemas.DRIFT_VOCABULARY_SCHEMA,
    }
    erasers = {schemas.DRIFT: erase_from_drift}

    @classmethod
    def subjects(cls, config: NightjarConfig) -> Iterable[str]:
        """None: what is compared is decided while judging."""
        del config
        return ()

    def parents(self) -> Iterable[Parent]:
        """The newer embeddings; the earlier ones are named in the config."""
        return (Parent(schemas.EMBEDDINGS, self.subject),)

    def identity(self, planning: Planning) -> Identity:
        """Both embeddings, and the floor."""
        return Identity(
            stage=schemas.DRIFT,
            name=self.subject,
            config={
                "model": self.subject,
                "before": {"version": self.before, "digest": self.before_digest},
                "noise": self.noise,
            },
            parents={schemas.EMBEDDINGS: planning.parents[schemas.EMBEDDINGS]},
            code={"revision": REVISION},
        )

    @classmethod
    def compared(cls, manifest: Manifest) -> Iterable[tuple[str, str]]:
        """Both embeddings."""
        yield from manifest.parents.items()
        yield schemas.EMBEDDINGS, manifest.identity["config"]["before"]["version"]

    def write(self, context: StageContext) -> None:
        """Write the words that moved farthest, every band, and words come and gone.

        In memory: both versions' vectors. Raises SourceChanged when the earlier embeddings
        are not those that were planned.
        """
        store = context.store
        earlier = store.open(store.ref(schemas.EMBEDDINGS, self.before))
        if earlier.manifest.digest != self.before_digest:
            raise SourceChanged(
                f"{earlier.ref} was made again with other bytes during the run; run it again"
            )
        before, after = Vectors.read(earlier), Vectors.read(context.parent(schemas.EMBEDDINGS))
        floor = self._floor(context)
        staging = context.staging
        _write_vocabulary(before, after, context)
        try:
            moves = measure_moves(before, after)
        except ValueError as error:
            staging.report[DRIFT] = {"note": f"{error}: the versions cannot be compared"}
            return
        drift = None if floor is None else drift_of(moves, floor)
        staging.counts["shared"] = len(moves)  # without words whose vector is zero
        if drift is not None:
            staging.counts["beyond"] = int(drift.is_beyond.sum())
        staging.report[DRIFT] = {
            "lost": None if drift is None else drift.lost,
            "low": None if drift is None else drift.low,
            "high": None if drift is None else drift.high,
            "residual": moves.alignment.residual,
            "note": "" if drift is not None else self._unknown(),
        }
        staging.write("words", _words(before, after, moves, drift))
        staging.write("bands", _bands(moves, drift))

    def _floor(self, context: StageContext) -> Floor | None:
        if self.noise is None:
            return None
        store = context.store
        return Floor.read(store.open(store.ref(schemas.NOISE, self.noise)))

    def _unknown(self) -> str:
        if self.config.seeded_model(self.subject) is None:
            return "its vectors are imported: what chance moves in them is not known"
        return (
            f"what another seed moves is not measured for these settings and this amount of data; "
            f"'nightjar noise {self.subject}' measures it"
        )


def _write_vocabulary(before: Vectors, after: Vectors, context: StageContext) -> None:
    tables = []
    for change, ours, others in (("come", after, before), ("gone", before, after)):
        is_new = pc.invert(pc.is_in(ours.tokens, value_set=others.tokens))
        rows = np.flatnonzero(np.asarray(is_new))
        context.staging.counts[change] = len(rows)
        order = np.argsort(-ours.counts[rows], kind="stable")[:N_VOCABULARY]
        tokens = ours.tokens.take(pa.array(rows[order]))
        columns = [tokens, pa.array(ours.counts[rows[order]]), pa.array([change] * len(order))]
        tables.append(pa.Table.from_arrays(columns, schema=schemas.DRIFT_VOCABULARY_SCHEMA))
    context.staging.counts["shared"] = len(after.tokens) - context.staging.counts["come"]
    context.staging.write("vocabulary", pa.concat_tables(tables))


def _words(before: Vectors, after: Vectors, moves: Moves, drift: Drift | None) -> pa.Table:
    """The words that moved farthest above their floor, or at all, farthest first."""
    distance = moves.displacement if drift is None else drift.excess
    order = np.argsort(-distance, kind="stable")[:N_WORDS]
    tokens = moves.tokens.take(pa.array(order))
    listed = tokens[:N_LISTED]
    without = [None] * (len(order) - len(listed))
    nothing = np.full(len(moves), np.nan)
    columns: dict[str, Any] = {
        "token": tokens,
        "count_before": _counts(before, tokens),
        "count_after": _counts(after, tokens),
        "displacement": moves.displacement[order],
        "floor_displacement": (nothing if drift is None else drift.expected_displacement)[order],
        "overlap": moves.overlap[order],
        "floor_overlap": (nothing if drift is None else drift.expected_overlap)[order],
        "is_beyond": [None] * len(order) if drift is None else drift.is_beyond[order],
        "neighbors_before": [*before.neighbors(listed), *without],
        "neighbors_after": [*after.neighbors(listed), *without],
    }
    return _table(columns, schemas.DRIFT_WORDS_SCHEMA)


def _counts(vectors: Vectors, tokens: pa.Array) -> NDArray[np.int64]:
    found: NDArray[np.int64] = vectors.counts[
        np.asarray(pc.index_in(tokens, value_set=vectors.tokens)).astype(np.int64)
    ]
    return found


def _bands(moves: Moves, drift: Drift | None) -> pa.Table:
    """The means of each band of frequency that has words."""
    places = band_of(moves.counts)
    rows = []
    for number, least in enumerate(BANDS):
        is_in = places == number
        if not is_in.any():
            continue
        row: dict[str, Any] = {
            "least_count": least,
            "n_words": int(is_in.sum()),
            "displacement": float(moves.displacement[is_in].mean()),
            "overlap": _mean(moves.overlap[is_in]),
        }
        if drift is not None:
            row["floor_displacement"] = float(drift.expected_displacement[is_in].mean())
            row["floor_overlap"] = _mean(drift.expected_overlap[is_in])
            row["n_beyond"] = int(drift.is_beyond[is_in].sum())
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=schemas.DRIFT_BANDS_SCHEMA)


def _mean(values: Doubles) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def _table(columns: dict[str, Any], schema: pa.Schema) -> pa.Table:
    """The columns under a schema; NaN becomes null."""
    arrays = [
        pa.array(columns[field.name], field.type, from_pandas=field.type == pa.float64())
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


@dataclass(frozen=True)
class DriftFound:
    """What a drift artifact says."""

    lost: float | None
    """Share of the neighbours that another seed would have kept and that are gone; None: what
    another seed does is not known, or the versions cannot be compared."""
    low: float | None
    high: float | None
    """Its 95 % interval."""
    residual: float | None
    """Weighted mean cosine distance after alignment, 0 to 2."""
    n_shared: int
    """Number of words that both versions have."""
    n_beyond: int | None
    """Of those, how many moved beyond chance."""
    n_come: int
    n_gone: int
    note: str
    """Why something is None."""


def read_drift(artifact: Artifact) -> DriftFound:
    """What a drift artifact says, from its manifest alone."""
    report, counts = artifact.manifest.report[DRIFT], artifact.manifest.counts
    return DriftFound(
        **{name: report.get(name) for name in ("lost", "low", "high", "residual")},
        n_shared=counts["shared"],
        n_beyond=counts.get("beyond"),
        n_come=counts["come"],
        n_gone=counts["gone"],
        note=report["note"],
    )
