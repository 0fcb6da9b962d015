"""Progress for people: bars on a terminal, occasional plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import TracebackType

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from nightjar import progress
from nightjar.progress import FETCH, on_demand

PLAIN_LINE_SECONDS = 10.0


class _Bars(Progress):
    """Bars, followed by each step's remark on its own line to fit 80 columns."""

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bars, then the remarks."""
        yield self.make_tasks_table(self.tasks)
        for task in self.tasks:
            if task.fields["note"]:
                yield Text(f"  {task.fields['note']}", "dim", no_wrap=True, overflow="ellipsis")


class BarDisplay:
    """Shows a bar for each step; finished steps stay above as lines."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = _Bars(
            SpinnerColumn(),
            TextColumn("{task.fields[step]:<24}", markup=False),
            BarColumn(bar_width=16),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> BarDisplay:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def refresh(self) -> None:
        """Draw now instead of at the next tenth of a second."""
        self._progress.refresh()

    def open(self, label: str) -> _StepBar:
        """A bar for the step ``label``."""
        task = self._progress.add_task("", total=None, step=label, note="")
        self._tasks[label] = task
        return _StepBar(self._progress, task, label)

    def close(self, label: str, outcome: str) -> None:
        """Replace the bar by a line."""
        self._progress.remove_task(self._tasks.pop(label))
        mark = ("x", "red") if outcome == "failed" else ("ok", "green")
        self._console.print(Text.assemble(mark, f" {label:<28} {outcome}"))


class _StepBar:
    def __init__(self, progress: Progress, task: TaskID, label: str) -> None:
        self._progress = progress
        self._task = task
        self._label = label
        self._phase = ""

    def start(self, label: str, total: float | None, unit: str) -> None:
        del unit
        # reset() drops every field that is not passed again.
        self._progress.reset(self._task, total=total, step=self._label, note=label)
        self._phase = label

    def advance(self, amount: float, note: str = "") -> None:
        self._progress.update(self._task, advance=amount, note=note or self._phase)


class LineDisplay:
    """Prints a line when a step starts and ends, and every ten seconds in between."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __enter__(self) -> LineDisplay:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass

    def open(self, label: str) -> _StepLines:
        """Lines for the step ``label``."""
        self.line(f"{label}: started")
        return _StepLines(self, label)

    def close(self, label: str, outcome: str) -> None:
        """Print the step's last line."""
        self.line(f"{label}: {outcome}")

    def line(self, text: str) -> None:
        """Print one line, unwrapped and without markup.

        A pipe that nobody reads any more, or a full disk below a log, fails no step. The command
        says so when it prints its result.
        """
        with suppress(OSError):
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class _StepLines:
    def __init__(self, display: LineDisplay, label: str) -> None:
        self._display = display
        self._label = label
        self._phase = ""
        self._total: float | None = None
        self._done = 0.0
        self._told_at = time.monotonic()

    def start(self, label: str, total: float | None, unit: str) -> None:
        del unit
        self._phase, self._total, self._done = label, total, 0.0

    def advance(self, amount: float, note: str = "") -> None:
        self._done += amount
        now = time.monotonic()
        if now - self._told_at < PLAIN_LINE_SECONDS:
            return
        self._told_at = now
        share = f"{100 * self._done / self._total:.0f} %" if self._total else f"{self._done:.0f}"
        self._display.line(f"{self._label}: {self._phase} {share} {note}".rstrip())


def display_for(console: Console) -> BarDisplay | LineDisplay:
    """Return bars for a terminal, lines elsewhere."""
    return BarDisplay(console) if console.is_terminal else LineDisplay(console)


@contextmanager
def fetch_progress(console: Console) -> Iterator[progress.Progress]:
    """Show the progress of fetching on ``console``; shows nothing if nothing is fetched."""
    with ExitStack() as stack:
        display = display_for(console)

        def open_() -> progress.Progress:
            stack.enter_context(display)
            return display.open(FETCH)

        with on_demand(open_, lambda outcome: display.close(FETCH, outcome)) as shown:
            yield shown


@contextmanager
def steps_progress(console: Console) -> Iterator[Callable[[str], progress.Progress]]:
    """Yield a function that opens a listener for a step, shown on ``console``."""
    with display_for(console) as display:
        opened: list[str] = []

        def open_(label: str) -> progress.Progress:
            if opened:
                display.close(opened.pop(), "done")
            opened.append(label)
            return display.open(label)

        outcome = "failed"
        try:
            yield open_
            outcome = "done"
        finally:
            for label in opened:
                display.close(label, outcome)
