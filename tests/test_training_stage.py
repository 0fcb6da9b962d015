"""The train stage: words kept and dropped, refusals, determinism, the published tables."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from training_support import (
    RecordedProgress,
    column,
    file_hashes,
    matrix,
    model_config,
    publish_tokens,
    sentences_with_distinct_counts,
    train_model,
    vocabulary_of,
)

from nightjar.config.models import TrainingConfig
from nightjar.errors import ArtifactDamaged, TrainingError, VocabularyError
from nightjar.formats.embeddings import BLOCK_ROWS
from nightjar.stages.train import Parents, trained_identity
from nightjar.stages.train.trainer import check_finite
from nightjar.store import Artifact, Identity, Staging, Store, publish, schemas
from nightjar.store.schemas import EMBEDDINGS

TRAINERS = ("word2vec", "fasttext", "glove")


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return publish_tokens(tmp_path_factory.mktemp("tokens"), sentences_with_distinct_counts())


# -- identity ----------------------------------------------------------------------------


def _version(trainer: str, training: TrainingConfig | None = None, **changes: object) -> str:
    model = model_config(trainer, **changes)
    return trained_identity("m", model, training or TrainingConfig(), Parents("0" * 12)).version


@pytest.mark.parametrize("trainer", TRAINERS)
def test_version_depends_on_the_model_and_not_on_the_workers(trainer: str) -> None:
    assert _version(trainer) == _version(trainer, TrainingConfig(workers=5))
    assert _version(trainer) != _version(trainer, epochs=9)
    assert _version(trainer) != _version(trainer, TrainingConfig(deterministic=True))


def test_version_takes_the_seed_of_the_model_or_else_of_all_models() -> None:
    assert _version("glove", TrainingConfig(seed=3)) == _version("glove", seed=3)
    assert _version("glove", TrainingConfig(seed=3)) != _version("glove", TrainingConfig(seed=4))
    assert _version("glove", TrainingConfig(seed=4), seed=3) == _version("glove", seed=3)


def test_identity_names_the_code_that_shapes_the_vectors() -> None:
    def code(trainer: str) -> dict[str, object]:
        model = model_config(trainer)
        return dict(trained_identity("m", model, TrainingConfig(), Parents("0" * 12)).code)

    assert set(code("word2vec")["libraries"]) == {"gensim", "numpy"}  # type: ignore[call-overload]
    assert set(code("glove")["libraries"]) == {"numba", "numpy"}  # type: ignore[call-overload]
    assert code("glove")["code"] != code("fasttext")["code"]
    assert set(code("fasttext")) == {"revision", "libraries", "code"}


def test_planning_imports_no_heavy_library() -> None:
    script = (
        "import sys\n"
        "from training_support import model_config\n"
        "from nightjar.config.models import TrainingConfig\n"
        "from nightjar.stages.train import Parents, trained_identity\n"
        "for trainer in ('word2vec', 'fasttext', 'glove'):\n"
        "    trained_identity('m', model_config(trainer), TrainingConfig(), Parents('0' * 12))\n"
        "heavy = {'gensim', 'numba', 'scipy', 'pandas', 'mlflow'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parent)


# -- words kept and dropped ----------------------------------------------------------------


def test_min_count_and_max_vocabulary_keep_the_most_frequent_words(tmp_path: Path) -> None:
    sentences = [["a"] * 6 + ["b"] * 5, ["c"] * 4 + ["d"] * 3, ["e", "e", "f"]]
    corpus = publish_tokens(tmp_path, sentences)

    trained = train_model(corpus, tmp_path, "word2vec", min_count=2, max_vocabulary=3)

    assert column(trained, "vectors", "token") == ["a", "b", "c"]
    assert column(trained, "vectors", "count") == [6, 5, 4]
    assert trained.manifest.counts == {
        "vocabulary_kept": 3,
        "vocabulary_dropped_min_count": 1,
        "vocabulary_dropped_max_vocabulary": 2,
        "tokens_kept": 15,
        "tokens_dropped_min_count": 1,
        "tokens_dropped_max_vocabulary": 5,
        "tokens_without_context": 0,
        "sentences": 3,
        "sentences_without_context": 1,
    }


def test_words_alone_in_their_sentence_are_counted(tmp_path: Path) -> None:
    corpus = publish_tokens(tmp_path, [["a", "b"], ["a"], [], ["b", "rare"], ["a", "b", "b"]])
    trained = train_model(corpus, tmp_path, "glove", min_count=2)
    assert trained.manifest.counts["tokens_kept"] == 7
    assert trained.manifest.counts["tokens_without_context"] == 2
    assert trained.manifest.counts["sentences"] == 5
    assert trained.manifest.counts["sentences_without_context"] == 3


@pytest.mark.parametrize("trainer", TRAINERS)
def test_vocabulary_of_one_word_is_refused_with_the_key_to_lower(
    tmp_path: Path, trainer: str
) -> None:
    corpus = publish_tokens(tmp_path, [["often", "often", "often", "seldom", "seldom"]])
    with pytest.raises(VocabularyError, match=r"1 of 2 words.*min_count = 3.*occurs 2 times"):
        train_model(corpus, tmp_path, trainer, min_count=3)
    assert Store(tmp_path).versions(EMBEDDINGS) == []


def test_corpus_of_one_word_asks_for_text(tmp_path: Path) -> None:
    corpus = publish_tokens(tmp_path, [["only", "only"]])
    with pytest.raises(VocabularyError, match=r"has 1 different word.*add text"):
        train_model(corpus, tmp_path, "glove")


@pytest.mark.parametrize("trainer", TRAINERS)
def test_sentences_all_shorter_than_two_words_are_refused(tmp_path: Path, trainer: str) -> None:
    corpus = publish_tokens(tmp_path, [["a"], ["b"], ["a", "rare"], []])
    with pytest.raises(VocabularyError, match=r"none of 4 sentences.*2 words kept.*min_count"):
        train_model(corpus, tmp_path, trainer, min_count=1, max_vocabulary=2)
    assert Store(tmp_path).versions(EMBEDDINGS) == []


def _rewrite(artifact: Artifact, table: str, data: pa.Table) -> Artifact:
    """An artifact like ``artifact`` in which one table says something else."""
    root = artifact.directory.parents[1] / "rewritten"

    def write(staging: Staging) -> None:
        for name in ("sentences", "vocabulary"):
            staging.write(name, data if name == table else artifact.read(name))

    return Store(root).open(publish(root, Identity(schemas.TOKENS, "", {"of": table}), write))


def test_token_id_that_the_vocabulary_lacks_is_damage(tmp_path: Path) -> None:
    corpus = publish_tokens(tmp_path, [["a", "b"], ["a", "b", "c"]])
    shorter = _rewrite(corpus, "vocabulary", corpus.read("vocabulary").slice(0, 2))
    with pytest.raises(ArtifactDamaged, match="token id that its vocabulary lacks"):
        train_model(shorter, tmp_path, "glove")


def test_vocabulary_that_is_not_ranked_by_count_is_damage(tmp_path: Path) -> None:
    corpus = publish_tokens(tmp_path, [["a", "b"], ["a", "b", "a"]])
    swapped = _rewrite(corpus, "vocabulary", corpus.read("vocabulary").take([1, 0]))
    with pytest.raises(ArtifactDamaged, match="no ranks by count"):
        train_model(swapped, tmp_path, "glove")


# -- what is published ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trainer", "tables"),
    [
        ("word2vec", {"vectors", "output_vectors"}),
        ("fasttext", {"vectors", "output_vectors", "word_rows", "ngrams"}),
        ("glove", {"vectors", "parameters", "losses"}),
    ],
)
def test_artifact_is_whole_and_holds_the_tables_of_its_trainer(
    tokens: Artifact, tmp_path: Path, trainer: str, tables: set[str]
) -> None:
    trained = train_model(tokens, tmp_path, trainer)
    assert Store(tmp_path).verify(trained.ref) == []
    files = {Path(entry.name).stem for entry in trained.manifest.files}
    assert files == tables | {Path(schemas.WORDS_FILE).stem}
    assert pq.read_schema(trained.table_paths("vectors")[0]).equals(schemas.vectors_schema(8))
    words = vocabulary_of(sentences_with_distinct_counts())
    assert column(trained, "vectors", "token") == [word for word, _ in words]
    assert column(trained, "vectors", "count") == [count for _, count in words]


def test_vectors_are_written_in_blocks_of_rows(tmp_path: Path) -> None:
    words = [f"w{row}" for row in range(BLOCK_ROWS + 10)]
    corpus = publish_tokens(tmp_path, [words[start : start + 50] for start in range(0, 8202, 50)])
    trained = train_model(corpus, tmp_path, "word2vec", vector_size=2, epochs=1)
    metadata = pq.read_metadata(trained.table_paths("vectors")[0])
    assert metadata.num_row_groups == 2
    assert metadata.row_group(0).num_rows == BLOCK_ROWS
    assert column(trained, "vectors", "token") == sorted(words)


@pytest.mark.parametrize("trainer", TRAINERS)
@pytest.mark.parametrize("vector_size", [1, 7, 300])
def test_any_vector_size_trains(
    tokens: Artifact, tmp_path: Path, trainer: str, vector_size: int
) -> None:
    trained = train_model(tokens, tmp_path, trainer, vector_size=vector_size, epochs=1)
    vectors = matrix(trained, "vectors")
    assert vectors.shape == (40, vector_size)
    assert np.all(np.isfinite(vectors))
    assert np.all(np.abs(vectors).max(axis=1) > 0)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_two_words_and_a_window_longer_than_any_sentence_train(
    tmp_path: Path, trainer: str
) -> None:
    corpus = publish_tokens(tmp_path, [["a", "b"], [], ["a"], ["b", "a", "a"]])
    trained = train_model(corpus, tmp_path, trainer, window=50, n_workers=3)
    assert column(trained, "vectors", "token") == ["a", "b"]
    assert np.all(np.isfinite(matrix(trained, "vectors")))


@pytest.mark.parametrize("trainer", TRAINERS)
def test_progress_of_every_phase_reaches_its_total(
    tokens: Artifact, tmp_path: Path, trainer: str
) -> None:
    progress = RecordedProgress()
    train_model(tokens, tmp_path, trainer, progress=progress)
    assert "train" in progress.totals
    assert dict(progress.done) == progress.totals
    assert any(note.startswith("epoch 2/") for note in progress.notes)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_value_that_is_not_finite_names_the_epoch_and_the_learning_rate(bad: float) -> None:
    values = np.zeros((BLOCK_ROWS + 5, 2), np.float32)
    check_finite({"vectors": values}, 4, "lower alpha (now 3)")
    values[-1, 1] = bad
    with pytest.raises(TrainingError, match=r"epoch 4: the vectors hold NaN.*lower alpha \(now 3"):
        check_finite({"vectors": values}, 4, "lower alpha (now 3)")


# -- determinism -------------------------------------------------------------------------------

_SETTINGS: dict[str, tuple[str, dict[str, object]]] = {
    "skipgram": ("word2vec", {}),
    "cbow": ("word2vec", {"architecture": "cbow"}),
    "huffman": ("word2vec", {"hs": True, "negative": 0, "sample": 0}),
    "fasttext": ("fasttext", {}),
    "glove": ("glove", {}),
}
_TRAIN_ALL = """
import json, sys
from pathlib import Path
from training_support import file_hashes, train_model
from nightjar.store import Store
store = Store(Path(sys.argv[1]))
tokens = store.open(store.versions("tokens")[0])
settings = json.loads(sys.argv[3])
hashes = {
    name: file_hashes(
        train_model(
            tokens, Path(sys.argv[2]), trainer, n_workers=4, deterministic=True, **changes
        )
    )
    for name, (trainer, changes) in settings.items()
}
print(json.dumps(hashes))
"""


def test_deterministic_runs_give_the_same_bytes_in_any_process(
    tokens: Artifact, tmp_path: Path
) -> None:
    here = {
        name: file_hashes(
            train_model(
                tokens, tmp_path / "here", trainer, n_workers=2, deterministic=True, **changes
            )
        )
        for name, (trainer, changes) in _SETTINGS.items()
    }
    arguments = [str(tokens.directory.parents[1]), str(tmp_path / "there"), json.dumps(_SETTINGS)]
    there = subprocess.run(
        [sys.executable, "-c", _TRAIN_ALL, *arguments],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
        env=os.environ | {"PYTHONHASHSEED": "12345"},
    )
    assert json.loads(there.stdout) == here


@pytest.mark.parametrize("trainer", TRAINERS)
def test_another_seed_gives_other_vectors(tokens: Artifact, tmp_path: Path, trainer: str) -> None:
    one = train_model(tokens, tmp_path, trainer, seed=1)
    two = train_model(tokens, tmp_path, trainer, seed=4_000_000_000)
    assert not np.allclose(matrix(one, "vectors"), matrix(two, "vectors"), atol=1e-4)
