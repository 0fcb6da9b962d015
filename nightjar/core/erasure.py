"""Erasing documents from artifacts: what a stage says about its own.

Published means never modified; a person's right to erasure is the one exception. Then each
artifact that holds rows of the documents is written anew without them, and takes the place of the
old one under the same version (:func:`nightjar.store.rewrite`). A stage declares how, in
``Stage.erasers``; without that its artifacts are deleted when they descend from such rows, but for
vectors and scores, which are learnt from all documents together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import pyarrow as pa
import pyarrow.compute as pc

from nightjar.store import Artifact, Staging, Store


@dataclass
class Erased:
    """The documents that are to be erased, as far as they are found in a directory."""

    texts: frozenset[bytes]
    """Digests of their texts, cleaned and raw."""
    doc_ids: dict[str, frozenset[str]] = field(default_factory=dict)
    """Their ids in each documents artifact that has some, by its version."""
    places: set[tuple[str, str]] = field(default_factory=set)
    """Source and locator of the records that they were read from."""

    @property
    def all_doc_ids(self) -> frozenset[str]:
        """The ids in any documents artifact."""
        return frozenset().union(*self.doc_ids.values())


class Fate(StrEnum):
    """What becomes of an artifact that is not written anew."""

    UNTOUCHED = "untouched"
    DELETED = "deleted"


Rewriting = Callable[[Staging], None]
"""Writes the artifact without the documents; ``counts`` and ``report`` are the old ones'."""

Eraser = Callable[[Store, Artifact, Erased], Rewriting | Fate]
"""Looks whether an artifact holds something of the documents, and says what is done."""

Erasers = Mapping[str, Eraser]
"""By the name under which artifacts are published: a stage's own, and those of its pieces."""


def are_of(hashes: pa.Array | pa.ChunkedArray, texts: frozenset[bytes]) -> pa.Array:
    """Which of some ``content_sha256`` are of ``texts``, as booleans."""
    n_digits = 2 * max((len(text) for text in texts), default=0)
    wanted = pa.array([text.hex() for text in texts], pa.string())
    return pc.is_in(pc.utf8_slice_codeunits(hashes, 0, n_digits), value_set=wanted)


def hold_nothing(store: Store, artifact: Artifact, erased: Erased) -> Fate:
    """The eraser of artifacts that hold counts alone."""
    del store, artifact, erased
    return Fate.UNTOUCHED
