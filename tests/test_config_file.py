"""The config file itself: YAML, encoding, and where relative paths start."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from config_support import MINIMAL, refusal, refusal_of

from nightjar.config import LoadedConfig, load_config
from nightjar.errors import ConfigError


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", ": the config file is empty"),
        (b"# nothing\n", ": the config file is empty"),
        (b"- 1\n", ": expected sections like 'corpora:'"),
        (b"text", ": expected sections like 'corpora:'"),
        (b"a: 1\nb: [", ":2: this is not valid YAML: "),
        (b"a:\n\tb: 1", ":2: this is not valid YAML: "),
        (b"a: 1\n\na: 2\n", ":3: this is not valid YAML: the key 'a' stands twice"),
        (b"a: {b: {c: 1, 'c': 2}}", ":1: this is not valid YAML: the key 'c' stands twice"),
        (b"{[1]: 2}", ":1: this is not valid YAML: "),
        (b"a: 1\n---\nb: 2\n", ":2: this is not valid YAML: "),
        (b"a: *gone", ":1: this is not valid YAML: found undefined alias 'gone'"),
        (b"a: 2024-99-99", ": this is not valid YAML: month must be in 1..12"),
        (
            b"a: !!python/object/apply:os.getcwd []",
            ":1: this is not valid YAML: could not determine",
        ),
        (b"a: \x07", ": this is not valid YAML: the character U+0007 at position 3"),
        (b"[" * 3000, ": this is not valid YAML: it is nested too deeply"),
        (b"a: caf\xe9", ": the config file is not UTF-8 (byte 6: 0xe9); save it as UTF-8"),
        ("a: 1".encode("utf-16"), ": the config file is not UTF-8 (byte 0: 0xff)"),
    ],
)
def test_a_broken_file_says_where(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "nightly.yaml"
    path.write_bytes(content)
    assert refusal(path).startswith(f"{path}{message}")


def test_merge_keys_are_no_repeated_keys(minimal: Path) -> None:
    text = MINIMAL.replace(
        "glove: {trainer: glove}",
        "outer: &outer {<<: &base {trainer: glove, window: 7}, window: 8}\n  glove: {<<: *outer}",
    )
    minimal.write_text(text, encoding="utf-8")
    models = load_config(minimal).config.models
    assert (models["outer"].window, models["glove"].window) == (8, 8)


def test_a_section_that_contains_itself_is_refused(minimal: Path) -> None:
    message = refusal_of(MINIMAL.replace("{trainer: glove}", "&a {trainer: glove, x: *a}"), minimal)
    assert "unknown section 'models.glove.x'" in message


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-8"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_byte_order_mark_and_line_ends_do_not_matter(
    tmp_path: Path, encoding: str, newline: str
) -> None:
    path = tmp_path / "nightly.yaml"
    path.write_bytes(MINIMAL.replace("\n", newline).encode(encoding))
    assert load_config(path).config.models["skipgram"].window == 4


def test_a_missing_file_says_how_to_name_one(tmp_path: Path) -> None:
    path = tmp_path / "absent.yaml"
    assert refusal(path) == (
        f"{path}: there is no such config file; name one with --config, or start a project with "
        f"'nightjar init DIR'"
    )


def test_a_directory_is_no_config_file(tmp_path: Path) -> None:
    assert refusal(tmp_path) == f"{tmp_path}: the config file cannot be read: Is a directory"


def test_an_unknown_home_directory_is_named(minimal: Path) -> None:
    assert "no such home directory" in refusal(Path("~no-such-user/a.yaml"))
    message = refusal(minimal, "pipeline.artifacts_dir=~no-such-user/a")
    assert message.startswith("nightly.yaml: pipeline.artifacts_dir: '~no-such-user/a' leads")


def test_relative_artifact_directories_start_at_the_file(
    minimal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(minimal.parent)
    loaded: LoadedConfig = load_config(Path(minimal.name), ["pipeline.artifacts_dir=../store"])
    assert loaded.path == minimal
    assert loaded.artifacts_dir == minimal.parent.parent / "store"


@pytest.mark.parametrize("name", ["50%20percent", "what?now"])
def test_a_folder_that_addresses_of_databases_cannot_hold_is_named(
    tmp_path: Path, name: str, write_small_config: Callable[[Path], Path]
) -> None:
    path = write_small_config(tmp_path / name)
    character = "%" if "%" in name else "?"
    message = f"artifacts_dir: .* has '{re.escape(character)}' in its"
    with pytest.raises(ConfigError, match=message):
        load_config(path)
    elsewhere = f"pipeline.artifacts_dir={tmp_path / 'artifacts'}"
    assert load_config(path, [elsewhere]).artifacts_dir == tmp_path / "artifacts"
    with pytest.raises(ConfigError, match="SQLite file with '%' in its path"):
        load_config(path, [elsewhere, "registry.tracking_uri=sqlite:////x/50%20/mlflow.db"])


def source_with(condition: str) -> str:
    return MINIMAL.replace(
        "path: news.txt", f"path: news.txt, where: {{lang: {condition}}}, kept: yes"
    )


@pytest.mark.parametrize(
    ("condition", "value", "meaning"),
    [
        ("[no, sv]", "no", "false"),
        ("no", "no", "false"),
        ("{not: Off}", "Off", "false"),
        ("[en, yes]", "yes", "true"),
        ("0123", "0123", "83"),
        ("12:30", "12:30", "750"),
        ("[1_000]", "1_000", "1000"),
        ("12:30.5", "12:30.5", "750.5"),
    ],
)
def test_a_condition_that_yaml_reads_otherwise_is_to_be_quoted(
    minimal: Path, condition: str, value: str, meaning: str
) -> None:
    message = refusal_of(source_with(condition), minimal)
    assert message == (
        f"{minimal}:5: where: without quotes YAML reads {value} as {meaning}; write '{value}' in "
        f"quotes if it is text, else {meaning}"
    )
    override = f"corpora.text.sources.news.where.lang={condition}"
    assert f"without quotes YAML reads {value} as {meaning}" in refusal(minimal, override)


@pytest.mark.parametrize("condition", ["['no', \"yes\"]", "[true, False, null, 5, -0.5, 1e3]"])
def test_a_condition_that_is_clear_is_taken(minimal: Path, condition: str) -> None:
    text = MINIMAL.replace("type: text", "type: csv").replace(
        "path: news.txt", f"path: news.txt, where: {{lang: {condition}}}"
    )
    minimal.write_text(text, encoding="utf-8")
    load_config(minimal)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("place", ["where: {a: *z }, x", "x"])
def test_aliases_of_aliases_are_refused_before_they_are_written_out(
    minimal: Path, place: str
) -> None:
    bomb = "bomb:\n  - &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"  - &{name} [{', '.join([f'*{inner}'] * 10)}]\n"
        for inner, name in zip("abcdefgh", "bcdefghz", strict=True)
    )
    message = refusal_of(
        bomb + MINIMAL.replace("path: news.txt", f"path: news.txt, {place}: *z "), minimal
    )
    assert message == (
        f"{minimal}: this is not valid YAML: its aliases (*name) stand for more than 100,000 "
        f"values; write out what is meant"
    )


@pytest.mark.timeout(60)
def test_of_many_errors_the_first_are_named(minimal: Path) -> None:
    text = MINIMAL + "".join(f"k{number}: 1\n" for number in range(20_000))
    lines = refusal_of(text, minimal).splitlines()
    assert len(lines) == 21
    assert lines[0].startswith(f"nightly.yaml:{MINIMAL.count(chr(10)) + 1}: unknown key 'k0'")
    assert lines[-1] == "nightly.yaml: and 19,980 more errors like these; mend these first"


def test_a_long_key_is_cut_short(minimal: Path) -> None:
    assert len(refusal_of(MINIMAL + f"{'k' * 1000}: 1\n", minimal)) < 600


@pytest.mark.timeout(10)
def test_a_file_that_is_no_config_is_refused_unread(minimal: Path) -> None:
    text = "".join(f"key{number}: 1\n" for number in range(100_000))
    assert refusal_of(text, minimal) == (
        f"{minimal}: this is not valid YAML: it has {len(text):,} characters, more than the "
        f"500,000 of any config; is it the right file?"
    )
