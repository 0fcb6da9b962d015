"""A night reads the files that are new; the rows are the same for any number of workers."""

from __future__ import annotations

from pathlib import Path

import pytest
from rows_support import corpus_of, edges, read_corpus, rows_of

from nightjar.core.executors import ProcessExecutor
from nightjar.sources import file_groups
from nightjar.sources.tables import row_reading
from nightjar.store import Store
from nightjar.store.schemas import ROW_SHARDS

SOURCE = {"type": "csv", "path": "*.csv"}


def _write(base: Path, number: int, n_rows: int = 3) -> None:
    rows = "".join(f"n{number},m{row}\n" for row in range(n_rows))
    (base / f"{number}.csv").write_text(f"source,target\n{rows}")


@pytest.fixture(autouse=True)
def _a_file_is_a_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_groups, "LARGE_BYTES", 1)


def test_only_new_files_are_read(tmp_path: Path) -> None:
    for number in (1, 2):
        _write(tmp_path, number)
    first = edges(tmp_path, SOURCE)
    store = Store(tmp_path / "artifacts")
    made = {path: path.stat().st_ino for path in store.root.glob(f"{ROW_SHARDS}/*/rows.parquet")}
    _write(tmp_path, 3)
    second = edges(tmp_path, SOURCE)
    assert rows_of(second) == rows_of(first) + [("n3", f"m{row}") for row in range(3)]
    now = {path: path.stat().st_ino for path in store.root.glob(f"{ROW_SHARDS}/*/rows.parquet")}
    assert len(now) == len(made) + 1
    assert made.items() <= now.items()
    assert set(second.pieces[ROW_SHARDS]) == {path.parent.name for path in now}
    assert second.sources["in"] == {
        "type": "csv",
        "files_read": 3,
        "rows_read": 9,
        "rows_kept": 9,
        "quarantined": 0,
        "filtered_skipped": 0,
    }


def test_a_limit_reads_no_more_files_than_it_needs(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        _write(tmp_path, number)
    (tmp_path / "4.csv").write_text("no header that fits\n")
    read = edges(tmp_path, {**SOURCE, "limit": 4})
    assert rows_of(read) == [("n1", "m0"), ("n1", "m1"), ("n1", "m2"), ("n2", "m0")]
    assert (read.counts["rows_kept"], read.counts["files_read"]) == (4, 2)


def test_processes_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_reading, "INLINE_BYTES", 0)
    for number in range(4):
        _write(tmp_path, number, 200)
    corpus = corpus_of("graph", {"in": SOURCE})
    alone = read_corpus(tmp_path, corpus)
    with ProcessExecutor(2, ["nightjar.sources.tables.row_shards"]) as processes:
        together = read_corpus(tmp_path, corpus, store="other", executor=processes)
    assert together.pieces == alone.pieces
    digests = [
        [entry.sha256 for shard in read.shards for entry in shard.artifact.manifest.files]
        for read in (alone, together)
    ]
    assert digests[0] == digests[1]
