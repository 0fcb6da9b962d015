"""The purge list: what was purged from a corpus and must not come back, as hashes.

There is one file per corpus, ``purged/<corpus>.json`` in the pipeline's directory. It lists purge
orders, each with the digests of the ids and texts, of the users, or of the nodes that it covers.
Whatever matches is quarantined, whichever source file still has it; the list's digest is part of
the identity of the documents, events or graph.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from nightjar.errors import StoreError
from nightjar.store import fingerprint, names, replace

_DIRECTORY = "purged"
_SUFFIX = ".json"


@dataclass(frozen=True)
class Purged:
    """Digests of purged ids and texts, of purged users, and of purged nodes."""

    ids: frozenset[bytes] = frozenset()
    """Digests of doc_ids, whatever their text."""
    texts: frozenset[bytes] = frozenset()
    """Digests of texts as stored, and as in the source, before cleaning."""
    users: frozenset[bytes] = frozenset()
    """Digests of the ids of users, in corpora of events."""
    nodes: frozenset[bytes] = frozenset()
    """Digests of the ids of nodes, in corpora of kind graph."""

    def __bool__(self) -> bool:
        """Whether anything was purged."""
        return bool(self.ids or self.texts or self.users or self.nodes)

    @property
    def digest(self) -> str:
        """A digest of all entries; "" if there are none."""
        if not self:
            return ""
        later = (self.users, self.nodes)
        # Lists from before there were users and nodes keep their digests.
        kinds = (self.ids, self.texts, *(later if self.nodes else later[:1] if self.users else ()))
        return fingerprint([sorted(entry.hex() for entry in entries) for entries in kinds])


NOTHING = Purged()


@dataclass(frozen=True)
class Order:
    """One order to purge."""

    time: str
    """ISO 8601, UTC."""
    actor: str
    reason: str
    ids: tuple[str, ...]
    """Digests in hexadecimal."""
    texts: tuple[str, ...]
    is_done: bool = False
    """Whether nothing of it is left in this directory."""
    users: tuple[str, ...] = ()
    """Digests in hexadecimal."""
    nodes: tuple[str, ...] = ()
    """Digests in hexadecimal."""

    @property
    def purged(self) -> Purged:
        """The digests of the order."""
        kinds = (self.ids, self.texts, self.users, self.nodes)
        return Purged(*(frozenset(map(bytes.fromhex, digests)) for digests in kinds))


@dataclass(frozen=True)
class PurgeList:
    """The orders for one corpus; a missing file means none."""

    path: Path
    orders: tuple[Order, ...] = ()

    @classmethod
    def read(cls, pipeline_dir: Path, corpus: str) -> PurgeList:
        """The list of a corpus. Raises StoreError when it cannot be read."""
        return cls.at(pipeline_dir / _DIRECTORY / f"{corpus}{_SUFFIX}")

    @classmethod
    def at(cls, path: Path) -> PurgeList:
        """The list in a file. Raises StoreError when it cannot be read."""
        try:
            return cls(path, _orders().validate_json(path.read_bytes()))
        except (FileNotFoundError, NotADirectoryError):  # a file in the way: writing says so
            return cls(path)
        except (OSError, ValidationError) as error:
            raise StoreError(
                f"{path}: what was purged from a corpus cannot be read ({error}); restore the file "
                f"from a backup: without it what was purged would come back"
            ) from error

    @classmethod
    def all(cls, pipeline_dir: Path) -> dict[str, PurgeList]:
        """The lists of a pipeline, by corpus. Raises StoreError."""
        found = [name for name in names(pipeline_dir / _DIRECTORY) if name.endswith(_SUFFIX)]
        corpora = [name.removesuffix(_SUFFIX) for name in found]
        return {corpus: cls.read(pipeline_dir, corpus) for corpus in corpora}

    @property
    def corpus(self) -> str:
        """The name of the corpus."""
        return self.path.name.removesuffix(_SUFFIX)

    @property
    def purged(self) -> Purged:
        """The digests of all orders."""
        return joined(order.purged for order in self.orders)

    @property
    def is_done(self) -> bool:
        """Whether every order has been carried out."""
        return all(order.is_done for order in self.orders)

    def texts_with(self, digest: bytes) -> frozenset[bytes]:
        """The texts of the orders that name this id."""
        return joined(order.purged for order in self.orders if digest in order.purged.ids).texts

    def write(self, orders: tuple[Order, ...]) -> None:
        """Replace the orders. Raises StoreNotWritable."""
        replace(self.path, _orders().dump_json(orders, indent=1))


def joined(parts: Iterable[Purged]) -> Purged:
    """The union of ``parts``."""
    found = list(parts)
    return Purged(
        frozenset().union(*(part.ids for part in found)),
        frozenset().union(*(part.texts for part in found)),
        frozenset().union(*(part.users for part in found)),
        frozenset().union(*(part.nodes for part in found)),
    )


@cache
def _orders() -> TypeAdapter[tuple[Order, ...]]:
    return TypeAdapter(tuple[Order, ...])
