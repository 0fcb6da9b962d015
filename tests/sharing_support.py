"""Set-up that is made once in a run of the tests, whichever worker needs it first."""

from __future__ import annotations

import fcntl
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

Made = TypeVar("Made")


def base_of_all_workers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of this run of the tests, the same in every worker."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if base.name.startswith("popen-") else base


def shared(
    tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], Made]
) -> Made:
    """What ``make`` returns, called in one process of the run alone; others wait and get a copy.

    ``make`` gets a directory of its own, which stays as it is: nobody may write there afterwards.
    The result must be picklable.
    """
    base = base_of_all_workers(tmp_path_factory)
    path = base / f"shared-{name}"
    with (base / f"shared-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = path / "made.pickle"
        if not made.exists():
            directory = path / f"by-{len(list(path.glob('by-*')))}"  # one that failed is left
            directory.mkdir(parents=True)
            found = make(directory)
            made.with_suffix(".new").write_bytes(pickle.dumps(found))
            made.with_suffix(".new").rename(made)
        result: Made = pickle.loads(made.read_bytes())  # we have just written it
    return result
