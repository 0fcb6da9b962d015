"""Plots and pages: ranges, ticks, what is drawn where, and that text stays text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from nightjar.drawing import (
    Axis,
    Bar,
    Curve,
    MappedWord,
    Page,
    Point,
    bar_chart,
    curve_chart,
    map_of_words,
    place_words,
    standalone,
)
from nightjar.drawing.axes import Series, axis_range, spoilt, tick_text, ticks
from nightjar.scoring.item_values import item_values
from nightjar.scoring.metrics import ACCURACY, PURITY, SHARE, SPEARMAN

HOSTILE = '"><script>alert(1)</script>\u202e\x00&'


def series(values: Sequence[float], kept: Sequence[int] = (), half: float = 0.03) -> Series:
    return Series.of(
        values,
        [value - half for value in values],
        [value + half for value in values],
        [place in kept for place in range(len(values))],
    )


def test_one_spoilt_night_does_not_stretch_the_axis() -> None:
    values = [0.40, 0.41, 0.39, -0.9, 0.42, 0.40]
    assert spoilt(series(values)).tolist() == [False, False, False, True, False, False]
    shown = axis_range([series(values), series([0.2, 0.21, 0.2])])
    assert shown is not None
    assert 0.1 < shown[0] < 0.17
    assert 0.45 < shown[1] < 0.5


def test_champions_large_changes_and_few_nights_stay_in_the_axis() -> None:
    assert not spoilt(series([0.4, 0.41, 0.4, 0.9], kept=[3])).any()
    assert not spoilt(series([0.4] * 6 + [0.9] * 4)).any()
    assert not spoilt(series([0.4, -0.9])).any()
    assert not spoilt(series([0.4, 0.4, 0.41, 0.36])).any()  # within its interval
    assert axis_range([]) is None


def test_a_spoilt_value_is_told_by_the_scale_of_its_own_series() -> None:
    seconds = [1200.0, 1210.0, 1195.0, 9000.0, 1205.0]
    assert spoilt(series(seconds, half=0)).tolist() == [False, False, False, True, False]
    assert not spoilt(series([0.0, 0.0, 0.0], half=0)).any()
    points = [Point(n, value) for n, value in enumerate(seconds)]
    drawn = curve_chart("seconds", [Curve("a", points)], Axis("night"), Axis("s"))
    assert "9,000" not in drawn
    assert "1,2" in drawn


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, ["0.00", "0.25", "0.50", "0.75", "1.00"]),
        (0.301, 0.339, ["0.31", "0.32", "0.33"]),
        (0, 123_456, ["0", "25 k", "50 k", "75 k", "100 k"]),
        (2.5442, 2.8544, ["2.6", "2.7", "2.8"]),
        (-0.02, 0.03, ["-0.02", "0.00", "0.02"]),
    ],
)
def test_ticks_are_round_numbers(low: float, high: float, expected: list[str]) -> None:
    found = ticks(low, high)
    assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in found)
    assert 2 <= len(found) <= 5
    texts = [tick_text(tick, found[1] - found[0]) for tick in found]
    assert len(set(texts)) == len(texts)
    assert texts == expected


def test_a_curve_has_its_points_intervals_and_marks() -> None:
    points = [
        Point(place, value, value - 0.02, value + 0.02, f"v{place}", is_marked=place == 0)
        for place, value in enumerate((0.30, 0.31, 0.02, 0.32, 0.31, 0.30))
    ]
    names = {place: f"{place} v{place}" for place in range(6)}
    drawn = curve_chart("pairs", [Curve("", points)], Axis("night", names), Axis("spearman"))
    ET.fromstring(drawn)
    assert drawn.count("interval") == 5  # the spoilt one is an arrow at the edge
    assert drawn.count("h8l-4 8z") == 1
    assert drawn.count("l6 6l-6 6") == 1
    assert re.findall(r">(\d v\d)<", drawn) == [f"{place} v{place}" for place in range(6)]
    assert ">night</text>" in drawn
    assert ">spearman</text>" in drawn


def test_names_below_an_axis_are_left_out_before_they_collide() -> None:
    points = [Point(place, 0.5 + 0.01 * (place % 3)) for place in range(60)]
    names = {place: f"{place} v{place}" for place in range(60)}
    drawn = curve_chart("x", [Curve("", points)], Axis("night", names), Axis("score"))
    shown = re.findall(r'x="([\d.]+)"[^>]*>(\d+ v\d+)<', drawn)
    places = [float(x) for x, _ in shown]
    assert 3 <= len(shown) <= 8
    assert min(np.diff(places)) > 40
    assert shown[-1][1] == "59 v59"


def test_nothing_is_drawn_of_nothing() -> None:
    assert curve_chart("x", [Curve("", [])], Axis(""), Axis("")) == ""
    assert bar_chart("x", [], "n") == ""
    assert map_of_words("x", [], np.zeros((0, 2)), ()) == ""


def test_a_bar_is_as_long_as_its_value() -> None:
    drawn = bar_chart("x", [Bar("a", 10.0, "10"), Bar("b", 5.0, "5"), Bar("c", 0.0, "0")], "n")
    widths = [float(found) for found in re.findall(r'bar" [^>]*width="([\d.]+)"', drawn)]
    assert widths == [364.0, 182.0, 0.0]


def test_hostile_text_is_text_in_every_drawing() -> None:
    page = Page(HOSTILE)
    page.table((HOSTILE,), [(HOSTILE,), ("long " * 50,)])
    page.words([(HOSTILE, 1)])
    page.figures({HOSTILE: HOSTILE})
    page.items([HOSTILE])
    with page.folded(HOSTILE):
        page.alarm(HOSTILE)
    page.plots(
        bar_chart(HOSTILE, [Bar(HOSTILE, 1.0, HOSTILE)], HOSTILE),
        curve_chart(
            HOSTILE,
            [Curve(HOSTILE, [Point(0, 1.0, said=HOSTILE)]), Curve(HOSTILE, [Point(0, 2.0)])],
            Axis(HOSTILE, {0: HOSTILE}),
            Axis(HOSTILE),
        ),
    )
    words = [MappedWord(HOSTILE, 1), MappedWord("日本語", 2, 1)]
    page.part(map_of_words(HOSTILE, words, np.zeros((2, 2)), (HOSTILE,)))
    html = page.html()
    assert "<script" not in html
    assert "\u202e" not in html
    assert "\x00" not in html
    assert "日本語" in html
    assert "script-src" not in html
    assert page.html() == html


def test_a_script_runs_by_its_hash_alone() -> None:
    html = Page("x", script="1;").html()
    assert "script-src 'sha256-" in html
    assert "<script>1;</script>" in html
    assert "default-src 'none'" in html


def test_a_chart_can_stand_alone() -> None:
    made = standalone(bar_chart("a > b", [Bar("x", 0.5, "0.500", 0.4, 0.6)], "n", most=1.0))
    root = ET.fromstring(made)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "0.500" in made
    assert "#4477aa" in made


def test_a_map_is_the_same_each_time_and_keeps_neighbours_together() -> None:
    generator = np.random.default_rng(1)
    centres = generator.standard_normal((4, 8)) * 4
    groups = np.repeat(np.arange(4), 30)
    vectors = (centres[groups] + generator.standard_normal((120, 8))).astype(np.float32)
    places = place_words(vectors)
    np.testing.assert_array_equal(places, place_words(vectors))
    means = np.stack([places[groups == number].mean(axis=0) for number in range(4)])
    within = np.linalg.norm(places - means[groups], axis=1).mean()
    apart = np.linalg.norm(means[:, np.newaxis] - means, axis=2)[~np.eye(4, dtype=bool)].min()
    assert apart > 2 * within


@pytest.mark.parametrize("n_words", [1, 2, 3, 5])
def test_few_words_have_a_place(n_words: int) -> None:
    vectors = np.eye(n_words, 6, dtype=np.float32)
    assert np.isfinite(place_words(vectors)).all()
    words = [MappedWord(f"w{place}", 1) for place in range(n_words)]
    assert map_of_words("x", words, place_words(vectors), ()).count("<circle") == n_words


def test_the_worth_of_an_item_depends_on_the_metric() -> None:
    def worth(metric: str, answers: list[float], gold: list[float]) -> list[float]:
        return item_values(metric, np.array(answers, float), np.array(gold, float)).tolist()

    assert worth(SPEARMAN, [0.1, 0.2, 0.3], [1, 2, 3]) == [1, 1, 1]
    assert worth(SPEARMAN, [0.3, 0.2, 0.1], [1, 2, 3]) == [0, 1, 0]
    assert worth(SPEARMAN, [0.5, 0.5, 0.1], [2, 2, 1]) == [1, 1, 1]
    assert worth(ACCURACY, [1, 0], [1, 1]) == [1, 0]
    assert worth(SHARE, [1, 2, 0], [2, 2, 0]) == [0.5, 1, 0]
    assert worth(PURITY, [0, 0, 0, 1], [5, 5, 6, 6]) == [1, 1, 0, 1]
    assert worth(SPEARMAN, [], []) == []
