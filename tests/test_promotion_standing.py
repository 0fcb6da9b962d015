"""Events folded into how things stand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from nightjar.promotion import (
    ArtifactDigest,
    Event,
    EventKind,
    ModelStanding,
    ServedIndex,
    VersionRef,
    standing_of,
)

A, B, C, D = (VersionRef(number, f"e{number}", f"d{number}") for number in range(1, 5))


def events(*rows: tuple[Any, ...]) -> list[Event]:
    """Events of (kind, new version or None, evidence, key) of the model w2v."""
    found = []
    for number, (kind, new, *more) in enumerate(rows, start=1):
        evidence = more[0] if more else {}
        key = more[1] if len(more) > 1 else None
        found.append(
            Event(
                number=number,
                time=datetime(2026, 11, number, tzinfo=UTC),
                kind=EventKind(kind),
                subject="w2v",
                old=None,
                new=new,
                night=number,
                actor="ann",
                reason=f"{kind} {number}",
                decision_key=key,
                evidence=evidence,
            )
        )
    return found


def standing(*rows: tuple[Any, ...]) -> ModelStanding:
    return standing_of(events(*rows)).model("w2v")


def reference(version: VersionRef) -> dict[str, Any]:
    return {
        "reference": {
            "number": version.number,
            "embeddings": version.embeddings,
            "digest": version.digest,
        }
    }


def test_nothing_happened() -> None:
    found = standing_of([])
    assert found.model("w2v") == ModelStanding()
    assert (found.corpora, found.serving, found.gone([])) == ({}, {}, ())
    assert found.model("w2v").roots(5) == ()


def test_promotions_make_the_champions_before_rollback_targets() -> None:
    found = standing(("promoted", A, reference(A)), ("promoted", B), ("promoted", C))
    assert (found.champion, found.reference, found.previous) == (C, A, (B, A))
    assert found.last_move is not None
    assert found.last_move.number == 3


def test_champion_that_comes_back_is_no_rollback_target() -> None:
    found = standing(("promoted", A), ("promoted", B), ("promoted", A))
    assert (found.champion, found.previous) == (A, (B,))


def test_rollback_goes_further_back_each_time_and_holds() -> None:
    rows: list[tuple[Any, ...]] = [("promoted", version) for version in (A, B, C)]
    once = standing(*rows, ("rolled_back", B))
    assert (once.champion, once.previous, once.is_held) == (B, (A,), True)
    assert once.hold_reason == "rolled_back 4"
    assert not once.is_in_conflict
    twice = standing(*rows, ("rolled_back", B), ("rolled_back", A))
    assert (twice.champion, twice.previous) == (A, ())


def test_reference_moves_only_with_an_event_that_says_so() -> None:
    found = standing(
        ("promoted", A, reference(A)),
        ("promoted", B),
        ("pinned", B, reference(B)),
        ("promoted", C, reference(C)),
        ("rolled_back", B, reference(B)),
    )
    assert found.reference == B
    assert standing(("promoted", A, reference(A)), ("pinned", B)).reference == A


def test_decisions_are_remembered_by_their_keys() -> None:
    found = standing(("promoted", A, {}, "k1"), ("blocked", B, {}, "k2"), ("blocked", C, {}, "k3"))
    assert found.blocked_keys == {"k2", "k3"}
    assert found.champion == A
    assert found.challenger == C
    assert found.last_decision is not None
    assert found.last_decision.number == 3


@pytest.mark.parametrize(
    ("rows", "is_waiting"),
    [
        ([], True),
        ([("superseded", B)], False),
        ([("promoted", B)], False),
        ([("approved", B)], False),
        ([("forced", B)], False),
        ([("blocked", B)], False),
        ([("blocked", C)], True),
        ([("approved", A)], True),
        ([("held", A)], True),
        ([("resumed", A)], True),
    ],
)
def test_what_waits_until_it_is_decided(rows: list[tuple[Any, ...]], is_waiting: bool) -> None:
    found = standing(("promoted", A), ("waiting", B), *rows)
    assert (found.waiting is not None) is is_waiting
    if found.waiting is not None:
        assert found.waiting.new == B


def test_pins() -> None:
    found = standing(("pinned", A), ("pinned", B), ("pinned", A), ("unpinned", B))
    assert found.pins == (A,)


CONFLICT = {"conflict": {"alias": 2, "ledger": 1}}


def test_hold_ends_with_resume() -> None:
    assert standing(("held", A)).is_held
    assert not standing(("held", A), ("resumed", A)).is_held


@pytest.mark.parametrize("end", [("adopted", B), ("resumed", A, {"repair": True})])
def test_conflict_ends_with_adopt_or_repair_and_the_hold_of_a_person_stays(
    end: tuple[Any, ...],
) -> None:
    rows: list[tuple[Any, ...]] = [("promoted", A), ("held", A, CONFLICT)]
    found = standing(*rows)
    assert (found.is_held, found.is_in_conflict) == (True, True)
    assert standing(*rows, ("resumed", A)).is_in_conflict
    over = standing(*rows, end)
    assert (over.is_held, over.is_in_conflict, over.champion) == (False, False, end[1])
    held = standing(("held", A), *rows, end)
    assert (held.is_held, held.is_in_conflict) == (True, False)


def test_adopted_alias_that_points_nowhere_leaves_no_champion() -> None:
    found = standing(("promoted", A), ("adopted", None))
    assert (found.champion, found.previous) == (None, (A,))


def test_retired_model_starts_anew_when_it_comes_back() -> None:
    rows: list[tuple[Any, ...]] = [
        ("promoted", A, reference(A)),
        ("pinned", A),
        ("blocked", B, {}, "k"),
        ("held", A),
        ("retired", None),
    ]
    found = standing(*rows)
    assert found.is_retired
    assert (found.champion, found.reference, found.blocked_keys) == (None, None, frozenset())
    assert found.roots(9) == ()
    assert not found.is_held
    back = standing(*rows, ("promoted", C, reference(C)))
    assert (back.is_retired, back.champion, back.previous) == (False, C, ())


def test_gone_models_have_a_champion_that_the_config_lacks() -> None:
    found = standing_of(events(("promoted", A)))
    assert found.gone(["glove"]) == ("w2v",)
    assert found.gone(["w2v"]) == ()
    assert standing_of(events(("promoted", A), ("retired", None))).gone([]) == ()
    assert standing_of(events(("blocked", A))).gone([]) == ()


def test_roots_are_what_somebody_may_still_ask_for() -> None:
    found = standing(
        ("promoted", A, reference(A)),
        ("promoted", B),
        ("promoted", C),
        ("pinned", A),
        ("waiting", D),
    )
    assert found.roots(0) == (C, A, D)
    assert found.roots(1) == (C, A, B, D)
    blocked = standing(("promoted", A, reference(A)), ("blocked", B))
    assert blocked.roots(2) == (A, B)


# -- corpora and serving ---------------------------------------------------------------------------


def accepted(number: int, night: int, subject: str, evidence: dict[str, Any]) -> Event:
    return Event(
        number, datetime(2026, 11, 1, tzinfo=UTC), EventKind.ACCEPTED, subject, None, None, night,
        "night", "", None, evidence,
    )  # fmt: skip


def corpus(version: str) -> dict[str, Any]:
    artifacts = {
        stage: {"version": f"{stage}{version}", "digest": "x"} for stage in ("documents", "tokens")
    }
    return {"artifacts": artifacts, "n_documents": 3, "n_tokens": 70}


def test_accepted_nights_newest_first_for_each_corpus() -> None:
    found = standing_of(
        [
            accepted(1, 1, "reviews", corpus("a")),
            accepted(2, 1, "news", corpus("n")),
            accepted(3, 4, "reviews", corpus("b")),
        ]
    )
    assert [night.night for night in found.corpora["reviews"]] == [4, 1]
    last = found.corpora["reviews"][0]
    assert last.documents == ArtifactDigest("documentsb", "x")
    assert last.tokens.version == "tokensb"
    assert (dict(last.amounts), last.event) == ({"documents": 3, "tokens": 70}, 3)
    assert [night.night for night in found.corpora["news"]] == [1]
    assert found.models == {}


def test_what_is_searched_is_what_the_newest_event_says_of_each_entry() -> None:
    def served(name: str) -> dict[str, Any]:
        return {"documents": name, "document_vectors": "v", "search_index": "i"}

    rows = [
        accepted(
            1, 1, "reviews", {**corpus("a"), "serving": {"x": served("d1"), "y": served("d1")}}
        ),
        *events(("promoted", A, {"serving": {"x": {**served("d2"), "model": "w2v"}}})),
    ]
    found = standing_of(rows).serving
    assert found["x"] == ServedIndex("d2", "v", "i", "w2v")
    assert found["y"] == ServedIndex("d1", "v", "i")
