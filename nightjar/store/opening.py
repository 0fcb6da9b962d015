"""Opening, listing and verifying published artifacts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from nightjar.errors import ArtifactDamaged, ArtifactMissing, StoreError
from nightjar.store.fingerprint import VERSION_LENGTH, fingerprint, sha256_of
from nightjar.store.first_reading import damage_at_first_reading
from nightjar.store.local_disk import names
from nightjar.store.manifest import (
    MANIFEST_NAME,
    ArtifactRef,
    FileEntry,
    Manifest,
    read_created_at,
)
from nightjar.store.parquet import SUFFIX

_MAX_SHOWN = 5
_FEW_ROWS = 65_536
"""So many are decoded in this thread: starting others takes longer, and a process that ends right
after Arrow started threads aborts now and then (https://github.com/apache/arrow/issues/34314)."""
_UNREADABLE = (OSError, pa.ArrowException, UnicodeDecodeError)
"""What pyarrow raises on a damaged file."""
_VERSION_PATTERN = re.compile(rf"[0-9a-f]{{{VERSION_LENGTH}}}")


@dataclass(frozen=True)
class Artifact:
    """A published artifact whose manifest was read and whose file sizes were checked."""

    ref: ArtifactRef
    manifest: Manifest

    @property
    def directory(self) -> Path:
        """The directory of its files."""
        return Path(self.ref.path)

    def table_paths(self, table: str) -> list[Path]:
        """The files of ``table`` in order. Raises ArtifactMissing when there are none."""
        return [self.directory / entry.name for entry in self.parts(table)]

    def parts(self, table: str) -> list[FileEntry]:
        """The entries of ``<table>.parquet``, or of all ``<table>/*.parquet`` in order.

        Raises ArtifactMissing when the artifact has no such table.
        """
        found = self._parts(table)
        if not found:
            raise ArtifactMissing(f"{self.ref} has no table {table!r}")
        return found

    def has_table(self, table: str) -> bool:
        """Whether the manifest lists the table."""
        return bool(self._parts(table))

    def _parts(self, table: str) -> list[FileEntry]:
        whole, directory = f"{table}{SUFFIX}", f"{table}/"
        return sorted(
            (
                entry
                for entry in self.manifest.files
                if entry.name == whole or entry.name.startswith(directory)
            ),
            key=lambda entry: entry.name,
        )

    def file_path(self, name: str) -> Path:
        """Path of a file that is not a table.

        The first time, its bytes are compared with the manifest (:mod:`.first_reading`). Raises
        ArtifactMissing when there is none, ArtifactDamaged when it was changed.
        """
        sha256s = {entry.name: entry.sha256 for entry in self.manifest.files if entry.name == name}
        if not sha256s:
            raise ArtifactMissing(f"{self.ref} has no file {name!r}")
        root = self.directory.parents[1]
        for problem in damage_at_first_reading(root, self.directory, sha256s):
            raise _damaged(self.ref, problem)
        return self.directory / name

    def has_file(self, name: str) -> bool:
        """Whether the manifest lists ``name``."""
        return any(entry.name == name for entry in self.manifest.files)

    def rows(self, table: str) -> int:
        """Number of rows of ``table``, from the manifest."""
        return sum(entry.rows for entry in self.parts(table))

    def schema(self, table: str) -> pa.Schema:
        """The Arrow schema of ``table``."""
        with self._parquet_file(self.parts(table)[0]) as parquet:
            return parquet.schema_arrow

    def read(self, table: str, columns: list[str] | None = None) -> pa.Table:
        """Read the complete table into memory and check its schema against the manifest.

        Raises ArtifactMissing for a table or column that the artifact does not have,
        ArtifactDamaged when its pages cannot be read or fail their checksums.
        """
        found = []
        for entry in self.parts(table):
            with self._parquet_file(entry, columns) as parquet, _named_damage(self.ref, entry):
                found.append(parquet.read(columns, use_threads=_is_long(parquet)))
        return found[0] if len(found) == 1 else pa.concat_tables(found)

    def batches(
        self, table: str, columns: list[str] | None = None, batch_rows: int = 65_536
    ) -> Iterator[pa.RecordBatch]:
        """Stream a table in order; at most one row group and one batch are in memory.

        Raises as :meth:`read` does, once the damage is reached.
        """
        for entry in self.parts(table):
            yield from self.part_batches(entry, columns, batch_rows)

    def part_batches(
        self, part: FileEntry, columns: list[str] | None = None, batch_rows: int = 65_536
    ) -> Iterator[pa.RecordBatch]:
        """Stream one of the :meth:`parts` of a table."""
        with self._parquet_file(part, columns) as parquet:
            for group in range(parquet.num_row_groups):
                batches = parquet.iter_batches(batch_rows, [group], columns, _is_long(parquet))
                while True:
                    with _named_damage(self.ref, part):
                        batch = next(batches, None)
                    if batch is None:
                        break
                    yield batch

    @contextmanager
    def row_groups(self, table: str, columns: list[str] | None = None) -> Iterator[RowGroups]:
        """Open the row groups of ``table``, for one thread to read one by one in any order."""
        with ExitStack() as opened:
            parts = [
                (entry, opened.enter_context(self._parquet_file(entry, columns)))
                for entry in self.parts(table)
            ]
            yield RowGroups(self.ref, parts, columns)

    def _parquet_file(
        self, entry: FileEntry, columns: Sequence[str] | None = None
    ) -> pq.ParquetFile:
        missing = sorted(set(columns or ()) - set(entry.columns))
        if missing:
            raise ArtifactMissing(f"{self.ref}: {entry.name} has no column {', '.join(missing)}")
        with _named_damage(self.ref, entry):
            # Reading ahead is for object storage, and starts a thread.
            parquet = pq.ParquetFile(
                self.directory / entry.name, page_checksum_verification=True, pre_buffer=False
            )
            problem = _column_problem(entry, parquet.schema_arrow)
        if problem:
            parquet.close()
            raise _damaged(self.ref, problem)
        return parquet


def _is_long(parquet: pq.ParquetFile) -> bool:
    """Whether its columns are worth decoding in several threads."""
    return bool(parquet.metadata.num_rows > _FEW_ROWS)


class RowGroups:
    """The row groups of an open table, across all its parts."""

    def __init__(
        self,
        ref: ArtifactRef,
        parts: Sequence[tuple[FileEntry, pq.ParquetFile]],
        columns: list[str] | None,
    ) -> None:
        self._ref = ref
        self._columns = columns
        self._groups = [
            (entry, parquet, number)
            for entry, parquet in parts
            for number in range(parquet.num_row_groups)
        ]

    def __len__(self) -> int:
        """Number of row groups."""
        return len(self._groups)

    def sizes(self) -> list[int]:
        """Number of rows of each."""
        return [parquet.metadata.row_group(number).num_rows for _, parquet, number in self._groups]

    def read(self, number: int) -> pa.Table:
        """Read a row group into memory. Raises ArtifactDamaged when its pages cannot be read."""
        entry, parquet, group = self._groups[number]
        with _named_damage(self._ref, entry):
            return parquet.read_row_group(group, self._columns, use_threads=False)


class Store:
    """The artifact directory, for reading. Nothing here writes."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def ref(self, stage: str, version: str) -> ArtifactRef:
        """The reference of an artifact, published or not."""
        return ArtifactRef(stage, version, str((self.root / stage / version).absolute()))

    def is_published(self, stage: str, version: str) -> bool:
        """Whether that version has a manifest."""
        return _is_file(self.root / stage / version / MANIFEST_NAME)

    def open(self, ref: ArtifactRef) -> Artifact:
        """Read the manifest and check that every file exists in full length.

        Raises ArtifactMissing when nothing is published there, ArtifactDamaged when the files
        differ from the manifest.
        """
        directory = Path(ref.path)
        if not _is_file(directory / MANIFEST_NAME):
            raise ArtifactMissing(
                f"{ref}: nothing is published under this version in {self.root}; "
                f"'nightjar versions' lists what is"
            )
        manifest = self._manifest(ref)
        for entry in manifest.files:
            path = directory / entry.name
            size = path.stat().st_size if _is_file(path) else None
            if size != entry.bytes:
                found = "is missing" if size is None else f"has {size} bytes"
                raise _damaged(ref, f"{entry.name} {found}, the manifest says {entry.bytes}")
        return Artifact(ref, manifest)

    def replaced_parent(self, manifest: Manifest) -> str:
        """The stage of a parent that was made again and differs from what this was made of.

        Two trainings of one version may differ in bytes. "" when there is none; a parent that
        is gone, or from which documents were erased, is no other one.
        """
        for stage, version in manifest.parents.items():
            digest = manifest.parent_digests.get(stage)
            if digest is None or not self.is_published(stage, version):
                continue
            with suppress(ArtifactDamaged):  # 'nightjar verify' reports it
                parent = Manifest.read(self.root / stage / version)
                if digest not in (parent.digest, *parent.former_digests):
                    return stage
        return ""

    def versions(self, stage: str) -> list[ArtifactRef]:
        """Every published version of ``stage``, oldest first.

        Sorted by the time of publishing in the manifest, then by version; damaged manifests come
        first. Only the beginning of each manifest is read, a tenth of a millisecond each.
        """
        found = []
        for version in names(self.root / stage):
            if _VERSION_PATTERN.fullmatch(version):
                created_at = read_created_at(self.root / stage / version)
                if created_at is not None:
                    found.append((created_at, version))
        return [self.ref(stage, version) for _, version in sorted(found)]

    def stages(self) -> list[str]:
        """The stages with published artifacts, by name."""
        if not self.root.is_dir():
            return []
        return sorted(
            path.name
            for path in self.root.iterdir()
            if path.is_dir() and path.name[0] != "." and self.versions(path.name)
        )

    def find(self, prefix: str) -> ArtifactRef:
        """Find an artifact by ``stage/version`` or by the first digits of its version.

        Raises ArtifactMissing unless exactly one matches.
        """
        stage, slash, version = prefix.rpartition("/")
        if not version or "/" in stage or stage.startswith("."):
            raise ArtifactMissing(f"{prefix!r}: write STAGE/VERSION or the first digits of VERSION")
        stages = [stage] if slash else self.stages()
        matches = [
            ref for name in stages for ref in self.versions(name) if ref.version.startswith(version)
        ]
        if len(matches) == 1:
            return matches[0]
        if matches:
            shown = ", ".join(str(ref) for ref in matches[:_MAX_SHOWN])
            rest = f" and {len(matches) - _MAX_SHOWN} more" if len(matches) > _MAX_SHOWN else ""
            raise ArtifactMissing(f"{prefix}: more than one artifact matches: {shown}{rest}")
        raise ArtifactMissing(f"{prefix}: no artifact matches; 'nightjar versions' lists them")

    def verify(self, ref: ArtifactRef) -> list[str]:
        """Return what is wrong with an artifact, one line each; empty when it is intact.

        Reads every byte. Checks sizes, hashes, schemas, row counts, and that the version is the
        hash of the identity.
        """
        try:
            artifact = self.open(ref)
        except (ArtifactDamaged, ArtifactMissing) as error:
            return [str(error)]
        problems: list[str] = []
        if fingerprint(artifact.manifest.identity) != ref.version:
            problems.append(f"{ref}: the version is not the hash of the manifest's identity")
        for entry in artifact.manifest.files:
            problems += [f"{ref}: {problem}" for problem in self._file_problems(artifact, entry)]
        extra = {
            path.relative_to(artifact.directory).as_posix()
            for path in artifact.directory.rglob("*")
            if not path.is_dir()
        }
        extra -= {entry.name for entry in artifact.manifest.files} | {MANIFEST_NAME}
        problems += [f"{ref}: {name} is not in the manifest" for name in sorted(extra)]
        return problems

    @staticmethod
    def _file_problems(artifact: Artifact, entry: FileEntry) -> Iterator[str]:
        path = artifact.directory / entry.name
        try:
            if sha256_of(path) != entry.sha256:
                yield f"{entry.name} does not have the sha256 of the manifest"
                return
            if not entry.columns:  # not a table
                return
            metadata = pq.read_metadata(path)
            schema = metadata.schema.to_arrow_schema()
        except _UNREADABLE as error:
            yield f"{entry.name} cannot be read: {error}"
            return
        if metadata.num_rows != entry.rows:
            yield f"{entry.name} has {metadata.num_rows} rows, the manifest says {entry.rows}"
        problem = _column_problem(entry, schema)
        if problem:
            yield problem

    @staticmethod
    def _manifest(ref: ArtifactRef) -> Manifest:
        manifest = Manifest.read(Path(ref.path))
        if (manifest.stage, manifest.version) != (ref.stage, ref.version):
            raise _damaged(ref, f"its manifest is of {manifest.stage}/{manifest.version}")
        return manifest


def _column_problem(entry: FileEntry, schema: pa.Schema) -> str:
    """Describe how a file's columns, in order, differ from the manifest's; "" if they do not."""
    found = {column.name: str(column.type) for column in schema}
    if list(found.items()) == list(entry.columns.items()):
        return ""
    return f"{entry.name} has columns {found}, the manifest says {dict(entry.columns)}"


@contextmanager
def _named_damage(ref: ArtifactRef, part: FileEntry) -> Iterator[None]:
    try:
        yield
    except _UNREADABLE as error:
        raise _damaged(ref, f"{part.name} cannot be read: {error}") from error


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:
        raise StoreError(f"{path}: cannot be looked up ({error.strerror})") from error


def _damaged(ref: ArtifactRef, problem: str) -> ArtifactDamaged:
    return ArtifactDamaged(
        f"{ref} is damaged: {problem}. Set it aside with 'nightjar verify --set-aside' and run "
        f"again: it is rebuilt from its parents, or 'nightjar verify' says why not"
    )
