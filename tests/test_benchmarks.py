"""The benchmark of the trainers: its figures follow from its runs, and it runs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import PROJECT_ROOT

from benchmarks.trainers import trainings, variants
from benchmarks.trainers_records import CorpusFacts, Record, Run, Settings, Training
from benchmarks.trainers_report import epoch_work, figures, table

GENSIM_DATA = Path(str(resources.files("gensim") / "test" / "test_data"))
SETTINGS = Settings("data", 2, ["skipgram", "glove", "cbow", "fasttext"], 5, 3, 2)
FACTS = CorpusFacts(10, 1_000, 50, 700, 4_000.0, 9_000, "0123")
PEAKS = {
    "multiply_adds_per_second": 1e9,
    "matrices_bytes_per_second": {"random_rows": 4e8},
    "memory_bytes_per_second": {"copy": 2e8},
    "l2_bytes_per_second": {"copy": 1e9},
}


def run_of(model: str, engine: str, seed: int, speed: float, **values: Any) -> Run:
    """A run of 5 epochs of 1,000 words at ``speed`` words a second."""
    changed = {
        name: values.pop(name) for name in ("workers", "vector_size", "part") & values.keys()
    }
    training = replace(Training(model, engine, seed, 2, 100, 5), **changed)
    return Run(training, 50, speed, [1_000 / speed] * 5, **values)


def record(*runs: Run, **changes: Any) -> Record:
    empty = Record(SETTINGS, FACTS, {}, {}, PEAKS, list(runs))
    return replace(empty, **changes)


def test_ratios_are_of_the_medians_and_quality_of_the_means() -> None:
    speeds = {"native": [700.0, 100.0, 800.0], "gensim": [90.0, 100.0, 300.0]}
    runs = [
        run_of("cbow", engine, seed, speed, quality=seed / 10)
        for engine, found in speeds.items()
        for seed, speed in enumerate(found, 1)
    ]
    found = figures(record(*runs), "today")
    assert found["speed_ratio"]["cbow"] == 7.0
    assert found["quality"]["cbow"] == {"native": 0.2, "gensim": 0.2}
    assert found["words_per_second"] == {"cbow native": 700.0, "cbow gensim": 100.0}


def test_glove_is_measured_by_the_epoch_of_gensims_skipgram() -> None:
    peer = run_of("skipgram", "gensim", 1, 100.0, quality=0.4, peak_rss_mb=150.0)
    glove = run_of("glove", "native", 1, 1_000.0, count_seconds=3.0, quality=0.3, peak_rss_mb=510.0)
    memory_run = run_of(
        "glove", "native", 1, 10.0, count_seconds=9.0, peak_rss_mb=500.0, count_peak_rss_mb=450.0,
        matrices_mb=80.0, part="memory",
    )  # fmt: skip
    found = figures(record(peer, glove, memory_run), "today")
    assert found["speed_ratio"]["glove_iteration"] == 0.1
    assert found["speed_ratio"]["glove_counts"] == 0.3
    assert found["quality"]["glove_counts"] == {"native": 0.3, "gensim": 0.4}
    memory = {"gensim": 150.0, "matrices": 80.0, "limit": 480.0}
    assert found["peak_rss_mb"]["glove_iteration"] == {"native": 500.0, **memory}
    assert found["peak_rss_mb"]["glove_counts"] == {"native": 450.0, **memory}


def test_what_was_not_trained_has_no_ratio() -> None:
    peer = run_of("fasttext", "gensim", 1, 100.0, quality=0.4)
    found = figures(record(peer, missing={"fasttext": "there is no native engine"}), "today")
    assert found["speed_ratio"]["fasttext"] is None
    assert found["quality"]["fasttext"] == {"native": None, "gensim": 0.4}
    assert found["missing"] == {"fasttext": "there is no native engine"}


def test_variants_give_scaling_and_the_cost_of_long_vectors_and_no_ratio() -> None:
    runs = [
        run_of("cbow", "native", 1, 1_000.0, part="scaling"),
        run_of("cbow", "native", 1, 500.0, part="scaling", workers=1),
        run_of("cbow", "native", 1, 400.0, part="scaling", vector_size=300),
        run_of("cbow", "gensim", 1, 100.0),
    ]
    found = figures(record(*runs), "today")
    assert found["thread_scaling"]["cbow"] == 2.0
    assert found["vector_size_300"]["cbow"] == 2.5
    assert found["speed_ratio"]["cbow"] is None


def test_the_arithmetic_of_an_epoch_is_that_of_the_equations() -> None:
    counted = record(run_of("glove", "native", 1, 1_000.0, n_entries=600))
    # 6 outputs; 4,000 pairs of words, 700 centres, 9,000 rows of words and n-grams.
    assert epoch_work(counted, "skipgram") == (600 * 6 * 4_000, 800 * (6 * 700 + 4_000))
    assert epoch_work(counted, "cbow") == (600 * 6 * 700 + 400 * 4_000, 800 * (6 * 700 + 4_000))
    fasttext = (600 * 6 * 4_000 + 400 * 9_000, 800 * (6 * 700 + 9_000))
    assert epoch_work(counted, "fasttext") == fasttext
    assert epoch_work(counted, "glove") == (1_400 * 600, 600 * (4 * 800 + 16))


def test_shares_are_of_what_the_machine_can_do() -> None:
    found = figures(record(run_of("skipgram", "native", 1, 1_000.0)), "today")["achieved"]
    assert found["skipgram"]["gflop_per_second"] == 0.0144
    assert found["skipgram"]["share_of_peak_multiply_adds"] == 0.0072
    assert found["skipgram"]["share_of_peak_random_rows"] == 0.0164
    assert found["skipgram"]["kflop_per_centre"] == pytest.approx(20.5714)


def test_the_table_says_which_bounds_are_met() -> None:
    runs = [
        run_of("skipgram", "native", 1, 700.0),
        run_of("skipgram", "gensim", 1, 100.0),
        run_of("glove", "native", 1, 400.0, count_seconds=3.0),
    ]
    lines = {line.split()[0]: line.split() for line in reversed(table(record(*runs)).splitlines())}
    assert lines["skipgram"][1:6] == ["7.000", "at", "least", "6", "10"]
    assert lines["skipgram"][6] == "yes"
    assert lines["glove_iteration"][1:7] == ["0.250", "at", "most", "0.2", "0.12", "no"]
    assert lines["glove_counts"][1:7] == ["0.300", "at", "most", "0.4", "0.2", "yes"]


def test_engines_take_turns_and_glove_never_lacks_its_peer() -> None:
    settings = replace(SETTINGS, models=["glove", "cbow"], repeats=2)
    todo = list(trainings(settings, {}))
    turns = [(t.model, t.engine, t.seed) for t in todo if t.part == "main"]
    assert turns == [
        (*turn, seed)
        for seed in (1, 2)
        for turn in (
            ("skipgram", "gensim"), ("glove", "native"), ("cbow", "native"), ("cbow", "gensim"),
        )
    ]  # fmt: skip
    assert [(t.model, t.engine) for t in todo if t.part == "memory"] == [
        ("glove", "native"), ("cbow", "native"),
    ]  # fmt: skip
    without = [(t.model, t.part) for t in trainings(replace(settings, repeats=1), {"cbow": ""})]
    assert without == [
        ("skipgram", "main"),
        ("glove", "main"),
        ("cbow", "main"),
        ("glove", "memory"),
    ]
    assert {(t.workers, t.vector_size) for t in variants(settings, {})} == {
        (2, 100), (1, 100), (2, 300),
    }  # fmt: skip


def test_what_is_kept_for_resuming_is_all_that_was_measured() -> None:
    kept = record(run_of("glove", "native", 1, 400.0, count_seconds=3.0, part="memory"))
    assert Record.from_json(json.loads(json.dumps(kept.to_json()))) == kept


# -- the real thing ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """News as two Parquet files, and word pairs, laid out like the shared data."""
    directory = tmp_path_factory.mktemp("data")
    lines = (GENSIM_DATA / "lee_background.cor").read_text(encoding="utf-8").splitlines()
    (directory / "imdb").mkdir()
    for number, part in enumerate((lines[:150], lines[150:])):
        ids = [f"{number}-{row}" for row in range(len(part))]
        rows = pa.table({"id": ids, "text": part})
        pq.write_table(rows, directory / "imdb" / f"news-{number}.parquet")
    pairs = directory / "eval" / "similarity"
    pairs.mkdir(parents=True)
    for name in ("wordsim353", "simlex999", "men", "mturk771"):
        shutil.copy(GENSIM_DATA / "wordsim353.tsv", pairs / f"{name}.tsv")
    return directory


def benchmark(data: Path, json_path: Path, *options: str) -> str:
    """Run the command for GloVe and its peer; what it printed."""
    command = [
        sys.executable, "-m", "benchmarks.trainers", "--data", str(data), "--json", str(json_path),
        "--models", "glove", "--epochs", "1", "--repeats", "1", "--vector-size", "16",
        "--without", "peaks", "start-up", "scaling",
    ]  # fmt: skip
    process = subprocess.run(
        [*command, *options], cwd=PROJECT_ROOT, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_a_run_writes_what_its_trainings_say_and_a_resumed_one_trains_the_rest(
    data: Path, tmp_path: Path
) -> None:
    printed = benchmark(data, tmp_path / "found.json")
    found = json.loads((tmp_path / "found.json").read_text())
    names = {"skipgram", "cbow", "fasttext", "glove_iteration", "glove_counts"}
    assert found["speed_ratio"].keys() == found["quality"].keys() == names
    assert found["peak_rss_mb"].keys() == names
    peer, glove, memory = found["runs"]
    trained = [(run["training"]["model"], run["training"]["part"]) for run in found["runs"]]
    assert trained == [("skipgram", "main"), ("glove", "main"), ("glove", "memory")]
    epoch = peer["epoch_seconds"][0]
    for name, seconds in (
        ("glove_iteration", glove["epoch_seconds"][0]),
        ("glove_counts", glove["count_seconds"]),
    ):
        assert found["speed_ratio"][name] == pytest.approx(seconds / epoch, rel=1e-4)
        assert found["quality"][name]["native"] == pytest.approx(glove["quality"], rel=1e-4)
        assert found["peak_rss_mb"][name]["limit"] == pytest.approx(memory["matrices_mb"] + 400)
    iteration = found["peak_rss_mb"]["glove_iteration"]["native"]
    assert iteration == pytest.approx(memory["peak_rss_mb"], rel=1e-4)
    # The same text: as many words with a vector, and an epoch of the words that are counted.
    assert peer["n_words"] == glove["n_words"] == found["corpus"]["n_vocabulary"]
    assert peer["words_per_second"] == found["corpus"]["n_corpus_words"] / epoch
    assert glove["matrices_mb"] == 4 * glove["n_words"] * 17 * 4 / 1e6
    assert glove["compile_seconds"] == 0
    assert "2/3 glove native seed 1" in printed
    assert not (tmp_path / "found.json.partial").exists()

    assert_resumes(data, tmp_path / "again.json", found)


def assert_resumes(data: Path, json_path: Path, found: dict[str, Any]) -> None:
    partial = json_path.with_name("killed.partial")
    killed = {
        "settings": found["settings"],
        "facts": found["corpus"],
        "machine": found["machine"],
        "start_up": {},
        "peaks": {},
        "runs": found["runs"][1:],
        "missing": {},
    }
    partial.write_text(json.dumps(killed))
    printed = benchmark(data, json_path, "--resume", str(partial))
    assert "goes on after 2 trainings" in printed
    assert "1/3 skipgram gensim" in printed
    assert "2/3" not in printed
    again = json.loads(json_path.read_text())
    assert again["runs"][:2] == found["runs"][1:]
    assert [run["training"] for run in again["runs"][2:]] == [found["runs"][0]["training"]]


def test_the_machine_is_measured(tmp_path: Path) -> None:
    job = {"workers": 1, "memory_mb": 2, "row_values": 16, "trial_seconds": 0.001}
    process = subprocess.run(
        [sys.executable, "-m", "benchmarks.trainers_machine", json.dumps(job)],
        cwd=PROJECT_ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(process.stdout.splitlines()[-1])
    by_vector = found["multiply_adds_per_second_by_vector"]
    assert found["multiply_adds_per_second"] == max(by_vector.values())
    for place in ("memory", "matrices", "l2"):
        rates = found[f"{place}_bytes_per_second"]
        assert {"read", "write", "copy"} <= rates.keys()
        assert all(rate > 0 for rate in rates.values())
