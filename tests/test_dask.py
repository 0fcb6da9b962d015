"""A corpus on a Dask cluster: the same bytes as on one machine, also when workers are lost."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from conftest import run_due
from distributed.comm import connect

pytest.importorskip("distributed", reason="the extra dask is not installed")
import dask
import distributed
import psutil
from distributed.utils import get_mp_context
from fork_support import COMMANDS
from kinds_support import KindsProject
from pieces_support import die, fail, pause, sleep

from nightjar.config import load_config
from nightjar.core.executors import (
    INLINE,
    STAGE_MODULES,
    Advance,
    DaskExecutor,
    local_cluster,
)
from nightjar.errors import ClusterUnavailable, ClusterUnfit, ConfigError, WorkerLost
from nightjar.pipeline import Provenance, make_plan, run_step
from nightjar.progress import SILENT
from nightjar.registry.client import import_mlflow
from nightjar.store import Artifact, Store, schemas
from nightjar.tasks import shard_workers as executors

import_mlflow()
# When a worker is killed at the very moment in which a connection to it is made, Dask drops the
# socket without closing it. Whoever collects garbage next is told.
UNCLOSED = "ignore:unclosed <ssl.SSLSocket:ResourceWarning"
pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings(UNCLOSED)]

WORDS = [f"w{number}" for number in range(400)]
PIPELINE = """
pipeline: {name: night}
corpora:
  text:
    kind: text
    sources:
      news: {type: jsonl, path: data/*.jsonl, id_field: id}
    near_duplicates: {threshold: 0.8}
    tokenize:
      phrases: {min_count: 1, threshold: 0.5, passes: 2}
models:
  glove: {trainer: glove, vector_size: 4, window: 5, min_count: 1, epochs: 1, seed: 1}
evaluation: {benchmarks: {w: {type: similarity, path: pairs.tsv}}}
registry: {gate: {benchmarks: [w], min_coverage: 0.0, margin: 0.1}}
"""


@pytest.fixture(scope="module", autouse=True)
def fast_starts() -> Iterator[None]:
    """Workers are forked from a process that has imported everything once: many are killed here.

    A night starts them from nothing; so does a test below.
    """
    with dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}):
        context = get_mp_context()  # type: ignore[no-untyped-call]  # sets what Dask imports first
        context.set_forkserver_preload(["distributed", *STAGE_MODULES])
        yield


@pytest.fixture(scope="module", autouse=True)
def dropped_sockets() -> Iterator[None]:
    """Sockets that Dask drops here are collected here, and not in the test that comes next."""
    yield
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        gc.collect()


@pytest.fixture
def client() -> Iterator[Any]:
    """Two workers, each a process with one thread, for one test: some are killed."""
    with local_cluster(2) as cluster, connected(cluster) as client:
        yield client


@pytest.fixture(scope="module")
def kept_client() -> Iterator[Any]:
    """The same for all tests that harm no worker."""
    with local_cluster(2) as cluster, connected(cluster) as client:
        yield client


def connected(cluster: Any, **options: Any) -> Any:
    return distributed.Client(cluster, set_as_default=False, **options)


def nothing(amount: float, note: str = "", /) -> None:
    """An Advance that nobody listens to."""


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pipeline with eight files, one of which repeats documents of others."""
    monkeypatch.setattr("nightjar.sources.file_groups.LARGE_BYTES", 1)
    for module in (
        "nightjar.stages.ingest.shard_reading",
        "nightjar.stages.ingest.merging",
        "nightjar.stages.tokenize.tokenize_stage",
    ):
        monkeypatch.setattr(f"{module}.INLINE_BYTES", 0)
    rng = random.Random(1)
    data = tmp_path / "data"
    data.mkdir()
    texts = [" ".join(rng.choices(WORDS, k=50)) + ". Bye." for _ in range(200)]
    for number in range(8):
        own = texts[number * 25 : number * 25 + 25]
        rows = [{"id": f"{number}-{i}", "text": text} for i, text in enumerate(own)]
        rows.append({"id": f"{number}-again", "text": rng.choice(texts)})
        content = "".join(json.dumps(row) + "\n" for row in rows)
        (data / f"{number}.jsonl").write_text(content, encoding="utf-8")
    (tmp_path / "pairs.tsv").write_text("w1\tw2\t1\nw3\tw4\t2\nw5\tw6\t3\n", encoding="utf-8")
    (tmp_path / "night.yaml").write_text(PIPELINE, encoding="utf-8")
    return tmp_path


def build(base: Path, store: str, executor: Any, *overrides: str) -> list[Artifact]:
    """Documents, tokens and co-occurrences."""
    loaded = load_config(base / "night.yaml", [f"pipeline.artifacts_dir={store}", *overrides])
    plan = make_plan(loaded)
    provenance = Provenance(git_commit=None, actor="test", n_workers=2)
    wanted = (schemas.DOCUMENTS, schemas.TOKENS, schemas.COOCCURRENCES)
    refs = [
        run_step(loaded, step, SILENT, provenance, executor)
        for step in plan.steps
        if step.stage in wanted
    ]
    assert [ref.stage for ref in refs] == list(wanted)
    return [Store(base / store).open(ref) for ref in refs]


def contents(artifacts: list[Artifact]) -> list[Any]:
    return [(artifact.ref.version, artifact.manifest.files) for artifact in artifacts]


def test_a_cluster_gives_the_versions_and_bytes_of_one_machine(
    base: Path, kept_client: Any
) -> None:
    with DaskExecutor(kept_client).checked(base / "cluster") as executor:
        on_cluster = build(base, "cluster", executor)
    here = build(base, "here", INLINE)
    assert contents(on_cluster) == contents(here)
    assert on_cluster[0].rows("documents") < 208  # some were duplicates
    assert on_cluster[2].manifest.report["runs_spilled"] == 8  # one of each part, on the workers
    for artifact in on_cluster:
        assert Store(base / "cluster").verify(artifact.ref) == []


def test_a_cluster_gives_nodes_and_items_the_bytes_of_one_machine(
    tmp_path: Path, kept_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nightjar.sources.tables.row_reading.INLINE_BYTES", 0)
    project = KindsProject(tmp_path / "project")
    provenance = Provenance(git_commit=None, actor="test", n_workers=2)

    def made(store: str, executor: Any) -> list[Artifact]:
        loaded = load_config(project.path, [f"pipeline.artifacts_dir={store}"])
        wanted = (schemas.GRAPH, schemas.EVENTS, schemas.TOKENS)
        steps = [step for step in make_plan(loaded).steps if step.stage in wanted]
        assert len(steps) == 4
        refs = [run_step(loaded, step, SILENT, provenance, executor) for step in steps]
        return [Store(loaded.artifacts_dir).open(ref) for ref in refs]

    used: set[str] = set()

    class Noting(DaskExecutor):
        def map(self, function: Any, pieces: Any, advance: Advance) -> Iterator[Any]:
            used.add(function.__name__)
            return super().map(function, pieces, advance)

    on_cluster = made("cluster", Noting(kept_client))
    assert used == {"read_row_shard", "walk_piece", "rank_piece"}
    assert contents(on_cluster) == contents(made("here", INLINE))


@pytest.mark.parametrize(
    ("overrides", "maps"),
    [
        ([], range(8)),  # read, merge, cut, two passes of phrases, count, join, co-occurrences
        (["corpora.text.tokenize.phrases=null"], [3]),  # read, merge, cut, *rank*, co-occurrences
    ],
)
def test_a_worker_that_is_killed_in_the_middle_costs_nothing_but_time(
    base: Path, client: Any, overrides: list[str], maps: Sequence[int]
) -> None:
    killed: list[int] = []
    numbers = count()

    class Killing(DaskExecutor):
        """Kills a worker when the first piece of some maps is done."""

        def map(self, function: Any, pieces: Any, advance: Advance) -> Iterator[Any]:
            number = next(numbers)
            for place, result in enumerate(super().map(function, pieces, advance)):
                if place == 0 and number in maps:
                    killed.append(min(pids(client) - set(killed)))
                    os.kill(killed[-1], signal.SIGKILL)
                yield result

    here = build(base, "here", INLINE, *overrides)
    on_cluster = build(base, "cluster", Killing(client), *overrides)
    assert len(killed) == len(maps)
    assert next(numbers) > max(maps)
    assert contents(on_cluster) == contents(here)
    left = [path for path in (base / "cluster").rglob(".*") if ".staging-" not in path.name]
    assert left == []


def test_two_clusters_on_one_machine_do_not_meet() -> None:
    here = psutil.Process()
    with local_cluster(1) as one, local_cluster(1) as other:  # a warning of Dask's is an error here
        assert one.scheduler_address != other.scheduler_address
        listening = [
            found.laddr.ip
            for process in (here, *here.children(recursive=True))
            for found in process.net_connections()
            if found.status == psutil.CONN_LISTEN
        ]
    assert set(listening) == {"127.0.0.1"}


def pids(client: Any) -> set[int]:
    """The processes of the workers that are there, or on their way."""
    return {nanny.pid for nanny in client.cluster.workers.values()} - {None}


def test_nobody_else_can_use_a_cluster_of_a_run() -> None:
    """Its scheduler and its workers run what they are sent; other users reach their ports, too."""
    with local_cluster(1) as cluster, cluster.get_client() as client:
        assert client.submit(sum, [1, 2]).result(timeout=60) == 3
        (worker,) = client.scheduler_info()["workers"]
        for address in (cluster.scheduler_address, worker):
            assert address.startswith("tls://127.0.0.1:")
            for scheme in ("tls://", "tcp://"):
                with pytest.raises((OSError, TimeoutError, TypeError)):
                    # No Client: one that failed is closed whenever it is collected, and if that
                    # is while this thread starts another one, Dask waits for itself.
                    asyncio.run(connect(address.replace("tls://", scheme), timeout=3))


def test_a_worker_that_is_lost_again_while_it_starts_is_started_again() -> None:
    # So soon that the worker cannot be back when Dask looks for it.
    with (
        dask.config.set(
            {
                "distributed.deploy.lost-worker-timeout": "10ms",
                "distributed.worker.multiprocessing-method": "spawn",
            }
        ),
        local_cluster(1) as cluster,
        connected(cluster) as client,
    ):
        executor = DaskExecutor(client)
        assert list(executor.map(fail, [2], nothing)) == [2]
        (first,) = pids(client)
        os.kill(first, signal.SIGKILL)
        while not pids(client) - {first}:
            time.sleep(0.01)
        (second,) = pids(client) - {first}
        os.kill(second, signal.SIGKILL)
        assert list(executor.map(fail, [3, 4], nothing)) == [3, 4]
        assert not pids(client) & {first, second}


def test_a_cluster_that_lost_its_workers_ends_the_stage_and_what_is_done_stays_done(
    base: Path, client: Any
) -> None:
    class Leaving(DaskExecutor):
        """Loses all workers when three pieces of the first stage are done."""

        def map(self, function: Any, pieces: Any, advance: Advance) -> Iterator[Any]:
            list(super().map(function, pieces[:3], advance))
            client.cluster.scale(0)
            yield from super().map(function, pieces, advance)

    with pytest.raises(WorkerLost, match=r"has had no worker for 5 seconds; .* stays done"):
        build(base, "cluster", Leaving(client, patience_seconds=5))
    shards = base / "cluster" / schemas.DOCUMENT_SHARDS
    done = {path: path.stat().st_ino for path in shards.glob("*/manifest.json")}
    assert len(done) == 3
    client.cluster.scale(2)
    on_cluster = build(base, "cluster", DaskExecutor(client))
    assert contents(on_cluster) == contents(build(base, "here", INLINE))
    assert {path: path.stat().st_ino for path in done} == done
    assert len(list(shards.glob("*/manifest.json"))) == 8


def test_workers_that_are_paused_end_what_they_are_at_and_no_more() -> None:
    with (
        dask.config.set({"distributed.worker.memory.pause": False}),  # or it goes on by itself
        local_cluster(1) as cluster,
        connected(cluster) as client,
    ):
        executor = DaskExecutor(client, patience_seconds=2)
        assert list(executor.map(pause, [3.0], nothing)) == [3.0]
        with pytest.raises(WorkerLost, match=r"no worker for 2 seconds; 1 are paused"):
            list(executor.map(fail, [2], nothing))


def test_a_piece_that_kills_every_worker_is_given_up(client: Any) -> None:
    with pytest.raises(WorkerLost, match="several workers at the same piece"):
        list(DaskExecutor(client).map(die, [1], nothing))


def test_an_error_of_a_piece_is_the_error(kept_client: Any) -> None:
    executor = DaskExecutor(kept_client)
    with pytest.raises(ValueError, match="piece 1 is bad"):
        list(executor.map(fail, list(range(20)), nothing))
    told: list[float] = []
    results = list(executor.map(fail, [5, 3, 4], lambda amount, note="": told.append(amount)))
    assert (results, sorted(told)) == ([5, 3, 4], [3, 4, 5])


CLUSTER = """
import distributed
if __name__ == "__main__":
    how = {"dashboard_address": "127.0.0.1:0", "scheduler_kwargs": {"dashboard": False}}
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, **how) as cluster:
        print(cluster.scheduler_address, flush=True)
        input()
"""


@pytest.fixture
def elsewhere() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A cluster in another process, and the address of its scheduler."""
    paths = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]
    with subprocess.Popen(
        [sys.executable, "-c", CLUSTER],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (signal.SIGKILL, r"the Dask scheduler at tcp://\S+ ended, or the connection to it"),
        (signal.SIGSTOP, r"the Dask scheduler at tcp://\S+ has not answered for 15 seconds"),
    ],
)
def test_a_scheduler_that_ends_or_stands_still_in_the_middle_is_named(
    elsewhere: tuple[subprocess.Popen[str], str], number: signal.Signals, message: str
) -> None:
    process, address = elsewhere
    with connected(address, timeout=5) as client:
        executor = DaskExecutor(client, patience_seconds=15)  # on a busy machine 5 are too few
        results = executor.map(sleep, [0.0, 600.0], nothing)
        assert next(results) == 0.0
        process.send_signal(number)
        with pytest.raises(ClusterUnavailable, match=message):
            next(results)
        with pytest.raises(ClusterUnavailable, match="the Dask scheduler at tcp"):
            _ = executor.n_workers
        process.kill()
        while client.status != "closed":  # until it has tried in vain to connect again
            time.sleep(0.1)
        with pytest.raises(ClusterUnavailable, match="the Dask scheduler at tcp"):
            list(executor.map(sleep, [0.0], nothing))
        with pytest.raises(ClusterUnavailable, match="the Dask scheduler at tcp"):
            _ = executor.n_workers


def test_workers_that_do_not_start_in_time_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nightjar.core.executors.cluster._START_SECONDS", 0.01)
    with (
        pytest.raises(ClusterUnavailable, match="the 1 Dask workers of this run did not start"),
        local_cluster(1),
    ):
        pass


def test_workers_without_the_storage_are_unfit(
    kept_client: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    monkeypatch.setattr(Path, "touch", lambda path: None)  # so no worker can see it
    with (
        pytest.raises(ClusterUnfit, match=r"does not see .*storage that all workers share"),
        DaskExecutor(kept_client).checked(tmp_path),
    ):
        pass


def test_a_night_runs_on_a_cluster_of_its_own_and_then_has_nothing_to_do_here(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(base)
    environment = {**os.environ, "PREFECT_HOME": str(base / "prefect")}
    override = "execution={engine: dask, n_workers: 1}"
    arguments = ["run", "--config", "night.yaml", "--set", override]
    done = COMMANDS.run(arguments, environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert run_due(base / "night.yaml") == []


def test_a_scheduler_that_does_not_answer_is_named(
    base: Path, kept_client: Any, monkeypatch: Any
) -> None:
    """A notebook may have a client of its own: that one's cluster is not the configured one."""
    monkeypatch.setattr("distributed.client._global_clients", {0: kept_client})
    monkeypatch.setattr(executors, "CONNECT_SECONDS", 1)
    override = "execution={engine: dask, address: 'tcp://127.0.0.1:9'}"
    loaded = load_config(base / "night.yaml", [override])
    with (
        pytest.raises(
            ClusterUnavailable, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"
        ),
        executors.use_executor(loaded, 2),
    ):
        pass
    assert executors.current_executor() is None


@pytest.mark.parametrize(
    ("execution", "message"),
    [
        ("spark", "execution.engine"),
        ("{address: 'tcp://a:1'}", "address and n_workers are for engine: dask"),
        ("{engine: dask, address: 'tcp://a:1', n_workers: 2}", "n_workers is for a local cluster"),
    ],
)
def test_execution_is_checked_when_the_config_is_read(
    base: Path, execution: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(base / "night.yaml", [f"execution={execution}"])
