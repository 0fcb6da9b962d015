"""A corpus on a Dask cluster: the same bytes as on one machine, also when workers are lost."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("distributed", reason="the extra dask is not installed")

from nightjar import schemas
from nightjar.config import load_config
from nightjar.errors import ClusterUnavailable, ClusterUnfit, ConfigError, WorkerLost
from nightjar.executors import Advance, DaskExecutor
from nightjar.pipeline import Provenance, make_plan, run_step
from nightjar.progress import SILENT
from nightjar.registry.client import import_mlflow
from nightjar.store import Artifact, Store
from tasks import executors

import_mlflow()
pytestmark = pytest.mark.integration

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
registry: {gate: {benchmarks: [w], min_coverage: 0.0, max_drop: 0.1}}
"""


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Two workers, each a process with one thread."""
    import distributed  # noqa: PLC0415

    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pipeline with eight files, one of which repeats documents of others."""
    monkeypatch.setattr("nightjar.corpus.sharding.LARGE_BYTES", 1)
    for module in ("nightjar.corpus.stage", "nightjar.corpus.merging", "nightjar.text.stage"):
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


def test_a_cluster_gives_the_versions_and_bytes_of_one_machine(base: Path, client: Any) -> None:
    with DaskExecutor(client).checked(base / "cluster") as executor:
        on_cluster = build(base, "cluster", executor)
    here = build(base, "here", None)
    assert contents(on_cluster) == contents(here)
    assert on_cluster[0].rows("documents") < 208  # some were duplicates
    assert on_cluster[2].manifest.report["runs_spilled"] == 8  # one of each part, on the workers
    for artifact in on_cluster:
        assert Store(base / "cluster").verify(artifact.ref) == []


@pytest.mark.parametrize(
    ("overrides", "n_maps"),
    [
        ([], 8),  # read, merge, cut, two passes of phrases, count, join, co-occurrences
        (["corpora.text.tokenize.phrases=null"], 5),  # read, merge, cut, rank, co-occurrences
    ],
)
def test_a_worker_that_is_killed_in_the_middle_costs_nothing_but_time(
    base: Path, client: Any, overrides: list[str], n_maps: int
) -> None:
    killed: list[int] = []

    class Killing(DaskExecutor):
        """Kills a worker when the first piece of each stage is done."""

        def map(self, function: Any, pieces: Any, advance: Advance) -> Iterator[Any]:
            for place, result in enumerate(super().map(function, pieces, advance)):
                if place == 0 and len(killed) < 9:
                    processes = client.run(os.getpid)
                    killed.append(min(processes.values()))
                    os.kill(killed[-1], signal.SIGKILL)
                yield result

    here = build(base, "here", None, *overrides)
    on_cluster = build(base, "cluster", Killing(client), *overrides)
    assert len(killed) == n_maps
    assert contents(on_cluster) == contents(here)
    left = [path for path in (base / "cluster").rglob(".*") if ".staging-" not in path.name]
    assert left == []


def die(piece: int, advance: Advance) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_piece_that_kills_every_worker_is_given_up(client: Any) -> None:
    with pytest.raises(WorkerLost, match="several workers at the same piece"):
        list(DaskExecutor(client).map(die, [1], lambda amount, note="": None))


def fail(piece: int, advance: Advance) -> int:
    if piece == 1:
        raise ValueError("piece 1 is bad")
    time.sleep(0.05)
    advance(piece)
    return piece


def test_an_error_of_a_piece_is_the_error(client: Any) -> None:
    with pytest.raises(ValueError, match="piece 1 is bad"):
        list(DaskExecutor(client).map(fail, list(range(20)), lambda amount, note="": None))
    told: list[float] = []
    results = list(
        DaskExecutor(client).map(fail, [5, 3, 4], lambda amount, note="": told.append(amount))
    )
    assert (results, sorted(told)) == ([5, 3, 4], [3, 4, 5])


def test_workers_without_the_storage_are_unfit(
    client: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    monkeypatch.setattr(Path, "touch", lambda path: None)  # so no worker can see it
    with (
        pytest.raises(ClusterUnfit, match=r"does not see .*storage that all workers share"),
        DaskExecutor(client).checked(tmp_path),
    ):
        pass


def nightjar(base: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments, "--config", "night.yaml"],
        check=False,
        capture_output=True,
        text=True,
        cwd=base,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "PREFECT_HOME": str(base / "prefect"),
        },
    )


def test_a_night_runs_on_a_cluster_of_its_own_and_then_has_nothing_to_do_here(base: Path) -> None:
    done = nightjar(base, "run", "--set", "execution=dask")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "night-glove" in (base / "artifacts").joinpath("mlflow").as_posix() or done.stdout
    again = nightjar(base, "run")
    assert "Nothing to do" in again.stdout


def test_a_scheduler_that_does_not_answer_is_named(base: Path, monkeypatch: Any) -> None:
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
