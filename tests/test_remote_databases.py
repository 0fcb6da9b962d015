"""Sources of type sql: only what lies past the watermark is read, and nothing else changes."""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from corpus_support import config_of, identity_of, run_ingest
from database_support import (
    PASSWORD,
    PostgresReviews,
    Reviews,
    SqliteReviews,
    make_postgres_reviews,
    put,
    running_postgres,
)
from pydantic import ValidationError
from stage_support import context_of

from nightjar.config import SqlSource
from nightjar.errors import SourceError, SourceUnavailable
from nightjar.progress import SILENT
from nightjar.sources.remote import (
    FETCHED_DIR,
    TableRequest,
    fetch_rows,
    known_rows,
    object_storage,
    row_parts,
)
from nightjar.sources.selection import Fetching
from nightjar.stages.ingest import documents_identity, ingest
from nightjar.store import Store, publish, schemas


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of some six rows, each a shard; no waiting between tries."""
    monkeypatch.setattr(object_storage, "DELAYS", (0.01,))
    monkeypatch.setattr(row_parts, "PART_BYTES", 350)
    monkeypatch.setattr("nightjar.sources.file_groups.LARGE_BYTES", 1)


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    with running_postgres() as port:
        yield port


@pytest.fixture(params=["sqlite", "postgres"])
def reviews(request: pytest.FixtureRequest, tmp_path: Path) -> Reviews:
    """The table of each kind of database, with 100 rows."""
    if request.param == "sqlite":
        found: Reviews = SqliteReviews(tmp_path)
    else:
        port = request.getfixturevalue("server")
        found = make_postgres_reviews(port, f"base_{time.time_ns()}")
        request.getfixturevalue("monkeypatch").setenv("PGPASSWORD", PASSWORD)
    put(found, range(100), 1)
    return found


@pytest.fixture
def sqlite(tmp_path: Path) -> SqliteReviews:
    found = SqliteReviews(tmp_path)
    put(found, range(100), 1)
    return found


def request_of(base: Path, reviews: Reviews, **settings: Any) -> TableRequest:
    return TableRequest("db", SqlSource.model_validate({**reviews.source, **settings}), base)


def lines(base: Path, reviews: Reviews, store: str = "artifacts", **settings: Any) -> list[str]:
    """The lines of all parts, after fetching."""
    request = request_of(base, reviews, **settings)
    parts = fetch_rows(request, base / store / FETCHED_DIR, SILENT)
    assert known_rows(request, base / store / FETCHED_DIR) == parts
    return [line for part in parts for line in part.path.read_text("utf-8").splitlines()]


def labels(base: Path, reviews: Reviews, store: str, **settings: Any) -> list[str]:
    request = request_of(base, reviews, **settings)
    return [part.label for part in fetch_rows(request, base / store / FETCHED_DIR, SILENT)]


def shards(base: Path) -> set[str]:
    return {ref.version for ref in Store(base / "artifacts").versions(schemas.DOCUMENT_SHARDS)}


def refused(base: Path, reviews: Reviews, match: str, **settings: Any) -> None:
    with pytest.raises(SourceError, match=rf"sources\.db: .*{match}"):
        lines(base, reviews, **settings)


# -- nights ------------------------------------------------------------------------------


def test_a_night_reads_what_is_new_and_gives_what_reading_everything_gives(
    tmp_path: Path, reviews: Reviews, caplog: pytest.LogCaptureFixture
) -> None:
    sources = {"db": reviews.source}
    run_ingest(tmp_path, sources)
    before = shards(tmp_path)
    assert len(before) > 4
    put(reviews, range(100, 103), 2)
    put(reviews, [17], 3, "changed")
    reviews.run("DELETE FROM reviews WHERE id = 50")
    reviews.run("UPDATE reviews SET at = 1 WHERE id > 90 AND id < 100")  # as they are
    caplog.set_level(logging.INFO, "nightjar.sources.remote.database_tables")
    grown = run_ingest(tmp_path, sources)
    again = 100 - 2  # those of the last watermark, which are there, were read again
    assert f"db: 102 rows, {again + 4} of them read" in caplog.text
    assert {f"first review {number}" for number in (*range(17), *range(18, 50))} < set(grown.texts)
    assert grown.texts[-4:] == [
        *(f"first review {n}" for n in (100, 101, 102)),
        "changed review 17",
    ]
    assert "first review 50" not in grown.texts
    assert [row["doc_id"] for row in grown.documents][-2:] == ["db:102", "db:17"]
    # Of the row that was changed, of the one that is gone, and of the last ones.
    assert len(shards(tmp_path) - before) <= 3
    scratch = run_ingest(tmp_path, sources, store="scratch")
    assert scratch.artifact.manifest.files == grown.artifact.manifest.files
    assert scratch.artifact.ref.version == grown.artifact.ref.version


@pytest.mark.parametrize("check_deleted", [True, False])
@pytest.mark.parametrize("seed", range(12))
def test_any_history_of_rows_gives_the_parts_of_reading_everything(
    tmp_path: Path, seed: int, check_deleted: bool
) -> None:
    reviews = SqliteReviews(tmp_path)
    rng = random.Random(seed)
    n_nights = 6
    for night in range(n_nights):
        numbers = rng.sample(range(120), rng.randrange(0, 60))
        # Rows of the very watermark that was read last come later, too.
        put(reviews, numbers, night // 2, f"night {night} {'long ' * rng.randrange(9)}")
        if check_deleted:
            gone = [(number,) for number in rng.sample(range(120), rng.randrange(0, 30))]
            reviews.run("DELETE FROM reviews WHERE id = ?", gone or [(-1,)])
        settings = {"check_deleted": check_deleted}
        history = labels(tmp_path, reviews, "history", **settings)
        assert history == labels(tmp_path, reviews, f"scratch-{night}", **settings)


def test_without_a_watermark_everything_is_read_and_unchanged_parts_stay(
    tmp_path: Path, reviews: Reviews
) -> None:
    first = labels(tmp_path, reviews, "artifacts", watermark_column=None)
    put(reviews, [40], 0, "changed")  # the watermark plays no part
    reviews.run("DELETE FROM reviews WHERE id = 90")
    second = labels(tmp_path, reviews, "artifacts", watermark_column=None)
    assert len(first) > 5
    assert 1 <= len(set(second) - set(first)) <= 2
    assert [label for label in first if label in second] == [
        label for label in second if label in first
    ]
    assert second == labels(tmp_path, reviews, "scratch", watermark_column=None)


def test_rows_of_the_last_watermark_that_come_later_are_seen(
    tmp_path: Path, sqlite: SqliteReviews
) -> None:
    lines(tmp_path, sqlite)
    put(sqlite, [1000], 1)
    assert json.loads(lines(tmp_path, sqlite)[-1])["id"] == 1000


def test_without_checking_deleted_rows_stay(tmp_path: Path, sqlite: SqliteReviews) -> None:
    put(sqlite, [500], 2)
    lines(tmp_path, sqlite, check_deleted=False)
    sqlite.run("DELETE FROM reviews WHERE id = 3")
    assert any('"first review 3"' in line for line in lines(tmp_path, sqlite, check_deleted=False))
    assert not any('"first review 3"' in line for line in lines(tmp_path, sqlite, "other"))


def test_an_empty_table_leaves_no_document_and_a_full_one_after_it_some(tmp_path: Path) -> None:
    reviews = SqliteReviews(tmp_path)
    with pytest.raises(SourceError, match="no document left: 0 read"):
        run_ingest(tmp_path, {"db": reviews.source})
    put(reviews, range(3), 1)
    assert len(run_ingest(tmp_path, {"db": reviews.source}).texts) == 3


def test_the_stage_asks_no_database(tmp_path: Path, sqlite: SqliteReviews) -> None:
    config = config_of({"db": sqlite.source})
    identity = identity_of(config, tmp_path)
    (tmp_path / "reviews.db").unlink()
    ref = publish(
        tmp_path / "artifacts",
        identity,
        lambda staging: ingest(config, context_of(staging, identity, tmp_path)),
    )
    assert Store(tmp_path / "artifacts").open(ref).rows("documents") == 100
    fetching = Fetching(tmp_path / "artifacts" / FETCHED_DIR, is_offline=True)
    assert documents_identity(config, tmp_path, fetching) == identity


def test_a_part_that_is_lost_is_fetched_again(tmp_path: Path, sqlite: SqliteReviews) -> None:
    before = labels(tmp_path, sqlite, "artifacts")
    request = request_of(tmp_path, sqlite)
    fetched = tmp_path / "artifacts" / FETCHED_DIR
    known_rows(request, fetched)[2].path.unlink()
    with pytest.raises(SourceError, match="its rows are not fetched; run 'nightjar plan'"):
        known_rows(request, fetched)
    assert labels(tmp_path, sqlite, "artifacts") == before
    assert known_rows(request, fetched)[2].path.exists()


# -- rows --------------------------------------------------------------------------------


def test_fields_filters_language_and_limits_are_those_of_tables(
    tmp_path: Path, sqlite: SqliteReviews
) -> None:
    query = "SELECT id, text AS body, 'Title ' || id AS title, stars, 'de' AS lang, at FROM reviews"
    source = {
        **sqlite.source,
        "query": f"{query} -- of all films",
        "text_column": ["title", "body"],
        "join": ": ",
        "language_column": "lang",
        "where": {"stars": {"min": 4}},
        "limit": 3,
    }
    found = run_ingest(tmp_path, {"db": source})
    assert found.texts == [f"Title {n}: first review {n}" for n in (4, 9, 14)]
    assert {row["language"] for row in found.documents} == {"de"}
    assert found.counts["filtered_skipped"] > 0


def test_what_is_no_text_is_quarantined_by_its_key(tmp_path: Path, sqlite: SqliteReviews) -> None:
    sqlite.run("UPDATE reviews SET text = NULL WHERE id = 7")
    sqlite.run("UPDATE reviews SET text = '  ' WHERE id = 8")
    found = run_ingest(tmp_path, {"db": sqlite.source})
    assert found.reasons == [("id 7", "not_text"), ("id 8", "empty")]


def test_values_of_every_type_are_written_as_json(
    tmp_path: Path, server: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    reviews = make_postgres_reviews(server, f"types_{time.time_ns()}")
    query = """
        SELECT 'a-1' AS id, 'ünï' || chr(10) || '"q" 50% :x' AS text,
               TIMESTAMPTZ '2026-01-02 03:04:05.5+00' AS at, DATE '2026-01-02' AS day,
               1.50::numeric AS price, 3::numeric AS whole, 'NaN'::float8 AS nothing,
               '00000000-0000-0000-0000-00000000000a'::uuid AS number,
               '{"a": [1, null]}'::json AS object, ARRAY['x', 'y'] AS list, TRUE AS flag
    """
    where = {name: {"not": "-"} for name in ("day", "price", "whole", "nothing", "number", "flag")}
    found = json.loads(lines(tmp_path, reviews, query=query, where=where)[0])
    assert found.pop("at").startswith("2026-01-02T03:04:05.5")
    assert found == {
        "id": "a-1",
        "text": 'ünï\n"q" 50% :x',
        "day": "2026-01-02",
        "price": 1.5,
        "whole": 3,
        "nothing": None,
        "number": "00000000-0000-0000-0000-00000000000a",
        "flag": True,
    }
    # The watermark goes back to the database as the time that it is.
    assert len(lines(tmp_path, reviews, query=query, where=where)) == 1
    for column, value in (("object", {"a": [1, None]}), ("list", ["x", "y"])):
        row = json.loads(lines(tmp_path, reviews, query=query, text_column=column)[0])
        assert row[column] == value


@pytest.mark.parametrize(
    ("changes", "statement", "match"),
    [
        ({"key_column": "idd"}, "", r"there is no key_column 'idd'; .*did you mean 'id'\?"),
        ({"watermark_column": "changed_at"}, "", "there is no watermark_column 'changed_at'"),
        ({"text_column": "body"}, "", "there is no text_column 'body'; the query has id, text"),
        ({"where": {"star": 3}}, "", r"there is no where 'star'.*did you mean 'stars'\?"),
        ({"query": "SELECT * FROM nowhere"}, "", "the database says: no such table: nowhere"),
        ({"query": "SELECT * FORM reviews"}, "", "the database says: .*syntax error"),
        ({}, "UPDATE reviews SET id = NULL WHERE id = 5", "row 1 has no key: its id is null"),
        ({}, "UPDATE reviews SET id = 6 WHERE id = 5", "several rows have id 6; a key tells"),
        ({}, "UPDATE reviews SET id = 1.5 WHERE id = 5", "id 1.5: its key is a float"),
        ({}, "UPDATE reviews SET at = NULL WHERE id = 5", "id 5: its at is null"),
        (
            {},
            "UPDATE reviews SET at = CAST(X'ff' AS TEXT) WHERE id = 5",
            "id 5: its watermark is no",
        ),
        ({"url": "sqlite:///not.db"}, "", "there is no database .*not.db"),
        ({"url": "oracle+nodriver://host/base"}, "", "a database of oracle needs its driver"),
        ({"url": "sqlite://reviews"}, "", "Invalid|there is no database"),
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, sqlite: SqliteReviews, changes: dict[str, Any], statement: str, match: str
) -> None:
    if statement:
        sqlite.run(statement)
    refused(tmp_path, sqlite, match, **changes)
    assert list((tmp_path / "artifacts" / FETCHED_DIR / "partial").iterdir()) == []


def test_a_damaged_night_leaves_the_last_one_as_it_was(
    tmp_path: Path, sqlite: SqliteReviews
) -> None:
    request = request_of(tmp_path, sqlite)
    fetched = tmp_path / "artifacts" / FETCHED_DIR
    before = fetch_rows(request, fetched, SILENT)
    put(sqlite, range(200, 230), 2)
    sqlite.run("UPDATE reviews SET at = NULL WHERE id = 220")
    refused(tmp_path, sqlite, "id 220: its at is null")
    assert known_rows(request, fetched) == before


@pytest.mark.parametrize(
    ("keys", "match"),
    [
        ({"url": f"postgresql://me:{PASSWORD}@host/base"}, "set PGPASSWORD"),
        ({"url": f"postgresql://host/base?password={PASSWORD}"}, "name that in url_env"),
        ({"url": "reviews.db"}, "is a URL, as in postgresql"),
        ({"url_env": "MY_URL"}, "give url or url_env, one of them"),
        ({"url": None}, "give url or url_env, one of them"),
        ({"url": None, "url_env": "a b"}, "the name of an environment variable"),
        ({"query": "DELETE FROM reviews"}, "is a SELECT"),
        ({"key_column": None}, "key_column"),
    ],
)
def test_the_configuration_says_no_and_repeats_no_password(
    sqlite: SqliteReviews, keys: dict[str, Any], match: str
) -> None:
    with pytest.raises(ValidationError, match=match) as caught:
        SqlSource.model_validate({**sqlite.source, **keys})
    messages = "".join(error["msg"] for error in caught.value.errors())
    assert PASSWORD not in messages


def test_a_column_that_is_there_twice_is_refused(
    tmp_path: Path, server: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    reviews = make_postgres_reviews(server, f"twice_{time.time_ns()}")
    query = "SELECT id, text, id AS text, at FROM reviews"
    refused(tmp_path, reviews, "the query has several columns 'text'", query=query)


# -- servers -----------------------------------------------------------------------------


def test_a_server_that_does_not_answer_is_tried_again_and_then_named(
    tmp_path: Path, sqlite: SqliteReviews, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("psycopg", reason="the extra postgres is not installed")
    url = "postgresql://reader@127.0.0.1:1/base"
    with pytest.raises(SourceUnavailable, match=r"sources\.db: .*tried 2 times"):
        lines(tmp_path, sqlite, url=url)
    assert "trying again" in caplog.text


def test_a_wrong_password_is_not_tried_again(
    tmp_path: Path, server: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PGPASSWORD", "another-secret")
    reviews = PostgresReviews(server, "postgres")
    with pytest.raises(SourceError, match="password authentication failed for user") as caught:
        lines(tmp_path, reviews)
    assert "another-secret" not in str(caught.value)
    assert "trying again" not in caplog.text


def test_a_password_is_written_nowhere(
    tmp_path: Path, server: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    reviews = make_postgres_reviews(server, f"secret_{time.time_ns()}")
    put(reviews, range(30), 1)
    url = f"postgresql://nightjar:{PASSWORD}@127.0.0.1:{server}/{reviews.name}"
    monkeypatch.setenv("REVIEWS_URL", url)
    source = {**reviews.source, "url": None, "url_env": "REVIEWS_URL"}
    run_ingest(tmp_path, {"db": source})
    wrong = {"url": None, "url_env": "REVIEWS_URL"}
    query = "SELECT 1 / (at - 1) AS id, text, at FROM reviews"
    refused(tmp_path, reviews, "the database says: division by zero", **wrong, query=query)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert not [path for path in files if PASSWORD.encode() in path.read_bytes()]
    assert PASSWORD not in caplog.text
    monkeypatch.delenv("REVIEWS_URL")
    refused(tmp_path, reviews, "REVIEWS_URL is not set", **wrong)


SCRIPT = """
import sys
from pathlib import Path
from nightjar.config import SqlSource
from nightjar.sources.remote import TableRequest, fetch_rows
from nightjar.progress import SILENT
base = Path(sys.argv[1])
source = SqlSource(type="sql", url="sqlite:///reviews.db", query="SELECT * FROM reviews",
                   key_column="id", watermark_column="at")
