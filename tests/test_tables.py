"""Tables on narrow terminals: nothing is cut, and no number is broken."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from asking_support import asked
from nights_support import POOR, HandMade
from rich.console import Console
from rich.text import Text

from nightjar.cli.run_commands import print_outcomes
from nightjar.cli.tables import plain_table, print_table
from nightjar.cli.terminal import Terminal
from nightjar.pipeline import ModelOutcome
from nightjar.scoring.scores import Score

WHY = "the score is 0.4290 and at least 0.4100 is needed"


def printed(width: int, *columns: str, wraps: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    output = io.StringIO()
    console = Terminal(file=output, width=width, highlight=False)
    table = plain_table(*columns, wraps=wraps)
    for row in rows:
        table.add_row(*map(Text, row))
    print_table(console, table)
    assert max(map(len, output.getvalue().splitlines())) <= width
    return output.getvalue()


ROWS = [("train word2vec-skipgram", "0123456789ab", "12,345.6", WHY)]
COLUMNS = ("step", "version", "seconds", "why")


def test_a_table_that_fits_is_one() -> None:
    assert printed(120, *COLUMNS, wraps=("why",), rows=ROWS).splitlines() == [
        f"step                     version       seconds   {'why':<{len(WHY)}}",
        f"train word2vec-skipgram  0123456789ab  12,345.6  {WHY}",
    ]


def test_prose_takes_several_lines_first() -> None:
    lines = printed(80, *COLUMNS, wraps=("why",), rows=ROWS).splitlines()
    assert lines[1].startswith("train word2vec-skipgram  0123456789ab  12,345.6  the score is")
    assert len(lines) == 3


def test_prose_goes_below_where_there_is_no_room_beside() -> None:
    assert printed(60, *COLUMNS, wraps=("why",), rows=ROWS).splitlines() == [
        "step                     version       seconds",
        "train word2vec-skipgram  0123456789ab  12,345.6",
        "  why: the score is 0.4290 and at least 0.4100 is needed    ",
    ]


def test_values_that_do_not_fit_have_their_names() -> None:
    assert [
        line.rstrip() for line in printed(30, *COLUMNS, wraps=("why",), rows=ROWS).splitlines()
    ] == [
        "train word2vec-skipgram",
        "  version\u00a00123456789ab,",
        "  seconds\u00a012,345.6, why\u00a0the",
        "  score is 0.4290 and at least",
        "  0.4100 is needed",
    ]


def outcomes(n_benchmarks: int) -> list[ModelOutcome]:
    scores = {
        f"google-analogies-{number}": Score(
            model="word2vec-skipgram", benchmark="b", category="all", metric="accuracy",
            value=0.039, ci_low=0.031, ci_high=0.052, n_items=19_544, n_covered=13_908,
            max_vocabulary=300_000, seconds=1.0, is_main=True,
        )
        for number in range(n_benchmarks)
    }  # fmt: skip
    return [
        ModelOutcome("word2vec-skipgram", "n-w", "v", 5, scores, 12, "blocked", "too low", "", 11)
    ]


@pytest.mark.parametrize("n_benchmarks", [1, 2, 3, 5, 12])
def test_the_table_of_a_night_breaks_no_number(n_benchmarks: int) -> None:
    output = io.StringIO()
    print_outcomes(Console(file=output, width=80), outcomes(n_benchmarks))
    text = output.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    for value in ("0.039", "0.03 to 0.05", "13908/19544"):
        assert text.count(value) == n_benchmarks, text
    assert "v12 blocked" in text
    assert "v11 is champion" in text


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> HandMade:
    project = HandMade(Path(tmp_path_factory.mktemp("tables")) / "project")
    project.night()
    project.write_vectors(POOR)
    project.night()
    return project


NUMBER = re.compile(r"\d{4}-\d\d-\d\d|\d\.\d{3,4}\b|\b[0-9a-f]{12}\b")


@pytest.mark.parametrize(
    "arguments",
    [("plan",), ("nights",), ("nights", "show", "2"), ("versions",), ("show", "words"),
     ("history",), ("why", "words"), ("collect", "--dry-run"), ("neighbors", "left1", "left2")],
)  # fmt: skip
def test_commands_say_the_same_at_80_columns_as_at_300(
    nights: HandMade, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {}
    for width in (80, 300):
        monkeypatch.setenv("COLUMNS", str(width))
        text = asked(nights.path, *arguments)
        found[width] = sorted(NUMBER.findall(text))
        assert "\u2026" not in text, text
    if arguments == ("versions",):  # parents are listed on wide terminals alone
        assert set(found[80]) <= set(found[300])
    else:
        assert found[80] == found[300]
