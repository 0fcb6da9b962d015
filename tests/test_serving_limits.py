"""What one request to a served model may cost, and hostile requests."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lookup_support import random_matrix, write

from nightjar.model.lookup import QueryError, RequestLimits, VectorModel, answer
from nightjar.model.lookup.vector_table import LONGEST_COMPOSED

N_WORDS = 20_000
LIMITS = RequestLimits()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> VectorModel:
    """One with n-grams, as large as a small real one."""
    words = [f"w{number}" for number in range(N_WORDS)]
    directory = tmp_path_factory.mktemp("model")
    opened = VectorModel.open(
        write(directory, words, random_matrix(N_WORDS), N_WORDS, has_ngrams=True)
    )
    opened.most_composed = LIMITS.composed
    return opened


def refused(model: VectorModel, items: list[Any], **parameters: Any) -> str:
    with pytest.raises(QueryError) as error:
        answer(model, items, parameters, LIMITS)
    assert len(str(error.value)) < 1_000
    return str(error.value)


def test_a_word_of_ten_megabytes_is_unknown(model: VectorModel) -> None:
    message = refused(model, ["x" * 10_000_000])
    assert "has no vector for 1 word: xxx" in message
    assert np.isnan(answer(model, ["x" * (LONGEST_COMPOSED + 1)], {"unknown": "nan"}, LIMITS)).all()
    letters = ("abcdefghijklmnopqrstuvwxyz" * 40)[:LONGEST_COMPOSED]
    longest = answer(model, [letters], {}, LIMITS)
    assert np.isfinite(longest).all()
    text = f"{'y' * 5_000_000} w1"
    found = answer(model, [text], {"task": "encode"}, LIMITS)
    np.testing.assert_allclose(found, model.vectors(["w1"]), rtol=1e-6)


def test_many_characters_of_unknown_words_are_refused(model: VectorModel) -> None:
    words = [
        "".join(chr(97 + int(digit)) for digit in f"{number:036d}") for number in range(30_000)
    ]
    expected = "does not know have .* characters together, and 1,000,000 are allowed"
    for items, task in ((words, "vector"), (words, "encode"), ([" ".join(words)], "encode")):
        with pytest.raises(QueryError, match=expected):
            answer(model, items, {"task": task}, LIMITS)
    with pytest.raises(QueryError, match=expected):
        answer(model, ["w1"], {"task": "rank", "query": " ".join(words)}, LIMITS)
    assert answer(model, words[:20_000], {"unknown": "nan"}, LIMITS).shape == (20_000, 8)


@pytest.mark.parametrize(
    ("items", "parameters", "message"),
    [
        (["w1"] * 20_000, {"task": "neighbors", "topn": 400}, "8,000,000 neighbours"),
        (["w1"] * 30_000, {"task": "analogy", "topn": 400}, "4,000,000 neighbours"),
        (["w1"] * 30_000, {"task": "cluster", "n_clusters": 3_000}, "would have 90,000,000"),
        (["w1"] * 100_001, {}, "100,001 items are given, 100,000 are allowed"),
        (["x" * 12_000_001], {"task": "encode"}, "12,000,001 characters, 12,000,000 are allowed"),
        (["w1"], {"task": "rank", "query": "x" * 12_000_001}, "12,000,001 characters"),
        (["w1"], {"task": "neighbors", "negative": ["w"] * 100_001}, "items are given"),
        (
            [{"task": "neighbors", "topn": 400, "items": ["w1"] * 2_000}] * 10,
            {},
            "8,000,000 neighbours",
        ),
        ([{"items": ["w1"] * 60_000}] * 2, {}, "120,000 items"),
        ([{"task": "neighbors", "items": ["w1"], "topn": 1}] * 100_001, {}, "100,001 items"),
    ],
)
def test_a_request_that_costs_too_much_is_refused(
    model: VectorModel, items: list[Any], parameters: dict[str, Any], message: str
) -> None:
    found = refused(model, items, **parameters)
    assert message in found
    assert "are allowed" in found or "at most" in found


def test_a_search_of_too_many_words_says_how_much_may_be_asked(model: VectorModel) -> None:
    limits = RequestLimits(products=N_WORDS * 8 * 100)
    answer(model, ["w1"] * 100, {"task": "neighbors", "topn": 1}, limits)
    with pytest.raises(QueryError, match=r"ask for about 50\.0% of it at a time"):
        answer(model, ["w1"] * 200, {"task": "neighbors", "topn": 1}, limits)


def test_a_program_asks_its_own_model_as_much_as_it_wants(model: VectorModel) -> None:
    found = answer(model, ["w1"] * 100_001, {"task": "vector"})
    assert found.shape == (100_001, 8)


def test_lists_that_are_too_deep_are_refused(model: VectorModel) -> None:
    deep: Any = ["w1"]
    for _ in range(100_000):
        deep = [deep]
    for items in ([deep], [{"items": [deep]}], [{"items": deep}]):
        assert "deep" in refused(model, items) or "expected" in refused(model, items)
        refused(model, items, task="neighbors")
    while deep:  # freed step by step: otherwise by recursion
        deep = deep[0] if isinstance(deep, list) else None


@pytest.mark.parametrize(
    ("content", "is_allowed"),
    [
        (b'{"inputs": ["' + b"[" * 10_000 + b'"]}', True),
        (b'{"inputs": ["\\"' + b"[" * 10_000 + b'\\\\"]}', True),
        (b'{"inputs": ' + b"[" * 17 + b"]" * 17 + b"}", False),
        (b'{"inputs": [' + b'{"a":' * 20 + b"1" + b"}" * 20 + b"]}", False),
        (b'{"inputs": ["a", ' + b"[" * 1_000_000, False),
        (b'{"inputs": [[1, 2], [3, 4]]}', True),
        (b"", True),
    ],
)
def test_the_depth_of_a_request_is_seen_before_it_is_read(content: bytes, is_allowed: bool) -> None:
    if is_allowed:
        LIMITS.check_text(content)
    else:
        with pytest.raises(QueryError, match="more than 16 deep"):
            LIMITS.check_text(content)


def test_a_request_that_is_too_long_is_refused() -> None:
    with pytest.raises(QueryError, match=r"has 11 bytes, 10 are allowed"):
        RequestLimits(request_bytes=10).check_text(b"[1, 2, 3, 4")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from(["w1", "w2", "neighbors", "items", "task", "w" * 2_000]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from(["items", "task", "topn", "x"]) | st.text(max_size=3), inner),
    max_leaves=12,
)  # fmt: skip
PARAMETERS = st.dictionaries(
    st.sampled_from(
        ["task", "topn", "threshold", "together", "negative", "query", "n_clusters", "seed",
         "approximate", "unknown", "other"]
    ),
    JSON | st.sampled_from(["vector", "neighbors", "analogy", "similarity", "odd_one_out",
                            "cluster", "rank", "encode", "nan", "zero"]),
)  # fmt: skip


@given(st.lists(JSON, max_size=5), PARAMETERS)
def test_any_question_has_an_answer_or_a_message(
    model: VectorModel, items: list[Any], parameters: dict[str, Any]
) -> None:
    with suppress(QueryError):
        found = answer(model, items, parameters, LIMITS)
        json.dumps(found.tolist() if isinstance(found, np.ndarray) else found)


def test_the_files_of_a_model_say_nothing_of_limits(tmp_path: Path) -> None:
    """They belong to the code, so a model that is served by newer code has newer limits."""
    opened = VectorModel.open(write(tmp_path, ["a", "b"], random_matrix(2), has_ngrams=True))
    assert opened.most_composed is None
