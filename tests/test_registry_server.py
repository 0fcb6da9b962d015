"""A registry behind ``mlflow server``, which keeps the files itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from asking_support import asked, asked_json
from mlflow_server_support import Fate, Server, proxied, shared_server
from nights_support import GOOD, HandMade, outcome
from registry_support import GATE, VECTORS, WORDS, World
from typer.testing import CliRunner

from nightjar.cli.main import app
from nightjar.config import RegistryConfig
from nightjar.drawing import MAP_SCRIPT, MappedWord, Page, map_of_words
from nightjar.errors import ModelFilesDamaged
from nightjar.model.lookup import VectorModel
from nightjar.progress import SILENT
from nightjar.registry import (
    PAGE_TAG,
    ClientWriter,
    RegisteredVersion,
    RegistryPlace,
    check_files_whole,
    delete_night_pages,
    delete_version,
    ensure_registered,
    find_registered,
    gc_command,
    log_night_page,
    model_files,
    page_of,
)
from nightjar.store import fingerprint

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Server:
    return shared_server(tmp_path_factory)


@dataclass(frozen=True)
class Served:
    """A model of its own that is registered on the server."""

    world: World
    place: RegistryPlace
    server: Server

    def register(self, key: str = "embeddings") -> RegisteredVersion:
        uri, experiment = self.server.uri, self.experiment
        registry = RegistryConfig(gate=GATE, tracking_uri=uri, experiment=experiment)
        embeddings = self.world.embeddings(key, self.world.model)
        return ensure_registered(
            self.world.request(registry=registry, embeddings=embeddings), SILENT
        )

    @property
    def experiment(self) -> str:
        """Its MLflow experiment."""
        return self.world.model

    @property
    def ledger_id(self) -> str:
        """The owner of its registered model."""
        return self.world.request(registry=RegistryConfig(gate=GATE)).ledger_id

    def stored(self, version: RegisteredVersion) -> Path:
        """The folder of the version beside the server."""
        (found,) = self.server.files.glob(f"*/models/{version.model_id}/artifacts")
        return found


@pytest.fixture
def served(server: Server, tmp_path: Path, request: pytest.FixtureRequest) -> Served:
    world = World(tmp_path / "artifacts", model=f"m{fingerprint(request.node.name)}")
    return Served(world, RegistryPlace(server.uri, world.artifacts_dir), server)


def test_version_is_registered_found_and_answers(served: Served) -> None:
    version = served.register()
    assert version.version == 1
    found = find_registered(served.place.reader(), version.name, version.embeddings_digest)
    assert found is not None
    assert (found.version, found.model_id) == (1, version.model_id)
    assert check_files_whole(served.place, found) == []
    model = VectorModel.open(model_files(served.place, found))
    np.testing.assert_array_equal(model.vectors(list(WORDS)), VECTORS)
    assert served.register().version == 1


def test_files_are_downloaded_once(served: Served) -> None:
    version = served.register()
    directory = model_files(served.place, version)
    assert directory.is_relative_to(served.world.artifacts_dir)
    before = (directory / "vectors.npy").stat().st_ino
    shutil.rmtree(served.stored(version))  # nobody asks the server again
    assert (model_files(served.place, version) / "vectors.npy").stat().st_ino == before


def test_download_that_was_cut_is_made_again(served: Served) -> None:
    version = served.register()
    (model_files(served.place, version) / "vectors.npy").write_bytes(b"cut")
    model = VectorModel.open(model_files(served.place, version))
    np.testing.assert_array_equal(model.vectors(list(WORDS)), VECTORS)


def test_a_flipped_bit_in_the_copy_is_told_and_the_copy_made_again(served: Served) -> None:
    version = served.register()
    path = model_files(served.place, version) / "vectors.npy"
    content = path.read_bytes()
    for damaged in (path, path.parents[2] / "files.json"):
        whole = damaged.read_bytes()
        damaged.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        (problem,) = check_files_whole(served.place, version)
        assert f"{damaged.name} was changed; delete this copy: it is fetched again" in problem
        assert (model_files(served.place, version) / "vectors.npy").read_bytes() == content
        assert check_files_whole(served.place, version) == []


def test_damage_on_the_server_is_found(served: Served) -> None:
    version = served.register()
    vectors = served.stored(version) / "artifacts" / "lookup" / "vectors.npy"
    content = bytearray(vectors.read_bytes())
    content[-1] ^= 1
    vectors.write_bytes(content)
    with pytest.raises(
        ModelFilesDamaged, match=r"as the server has it: .*vectors\.npy was changed"
    ):
        model_files(served.place, version)
    vectors.write_bytes(b"cut")
    (problem,) = check_files_whole(served.place, version)
    assert problem.endswith(
        f"artifacts/lookup/vectors.npy has 3 bytes on the server instead of {len(content)}"
    )
    vectors.unlink()
    (problem,) = check_files_whole(served.place, version)
    assert "vectors.npy has no bytes on the server" in problem


def test_aliases_and_marks_are_written(served: Served) -> None:
    version = served.register()
    writer = ClientWriter(served.place)
    writer.point(version.name, "champion", 1)
    writer.mark(version.name, 7)
    reader = served.place.reader()
    assert reader.aliases(version.name) == {"champion": 1}
    assert reader.model_tags(version.name)["nightjar.ledger_event"] == "7"
    assert reader.models_tagged("nightjar.ledger_event", "7") == [version.name]
    assert reader.models_tagged("nightjar.ledger_event", "8") == []
    writer.point(version.name, "champion", None)
    assert reader.aliases(version.name) == {}


def test_deleting_is_soft_and_says_what_is_still_to_do(served: Served) -> None:
    version = served.register()
    kept = served.register("other")
    directory = model_files(served.place, version)
    assert gc_command(served.place, served.experiment) is None
    assert delete_version(served.place, version).n_bytes == 0
    assert gc_command(served.place, served.experiment) == (
        f"mlflow gc --backend-store-uri DATABASE_OF_THE_SERVER --tracking-uri {served.server.uri} "
        f"--run-ids {version.run_id} --logged-model-ids {version.model_id}"
    )
    assert [found.version for found in served.place.reader().versions(version.name)] == [2]
    assert not directory.exists()
    assert check_files_whole(served.place, kept) == []


def test_command_that_is_still_to_do_frees_the_servers_disk(served: Served, server: Server) -> None:
    version = served.register()
    stored = served.stored(version)
    assert delete_version(served.place, version).n_bytes == 0
    command = gc_command(served.place, served.experiment)
    assert command is not None
    server.collect_garbage(command)
    assert not stored.exists()
    assert gc_command(served.place, served.experiment) is None


def test_leftovers_of_a_killed_attempt_are_deleted_softly(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(BaseException):
        pass

    def dies(*args: object) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr("nightjar.registry.registration._Registrar._create_version", dies)
        with pytest.raises(KilledError):
            served.register()
    version = served.register()
    assert version.version == 1
    client = ClientWriter(served.place).client
    experiment = client.get_experiment_by_name(served.experiment).experiment_id
    models = client.search_logged_models(
        [experiment], filter_string=f"tags.`nightjar.model` = '{served.world.model}'"
    )
    assert [model.model_id for model in models] == [version.model_id]
    command = gc_command(served.place, served.experiment)
    assert command is not None
    assert "--logged-model-ids m-" in command
    assert version.run_id not in command


def test_nights_on_a_server_keep_what_is_needed_and_say_how_its_disk_is_freed(
    server: Server, tmp_path: Path
) -> None:
    project = HandMade(tmp_path / "project", pipeline={"name": "remote"})
    project.document["registry"]["tracking_uri"] = server.uri
    project.document["keep"] = {"rollback_versions": 1}
    project.save()
    for seed in range(4):
        project.write_vectors(GOOD, seed=seed)
        assert outcome(project.night()) == "promoted"
        assert project.due() == []
    reader = project.place.reader()
    # The reference, what it can be rolled back to, the champion.
    assert [found.version for found in reader.versions("remote-words")] == [1, 3, 4]
    assert asked(project.path, "verify").splitlines()[-1].endswith("all whole")
    told = "to free the MLflow server's disk, run this on its machine: "
    (note,) = asked_json(project.path, "collect", "--dry-run")["notes"]
    assert note.startswith(told)
    assert asked_json(project.path, "collect")["notes"] == [note]
    experiment = ClientWriter(project.place).client.get_experiment_by_name("remote")
    assert experiment is not None
    its_models = f"{experiment.experiment_id}/models/*/artifacts"
    files = {path for path in server.files.glob(its_models) if path.is_dir()}
    server.collect_garbage(note.removeprefix(told))
    left = {path for path in server.files.glob(its_models) if path.is_dir()}
    assert len(files - left) == 1
    assert asked_json(project.path, "collect", "--dry-run")["notes"] == []
    answer = asked_json(project.path, "rollback", "words")
    assert project.champion == 3, answer


@pytest.mark.parametrize("path", ["models/{name}/versions/1", "experiments/{experiment}"])
def test_pages_open_on_models_and_runs(served: Served, path: str) -> None:
    """In a browser that has never been there, whose mode would be the one for GenAI."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("needs the browser chromium on the PATH")
    playwright = pytest.importorskip("playwright.sync_api")
    version = served.register()
    experiment = ClientWriter(served.place).client.get_experiment_by_name(served.experiment)
    address = path.format(name=version.name, experiment=experiment.experiment_id)
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = opened.new_page()
        page.set_default_timeout(60_000)
        page.goto(page_of(served.server.uri, address))
        menu = page.get_by_role("navigation")
        menu.get_by_text("Model registry").wait_for()
        assert not menu.get_by_text("Prompts").count()
        opened.close()


