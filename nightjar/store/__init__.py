"""Versioned Parquet artifacts: what the stages publish and read.

``artifacts/<stage>/<version>/*.parquet`` and ``manifest.json``. A version is the hash of everything
that shapes the result (:mod:`.fingerprint`), so "already published" means "the same result".
Publishing writes into a staging directory beside the target, syncs, writes the manifest last and
renames (:mod:`.publishing`): a directory without a manifest does not count as an artifact, and a
published artifact is never modified. Opening checks names and sizes, reading checks schemas and
page checksums, and verifying checks the hashes (:mod:`.opening`). Files without checksums are read
in full the first time that they are used (:mod:`.first_reading`). A damaged artifact is set aside,
never deleted (:mod:`.setting_aside`). Where the exact bytes matter, :attr:`Manifest.digest`
accompanies the version.

A process shows that it is alive by holding a file (:mod:`.holding`): a run of a pipeline holds its
lease (:mod:`.lease`), a writer the file of its staging directory.

:mod:`.local_disk` is the contract with the storage: put a new object (:func:`put_new`) or
directory, :func:`replace` one, list :func:`names`, :func:`delete`, link a part. An object is
complete and synced before its name appears, and only one of several writers gets a new name.
Nothing else is assumed: no rename, no hard link, no modification time. Whether something has been
idle long enough to be removed is decided from what earlier nights saw (:mod:`.idleness`).
"""

from nightjar.store.fingerprint import (
    FileIdentity,
    Identity,
    file_identity,
    fingerprint,
    library_versions,
)
from nightjar.store.first_reading import damage_at_first_reading, forget_deleted
from nightjar.store.idleness import idle_names
from nightjar.store.lease import Lease, acquire_lease, is_held, waited_lease
from nightjar.store.local_disk import delete, names, put_new, remove_unfinished, replace
from nightjar.store.manifest import BY_HAND, ArtifactRef, FileEntry, Manifest
from nightjar.store.memory import release_free_memory
from nightjar.store.opening import Artifact, RowGroups, Store
from nightjar.store.parquet import (
    Compression,
    described_table,
    link_part,
    part_name,
    table_writer,
    write_part,
)
from nightjar.store.publishing import Staging, environment, publish, remove_abandoned, rewrite
from nightjar.store.setting_aside import SET_ASIDE_DIR, set_aside
from nightjar.store.writing import named_write_errors, only_writes, sync

__all__ = [
    "BY_HAND",
    "SET_ASIDE_DIR",
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
    "damage_at_first_reading",
    "delete",
    "described_table",
    "environment",
    "file_identity",
    "fingerprint",
    "forget_deleted",
    "idle_names",
    "is_held",
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
    "remove_unfinished",
    "replace",
    "rewrite",
    "set_aside",
    "sync",
    "table_writer",
    "waited_lease",
    "write_part",
]
