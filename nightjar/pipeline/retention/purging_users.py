"""Erasing users of corpora of events: which corpus, what is known of them, what is ordered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from nightjar.config import EventsCorpusConfig, LoadedConfig
from nightjar.errors import InputError
from nightjar.pipeline.retention.pipelines import read_pipelines
from nightjar.sources.purge_list import Order, PurgeList
from nightjar.sources.rejections import digest_of
from nightjar.stages.events.erasing_users import holds_users, sessions_of
from nightjar.store import Store
from nightjar.store.schemas import EVENTS, ROW_SHARDS
from nightjar.wording import counted


def check_corpus(loaded: LoadedConfig, corpus: str | None) -> str | None:
    """The corpus of events to erase users from; None for a corpus of documents.

    Without a name the only corpus of events, if there is no corpus of documents. Raises InputError
    for a graph, for a corpus that is not there, and when it is not clear which is meant.
    """
    corpora = loaded.config.corpora
    if corpus is not None and corpus not in corpora:
        raise InputError(f"{corpus}: corpora has {', '.join(corpora)}")
    if corpus is None and loaded.config.text_corpora:
        return None
    of_events = list(loaded.config.corpora_of(EventsCorpusConfig))
    if corpus is None and len(of_events) > 1:
        raise InputError(
            f"a user may be in {' and '.join(of_events)}: choose the corpus with --corpus"
        )
    name = corpus or next(iter(of_events or corpora))
    if corpora[name].kind == "graph":
        raise InputError(
            f"{name} is of kind graph, and only documents and users can be purged yet: delete the "
            f"rows of these nodes from its sources and run a night, which trains without them. "
            f"Earlier artifacts go once {counted(loaded.config.keep.accepted_nights, 'night')} "
            f"after it are accepted, earlier versions as 'nightjar collect --dry-run' says"
        )
    return name if name in of_events else None


def users_to_erase(loaded: LoadedConfig, corpus: str, names: Iterable[str]) -> frozenset[bytes]:
    """The digests of users. Raises InputError for one that nothing that is kept has."""
    wanted = {digest_of(name): name for name in dict.fromkeys(names)}
    found = frozenset(wanted)
    known = found & PurgeList.read(loaded.pipeline_dir, corpus).purged.users
    store = Store(loaded.artifacts_dir)
    artifacts = [store.open(ref) for ref in store.versions(EVENTS)]
    shards = [store.open(ref) for ref in store.versions(ROW_SHARDS)]
    sources = set(_sources(loaded, corpus))
    for digest in found - known:
        one = frozenset((digest,))
        # Who has no event that is kept, such as a bot, is in the rows alone.
        if any(sessions_of(it, one) for it in artifacts if it.manifest.name == corpus) or any(
            holds_users(shard, one) for shard in shards if shard.manifest.name in sources
        ):
            known |= one
    missing = [wanted[digest] for digest in wanted if digest not in known]
    if missing:
        raise InputError(
            f"nothing is purged: {', '.join(missing)}: no kept event of {corpus} is of this user; "
            f"'nightjar show events' shows users as they are written"
        )
    return found


def _sources(loaded: LoadedConfig, corpus: str) -> Iterator[str]:
    yield from loaded.config.events_corpus(corpus).sources


def order_users(loaded: LoadedConfig, corpus: str, order: Order) -> None:
    """Record the order in the lists of all pipelines with a corpus of this name.

    They share the artifacts of equal corpora, so none of them may bring the users back.
    """
    own = loaded.pipeline_dir
    directories = {
        found.directory
        for found in read_pipelines(loaded)
        if found.corpora is not None and corpus in found.corpora
    }
    for directory in sorted({own, *directories}, key=lambda place: (place != own, place)):
        listed = PurgeList.read(directory, corpus)
        listed.write((*listed.orders, replace(order)))


def unfinished_users(lists: Iterable[PurgeList]) -> Mapping[str, frozenset[bytes]]:
    """The users of unfinished orders, by corpus."""
    found: dict[str, frozenset[bytes]] = {}
    for listed in lists:
        for order in listed.orders:
            if not order.is_done and order.users:
                corpus = listed.corpus
                found[corpus] = found.get(corpus, frozenset()) | order.purged.users
    return found
