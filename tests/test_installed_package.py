"""The wheel is a whole product: what it holds, and a project made with it outside a clone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import PROJECT_ROOT
from service_support import environment_of_a_user, serving

SOURCES = ("nightjar", "flows", "tasks", "pyproject.toml", "README.md", "LICENSE",
           "pipeline_config.yaml", "prefect.yaml")  # fmt: skip
# Half the sample, one small model: seconds instead of a minute.
SMALL = (
    "corpora.english.sources.wikipedia=null",
    "models.word2vec-skipgram=null",
    "models.fasttext=null",
    "models.glove=null",
    "models.word2vec-cbow.epochs=1",
    "models.word2vec-cbow.vector_size=16",
    "evaluation.benchmarks.google-analogies=null",
    "evaluation.bootstrap_samples=20",
    "registry.gate.min_coverage=0.05",
    "document_vectors={}",
)
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
# Every module of the package, by the name that its file gives it.
IMPORT_ALL = """
import importlib, json, sys
from pathlib import Path
import nightjar

root = Path(nightjar.__file__).parent
names = {}
for path in root.rglob("*.py"):
    parts = path.relative_to(root.parent).with_suffix("").parts
    names[str(path)] = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
missing = set()
for name in names.values():
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing.add(error.name)
loaded = [
    (name, str(Path(module.__file__).absolute()))
    for name, module in list(sys.modules.items())
    if name != "__main__" and getattr(module, "__file__", None)
]
print(json.dumps({
    "root": str(root),
    "missing": sorted(missing),
    "n": len(names),
    "wrong": [(name, path) for name, path in loaded if names.get(path, name) != name],
    "elsewhere": [name for name, path in loaded if name.split(".")[0] == "nightjar"
                  and path not in names],
}))
"""


@dataclass(frozen=True)
class Installed:
    """A wheel, unpacked where nothing else is."""

    wheel: Path
    directory: Path

    @property
    def environment(self) -> dict[str, str]:
        return environment_of_a_user(PYTHONPATH=str(self.directory))

    def nightjar(self, cwd: Path, *arguments: object) -> str:
        return run([self.directory / "bin" / "nightjar", *arguments], cwd, self.environment)


def run(command: Sequence[object], cwd: Path, environment: Mapping[str, str] = os.environ) -> str:
    """What a command that ends well prints."""
    done = subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Built from a copy: what a build leaves behind would be part of the next one."""
    directory = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        if (PROJECT_ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(
                PROJECT_ROOT / name, directory / "source" / name, symlinks=True, ignore=ignored
            )
        else:
            shutil.copy(PROJECT_ROOT / name, directory / "source" / name)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-index", "--no-build-isolation", "-w", "."]
    run([*build, directory / "source"], directory)
    (wheel,) = directory.glob("*.whl")
    install = ["install", "--no-deps", "--no-index", "--no-compile", "--target"]
    run([*pip, *install, directory / "site", wheel], directory)
    return Installed(wheel, directory / "site")


def files_of_the_package() -> set[str]:
    """Every file of the repository's package, those behind links as well."""
    return {
        f"{Path(folder).relative_to(PROJECT_ROOT).as_posix()}/{name}"
        for folder, _, names in os.walk(PROJECT_ROOT / "nightjar", followlinks=True)
        for name in names
        if not folder.endswith("__pycache__")
    }


def test_the_wheel_holds_the_package_and_nothing_beside_it(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as wheel:
        held = {name for name in wheel.namelist() if ".dist-info/" not in name}
        assert held == files_of_the_package()
        config = wheel.read("nightjar/templates/text/pipeline_config.yaml")
    assert held >= {
        "nightjar/cli/prefect_database.sql",
        "nightjar/explorer/assets/explorer.css",
        "nightjar/flows/nightly.py",
        "nightjar/py.typed",
        "nightjar/registry/mlflow_database.sql",
        "nightjar/tasks/stage_task.py",
        "nightjar/templates/text/gitignore",
    }
    assert config == (PROJECT_ROOT / "pipeline_config.yaml").read_bytes()


def test_every_module_of_the_wheel_has_one_name(installed: Installed, tmp_path: Path) -> None:
    found = json.loads(run([sys.executable, "-c", IMPORT_ALL], tmp_path, installed.environment))
    assert found["root"] == str(installed.directory / "nightjar")
    assert found["n"] > 300
    assert (found["missing"], found["wrong"], found["elsewhere"]) == ([], [], [])


@pytest.mark.parametrize("name", ["flows", "tasks"])
def test_the_folders_beside_the_package_cannot_be_imported(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import {name}"],
        cwd=PROJECT_ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"ImportError: these are nightjar's {name}: import nightjar.{name} instead"
    )


@pytest.fixture(scope="module")
def project(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new project, as ``nightjar init`` writes it."""
    above = tmp_path_factory.mktemp("home")
    installed.nightjar(above, "init", "my-words")
    return above / "my-words"


@pytest.fixture(scope="module")
def finished_project(installed: Installed, project: Path) -> Path:
    """The same after a first, small night."""
    settings = [part for setting in SMALL for part in ("--set", setting)]
    told = json.loads(installed.nightjar(project, "run", "--promote", "--json", *settings))
    assert told["status"] == "completed"
    assert [(model["model"], model["decision"]) for model in told["models"]] == [
        ("word2vec-cbow", "promoted")
    ]
    return project


def test_a_new_project_plans_the_whole_night(installed: Installed, project: Path) -> None:
    steps = json.loads(installed.nightjar(project, "plan", "--json"))["steps"]
    assert {step["action"] for step in steps} == {"run"}
    trained = [step["step"] for step in steps if step["step"].startswith("train ")]
    assert trained == [
        "train word2vec-cbow", "train word2vec-skipgram", "train fasttext", "train glove",
    ]  # fmt: skip


@pytest.mark.integration
def test_a_new_project_runs_and_answers(installed: Installed, finished_project: Path) -> None:
    asked = ["neighbors", "government", "-m", "word2vec-cbow", "-n", "3", "--json"]
    answers = json.loads(installed.nightjar(finished_project, *asked))
    assert [len(answer["neighbors"]) for answer in answers.values()] == [3]
    assert "my-words-word2vec-cbow" in installed.nightjar(finished_project, "versions")


@pytest.mark.integration
@pytest.mark.timeout(900)
def test_a_new_project_is_served(
    installed: Installed, finished_project: Path, tmp_path: Path
) -> None:
    command = [str(installed.directory / "bin" / "nightjar"), "serve"]
    with serving(command, finished_project, tmp_path, installed.environment) as night_shift:
        config = str(finished_project / "pipeline_config.yaml")
        (deployment,) = night_shift.post("/deployments/filter", {})
        assert deployment["parameters"]["config_path"] == config
        by_hand = night_shift.prefect("--no-prompt", "deploy", "--all")
        assert by_hand.returncode == 0, by_hand.stdout + by_hand.stderr
        (deployment,) = night_shift.post("/deployments/filter", {})
        assert deployment["entrypoint"] == "nightjar.flows.nightly.nightly"
        assert deployment["parameters"]["config_path"] == "pipeline_config.yaml"
        (step,) = deployment["pull_steps"]
        assert step == {
            "prefect.deployments.steps.set_working_directory": {"directory": str(finished_project)}
        }
        path = f"/deployments/{deployment['id']}/create_flow_run"
        asked = {"parameters": {"overrides": SMALL}}
        run = night_shift.request("POST", path, asked)["id"]
        until = time.monotonic() + 300
        while (found := night_shift.request("GET", f"/flow_runs/{run}"))["state_type"] not in ENDED:
            assert time.monotonic() < until, night_shift.log.read_text()
            time.sleep(0.5)
        assert found["state_name"] == "NothingToDo", night_shift.log.read_text()
