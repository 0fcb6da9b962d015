"""Versioned Parquet artifacts: what the stages publish and read.

``artifacts/<stage>/<version>/*.parquet`` and ``manifest.json``. A version is the hash of
everything that shapes the result (:mod:`~nightjar.store.fingerprint`), so "already
published" means "the same result". Publishing writes into a staging directory beside the
target, syncs, writes the manifest last and renames (:mod:`~nightjar.store.publishing`): a
directory without a manifest does not exist, and a published one is never modified. Opening
checks names and sizes, reading checks schemas and page checksums, verifying checks the hashes
(:mod:`~nightjar.store.opening`). A damaged one is set aside, never deleted
(:mod:`~nightjar.store.setting_aside`).
One run of a pipeline at a time holds the lease (:mod:`~nightjar.store.lease`).
"""

from nightjar.store.fingerprint import (
    FileIdentity,
    Identity,
    file_identity,
    fingerprint,
    library_versions,
)
from nightjar.store.lease import Lease, acquire_lease
from nightjar.store.local_disk import names, put_new, replace
from nightjar.store.manifest import ArtifactRef, FileEntry, Manifest
from nightjar.store.memory import release_free_memory
from nightjar.store.opening import Artifact, RowGroups, Store
from nightjar.store.publishing import Staging, environment, publish, remove_abandoned
from nightjar.store.setting_aside import set_aside
from nightjar.store.tables import (
    Compression,
    described_table,
    link_part,
    part_name,
    table_writer,
    write_part,
)
from nightjar.store.writing import named_write_errors, only_writes, sync

__all__ = [
    "Artifact",
    "ArtifactRef",
    "Compression",
    "FileEntry",
    "FileIdentity",
    "Identity",
    "Lease",
    "Manifest",
    "RowGroups",
    "Staging",
    "Store",
    "acquire_lease",
    "described_table",
    "environment",
    "file_identity",
    "fingerprint",
    "library_versions",
    "link_part",
    "named_write_errors",
    "names",
    "only_writes",
    "part_name",
    "publish",
    "put_new",
    "release_free_memory",
    "remove_abandoned",
    "replace",
    "set_aside",
    "sync",
    "table_writer",
    "write_part",
]
