"""Who runs which code, as recorded in manifests and the ledger."""

from __future__ import annotations

import getpass
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from nightjar.config import LoadedConfig

if TYPE_CHECKING:
    from nightjar.pipeline import Provenance


def read_provenance(loaded: LoadedConfig) -> Provenance:
    """Read the commit of the project that contains the config, the user and the worker threads."""
    from nightjar.pipeline import Provenance  # noqa: PLC0415 (imports every stage)

    return Provenance(
        git_commit=git_commit(loaded.base_dir),
        actor=actor(),
        n_workers=n_workers(loaded),
    )


def git_commit(directory: Path) -> str | None:
    """The commit checked out in ``directory``, ``+dirty`` with local changes; None without git."""
    try:
        commit = _git(directory, "rev-parse", "HEAD")
        changes = _git(directory, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{commit}+dirty" if changes else commit


def _git(directory: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(directory), *arguments],
        check=True,
        capture_output=True,
        text=True,
        timeout=10,
    )
    return done.stdout.strip()


def actor() -> str:
    """The user who runs this, as named in the ledger."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def _n_cores() -> int:
    """The number of cores this process may use; a container may have fewer than the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def n_workers(loaded: LoadedConfig) -> int:
    """The number of threads for a training: as configured, else one per core."""
    training = loaded.config.training
    if training.deterministic:
        return 1
    return training.workers or _n_cores()
