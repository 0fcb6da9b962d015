"""Co-occurrence counts against brute force, whatever the threads, batches and memory."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from stage_support import context_of
from training_support import (
    RecordedProgress,
    Sentences,
    column,
    file_hashes,
    model_config,
    publish_cooccurrences,
    publish_tokens,
    vocabulary_of,
)

from nightjar.config.models import GloVeConfig, TrainingConfig
from nightjar.core.executors import INLINE, ProcessExecutor
from nightjar.core.resources import Resources
from nightjar.errors import VocabularyError
from nightjar.kernels.cooccurrence_counts import sort_cells, sort_keys, sum_cells
from nightjar.progress import SILENT
from nightjar.stages.train import (
    Parents,
    cooccurrence,
    cooccurrences_identity,
    count,
    sorted_runs,
    trained_identity,
)
from nightjar.stages.train.model_corpus import ModelCorpus, Vocabulary, select_vocabulary
from nightjar.stages.train.pair_counting import CountingMemory, PairCounter
from nightjar.stages.train.sorted_runs import HeldRun, Run, SpilledRuns, merged
from nightjar.store import Artifact, Identity, Staging, Store, publish

Counts = dict[tuple[int, int], float]


def brute_force_counts(
    sentences: Sentences, window: int, is_symmetric: bool, has_distances: bool, n_words: int
) -> Counts:
    """The published cells, from all pairs of the ``n_words`` most frequent words."""
    ids = {word: row for row, (word, _) in enumerate(vocabulary_of(sentences)[:n_words])}
    counts: Counts = defaultdict(float)
    for sentence in sentences:
        kept = [ids[token] for token in sentence if token in ids]
        for i, word in enumerate(kept):
            for j, other in enumerate(kept):
                if j < i and i - j <= window:
                    cell = (min(word, other), max(word, other)) if is_symmetric else (word, other)
                    counts[cell] += 1.0 / (i - j) if has_distances else 1.0
    return dict(counts)


def counts_of(counted: Artifact) -> Counts:
    rows, columns, counts = (
        column(counted, "cooccurrences", name) for name in ("row", "column", "count")
    )
    return dict(zip(zip(rows, columns, strict=True), counts, strict=True))


AWKWARD: list[list[str]] = [
    ["a", "b", "a", "a", "c"],
    [],
    ["b"],
    ["c", "rare", "a", "b", "b", "d", "a", "c", "d", "d", "a"],
    ["d", "d"],
    ["b", "scarce", "c"],
    [],
]


@pytest.mark.parametrize("window", [1, 2, 3, 50])
@pytest.mark.parametrize("is_symmetric", [True, False])
@pytest.mark.parametrize("has_distances", [True, False])
def test_counts_are_those_of_brute_force(
    tmp_path: Path, window: int, is_symmetric: bool, has_distances: bool
) -> None:
    tokens = publish_tokens(tmp_path, AWKWARD, row_group=2)
    counted = publish_cooccurrences(
        tokens,
        tmp_path,
        window=window,
        symmetric=is_symmetric,
        distance_weighting=has_distances,
        min_count=2,
    )
    expected = brute_force_counts(AWKWARD, window, is_symmetric, has_distances, n_words=4)
    assert counts_of(counted) == pytest.approx(expected, rel=1e-8)
    n_diagonal = sum(row == column for row, column in expected)
    n_entries = 2 * len(expected) - n_diagonal if is_symmetric else len(expected)
    assert counted.manifest.counts["cooccurrences"] == n_entries
    assert counted.manifest.counts["cells"] == len(expected)
    assert counted.manifest.counts["tokens_dropped_min_count"] == 2


def test_sentence_of_25_000_words_is_counted_whole(tmp_path: Path) -> None:
    sentence = [f"w{row}" for row in np.random.default_rng(0).integers(0, 30, 25_000)]
    tokens = publish_tokens(tmp_path, [sentence])
    counted = publish_cooccurrences(tokens, tmp_path, window=3, distance_weighting=False)
    assert sum(column(counted, "cooccurrences", "count")) == 3 * 25_000 - (1 + 2 + 3)


def test_progress_counts_every_token(tmp_path: Path) -> None:
    tokens = publish_tokens(tmp_path, AWKWARD, row_group=2)
    progress = RecordedProgress()
    publish_cooccurrences(tokens, tmp_path, progress, n_workers=2)
    assert progress.done["count co-occurrences"] == progress.totals["count co-occurrences"] == 22


# -- memory, threads and order ----------------------------------------------------------------


def many_words(n_words: int = 3000, n_sentences: int = 300) -> list[list[str]]:
    """Words of three tiles on each side: half of the tokens are of a few, half of any."""
    generator = np.random.default_rng(8)
    ids = [
        [*generator.zipf(1.3, 10) % n_words, *generator.integers(0, n_words, 10)]
        for _ in range(n_sentences)
    ]
    return [[f"w{int(word)}" for word in generator.permutation(sentence)] for sentence in ids]


def cells_within(
    tokens: Artifact, max_bytes: int, n_workers: int, directory: Path, **changes: Any
) -> tuple[NDArray[np.int64], NDArray[np.int64], PairCounter]:
    """All cells and sums, counted within ``max_bytes``."""
    model = model_config("glove", **changes)
    assert isinstance(model, GloVeConfig)
    vocabulary = select_vocabulary(tokens, model)
    counter = PairCounter(model, vocabulary, max_bytes, n_workers, directory)
    with ThreadPoolExecutor(n_workers) as threads:
        counter.count(ModelCorpus(tokens, vocabulary).batches(), threads, SILENT)
        runs = list(counter.merged(threads))
    cells = np.concatenate([run.cells for run in runs])
    return cells, np.concatenate([run.sums for run in runs]), counter


@pytest.mark.parametrize("is_symmetric", [True, False])
def test_counts_do_not_depend_on_memory_and_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_symmetric: bool
) -> None:
    tokens = publish_tokens(tmp_path, many_words(), row_group=30)
    whole = cells_within(tokens, 10**9, 1, tmp_path / "none", window=9, symmetric=is_symmetric)
    assert np.all(np.diff(whole[0]) > 0)
    assert whole[2].spilled.n_written == 0
    monkeypatch.setattr(sorted_runs, "PIECE_CELLS", 2000)
    monkeypatch.setattr(sorted_runs, "SPILLED_ROWS", 500)
    monkeypatch.setattr(sorted_runs, "MAX_SPILLED_OF_A_SIZE", 3)
    for n_workers, max_bytes in ((1, 40_000), (3, 40_000), (2, 200_000), (2, 10**8)):
        directory = tmp_path / f"{n_workers}-{max_bytes}"
        cells, sums, counter = cells_within(
            tokens, max_bytes, n_workers, directory, window=9, symmetric=is_symmetric
        )
        np.testing.assert_array_equal(cells, whole[0])
        np.testing.assert_array_equal(sums, whole[1])
        assert (counter.spilled.n_written > 3) == (max_bytes <= 200_000)


def test_published_bytes_do_not_depend_on_threads_and_row_groups_are_whole_tiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cooccurrence, "GROUP_CELLS", 4000)
    tokens = publish_tokens(tmp_path, many_words(), row_group=30)
    counted = [
        publish_cooccurrences(tokens, tmp_path / str(n_workers), n_workers=n_workers, window=9)
        for n_workers in (1, 3)
    ]
    assert file_hashes(counted[0]) == file_hashes(counted[1])

    places = np.array([column(counted[0], "cooccurrences", name) for name in ("row", "column")]).T
    rows, columns = places.T
    key = np.lexsort((columns, rows, columns >> 10, rows >> 10))
    np.testing.assert_array_equal(key, np.arange(len(rows)))
    metadata = pq.read_metadata(counted[0].table_paths("cooccurrences")[0])
    sizes = [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
    assert max(sizes) == 4000  # a tile that is larger is cut
    ends = np.cumsum(sizes)[:-1]
    at_tile_end = [tuple(places[end - 1] >> 10) != tuple(places[end] >> 10) for end in ends]
    assert any(at_tile_end)
    for size, is_whole in zip(sizes, at_tile_end, strict=False):
        assert size == 4000 or (is_whole and size >= 2000)


def test_a_run_of_the_stage_that_spills_publishes_the_same_bytes_and_no_spilled_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = publish_tokens(tmp_path, many_words(), row_group=30)
    whole = publish_cooccurrences(tokens, tmp_path / "whole")

    def tiny(_max_bytes: int, *_: Any) -> CountingMemory:
        return CountingMemory(n_dense_tiles=0, n_keys=500, max_held_cells=800)

    monkeypatch.setattr(CountingMemory, "within", tiny)
    spilled = publish_cooccurrences(tokens, tmp_path / "spilled", n_workers=2)
    assert whole.manifest.report["runs_spilled"] == 0
    assert int(spilled.manifest.report["runs_spilled"]) > 10
    assert file_hashes(spilled) == file_hashes(whole)
    assert {path.name for path in spilled.directory.iterdir()} == {
        "cooccurrences.parquet",
        "manifest.json",
    }


@pytest.mark.parametrize("n_workers", [1, 2, 16])
@pytest.mark.parametrize("max_bytes", [64_000_000, 10**9])
def test_memory_is_shared_out_within_the_budget(max_bytes: int, n_workers: int) -> None:
    for is_symmetric in (True, False):
        memory = CountingMemory.within(max_bytes, 50_000, 10, is_symmetric, n_workers)
        side = memory.n_dense_tiles
        n_tiles = side * (side + 1) // 2 if is_symmetric else side**2
        held = 16 * memory.max_held_cells
        buffers = n_workers * 32 * memory.n_keys
        assert n_workers * n_tiles * (8 << 20) + buffers + held <= max_bytes
    assert CountingMemory.within(10**9, 500, 10, True, 1).n_dense_tiles == 1
    assert CountingMemory.within(10, 500, 10, True, 1).n_keys == 10


# -- sorting and merging ----------------------------------------------------------------------


@pytest.mark.parametrize("n_bits", [1, 10, 11, 12, 40, 62])
@pytest.mark.parametrize("n_keys", [0, 1, 2000])
def test_keys_are_sorted_by_their_upper_bits(n_bits: int, n_keys: int) -> None:
    generator = np.random.default_rng(n_bits)
    keys = generator.integers(0, 2**n_bits, n_keys)
    expected = np.sort(keys)
    result, _ = sort_keys(keys.copy(), np.empty_like(keys), 0)
    np.testing.assert_array_equal(result, expected)
    by_upper, _ = sort_keys(keys.copy(), np.empty_like(keys), 3)
    np.testing.assert_array_equal(by_upper, keys[np.argsort(keys >> 3, kind="stable")])


def test_cells_are_sorted_with_their_sums_and_summed() -> None:
    generator = np.random.default_rng(1)
    cells = generator.integers(0, 2**40, 500)
    cells = generator.choice(cells, 3000)
    sums = generator.integers(1, 2**35, 3000)
    expected: dict[int, int] = defaultdict(int)
    for cell, value in zip(cells.tolist(), sums.tolist(), strict=True):
        expected[cell] += value
    cells, sums = sort_cells(cells, sums, np.empty_like(cells), np.empty_like(sums))
    n_cells = sum_cells(cells, sums)
    result = dict(zip(cells[:n_cells].tolist(), sums[:n_cells].tolist(), strict=True))
    assert result == dict(sorted(expected.items()))


def test_runs_merge_to_what_all_of_them_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sorted_runs, "PIECE_CELLS", 64)
    monkeypatch.setattr(sorted_runs, "SPILLED_ROWS", 50)
    generator = np.random.default_rng(2)
    expected: dict[int, int] = defaultdict(int)
    held = []
    shapes = ((1, 0, 9), (900, 0, 2000), (300, 1900, 9000), (0, 0, 9), (5, 0, 9000))
    for size, first, last in shapes:
        cells = np.sort(generator.choice(np.arange(first, last), size, replace=False))
        sums = generator.integers(1, 100, size)
        held.append(HeldRun(Run(cells, sums)))
        for cell, value in zip(cells.tolist(), sums.tolist(), strict=True):
            expected[cell] += value
    spilled = SpilledRuns(tmp_path / "spilled")
    spilled.add(held[1:3])
    with ThreadPoolExecutor(2) as threads:
        runs = list(merged([held[0], *held[3:], *spilled.sources], threads, n_ahead=3))
    assert all(a.cells[-1] < b.cells[0] for a, b in pairwise(runs))
    assert max(map(len, runs)) <= 64
    cells = np.concatenate([run.cells for run in runs]).tolist()
    sums = np.concatenate([run.sums for run in runs]).tolist()
    assert dict(zip(cells, sums, strict=True)) == dict(sorted(expected.items()))


# -- what cannot be counted -------------------------------------------------------------------


def test_more_pairs_than_64_bits_number_are_refused(tmp_path: Path) -> None:
    tokens = publish_tokens(tmp_path, [["a", "b"]])
    model = model_config("glove", window=1000)
    assert isinstance(model, GloVeConfig)
    words = select_vocabulary(tokens, model)

    class Huge(Vocabulary):
        def __len__(self) -> int:
            return 2**31

    huge = Huge(words.words, words.counts, words.dropped, words.n_in_corpus)
    with pytest.raises(VocabularyError, match="set max_vocabulary"):
        PairCounter(model, huge, 10**8, 1, tmp_path)


def test_counts_that_64_bits_might_not_sum_are_refused(tmp_path: Path) -> None:
    tokens = publish_tokens(tmp_path, [["a", "b"]])
    model = model_config("glove", window=10)
    assert isinstance(model, GloVeConfig)
    words = select_vocabulary(tokens, model)
    for most, is_refused in ((10**9, False), (2 * 10**9, True)):
        counts = np.array([most, 1])
        many = Vocabulary(words.words, counts, words.dropped, words.n_in_corpus)
        if is_refused:
            with pytest.raises(VocabularyError, match="more than 64 bits can sum"):
                PairCounter(model, many, 10**8, 1, tmp_path)
        else:
            PairCounter(model, many, 10**8, 1, tmp_path)


# -- the identity -----------------------------------------------------------------------------


def version(**changes: Any) -> str:
    identity = cooccurrences_identity(model_config("glove", **changes), "a" * 12)
    assert identity is not None
    return identity.version


def test_only_what_shapes_the_counts_recounts() -> None:
    same: list[dict[str, Any]] = [
        {"eta": 0.1},
        {"x_max": 7},
        {"vector_size": 9},
        {"epochs": 99},
        {"alpha": 0.5},
        {"seed": 4},
        {"combine": "word"},
    ]
    assert {version(**changes) for changes in same} == {version()}
    other: list[dict[str, Any]] = [
        {"window": 9},
        {"min_count": 2},
        {"max_vocabulary": 9},
        {"symmetric": False},
        {"distance_weighting": False},
    ]
    assert len({version(), *(version(**changes) for changes in other)}) == 1 + len(other)


def test_embeddings_of_glove_alone_have_the_cooccurrences_as_a_parent() -> None:
    training = TrainingConfig()
    glove = trained_identity("m", model_config("glove"), training, Parents("a" * 12))
    assert glove.parents == {"tokens": "a" * 12, "cooccurrences": version()}
    word2vec = trained_identity("m", model_config("word2vec"), training, Parents("a" * 12))
    assert word2vec.parents == {"tokens": "a" * 12}
    assert cooccurrences_identity(model_config("word2vec"), "a" * 12) is None


def test_counting_takes_at_most_half_of_the_memory_there_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = publish_tokens(tmp_path, AWKWARD)
    model = model_config("glove")
    assert isinstance(model, GloVeConfig)
    hashes = []
    for n, available in enumerate((100_000_000, 10**11)):
        resources = Resources(memory_available=available, memory_held=0, disk_free=10**12)
        write = partial(
            count_in_stage, model, tokens=tokens, resources=resources, training=TrainingConfig()
        )
        identity = Identity("cooccurrences", "", {"number": n})
        counted = Store(tmp_path).open(publish(tmp_path, identity, write))
        hashes.append(file_hashes(counted))
    assert hashes[0] == hashes[1]
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert warnings[0].startswith("counting takes 64 MB instead of training.max_memory, half of")


def test_threads_of_this_process_count_unless_there_is_a_cluster(tmp_path: Path) -> None:
    """Processes beside them would count with a thread each, and pass everything by the disk."""
    tokens = publish_tokens(tmp_path, AWKWARD)
    model = model_config("glove")
    assert isinstance(model, GloVeConfig)
    used: list[int] = []

    class Watched(ProcessExecutor):
        def map(self, *arguments: Any) -> Any:
            used.append(self.n_workers)
            return INLINE.map(*arguments)

    class Cluster(Watched):
        is_cluster = True

    for executor in (Watched(2), Cluster(3)):
        context = {"executor": executor, "n_workers": 2}
        write = partial(
            count_in_stage,
            model,
            tokens=tokens,
            resources=Resources(memory_available=10**11, memory_held=0, disk_free=10**12),
            training=TrainingConfig(),
            **context,
        )
        publish(tmp_path, Identity("cooccurrences", "", {"of": executor.n_workers}), write)
    assert set(used) == {3}


def count_in_stage(
    model: GloVeConfig,
    staging: Staging,
    tokens: Artifact,
    resources: Resources,
    training: TrainingConfig,
    **context: Any,
) -> None:
    count("NAME", model, training, tokens, context_of(staging, **context), resources)
