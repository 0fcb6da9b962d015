"""How long something has lain idle: as it was seen, not as the disk says."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from nightjar.store import idle_names

DAY = 86_400.0
NOW = 20_000 * DAY


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return tmp_path / ".seen.json"


def test_what_stays_the_same_for_longer_is_idle(record: Path) -> None:
    assert idle_names(record, {"a": "1", "b": "1"}, NOW, 7 * DAY) == []
    assert idle_names(record, {"a": "1", "b": "2", "c": "1"}, NOW + DAY, 7 * DAY) == []
    states = {"c": "1", "b": "2", "a": "1"}
    assert idle_names(record, states, NOW + 7 * DAY, 7 * DAY) == []
    assert idle_names(record, states, NOW + 7 * DAY + 1, 7 * DAY) == ["a"]
    assert idle_names(record, states, NOW + 8 * DAY + 1, 7 * DAY) == ["a", "b", "c"]


def test_what_was_away_counts_anew(record: Path) -> None:
    idle_names(record, {"a": "1", "b": "1"}, NOW, 7 * DAY)
    idle_names(record, {"b": "1"}, NOW + DAY, 7 * DAY)
    assert idle_names(record, {"a": "1", "b": "1"}, NOW + 8 * DAY, 7 * DAY) == ["b"]


def test_a_clock_that_was_ahead_keeps_nothing_for_ever(record: Path) -> None:
    idle_names(record, {"a": "1"}, NOW + 100_000 * DAY, 7 * DAY)
    assert idle_names(record, {"a": "1"}, NOW, 7 * DAY) == []
    assert idle_names(record, {"a": "1"}, NOW + 8 * DAY, 7 * DAY) == ["a"]


def test_where_nothing_lies_no_record_is_kept(record: Path) -> None:
    assert idle_names(record, {}, NOW, DAY) == []
    assert not record.exists()
    idle_names(record, {"a": "1"}, NOW, DAY)
    assert json.loads(record.read_text()) == {"a": ["1", "2024-10-04T00:00:00+00:00"]}
    idle_names(record, {}, NOW, DAY)
    assert list(record.parent.iterdir()) == []


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"a": 1}', b'{"a": ["1", "yesterday"]}', b"\xff"]
)
def test_a_damaged_record_lets_everything_count_anew(
    record: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    record.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert idle_names(record, {"a": "1"}, NOW, DAY) == []
    assert "are counted from now" in caplog.text
    assert idle_names(record, {"a": "1"}, NOW + 2 * DAY, DAY) == ["a"]


def test_a_date_without_a_zone_is_damage(record: Path) -> None:
    record.write_text('{"a": ["1", "2020-01-01T00:00:00"]}')
    assert idle_names(record, {"a": "1"}, NOW, DAY) == []


def test_where_the_record_cannot_be_written_nothing_ages(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    record = tmp_path / "file" / ".seen.json"
    assert idle_names(record, {"a": "1"}, NOW, DAY) == []
    assert idle_names(record, {"a": "1"}, NOW + 2 * DAY, DAY) == []
