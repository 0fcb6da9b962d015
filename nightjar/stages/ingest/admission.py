"""Which documents are kept, given all others: duplicates, ids, limits.

The result is that of reading documents one after the other, comparing each with those kept before
it, until a limit is reached. Documents beyond the limit count as nonexistent: they are neither kept
nor dropped, and no document is their duplicate. Nearly all documents share neither text nor id with
another, which a pass over the digests shows (:mod:`.duplicates`); only the others are compared one
by one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from math import inf
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nightjar.config import IngestConfig
from nightjar.sources.purge_list import NOTHING, Purged
from nightjar.sources.rejections import DIGEST_BYTES, Reason
from nightjar.stages.ingest.document_tables import side_by_side
from nightjar.stages.ingest.duplicates import Bands, NearDuplicates, RepeatedKeys, decoded
from nightjar.stages.ingest.sharding import FoundShard
from nightjar.store import Artifact, fingerprint
from nightjar.store.schemas import DOCUMENTS


@dataclass
class Decisions:
    """Decisions on one shard's documents, except those that are simply kept."""

    dropped: dict[int, tuple[Reason, str]] = field(default_factory=dict)
    """Reason and detail, by row."""
    renamed: dict[int, str] = field(default_factory=dict)
    """The new doc_id, by row, of documents that cannot keep the shard's."""
    n_rows: int | None = None
    """How many rows count if a limit cuts the shard short; 0 if the limit was reached earlier."""

    def n_kept(self, n_documents: int) -> int:
        """How many of the shard's ``n_documents`` are kept."""
        return (n_documents if self.n_rows is None else self.n_rows) - len(self.dropped)

    @property
    def fingerprint(self) -> str:
        """A hash of the decisions; "" when every document is kept as it is."""
        if not self.dropped and not self.renamed and self.n_rows is None:
            return ""
        return fingerprint(
            {
                "dropped": [[row, *self.dropped[row]] for row in sorted(self.dropped)],
                "renamed": [[row, self.renamed[row]] for row in sorted(self.renamed)],
                "n_rows": self.n_rows,
            }
        )


class Limits:
    """How many documents may still be kept, by source and in total."""

    def __init__(self, config: IngestConfig) -> None:
        self._of_source = {
            name: inf if source.limit is None else source.limit
            for name, source in config.sources.items()
        }
        self._of_all = inf if config.limit is None else config.limit

    def left(self, source: str) -> float:
        """How many more of that source may be kept; 0 when its limit or the total is reached."""
        return min(self._of_source[source], self._of_all)

    def count(self, source: str, n_documents: int) -> None:
        """Count ``n_documents`` as kept, as far as the limits allow."""
        n_counted = min(n_documents, self.left(source))
        self._of_source[source] -= n_counted
        self._of_all -= n_counted


def decide(
    config: IngestConfig,
    shards: Sequence[FoundShard],
    spill_dir: Path,
    purged: Purged = NOTHING,
) -> list[Decisions]:
    """Decide on the documents of ``shards``, in order.

    Memory: a bit for each document, at most KEYS_IN_MEMORY digests, and the ids and digests of all
    documents that share text or id with another, about 300 bytes each.
    """
    suspects = _suspects(config, [artifact for _, artifact in shards], spill_dir)
    if purged:
        suspects |= np.concatenate([purged_rows(artifact, purged) for _, artifact in shards])
    judge = _Judge(config, purged)
    limits = Limits(config)
    first = 0
    decisions = []
    for shard, artifact in shards:
        n_rows = artifact.rows(DOCUMENTS)
        rows = np.flatnonzero(suspects[first : first + n_rows])
        decision = judge.judge(artifact, rows, limits.left(shard.source))
        limits.count(shard.source, decision.n_kept(n_rows))
        decisions.append(decision)
        first += n_rows
    return decisions


def _suspects(
    config: IngestConfig, shards: Sequence[Artifact], spill_dir: Path
) -> NDArray[np.bool_]:
    """Which documents share the start of a digest, or a band of a signature, with another."""
    n_documents = sum(shard.rows(DOCUMENTS) for shard in shards)
    suspects = np.zeros(n_documents, np.bool_)
    for column in ("text_digest", "id_digest"):
        with RepeatedKeys(n_documents, spill_dir) as repeated:
            first = 0
            for shard in shards:
                for batch in shard.batches("keys", [column]):
                    keys = _first_halves(batch.column(column))
                    repeated.add(keys, np.arange(first, first + len(keys)))
                    first += len(keys)
            for rows in repeated.rows():
                suspects[rows] = True
    if config.near_duplicates is not None:
        bands = Bands.of(config.near_duplicates.threshold)
        with RepeatedKeys(n_documents * bands.n_bands, spill_dir) as repeated:
            first = 0
            for shard in shards:
                for batch in shard.batches("signatures"):
                    keys = bands.keys(decoded(batch.column("signature")))
                    rows = np.repeat(np.arange(first, first + len(keys)), bands.n_bands)
                    repeated.add(keys.ravel(), rows)
                    first += len(keys)
            for rows in repeated.rows():
                suspects[rows] = True
    return suspects


def purged_rows(shard: Artifact, purged: Purged) -> NDArray[np.bool_]:
    """Which documents of a shard were purged, shape (rows,)."""
    wanted = {"text_digest": purged.texts, "raw_digest": purged.texts, "id_digest": purged.ids}
    found = [np.zeros(0, np.bool_)]
    for batch in shard.batches("keys", list(wanted)):
        is_purged = np.zeros(batch.num_rows, np.bool_)
        for column, digests in wanted.items():
            values = pa.array(sorted(digests), pa.binary(DIGEST_BYTES))
            matches = pc.is_in(batch.column(column), value_set=values)
            is_purged |= matches.to_numpy(zero_copy_only=False)
        found.append(is_purged)
    return np.concatenate(found)


