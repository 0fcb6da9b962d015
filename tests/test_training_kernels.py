"""Compilation: the cache is named by the kernel sources, and no kernel leaves its arrays."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numba
import numpy as np
import pytest

from nightjar.kernels import compilation, machine_code
from nightjar.kernels.adagrad import draw_order
from nightjar.kernels.cooccurrence_counts import sum_keys

_BOUNDS_CHECKED = """
import sys
from pathlib import Path
import numpy as np
import pyarrow as pa
from nightjar.config import TokenizeConfig
from nightjar.stages.ingest.duplicates import signatures_of
from nightjar.stages.tokenize.word_ids import WordCutter
from training_support import publish_tokens, sentences_with_distinct_counts, train_model
from nightjar.kernels.cooccurrence_counts import sum_keys

tokens = publish_tokens(Path(sys.argv[1]), [["a"], [], *sentences_with_distinct_counts(8)])
for window, is_symmetric in ((3, True), (50, False)):
    train_model(
        tokens, Path(sys.argv[1]), "glove", window=window, symmetric=is_symmetric, n_workers=2
    )
texts = ["", "a", "Its 3.14. \\u4e00 x" * 40, "...", "caf\\u00e9 " * 9]
texts = pa.array(texts, pa.large_string())
cutter = WordCutter(TokenizeConfig(), lambda: None)
assert cutter.cut(texts).lengths.sum() == cutter.vocabulary().column("count").to_numpy().sum()
assert signatures_of(texts, 3).shape == (5, 128)
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
        env=os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_OPT": "0"},  # numba caches none of it
    )
    checked, cache_path = done.stdout.split(maxsplit=1)
    assert checked == "checked"
    # Unchecked machine code must not be picked up by a checking run, nor the reverse.
    assert f"{machine_code._sources_sha256()[:16]}-boundscheck" in cache_path


def test_cache_directory_is_named_by_the_kernel_sources() -> None:
    for kernel in (draw_order, sum_keys):
        assert machine_code._sources_sha256()[:16] in kernel.stats.cache_path  # type: ignore[attr-defined]


def test_another_installation_of_the_same_kernels_finds_their_machine_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = machine_code._Place.get_suitable_cache_subpath(compilation.__file__)
    monkeypatch.setattr(machine_code, "_OWN", tmp_path / "kernels")
    there = str(tmp_path / "kernels" / "compilation.py")
    assert machine_code._Place.get_suitable_cache_subpath(there) == here == "kernels"
    assert machine_code._Place.get_suitable_cache_subpath(compilation.__file__) != here


def test_compiling_leaves_the_cache_of_other_libraries_alone() -> None:
    before = numba.config.CACHE_DIR

    @compilation.compiled()
    def double(value: float) -> float:
        return 2.0 * value

    assert double(4.0) == 8.0
    assert before == numba.config.CACHE_DIR


def test_machine_code_goes_to_a_private_directory_when_home_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    not_a_directory = tmp_path / "file"
    not_a_directory.touch()
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(not_a_directory))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    chosen = machine_code._cache_dir.__wrapped__()
    assert chosen is not None
    assert chosen.is_relative_to(tmp_path)
    assert chosen.parent.stat().st_mode & 0o077 == 0

    # A directory that others may write to could hold machine code of theirs.
    chosen.parent.chmod(0o777)
    assert machine_code._cache_dir.__wrapped__() is None
    assert "NUMBA_CACHE_DIR" in caplog.text


_COLD = """
import sys, tempfile, time
import numpy as np
BEFORE
from nightjar.kernels.adagrad import draw_order
from nightjar.kernels.machine_code import _cache_dir
from nightjar.kernels.phrase_counting import count_equal
while time.time() < float(sys.argv[1]):
    time.sleep(0.001)
keys, counts = np.array([3, 3, 5, 5, 5], np.uint64), np.empty(5, np.int64)
n = count_equal(keys, np.array([0, 5], np.int64), counts)
cells = np.arange(100, dtype=np.int32)
order = draw_order(cells, cells, np.uint64(7))
print(counts[:n].tolist(), order.tolist(), sorted(order.tolist()) == cells.tolist())
print("numba.np.linalg" in sys.modules, _cache_dir(), file=sys.stderr)
"""


