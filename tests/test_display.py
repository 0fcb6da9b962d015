"""Progress for people: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import errno
import io
import re

import pytest
from rich.console import Console

from nightjar.cli import display
from nightjar.cli.display import BarDisplay, LineDisplay, display_for
from nightjar.cli.terminal import Terminal


def terminal() -> tuple[Console, io.StringIO]:
    output = io.StringIO()
    return Console(file=output, force_terminal=True, width=120), output


def shown(output: io.StringIO) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output.getvalue())


def test_bars_show_step_phase_share_and_note_and_leave_a_line_behind() -> None:
    console, output = terminal()
    with BarDisplay(console) as bars:
        step = bars.open("train glove")
        for phase in ("count", "train"):
            step.start(phase, 200, "words")
            step.advance(50, f"{phase} note")
            bars.refresh()
        bars.close("train glove", "4.2 s")
        bars.open("evaluate glove").start("score", None, "items")
        bars.close("evaluate glove", "failed")
    text = shown(output)
    for phase in ("count", "train"):
        assert re.search(rf"train glove .* 25% .*\n  {phase} note", text)
    assert re.search(r"ok train glove +4\.2 s", text)
    assert re.search(r"x evaluate glove +failed", text)


def test_lines_say_start_and_end_and_now_and_then_the_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output = io.StringIO()
    with LineDisplay(Console(file=output, width=120)) as lines:
        step = lines.open("train glove")
        step.start("train", 200, "words")
        step.advance(10, "too early")
        monkeypatch.setattr(display, "PLAIN_LINE_SECONDS", 0.0)
        step.advance(90, "loss 0.1")
        lines.close("train glove", "4.2 s")
    assert output.getvalue().splitlines() == [
        "train glove: started",
        "train glove: train 50 % loss 0.1",
        "train glove: 4.2 s",
    ]


@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(errno.ENOSPC, "full")])
def test_lines_that_nobody_can_read_fail_no_step(error: OSError) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise error

    display = LineDisplay(Terminal(file=Closed()))
    display.open("train glove").start("train", 10, "words")
    display.close("train glove", "done")


def test_a_terminal_gets_bars_and_a_file_gets_lines() -> None:
    assert isinstance(display_for(terminal()[0]), BarDisplay)
    assert isinstance(display_for(Console(file=io.StringIO())), LineDisplay)