def test_the_page_of_a_night_opens_from_its_version(served: Served) -> None:
    """By the link on the version's page, and by the address that Prefect shows."""
    version = served.register()
    page = Page("Night 7 of remote: completed", script=MAP_SCRIPT)
    words = [MappedWord(word, 9 - place) for place, word in enumerate(("king", "queen", "kind"))]
    page.part(map_of_words("words", words, np.eye(3, 2), ()))
    for _ in range(2):  # the second time replaces it
        log_night_page(served.place, version, 7, page.html())
    found = served.place.reader().version(version.name, version.version)
    assert found is not None
    address = page_of(served.server.uri, found.tags[PAGE_TAG])
    assert address is not None
    shown = ClientWriter(served.place).client.get_model_version(version.name, "1").description
    assert shown.count("Report of night 7") == 1
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is not None:
        playwright = pytest.importorskip("playwright.sync_api")
        with playwright.sync_playwright() as started:
            browser = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
            tab = browser.new_page()
            tab.set_default_timeout(60_000)
            tab.goto(page_of(served.server.uri, f"models/{version.name}/versions/1"))
            link = tab.get_by_role("link", name="night-000007.html")
            link.wait_for()
            assert link.evaluate("found => found.href").endswith(address.partition("#")[2])
            tab.goto(address)
            frame = tab.frame_locator("iframe")
            frame.get_by_role("heading", name="Night 7 of remote: completed").wait_for()
            frame.locator(".map input").fill("ki")
            assert frame.locator(".map ul li").all_inner_texts() == [
                "king, 9 times",
                "kind, 7 times",
            ]
            browser.close()
    delete_night_pages(served.place, served.ledger_id)
    client = ClientWriter(served.place).client
    names = {entry.path for entry in client.list_artifacts(str(version.run_id))}
    assert "model_card.md" in names
    assert "night-000007.html" not in names


