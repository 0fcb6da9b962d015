"""A stage that the package has never heard of goes all the way: the declaration is enough."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from conftest import PROJECT_ROOT, PROVENANCE
from nights_support import HandMade

from nightjar.cli import lookups
from nightjar.config import NightjarConfig, load_config
from nightjar.core import (
    Action,
    Keep,
    Nights,
    NightStatus,
    Of,
    Parent,
    Planning,
    Stage,
    StageContext,
    Step,
)
from nightjar.pipeline import DirectRunner, NightRequest, make_plan, run_night
from nightjar.stages import STAGES
from nightjar.store import Identity, Store, schemas

LETTERS = pa.schema([pa.field("letter", pa.string(), False), pa.field("count", pa.int64(), False)])


class CountLetters(Stage):
    """How often each letter stands in the words of a corpus."""

    name = "letters"
    verb = "spell"
    of = Of.CORPUS
    keep = Keep.CORPUS
    about = "counts letters"
    tables = {"letters": LETTERS}  # noqa: RUF012

    @classmethod
    def subjects(cls, config: NightjarConfig) -> Iterable[str]:
        return config.corpora

    def parents(self) -> Iterable[Parent]:
        return (Parent(schemas.TOKENS, self.subject),)

    def identity(self, planning: Planning) -> Identity:
        return Identity(self.name, self.subject, {}, dict(planning.parents), code={"revision": 1})

    def write(self, context: StageContext) -> None:
        words = context.parent(schemas.TOKENS).read("vocabulary", ["token"]).column("token")
        text = "".join(words.to_pylist())
        rows = [{"letter": letter, "count": text.count(letter)} for letter in sorted(set(text))]
        context.staging.write("letters", pa.Table.from_pylist(rows, LETTERS))
        context.staging.counts["letters"] = len(rows)


class WritesAnotherTable(CountLetters):
    """Does not keep its own declaration."""

    tables = {"letters": pa.schema([("letter", pa.string())])}  # noqa: RUF012


WITH_TOY = (*STAGES, CountLetters)


def run(config: Path, stages: tuple[type[Stage], ...] = WITH_TOY) -> Any:
    loaded = load_config(config)
    request = NightRequest("the test", stages=stages)
    return run_night(loaded, DirectRunner(loaded, PROVENANCE), PROVENANCE, request)


def step_of(config: Path) -> Step:
    return make_plan(load_config(config), stages=WITH_TOY).step("letters", "text")


def test_a_toy_stage_is_planned_run_reused_verified_and_recorded(finished_copy: Path) -> None:
    step = step_of(finished_copy)
    assert (step.label, step.action, step.reason) == ("spell", Action.RUN, "never published")
    night = run(finished_copy)
    assert night.status is NightStatus.COMPLETED
    assert [record.label for record in night.steps if record.was_run] == ["spell"]
    (record,) = [record for record in night.steps if record.stage == "letters"]
    store = Store(finished_copy.parent / "artifacts")
    artifact = store.open(step.ref)
    assert record.version == step.ref.version
    assert record.digest == artifact.manifest.digest
    assert record.memory_bytes > 10_000_000
    assert store.verify(step.ref) == []
    assert step_of(finished_copy).action is Action.REUSE
    assert run(finished_copy).status is NightStatus.NOTHING_TO_DO
    counts = {row["letter"]: row["count"] for row in artifact.read("letters").to_pylist()}
    assert counts["e"] > counts["z"] > 0


def test_a_toy_stage_is_found_by_the_commands_that_know_no_stage(finished_copy: Path) -> None:
    run(finished_copy)
    loaded = load_config(finished_copy)
    listed = {artifact.stage for artifact in lookups.list_versions(loaded, None).artifacts}
    assert "letters" in listed
    assert lookups.list_versions(loaded, "letters").artifacts[0].model == "text"
    ref = step_of(finished_copy).ref
    table = Path(ref.path) / "letters.parquet"
    table.write_bytes(table.read_bytes()[:-1] + b"x")
    assert any(str(ref) in problem for problem in lookups.verify(loaded, None, False).problems)


def test_its_reason_names_what_changed(finished_copy: Path) -> None:
    run(finished_copy)
    loaded = load_config(finished_copy, ["corpora.text.tokenize.lowercase=false"])
    step = make_plan(loaded, stages=WITH_TOY).step("letters", "text")
    assert (step.action, step.reason) == (Action.RUN, "tokens changed")


def test_a_table_that_is_not_as_declared_is_not_published(finished_copy: Path) -> None:
    with pytest.raises(TypeError, match=r"(?s)letters\.letters is .*declared is"):
        run(finished_copy, (*STAGES, WritesAnotherTable))
    assert not list((finished_copy.parent / "artifacts" / "letters").glob("*/manifest.json"))


UNDER_PREFECT = """
import atexit, os, sys
from pathlib import Path
from nightjar.cli.environment import prepare_environment
from nightjar.cli.embedded_server import EmbeddedServer
from nightjar.config import load_config

loaded = load_config(Path(sys.argv[1]))
prepare_environment(loaded.artifacts_dir)
server = EmbeddedServer(loaded.artifacts_dir / "prefect" / "server.log", os.environ)
atexit.register(server.stop)  # before Prefect is imported: Prefect sends its last events until then
server.wait()
os.environ["PREFECT_API_URL"] = server.url
os.environ["PREFECT_API_AUTH_STRING"] = server.secret
from prefect import flow, get_client
from nightjar.flows.nightly import PrefectRunner
from nightjar.pipeline import NightRequest, run_night
from test_toy_stage import PROVENANCE, WITH_TOY

@flow(name="toy")
def toy():
    runner = PrefectRunner(loaded, PROVENANCE)
    with runner.opened:
        request = NightRequest("toy", stages=WITH_TOY)
        return run_night(loaded, runner, PROVENANCE, request).number

toy()
with get_client(sync_client=True) as client:
    print("tasks:", [run.name for run in client.read_task_runs()])
"""


@pytest.mark.integration
def test_a_toy_stage_runs_as_a_prefect_task_of_its_own(finished_copy: Path) -> None:
    tests = str(Path(__file__).parent)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    done = subprocess.run(
        [sys.executable, "-c", UNDER_PREFECT, str(finished_copy)],
        env={**kept, "PYTHONPATH": os.pathsep.join((str(PROJECT_ROOT), tests))},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert "tasks: ['spell']" in done.stdout, done.stdout + done.stderr
    assert step_of(finished_copy).action is Action.REUSE
    night = next(Nights(load_config(finished_copy).pipeline_dir).newest_first())
    assert [record.label for record in night.steps if record.was_run] == ["spell"]


def test_retention_keeps_a_toy_stage_as_long_as_its_declaration_says(tmp_path: Path) -> None:
    project = HandMade(tmp_path / "project")
    project.document["keep"] = {"accepted_nights": 2}
    project.save()
    store = Store(project.directory / "artifacts")
    seen = []
    for number in range(5):
        project.write_text(100 + 10 * number)
        run(project.path)
        seen.append(make_plan(project.loaded, stages=WITH_TOY).step("letters", "text").ref)
    # Of the last two accepted nights; the last one is the newest, too.
    assert store.versions("letters") == sorted(
        seen[-2:], key=lambda ref: store.open(ref).manifest.created_at
    )
