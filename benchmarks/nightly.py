"""The cost of a complete night: wall time, the share of orchestration, peak memory, disk.

    python -m benchmarks.nightly --json FILE
    python -m benchmarks.nightly --nights 10 --data ../shared/data/imdb --json FILE

Runs the shipped configuration in a directory of its own: first with the embedded Prefect server and
nothing published, then again with nothing to do, then with another seed for one model against a
Prefect server that is already running. Orchestration is wall time minus the seconds of steps,
registrations and decisions in the night's record. Memory is the sampled sum of the resident sets of
the process and its children.

With ``--nights`` a text grows night by night instead: each night adds reviews from the Parquet
files in ``--data`` (columns ``id`` and ``text``), and disk usage is measured as well.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

PROJECT = Path(__file__).parents[1]
SAMPLE_SECONDS = 0.1
_RECORDS = "artifacts/pipelines/*/nights/*/night.json"


@dataclass(frozen=True)
class Measured:
    """One run of the command: seconds, and MB of memory at its peak."""

    what: str
    wall_seconds: float
    stage_seconds: float
    orchestration_seconds: float
    peak_tree_mb: float
    """The process and all its children, the embedded Prefect server included."""
    peak_process_mb: float
    """The ``nightjar`` process alone."""
    disk_mb: float
    """Size of the artifact directory afterwards, with hard links counted once."""
    n_promoted: int


class _MemorySampler:
    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.peak_tree = 0
        self.peak_process = 0
        self._thread.start()

    def _sample(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            try:
                own = self._process.memory_info().rss
                children = self._process.children(recursive=True)
                tree = own + sum(_resident(child) for child in children)
            except psutil.NoSuchProcess:
                return
            self.peak_process = max(self.peak_process, own)
            self.peak_tree = max(self.peak_tree, tree)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _measure(
    what: str, directory: Path, environment: Mapping[str, str], arguments: Sequence[str] = ()
) -> Measured:
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "nightjar.cli.main", "run", *arguments],
        cwd=directory,
        env={**environment, "PYTHONPATH": str(PROJECT)},
        stdin=subprocess.DEVNULL,
    )
    sampler = _MemorySampler(process.pid)
    code = process.wait()
    wall = time.monotonic() - started
    sampler.stop()
    if code != 0:
        raise SystemExit(f"{what}: nightjar run exited with {code}")
    night = json.loads(max(directory.glob(_RECORDS)).read_text())
    stages = sum(entry["seconds"] for entry in (*night["steps"], *night["decisions"]))
    return Measured(
        what,
        round(wall, 2),
        round(stages, 2),
        round(wall - stages, 2),
        round(sampler.peak_tree / 1e6),
        round(sampler.peak_process / 1e6),
        round(_bytes_on_disk(directory / "artifacts") / 1e6, 1),
        sum(entry["is_promoted"] for entry in night["decisions"]),
    )


def _bytes_on_disk(directory: Path) -> int:
    found = (path.lstat() for path in directory.rglob("*") if not path.is_dir())
    return sum({(entry.st_dev, entry.st_ino): entry.st_size for entry in found}.values())


def _growing(directory: Path, data: Path, n_nights: int, n_more: int) -> Iterator[Measured]:
    """``n_nights`` nights, each with ``n_more`` more reviews."""
    reviews = pa.concat_tables(
        pq.read_table(path, columns=["id", "text"]) for path in sorted(data.glob("*.parquet"))
    )
    if len(reviews) < n_nights * n_more:
        raise SystemExit(f"{data}: {len(reviews)} reviews, {n_nights * n_more} are needed")
    config = yaml.safe_load((PROJECT / "pipeline_config.yaml").read_text(encoding="utf-8"))
    source = {"type": "parquet", "path": "reviews/*.parquet", "id_column": "id"}
    config["corpora"] = {"reviews": {"kind": "text", "sources": {"imdb": source}}}
    (directory / "pipeline_config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    (directory / "reviews").mkdir()
    environment = _without_prefect()
    with _prefect_server(directory / "server") as url:
        for night in range(n_nights):
            part = reviews.slice(night * n_more, n_more)
            pq.write_table(part, directory / "reviews" / f"{night:02}.parquet")
            what = f"night {night + 1}, {(night + 1) * n_more:,} reviews"
            yield _measure(what, directory, {**environment, "PREFECT_API_URL": url})


def _without_prefect() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}


@contextmanager
def _prefect_server(home: Path) -> Iterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    process = subprocess.Popen(
        [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)],
        env={
            **os.environ,
            "PREFECT_HOME": str(home),
            "DO_NOT_TRACK": "true",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not _answers(url):
            if process.poll() is not None:
                raise SystemExit("the Prefect server did not start")
            time.sleep(0.5)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=2).is_success
    except httpx.HTTPError:
        return False


def _three_runs(directory: Path) -> list[Measured]:
    environment = _without_prefect()
    shutil.copy(PROJECT / "pipeline_config.yaml", directory)
    measured = [
        _measure("first run, embedded server", directory, environment),
        _measure("nothing to do", directory, environment),
    ]
    with _prefect_server(directory / "server") as url:
        with_server = {**environment, "PREFECT_API_URL": url}
        override = ["--promote", "--set", "models.word2vec-cbow.seed=2"]
        measured.append(_measure("one model, running server", directory, with_server, override))
    return measured


def main() -> None:
    """Run the measurements; print or write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--nights", type=int, help="so many nights of growing text instead")
    parser.add_argument("--data", type=Path, default=PROJECT / "../shared/data/imdb")
    parser.add_argument("--reviews", type=int, default=2_500, help="so many more each night")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nightjar-") as name:
        directory = Path(name)
        if options.nights:
            measured = list(_growing(directory, options.data, options.nights, options.reviews))
        else:
            measured = _three_runs(directory)
    report = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "runs": [asdict(run) for run in measured],
    }
    print(json.dumps(report, indent=1))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
