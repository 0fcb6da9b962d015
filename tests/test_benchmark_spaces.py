"""The benchmark of spaces, on three hundred news texts instead of film reviews."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from gensim.test.utils import datapath

from benchmarks import spaces


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    text = Path(datapath("lee_background.cor")).read_text(encoding="utf-8")
    lines = list(dict.fromkeys(text.splitlines()))  # some are there twice
    labels = [("pos", "neg", "unsup")[number % 3] for number in range(len(lines))]
    table = pa.table({"id": [str(n) for n in range(len(lines))], "label": labels, "text": lines})
    (tmp_path / "imdb").mkdir()
    pq.write_table(table, tmp_path / "imdb" / "reviews-00.parquet")
    return tmp_path


def test_nobody_learns_and_is_tested_on_a_text_of_the_nights(folder: Path) -> None:
    data = spaces.read_data(folder, 150, 50)
    texts = data.texts.column("text").to_pylist()
    assert (len(texts), len(data.learned.texts), len(data.tested.texts)) == (150, 50, 50)
    learned, tested = set(data.learned.texts), set(data.tested.texts)
    assert not learned & tested
    assert not (learned | tested) & set(texts)
    assert 10 < data.learned.is_positive.sum() < 40


@pytest.mark.timeout(900)
def test_two_nights_give_a_row_for_each_way(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "found.json"
    sizes = ["--reviews", "100", "--grow", "20", "--nights", "2", "--labelled", "40"]
    arguments = ["spaces", "--json", str(path), "--data", str(folder), *sizes]
    monkeypatch.setattr("sys.argv", arguments)
    spaces.main()
    found = json.loads(path.read_text(encoding="utf-8"))
    assert [line["space"] for line in found["summary"]] == list(spaces.SPACES)
    rows = {(row["space"], row["night"]): row for row in found["nights"]}
    assert len(rows) == 8
    first = {(rows[space, 1]["score"], rows[space, 1]["frozen"]) for space in spaces.SPACES}
    assert len(first) == 1  # one training, four times
    for space in spaces.SPACES:
        assert rows[space, 1]["cosine"] == pytest.approx(1)
        assert rows[space, 2]["lost"] == pytest.approx(
            rows[space, 2]["refitted"] - rows[space, 2]["frozen"]
        )
    assert rows["aligned", 2]["residual"] > 0
    assert rows["own", 2]["residual"] is None
    assert rows["own", 2]["overlap"] == pytest.approx(rows["aligned", 2]["overlap"], abs=1e-3)
    assert rows["own", 2]["score"] == pytest.approx(rows["aligned", 2]["score"], abs=1e-3)
    assert "| aligned |" in capsys.readouterr().out


def test_coordinates_and_neighbours_are_compared_word_by_word() -> None:
    unit = np.eye(2, dtype=np.float32)
    one = spaces.Known({"a": unit[0], "b": unit[1]}, {"a": frozenset("bcdefghijk")})
    other = spaces.Known({"a": unit[0], "c": unit[1]}, {"a": frozenset("bcdefuvwxy")})
    assert one.overlap(other) == pytest.approx(0.5)
    assert one.cosine(other) == pytest.approx(1)
    assert one.cosine(spaces.Known({"a": -unit[0]}, {})) == pytest.approx(-1)
