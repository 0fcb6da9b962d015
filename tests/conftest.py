"""Shared fixtures: a small but real pipeline on the news corpus that ships with gensim."""

from __future__ import annotations

import faulthandler
import functools
import gc
import os
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import hypothesis
import psutil
import pytest
import typer.testing
import yaml
from config_support import MINIMAL
from copying_support import copy_project
from sharing_support import shared
from slow_support import longest_first, slow_tests

from nightjar.config import load_config
from nightjar.core import Night
from nightjar.pipeline import DirectRunner, NightFailed, NightRequest, Provenance, run_night

# A unit test that starts a Prefect server by accident fails at once instead of taking 15 s.
os.environ["PREFECT_SERVER_EPHEMERAL_ENABLED"] = "false"
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
os.environ["DO_NOT_TRACK"] = "true"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

# The same examples in every run: a change is to blame for a failure. `make fuzz` tries new ones.
# No times: a busy machine is no fault.
_settings = hypothesis.settings(
    deadline=None, database=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile("same", _settings, derandomize=True)
hypothesis.settings.register_profile("new", _settings, print_blob=True)
hypothesis.settings.load_profile("same")


# MLflow reads each model's description with the parser in Python, six times a registration.
if hasattr(yaml, "CSafeLoader"):
    yaml.safe_load = functools.partial(yaml.load, Loader=yaml.CSafeLoader)

# `CliRunner` builds the commands at each call: 40 ms of processor time, for 2,000 calls.
typer.testing._get_command = functools.cache(typer.testing._get_command)


def examples(number: int) -> int:
    """How many a property is tried on: twenty times as many in `make fuzz`."""
    return number if hypothesis.settings.get_current_profile_name() == "same" else 20 * number


PROJECT_ROOT = Path(__file__).parents[1]
EXIT_SECONDS = 120


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """A test that fails, at its limit say, leaves no process behind to slow the others down."""
    before = {child.pid for child in psutil.Process().children()}
    try:
        return (yield)
    except BaseException:
        left = [child for child in psutil.Process().children() if child.pid not in before]
        for child in left:
            with suppress(psutil.Error):  # it has ended
                if "resource_tracker" not in str(child.cmdline()):
                    child.kill()
                    child.wait(10)
        raise


def pytest_unconfigure() -> None:
    """No limit of a test covers the end of the interpreter, which joins threads."""
    assert sys.__stderr__ is not None
    faulthandler.dump_traceback_later(EXIT_SECONDS, exit=True, file=sys.__stderr__)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow ones (tests/slow_support.py), and let each worker begin with some of them."""
    slow = slow_tests()
    for item in items:
        if f"{item.path.stem}::{item.name.partition('[')[0]}" in slow:
            item.add_marker(pytest.mark.slow)
    n_workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if n_workers > 1:
        items[:] = longest_first(items, n_workers)


def pytest_collection_finish() -> None:
    """What is imported by now stays: no collection of garbage need look at it again."""
    gc.collect()
    gc.freeze()


PROVENANCE = Provenance(git_commit=None, actor="test", n_workers=1)
SMALL_CONFIG: dict[str, Any] = {
    "pipeline": {"name": "small", "artifacts_dir": "artifacts"},
    "corpora": {
        "text": {
            "kind": "text",
            "sources": {
                "news": {"type": "text", "path": "package:gensim/test/test_data/lee_background.cor"}
            },
        }
    },
    "training": {"seed": 1, "workers": 1, "deterministic": True},
    "models": {
        "cbow": {"trainer": "word2vec", "architecture": "cbow", "vector_size": 16, "epochs": 1},
        "glove": {"trainer": "glove", "vector_size": 16, "window": 5, "epochs": 2},
    },
    "evaluation": {
        "bootstrap_samples": 20,
        "benchmarks": {
            "wordsim353": {
                "type": "similarity",
                "path": "package:gensim/test/test_data/wordsim353.tsv",
            }
        },
    },
    "registry": {"gate": {"benchmarks": ["wordsim353"], "min_coverage": 0.05, "margin": 1.0}},
}


@pytest.fixture
def minimal(tmp_path: Path) -> Path:
    """The smallest valid configuration, as a file."""
    path = tmp_path / "nightly.yaml"
    path.write_text(MINIMAL, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def write_small_config() -> Callable[[Path], Path]:
    """Write the small pipeline's config into a directory; returns the file."""

    def write(directory: Path) -> Path:
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / "pipeline_config.yaml"
        path.write_text(yaml.safe_dump(SMALL_CONFIG, sort_keys=False), encoding="utf-8")
        return path

    return write


@pytest.fixture
def small_config(tmp_path: Path, write_small_config: Callable[[Path], Path]) -> Path:
    """The small pipeline's config in a directory of its own."""
    return write_small_config(tmp_path / "project")


@pytest.fixture(scope="session")
def finished_config(
    tmp_path_factory: pytest.TempPathFactory, write_small_config: Callable[[Path], Path]
) -> Path:
    """The config of a small pipeline whose first night is over. Read only: copy to change."""

    def make(directory: Path) -> Path:
        path = write_small_config(directory / "project")
        run_due(path)
        return path

    return shared(tmp_path_factory, "finished", make)


@pytest.fixture
def finished_copy(finished_config: Path, tmp_path: Path) -> Path:
    """The config of a copy of the finished pipeline, free to change."""
    return copy_project(finished_config.parent, tmp_path / "copy") / finished_config.name


@pytest.fixture(scope="module")
def light_nights() -> Iterator[None]:
    """Nights that register without trying the model twice, and lay out their map in few rounds.

    For tests about something else; tests/test_registry_registration.py and
    tests/test_night_page.py show both in full.
    """
    from nightjar.drawing import neighbour_graph  # noqa: PLC0415
    from nightjar.registry import packaging  # noqa: PLC0415
    from nightjar.registry.client import import_mlflow  # noqa: PLC0415 (slow)

    with pytest.MonkeyPatch.context() as patched:
        utils = import_mlflow().models.utils
        patched.setattr(utils, "_validate_serving_input", lambda **_: None)
        patched.setattr(packaging, "_check_answers", lambda *_: None)
        patched.setattr(neighbour_graph, "_N_ROUNDS", 5)
        yield


def run_due(config: Path, *overrides: str) -> list[str]:
    """Run a night without Prefect that may promote; the labels of what ran."""
    return [step.label for step in run_a_night(config, *overrides).steps if step.was_run]


def run_a_night(config: Path, *overrides: str, promotes: bool = True) -> Night:
    """Run a night without Prefect; raises the first error of a failed step."""
    loaded = load_config(config, overrides)
    request = NightRequest("the test", promotes)
    try:
        return run_night(loaded, DirectRunner(loaded, PROVENANCE), PROVENANCE, request)
    except NightFailed as failed:
        raise next(iter(failed.failures.values())) from failed


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Call compressed and long bytes by their argument: archives hold the time, names must not."""
    del config
    is_unfit = isinstance(val, bytes) and (val.startswith((b"\x1f\x8b", b"PK")) or len(val) > 40)
    return argname if is_unfit else None


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small pipeline after its first night, with the noise of ``cbow`` measured."""
    from nights_support import make_measured  # noqa: PLC0415  # it imports this module

    return shared(tmp_path_factory, "noise", make_measured)


@pytest.fixture(name="config")
def copy_measured(measured: Path, tmp_path: Path) -> Path:
    """The config of a copy of ``measured``, for tests that run nights in it."""
    return copy_project(measured.parent, tmp_path / "project") / measured.name


@pytest.fixture(scope="module")
def first_night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with hand-made vectors after its first night. Read only."""
    from nights_support import make_first_night  # noqa: PLC0415  # it imports this module

    return shared(tmp_path_factory, "first-night", make_first_night)


@pytest.fixture
def begun(first_night: Path, tmp_path: Path) -> Any:
    """A copy of it, free to change (:class:`nights_support.HandMade`)."""
    from nights_support import copied  # noqa: PLC0415  # it imports this module

    return copied(first_night, tmp_path / "project")
