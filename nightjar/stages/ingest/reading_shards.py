"""Which shards are read: those that are not published, and no more than the limits take."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

from nightjar.config import IngestConfig
from nightjar.core.executors import INLINE, INLINE_BYTES
from nightjar.core.stage import StageContext
from nightjar.errors import SourceChanged, SourceError
from nightjar.stages.ingest.admission import Decisions, Limits, decide
from nightjar.stages.ingest.purge_list import NOTHING, Purged
from nightjar.stages.ingest.shard_reading import ReadShard, read_shard
from nightjar.stages.ingest.sharding import FoundShard, Shard
from nightjar.store import Artifact
from nightjar.store.schemas import DOCUMENT_SHARDS, DOCUMENTS

logger = logging.getLogger(__name__)

_SHARE_OF_ROUND = 8
"""A round of reading has at least one document for so many that are decided on."""


class ShardReading:
    """Has shards read and decides what is kept of them."""

    def __init__(
        self,
        config: IngestConfig,
        shards: Sequence[Shard],
        context: StageContext,
        purged: Purged = NOTHING,
    ) -> None:
        self._config = config
        self._purged = purged
        self._store = context.store
        self._root = self._store.root
        self._git_commit = context.git_commit
        self._shards = shards
        self._read: dict[str, Artifact] = {}
        self._taken: dict[int, FoundShard] = {}
        due = {
            shard.identity.version: shard.n_bytes
            for shard in shards
            if not self._store.is_published(DOCUMENT_SHARDS, shard.identity.version)
        }
        n_bytes = sum(due.values())
        self._executor = context.executor if n_bytes >= INLINE_BYTES else INLINE
        self._progress = context.progress
        # Of a shard that a limit cuts short, nobody knows how much is read.
        is_known = not due or all(shard.is_whole for shard in shards)
        self._progress.start("read sources", n_bytes if is_known else None, "B")
        if due:
            logger.info("%d of %d shards are new", len(due), len(shards))

    def decided(self, spill_dir: Path) -> tuple[list[FoundShard], list[Decisions]]:
        """The shards that count, in order, and what becomes of their documents.

        Those are all shards, or where there are limits the first ones of each source and over
        all that it takes to fill them with documents that are kept. Which ones, and how much is
        read of each, hangs on sources and config alone, not on the workers and on what is
        published. ``spill_dir`` as for :func:`.admission.decide`.
        """
        self._read_now([shard for shard in self._shards if shard.is_whole])
        decided: dict[int, Decisions] = {}
        while True:
            places = self._needed(decided)
            found = [self._taken[place] for place in places]
            if all(place in decided for place in places):
                return found, [decided[place] for place in places]
            decisions = decide(self._config, found, spill_dir, self._purged)
            decided = dict(zip(places, decisions, strict=True))

    def _needed(self, decided: dict[int, Decisions]) -> list[int]:
        """Places of the shards that may be enough; they are read.

        Of shards that are ``decided`` the documents that are kept count; of others all may be,
        so nothing is read in vain. But were all the rest duplicates, there would be a round for
        each shard: so a round has so many new ones that some of them need not count. A shard
        that was cut too short is read anew, and taken out of ``decided``.
        """
        limits = Limits(self._config)
        n_least = sum(self._n_read(place) for place in decided) // _SHARE_OF_ROUND
        n_uncounted = n_least
        places = []
        for place, shard in enumerate(self._shards):
            n_left = limits.left(shard.source)
            if not n_left:
                continue
            if place not in self._taken:
                self._take(place, shard.widened(n_least), self._next(place, limits, n_least))
            elif place in decided and self._is_cut(place) and self._n_kept(place, decided) < n_left:
                del decided[place]
                read, _ = self._taken[place]
                self._take(place, read.widened(max(n_least, 2 * self._n_read(place))))
            n_documents = self._n_kept(place, decided)
            if place not in decided and not self._is_cut(place):
                n_skipped = min(n_documents, n_uncounted)
                n_uncounted -= n_skipped
                n_documents -= n_skipped
            limits.count(shard.source, n_documents)
            places.append(place)
        return places

    def _n_read(self, place: int) -> int:
        return self._taken[place][1].rows(DOCUMENTS)

    def _n_kept(self, place: int, decided: Mapping[int, Decisions]) -> int:
        """How many documents of the shard are kept; all, as long as nobody knows."""
        n_read = self._n_read(place)
        return decided[place].n_kept(n_read) if place in decided else n_read

    def _is_cut(self, place: int) -> bool:
        """Whether the shard may have more documents than were read of it."""
        n_asked = self._taken[place][0].max_documents
        return n_asked is not None and self._n_read(place) >= n_asked

    def _next(self, place: int, limits: Limits, n_least: int) -> list[Shard]:
        """The shards behind that at ``place`` that come next, for the other workers."""
        others = (
            self._shards[other]
            for other in range(place + 1, len(self._shards))
            if other not in self._taken and limits.left(self._shards[other].source)
        )
        first = islice(others, self._executor.n_workers - 1)
        return [shard.widened(n_least) for shard in first]

    def _take(self, place: int, shard: Shard, others: Sequence[Shard] = ()) -> None:
        """Read ``shard``, which is at ``place``; with it ``others``, which may not be needed."""
        if shard.identity.version not in self._read:
            try:
                self._read_now([shard, *others])
            except (SourceError, SourceChanged):
                if not others:
                    raise
                self._read_now([shard])
        self._taken[place] = (shard, self._read[shard.identity.version])

    def _read_now(self, shards: Sequence[Shard]) -> None:
        due = {
            shard.identity.version: ReadShard(
                shard, self._config, self._root, self._git_commit, self._purged
            )
            for shard in shards
            if not self._store.is_published(DOCUMENT_SHARDS, shard.identity.version)
        }
        for _version in self._executor.map(read_shard, list(due.values()), self._progress.advance):
            pass
        for shard in shards:
            version = shard.identity.version
            if version not in self._read:
                self._read[version] = self._store.open(self._store.ref(DOCUMENT_SHARDS, version))
