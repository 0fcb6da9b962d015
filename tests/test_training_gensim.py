"""The gensim engine against plain gensim: same vectors, and no word left out."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gensim.models import FastText, Word2Vec
from gensim.models.fasttext import ft_ngram_hashes
from gensim.utils import save_as_line_sentence
from numpy.typing import NDArray
from training_support import (
    Sentences,
    column,
    matrix,
    model_config,
    publish_tokens,
    sentences_with_distinct_counts,
    topic_separation,
    train_model,
    two_topics,
)

from nightjar.errors import TrainingError
from nightjar.progress import SILENT
from nightjar.stages.train.gensim_engine import _EpochEnd, _Word2Vec
from nightjar.stages.train.line_sentences import LineFile
from nightjar.store import Artifact

SENTENCES = sentences_with_distinct_counts()


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return publish_tokens(tmp_path_factory.mktemp("tokens"), SENTENCES)


def plain_gensim(
    kind: type[Word2Vec], sentences: Sentences, path: Path, **parameters: Any
) -> Word2Vec:
    """gensim as a user would call it, with the settings of the small models."""
    save_as_line_sentence(sentences, str(path))
    settings = {
        "vector_size": 8,
        "min_count": 1,
        "epochs": 2,
        "negative": 3,
        "sg": 1,
        "seed": 7,
        "workers": 1,
        "alpha": 0.05 if kind is FastText else 0.025,
        **parameters,
    }
    return kind(corpus_file=str(path), **settings)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({}, {}),
        ({"sample": 0.05, "window": 2}, {"sample": 0.05, "window": 2}),
        ({"architecture": "cbow"}, {"sg": 0, "alpha": 0.05}),
        ({"architecture": "cbow", "cbow_mean": False}, {"sg": 0, "cbow_mean": 0}),
        ({"hs": True, "negative": 0}, {"hs": 1, "negative": 0}),
        ({"hs": True, "architecture": "cbow"}, {"hs": 1, "sg": 0, "alpha": 0.05}),
        ({"ns_exponent": 0.2, "alpha": 0.1}, {"ns_exponent": 0.2, "alpha": 0.1}),
        ({"shrink_windows": False, "sample": 0}, {"shrink_windows": False, "sample": 0}),
        ({"min_count": 20, "seed": 3}, {"min_count": 20, "seed": 3}),
        # With sample 0 gensim itself would draw windows from a state that it never set.
        ({"hs": True, "negative": 0, "sample": 0}, {"hs": 1, "negative": 0, "sample": 0.999999}),
    ],
)
def test_word2vec_gives_the_vectors_of_plain_gensim(
    tokens: Artifact, tmp_path: Path, ours: dict[str, Any], theirs: dict[str, Any]
) -> None:
    trained = train_model(tokens, tmp_path, "word2vec", **ours)
    plain = plain_gensim(Word2Vec, SENTENCES, tmp_path / "corpus.txt", **theirs)

    assert column(trained, "vectors", "token") == plain.wv.index_to_key
    np.testing.assert_array_equal(matrix(trained, "vectors"), plain.wv.vectors)
    if plain.negative:
        negative = matrix(trained, "output_vectors", kind="negative")
        np.testing.assert_array_equal(negative, plain.syn1neg)
    if plain.hs:
        nodes = matrix(trained, "output_vectors", kind="hs")
        np.testing.assert_array_equal(nodes, plain.syn1[:-1])
        assert not plain.syn1[-1].any()


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({}, {}),
        ({"architecture": "cbow", "bucket": 50}, {"sg": 0, "bucket": 50}),
        ({"min_n": 2, "max_n": 3, "bucket": 20_000}, {"min_n": 2, "max_n": 3, "bucket": 20_000}),
        ({"max_n": 0}, {"max_n": 0}),
        ({"hs": True}, {"hs": 1}),
    ],
)
def test_fasttext_gives_the_vectors_of_plain_gensim(
    tokens: Artifact, tmp_path: Path, ours: dict[str, Any], theirs: dict[str, Any]
) -> None:
    trained = train_model(tokens, tmp_path, "fasttext", **ours)
    path = tmp_path / "corpus.txt"
    plain = plain_gensim(FastText, SENTENCES, path, **({"bucket": 5000} | theirs))

    assert column(trained, "vectors", "token") == plain.wv.index_to_key
    np.testing.assert_array_equal(matrix(trained, "vectors"), plain.wv.vectors)
    np.testing.assert_array_equal(matrix(trained, "word_rows"), plain.wv.vectors_vocab)
    negative = matrix(trained, "output_vectors", kind="negative")
    np.testing.assert_array_equal(negative, plain.syn1neg)
    buckets = column(trained, "ngrams", "bucket")
    assert buckets == sorted({int(b) for row in plain.wv.buckets_word for b in row})
    np.testing.assert_array_equal(matrix(trained, "ngrams"), plain.wv.vectors_ngrams[buckets])


# -- unknown words from their n-grams ------------------------------------------------------


def ngram_hashes(word: str, min_n: int, max_n: int, bucket: int) -> list[int]:
    """Facebook's n-grams and hash (fastText, dictionary.cc): FNV-1a over signed bytes."""
    padded = f"<{word}>"
    hashes = []
    for start in range(len(padded)):
        for length in range(min_n, max_n + 1):
            ngram = padded[start : start + length]
            if len(ngram) < length or (length == 1 and start in {0, len(padded) - 1}):
                continue
            state = np.uint32(2166136261)
            for byte in ngram.encode():
                with np.errstate(over="ignore"):
                    state ^= np.uint32(np.uint8(byte).astype(np.int8).astype(np.uint32))
                    state *= np.uint32(16777619)
            hashes.append(int(state) % bucket)
    return hashes