def _first_halves(digests: pa.FixedSizeBinaryArray) -> NDArray[np.uint64]:
    """The first 8 of the 16 bytes of each digest, as numbers."""
    values = np.frombuffer(digests.buffers()[1], np.uint64)
    start = 2 * digests.offset
    return values[start : start + 2 * len(digests) : 2]


@dataclass(frozen=True, slots=True)
class _Suspect:
    row: int
    doc_id: str
    has_native_id: bool
    text_digest: bytes
    id_digest: bytes
    raw_digest: bytes


class _Judge:
    """Goes through documents in order and remembers the kept ones."""

    def __init__(self, config: IngestConfig, purged: Purged) -> None:
        self._purged = purged
        self._is_text_once = config.deduplicate
        near = config.near_duplicates
        self._near = None if near is None else NearDuplicates(near)
        self._first_by_text: dict[bytes, str] = {}
        self._ids: set[bytes] = set()
        self._n_repeated: Counter[bytes] = Counter()

    def judge(self, shard: Artifact, rows: NDArray[np.int64], limit: float) -> Decisions:
        """Decide on the documents of ``shard``, of which at most ``limit`` are kept.

        Documents that are not at ``rows`` (ascending) share nothing with any other.
        """
        if not limit:
            return Decisions(n_rows=0)
        decisions = Decisions()
        signatures = repeat(None) if self._near is None else _signatures(shard, rows)
        for suspect, signature in zip(
            _read(shard, rows), signatures, strict=self._near is not None
        ):
            if suspect.row - len(decisions.dropped) >= limit:
                break  # earlier documents reach the limit
            verdict = self._verdict(suspect, signature)
            if verdict is not None:
                decisions.dropped[suspect.row] = verdict
                continue
            doc_id = self._unused(suspect)
            if doc_id != suspect.doc_id:
                decisions.renamed[suspect.row] = doc_id
            self._ids.add(suspect.id_digest)
            if self._is_text_once:
                self._first_by_text[suspect.text_digest] = doc_id
            if self._near is not None and signature is not None:
                self._near.add(doc_id, signature)
        decisions.n_rows = _cut(shard.rows(DOCUMENTS), decisions.dropped, limit)
        return decisions

    def _verdict(
        self, suspect: _Suspect, signature: NDArray[np.uint32] | None
    ) -> tuple[Reason, str] | None:
        texts = {suspect.text_digest, suspect.raw_digest}
        if suspect.id_digest in self._purged.ids or texts & self._purged.texts:
            return Reason.PURGED, ""
        if self._is_text_once and (first := self._first_by_text.get(suspect.text_digest)):
            return Reason.DUPLICATE, first
        is_taken = suspect.id_digest in self._ids
        if is_taken and (suspect.has_native_id or self._is_text_once):
            other = "another" if self._is_text_once else "this or another"
            return (
                Reason.DUPLICATE_ID,
                f"{suspect.doc_id} is an earlier document with {other} text",
            )
        if self._near is not None and signature is not None:
            found = self._near.find(signature)
            if found is not None:
                doc_id, similarity = found
                return Reason.NEAR_DUPLICATE, f"{doc_id}, similarity {similarity:.2f}"
        return None

    def _unused(self, suspect: _Suspect) -> str:
        """Its doc_id; an id derived from the text gets a number, from -2 on, if it is taken."""
        if suspect.id_digest not in self._ids:
            return suspect.doc_id
        self._n_repeated[suspect.id_digest] += 1
        return f"{suspect.doc_id}-{self._n_repeated[suspect.id_digest] + 1}"


def _cut(n_rows: int, dropped: Collection[int], limit: float) -> int | None:
    """Number of rows up to the last document within ``limit``; None when that is all rows."""
    if n_rows - len(dropped) < limit:
        return None
    kept = np.ones(n_rows, np.bool_)
    kept[list(dropped)] = False
    end = int(np.flatnonzero(kept)[int(limit) - 1]) + 1
    return None if end == n_rows else end


def _signatures(shard: Artifact, rows: NDArray[np.int64]) -> Iterator[NDArray[np.uint32]]:
    """The signatures of the documents at ``rows``."""
    first = 0
    for batch in shard.batches("signatures"):
        here = rows[(rows >= first) & (rows < first + batch.num_rows)]
        yield from decoded(batch.column("signature"))[here - first]
        first += batch.num_rows


def _read(shard: Artifact, rows: NDArray[np.int64]) -> Iterator[_Suspect]:
    """The documents at ``rows``; skips the others."""
    if len(rows) == 0:
        return
    first = 0
    columns = ("text_digest", "id_digest", "has_native_id", "raw_digest")
    keys = shard.batches("keys", list(columns))
    ids = shard.batches("documents", ["doc_id"])
    for batch, named in side_by_side(keys, ids):
        doc_ids = named.column("doc_id")
        texts, id_digests, are_native, raw_digests = (batch.column(name) for name in columns)
        for row in rows[(rows >= first) & (rows < first + batch.num_rows)].tolist():
            place = row - first
            yield _Suspect(
                row,
                doc_ids[place].as_py(),
                are_native[place].as_py(),
                texts[place].as_py(),
                id_digests[place].as_py(),
                raw_digests[place].as_py(),
            )
        first += batch.num_rows
