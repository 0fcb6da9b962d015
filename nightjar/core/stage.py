"""The definition of a stage: its kind of artifact, how to make it, how to erase a person from it.

A stage is a subclass of :class:`Stage` in a package of its own, and one line in
:data:`nightjar.stages.STAGES`. Its class attributes give its name, its kind of subject and how long
its artifacts are kept; an instance is the stage of one subject (a corpus, a model, an entry of
``document_vectors``) under one config. Plan, run, Prefect task, ``verify``, ``versions``, retention
and the table of stages in docs/artifacts.md follow from that.

Published artifacts are never modified, with one exception: a person's right to erasure. Then each
artifact with rows of the documents is rewritten without them, and replaces the old one under the
same version (:func:`nightjar.store.rewrite`). A stage declares how in ``Stage.erasers``. Artifacts
without an eraser that descend from such rows are deleted, except vectors and scores, which are
learned from all documents together.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from nightjar.config import LoadedConfig, NightjarConfig
from nightjar.core.executors import INLINE, Executor
from nightjar.errors import NightjarError, StoreError
from nightjar.progress import SILENT, Progress
from nightjar.store import Artifact, ArtifactRef, Identity, Manifest, Staging, Store


@dataclass
class Erased:
    """The documents, users and nodes to erase, as far as they are found in a directory."""

    texts: frozenset[bytes]
    """Digests of their texts, cleaned and raw."""
    doc_ids: dict[str, frozenset[str]] = field(default_factory=dict)
    """Their ids in each documents artifact that contains some, by its version."""
    places: set[tuple[str, str]] = field(default_factory=set)
    """Source and locator of the records that they were read from."""
    users: dict[str, frozenset[bytes]] = field(default_factory=dict)
    """Digests of the ids of users to erase, by corpus of events."""
    sessions: dict[str, frozenset[str]] = field(default_factory=dict)
    """The names of their sessions in each events artifact that contains some, by its version."""
    nodes: dict[str, frozenset[bytes]] = field(default_factory=dict)
    """Digests of the ids of nodes to erase, by corpus of kind graph."""
    node_names: dict[str, frozenset[str]] = field(default_factory=dict)
    """Their ids in each graph artifact that contains some, by its version."""

    @property
    def all_doc_ids(self) -> frozenset[str]:
        """The ids in any documents artifact."""
        return frozenset().union(*self.doc_ids.values())


class Fate(StrEnum):
    """What happens to an artifact that is not rewritten."""

    UNTOUCHED = "untouched"
    DELETED = "deleted"


Rewriting = Callable[[Staging], None]
"""Writes the artifact without the documents; ``counts`` and ``report`` start as the old ones."""

Eraser = Callable[[Store, Artifact, Erased], Rewriting | Fate]
"""Checks whether an artifact contains something of the documents, and decides what to do."""

Erasers = Mapping[str, Eraser]
"""By the name under which artifacts are published: the stage's own, and those of its pieces."""


def are_of(hashes: pa.Array | pa.ChunkedArray, texts: frozenset[bytes]) -> pa.Array:
    """Which ``content_sha256`` values are in ``texts``, as booleans."""
    n_digits = 2 * max((len(text) for text in texts), default=0)
    wanted = pa.array([text.hex() for text in texts], pa.string())
    return pc.is_in(pc.utf8_slice_codeunits(hashes, 0, n_digits), value_set=wanted)


Tables = Mapping[str, pa.Schema | Callable[[int], pa.Schema]]
"""The schema of each table, or a function that gives it for a vector size."""


class Of(StrEnum):
    """The kind of subject: the section of the config that names the subjects."""

    CORPUS = "corpora"
    MODEL = "models"
    VECTORS = "document_vectors"


class Keep(StrEnum):
    """How long retention keeps a stage's artifacts."""

    CORPUS = "the last accepted nights"
    MODEL = "champions, references, rollback targets, pins, pending candidates"
    RECORD = "as long as records"
    COMPARED = "while all that it compares is kept"
    SERVED = "while it is searched"
    PIECE = "while a kept artifact is put together from it"
    SOURCE = "while the vectors made from it are kept"


@dataclass(frozen=True)
class Parent:
    """A direct parent of an artifact: its stage and subject."""

    stage: str
    subject: str


@dataclass(frozen=True)
class Anchor:
    """A version of a model whose coordinates later versions keep to; it never moves by itself."""

    embeddings: str
    """Version of its embeddings."""
    digest: str
    """Digest of their manifest: two trainings of one version may differ in bytes."""


@dataclass(frozen=True)
class Planning:
    """What a stage may use to compute its identity.

    With ``is_offline`` no server is asked: remote files are those that the last plan fetched.
    """

    parents: Mapping[str, str]
    """Version of each parent, by stage."""
    progress: Progress = SILENT
    is_offline: bool = False
    anchors: Sequence[Anchor] = ()
    """Of a model: the versions that its vectors can keep to, the one that holds last."""


