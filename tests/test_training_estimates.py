"""Memory, disk and time before training: the figures, what is refused, what the plan shows."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import PROJECT_ROOT, run_due
from gensim.models.fasttext_inner import compute_ngrams_bytes, ft_hash_bytes
from numpy.typing import NDArray
from stage_support import context_of
from training_support import (
    column,
    model_config,
    publish_tokens,
    sentences_with_distinct_counts,
    train_model,
)

from nightjar.cli import main as cli
from nightjar.cli import plan_commands
from nightjar.config import load_config
from nightjar.config.models import TrainingConfig, Word2VecConfig
from nightjar.core.resources import Resources, read_resources
from nightjar.errors import ModelTooLarge, VocabularyError
from nightjar.kernels.vector_code import LANES
from nightjar.pipeline import Provenance, forecast, make_plan, run_step
from nightjar.progress import SILENT
from nightjar.stages.train import (
    Lessons,
    Parents,
    train,
    train_stage,
    trained_identity,
    window_learner,
)
from nightjar.stages.train import estimates as estimates_module
from nightjar.stages.train.durations import duration
from nightjar.stages.train.estimates import (
    Workload,
    check_fits,
    cooccurrences_at_most,
    need,
    read_workload,
    subsampling_warning,
    workload,
)
from nightjar.stages.train.ngram_use import count_ngrams, ngram_hashes
from nightjar.store import Artifact, Staging, Store, publish
from nightjar.store.schemas import EMBEDDINGS

GB = 10**9
AMPLE = Resources(memory_available=1000 * GB, memory_held=0, disk_free=1000 * GB)
NATIVE: dict[str, Any] = {"engine": "native", "vector_size": 100}


def zipf(n_words: int, n_tokens: int = 1_000_000) -> NDArray[np.int64]:
    shares = 1 / np.arange(1, n_words + 1)
    counts: NDArray[np.int64] = np.maximum(1, shares / shares.sum() * n_tokens).astype(np.int64)
    return counts


def work_of(trainer: str, n_words: int = 1000, **changes: Any) -> Workload:
    words = [f"w{row}" for row in range(n_words)]
    return workload(model_config(trainer, **changes), words, zipf(n_words), 50_000)


# -- n-gram rows -------------------------------------------------------------------------------

ODD_WORDS = ["a", "", "ab", "naïve", "日本語", "😀x", "<>", "żółw" * 9]


@pytest.mark.parametrize("lengths", [(1, 3), (3, 6), (1, 1), (2, 40), (9, 9), (3, 2)])
def test_ngram_hashes_are_those_of_facebook(lengths: tuple[int, int]) -> None:
    hashes, owners = ngram_hashes(ODD_WORDS, *lengths)
    for row, word in enumerate(ODD_WORDS):
        expected = sorted(ft_hash_bytes(ngram) for ngram in compute_ngrams_bytes(word, *lengths))
        assert sorted(hashes[owners == row].tolist()) == (expected if lengths != (3, 2) else [])


def test_ngram_rows_of_every_prefix_of_the_vocabulary_are_exact() -> None:
    words = [f"{'abcdefg'[row % 7]}word{row}" for row in range(300)]
    use = count_ngrams(words, len(words), 3, 6, 2000)
    assert use.is_exact
    for n_words in (0, 1, 2, 150, 300):
        buckets = {
            ft_hash_bytes(ngram) % 2000
            for word in words[:n_words]
            for ngram in compute_ngrams_bytes(word, 3, 6)
        }
        assert use.n_rows(n_words) == len(buckets)


def test_ngram_rows_of_a_huge_vocabulary_are_extrapolated_and_never_beyond_the_buckets() -> None:
    generator = np.random.default_rng(0)
    letters = np.array(list("etaoinshrdlu"))
    words = ["".join(generator.choice(letters, 2 + length % 8)) for length in range(20_000)]
    exact = count_ngrams(words, len(words), 3, 6, 50_000)
    sampled = count_ngrams(words[:5_000], len(words), 3, 6, 50_000)
    assert exact.is_exact
    assert not sampled.is_exact
    assert sampled.n_rows(20_000) == pytest.approx(exact.n_rows(20_000), rel=0.1)
    assert sampled.n_rows(20_000) <= 50_000
    assert count_ngrams(words[:5_000], 10**9, 3, 6, 50_000).n_rows(10**9) == 50_000


def test_the_estimate_has_the_ngram_rows_that_training_makes(tmp_path: Path) -> None:
    tokens = publish_tokens(tmp_path, sentences_with_distinct_counts())
    work = read_workload(tokens, model_config("fasttext", bucket=500))
    assert work.ngrams is not None
    trained = train_model(tokens, tmp_path, "fasttext", bucket=500)
    assert work.ngrams.n_rows(work.n_words) == len(column(trained, "ngrams", "bucket"))


# -- memory ----------------------------------------------------------------------------------


def parts(trainer: str, n_workers: int = 1, **changes: Any) -> dict[str, int]:
    model = model_config(trainer, **changes)
    found = need(model, work_of(trainer, **changes), n_workers)
    return {part.name: part.bytes for part in found.memory}


def test_native_rows_are_padded_and_copied_for_several_workers() -> None:
    one = parts("word2vec", **NATIVE, hs=True)
    assert one["word rows"] == 1000 * 112 * 4
    assert one["output rows"] == 2 * 1000 * 112 * 4
    two = parts("word2vec", n_workers=2, **NATIVE)
    assert two["word rows"] == (1000 + 2 * 2 * 999) * 112 * 4


def test_the_native_sizes_are_those_of_the_engine() -> None:
    assert estimates_module._LANES == LANES
    assert estimates_module._COPIED_ROWS == window_learner.COPIED_ROWS
    model = Word2VecConfig(trainer="word2vec", **NATIVE, hs=True)
    held = parts("word2vec", n_workers=2, **NATIVE, hs=True)
    matrices = window_learner.new_matrices(model, 1000, 1000, 2)
    replicas = [window_learner.new_replica(model, 1000, 1000, 2, worker) for worker in (0, 1)]
    inputs = matrices.inputs.nbytes + sum(old.inputs_before.nbytes for old in replicas)
    assert inputs == held["word rows"]
    outputs = matrices.noise_outputs.nbytes + matrices.node_outputs.nbytes
    outputs += sum(
        old.noise_outputs_before.nbytes + old.node_outputs_before.nbytes for old in replicas
    )
    # A tree has a node less than words.
    assert outputs == held["output rows"] - 112 * 4


def test_fasttext_needs_its_ngram_rows_and_none_without_ngrams() -> None:
    with_ngrams = parts("fasttext", vector_size=100)
    used = count_ngrams([f"w{row}" for row in range(1000)], 1000, 3, 6, 5000).n_rows(1000)
    assert with_ngrams["n-gram rows"] == used * 400
    assert "n-gram rows" not in parts("fasttext", vector_size=100, max_n=0, bucket=0)


_PEAK = """
import re, sys
from pathlib import Path
from training_support import publish_tokens, train_model
words = [f"{'abcdefgh'[row % 8]}word{row}" for row in range(12000)]
tokens = publish_tokens(Path(sys.argv[1]), [words[row:row + 20] for row in range(0, 12000, 20)])
trained = train_model(tokens, Path(sys.argv[1]), sys.argv[2], vector_size=1000, epochs=1)
# Of this program alone: ru_maxrss begins with that of the process that started it.
print(int(re.search(r"VmHWM:\\s+([0-9]+)", Path("/proc/self/status").read_text())[1]) * 1024)
print(trained.manifest.report["estimated_memory_bytes"])
print(sum(entry.bytes for entry in trained.manifest.files))
"""


@pytest.mark.parametrize("trainer", ["glove", "word2vec"])
def test_a_large_model_takes_the_memory_that_was_estimated(tmp_path: Path, trainer: str) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("this system does not say what a process has held at its peak")
    done = subprocess.run(
        [sys.executable, "-c", _PEAK, str(tmp_path), trainer],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
    )
    peak, estimated, n_disk = map(int, done.stdout.split())
    # The allowance for the interpreter and Prefect is not used up here.
    assert 0.5 * estimated < peak < 1.1 * estimated
    model = model_config(trainer, vector_size=1000, epochs=1)
    work = workload(model, (), np.ones(12_000, np.int64), 600)
    # GloVe's accumulators, the same or nearly so in a whole row, compress well here.
    assert 0.5 * need(model, work, 1).disk_bytes < n_disk < need(model, work, 1).disk_bytes


def test_cooccurrences_of_text_without_structure_are_as_many_as_estimated(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    shares = 1 / np.arange(1, 301)
    sentences = generator.choice(300, (400, 12), p=shares / shares.sum())
    tokens = publish_tokens(tmp_path, [[f"w{word}" for word in row] for row in sentences])
    for is_symmetric in (True, False):
        changes: dict[str, Any] = {"window": 5, "symmetric": is_symmetric, "epochs": 1}
        work = read_workload(tokens, model_config("glove", **changes))
        trained = train_model(tokens, tmp_path, "glove", **changes)
        counted = trained.manifest.counts["cooccurrences"]
        estimated = cooccurrences_at_most(work, 5, is_symmetric=is_symmetric)
        assert estimated == pytest.approx(counted, rel=0.05)


def test_cooccurrences_never_exceed_the_cells() -> None:
    work = Workload(np.array([10**12, 10**12]), 10, None)
    assert cooccurrences_at_most(work, 1000, is_symmetric=True) == 4
    assert cooccurrences_at_most(replace(work, n_sentences=10**13), 5, is_symmetric=True) == 0


# -- refusals ----------------------------------------------------------------------------------


def refusal(trainer: str, resources: Resources, n_words: int = 20_000, **changes: Any) -> str:
    model = model_config(trainer, **changes)
    with pytest.raises(ModelTooLarge) as refused:
        check_fits("mine", model, work_of(trainer, n_words, **changes), 1, resources)
    return str(refused.value)


@pytest.mark.parametrize(
    ("trainer", "changes"),
    [
        ("word2vec", NATIVE),
        ("word2vec", {"vector_size": 100}),
        ("fasttext", {"vector_size": 100}),
        ("glove", {"vector_size": 100}),
    ],
)
def test_the_values_that_a_refusal_names_would_fit(trainer: str, changes: dict[str, Any]) -> None:
    changes = {**changes, "vector_size": 3000}
    model, work = model_config(trainer, **changes), work_of(trainer, 20_000, **changes)
    needed = need(model, work, 1).memory_bytes
    scarce = replace(AMPLE, memory_available=needed - 150_000_000)
    message = refusal(trainer, scarce, **changes)
    assert message.startswith(f"models.mine: training needs about {needed / 1e9:,.2f} GB of memory")
    size = int(re.findall(r"models\.mine\.vector_size: (\d+) would fit", message)[0])
    n_words = int(re.findall(r"models\.mine\.max_vocabulary: (\d+) would fit", message)[0])
    assert 1000 < size < 3000
    assert 5000 < n_words < 20_000
    assert ("models.mine.bucket" in message) == (trainer == "fasttext")
    check_fits("mine", model_config(trainer, **{**changes, "vector_size": size}), work, 1, scarce)
    check_fits("mine", model, work.first(n_words), 1, scarce)
    check_fits("mine", model, work, 1, AMPLE)


def test_what_the_process_holds_already_counts_once() -> None:
    model, work = model_config("word2vec", **NATIVE), work_of("word2vec", 1000, **NATIVE)
    needed = need(model, work, 1).memory_bytes
    just = Resources(needed - 100_000_000, memory_held=100_000_000, disk_free=GB)
    check_fits("mine", model, work, 1, just)
    limited = replace(just, memory_held=99_000_000, memory_limit="the container")
    with pytest.raises(ModelTooLarge, match="the container has"):
        check_fits("mine", model, work, 1, limited)


def test_no_value_is_named_where_none_would_fit() -> None:
    message = refusal("word2vec", Resources(GB // 10, 0, GB))
    assert "no vector_size or max_vocabulary would fit" in message


def test_a_full_disk_is_refused_with_the_bytes_that_training_writes() -> None:
    message = refusal("glove", replace(AMPLE, disk_free=40_000_000), vector_size=200)
    assert "training writes about 0.08 GB and 0.04 GB are free" in message
    assert "pipeline.artifacts_dir" in message
    assert "models.mine.vector_size: " in message


def test_training_refuses_before_it_reads_a_sentence(tmp_path: Path) -> None:
    tokens = publish_tokens(tmp_path, sentences_with_distinct_counts())
    tokens.table_paths("sentences")[0].unlink()
    model, training = model_config("glove"), TrainingConfig()

    def write(staging: Staging) -> None:
        scarce = Resources(1000, 0, GB)
        context = context_of(staging, identity)
        train("mine", model, training, Lessons(tokens), context, scarce)

    identity = trained_identity("mine", model, training, Parents(tokens.ref.version))
    with pytest.raises(ModelTooLarge, match=r"models\.mine: training needs"):
        publish(tmp_path, identity, write)
    assert Store(tmp_path).versions(EMBEDDINGS) == []


def test_only_the_model_that_cannot_fit_is_refused(
    finished_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With vector_size 10000 more than a gigabyte, with 17 about half of one.
    available = Resources(GB, memory_held=0, disk_free=GB)
    monkeypatch.setattr(train_stage, "read_resources", lambda _: available)
    overrides = ["models.cbow.vector_size=10000", "models.glove.vector_size=17"]
    overrides += ["models.cbow.min_count=1", "models.cbow.hs=true"]
    loaded = load_config(finished_copy, overrides)
    plan = make_plan(loaded)
    provenance = Provenance(git_commit=None, actor="test", n_workers=1)
    with pytest.raises(ModelTooLarge, match=r"models\.cbow\.vector_size"):
        run_step(loaded, plan.step(EMBEDDINGS, "cbow"), SILENT, provenance)
    run_step(loaded, plan.step(EMBEDDINGS, "glove"), SILENT, provenance)
    entries = forecast(loaded, plan, 1, available)
    assert [(entry.model, entry.refusal is None) for entry in entries] == [
        ("cbow", False),
        ("glove", True),
    ]


def test_too_few_words_are_refused_with_the_key_of_the_model(finished_copy: Path) -> None:
    with pytest.raises(VocabularyError, match=r"models\.glove\.min_count = 9999999 times"):
        run_due(finished_copy, "models.glove.min_count=9999999")


def test_subsampling_that_leaves_nothing_is_said_in_the_report(tmp_path: Path) -> None:
    tokens = publish_tokens(tmp_path, sentences_with_distinct_counts())
    trained = train_model(tokens, tmp_path, "word2vec", sample=1e-12)
    assert "models.NAME.sample = 1e-12 keeps about" in trained.manifest.report["warning"]
    kept = train_model(tokens, tmp_path, "word2vec", sample=0)
    assert "warning" not in kept.manifest.report
    model = model_config("word2vec", sample=1e-3)
    assert subsampling_warning("mine", model, work_of("word2vec")) == ""


# -- what the machine has ------------------------------------------------------------------------


def write_files(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")
    return root


MEBI = 1 << 20


@pytest.mark.parametrize(
    "files",
    [
        {  # version 2: the group above has the nearer limit
            "proc/self/cgroup": "0::/night/job\n",
            "sys/fs/cgroup/night/job/memory.max": "max\n",
            "sys/fs/cgroup/night/job/memory.current": f"{10 * MEBI}\n",
            "sys/fs/cgroup/night/memory.max": f"{100 * MEBI}\n",
            "sys/fs/cgroup/night/memory.current": f"{60 * MEBI}\n",
            "sys/fs/cgroup/night/memory.stat": f"anon 1\ninactive_file {10 * MEBI}\nfile 3\n",
        },
        {  # version 1 within a container: the path is the host's, the limit at the top
            "proc/self/cgroup": "5:cpu:/docker/abc\n4:hugetlb,memory:/docker/abc\n0::/\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{100 * MEBI}\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{60 * MEBI}\n",
            "sys/fs/cgroup/memory/memory.stat": f"cache 5\ntotal_inactive_file {10 * MEBI}\n",
        },
    ],
)
def test_the_limit_of_a_container_is_what_is_available(
    tmp_path: Path, files: dict[str, str]
) -> None:
    found = read_resources(tmp_path / "not" / "yet", write_files(tmp_path, files))
    assert found.memory_available == 50 * MEBI
    assert found.memory_limit == "the container"
    assert found.memory_held > 10 * MEBI
    assert found.disk_free > 0


@pytest.mark.parametrize(
    "files",
    [
        {},
        {
            "proc/self/cgroup": "4:memory:/\n0::/\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": "1\n",
        },
    ],
)
def test_without_a_limit_the_machine_is_what_is_available(
    tmp_path: Path, files: dict[str, str]
) -> None:
    found = read_resources(tmp_path, write_files(tmp_path, files))
    assert found.memory_available > 50 * MEBI
    assert found.memory_limit == "the machine"


# -- time --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    root = tmp_path_factory.mktemp("trained")
    tokens = publish_tokens(root, sentences_with_distinct_counts())
    return train_model(tokens, root, "word2vec", vector_size=10)


def timed(trained: Artifact, **report: object) -> Any:
    """The manifest of a training of 100 s and 2 s around it, 1,000 tokens a second."""
    counts = {"tokens_kept": 50_000, "cooccurrences": 50_000}
    figures = {"n_workers": 1, "epoch_seconds": [50.0, 50.0], **report}
    return replace(trained.manifest, seconds=102.0, counts=counts, report=figures)


def test_time_is_that_of_the_newest_training_of_its_kind(trained: Artifact) -> None:
    model = model_config("word2vec", vector_size=10)
    work = Workload(zipf(1000, 100_000), 5_000, None)
    newest, other = timed(trained), timed(trained, epoch_seconds=[1.0])
    found = duration(model, work, 1, [other, newest])
    assert found.source == f"embeddings/{trained.ref.version}"
    assert found.seconds == pytest.approx(2 + 2 * work.n_tokens / 1000)
    assert duration(model, work, 2, [newest]).seconds == pytest.approx(2 + work.n_tokens / 1000)
    longer = model_config("word2vec", vector_size=10, epochs=6)
    assert duration(longer, work, 1, [newest]).seconds == pytest.approx(2 + 6 * work.n_tokens / 1e3)


def test_larger_settings_take_longer(trained: Artifact) -> None:
    work, newest = Workload(zipf(1000), 50_000, None), timed(trained)
    before = duration(model_config("word2vec", vector_size=10), work, 1, [newest]).seconds
    for changes in ({"vector_size": 300}, {"window": 20}, {"negative": 30}, {"hs": True}):
        model = model_config("word2vec", **{"vector_size": 10, **changes})
        assert duration(model, work, 1, [newest]).seconds > 1.1 * before
    sampled = model_config("word2vec", vector_size=10, sample=1e-5)
    assert duration(sampled, work, 1, [newest]).seconds < before


@pytest.mark.parametrize(
    ("trainer", "changes"),
    [("word2vec", {"engine": "native"}), ("word2vec", {"architecture": "cbow"}), ("glove", {})],
)
def test_a_training_of_another_kind_says_nothing(
    trained: Artifact, trainer: str, changes: dict[str, Any]
) -> None:
    work = Workload(zipf(1000), 50_000, None)
    found = duration(model_config(trainer, **changes), work, 2, [timed(trained)])
    assert found.source == "reference figures"
    assert found.seconds > 0


# -- the command ---------------------------------------------------------------------------------

_PLAN = """
import atexit, sys
heavy = {'prefect', 'mlflow', 'gensim', 'numba', 'scipy', 'pandas'}
atexit.register(lambda: print('imported:', sorted(heavy & sys.modules.keys()), file=sys.stderr))
from nightjar.cli import main as cli, plan_commands
from nightjar.core.resources import Resources
resources = Resources(int(sys.argv.pop(1)), 0, 10**12, 'the container')
plan_commands.read_resources = lambda _: resources
cli.main()
"""


def plan(config: Path, available: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, in this process."""
    resources = Resources(available, 0, 10**12, "the container")
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(plan_commands, "read_resources", lambda _: resources)
        patch.setattr(sys, "argv", ["nightjar", "plan", "-c", str(config), *arguments])
        code = cli._performed()
    return subprocess.CompletedProcess(sys.argv, code, out.getvalue(), err.getvalue())


