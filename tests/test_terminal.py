"""The one door through which everything is printed."""

from __future__ import annotations

import ast
import io
import json
import logging
import os
import pty
import re
import unicodedata
from pathlib import Path

import pytest
from asking_support import asked, asked_json, invoked
from conftest import PROJECT_ROOT
from fork_support import COMMANDS
from hypothesis import given
from hypothesis import strategies as st
from nights_support import HandMade
from rich.table import Table
from rich.text import Text

from nightjar.cli.display import display_for
from nightjar.cli.outputs import print_json, print_line
from nightjar.cli.terminal import Door, Terminal, data_text
from nightjar.files.harmless_text import harmless, harmless_json

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202eab[/red]:smile:[bold]\r\x7f"
_OWN_STYLES = re.compile(r"\x1b\[[0-9;]*m")
_OF_PROGRESS = re.compile(r"\x1b\[(\?25[lh]|[0-9]*[AK])|\r")
_ALLOWED = "\n\t"


def obeyed(text: str) -> list[str]:
    """The characters in ``text`` that a terminal obeys, or that hide what is written."""
    left = _OF_PROGRESS.sub("", _OWN_STYLES.sub("", text))
    hidden = {"Cc", "Cs", "Zl", "Zp"}
    return [
        character
        for character in left
        if (unicodedata.category(character) in hidden and character not in _ALLOWED)
        or unicodedata.bidirectional(character) in {"LRO", "RLO", "LRE", "RLE", "PDF", "LRI", "RLI"}
    ]


@given(st.text(st.characters(codec=None), max_size=40))
def test_no_text_reaches_a_terminal_raw(text: str) -> None:
    """As a string, in a cell, with a style, in a title, below a bar."""
    output = io.StringIO()
    terminal = Terminal(file=output, force_terminal=True, width=60)
    table = Table(text, title=Text(text))
    table.add_row(text)
    table.add_row(Text(text, "bold"))
    table.add_row(data_text(text))
    for what in (text, Text(text, "red"), table):
        terminal.print(what)
    print_line(terminal, text)
    with display_for(terminal) as display:
        bar = display.open(text)
        bar.start(text, 2, text)
        bar.advance(1, text)
        display.close(text, text)
    assert obeyed(output.getvalue()) == []
    output.getvalue().encode()


@given(st.text(st.characters(codec=None), max_size=40))
def test_json_keeps_its_value_and_has_no_control_characters(text: str) -> None:
    for is_ascii in (False, True):
        shown = harmless_json(json.dumps([text, {text: 1}], ensure_ascii=False), is_ascii)
        assert json.loads(shown) == [text, {text: 1}]
        assert obeyed(shown) == []
        assert shown.isascii() or not is_ascii


def test_printed_json_is_a_terminals_too(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"word": HOSTILE})
    shown = capsys.readouterr().out
    assert json.loads(shown) == {"word": HOSTILE}
    assert obeyed(shown) == []


def test_what_is_no_control_character_stays() -> None:
    text = "king \u4e2d\u0645\u200c\U0001f469\u200d\u2708\ufe0f\n\tb"
    assert harmless(text) == text
    output = io.StringIO()
    Terminal(file=output, width=80, highlight=False).print("[bold]a[/bold] :smile: [/x]")
    assert output.getvalue() == "[bold]a[/bold] :smile: [/x]\n"


def test_a_column_is_as_wide_as_the_escapes() -> None:
    output = io.StringIO()
    table = Table("word")
    table.add_row(data_text("\x1b[31mred"))
    Terminal(file=output, width=60).print(table)
    assert "\\x1b[31mred" in output.getvalue()


def test_log_lines_and_messages_of_libraries_pass_the_door() -> None:
    stream = io.StringIO()
    door = Door(stream)
    handler = logging.StreamHandler(door)  # type: ignore[type-var]
    handler.emit(logging.LogRecord("x", logging.INFO, "", 0, HOSTILE, (), None))
    print(HOSTILE, file=door)  # type: ignore[call-overload]
    door.writelines([HOSTILE])
    assert obeyed(stream.getvalue()) == []
    with pytest.raises(AttributeError):
        door.buffer  # noqa: B018


def test_the_programs_own_styles_pass_the_door() -> None:
    stream = io.StringIO()
    terminal = Terminal(file=Door(stream), force_terminal=True, width=60)
    terminal.print(Text(HOSTILE, "red"))
    assert stream.getvalue().startswith("\x1b[31m")
    assert obeyed(stream.getvalue()) == []


def test_nothing_but_the_door_prints() -> None:
    """No module makes a console of its own, prints, or writes to a stream."""
    found = []
    folders = [PROJECT_ROOT / name for name in ("nightjar", "flows", "tasks")]
    for path in (path for folder in folders for path in folder.rglob("*.py")):
        if path.name == "terminal.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                if called in _PRINTING or called.endswith(_WRITING):
                    found.append(f"{path.name}:{node.lineno}: {called}")
    assert found == []


_PRINTING = {"print", "Console", "rich.print", "pprint"}
_WRITING = (".echo", ".secho", "stdout.write", "stderr.write", "stdout.writelines", "from_markup")