@pytest.mark.parametrize("word", ["nightjar", "où", "жаба", "日本語", "a", "x y", "🐦bird"])
@pytest.mark.parametrize(("min_n", "max_n"), [(3, 6), (1, 2), (4, 4)])
def test_reference_hash_is_that_of_gensim(word: str, min_n: int, max_n: int) -> None:
    expected = ft_ngram_hashes(word, min_n, max_n, 2_000_000)
    assert ngram_hashes(word, min_n, max_n, 2_000_000) == list(expected)


def unknown_word_vector(trained: Artifact, word: str) -> NDArray[np.float32]:
    """The mean of the word's n-gram rows; a bucket that is not published is a row of zeros."""
    rows = dict(zip(column(trained, "ngrams", "bucket"), matrix(trained, "ngrams"), strict=True))
    hashes = ngram_hashes(word, 3, 6, 2_000_000)
    total = np.zeros(8, np.float32)
    for ngram in hashes:
        total += rows.get(ngram, 0.0)
    mean: NDArray[np.float32] = total / np.float32(len(hashes))
    return mean


def test_unknown_word_of_trained_ngrams_gets_the_vector_of_gensim(
    tokens: Artifact, tmp_path: Path
) -> None:
    trained = train_model(tokens, tmp_path, "fasttext", bucket=2_000_000)
    plain = plain_gensim(FastText, SENTENCES, tmp_path / "corpus.txt", bucket=2_000_000)
    for word in ("aword17", "bword16", "hword30"):
        assert word not in plain.wv.key_to_index
        np.testing.assert_array_equal(unknown_word_vector(trained, word), plain.wv[word])


def test_unknown_word_of_ngrams_that_were_never_trained_is_zero(
    tokens: Artifact, tmp_path: Path
) -> None:
    trained = train_model(tokens, tmp_path, "fasttext", bucket=2_000_000)
    assert not unknown_word_vector(trained, "zzzz").any()
    assert unknown_word_vector(trained, "zzzzword").any()


