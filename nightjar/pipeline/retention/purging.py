"""A person's right to erasure: removes documents, users or nodes from everything that is kept.

First the order is recorded, as hashes (:mod:`nightjar.sources.purge_list`), for every corpus
in the directory that has such texts; from then on ingest keeps them out. Then artifacts with rows
of them are rewritten or deleted (:mod:`.sweeping`). After a kill at any point, the next night or
command continues (:func:`finish_purges`). Vectors learned from the documents are reported
(:mod:`.trained`), not changed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from nightjar.config import LoadedConfig
from nightjar.core import Stage
from nightjar.core.using import PIPELINES, collecting, commands_at_work, night_lease
from nightjar.errors import InputError, LeaseTaken, NightjarError
from nightjar.pipeline.retention.collection import collect, delete_pages
from nightjar.pipeline.retention.needs import PIECES
from nightjar.pipeline.retention.pipelines import read_pipelines
from nightjar.pipeline.retention.purging_ids import (
    digests_to_erase,
    ids_of_corpus,
    order_ids,
    unfinished_ids,
    with_digests,
)
from nightjar.pipeline.retention.sweeping import Sweep, Swept
from nightjar.pipeline.retention.trained import (
    TrainedVectors,
    advice,
    models_to_retrain,
    trained_with,
)
from nightjar.sources.purge_list import Order, Purged, joined
from nightjar.sources.rejections import DIGEST_BYTES, digest_of
from nightjar.stages import STAGES
from nightjar.stages.ingest import PurgeList
from nightjar.stages.ingest.admission import purged_rows
from nightjar.stages.ingest.erasing_documents import (
    erased_ids,
    near_duplicates_of,
    rows_at,
    texts_at,
)
from nightjar.store import Artifact, Store, acquire_lease, names, remove_abandoned
from nightjar.store.schemas import DOCUMENT_SHARDS, DOCUMENTS

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PurgeRequest:
    """A person's request for erasure."""

    documents: tuple[str, ...]
    """Their doc_ids; of a corpus of events the ids of users, of a graph those of nodes."""
    corpus: str | None
    """The corpus of the documents, users or nodes; None if only one corpus has them."""
    actor: str
    reason: str = ""


@dataclass(frozen=True)
class PurgeResult:
    """The result of a purge."""

    documents: tuple[str, ...]
    """The ids that were given."""
    n_erased: int
    """Number of documents erased: the requested ones, those with the same text, and near
    duplicates; or of users or nodes."""
    swept: Swept
    trained: tuple[TrainedVectors, ...]
    """Vectors that were, or may have been, learned from them."""
    retrain: tuple[str, ...]
    """Models of the config whose champion is among them."""
    notes: tuple[str, ...] = ()
    what: Literal["document", "user", "node"] = "document"
    """What was erased."""

    def as_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


def purge(
    loaded: LoadedConfig, request: PurgeRequest, stages: Sequence[type[Stage]] = STAGES
) -> PurgeResult:
    """Erase documents from everything that is kept, and keep them from coming back.

    Also erases every document with the same text, in all corpora of the directory, and their near
    duplicates in quarantine. Of a corpus of events, erases users, of a graph nodes. Raises
    LeaseTaken while a night of any pipeline is under way; InputError for a document that is missing
    or in several corpora, and for a user or a node of which nothing is kept; StoreError.
    """
    root = loaded.artifacts_dir
    ids = ids_of_corpus(loaded, request.corpus)
    with alone(loaded, "nightjar purge"):
        notes = list(_tidied(loaded, stages))
        with _collecting_alone(root, "nightjar purge"):
            now = datetime.now(UTC).isoformat(timespec="seconds")
            order = Order(now, request.actor, request.reason, ids=(), texts=())
            if ids is None:
                wanted, n_erased = _order_documents(loaded, request, order)
            else:
                wanted = digests_to_erase(loaded, ids, request.documents)
                n_erased = len(wanted)
                order_ids(loaded, ids, with_digests(order, ids, wanted))
            swept = _carry_out(loaded, stages)
    trained = trained_with(loaded, wanted, DOCUMENTS if ids is None else ids.source)
    return PurgeResult(
        documents=request.documents,
        n_erased=n_erased,
        swept=swept,
        trained=trained,
        retrain=models_to_retrain(loaded, trained),
        notes=(*notes, *advice(loaded, trained)),
        what="document" if ids is None else ids.what,
    )