@pytest.mark.parametrize("n_lost", [1, 100])
def test_an_answer_that_is_lost_makes_no_second_version(
    served: Served, server: Server, n_lost: int
) -> None:
    asked: list[str] = []

    def loses(request: str) -> Fate:
        if not request.endswith("/model-versions/create"):
            return Fate.PASSED
        asked.append(request)
        return Fate.LOST if len(asked) <= n_lost else Fate.PASSED

    with proxied(server.uri) as proxy:
        proxy.fate = loses
        behind = replace(server, uri=proxy.uri)
        through = replace(
            served, server=behind, place=RegistryPlace(behind.uri, served.world.artifacts_dir)
        )
        version = through.register()
    versions = served.place.reader().versions(version.name)
    assert [found.version for found in versions] == [version.version] == [1]
    assert len(asked) == 1
    assert os.environ.get("MLFLOW_HTTP_REQUEST_MAX_RETRIES") != "0"


@pytest.mark.timeout(900)
def test_a_password_in_an_address_is_written_nowhere(server: Server, small_config: Path) -> None:
    """Neither one of the config file nor one of an override."""
    address = server.uri.replace("://", "://ann:s3cret-{}@")
    document = yaml.safe_load(small_config.read_text())
    del document["models"]["glove"]
    document["registry"]["tracking_uri"] = address.format("file")
    config = small_config.with_name("other.yaml")
    config.write_text(yaml.safe_dump(document), encoding="utf-8")
    override = f"registry.tracking_uri={address.format('override')}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    told = []
    for more in ([], ["--set", override, "--set", "training.seed=2"]):
        done = subprocess.run(
            [sys.executable, "-m", "nightjar.cli.main", "--verbose", "run", "-c", config, *more],
            env={**kept, "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        told.append(done.stdout + done.stderr)
    assert not [text for text in told if "s3cret" in text]
    assert "v2" in told[1]
    places = (config.parent, server.files.parent)
    files = [path for place in places for path in place.rglob("*") if path.is_file()]
    assert len(files) > 30
    said = [path for path in files if b"s3cret" in path.read_bytes()]
    assert said == [config]
    # What a server wrote last is in the journal beside the database when it was ended hard.
    databases = list((config.parent / "artifacts" / "prefect").glob("prefect.db*"))
    assert any(b"registry.tracking_uri=http://127" in path.read_bytes() for path in databases)
    assert {path.stat().st_mode & 0o777 for path in databases} == {0o600}
    shown = CliRunner().invoke(app, ["nights", "show", "2", "-c", str(config)])
    assert "s3cret" not in shown.output