def plan_from_nothing(
    config: Path, available: int, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """The same in a process of its own, which says what it imported."""
    return subprocess.run(
        [sys.executable, "-c", _PLAN, str(available), "plan", "-c", str(config), *arguments],
        env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT), "COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_plan_says_when_the_figures_are_known(small_config: Path) -> None:
    done = plan(small_config, 20 * GB)
    assert done.returncode == 0, done.stderr
    assert "Memory and time of training are known once there are tokens." in done.stdout
    document = json.loads(plan(small_config, 20 * GB, "--json").stdout)
    assert document["trainings"] == [
        {"model": name, "estimate": None, "refusal": None} for name in ("cbow", "glove")
    ]


def test_the_plan_shows_what_each_due_training_needs(finished_config: Path) -> None:
    changes = ["-s", "models.cbow.epochs=4", "-s", "models.ft={trainer: fasttext}"]
    done = plan_from_nothing(finished_config, 20 * GB, *changes)
    assert done.returncode == 0, done.stderr
    assert "imported: []" in done.stderr
    assert re.search(r"cbow +[\d,]+ +- +[\d.]+ MB +[\d.]+ [kM]B +about \d+ s", done.stdout)
    assert re.search(r"ft +[\d,]+ +[\d,]+ +[\d.]+ MB", done.stdout)
    assert re.search(r"time by embeddings/[0-9a-f]{12}: cbow", done.stdout)
    assert "time by reference figures: ft" in done.stdout
    assert "free now: 20.0 GB of memory (the container)" in done.stdout
    document = json.loads(plan(finished_config, 20 * GB, *changes, "--json").stdout)
    assert [entry["model"] for entry in document["trainings"]] == ["cbow", "ft"]
    found = document["trainings"][1]["estimate"]
    assert found["memory_bytes"] == sum(found["memory"].values())
    assert found["is_ngram_rows_exact"]


def test_the_plan_refuses_what_cannot_fit_after_it_is_shown(finished_config: Path) -> None:
    changes = ["-s", "models.cbow.epochs=4", "-s", "models.glove.min_count=9999999"]
    done = plan(finished_config, 10**6, *changes)
    assert done.returncode == 2
    assert "train cbow" in done.stdout
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("nightjar: models.cbow: training needs about 0.")
    assert "models.glove.min_count = 9999999" in done.stderr
    as_json = plan(finished_config, 10**6, *changes, "--json")
    assert as_json.returncode == 2
    refusals = [entry["refusal"] for entry in json.loads(as_json.stdout)["trainings"]]
    assert refusals[0].startswith("models.cbow: training needs")


@pytest.mark.parametrize(
    "refused",
    [
        {
            "models.cbow.vector_size=0": "models.cbow.vector_size: should be at least 1",
            "models.cbow.window=0": "models.cbow.window: should be at least 1",
            "models.cbow.alpha=0": "models.cbow.alpha: should be above 0",
            "models.cbow.engine=fast": "models.cbow.engine: should be 'native' or 'gensim'",
            "models.cbow.max_vocabulary=1": "models.cbow.max_vocabulary: should be at least 2",
            "models.glove.window=0": "models.glove.window: should be at least 1",
            "models.glove.eta=-1": "models.glove.eta: should be above 0",
        },
        {
            "models.cbow.negative=0": "models.cbow: negative is 0 and hs is off",
            "models.ft={trainer: fasttext, bucket: 0}": "models.ft: bucket is 0 but n-grams are",
        },
    ],
)
def test_what_cannot_be_trained_is_refused_by_the_name_of_its_key(
    small_config: Path, refused: dict[str, str]
) -> None:
    done = plan(small_config, 20 * GB, *(part for change in refused for part in ("-s", change)))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    for message in refused.values():
        assert message in done.stderr