def test_only_the_ngram_rows_in_use_take_memory(tokens: Artifact, tmp_path: Path) -> None:
    tracemalloc.start()
    try:
        train_model(tokens, tmp_path, "fasttext", bucket=2_000_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000 * 8 * 4 / 4


def test_tokens_with_spaces_have_vectors_of_their_own(tmp_path: Path) -> None:
    sentences = [["new york", "is", "big"], ["new", "york", "is", "-"]] * 20
    corpus = publish_tokens(tmp_path, sentences)
    for trainer in ("word2vec", "fasttext"):
        trained = train_model(corpus, tmp_path, trainer, sample=0)
        assert set(column(trained, "vectors", "token")) == {
            "new york",
            "is",
            "big",
            "new",
            "york",
            "-",
        }
        assert trained.manifest.report["words_trained"] == 2 * 7 * 20


# -- every word is trained ---------------------------------------------------------------------


@pytest.mark.parametrize("trainer", ["word2vec", "fasttext"])
def test_sentence_of_25_000_words_is_not_cut(tmp_path: Path, trainer: str) -> None:
    generator = np.random.default_rng(0)
    sentence = [f"w{row}" for row in generator.integers(0, 50, 25_000)]
    corpus = publish_tokens(tmp_path, [sentence])
    trained = train_model(corpus, tmp_path, trainer, vector_size=2, sample=0, window=1)
    assert trained.manifest.report["words_trained"] == 2 * 25_000


@pytest.mark.parametrize("n_workers", [1, 3])
def test_each_worker_trains_its_share_once(tmp_path: Path, n_workers: int) -> None:
    generator = np.random.default_rng(0)
    lengths = generator.integers(2, 60, 1500)
    sentences = [[f"w{row}" for row in generator.integers(0, 90, n)] for n in lengths]
    corpus = publish_tokens(tmp_path, sentences, row_group=400)
    trained = train_model(
        corpus, tmp_path, "word2vec", vector_size=2, sample=0, window=1, n_workers=n_workers
    )
    assert trained.manifest.report["n_workers"] == n_workers
    assert trained.manifest.report["words_trained"] == 2 * int(lengths.sum())


def test_small_corpus_is_not_divided_among_workers(tokens: Artifact, tmp_path: Path) -> None:
    alone = train_model(tokens, tmp_path / "1", "word2vec", n_workers=1)
    many = train_model(tokens, tmp_path / "8", "word2vec", n_workers=8)
    assert many.manifest.report["n_workers"] == 1
    np.testing.assert_array_equal(matrix(alone, "vectors"), matrix(many, "vectors"))


def test_sample_of_one_keeps_every_word(tokens: Artifact, tmp_path: Path) -> None:
    trained = train_model(tokens, tmp_path, "word2vec", sample=1)
    assert trained.manifest.report["words_trained"] == 2 * sum(map(len, SENTENCES))


# -- behaviour ------------------------------------------------------------------------------------


@pytest.mark.parametrize("trainer", ["word2vec", "fasttext"])
def test_two_topics_separate(tmp_path: Path, trainer: str) -> None:
    corpus = publish_tokens(tmp_path, two_topics())
    trained = train_model(corpus, tmp_path, trainer, epochs=15, alpha=0.1, sample=0, window=3)
    assert topic_separation(trained) > 0.5


def small_engine_model(path: Path) -> _Word2Vec:
    """The engine's model with a vocabulary, and one file to train from."""
    path.write_text("0 1 2 1 0\n", encoding="ascii")
    model = _Word2Vec(vector_size=4, min_count=1, workers=1, sorted_vocab=0)
    model.build_vocab_from_freq({"0": 2, "1": 2, "2": 1})
    model.files = [LineFile(path, n_lines=1, n_words=5)]
    return model


def fit(model: _Word2Vec, path: Path) -> _EpochEnd:
    epoch_end = _EpochEnd(model_config("word2vec", alpha=5), 5, SILENT)
    model.train(
        corpus_file=str(path), total_examples=1, total_words=5, epochs=2, callbacks=[epoch_end]
    )
    return epoch_end


def test_vectors_that_are_not_finite_stop_training_with_the_epoch(tmp_path: Path) -> None:
    path = tmp_path / "0.txt"
    model = small_engine_model(path)
    epoch_end = fit(model, path)
    assert len(epoch_end.epoch_seconds) == 2
    model.syn1neg[1, 2] = np.inf
    with pytest.raises(TrainingError, match=r"epoch 3: the output vectors.*lower alpha \(now 5\)"):
        epoch_end.on_epoch_end(model)


def test_worker_that_fails_ends_training_instead_of_hanging(tmp_path: Path) -> None:
    path = tmp_path / "0.txt"
    model = small_engine_model(path)
    model.files = []
    with pytest.raises(TrainingError, match=r"failed in epoch 1: IndexError"):
        fit(model, path)
