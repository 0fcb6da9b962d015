"""Recommending: each way against its definition, new items, files and questions of a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from lookup_support import SETTINGS
from numpy.typing import NDArray

from nightjar.model.lookup import (
    Memory,
    ModelContent,
    NearItems,
    QueryError,
    Recommender,
    RecommenderContent,
    RecommenderSettings,
    Rows,
    UnknownWords,
    VectorModel,
    answer,
    write_model,
)
from nightjar.model.lookup.recommending import NEW_ITEMS_SCHEMA, TEMPERATURE

N_ITEMS, SIZE = 12, 5
MEMORIES = {
    "output": Memory(3, 0.5),
    "input": Memory(2, 1.0),
    "cooccurrence": Memory(4, 0.8),
}
SETTINGS_OF_ITEMS = RecommenderSettings(**MEMORIES, blend=(0.5, 0.2, 0.3))
GENERATOR = np.random.default_rng(3)
INPUTS = GENERATOR.standard_normal((N_ITEMS, SIZE)).astype(np.float32)
OUTPUTS = GENERATOR.standard_normal((N_ITEMS, SIZE)).astype(np.float32)
LISTS = [
    {
        int(j): float(s)
        for j, s in zip(GENERATOR.permutation(N_ITEMS)[:n], range(1, 9), strict=False)
    }
    for n in (0, 3, 5, 2, 1, 4, 6, 2, 3, 1, 8, 2)
]
PLACED = {N_ITEMS: [1, 4, 7], N_ITEMS + 1: [2]}


def near_items() -> NearItems:
    items = [item for near in LISTS for item in near]
    shares = [share / 40 for near in LISTS for share in near.values()]
    bounds = np.cumsum([0, *map(len, LISTS)])
    return NearItems(bounds, np.array(items, np.int32), np.array(shares, np.float32))


def recommender() -> Recommender:
    placed = {row: np.array(rows) for row, rows in PLACED.items()}
    return Recommender(SETTINGS_OF_ITEMS, INPUTS, OUTPUTS, near_items(), placed)


def expected(history: list[int], way: str) -> NDArray[np.float64]:
    """By the definition, one item at a time."""
    memory = MEMORIES[way]
    last = history[-memory.k :]
    weights = np.array([memory.decay ** (len(last) - 1 - place) for place in range(len(last))])
    weights /= weights.sum()
    units = INPUTS / np.linalg.norm(INPUTS, axis=1, keepdims=True)
    shares = np.zeros((N_ITEMS, N_ITEMS))
    for row, near in enumerate(LISTS):
        for item, share in near.items():
            shares[row, item] = share / 40
    table = {"output": INPUTS, "input": units, "cooccurrence": shares}[way]
    rows = [np.mean([table[known] for known in PLACED.get(row, [row])], axis=0) for row in last]
    mean = weights @ np.array(rows)
    if way == "cooccurrence":
        return np.asarray(mean)
    scores = (
        OUTPUTS @ mean if way == "output" else units @ mean / np.linalg.norm(mean) / TEMPERATURE
    )
    exponents = np.exp(scores - scores.max())
    return np.asarray(exponents / exponents.sum())


HISTORIES = [[3], [1, 2, 3, 4, 5, 6], [N_ITEMS], [2, N_ITEMS, 5, N_ITEMS + 1], [7, 7]]


@pytest.mark.parametrize("way", list(MEMORIES))
def test_each_way_gives_the_probabilities_of_its_definition(way: str) -> None:
    found = recommender().probabilities([np.array(history) for history in HISTORIES], way)
    for history, row in zip(HISTORIES, found, strict=True):
        np.testing.assert_allclose(row, expected(history, way), rtol=2e-4, atol=1e-7)


def test_a_blend_is_the_weighted_mean_of_its_ways() -> None:
    found = recommender().probabilities([np.array(history) for history in HISTORIES], "blend")
    for history, row in zip(HISTORIES, found, strict=True):
        parts = [expected(history, way) for way in MEMORIES]
        np.testing.assert_allclose(row, np.array([0.5, 0.2, 0.3]) @ parts, rtol=2e-4, atol=1e-7)


def model_in(directory: Path, *, has_outputs: bool = True) -> VectorModel:
    """A model of items, written and opened."""
    directory.mkdir()
    names = [f"item {row}" for row in range(N_ITEMS)]
    settings = SETTINGS_OF_ITEMS
    if not has_outputs:
        settings = replace(settings, output=None, blend=(0.0, 0.4, 0.6))
    new = [
        {"item": "new", "title": "A new one", "placed": [1, 4, 7]},
        {"item": "newer", "title": None, "placed": [2]},
        {"item": "unlike", "title": "Nothing like it", "placed": []},
    ]
    content = RecommenderContent(
        settings,
        OUTPUTS if has_outputs else None,
        near_items(),
        pa.array([f"Title {row}" if row % 2 else None for row in range(N_ITEMS)]),
        pa.Table.from_pylist(new, schema=NEW_ITEMS_SCHEMA),
    )
    rows = [Rows(names, np.arange(N_ITEMS, 0, -1), INPUTS)]
    write_model(directory, ModelContent("shop", SETTINGS, N_ITEMS, SIZE, rows, recommender=content))
    return VectorModel.open(directory)


def test_a_served_model_recommends_what_was_not_seen_best_first(tmp_path: Path) -> None:
    model = model_in(tmp_path / "model")
    found = model.recommend(["item 2", "new", "item 5", "newer"], topn=4)
    scores = np.array([0.5, 0.2, 0.3]) @ [expected(HISTORIES[3], way) for way in MEMORIES]
    scores[[2, 5]] = 0
    best = np.argsort(-scores)[:4]
    assert [one.item for one in found] == [f"item {row}" for row in best]
    assert [one.title for one in found] == [f"Title {row}" if row % 2 else None for row in best]
    np.testing.assert_allclose([one.score for one in found], scores[best], rtol=1e-3)
    again = model.recommend(["item 2", "new", "item 5", "newer"], topn=N_ITEMS, may_repeat=True)
    assert {"item 2", "item 5"} <= {one.item for one in again}
    assert model.titles_of(["item 1", "new", "nothing"]) == ["Title 1", "A new one", None]


def test_questions_are_answered_as_over_http(tmp_path: Path) -> None:
    model = model_in(tmp_path / "model")
    asked = {"task": "recommend", "topn": 2, "by": "output"}
    found = answer(model, ["item 1", "unknown"], asked)
    assert found == [
        {"item": one.item, "score": one.score, "title": one.title}
        for one in model.recommend(["item 1"], 2, "output")
    ]
    (near,) = answer(model, ["item 1"], {"task": "neighbors", "topn": 3})
    assert [one["title"] for one in near] == model.titles_of([one["token"] for one in near])
    several = answer(model, [{"items": ["item 1"], **asked}, {"items": ["new"], **asked}], {})
    assert several[0] == found
    assert len(several[1]) == 2
    assert model.unknown_items(["item 1", "unknown", "unlike", "new"]) == ["unknown", "unlike"]


@pytest.mark.parametrize(
    ("history", "parameters", "error", "message"),
    [
        (["nothing", "unlike"], {}, UnknownWords, "knows none of 2 items"),
        ([], {}, QueryError, "no item is given"),
        (["item 1"], {"by": "magic"}, QueryError, "choose blend or output or input"),
        (["item 1"], {"by": "output"}, QueryError, "no output vectors"),
        ([3], {}, QueryError, "expected the id of an item"),
    ],
)
def test_wrong_questions_are_refused(
    tmp_path: Path,
    history: list[str],
    parameters: dict[str, str],
    error: type[Exception],
    message: str,
) -> None:
    model = model_in(tmp_path / "model", has_outputs=False)
    with pytest.raises(error, match=message):
        answer(model, history, {"task": "recommend", **parameters})


def test_a_model_of_texts_recommends_nothing(tmp_path: Path) -> None:
    rows = [Rows(["a", "b"], np.array([2, 1]), INPUTS[:2])]
    write_model(tmp_path, ModelContent("text", SETTINGS, 2, SIZE, rows))
    with pytest.raises(QueryError, match="text recommends nothing"):
        VectorModel.open(tmp_path).recommend(["a"])


def test_items_without_any_probability_are_not_recommended(tmp_path: Path) -> None:
    model = model_in(tmp_path / "model")
    assert model.recommend(["item 0"], by="cooccurrence") == []
    found = model.recommend(["item 3"], by="cooccurrence")
    assert {one.item for one in found} == {f"item {row}" for row in LISTS[3] if row != 3}
