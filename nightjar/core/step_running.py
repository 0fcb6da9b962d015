"""Running one due step: the stage writes, the store publishes under the step's version.

A step's peak memory is measured, too. Linux has a high-water mark that can be reset (proc(5),
``clear_refs``); elsewhere the mark of the entire process is used. Both are read, not sampled.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from nightjar.config import LoadedConfig
from nightjar.core.executors import STAGE_MODULES, Executor, ProcessExecutor
from nightjar.core.plan import Step
from nightjar.core.stage import Stage, StageContext, Tables
from nightjar.errors import NightjarError, SourceChanged
from nightjar.progress import Progress
from nightjar.store import ArtifactRef, Staging, Store, publish

_STATUS, _CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


@dataclass
class MemoryPeak:
    """Set when the block ends."""

    bytes: int = 0


@contextmanager
def memory_peak() -> Iterator[MemoryPeak]:
    """Measure the block's peak resident size, in this process without its children."""
    peak = MemoryPeak()
    with suppress(OSError):
        _CLEAR_REFS.write_text(_RESET_PEAK, encoding="ascii")
    try:
        yield peak
    finally:
        peak.bytes = _high_water_mark()


def _high_water_mark() -> int:
    try:
        lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return found if sys.platform == "darwin" else 1024 * found
    marks = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return 1024 * int(marks[0]) if marks else 0


@dataclass(frozen=True)
class Provenance:
    """Who runs a night, from which code, with how many threads (``n_workers``)."""

    git_commit: str | None
    actor: str
    n_workers: int


def run_step(
    loaded: LoadedConfig,
    step: Step,
    progress: Progress,
    provenance: Provenance,
    executor: Executor | None = None,
) -> ArtifactRef:
    """Run ``step`` and publish its artifact; its parents must be published.

    A version that is published already (by another run, meanwhile) is returned as it is, unless
    its parent was made again with other bytes.
    ``executor`` is where shards are worked on; None: processes of this machine, for this step.
    Raises what the stage raises, with the corpus named where it is about one.
    """
    store = Store(loaded.artifacts_dir)
    if store.is_published(step.stage, step.ref.version):
        published = store.open(step.ref)
        if not store.replaced_parent(published.manifest):
            return published.ref
    if executor is not None and not step.work.uses_executor:
        executor.release()  # training needs the memory and the cores

    def write(staging: Staging) -> None:
        with _opened(executor, provenance.n_workers) as shards:
            step.work.write(
                StageContext(
                    identity=step.identity,
                    staging=staging,
                    base_dir=loaded.base_dir,
                    progress=progress,
                    executor=shards,
                    n_workers=provenance.n_workers,
                    git_commit=provenance.git_commit,
                    actor=provenance.actor,
                )
            )
        _check_inputs(step)
        check_tables(step.work, staging.schemas)

    try:
        ref = publish(loaded.artifacts_dir, step.identity, write, provenance.git_commit)
    except NightjarError as error:
        raise step.work.named(error) from error
    step.work.finish(ref)
    return ref


@contextmanager
def _opened(executor: Executor | None, n_workers: int) -> Iterator[Executor]:
    if executor is not None:
        yield executor
        return
    with ProcessExecutor(n_workers, STAGE_MODULES) as processes:
        yield processes


def _check_inputs(step: Step) -> None:
    """Reject an artifact made from a file that was edited between planning and reading."""
    changed = step.work.changed_input(step.identity)
    if changed:
        raise SourceChanged(f"{changed} changed since the run was planned; run again")


def check_tables(stage: Stage, written: Mapping[str, pa.Schema]) -> None:
    """Raise TypeError for a table that the stage does not declare, or with other columns."""
    for table, schema in written.items():
        expected = _declared(stage.tables, table, schema)
        if expected is None:
            raise TypeError(f"{stage.name} declares no table {table!r}")
        if not schema.equals(expected):
            raise TypeError(f"{stage.name}.{table} is {schema}, declared is {expected}")


def _declared(tables: Tables, table: str, written: pa.Schema) -> pa.Schema | None:
    declared = tables.get(table)
    if declared is None or isinstance(declared, pa.Schema):
        return declared
    sizes = {
        column.type.list_size for column in written if pa.types.is_fixed_size_list(column.type)
    }
    return declared(max(sizes, default=1))
