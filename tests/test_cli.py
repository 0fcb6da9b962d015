"""The command line as a user meets it: output, exit codes, messages."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import PROJECT_ROOT
from fork_support import COMMANDS


def nightjar(
    *arguments: object, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return COMMANDS.run(
        [*map(str, arguments)], {**os.environ, "COLUMNS": "200"} | (environment or {})
    )


def assert_refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("nightjar: ")
    for word in words:
        assert word in done.stderr
    assert done.stdout == ""


def test_plan_as_json_lists_every_step_with_its_reason(finished_config: Path) -> None:
    done = nightjar("plan", "--config", finished_config, "--json")
    assert done.returncode == 0, done.stderr
    steps = json.loads(done.stdout)["steps"]
    assert [step["action"] for step in steps] == ["reuse"] * 8
    assert steps[0]["step"] == "ingest"


def test_a_run_with_nothing_to_do_starts_neither_prefect_nor_mlflow(finished_copy: Path) -> None:
    watched = (
        "import atexit, sys\n"
        "heavy = {'prefect', 'mlflow', 'gensim', 'numba', 'scipy', 'pandas'}\n"
        "atexit.register(lambda: print('imported:', sorted(heavy & sys.modules.keys())))\n"
        "from nightjar.cli.main import main\n"
        f"sys.argv = ['nightjar', 'run', '--config', {str(finished_copy)!r}]\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", watched],
        env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "imported: []" in done.stdout
    assert "nothing to do." in done.stdout
    assert "champion" in done.stdout
    assert f"nightjar neighbors king -c {finished_copy}\n" in done.stdout
    page = "http://127.0.0.1:5000/#/models/small-cbow?workflowType=machine_learning"
    assert f"  open {page}\n" in done.stdout


def test_run_as_json_prints_one_document(finished_copy: Path) -> None:
    done = nightjar("run", "--config", finished_copy, "--json")
    document = json.loads(done.stdout)
    assert (document["status"], document["night"]) == ("nothing-to-do", 2)
    assert document["models"][0]["decision"] == "unchanged"
    assert document["models"][0]["scores"]["wordsim353"]["n_items"] == 353


def started(arguments: list[str], **how: Any) -> subprocess.CompletedProcess[str]:
    """A command in a process that ends as it does for a user."""
    return subprocess.run(
        [sys.executable, "-m", "nightjar.cli.main", *arguments],
        env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
        **how,
    )


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks glibc to abort at the end")
def test_what_libraries_do_after_python_s_end_cannot_fail_a_command() -> None:
    """As Arrow does now and then: its threads are taken apart by such a handler."""
    code = (
        "import ctypes, sys\n"
        "libc = ctypes.CDLL(None)\n"
        "libc.__cxa_atexit(libc.abort, None, None)\n"
        "{}"
    )
    ends = {}
    for name, last in {
        "python": "print('done')",
        "nightjar": "from nightjar.cli.main import main; sys.argv = ['', '--version']; main()",
    }.items():
        done = subprocess.run(
            [sys.executable, "-c", code.format(last)],
            env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        ends[name] = (done.returncode, bool(done.stdout))
    assert ends == {"python": (-6, True), "nightjar": (0, True)}


def test_a_directory_that_was_deleted_is_said(tmp_path: Path) -> None:
    shell = (
        f'mkdir gone && cd gone && rmdir ../gone && exec "{sys.executable}" -m nightjar.cli.main'
    )
    done = subprocess.run(
        ["sh", "-c", f"{shell} plan"],
        env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=tmp_path,
    )
    assert_refused(done, 2, "the current directory does not exist any more")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_output_that_cannot_be_written_is_said(finished_config: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = started(["plan", "-c", str(finished_config)], stdout=full)
    assert done.returncode == 1
    assert done.stderr == "nightjar: the output cannot be written: No space left on device\n"


def test_output_that_nobody_reads_ends_the_command_in_silence(finished_config: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = started(["plan", "-c", str(finished_config)], stdout=writing)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_neighbors_answers_from_every_champion(finished_config: Path) -> None:
    done = nightjar("neighbors", "government", "-c", finished_config, "-n", 3, "--json")
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert set(answers) == {"cbow", "glove"}
    for answer in answers.values():
        assert len(answer["neighbors"]) == 3
        assert "government" not in [near["token"] for near in answer["neighbors"]]
    table = nightjar("neighbors", "government", "-c", finished_config, "-m", "glove").stdout
    assert answers["glove"]["neighbors"][0]["token"] in table


def test_analogy_answers_and_leaves_out_the_question(finished_config: Path) -> None:
    done = nightjar("analogy", "he", "his", "she", "-c", finished_config, "--json")
    assert done.returncode == 0, done.stderr
    found = [near["token"] for near in json.loads(done.stdout)["glove"]["neighbors"]]
    assert len(found) == 5
    assert not {"he", "his", "she"} & set(found)


def test_versions_and_show_agree(finished_config: Path) -> None:
    listing = json.loads(nightjar("versions", "-c", finished_config, "--json").stdout)
    assert len(listing["artifacts"]) == 8
    assert {entry["name"]: entry["aliases"] for entry in listing["registered"]} == {
        "small-cbow": ["champion"],
        "small-glove": ["champion"],
    }
    tokens = next(entry for entry in listing["artifacts"] if entry["stage"] == "tokens")
    shown = nightjar("show", tokens["version"][:6], "-c", finished_config, "--json")
    assert json.loads(shown.stdout)["version"] == tokens["version"]
    newest = json.loads(nightjar("show", "tokens", "-c", finished_config, "--json").stdout)
    assert newest["version"] == tokens["version"]
    model = json.loads(nightjar("show", "glove", "-c", finished_config, "--json").stdout)
    assert model["champion"] == 1
    assert model["lineage"]["nightjar.tokens_version"] == tokens["version"]
    counted = next(e for e in listing["artifacts"] if e["stage"] == "cooccurrences")
    assert model["lineage"]["nightjar.cooccurrences_version"] == counted["version"]
    assert "small-glove" in nightjar("show", "glove", "-c", finished_config).stdout
    assert "tokens/" in nightjar("versions", "-c", finished_config).stdout


def test_verify_finds_a_flipped_byte_and_sets_the_artifact_aside(finished_copy: Path) -> None:
    assert (
        "10 artifacts and 2 registered versions, all whole"
        in nightjar("verify", "-c", finished_copy).stdout
    )
    table = next((finished_copy.parent / "artifacts" / "tokens").glob("*/sentences/00000.parquet"))
    content = bytearray(table.read_bytes())
    content[len(content) // 2] ^= 1
    table.write_bytes(content)
    done = nightjar("verify", "-c", finished_copy)
    assert done.returncode == 1
    assert "sentences/00000.parquet does not have the sha256" in done.stdout
    moved = nightjar("verify", "-c", finished_copy, "--set-aside")
    assert "set aside: tokens/" in moved.stdout
    gone = nightjar("verify", "-c", finished_copy)
    assert gone.returncode == 1
    assert re.fullmatch(
        r"tokens/\w+ is missing \(night 1, the newest\); 'nightjar run' makes it again\n",
        gone.stdout,
    )


def test_an_unknown_key_names_the_closest_one(small_config: Path) -> None:
    done = nightjar("run", "-c", small_config, "--set", "models.glove.windw=3")
    assert_refused(done, 2, "models.glove.windw", "did you mean 'window'")


def test_a_missing_config_names_the_file(tmp_path: Path) -> None:
    done = nightjar("plan", "-c", tmp_path / "nothing.yaml")
    assert_refused(done, 2, "nothing.yaml", "--config")


@pytest.mark.parametrize("path", ["absent.txt", "data/*.txt"])
def test_a_missing_file_or_a_glob_without_match_names_the_source(
    small_config: Path, path: str
) -> None:
    done = nightjar("run", "-c", small_config, "--set", f"corpora.text.sources.news.path={path}")
    assert_refused(done, 2, "news", path)


def test_an_unreachable_mlflow_names_its_address(small_config: Path) -> None:
    done = nightjar("run", "-c", small_config, "-s", "registry.tracking_uri=http://127.0.0.1:9")
    assert_refused(done, 1, "http://127.0.0.1:9")


def test_an_artifact_directory_that_is_a_file_is_refused(small_config: Path) -> None:
    (small_config.parent / "artifacts").write_text("in the way", encoding="utf-8")
    done = nightjar("run", "-c", small_config)
    assert_refused(done, 1, "artifacts", "cannot be written")


def test_an_unreachable_prefect_server_names_its_address(small_config: Path) -> None:
    environment = {"PREFECT_API_URL": "http://127.0.0.1:9/api"}
    done = nightjar("run", "-c", small_config, "--json", environment=environment)
    assert_refused_after_start(done, 1, "http://127.0.0.1:9/api")


def assert_refused_after_start(
    done: subprocess.CompletedProcess[str], code: int, *words: str
) -> None:
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("nightjar: ")
    assert all(word in last for word in words)


def test_unknown_words_and_models_get_suggestions(finished_config: Path) -> None:
    done = nightjar("neighbors", "governmnt", "-c", finished_config)
    assert_refused(done, 2, "governmnt", "government")
    done = nightjar("neighbors", "king", "-m", "glov", "-c", finished_config)
    assert_refused(done, 2, "glov", "did you mean 'glove'")


def test_a_model_without_a_champion_says_how_to_get_one(small_config: Path) -> None:
    done = nightjar("neighbors", "king", "-m", "glove", "-c", small_config)
    assert_refused(done, 2, "no champion yet", "nightjar run")


def test_help_and_version_need_no_config() -> None:
    assert "nightjar 0." in nightjar("--version").stdout
    assert "--set" in nightjar("run", "--help").stdout


def test_nights_lists_and_tells_what_happened(finished_copy: Path) -> None:
    nightjar("run", "-c", finished_copy)
    listed = json.loads(nightjar("nights", "-c", finished_copy, "--json").stdout)
    assert [(night["number"], night["status"]) for night in listed] == [
        (2, "nothing to do"),
        (1, "completed"),
    ]
    shown = json.loads(nightjar("nights", "show", 1, "-c", finished_copy, "--json").stdout)
    assert shown == listed[1]
    steps = {step["label"]: step for step in shown["steps"]}
    assert steps["train glove"]["outcome"] == "published"
    assert steps["train glove"]["reason"] == "never published"
    assert steps["train glove"]["seconds"] > 0
    assert steps["train glove"]["memory_bytes"] > 50_000_000
    assert shown["accepted"]["text"]["is_accepted"]
    assert {entry["model"]: entry["outcome"] for entry in shown["decisions"]} == {
        "cbow": "promoted",
        "glove": "promoted",
    }
    text = nightjar("nights", "show", 1, "-c", finished_copy).stdout
    assert "corpus text: accepted" in text
    assert "glove v1: promoted" in text
    table = nightjar("nights", "-c", finished_copy).stdout
    assert "cbow, glove" in table
    assert_refused(nightjar("nights", "show", 9, "-c", finished_copy), 2, "there is no night 9")


def test_before_the_first_night_there_is_none(small_config: Path) -> None:
    assert "no night yet" in nightjar("nights", "-c", small_config).stdout
    assert json.loads(nightjar("nights", "-c", small_config, "--json").stdout) == []


def test_a_run_with_overrides_says_that_it_is_a_trial(finished_copy: Path) -> None:
    done = nightjar("run", "-c", finished_copy, "--set", "training.workers=2")
    assert done.returncode == 0, done.stderr
    assert "a trial: nothing is promoted or accepted (--promote)" in done.stdout
