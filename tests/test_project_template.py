"""A new project: what is written, and what is refused without a trace."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml
from conftest import PROJECT_ROOT
from fork_support import COMMANDS

from nightjar.cli import project_template
from nightjar.cli.project_template import SHIPPED_DEPLOYMENTS, write_project
from nightjar.cli.service import deployments_path
from nightjar.config import load_config
from nightjar.errors import ConfigError, InputError

FILES = [".gitignore", "README.md", "pipeline_config.yaml", "prefect.yaml"]


def init(*arguments: object) -> subprocess.CompletedProcess[str]:
    return COMMANDS.run(["init", *map(str, arguments)], {**os.environ, "COLUMNS": "200"})


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_project_is_the_files_of_the_repository_with_a_name_of_its_own(tmp_path: Path) -> None:
    done = init(tmp_path / "tickets")
    assert done.returncode == 0, done.stderr
    for line in (*FILES, f"cd {tmp_path / 'tickets'}", "nightjar plan", "nightjar run"):
        assert f"\n  {line}" in done.stdout
    assert names(tmp_path / "tickets") == FILES
    ours = (PROJECT_ROOT / "pipeline_config.yaml").read_text(encoding="utf-8")
    theirs = (tmp_path / "tickets" / "pipeline_config.yaml").read_text(encoding="utf-8")
    changed = [
        pair
        for pair in zip(ours.splitlines(), theirs.splitlines(), strict=True)
        if len({*pair}) > 1
    ]
    assert changed == [
        (
            "  name: nightjar            # prefix of the registered models: nightjar-glove, ...",
            "  name: tickets             # prefix of the registered models: tickets-glove, ...",
        )
    ]
    ours = (PROJECT_ROOT / "prefect.yaml").read_text(encoding="utf-8")
    assert (tmp_path / "tickets" / "prefect.yaml").read_text(encoding="utf-8") == ours
    assert (tmp_path / "tickets" / ".gitignore").read_text(encoding="utf-8") == "artifacts/\n"
    readme = (tmp_path / "tickets" / "README.md").read_text(encoding="utf-8")
    assert readme.startswith("# tickets\n")
    assert "models:/tickets-glove@champion" in readme
    assert deployments_path(load_config(tmp_path / "tickets" / "pipeline_config.yaml")) == (
        tmp_path / "tickets" / "prefect.yaml"
    )


@pytest.mark.parametrize(
    ("directory", "name"),
    [
        ("my-words", "my-words"),
        ("2026", "2026"),  # no text in YAML without quotes
        ("on", "on"),
        ("My Words", "nightjar"),
        ("-x", "nightjar"),
        ("a" * 63, "a" * 63),
        ("a" * 64, "nightjar"),
    ],
)
def test_the_pipeline_is_named_after_the_directory(
    tmp_path: Path, directory: str, name: str
) -> None:
    project = write_project(tmp_path / "above" / directory)
    assert project.pipeline == name
    loaded = load_config(tmp_path / "above" / directory / "pipeline_config.yaml")
    assert loaded.config.pipeline.name == name


def test_an_empty_directory_stays_the_same_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir(mode=0o750)
    (tmp_path / "here" / ".git").mkdir()
    before = (tmp_path / "here").stat()
    monkeypatch.chdir(tmp_path / "here")
    assert write_project(Path()).pipeline == "here"
    after = (tmp_path / "here").stat()
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
    assert names(Path()) == sorted([".git", *FILES])


def test_a_new_directory_has_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").mkdir()
    write_project(tmp_path / "new")
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "usual").stat().st_mode
    assert names(tmp_path) == ["new", "usual"]


@pytest.mark.parametrize("file", [*FILES, "notes.txt"])
def test_nothing_is_written_where_something_is(tmp_path: Path, file: str) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / file).write_text("mine", encoding="utf-8")
    done = init(tmp_path / "project")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("nightjar: ")
    assert file in done.stderr
    assert "name a new or empty directory" in done.stderr
    assert names(tmp_path / "project") == [file]
    assert (tmp_path / "project" / file).read_text(encoding="utf-8") == "mine"


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="file is a file"):
        write_project(tmp_path / "file")
    with pytest.raises(InputError, match=r"file/project: .* cannot be written: Not a directory"):
        write_project(tmp_path / "file" / "project")
    assert names(tmp_path) == ["file"]


def test_an_unknown_template_is_refused(tmp_path: Path) -> None:
    done = init(tmp_path / "project", "--template", "images")
    assert done.returncode == 2
    assert done.stderr == "nightjar: there is no template 'images'; there are text, graph, items\n"
    assert names(tmp_path) == []


@pytest.mark.parametrize("is_new", [True, False])
def test_what_cannot_be_written_whole_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_new: bool
) -> None:
    """The disk is full, or permission is missing, at the last moment."""
    if not is_new:
        (tmp_path / "project").mkdir()
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if target.name in ("project", "prefect.yaml"):
            raise PermissionError(13, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(InputError, match=r"project: .* cannot be written: Permission denied"):
        write_project(tmp_path / "project")
    assert [path.name for path in tmp_path.rglob("*")] == ([] if is_new else ["project"])


def test_every_template_can_be_written(tmp_path: Path) -> None:
    for template in project_template.TEMPLATES.iterdir():
        write_project(tmp_path / template.name, template.name)
        load_config(tmp_path / template.name / "pipeline_config.yaml")


def test_the_shipped_deployment_is_taken_where_the_project_has_none(minimal: Path) -> None:
    loaded = load_config(minimal)
    assert deployments_path(loaded) == SHIPPED_DEPLOYMENTS
    declared = yaml.safe_load(SHIPPED_DEPLOYMENTS.read_text(encoding="utf-8"))["deployments"]
    assert [(entry["name"], entry["entrypoint"]) for entry in declared] == [
        ("nightly", "nightjar.flows.nightly.nightly")
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("deployments: [{name: other}]", "declares no deployment 'nightly'; copy it from"),
        ("[]", "declares no deployment 'nightly'"),
        ("deployments: [", "cannot be read: while parsing"),
    ],
)
def test_a_deployment_file_without_the_nightly_one_is_refused(
    minimal: Path, text: str, words: str
) -> None:
    (minimal.parent / "prefect.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=words):
        deployments_path(load_config(minimal))
