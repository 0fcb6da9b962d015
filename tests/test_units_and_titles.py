"""What models have vectors of is named by its kind, and items have titles beside their ids."""

from __future__ import annotations

from html import escape
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from dash import dcc
from events_support import publish_events
from explorer_support import HOSTILE
from kinds_support import KindsProject

from nightjar.cli.questions import _why_nothing
from nightjar.core.units import MIXED, unit_of, unit_of_all
from nightjar.drawing import MappedWord, map_of_words
from nightjar.explorer.controls import navigation
from nightjar.explorer.pages.elements import word_links
from nightjar.explorer.view import View
from nightjar.files.harmless_text import visible
from nightjar.formats.item_titles import Titles, titles_in, titles_of
from nightjar.wording import counted, plural_of, with_article


def test_the_unit_is_that_of_the_corpus(tmp_path: Any) -> None:
    config = KindsProject(tmp_path).loaded.config
    assert unit_of(config, "nodes") == "node"
    assert unit_of(config, "items") == "item"
    assert unit_of_all(config, ["items"]) == "item"
    assert unit_of_all(config, config.models) == MIXED
    assert unit_of(config, "removed") == "word"


@pytest.mark.parametrize("unit", ["word", "node", "item", MIXED])
def test_singular_and_plural_are_right(unit: str) -> None:
    plural = "entries" if unit == MIXED else f"{unit}s"
    assert (counted(1, unit), counted(2, unit)) == (f"1 {unit}", f"2 {plural}")
    assert plural_of(unit) == plural
    assert with_article(unit) == f"{'a' if unit in ('word', 'node') else 'an'} {unit}"
    links = [link.children for link in navigation(View(), unit).children]
    assert links[1] == plural.capitalize()
    assert f"Moved {plural}" in links


class Items:
    """A model of two items, the first with a title."""

    item_recommender = True

    def __init__(self, title: str | None) -> None:
        self.title = title

    def titles_of(self, tokens: list[str]) -> list[str | None]:
        return [self.title if token == "a" else None for token in tokens]


class Table:
    """A table of two items."""

    def __len__(self) -> int:
        return 2

    def tokens_of(self, rows: Any) -> list[str]:
        return ["a", "b"][: len(rows)]


def test_an_empty_recommendation_says_why() -> None:
    model = cast("Any", SimpleNamespace(table=Table()))
    assert "all 2 items that it knows are in the history" in _why_nothing(model, ["b", "a", "x"])
    assert "no other item stood near" in _why_nothing(model, ["a", "x"])


def test_titles_stand_beside_ids() -> None:
    titles = titles_of(cast("Any", Items("Alpine tent")), ["a", "b"])
    assert titles.named_all(["a", "b"]) == ["a (Alpine tent)", "b"]
    assert Titles({"a": "a"}).named("a") == "a"
    assert titles_of(cast("Any", SimpleNamespace(item_recommender=None)), ["a"]) == Titles()


def test_titles_are_read_of_events(tmp_path: Any) -> None:
    facts = [{"item": "a", "title": "Alpine tent"}, {"item": "b", "title": None}]
    events = publish_events(tmp_path, [("u", item, n) for n, item in enumerate("abc")], facts)
    assert titles_in(events, ["a", "b", "c", "a"]) == Titles({"a": "Alpine tent"})
    assert titles_in(events, []) == titles_in(None, ["a"]) == Titles()


@pytest.mark.parametrize("hostile", HOSTILE[:2])
def test_a_map_shows_titles_as_text(hostile: str) -> None:
    words = [MappedWord(f"i{place}", 5, title=hostile) for place in range(4)]
    drawn = map_of_words("items", words, np.eye(4, 2), (), "item")
    assert "find an item" in drawn
    assert escape(visible(hostile).lower(), quote=True) in drawn
    assert "<script" not in drawn
    assert "<img" not in drawn


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_titles_are_text_of_one_line(hostile: str) -> None:
    link = word_links(View("/words"), cast("Any", Items(hostile)), ["a"])("a")
    assert isinstance(link, dcc.Link)
    assert link.href == "/words?word=a"
    shown = link.children[-1].children
    assert isinstance(shown, str)
    assert shown.isprintable()
    assert len(shown) <= 48