def _order_documents(
    loaded: LoadedConfig, request: PurgeRequest, order: Order
) -> tuple[frozenset[bytes], int]:
    """Record what to erase; returns the digests of the texts and the number of documents."""
    found = _Search(loaded).find(request)
    texts = tuple(sorted(text.hex() for text in found.texts))
    for corpus, ids in found.ids.items():
        listed = PurgeList.read(loaded.pipeline_dir, corpus)
        listed.write((*listed.orders, replace(order, ids=ids, texts=texts)))
    return found.texts, found.n_documents


def finish_purges(loaded: LoadedConfig, stages: Sequence[type[Stage]] = STAGES) -> Swept | None:
    """Finish an interrupted purge; None when there was nothing to do.

    The caller must hold this pipeline's lease. Raises LeaseTaken, StoreError.
    """
    if all(listed.is_done for listed in _lists(loaded.artifacts_dir)):
        return None
    with (
        alone(loaded, "finishing a purge", holds_own=True),
        _collecting_alone(loaded.artifacts_dir, "finishing a purge"),
    ):
        return _carry_out(loaded, stages)


@contextmanager
def alone(loaded: LoadedConfig, owner: str, *, holds_own: bool = False) -> Iterator[None]:
    """Hold the leases of all pipelines of the directory. Raises LeaseTaken."""
    directory = loaded.artifacts_dir / PIPELINES
    own = loaded.config.pipeline.name
    others = {name for name in names(directory) if name != own}
    with ExitStack() as held:
        for name in sorted(others if holds_own else {*others, own}):
            try:
                held.enter_context(acquire_lease(night_lease(directory / name), owner))
            except LeaseTaken as taken:
                raise LeaseTaken(
                    f"nothing is purged while a night of pipeline {name} is under way; repeat the "
                    f"command after it has ended ({taken})"
                ) from taken
        yield


@contextmanager
def _collecting_alone(root: Path, owner: str) -> Iterator[None]:
    with collecting(root, owner):
        busy = commands_at_work(root)
        if busy:
            raise LeaseTaken(
                f"nothing is purged while a command of pipeline {busy[0]} is at work; repeat the "
                f"command after it has ended"
            )
        yield


def _tidied(loaded: LoadedConfig, stages: Sequence[type[Stage]]) -> Iterator[str]:
    """Delete what is no longer needed, so that it need not be rewritten; yields what failed."""
    remove_abandoned(loaded.artifacts_dir)
    try:
        collect(loaded, stages)
    except NightjarError as error:  # then it is rewritten instead
        yield f"unneeded artifacts were not deleted: {error}"


def _carry_out(loaded: LoadedConfig, stages: Sequence[type[Stage]]) -> Swept:
    """Erase what unfinished orders name and mark the orders as done."""
    lists = list(_lists(loaded.artifacts_dir))
    orders = [order for listed in lists for order in listed.orders if not order.is_done]
    texts = joined(order.purged for order in orders).texts
    if texts:
        _order_elsewhere(loaded, texts, next(order for order in orders if order.texts))
    swept = Sweep(loaded, stages, texts, unfinished_ids(lists)).run()
    delete_pages(loaded)
    for listed in _lists(loaded.artifacts_dir):
        if not listed.is_done:
            listed.write(tuple(replace(order, is_done=True) for order in listed.orders))
    return swept


def _order_elsewhere(loaded: LoadedConfig, texts: frozenset[bytes], order: Order) -> None:
    """Add the texts to the lists of all corpora, of any pipeline, whose documents have them."""
    store = Store(loaded.artifacts_dir)
    documents = [store.open(ref) for ref in store.versions(DOCUMENTS)]
    hit = {found.manifest.name for found in documents if erased_ids(found, texts)}
    every_text = tuple(sorted(text.hex() for text in texts))
    for pipeline in read_pipelines(loaded):
        for corpus in sorted(hit & (pipeline.corpora or frozenset())):
            listed = PurgeList.read(pipeline.directory, corpus)
            if not texts <= listed.purged.texts:
                added = replace(order, ids=(), texts=every_text)
                listed.write((*listed.orders, added))


def _lists(root: Path) -> Iterator[PurgeList]:
    """The purge lists of every pipeline."""
    for name in names(root / PIPELINES):
        yield from PurgeList.all(root / PIPELINES / name).values()


@dataclass(frozen=True)
class _Found:
    """What to erase."""

    texts: frozenset[bytes]
    n_documents: int
    ids: dict[str, tuple[str, ...]]
    """By corpus: the digests of the given ids."""