class Slow:
    def start(self, *_): print("started", flush=True)
    def advance(self, *_): print("1000", flush=True)
parts = fetch_rows(TableRequest("db", source, base), base / "artifacts" / "fetched", Slow())
print([part.label for part in parts], flush=True)
status = Path("/proc/self/status").read_text()
print(int(status.split("VmHWM:")[1].split()[0]) // 1024)
"""


def begin(base: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(base)], stdout=subprocess.PIPE, text=True
    )


def output(process: subprocess.Popen[str]) -> list[str]:
    return process.communicate(timeout=240)[0].splitlines()


def fill(reviews: SqliteReviews, n_rows: int, n_words: int) -> None:
    rows = [(number, f"word{number} " * n_words, number, 1.0) for number in range(n_rows)]
    reviews.run("INSERT INTO reviews (id, text, at, stars) VALUES (?, ?, ?, ?)", rows)


def test_a_night_that_is_killed_while_it_fetches_costs_nothing(tmp_path: Path) -> None:
    reviews = SqliteReviews(tmp_path)
    fill(reviews, 40_000, 40)
    killed = begin(tmp_path)
    assert killed.stdout is not None
    while killed.stdout.readline().strip() != "1000":
        assert killed.poll() is None
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=60)
    fetched = tmp_path / "artifacts" / FETCHED_DIR
    assert list((fetched / "index").glob("[!.]*")) == []
    again, other = begin(tmp_path), begin(tmp_path)  # and two at once
    first, second = output(again), output(other)
    assert again.returncode == other.returncode == 0
    assert first[-2] == second[-2]
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    os.link(tmp_path / "reviews.db", scratch / "reviews.db")
    assert output(begin(scratch))[-2] == first[-2]


def test_memory_does_not_grow_with_the_table(tmp_path: Path) -> None:
    peaks = []
    for name, n_rows in (("small", 2_000), ("large", 100_000)):
        (tmp_path / name).mkdir()
        fill(SqliteReviews(tmp_path / name), n_rows, 120)
        done = begin(tmp_path / name)
        peaks.append(int(output(done)[-1]))
    assert peaks[1] - peaks[0] < 40  # MB, of a table of 120 MB