@dataclass(frozen=True)
class StageContext:
    """Everything that a stage needs to write one artifact."""

    identity: Identity
    staging: Staging
    base_dir: Path = Path()
    """Where relative paths of the config start."""
    progress: Progress = SILENT
    executor: Executor = INLINE
    """Where shards are processed."""
    n_workers: int = 1
    """Threads for training."""
    git_commit: str | None = None
    actor: str = ""

    @property
    def store(self) -> Store:
        """The store being written to, for reading."""
        return Store(self.staging.root)

    def parent(self, stage: str) -> Artifact:
        """The published parent of ``stage``. Raises KeyError when the identity has none."""
        return self.store.open(self.store.ref(stage, self.identity.parents[stage]))

    def find_parent(self, stage: str) -> Artifact | None:
        """The published parent of ``stage``; None when the identity has none."""
        return self.parent(stage) if stage in self.identity.parents else None


@dataclass(frozen=True)
class Wanted:
    """What is still needed of a stage."""

    unfinished: Collection[str]
    """Versions that a kept night planned and a later one may go on with: not those that are there,
    unless another night is running, which may be making one of them again."""
    kept: Collection[str]
    """Versions that stay."""
    is_quiet: bool
    """Whether no other night is running in the directory."""


@dataclass(frozen=True)
class Stage(ABC):
    """A stage of one subject. Subclasses set the class attributes and the four methods."""

    loaded: LoadedConfig
    subject: str

    name: ClassVar[str]
    """Name of its artifacts: the directory below the artifact store."""
    verb: ClassVar[str]
    """What it does, in one word; the name of the Prefect task."""
    of: ClassVar[Of]
    keep: ClassVar[Keep]
    about: ClassVar[str]
    """What it does, in a line of docs/artifacts.md."""
    tables: ClassVar[Tables]
    """Every table that an artifact may have."""
    files: ClassVar[tuple[str, ...]] = ()
    """Files other than tables."""
    page: ClassVar[str] = ""
    """The file for people to look at, if there is one."""
    pieces: ClassVar[Mapping[str, Tables]] = {}
    """Stages of the separately published pieces of its artifacts, with their tables."""
    uses_executor: ClassVar[bool] = False
    """Whether the executor processes its shards; otherwise the executor frees memory and cores."""
    erasers: ClassVar[Erasers] = {}
    """How a person's documents are erased from its artifacts."""
    is_served: ClassVar[bool] = False
    """Whether its inputs are what readers use (accepted corpus, champion), not tonight's."""

    @classmethod
    @abstractmethod
    def subjects(cls, config: NightjarConfig) -> Iterable[str]:
        """The subjects that ``config`` asks for, in its order."""

    @abstractmethod
    def parents(self) -> Iterable[Parent]:
        """The direct parents of the artifact."""

    @abstractmethod
    def identity(self, planning: Planning) -> Identity:
        """Everything that shapes the artifact. Reads external inputs, to hash them."""

    @abstractmethod
    def write(self, context: StageContext) -> None:
        """Write the artifact's tables, counts and report into ``context.staging``."""

    @property
    def config(self) -> NightjarConfig:
        """The complete configuration."""
        return self.loaded.config

    @property
    def subject_verb(self) -> str:
        """The verb for this subject, if it differs from the stage's."""
        return self.verb

    @property
    def label(self) -> str:
        """A readable label: "train glove"; the name of an only corpus is left out."""
        is_only = self.of is Of.CORPUS and len(self.config.corpora) == 1
        return self.subject_verb if is_only else f"{self.subject_verb} {self.subject}"

    def changed_input(self, planned: Identity) -> str:
        """What changed since ``planned`` was computed, by reading inputs again; "" for nothing.

        For stages whose inputs are not checked as they are read.
        """
        del planned
        return ""

    @classmethod
    def compared(cls, manifest: Manifest) -> Iterable[tuple[str, str]]:
        """Stage and version of what an artifact compares, for :attr:`Keep.COMPARED`."""
        return manifest.parents.items()

    def finish(self, ref: ArtifactRef) -> None:  # noqa: B027 (most have nothing to do)
        """Delete what was kept in case writing was killed, now that the artifact is published."""

    @classmethod
    def forget(cls, loaded: LoadedConfig, manifest: Manifest, *, is_dry_run: bool = False) -> int:
        """Delete what was logged elsewhere about an artifact that is about to be deleted.

        Returns the number of bytes deleted, or in a dry run, to be deleted.
        """
        del loaded, manifest, is_dry_run
        return 0

    @classmethod
    def surplus(cls, root: Path, wanted: Wanted) -> Iterable[Path]:
        """Leftover files of this stage below ``root`` that no planned work will resume."""
        del root, wanted
        return ()

    def named(self, error: NightjarError) -> NightjarError:
        """The error with the name of its corpus, as a key of the config."""
        if self.of is not Of.CORPUS or isinstance(error, StoreError):
            return error
        message = str(error)
        place = f"corpora.{self.subject}"
        if message.startswith(place):
            return error
        is_below = message.partition(".")[0] in ("sources", "tokenize", "cleaning")
        return type(error)(f"{place}{'.' if is_below else ': '}{message}")
