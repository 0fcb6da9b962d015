"""Versions: they depend on what shapes a result, and on nothing else."""

from __future__ import annotations

import copy
import hashlib
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nightjar.errors import SourceError
from nightjar.store import (
    FileIdentity,
    Identity,
    file_identity,
    fingerprint,
    library_versions,
)

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=4), VALUES, max_size=4)


def shuffled(value: Any, seed: int) -> Any:
    """An equal value whose objects have their keys in another order."""
    if isinstance(value, dict):
        keys = list(value)
        random.Random(seed).shuffle(keys)
        return {key: shuffled(value[key], seed) for key in keys}
    if isinstance(value, list):
        return [shuffled(item, seed) for item in value]
    return value


@settings(deadline=None)
@given(value=OBJECTS, seed=st.integers(0, 100))
def test_the_order_of_keys_does_not_matter(value: dict[str, Any], seed: int) -> None:
    assert fingerprint(value) == fingerprint(shuffled(value, seed))
    assert fingerprint(value) == fingerprint(copy.deepcopy(value))


@settings(deadline=None)
@given(value=OBJECTS, key=st.text(max_size=4), other=VALUES)
def test_any_change_of_a_value_is_another_version(
    value: dict[str, Any], key: str, other: Any
) -> None:
    changed = {**value, key: other}
    # JSON's own notion of equality: 1, 1.0 and true are three things.
    assume(repr(shuffled(changed, 0)) != repr(shuffled(value, 0)))
    assume(not (key in value and value[key] == other))
    assert fingerprint(changed) != fingerprint(value)


@pytest.mark.parametrize(
    ("one", "other"), [(1, True), (1, 1.0), (0, False), ("1", 1), (None, "null")]
)
def test_equal_looking_values_of_another_kind_are_another_version(one: Any, other: Any) -> None:
    assert fingerprint({"a": one}) != fingerprint({"a": other})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        fingerprint({"a": [1, {"b": value}]})


def test_a_version_is_the_start_of_the_sha256_of_canonical_json() -> None:
    expected = hashlib.sha256(b'{"a":1,"b":["\\u00e9",null]}').hexdigest()[:12]
    assert fingerprint({"b": ["é", None], "a": 1}) == expected


BASE: dict[str, Any] = {
    "stage": "tokens",
    "name": "m",
    "config": {"window": 5},
    "parents": {"documents": "0" * 12},
    "inputs": (FileIdentity("a.txt", 3, "abc"),),
    "code": {"revision": 1},
}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("stage", "embeddings"),
        ("name", "n"),
        ("config", {"window": 6}),
        ("config", {}),
        ("parents", {"documents": "1" * 12}),
        ("inputs", ()),
        ("inputs", (FileIdentity("b.txt", 3, "abc"),)),
        ("inputs", (FileIdentity("a.txt", 4, "abc"),)),
        ("inputs", (FileIdentity("a.txt", 3, "abd"),)),
        ("code", {"revision": 2}),
    ],
)
def test_every_part_of_an_identity_shapes_its_version(field: str, value: object) -> None:
    assert Identity(**{**BASE, field: value}).version != Identity(**BASE).version


def test_an_identity_is_the_same_after_a_round_trip_through_the_manifest() -> None:
    identity = Identity(**BASE)
    assert fingerprint(identity.as_json()) == identity.version
    assert identity.as_json()["inputs"] == [{"name": "a.txt", "bytes": 3, "sha256": "abc"}]


def test_a_file_is_known_by_content_not_by_place_or_time(tmp_path: Path) -> None:
    here, there = tmp_path / "a.txt", tmp_path / "sub" / "a.txt"
    there.parent.mkdir()
    for path in (here, there):
        path.write_bytes(b"text" * 700_000)
    os.utime(there, (0, 0))
    assert file_identity(here) == file_identity(there)
    expected = hashlib.sha256(b"text" * 700_000).hexdigest()
    assert file_identity(here) == FileIdentity("a.txt", 2_800_000, expected)


@pytest.mark.parametrize("name", ["absent", ""])
def test_a_file_that_cannot_be_read_is_a_source_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError, match=r"cannot be read .*check the path"):
        file_identity(tmp_path / name)


def test_library_versions_are_those_that_are_installed() -> None:
    assert library_versions("numpy") == {"numpy": np.__version__}