class _Search:
    """Finds documents by id, then all documents with the same texts."""

    def __init__(self, loaded: LoadedConfig) -> None:
        self._loaded = loaded
        self._store = Store(loaded.artifacts_dir)
        self._documents = self._opened(DOCUMENTS)
        self._shards = {shard.ref.version: shard for shard in self._opened(DOCUMENT_SHARDS)}

    def find(self, request: PurgeRequest) -> _Found:
        """Find the documents of ``request``. Raises InputError."""
        corpora = self._corpora(request.corpus)
        texts: set[bytes] = set()
        ids: dict[str, list[str]] = {}
        missing = []
        for doc_id in dict.fromkeys(request.documents):
            digest = digest_of(doc_id)
            by_corpus = {corpus: self._texts_of(corpus, doc_id) for corpus in corpora}
            by_corpus = {corpus: found for corpus, found in by_corpus.items() if found}
            if len(by_corpus) > 1:
                raise InputError(
                    f"{doc_id} is a document of {' and '.join(by_corpus)}: choose one with --corpus"
                )
            known = [corpus for corpus in corpora if digest in self._list(corpus).purged.ids]
            if not by_corpus and not known:
                missing.append(doc_id)
            for corpus, found in by_corpus.items():
                texts |= found
                ids.setdefault(corpus, []).append(digest.hex())
            for corpus in () if by_corpus else known:  # purged before: report again what is left
                texts |= self._list(corpus).texts_with(digest)
                ids.setdefault(corpus, [])
        if missing:
            raise InputError(
                f"nothing is purged: {', '.join(missing)}: no kept document has this id; "
                f"'nightjar search' and 'nightjar show documents' show ids"
            )
        for corpus in ids:
            texts |= self._near_duplicates(corpus, frozenset(texts))
        closed = self._all_forms(texts)
        erased = [erased_ids(artifact, closed) for artifact in self._documents]
        asked = {corpus: tuple(sorted(found)) for corpus, found in ids.items()}
        return _Found(closed, len(frozenset().union(*erased)), asked)

    def _opened(self, stage: str) -> list[Artifact]:
        return [self._store.open(ref) for ref in self._store.versions(stage)]

    def _list(self, corpus: str) -> PurgeList:
        return PurgeList.read(self._loaded.pipeline_dir, corpus)

    def _corpora(self, corpus: str | None) -> list[str]:
        return list(self._loaded.config.text_corpora) if corpus is None else [corpus]

    def _of_corpus(self, corpus: str) -> list[Artifact]:
        return [artifact for artifact in self._documents if artifact.manifest.name == corpus]

    def _shards_of(self, corpus: str) -> list[Artifact]:
        versions = {
            version
            for artifact in self._of_corpus(corpus)
            for version in artifact.manifest.report.get(PIECES, {}).get(DOCUMENT_SHARDS, ())
        }
        return [self._shards[version] for version in sorted(versions & self._shards.keys())]

    def _texts_of(self, corpus: str, doc_id: str) -> set[bytes]:
        """Every text that the id has or had, in the kept artifacts of a corpus."""
        wanted = Purged(ids=frozenset((digest_of(doc_id),)))
        found: set[bytes] = set()
        for shard in self._shards_of(corpus):
            found |= texts_at(shard, purged_rows(shard, wanted))
        for artifact in self._of_corpus(corpus):
            found |= _text_of(artifact, doc_id)
        return found

    def _near_duplicates(self, corpus: str, texts: frozenset[bytes]) -> set[bytes]:
        """The texts in quarantine as near duplicates of ``texts``."""
        places = {
            place
            for artifact in self._of_corpus(corpus)
            for place in near_duplicates_of(artifact, erased_ids(artifact, texts))
        }
        found: set[bytes] = set()
        for shard in self._shards_of(corpus) if places else ():
            found |= texts_at(shard, rows_at(shard, places))
        return found

    def _all_forms(self, texts: Iterable[bytes]) -> frozenset[bytes]:
        """The texts, cleaned and raw, of every record that has one of them, in any corpus."""
        found = frozenset(texts)
        while True:
            grown = found.union(
                *(
                    texts_at(shard, purged_rows(shard, Purged(texts=found)))
                    for shard in self._shards.values()
                )
            )
            if grown == found:
                return found
            found = grown


def _text_of(artifact: Artifact, doc_id: str) -> set[bytes]:
    found: set[bytes] = set()
    for batch in artifact.batches(DOCUMENTS, ["doc_id", "content_sha256"]):
        for name, sha256 in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            if name == doc_id:
                found.add(bytes.fromhex(sha256)[:DIGEST_BYTES])
    return found
