"""Erasing users of corpora of events and nodes of graphs: what is known, what is ordered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from nightjar.config import EventsCorpusConfig, GraphCorpusConfig, LoadedConfig
from nightjar.errors import InputError
from nightjar.pipeline.retention.pipelines import read_pipelines
from nightjar.sources.purge_list import Order, Purged, PurgeList
from nightjar.sources.rejections import digest_of
from nightjar.sources.tables.erasing_rows import holds_ids
from nightjar.stages.events.erasing_users import USER, sessions_of
from nightjar.stages.graph.erasing_nodes import ENDS, nodes_of
from nightjar.store import Artifact, Store, schemas


@dataclass(frozen=True)
class IdsToErase:
    """A corpus whose records are erased by an id that names many of them."""

    corpus: str
    what: Literal["user", "node"]
    """What the ids are of."""
    source: str
    """The stage that reads the corpus."""
    columns: tuple[str, ...]
    """The columns of its rows with such ids."""

    def holds(self, artifact: Artifact, digests: frozenset[bytes]) -> bool:
        """Whether an artifact of :attr:`source` has one of them."""
        found = sessions_of if self.what == "user" else nodes_of
        return bool(found(artifact, digests))

    def of(self, purged: Purged) -> frozenset[bytes]:
        """The digests of a list that are of this kind."""
        return purged.users if self.what == "user" else purged.nodes

    def missing(self, loaded: LoadedConfig, names: list[str]) -> InputError:
        """The error for names that nothing that is kept has."""
        listed = ", ".join(names)
        if self.what == "node":
            return InputError(
                f"nothing is purged: {listed}: no kept edge of {self.corpus} is of this node; "
                f"ids are looked up as they are written in the sources"
            )
        if items := _items_among(loaded, self.corpus, names):
            source = next(iter(loaded.config.events_corpus(self.corpus).sources))
            return InputError(
                f"nothing is purged: {', '.join(items)}: an item of {self.corpus}, and a purge "
                f"erases users. Leave items out with corpora.{self.corpus}.sources.{source}.where: "
                f"the next night trains without them"
            )
        return InputError(
            f"nothing is purged: {listed}: no kept event of {self.corpus} is of this user; "
            f"'nightjar show events' shows users as they are written"
        )


def ids_of_corpus(loaded: LoadedConfig, corpus: str | None) -> IdsToErase | None:
    """The corpus to erase users or nodes from; None for corpora of documents.

    Without a name the only corpus of events or graph, if there is no corpus of documents. Raises
    InputError for a corpus that is not there, and when it is not clear which is meant.
    """
    corpora = loaded.config.corpora
    if corpus is not None and corpus not in corpora:
        raise InputError(f"{corpus}: corpora has {', '.join(corpora)}")
    if corpus is None and loaded.config.text_corpora:
        return None
    if corpus is None and len(corpora) > 1:
        raise InputError(
            f"an id may be in {' and '.join(corpora)}: choose the corpus with --corpus"
        )
    name = corpus or next(iter(corpora))
    if isinstance(corpora[name], EventsCorpusConfig):
        return IdsToErase(name, "user", schemas.EVENTS, (USER,))
    if isinstance(corpora[name], GraphCorpusConfig):
        return IdsToErase(name, "node", schemas.GRAPH, ENDS)
    return None


def digests_to_erase(
    loaded: LoadedConfig, ids: IdsToErase, names: Iterable[str]
) -> frozenset[bytes]:
    """The digests of users or nodes. Raises InputError for one that nothing that is kept has."""
    wanted = {digest_of(name): name for name in dict.fromkeys(names)}
    found = frozenset(wanted)
    known = found & ids.of(PurgeList.read(loaded.pipeline_dir, ids.corpus).purged)
    store = Store(loaded.artifacts_dir)
    artifacts = [store.open(ref) for ref in store.versions(ids.source)]
    shards = [store.open(ref) for ref in store.versions(schemas.ROW_SHARDS)]
    sources = loaded.config.corpora[ids.corpus].sources
    for digest in found - known:
        one = frozenset((digest,))
        # Who has no event that is kept, such as a bot, is in the rows alone.
        if any(ids.holds(it, one) for it in artifacts if it.manifest.name == ids.corpus) or any(
            holds_ids(shard, ids.columns, one) for shard in shards if shard.manifest.name in sources
        ):
            known |= one
    missing = [wanted[digest] for digest in wanted if digest not in known]
    if missing:
        raise ids.missing(loaded, missing)
    return found


def _items_among(loaded: LoadedConfig, corpus: str, names: Iterable[str]) -> list[str]:
    """Those of ``names`` that are items of the kept events of a corpus."""
    store = Store(loaded.artifacts_dir)
    wanted = set(names)
    found: set[str] = set()
    for artifact in (store.open(ref) for ref in store.versions(schemas.EVENTS)):
        if artifact.manifest.name == corpus:
            for batch in artifact.batches(schemas.EVENTS, ["item"]):
                found |= wanted & set(batch.column("item").unique().to_pylist())
    return [name for name in names if name in found]


def order_ids(loaded: LoadedConfig, ids: IdsToErase, order: Order) -> None:
    """Record the order in the lists of all pipelines with a corpus of this name.

    They share the artifacts of equal corpora, so none of them may bring the ids back.
    """
    own = loaded.pipeline_dir
    directories = {
        found.directory
        for found in read_pipelines(loaded)
        if found.corpora is not None and ids.corpus in found.corpora
    }
    for directory in sorted({own, *directories}, key=lambda place: (place != own, place)):
        listed = PurgeList.read(directory, ids.corpus)
        listed.write((*listed.orders, order))


def with_digests(order: Order, ids: IdsToErase, digests: frozenset[bytes]) -> Order:
    """The order to erase these users or nodes."""
    listed = tuple(sorted(digest.hex() for digest in digests))
    return replace(order, users=listed) if ids.what == "user" else replace(order, nodes=listed)


def unfinished_ids(lists: Iterable[PurgeList]) -> Mapping[str, Purged]:
    """The users and nodes of unfinished orders, by corpus."""
    found: dict[str, Purged] = {}
    for listed in lists:
        for order in listed.orders:
            if not order.is_done and (order.users or order.nodes):
                before = found.get(listed.corpus, Purged())
                found[listed.corpus] = Purged(
                    users=before.users | order.purged.users, nodes=before.nodes | order.purged.nodes
                )
    return found
