"""The next item: ranks, baselines, what is fitted on validation, and what an evaluation asks."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from events_support import publish_events, publish_sessions, sessions_in
from lookup_support import model_of_artifact
from numpy.typing import NDArray
from sklearn.metrics import ndcg_score
from stage_support import context_of

from nightjar.config import NextItemBenchmark, Word2VecConfig
from nightjar.config.trainers import TrainingConfig
from nightjar.errors import BenchmarkError
from nightjar.formats.event_sessions import read_sessions
from nightjar.pipeline.item_histories import items_of_user
from nightjar.progress import SILENT
from nightjar.scoring.item_ranks import NOWHERE, discounted_gains, hide_seen, ranks_of_targets
from nightjar.scoring.metrics import score
from nightjar.stages.evaluate.benchmark_items import Examinee
from nightjar.stages.evaluate.held_out_sessions import HeldOutSessions
from nightjar.stages.evaluate.item_baselines import BASELINES
from nightjar.stages.evaluate.word_table import WordTable
from nightjar.stages.train import Lessons, train
from nightjar.stages.train.item_cooccurrence import count_near
from nightjar.stages.train.recommender_fitting import fit_recommender, place_new
from nightjar.store import Artifact, Identity, Staging, Store, publish, schemas

N_ITEMS = 30


def walks(n_users: int = 120, seed: int = 1) -> list[tuple[str, str, int]]:
    """Users who mostly go from an item to the next one on a circle."""
    drawing = random.Random(seed)
    events = []
    for user in range(n_users):
        place = drawing.randrange(N_ITEMS)
        for minute in range(drawing.randrange(5, 12)):
            events.append((f"u{user}", f"i{place}", minute))
            step = 1 if drawing.random() < 0.8 else drawing.randrange(N_ITEMS)
            place = (place + step) % N_ITEMS
    return events


FACTS = [
    {"item": f"i{n}", "title": f"Item {n}", "kind": f"k{n % 7}|all"} for n in range(N_ITEMS)
] + [{"item": "new", "title": "New", "kind": "k3|all"}]


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    root = tmp_path_factory.mktemp("events")
    return publish_events(
        root, walks(), FACTS, held_out={"share": 1.0}, sessions={"repeats": "once"}
    )


@pytest.fixture(scope="module")
def embeddings(events: Artifact) -> Artifact:
    root = events.directory.parents[1]
    tokens = publish_sessions(root, events)
    model = Word2VecConfig.model_validate(
        {"trainer": "word2vec", "vector_size": 8, "min_count": 1, "epochs": 15, "sample": 0,
         "window": 2, "window_side": "past", "ns_exponent": 0.25}
    )  # fmt: skip
    identity = Identity(
        schemas.EMBEDDINGS,
        "items",
        {"model": {}},
        {schemas.TOKENS: tokens.ref.version, schemas.EVENTS: events.ref.version},
    )

    def write(staging: Staging) -> None:
        training = TrainingConfig(deterministic=True)
        train("items", model, training, Lessons(tokens), context_of(staging, identity))
        fit_recommender("items", events, staging, SILENT)

    return Store(root).open(publish(root, identity, write))


def test_ranks_are_those_of_sorting() -> None:
    generator = np.random.default_rng(0)
    scores = generator.integers(0, 6, (40, 15)).astype(np.float32)
    seen = [generator.choice(20, n, replace=True) for n in generator.integers(1, 6, 40)]
    targets = generator.integers(-1, 15, 40)
    hidden = scores.copy()
    hide_seen(hidden, seen)
    found = ranks_of_targets(hidden, targets)
    for query, target in enumerate(targets.tolist()):
        left = [row for row in range(15) if row not in seen[query] and scores[query, row] > 0]
        left.sort(key=lambda row: (-scores[query, row], row))
        assert found[query] == (left.index(target) if target in left else NOWHERE)
    assert discounted_gains(np.array([0, 2, 10, NOWHERE]), 10).tolist() == [1, 0.5, 0, 0]


def test_scores_are_the_share_of_hits_and_the_mean_gain() -> None:
    places, gold = np.array([0.0, 2, 10, 10]), np.full(4, 10.0)
    assert score("hit_rate", places, gold) == 0.5
    assert score("ndcg", places, gold) == pytest.approx(1.5 / 4)
    ranking = np.array([[17.5, *range(19, 0, -1)]])  # the right one, the first, is at place 2
    expected = ndcg_score(np.eye(20)[:1], ranking, k=10)
    assert score("ndcg", places[1:2], gold[1:2]) == pytest.approx(expected)


def plain_baselines(sessions: list[list[str]], history: list[str]) -> dict[str, Counter[str]]:
    """The three baselines by loops."""
    popular = Counter(item for items in sessions for item in items)
    having: dict[str, set[int]] = defaultdict(set)
    near: dict[str, Counter[str]] = defaultdict(Counter)
    for number, items in enumerate(sessions):
        for place, item in enumerate(items):
            having[item].add(number)
            for other in items[place + 1 : place + 6]:
                near[item][other] += 1
                near[other][item] += 1
    knn: Counter[str] = Counter()
    together: Counter[str] = Counter()
    for age, item in enumerate(reversed(history[-5:])):
        for other, sessions_with in having.items():
            both = len(having[item] & sessions_with)
            knn[other] += both / (len(having[item]) * len(sessions_with)) ** 0.5  # type: ignore[assignment]
            together[other] += near[item][other] / (age + 1)  # type: ignore[assignment]
    return {"popularity": popular, "item_knn": knn, "cooccurrence": together}


@pytest.mark.parametrize("name", list(BASELINES))
def test_baselines_are_those_of_plain_loops(events: Artifact, name: str) -> None:
    sessions = read_sessions(events)
    items = sessions.items.to_pylist()
    histories = sessions.of_names(["u3", "u40", "u77"])
    found = BASELINES[name](sessions)(histories)
    plain = list(sessions_in(events).values())
    for history, row in zip(histories, found, strict=True):
        expected = plain_baselines(plain, [items[place] for place in history])[name]
        np.testing.assert_allclose(row, [expected[item] for item in items], rtol=1e-5)


@pytest.mark.parametrize("is_forward", [False, True])
def test_shares_of_near_items_are_those_of_a_loop(events: Artifact, is_forward: bool) -> None:
    sessions = read_sessions(events)
    near = count_near(sessions, len(sessions.items), 3, is_forward)
    counts: dict[int, Counter[int]] = defaultdict(Counter)
    for start, stop in zip(sessions.bounds[:-1], sessions.bounds[1:], strict=True):
        items = sessions.item[start:stop].tolist()
        for place, item in enumerate(items):
            for distance, other in enumerate(items[place + 1 : place + 4], start=1):
                counts[item][other] += 1 / distance  # type: ignore[assignment]
                if not is_forward:
                    counts[other][item] += 1 / distance  # type: ignore[assignment]
    for row in range(len(sessions.items)):
        part = slice(near.bounds[row], near.bounds[row + 1])
        found = dict(zip(near.items[part].tolist(), near.shares[part].tolist(), strict=True))
        total = sum(counts[row].values())
        assert found == pytest.approx({item: n / total for item, n in counts[row].items()})
        assert list(found.values()) == sorted(found.values(), reverse=True)


def test_new_items_stand_beside_the_three_most_alike() -> None:
    known = {0: ["a"], 1: ["a", "b"], 2: ["b", "c"], 3: ["a", "b"], 5: ["z"]}
    new = [["a", "b"], ["c"], ["nothing"], []]
    assert place_new(known, new) == [[1, 3, 0], [2], [], []]


def test_what_is_fitted_beats_each_of_its_parts_on_validation(embeddings: Artifact) -> None:
    report = embeddings.manifest.report["recommending"]
    values = report["validation_ndcg"]
    assert report["validation_sessions"] > 60
    assert values["blend"] >= max(values["output"], values["cooccurrence"]) > 0.4
    assert sum(report["settings"]["blend"]) == pytest.approx(1)
    assert embeddings.manifest.counts["items_placed"] == 1


def test_the_model_of_the_artifact_recommends_with_titles(
    embeddings: Artifact, events: Artifact
) -> None:
    model = model_of_artifact(embeddings, "items")
    (first, *_) = model.recommend(["i3", "i4"])
    assert (first.item, first.title) == ("i5", "Item 5")
    assert model.recommend(["new"], 3)
    assert model.titles_of(["new"]) == ["New"]
    mine = sessions_in(events)["u5"]
    assert items_of_user(events, "u5")[: len(mine)] == mine
    assert len(items_of_user(events, "u5")) == len(mine) + 2
    assert items_of_user(events, "nobody") == []


def examined(embeddings: Artifact) -> Examinee:
    model = model_of_artifact(embeddings, "items")
    return Examinee(model, WordTable.of_model(model, 1_000, False), 1)


def benchmark(**changes: Any) -> NextItemBenchmark:
    return NextItemBenchmark.model_validate({"type": "next_item", **changes})


@pytest.mark.parametrize("by", ["blend", "output", "cooccurrence"])
def test_answers_are_places_among_what_the_model_recommends(
    embeddings: Artifact, events: Artifact, by: str
) -> None:
    items = HeldOutSessions.held_out(events, benchmark(by=by, topn=5), 1)
    asked = examined(embeddings)
    answers = items.answer(asked).answers
    tests = {
        row["session"]: row["item"]
        for row in events.read(schemas.HELD_OUT).to_pylist()
        if row["part"] == "test"
    }
    assert set(items.item_names) == set(tests)
    for name, place in list(zip(items.item_names, answers.values.tolist(), strict=True))[:25]:
        history = items_of_user(events, name)[:-1]
        found = [one.item for one in asked.model.recommend(history, 5, by)]
        assert place == (found.index(tests[name]) if tests[name] in found else 5)
    assert score("hit_rate", answers.values, answers.gold) > 0.4  # type: ignore[operator]


def test_baselines_are_beside_the_scores(events: Artifact) -> None:
    items = HeldOutSessions.held_out(events, benchmark(), 1)
    beside = items.beside()
    assert set(beside) == {"popularity", "item_knn", "cooccurrence"}
    assert beside["cooccurrence"]["ndcg"] > beside["popularity"]["ndcg"]  # type: ignore[operator]
    sampled = HeldOutSessions.held_out(events, benchmark(max_sessions=20), 1)
    assert len(sampled) == 20
    assert set(sampled.item_names) < set(items.item_names)


def test_sessions_whose_last_item_was_seen_before_are_not_asked(tmp_path: Path) -> None:
    again = [("u", item, n) for n, item in enumerate("abcab")]
    fresh = [("v", item, n) for n, item in enumerate("abcd")]
    artifact = publish_events(tmp_path, [*again, *fresh], held_out={"share": 1.0})
    items = HeldOutSessions.held_out(artifact, benchmark(), 1)
    assert (items.item_names, items.n_repeated) == (("v",), 1)
    nothing = publish_events(tmp_path, again, held_out={"share": 1.0})
    with pytest.raises(BenchmarkError, match=r"1 held-out session end.*repeats: once"):
        HeldOutSessions.held_out(nothing, benchmark(), 1)


def test_sessions_too_short_to_hold_out_are_named_as_the_reason(tmp_path: Path) -> None:
    short = [(user, item, n) for user in "uv" for n, item in enumerate("ab")]
    artifact = publish_events(tmp_path, short, held_out={"share": 1.0})
    with pytest.raises(BenchmarkError, match="2 sessions that would be held out have too few"):
        HeldOutSessions.held_out(artifact, benchmark(), 1)


def test_with_few_validation_events_defaults_are_used(events: Artifact, tmp_path: Path) -> None:
    few = publish_events(tmp_path, walks(20), FACTS, held_out={"share": 0.5})
    vectors: NDArray[np.float32] = np.eye(N_ITEMS, 4, dtype=np.float32)

    def write(staging: Staging) -> None:
        from nightjar.formats.embeddings import stretches, write_vectors  # noqa: PLC0415

        names = [f"i{n}" for n in range(N_ITEMS)]
        write_vectors(staging, names, np.ones(N_ITEMS, np.int64), 4, stretches(vectors))
        fit_recommender("items", few, staging, SILENT)

    made = Store(tmp_path).open(publish(tmp_path, Identity("embeddings", "x", {}), write))
    report = made.manifest.report["recommending"]
    assert report["settings"]["output"] is None
    assert report["settings"]["blend"] == [0.0, 0.0, 1.0]
