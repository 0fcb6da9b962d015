"""What a whole night costs: wall time, orchestration's share, peak memory.

    python -m benchmarks.nightly --json FILE

Runs the shipped configuration in a directory of its own: first with the embedded Prefect
server and nothing published, then again with nothing to do, then with another seed for one
model against a Prefect server that is already running. Orchestration is wall time less the
seconds that the stages say they took (their manifests). Memory is the sum of the resident
sets of the process and its children, sampled.
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

PROJECT = Path(__file__).parents[1]
SAMPLE_SECONDS = 0.1


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
    before = _manifests(directory)
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "run", *arguments],
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
    stages = sum(seconds for path, seconds in _manifests(directory).items() if path not in before)
    return Measured(
        what,
        round(wall, 2),
        round(stages, 2),
        round(wall - stages, 2),
        round(sampler.peak_tree / 1e6),
        round(sampler.peak_process / 1e6),
    )


def _manifests(directory: Path) -> dict[Path, float]:
    paths = directory.glob("artifacts/*/*/manifest.json")
    return {path: json.loads(path.read_text())["seconds"] for path in paths}


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


def main() -> None:
    """Run the three measurements and print, or write, what they gave."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")
    }
    with tempfile.TemporaryDirectory(prefix="nightjar-") as name:
        directory = Path(name)
        shutil.copy(PROJECT / "pipeline_config.yaml", directory)
        measured = [
            _measure("first run, embedded server", directory, environment),
            _measure("nothing to do", directory, environment),
        ]
        with _prefect_server(directory / "server") as url:
            with_server = {**environment, "PREFECT_API_URL": url}
            override = ["--set", "models.word2vec-cbow.seed=2"]
            measured.append(_measure("one model, running server", directory, with_server, override))
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