# -- the commands ------------------------------------------------------------------------------


TOKENS = ("\x1b[31mred", "\x9b2J", "b\x07ell", "\u202eback", "[/red]", ":smile:")
DOC_ID = "id\x1b]0;owned\x07\n[bold]\u202e"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline whose words, document ids, file names, reasons and titles are hostile."""
    project = HandMade(tmp_path_factory.mktemp("hostile") / "project")
    vectors = project.directory / "vectors.txt"
    lines = vectors.read_text().splitlines()
    lines += [f"{token} 1.0 0.{number} 0.0" for number, token in enumerate(TOKENS)]
    vectors.write_text("\n".join(lines) + "\n", encoding="utf-8")
    named = "a\x1b[2Jb.jsonl"
    texts = [{"id": f"{DOC_ID}{number}", "text": f"left{number} \x1b[31mred right{number}."}
             for number in range(20)]  # fmt: skip
    (project.directory / named).write_text("\n".join(map(json.dumps, texts)) + "\n")
    source = {"type": "jsonl", "path": "*.jsonl", "text_field": "text", "id_field": "id"}
    project.document["corpora"]["text"]["sources"] = {"s": source}
    project.save()
    project.night(promotes=True)
    (project.directory / "z.jsonl").write_text(json.dumps({**texts[0], "id": DOC_ID}) + "\n")
    texts[3]["text"] = "another text"
    (project.directory / named).write_text("\n".join(map(json.dumps, texts[2:])) + "\n")
    project.night(promotes=True)
    return project.path


@pytest.mark.parametrize(
    "arguments",
    [
        ("neighbors", TOKENS[0], "-n", "30"),
        ("neighbors", "left1", TOKENS[0], "--not", TOKENS[3]),
        ("analogy", TOKENS[0], TOKENS[1], TOKENS[2]),
        ("similar", TOKENS[0], TOKENS[3]),
        ("cluster", *TOKENS),
        ("odd", *TOKENS),
        ("rank", "\x1b[31mred left1", "\x1b[2Jleft1", "left2 right2"),
        ("encode", "\x1b[31m left1 \x9b"),
        ("diff", "documents"),
        ("report",),
        ("plan",),
        ("nights",),
        ("nights", "show", "2"),
        ("versions",),
        ("show", "words"),
        ("show", "documents"),
        ("verify",),
        ("hold", "words", "--reason", HOSTILE),
        ("history",),
        ("resume", "words", "--reason", HOSTILE),
        ("collect", "--dry-run"),
        ("neighbors", "\x1b[31munknown"),
        ("neighbors", "left1", "-m", "\x1b[31munknown"),
    ],
)
@pytest.mark.parametrize("form", ["text", "json"])
def test_what_a_command_prints_is_harmless(
    hostile: Path, arguments: tuple[str, ...], form: str
) -> None:
    if form == "json" and arguments[0] == "encode":
        return
    done = invoked(hostile, *arguments, *(["--json"] if form == "json" else []))
    assert obeyed(done.output) == []
    is_error = "\x1b[31munknown" in arguments
    assert is_error == (done.exit_code != 0), (done.output, done.exception)
    if not is_error and form == "json":
        json.loads(done.stdout)


def test_hostile_values_are_shown_as_escapes(hostile: Path) -> None:
    assert "\\x1b[31mred" in asked(hostile, "neighbors", TOKENS[0], TOKENS[1], "-n", "30") + asked(
        hostile, "odd", *TOKENS
    )
    assert "id\\x1b]0;owned\\x07\\n[bold]\\u202e" in asked(hostile, "diff", "documents")
    answers = asked_json(hostile, "neighbors", TOKENS[1], "-n", "30")["words"]["neighbors"]
    assert {near["token"] for near in answers} >= {TOKENS[0], TOKENS[3]}


@pytest.mark.integration
@pytest.mark.parametrize(
    "arguments",
    [
        ["\x1b[2Jcommand"],
        ["neighbors", "a", "--topn", "\x1b[2J"],
        ["neighbors", "a", "--\x1b[2J"],
        ["neighbors", "a", "-c", "\x1b[2J.yaml"],
        ["neighbors", "a", "-c", "hostile.yaml"],
        ["init", "\x1b[2J\udcff"],
    ],
)
def test_messages_about_arguments_are_harmless_on_a_terminal(
    tmp_path: Path, arguments: list[str]
) -> None:
    """The program in a process of its own, on a pseudo terminal."""
    (tmp_path / "hostile.yaml").write_text('pipeline: {name: "\\e[2J"}\n"\\e]0;x\\a": 1\n')
    (tmp_path / "\x1b[2J\udcff").mkdir()
    (tmp_path / "\x1b[2J\udcff" / "a").touch()
    ours, theirs = pty.openpty()
    code = COMMANDS.run_on(os.ttyname(theirs), arguments, {**os.environ, "TERM": "xterm"}, tmp_path)
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 65_536):
            shown += piece
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    assert code == 2, shown
    text = shown.decode()
    assert obeyed(text.replace("\r\n", "\n")) == []
    assert "Traceback" not in text
