"""Events become sessions: against a plain loop, in any order of rows, with counts of the rest."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from events_support import publish_events, publish_sessions, sessions_in

from nightjar.errors import InputError
from nightjar.store import schemas


def log_of(n_events: int = 300, seed: int = 1) -> list[tuple[str, str, int, str]]:
    """Random events at distinct minutes, in random order."""
    drawing = random.Random(seed)
    minutes = drawing.sample(range(10 * n_events), n_events)
    return [
        (f"u{drawing.randrange(6)}", f"i{drawing.randrange(9)}", minute, f"s{drawing.randrange(3)}")
        for minute in minutes
    ]


def plain_sessions(
    events: list[tuple[str, str, int, str]], by: str, gap: float, repeats: str
) -> list[list[str]]:
    """The sessions by a loop, ordered by user and start."""
    groups: dict[Any, list[tuple[int, str]]] = {}
    last: dict[str, tuple[int, int]] = {}
    for user, item, minute, session in sorted(events, key=lambda event: (event[0], event[2])):
        number, before = last.get(user, (0, minute))
        number += by == "gap" and minute - before > gap
        last[user] = (number, minute)
        key = {"user": user, "gap": (user, number), "column": (user, session)}[by]
        groups.setdefault((user, key), []).append((minute, item))
    found = []
    for _, timed in sorted(groups.items(), key=lambda group: (group[0][0], group[1][0])):
        items: list[str] = []
        for _, item in timed:
            is_again = (repeats == "collapse" and items[-1:] == [item]) or (
                repeats == "once" and item in items
            )
            if not is_again:
                items.append(item)
        found.append(items)
    return found


@pytest.mark.parametrize("by", ["user", "gap", "column"])
@pytest.mark.parametrize("repeats", ["keep", "collapse", "once"])
def test_sessions_are_those_of_a_plain_loop(tmp_path: Path, by: str, repeats: str) -> None:
    events = log_of()
    sessions = {"by": by, "gap_minutes": 25, "repeats": repeats}
    artifact = publish_events(tmp_path, events, sessions=sessions)
    expected = plain_sessions(events, by, 25, repeats)
    assert list(sessions_in(artifact).values()) == expected
    assert artifact.manifest.counts["events_repeated"] == 300 - sum(map(len, expected))
    assert artifact.manifest.counts["sessions"] == len(expected) > 5


def test_the_order_of_the_rows_changes_nothing(tmp_path: Path) -> None:
    events = log_of()
    made = [
        publish_events(tmp_path / str(number), some, batch=batch, held_out={"share": 0.7})
        for number, (some, batch) in enumerate([(events, 7), (sorted(events), 50)])
    ]
    hashes = [[file.sha256 for file in artifact.manifest.files] for artifact in made]
    assert hashes[0] == hashes[1]
    assert made[0].manifest.counts["events_out_of_order"] > 0
    assert made[1].manifest.counts["events_out_of_order"] > 0  # sorted by item within a user


def test_events_of_one_moment_stay_in_the_order_in_which_they_are_read(tmp_path: Path) -> None:
    events = [("u", item, 5) for item in "dbcae"] + [("u", "first", 4)]
    assert sessions_in(publish_events(tmp_path, events, batch=2)) == {
        "u": ["first", "d", "b", "c", "a", "e"]
    }


def test_bots_rare_items_and_incomplete_rows_are_left_out_and_counted(tmp_path: Path) -> None:
    people = [
        (f"u{n}", item, 10 * n + place) for n in range(3) for place, item in enumerate("abab")
    ]
    bot = [("bot", "ab"[n % 2], 100 + n / 4) for n in range(9)]
    slow = [("slow", "ab"[n % 2], 100 + 20 * n) for n in range(9)]
    rare = [("u0", "rare", 500), ("alone", "rare", 3)]
    broken = [(None, "a", 1), ("u", None, 1), ("u", "a", None)]
    artifact = publish_events(
        tmp_path,
        [*people, *bot, *slow, *rare, *broken],
        bots={"events": 8, "minutes": 60},
        min_item_events=3,
    )
    counts = artifact.manifest.counts
    assert set(sessions_in(artifact)) == {"u0", "u1", "u2", "slow"}
    assert {name: counts[name] for name in counts if counts[name]} == {
        "events_read": 35,
        "events_incomplete": 3,
        "users_read": 6,
        "events_of_bots": 9,
        "bots": 1,
        "items_rare": 1,
        "events_of_rare_items": 2,
        "sessions_emptied": 1,
        "events": 21,
        "items": 2,
        "sessions": 4,
        "users": 4,
    }
    assert set(artifact.manifest.report["dropped"]) >= {"events_of_bots", "sessions_emptied"}


def test_a_long_session_is_cut_and_only_its_last_piece_holds_events_out(tmp_path: Path) -> None:
    events = [("u", f"i{n}", n) for n in range(11)] + [("u#2", "x", 1), ("u#2", "y", 2)]
    artifact = publish_events(tmp_path, events, sessions={"max_events": 4}, held_out={"share": 1.0})
    assert sessions_in(artifact) == {
        "u": ["i0", "i1", "i2", "i3"],
        "u#2#": ["i4", "i5", "i6", "i7"],
        "u#3": ["i8"],
        "u#2": ["x", "y"],
    }
    held_out = artifact.read(schemas.HELD_OUT).to_pylist()
    assert [(row["session"], row["item"], row["part"]) for row in held_out] == [
        ("u#3", "i9", "validation"),
        ("u#3", "i10", "test"),
    ]
    assert artifact.manifest.counts["sessions_cut"] == 1
    assert artifact.manifest.counts["held_out_sessions_too_short"] == 1


def test_what_is_held_out_tonight_was_held_out_last_night(tmp_path: Path) -> None:
    events = [(f"user {n}", item, place) for n in range(400) for place, item in enumerate("abcd")]
    first = publish_events(tmp_path, events[:1200], held_out={"share": 0.25})
    later = [*events, *((f"user {n}", "e", 9) for n in range(100))]
    second = publish_events(tmp_path, later, held_out={"share": 0.25})
    names = [
        {row["session"] for row in artifact.read(schemas.HELD_OUT).to_pylist()}
        for artifact in (first, second)
    ]
    assert names[0] == {name for name in names[1] if int(name.split()[1]) < 300}
    assert 50 < len(names[0]) < 100


def test_sessions_of_two_users_never_share_a_name(tmp_path: Path) -> None:
    events = [
        ("a/b", "x", 1, "c"),
        ("a/b", "y", 2, "c"),
        ("a", "x", 1, "b/c"),
        ("a", "y", 2, "b/c"),
    ]
    artifact = publish_events(tmp_path, events, sessions={"by": "column"})
    assert sessions_in(artifact) == {"a/b/c": ["x", "y"], "a%2Fb/c": ["x", "y"]}


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ([("u", "only", 1), ("v", "only", 2)], "of one item, 'only'"),
        ([], "no event is left of 0 events"),
    ],
)
def test_nothing_to_learn_is_an_error(tmp_path: Path, events: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        publish_events(tmp_path, events)


@pytest.mark.parametrize(
    "changes", [{"min_item_events": 9}, {"bots": {"events": 1}}], ids=["rare", "bots"]
)
def test_options_that_leave_nothing_are_named(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"no event is left of 2 events \(left out: events_of_"):
        publish_events(tmp_path, [("u", "a", 1), ("u", "b", 2)], **changes)


def test_attributes_that_readers_wrote_stay_as_they_are(tmp_path: Path) -> None:
    facts = [{"item": "a", "title": None, "attributes": ["genre=War", "genre=War", "year=1999"]}]
    artifact = publish_events(tmp_path, [("u", "a", 1), ("u", "b", 2)], facts)
    assert artifact.read(schemas.ITEMS).to_pylist() == [
        {"item": "a", "title": None, "attributes": ["genre=War", "year=1999"]}
    ]


def test_facts_about_items(tmp_path: Path) -> None:
    facts = [
        {"item": "b", "title": "Bee", "genre": "Drama|War", "year": "1999"},
        {"item": "a", "title": None, "genre": "", "year": None},
        {"item": "b", "title": "Again", "genre": "War", "year": "2000"},
    ]
    artifact = publish_events(tmp_path, [("u", "a", 1), ("u", "b", 2)], facts)
    assert artifact.read(schemas.ITEMS).to_pylist() == [
        {"item": "a", "title": None, "attributes": []},
        {"item": "b", "title": "Bee", "attributes": ["genre=Drama", "genre=War", "year=1999"]},
    ]
    assert artifact.manifest.counts["item_rows_repeated"] == 1


def test_sessions_are_sentences_and_items_tokens_by_rank(tmp_path: Path) -> None:
    events = log_of(seed=2)
    artifact = publish_events(tmp_path, events)
    tokens = publish_sessions(tmp_path, artifact)
    sessions = sessions_in(artifact)
    vocabulary = tokens.read("vocabulary").to_pylist()
    counts = Counter(item for items in sessions.values() for item in items)
    in_sessions = Counter(item for items in sessions.values() for item in set(items))
    expected = sorted(counts, key=lambda item: (-counts[item], item))
    assert [row["token"] for row in vocabulary] == expected
    assert [row["token_id"] for row in vocabulary] == list(range(len(expected)))
    assert {row["token"]: row["count"] for row in vocabulary} == counts
    assert {row["token"]: row["n_documents"] for row in vocabulary} == in_sessions
    sentences = tokens.read("sentences").to_pylist()
    read = {row["doc_id"]: [expected[place] for place in row["token_ids"]] for row in sentences}
    assert read == sessions
    assert tokens.manifest.counts["tokens"] == sum(counts.values())
