"""The benchmark of next items: any log, and generated ones."""

from __future__ import annotations

import argparse
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks import items


def test_a_log_of_any_number_of_items_is_generated_and_read(tmp_path: Path) -> None:
    rows = items.generate(1_000, n_items=40)
    path = tmp_path / "log.parquet"
    pq.write_table(rows, path)
    assert rows.num_rows == 1_000
    assert 30 < len(set(rows.column("item").to_pylist())) <= 40
    given = argparse.Namespace(log=path, data=tmp_path, movielens=None)
    read = items.log_to_judge(given, tmp_path)
    assert read is not None
    assert read.equals(rows)
    given.log = None
    assert items.log_to_judge(given, tmp_path) is None
