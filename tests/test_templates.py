"""The graph and the shop of ``nightjar init`` go their first nights; shuffled data are blocked."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from conftest import run_a_night
from nights_support import outcome

from nightjar.cli.project_template import write_project
from nightjar.config import load_config
from nightjar.core import Night
from nightjar.pipeline.answerers import Answerers
from nightjar.pipeline.outcome import read_outcomes, sample_words

QUICK = ["training.workers=1", "training.deterministic=true", "evaluation.bootstrap_samples=50"]
SMALLER = {
    "graph": [
        *("corpora.people.walks.per_node=4", "corpora.people.walks.length=20"),
        *("models.skipgram.vector_size=24", "models.skipgram.epochs=5"),
        *("models.prone.vector_size=24", "evaluation.benchmarks.faculties.splits=2"),
    ],
    "items": ["models.items.vector_size=16", "models.items.epochs=10"],
}
ROWS = {"graph": "edges.csv", "items": "events.csv"}


class Project:
    """A template's project and its two nights: as it was written, and with shuffled rows."""

    def __init__(self, directory: Path, template: str) -> None:
        self.path = write_project(directory, template).directory / "pipeline_config.yaml"
        self.overrides = [*QUICK, *SMALLER[template]]
        self.first = self.night()
        rows = directory / "data" / ROWS[template]
        header, *lines = rows.read_text(encoding="utf-8").splitlines()
        columns = [
            list(column) for column in zip(*(line.split(",") for line in lines), strict=True)
        ]
        random.Random(1).shuffle(columns[1])
        shuffled = [",".join(row) for row in zip(*columns, strict=True)]
        rows.write_text("\n".join([header, *shuffled]) + "\n", encoding="utf-8")
        self.spoilt = self.night()

    def night(self) -> Night:
        return run_a_night(self.path, *self.overrides, promotes=True)


@pytest.fixture(scope="module")
def campus(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("above") / "campus", "graph")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("above") / "shop", "items")


def test_the_graph_is_learned_and_shuffled_edges_are_blocked(campus: Project) -> None:
    assert [outcome(campus.first, model) for model in ("skipgram", "prone")] == ["promoted"] * 2
    assert not campus.first.alarms
    loaded = load_config(campus.path, campus.overrides)
    scores = {found.model: found.scores for found in read_outcomes(loaded, campus.first)}
    assert min(found["faculties"].value or 0 for found in scores.values()) > 0.8
    assert [outcome(campus.spoilt, model) for model in ("skipgram", "prone")] == ["blocked"] * 2


def test_the_shop_is_learned_and_shuffled_events_are_blocked(shop: Project) -> None:
    """The champion's score falls as much: the items are out of the same events."""
    assert outcome(shop.first, "items") == "promoted"
    assert not shop.first.alarms
    assert outcome(shop.spoilt, "items") == "blocked"
    (decision,) = shop.spoilt.decisions
    assert "next is 0." in decision["reason"]
    assert "required 0.3" in decision["reason"]


def test_people_are_shown_nodes_and_items_to_ask_for(campus: Project, shop: Project) -> None:
    for project, model, token in ((campus, "prone", "node"), (shop, "items", "item")):
        loaded = load_config(project.path, project.overrides)
        found = {one.model: one for one in read_outcomes(loaded, project.first)}[model]
        assert found.embeds == token
        (sample,) = sample_words(loaded, found, 1)
        answerers = Answerers(loaded)
        with answerers.opened(answerers.model(model)) as opened:
            answer = opened.neighbors([sample.word], 5)[0]
        assert tuple(near.token for near in answer) == sample.neighbors