def start_cold(at: float, environment: dict[str, str], before: str = "") -> subprocess.Popen[str]:
    """A process that uses kernels when it is ``at`` (seconds since 1970)."""
    return subprocess.Popen(
        [sys.executable, "-B", "-c", _COLD.replace("BEFORE", before), str(at)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
        env=environment,
    )


def test_two_processes_that_start_cold_at_once_end_the_same_and_a_third_compiles_nothing(
    tmp_path: Path,
) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    at = time.time() + 3
    both = [start_cold(at, environment) for _ in range(2)]
    outputs = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert outputs[0][0] == outputs[1][0]
    assert outputs[0][0].startswith("[2, 3] ")
    assert outputs[0][0].endswith(" True\n")
    assert outputs[0][1].startswith("True ")  # the compiler was prepared
    files = machine_code_files(tmp_path / "cache")
    assert {path.name.partition("-")[0] for path in files} >= {
        "adagrad.draw_order",
        "phrase_counting.count_equal",
    }
    warm = start_cold(0, environment)
    output, trouble = warm.communicate(timeout=120)
    assert warm.returncode == 0, trouble
    assert output == outputs[0][0]
    assert trouble.startswith("False ")
    assert machine_code_files(tmp_path / "cache") == files


def machine_code_files(directory: Path) -> dict[Path, int]:
    """The files of machine code and when each was written."""
    return {path: path.stat().st_mtime_ns for path in directory.rglob("*.nbc")}


def test_kernels_compile_where_neither_home_nor_any_cache_can_be_written(tmp_path: Path) -> None:
    nowhere = tmp_path / "file"
    nowhere.touch()
    # Not even root can make a directory below a file.
    environment = {
        **{k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"},
        "HOME": str(nowhere),
        "XDG_CACHE_HOME": str(nowhere),
    }
    process = start_cold(0, environment, "tempfile.tempdir = '/proc/none'")
    output, trouble = process.communicate(timeout=120)
    assert process.returncode == 0, trouble
    assert output.startswith("[2, 3] ")
    assert "no directory for compiled kernels can be written" in trouble
    assert trouble.splitlines()[-1] == "True None"


_CLOSURES = """
import os, sys, time
from numba.core.caching import IndexDataCacheFile
from nightjar.kernels.compilation import compiled

def make(n):
    @compiled()
    def times(value):
        total = 0.0
        for _ in range(n):
            total += value
        return total
    return times

kernels = {n: make(n) for n in (2, 3, 5)}
if len(sys.argv) == 1:
    load_index = IndexDataCacheFile._load_index

    def load_index_slowly(self):
        index = load_index(self)
        time.sleep(0.3)
        return index

    IndexDataCacheFile._load_index = load_index_slowly
    children = []
    for n, kernel in kernels.items():
        child = os.fork()
        if child == 0:
            os._exit(0 if kernel(1.5) == 1.5 * n else 1)
        children.append(child)
    assert all(os.waitpid(child, 0)[1] == 0 for child in children)
    sys.exit()
for n, kernel in kernels.items():
    assert kernel(1.5) == 1.5 * n, (n, kernel(1.5))
    assert sum(kernel.stats.cache_hits.values()) == 1, n
"""


def test_kernels_of_one_factory_never_meet_in_the_cache(tmp_path: Path) -> None:
    script = tmp_path / "closures.py"
    script.write_text(_CLOSURES, encoding="utf-8")
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    for arguments in ([], ["again"]):
        command = [sys.executable, "-W", "ignore", str(script), *arguments]
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
    assert len(machine_code_files(tmp_path / "cache")) == 3


def test_damaged_machine_code_is_compiled_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(machine_code, "_cache_dir", lambda: tmp_path)

    def cache_hits() -> int:
        """Of the kernel in a process that has just started."""

        @compilation.compiled()
        def double(value: float) -> float:
            return 2.0 * value

        assert double(4.0) == 8.0
        hits: int = sum(double.stats.cache_hits.values())  # type: ignore[attr-defined]
        return hits

    assert [cache_hits(), cache_hits()] == [0, 1]
    assert caplog.text == ""
    for pattern in ("*.nbc", "*.nbi"):
        (damaged,) = tmp_path.rglob(pattern)
        damaged.write_bytes(damaged.read_bytes()[:40])
        assert [cache_hits(), cache_hits()] == [0, 1]
        assert "compiled again" in caplog.text
        caplog.clear()


def test_a_disk_that_refuses_machine_code_stops_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(machine_code, "_cache_dir", lambda: tmp_path / "cache")

    @compilation.compiled()
    def triple(value: float) -> float:
        return 3.0 * value

    shutil.rmtree(tmp_path / "cache")
    (tmp_path / "cache").touch()
    assert triple(4.0) == 12.0
    assert "cannot be written, compiled in every run" in caplog.text


def test_directories_of_former_sources_go_when_they_were_not_used_for_a_week(
    tmp_path: Path,
) -> None:
    now, day = time.time(), 86_400
    ages = {"a": 1, "b": 2, "c": 8, "d": 9, "e": 10, "f": 5}
    for name, days in ages.items():
        directory = tmp_path / (name * 16 + "-0000")
        (directory / "kernels").mkdir(parents=True)
        os.utime(directory, (now - days * day, now - days * day))
    (tmp_path / "not-ours").mkdir()
    os.utime(tmp_path / "not-ours", (0, 0))
    machine_code._remove_unused(tmp_path / ("e" * 16 + "-0000"))
    left = sorted(path.name[0] for path in tmp_path.iterdir())
    assert left == ["a", "b", "e", "f", "n"]


def test_division_by_zero_gives_infinity_as_in_numpy() -> None:
    @compilation.compiled()
    def divide(a: float, b: float) -> float:
        return a / b

    assert divide(1.0, 0.0) == np.inf
