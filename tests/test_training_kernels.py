"""Compilation: the cache is named by the kernel sources, and no kernel leaves its arrays."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numba
import numpy as np
import pytest

from nightjar.training.kernels import compilation, sources_sha256
from nightjar.training.kernels.adagrad import draw_order
from nightjar.training.kernels.cooccurrence import sum_keys

_BOUNDS_CHECKED = """
import sys
from pathlib import Path
import numpy as np
from training_support import publish_tokens, sentences_with_distinct_counts, train_model
from nightjar.training.kernels.cooccurrence import sum_keys

tokens = publish_tokens(Path(sys.argv[1]), [["a"], [], *sentences_with_distinct_counts(8)])
for window, is_symmetric in ((3, True), (50, False)):
    train_model(
        tokens, Path(sys.argv[1]), "glove", window=window, symmetric=is_symmetric, n_workers=2
    )
try:
    sum_keys(np.arange(3), 0, np.ones(1, np.int64), np.empty(2, np.int64))
except IndexError:
    print("checked", sum_keys.stats.cache_path)
"""


def test_no_kernel_reads_or_writes_out_of_bounds(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _BOUNDS_CHECKED, str(tmp_path / "store")],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
        env=os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path / "cache")},
    )
    checked, cache_path = done.stdout.split()
    assert checked == "checked"
    # Unchecked machine code must not be picked up by a checking run, nor the reverse.
    assert Path(cache_path).is_relative_to(tmp_path / "cache")
    assert f"{sources_sha256()[:16]}-boundscheck" in cache_path


def test_cache_directory_is_named_by_the_kernel_sources() -> None:
    for kernel in (draw_order, sum_keys):
        assert sources_sha256()[:16] in kernel.stats.cache_path  # type: ignore[attr-defined]


def test_compiling_leaves_the_cache_of_other_libraries_alone() -> None:
    before = numba.config.CACHE_DIR

    @compilation.compiled()
    def double(value: float) -> float:
        return 2.0 * value

    assert double(4.0) == 8.0
    assert before == numba.config.CACHE_DIR


def test_machine_code_goes_to_a_private_directory_when_home_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    not_a_directory = tmp_path / "file"
    not_a_directory.touch()
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(not_a_directory))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    chosen = compilation._cache_dir.__wrapped__()
    assert chosen.is_relative_to(tmp_path)
    assert chosen.parent.stat().st_mode & 0o077 == 0

    # A directory that others may write to could hold machine code of theirs.
    chosen.parent.chmod(0o777)
    fresh = compilation._cache_dir.__wrapped__()
    assert fresh.is_relative_to(tmp_path)
    assert not fresh.is_relative_to(chosen.parent)


def test_division_by_zero_gives_infinity_as_in_numpy() -> None:
    @compilation.compiled()
    def divide(a: float, b: float) -> float:
        return a / b

    assert divide(1.0, 0.0) == np.inf
