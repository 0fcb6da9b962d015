"""Erasing texts, users and nodes from every artifact of a directory that holds rows of them.

Descendants of documents are handled before the documents, and documents before their shards, so
that unfinished work can still be found. Document vectors are rewritten before their index, which
is built from them. A sweep can be repeated.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nightjar.config import LoadedConfig
from nightjar.core import Keep, Stage
from nightjar.core.stage import Erased, Eraser, Fate
from nightjar.pipeline.retention.needs import Key
from nightjar.sources.purge_list import Purged
from nightjar.sources.remote import FETCHED_DIR
from nightjar.sources.remote.erasing_fetched import FetchedRecords, erase_fetched
from nightjar.sources.tables.erasing_rows import holds_ids
from nightjar.stages.events.erasing_users import USER, sessions_of
from nightjar.stages.graph.erasing_nodes import ENDS, nodes_of
from nightjar.stages.ingest.admission import purged_rows
from nightjar.stages.ingest.erasing_documents import erased_ids, ids_at, places_in_shard
from nightjar.store import SET_ASIDE_DIR, Artifact, Manifest, Store, delete, names, rewrite
from nightjar.store.schemas import (
    DERIVED_DIR,
    DOCUMENT_SHARDS,
    DOCUMENTS,
    EVENTS,
    GRAPH,
    ROW_SHARDS,
)

logger = logging.getLogger(__name__)

_LEARNT = (Keep.MODEL, Keep.SOURCE, Keep.RECORD)
"""Vectors and scores come from all documents together: nothing is erased from them."""


@dataclass(frozen=True)
class Swept:
    """The result of a sweep."""

    rewritten: tuple[str, ...]
    """Artifacts that were rewritten without the documents."""
    deleted: tuple[str, ...]
    """Artifacts, fetched files and artifacts that were set aside."""
    places: tuple[str, ...]
    """Where the documents are in the sources, as ``source: file:line``."""


@dataclass
class Sweep:
    """Erases ``texts``, and the users and nodes of ``ids`` by corpus, from a directory."""

    loaded: LoadedConfig
    stages: Sequence[type[Stage]]
    texts: frozenset[bytes]
    ids: Mapping[str, Purged] = field(default_factory=dict)
    rewritten: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)

    def run(self) -> Swept:
        """Erase. Raises ArtifactDamaged for an artifact that cannot be read, StoreNotWritable."""
        self.store = Store(self.loaded.artifacts_dir)
        self.erased = Erased(
            self.texts,
            users={corpus: found.users for corpus, found in self.ids.items() if found.users},
            nodes={corpus: found.nodes for corpus, found in self.ids.items() if found.nodes},
        )
        self.records = [*self._found_in_shards(), *self._found_in_rows()]
        self._find()
        descendants = self._descendants()
        fetched = self.loaded.artifacts_dir / FETCHED_DIR
        self.deleted += [f"fetched/{name}" for name in erase_fetched(fetched, self.records)]
        self._delete_unknown(descendants)
        rewritten = {name for stage in self.stages for name in stage.erasers}
        for stage in self._in_order():
            if stage.name not in rewritten and stage.keep not in _LEARNT:
                for key in sorted(key for key in descendants if key[0] == stage.name):
                    self._delete(key, stage)
            for name, eraser in stage.erasers.items():
                self._erase(name, eraser, stage)
        self._delete_set_aside()
        delete(self.loaded.artifacts_dir / DERIVED_DIR)  # has words; is recomputed
        places = sorted(f"{source}: {locator}" for source, locator in self.erased.places)
        return Swept(tuple(self.rewritten), tuple(self.deleted), tuple(places))

    def _find(self) -> None:
        """Note what the artifacts of each corpus have of them."""
        erased = self.erased
        for artifact in self._opened(DOCUMENTS):
            if ids := erased_ids(artifact, self.texts):
                erased.doc_ids[artifact.ref.version] = ids
        for artifact in self._opened(EVENTS) if erased.users else ():
            users = erased.users.get(artifact.manifest.name)
            if users and (sessions := sessions_of(artifact, users)):
                erased.sessions[artifact.ref.version] = sessions
        for artifact in self._opened(GRAPH) if erased.nodes else ():
            nodes = erased.nodes.get(artifact.manifest.name)
            if nodes and (names := nodes_of(artifact, nodes)):
                erased.node_names[artifact.ref.version] = names

    def _opened(self, stage: str) -> Iterator[Artifact]:
        return (self.store.open(ref) for ref in self.store.versions(stage))

    def _in_order(self) -> list[type[Stage]]:
        served = [stage for stage in self.stages if stage.is_served]
        return [*served, *(stage for stage in reversed(self.stages) if not stage.is_served)]

    def _found_in_shards(self) -> Iterator[FetchedRecords]:
        """Yield the records of the texts as read, by shard; notes where they were."""
        for shard in self._opened(DOCUMENT_SHARDS):
            rows = purged_rows(shard, Purged(texts=self.texts))
            if not rows.any():
                continue
            places = places_in_shard(shard, rows)
            self.erased.places |= places
            inputs = shard.manifest.identity["inputs"]
            locators = [locator for _, locator in places]
            named = [
                entry["sha256"]
                for entry in inputs
                if any(locator.startswith(entry["name"]) for locator in locators)
            ]
            sha256s = named or [entry["sha256"] for entry in inputs]
            yield FetchedRecords(shard.manifest.name, tuple(sha256s), ids_at(shard, rows))

    def _found_in_rows(self) -> Iterator[FetchedRecords]:
        """Yield the files that shards with such ids were read from, and note them."""
        users = frozenset().union(*self.erased.users.values())
        nodes = frozenset().union(*self.erased.nodes.values())
        for shard in self._opened(ROW_SHARDS) if users or nodes else ():
            if (users and holds_ids(shard, [USER], users)) or (
                nodes and holds_ids(shard, ENDS, nodes)
            ):
                inputs = shard.manifest.identity["inputs"]
                self.erased.places |= {(shard.manifest.name, entry["name"]) for entry in inputs}
                sha256s = tuple(entry["sha256"] for entry in inputs)
                yield FetchedRecords(shard.manifest.name, sha256s, frozenset())

    def _descendants(self) -> set[Key]:
        """Descendants of what has such rows, except vectors and scores."""
        learnt = {stage.name for stage in self.stages if stage.keep in _LEARNT}
        others = {
            (stage, ref.version): Manifest.read(Path(ref.path)).parents
            for stage in self.store.stages()
            if stage not in learnt
            for ref in self.store.versions(stage)
        }
        found: set[Key] = {(DOCUMENTS, version) for version in self.erased.doc_ids}
        found |= {(EVENTS, version) for version in self.erased.sessions}
        found |= {(GRAPH, version) for version in self.erased.node_names}
        while True:
            more = {key for key, parents in others.items() if found & set(parents.items())} - found
            if not more:
                return found
            found |= more

    def _delete_unknown(self, descendants: set[Key]) -> None:
        """Delete descendants made by stages that are not declared."""
        declared = {stage.name for stage in self.stages}
        pieces = {piece for stage in self.stages for piece in stage.pieces}
        for key in sorted(descendants):
            if key[0] not in declared | pieces:
                self._delete(key, None)

    def _erase(self, name: str, eraser: Eraser, stage: type[Stage]) -> None:
        for artifact in list(self._opened(name)):
            fate = eraser(self.store, artifact, self.erased)
            if fate is Fate.DELETED:
                self._delete((name, artifact.ref.version), stage)
            elif not isinstance(fate, Fate):
                rewrite(artifact, fate)
                self.rewritten.append(str(artifact.ref))

    def _delete(self, key: Key, stage: type[Stage] | None) -> None:
        path = Path(self.store.ref(*key).path)
        if stage is not None and stage.name == key[0]:
            stage.forget(self.loaded, Manifest.read(path))
        if delete(path):
            self.deleted.append("/".join(key))

    def _delete_set_aside(self) -> None:
        """Delete damaged artifacts that may have such rows, since they cannot be rewritten."""
        learnt = {stage.name for stage in self.stages if stage.keep in _LEARNT}
        aside = self.loaded.artifacts_dir / SET_ASIDE_DIR
        for name in names(aside):
            stage = name.rsplit("-", 2)[0]
            if stage not in learnt and delete(aside / name):
                self.deleted.append(f"{SET_ASIDE_DIR}/{name}")
