"""Interchange with gensim: value by value, there and back, and gensim goes on working."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gensim.models import Doc2Vec, FastText, KeyedVectors, Word2Vec
from gensim.models.doc2vec import TaggedDocument
from gensim.models.fasttext import (
    FastTextKeyedVectors,
    ft_ngram_hashes,
    load_facebook_model,
    load_facebook_vectors,
    save_facebook_model,
)
from lookup_support import lookup_model
from numpy.typing import NDArray
from training_support import (
    Sentences,
    column,
    file_hashes,
    matrix,
    publish_tokens,
    sentences_with_distinct_counts,
    train_model,
    two_topics,
)

from nightjar.errors import ArtifactDamaged, InputError, NightjarError, VocabularyError
from nightjar.formats.embeddings import Embeddings
from nightjar.formats.gensim import from_gensim, load_gensim, save_gensim, to_gensim
from nightjar.formats.gensim.gensim_content import node_rows, sorted_tree
from nightjar.stages.train.engines import ENGINES
from nightjar.stages.train.output_layers import huffman_paths
from nightjar.store import Artifact, Store
from nightjar.store.schemas import EMBEDDINGS, TOKENS

SENTENCES = sentences_with_distinct_counts()
TIED = [
    *two_topics(60),
    ["rare", "words", "of", "equal", "count"],
    ["other", "words", "one", "two", "three"],
]
"""Here many words occur equally often."""

SKIPGRAM = {"architecture": "skipgram"}
CBOW = {"architecture": "cbow"}
TREE = {"hs": True, "negative": 0}
BOTH = {"hs": True, "negative": 3}
WORD2VEC = [SKIPGRAM, CBOW, SKIPGRAM | TREE, SKIPGRAM | BOTH, CBOW | BOTH]
FASTTEXT = [SKIPGRAM, CBOW | BOTH, SKIPGRAM | {"max_n": 0}, SKIPGRAM | {"bucket": 50}]
TRAINABLE = [
    (trainer, {"engine": engine, **changes})
    for trainer, engine in ENGINES
    for changes in {"word2vec": WORD2VEC, "fasttext": FASTTEXT}.get(trainer, [])
]
TRAINABLE_IDS = [
    "-".join([trainer, *(str(value) for value in changes.values())])
    for trainer, changes in TRAINABLE
]
EVERY_MODEL = pytest.mark.parametrize(("trainer", "changes"), TRAINABLE, ids=TRAINABLE_IDS)
FASTTEXT_ENGINES = pytest.mark.parametrize(
    "engine", [engine for trainer, engine in ENGINES if trainer == "fasttext"]
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return publish_tokens(tmp_path_factory.mktemp("tokens"), SENTENCES)


Train = Callable[..., Artifact]


@pytest.fixture(scope="module")
def train(corpus: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Trains a small model on the corpus, each once."""
    root = tmp_path_factory.mktemp("models")
    return cache(partial(train_model, corpus, root))


@pytest.fixture
def trained(train: Train, trainer: str, changes: dict[str, Any]) -> Artifact:
    return train(trainer, **changes)


def imported(model: Any, root: Path, **options: Any) -> Artifact:
    return Store(root).open(from_gensim(model, root, "imported", **options))


def assert_same_tables(one: Artifact, other: Artifact) -> None:
    """Every table that both engines know has the same bytes."""
    for table in ("vectors", "word_rows", "ngrams", "output_vectors"):
        assert one.has_table(table) == other.has_table(table)
        if one.has_table(table):
            assert one.read(table).equals(other.read(table)), table


# -- artifact to gensim ----------------------------------------------------------------------


@EVERY_MODEL
def test_gensim_model_holds_every_value_of_the_artifact(
    trained: Artifact, trainer: str, changes: dict[str, Any]
) -> None:
    model = to_gensim(trained)
    assert type(model) is {"word2vec": Word2Vec, "fasttext": FastText}[trainer]
    assert model.wv.index_to_key == column(trained, "vectors", "token")
    counts = [model.wv.get_vecattr(word, "count") for word in model.wv.index_to_key]
    assert counts == column(trained, "vectors", "count")
    np.testing.assert_array_equal(model.wv.vectors, matrix(trained, "vectors"))
    if model.negative:
        np.testing.assert_array_equal(
            model.syn1neg, matrix(trained, "output_vectors", kind="negative")
        )
    if model.hs:
        np.testing.assert_array_equal(model.syn1[:-1], matrix(trained, "output_vectors", kind="hs"))
        assert not model.syn1[-1].any()
    if trainer == "fasttext":
        np.testing.assert_array_equal(model.wv.vectors_vocab, matrix(trained, "word_rows"))
        buckets = column(trained, "ngrams", "bucket")
        np.testing.assert_array_equal(model.wv.vectors_ngrams[buckets], matrix(trained, "ngrams"))
        others = np.delete(model.wv.vectors_ngrams, buckets, axis=0)
        assert len(others) == model.wv.bucket - len(buckets)
        assert not others.any()


def test_gensim_model_has_the_hyper_parameters_of_the_manifest(train: Train) -> None:
    changes = {
        **CBOW, **BOTH, "window": 4, "min_count": 20, "max_vocabulary": 30, "epochs": 3,
        "ns_exponent": 0.5, "sample": 0.01, "alpha": 0.03, "min_alpha": 0.002,
        "cbow_mean": False, "shrink_windows": False, "seed": 11,
    }  # fmt: skip
    trained = train("word2vec", engine="native", **changes)
    model = to_gensim(trained)
    found = {
        "window": model.window, "min_count": model.min_count, "epochs": model.epochs,
        "max_final_vocab": model.max_final_vocab, "ns_exponent": model.ns_exponent,
        "sample": model.sample, "alpha": model.alpha, "min_alpha": model.min_alpha,
        "cbow_mean": model.cbow_mean, "shrink_windows": model.shrink_windows,
        "seed": model.seed, "sg": model.sg, "hs": model.hs, "negative": model.negative,
    }  # fmt: skip
    assert found == {
        "window": 4, "min_count": 20, "epochs": 3, "max_final_vocab": 30, "ns_exponent": 0.5,
        "sample": 0.01, "alpha": 0.03, "min_alpha": 0.002, "cbow_mean": 0,
        "shrink_windows": False, "seed": 11, "sg": 0, "hs": 1, "negative": 3,
    }  # fmt: skip
    assert len(model.wv) == 30
    assert model.corpus_count == len(SENTENCES)
    assert model.corpus_total_words == sum(map(len, SENTENCES))
    assert (model.train_count, model.min_alpha_yet_reached) == (1, 0.002)
    assert model.comment == f"nightjar {trained.ref}"


def test_what_follows_from_the_counts_is_what_gensim_computes(train: Train) -> None:
    trained = train("word2vec", **BOTH, sample=0.01)
    model = to_gensim(trained)
    plain = Word2Vec(SENTENCES, vector_size=8, min_count=1, negative=3, hs=1, sample=0.01)
    assert model.wv.index_to_key == plain.wv.index_to_key
    np.testing.assert_array_equal(model.cum_table, plain.cum_table)
    for attribute in ("sample_int", "count"):
        np.testing.assert_array_equal(model.wv.expandos[attribute], plain.wv.expandos[attribute])
    for attribute in ("code", "point"):
        for ours, theirs in zip(
            model.wv.expandos[attribute], plain.wv.expandos[attribute], strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("sentences", [SENTENCES, TIED, [["a", "b"]], [["a", "b", "c"]] * 3])
def test_native_huffman_paths_are_those_of_gensim(sentences: Sentences, tmp_path: Path) -> None:
    tokens = publish_tokens(tmp_path, sentences)
    model = to_gensim(train_model(tokens, tmp_path, "word2vec", engine="native", **TREE))
    tree = huffman_paths(model.wv.expandos["count"])
    for row in range(len(model.wv)):
        path = slice(tree.offsets[row], tree.offsets[row + 1])
        np.testing.assert_array_equal(model.wv.get_vecattr(row, "point"), tree.nodes[path])
        codes = (1 - tree.signs[path]) / 2
        np.testing.assert_array_equal(model.wv.get_vecattr(row, "code"), codes)


def test_glove_becomes_keyed_vectors_with_counts(train: Train, tmp_path: Path) -> None:
    trained = train("glove")
    wv = to_gensim(trained)
    assert type(wv) is KeyedVectors
    assert wv.index_to_key == column(trained, "vectors", "token")
    np.testing.assert_array_equal(wv.vectors, matrix(trained, "vectors"))
    assert wv.expandos["count"].tolist() == column(trained, "vectors", "count")
    wv.add_vectors(["new"], np.ones((1, 8), np.float32))
    assert wv.index_to_key[-1] == "new"
    assert wv["new"].tolist() == [1.0] * 8
    again = imported(to_gensim(trained), tmp_path)
    assert again.read("vectors").equals(trained.read("vectors"))
    assert not again.has_table("parameters")


# -- gensim works with it --------------------------------------------------------------------


@pytest.mark.parametrize(("trainer", "engine"), list(ENGINES))
def test_neighbours_and_analogies_are_ours(
    train: Train, tmp_path: Path, trainer: str, engine: str
) -> None:
    trained = train(trainer, engine=engine)
    ours = Embeddings.from_artifact(trained)
    model = to_gensim(trained)
    wv = model if isinstance(model, KeyedVectors) else model.wv
    lookup = lookup_model(tmp_path / "lookup", ours.tokens, ours.matrix)
    a, b, c = ours.tokens[:3]
    theirs = wv.most_similar(a, topn=5)
    nearest = lookup.neighbors([a], topn=5)[0]
    assert [word for word, _ in theirs] == [near.token for near in nearest]
    similarities = [near.similarity for near in nearest]
    np.testing.assert_allclose([value for _, value in theirs], similarities, rtol=1e-5)
    answers = wv.most_similar(positive=[b, c], negative=[a], topn=3)
    analogy = lookup.analogies([(a, b, c)], topn=3)[0]
    assert [word for word, _ in answers] == [near.token for near in analogy]
    assert wv.similarity(a, theirs[0][0]) == pytest.approx(similarities[0], rel=1e-5)
    questions = tmp_path / "questions.txt"
    questions.write_text(f": all\n{a} {b} {c} {answers[0][0]}\n", encoding="utf-8")
    score, _ = wv.evaluate_word_analogies(str(questions), case_insensitive=False)
    assert score == 1.0


def log_sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return -np.logaddexp(0.0, -values)


def mean_loss(model: Word2Vec, sentences: Sentences) -> float:
    """Of skip-gram over every pair at most 2 words apart; every word is noise by its odds."""
    vectors, outputs = (m.astype(np.float64) for m in (model.wv.vectors, model.syn1neg))
    ids = [[model.wv.key_to_index[word] for word in sentence] for sentence in sentences]
    inputs, targets = zip(
        *(
            (sentence[at], sentence[near])
            for sentence in ids
            for at in range(len(sentence))
            for near in range(max(0, at - 2), min(len(sentence), at + 3))
            if near != at
        ),
        strict=True,
    )
    products = vectors @ outputs.T
    odds = model.wv.expandos["count"] ** model.ns_exponent
    noise = log_sigmoid(-products) @ (odds / odds.sum())
    right = log_sigmoid(products)[list(inputs), list(targets)]
    return float(-(right + model.negative * noise[list(inputs)]).mean())


@pytest.mark.parametrize("engine", ["native", "gensim"])
def test_loss_falls_further_when_gensim_trains_on(tmp_path: Path, engine: str) -> None:
    sentences = two_topics()
    tokens = publish_tokens(tmp_path, sentences)
    settings = {"window": 2, "shrink_windows": False, "sample": 0, "epochs": 1, "alpha": 0.01}
    trained = train_model(tokens, tmp_path, "word2vec", engine=engine, **settings)
    model = to_gensim(trained)
    model.workers = 1
    untrained = (1 + model.negative) * np.log(2)
    before = mean_loss(model, sentences)
    model.train(sentences, total_examples=model.corpus_count, epochs=3)
    after = mean_loss(model, sentences)
    assert after < before - 0.05 < untrained - 0.1, (after, before, untrained)


def test_hierarchical_softmax_scores_text_better_when_gensim_trains_on(tmp_path: Path) -> None:
    sentences = two_topics()
    tokens = publish_tokens(tmp_path, sentences)
    model = to_gensim(
        train_model(tokens, tmp_path, "word2vec", engine="native", **TREE, sample=0, epochs=1)
    )
    model.workers = 1
    before = model.score(sentences, total_sentences=len(sentences)).sum()
    model.train(sentences, total_examples=model.corpus_count, epochs=5)
    after = model.score(sentences, total_sentences=len(sentences)).sum()
    assert before < after < 0


@EVERY_MODEL
def test_gensim_takes_in_new_words_and_trains_on(trained: Artifact, trainer: str) -> None:
    model = to_gensim(trained)
    model.workers = 1
    before = model.wv.vectors.copy()
    word = model.wv.index_to_key[0]
    new_sentences = [["newword", word, "another", word]] * 30
    model.build_vocab(new_sentences, update=True)
    assert model.wv.get_vecattr(word, "count") == column(trained, "vectors", "count")[0] + 60
    model.train(new_sentences, total_examples=30, epochs=model.epochs)
    assert model.wv.index_to_key[len(before) :] == ["newword", "another"]
    assert model.wv.get_vecattr("newword", "count") == 30
    assert np.isfinite(model.wv.vectors).all()
    assert not np.array_equal(model.wv[word], before[0])
    assert model.wv["newword"].any()


@EVERY_MODEL
def test_gensims_own_files_give_the_same_model(
    trained: Artifact, trainer: str, tmp_path: Path
) -> None:
    path = tmp_path / "model"
    save_gensim(to_gensim(trained), path)
    again = {"word2vec": Word2Vec, "fasttext": FastText}[trainer].load(str(path))
    # gensim leaves FastText's vectors out and adds them up anew from the rows.
    np.testing.assert_allclose(again.wv.vectors, matrix(trained, "vectors"), rtol=1e-6, atol=1e-8)
    again.train(SENTENCES[:20], total_examples=20, epochs=1)
    loaded = load_gensim(path)
    loaded.wv.vectors = to_gensim(trained).wv.vectors
    assert_same_tables(imported(loaded, tmp_path), trained)


@EVERY_MODEL
def test_word2vec_format_gives_the_same_vectors(
    trained: Artifact, trainer: str, tmp_path: Path
) -> None:
    path, counts = str(tmp_path / "vectors.bin"), str(tmp_path / "counts.txt")
    to_gensim(trained).wv.save_word2vec_format(path, fvocab=counts, binary=True)
    wv = KeyedVectors.load_word2vec_format(path, fvocab=counts, binary=True)
    assert imported(wv, tmp_path).read("vectors").equals(trained.read("vectors"))


# -- FastText --------------------------------------------------------------------------------

UNKNOWN = ("aword17", "bword16", "hword30", "word", "zzzz", "où", "x")


def unknown_word_vector(trained: Artifact, word: str) -> NDArray[np.float32]:
    """As the registered model puts it together: absent buckets are zero."""
    rows = dict(zip(column(trained, "ngrams", "bucket"), matrix(trained, "ngrams"), strict=True))
    hashes = ft_ngram_hashes(word, 3, 6, 5000)
    total = sum((rows.get(ngram, np.zeros(8)) for ngram in hashes), np.zeros(8, np.float32))
    return (total / max(1, len(hashes))).astype(np.float32)


@FASTTEXT_ENGINES
def test_unknown_words_have_our_vectors(train: Train, engine: str) -> None:
    trained = train("fasttext", engine=engine)
    model = to_gensim(trained)
    for word in UNKNOWN:
        assert word not in model.wv.key_to_index
        expected = unknown_word_vector(trained, word)
        np.testing.assert_allclose(model.wv[word], expected, rtol=1e-6, atol=1e-9)
    assert model.wv["aword17"].any()


@FASTTEXT_ENGINES
@pytest.mark.parametrize("changes", [{}, {"max_n": 0}, TREE])
def test_facebook_format_there_and_back(
    train: Train, tmp_path: Path, engine: str, changes: dict[str, Any]
) -> None:
    trained = train("fasttext", engine=engine, **changes)
    path = str(tmp_path / "model.bin")
    model = to_gensim(trained)
    save_facebook_model(model, path)
    again = load_facebook_model(path)
    assert again.wv.index_to_key == model.wv.index_to_key
    np.testing.assert_array_equal(again.wv.vectors_vocab, model.wv.vectors_vocab)
    np.testing.assert_array_equal(again.wv.vectors_ngrams, model.wv.vectors_ngrams)
    np.testing.assert_allclose(again.wv.vectors, model.wv.vectors, rtol=1e-6, atol=1e-8)
    assert again.corpus_total_words == sum(map(len, SENTENCES))
    if not changes.get("max_n", 1):
        assert "zzzz" not in again.wv
    else:
        for word in UNKNOWN:
            np.testing.assert_array_equal(again.wv[word], model.wv[word])
    again.wv.vectors = model.wv.vectors
    back = imported(again, tmp_path)
    for table in ("vectors", "word_rows", "ngrams"):
        assert back.read(table).equals(trained.read(table)), table
    if not changes.get("hs"):
        assert back.read("output_vectors").equals(trained.read("output_vectors"))
    vectors = load_facebook_vectors(path)
    assert not imported(vectors, tmp_path).has_table("output_vectors")


def test_trained_fasttext_keeps_the_vectors_of_unknown_words(tmp_path: Path) -> None:
    model = FastText(SENTENCES, vector_size=8, min_count=1, bucket=3000, workers=1, epochs=1)
    artifact = imported(model, tmp_path)
    assert column(artifact, "ngrams", "bucket") == list(range(3000))
    again = to_gensim(artifact)
    for word in UNKNOWN:
        np.testing.assert_array_equal(again.wv[word], model.wv[word])


def test_ngrams_of_no_word_can_be_left_out(tmp_path: Path) -> None:
    model = FastText(SENTENCES, vector_size=8, min_count=1, bucket=3000, workers=1, epochs=1)
    artifact = imported(model, tmp_path, only_used_ngrams=True)
    used = sorted({int(bucket) for row in model.wv.buckets_word for bucket in row})
    assert column(artifact, "ngrams", "bucket") == used
    np.testing.assert_array_equal(matrix(artifact, "ngrams"), model.wv.vectors_ngrams[used])
    for word in model.wv.index_to_key:
        np.testing.assert_array_equal(to_gensim(artifact).wv[word], model.wv[word])


def test_fasttext_vectors_without_output_layer_keep_their_ngrams(tmp_path: Path) -> None:
    model = FastText(SENTENCES, vector_size=8, min_count=1, bucket=500, workers=1, epochs=1)
    wv = to_gensim(imported(model.wv, tmp_path))
    assert type(wv) is FastTextKeyedVectors
    for word in (*UNKNOWN, *model.wv.index_to_key):
        np.testing.assert_array_equal(wv[word], model.wv[word])
    path = str(tmp_path / "vectors")
    wv.save(path)
    np.testing.assert_array_equal(
        FastTextKeyedVectors.load(path).vectors_ngrams, model.wv.vectors_ngrams
    )


# -- gensim to artifact ----------------------------------------------------------------------


@EVERY_MODEL
def test_there_and_back_gives_the_same_tables(trained: Artifact, tmp_path: Path) -> None:
    model = to_gensim(trained)
    back = imported(model, tmp_path)
    assert_same_tables(back, trained)
    config, before = (a.manifest.identity["config"]["model"] for a in (back, trained))
    expected = {**before, "engine": "gensim"}
    if before.get("max_n") == 0:
        expected["bucket"] = 0  # what gensim makes of it when n-grams are off
    assert config == expected
    assert_same_tables(imported(to_gensim(back), tmp_path), trained)


PLAIN = [
    (Word2Vec, {"sg": 1}),
    (Word2Vec, {"sg": 0, "hs": 1, "negative": 0}),
    (Word2Vec, {"sg": 1, "hs": 1, "negative": 4}),
    (FastText, {"sg": 1, "bucket": 700}),
    (FastText, {"hs": 1, "bucket": 700}),
    (FastText, {"max_n": 0}),
]


@pytest.mark.parametrize(("kind", "settings"), PLAIN)
@pytest.mark.parametrize("sentences", [SENTENCES, TIED], ids=["distinct", "tied"])
def test_plain_gensim_model_there_and_back(
    tmp_path: Path, sentences: Sentences, kind: type[Word2Vec], settings: dict[str, Any]
) -> None:
    model = kind(sentences, vector_size=8, min_count=1, workers=1, epochs=2, **settings)
    artifact = imported(model, tmp_path)
    again = to_gensim(artifact)
    assert type(again) is kind
    counts = column(artifact, "vectors", "count")
    assert counts == sorted(counts, reverse=True)
    assert set(again.wv.index_to_key) == set(model.wv.index_to_key)
    for word in model.wv.index_to_key:
        ours, theirs = again.wv.key_to_index[word], model.wv.key_to_index[word]
        np.testing.assert_array_equal(again.wv.vectors[ours], model.wv.vectors[theirs])
        if model.negative:
            np.testing.assert_array_equal(again.syn1neg[ours], model.syn1neg[theirs])
        if kind is FastText:
            np.testing.assert_array_equal(
                again.wv.vectors_vocab[ours], model.wv.vectors_vocab[theirs]
            )
    if kind is FastText and model.wv.bucket:
        np.testing.assert_array_equal(again.wv.vectors_ngrams, model.wv.vectors_ngrams)
    if model.hs and kind is Word2Vec and not model.negative:
        np.testing.assert_allclose(
            again.score(sentences, len(sentences)), model.score(sentences, len(sentences)), 1e-6
        )
    assert again.corpus_count == len(sentences)
    assert again.corpus_total_words == sum(map(len, sentences))
    assert_same_tables(imported(again, tmp_path / "again"), artifact)


def test_words_are_by_count_then_by_word(tmp_path: Path) -> None:
    model = Word2Vec([["b", "a", "c"], ["a", "c", "b"], ["d"]], vector_size=2, min_count=1)
    assert model.wv.index_to_key != ["a", "b", "c", "d"]
    artifact = imported(model, tmp_path)
    assert column(artifact, "vectors", "token") == ["a", "b", "c", "d"]
    assert column(artifact, "vectors", "count") == [2, 2, 2, 1]


def node_paths(model: Word2Vec, word: str) -> list[float]:
    """Log-odds of each branch on the way to ``word``, for an arbitrary hidden layer."""
    hidden = np.arange(1, 9) / 8
    rows = model.syn1[model.wv.get_vecattr(word, "point")]
    signs = 1.0 - 2.0 * np.asarray(model.wv.get_vecattr(word, "code"), np.float64)
    result: list[float] = (signs * (rows @ hidden)).tolist()
    return result


def test_tree_rows_move_along_when_tied_words_change_places(tmp_path: Path) -> None:
    # Two equally frequent leaves of one node: only the side of its branches changes.
    sentences = [["b", "a", "c", "c", "c", "d", "d", "d", "d", "d", "d", "d"]] * 20
    model = Word2Vec(sentences, vector_size=8, min_count=1, hs=1, negative=0, workers=1, sample=0)
    artifact = imported(model, tmp_path)
    assert model.wv.index_to_key == ["d", "c", "a", "b"]
    model.wv.index_to_key = ["d", "c", "b", "a"]
    model.wv.key_to_index = {word: row for row, word in enumerate(model.wv.index_to_key)}
    other = imported(model, tmp_path)
    assert column(other, "vectors", "token") == ["d", "c", "a", "b"]
    assert other.manifest.report["ties_in_the_models_order"] is False
    for word in model.wv.index_to_key:
        np.testing.assert_allclose(node_paths(to_gensim(other), word), node_paths(model, word))
    differs = matrix(other, "output_vectors") != matrix(artifact, "output_vectors")
    assert differs.any(axis=1).tolist() == [True, False, False]


def test_tied_words_keep_their_order_where_the_tree_hangs_on_it(tmp_path: Path) -> None:
    model = Word2Vec(TIED, vector_size=8, min_count=1, hs=1, negative=0, workers=1)
    counts = np.asarray(model.wv.expandos["count"], np.int64)
    by_token = sorted(range(len(counts)), key=lambda i: (-counts[i], model.wv.index_to_key[i]))
    assert node_rows(model.wv, sorted_tree(counts), np.array(by_token)) is None
    artifact = imported(model, tmp_path)
    assert artifact.manifest.report["ties_in_the_models_order"] is True
    assert column(artifact, "vectors", "token") == model.wv.index_to_key
    for word in model.wv.index_to_key:
        assert node_paths(to_gensim(artifact), word) == node_paths(model, word)


def test_same_content_is_reused_and_other_content_is_not(tmp_path: Path) -> None:
    model = Word2Vec(SENTENCES, vector_size=8, min_count=1, workers=1, epochs=1)
    first = imported(model, tmp_path)
    published_at = first.directory.stat().st_mtime_ns
    assert imported(model, tmp_path).ref == first.ref
    assert first.directory.stat().st_mtime_ns == published_at
    elsewhere = imported(model, tmp_path / "elsewhere")
    assert elsewhere.ref.version == first.ref.version
    assert file_hashes(elsewhere) == file_hashes(first)
    model.syn1neg[3, 1] += 1
    changed = imported(model, tmp_path)
    model.alpha = 0.5
    versions = {first.ref.version, changed.ref.version, imported(model, tmp_path).ref.version}
    assert len(versions) == 3
    assert from_gensim(model, tmp_path, "other").version not in versions


def test_imported_artifact_is_whole_and_says_where_it_is_from(tmp_path: Path) -> None:
    model = Word2Vec(SENTENCES, vector_size=8, min_count=2, workers=1, epochs=1)
    artifact = imported(model, tmp_path, git_commit="abc")
    assert Store(tmp_path).verify(artifact.ref) == []
    manifest = artifact.manifest
    assert (manifest.stage, manifest.name, manifest.parents) == (EMBEDDINGS, "imported", {})
    assert manifest.git_commit == "abc"
    assert manifest.report["imported_from"] == "gensim Word2Vec"
    assert manifest.identity["config"]["imported"]["from"] == "gensim Word2Vec"
    assert [entry["name"] for entry in manifest.identity["inputs"]] == [
        "vocabulary",
        "vectors",
        "output_vectors-negative",
    ]
    embeddings = Embeddings.from_artifact(artifact)
    lookup = lookup_model(tmp_path / "lookup", embeddings.tokens, embeddings.matrix)
    nearest = [near.token for near in lookup.neighbors(embeddings.tokens[:1], topn=3)[0]]
    theirs = model.wv.most_similar(embeddings.tokens[0], topn=3)
    assert nearest == [word for word, _ in theirs]


def test_sample_as_a_word_count_becomes_the_same_share(tmp_path: Path) -> None:
    model = Word2Vec(SENTENCES, vector_size=8, min_count=1, sample=30, workers=1, epochs=1)
    again = to_gensim(imported(model, tmp_path))
    n_words = sum(map(len, SENTENCES))
    assert again.sample == pytest.approx(int(30 * (3 + 5**0.5) / 2) / n_words)
    difference = model.wv.expandos["sample_int"].astype(np.int64)
    difference -= again.wv.expandos["sample_int"]
    assert abs(difference).max() <= 1


def test_keyed_vectors_without_counts_keep_their_order(tmp_path: Path) -> None:
    wv = KeyedVectors(2)
    wv.add_vectors(["b", "a", "c"], np.arange(6, dtype=np.float64).reshape(3, 2))
    artifact = imported(wv, tmp_path)
    assert column(artifact, "vectors", "token") == ["b", "a", "c"]
    assert column(artifact, "vectors", "count") == [3, 2, 1]
    assert artifact.manifest.report["counts_are_ranks"] is True
    np.testing.assert_array_equal(matrix(artifact, "vectors"), wv.vectors)
    again = to_gensim(artifact)
    assert type(again) is KeyedVectors
    assert again.index_to_key == ["b", "a", "c"]


# -- what is refused -------------------------------------------------------------------------


def small_model(**settings: Any) -> Word2Vec:
    settings = {"vector_size": 4, "min_count": 1, "workers": 1, "epochs": 1} | settings
    return Word2Vec([["a", "b", "c"], ["a", "b"]], **settings)


def with_nan() -> Word2Vec:
    model = small_model()
    model.wv.vectors[1, 2] = np.nan
    return model


def with_infinite_output() -> Word2Vec:
    model = small_model()
    model.syn1neg[2, 0] = np.inf
    return model


def with_number_as_key() -> KeyedVectors:
    wv = KeyedVectors(2)
    wv.add_vectors(["a", 17], np.ones((2, 2)))
    return wv


def with_duplicate() -> Word2Vec:
    model = small_model()
    model.wv.index_to_key[2] = "a"
    return model


def with_surrogate() -> KeyedVectors:
    wv = KeyedVectors(2)
    wv.add_vectors(["half \ud83d"], np.ones((1, 2)))
    return wv


def with_unused_room() -> KeyedVectors:
    wv = KeyedVectors(2, count=2)
    wv.add_vectors(["a"], np.ones((1, 2)))
    return wv


def without_output_layer() -> Word2Vec:
    model = small_model()
    del model.syn1neg
    return model


def without_a_tree() -> Word2Vec:
    model = small_model(hs=1, negative=0)
    del model.wv.expandos["code"]
    return model


def without_counts() -> Word2Vec:
    model = small_model()
    model.wv.expandos["count"][1] = 0
    return model


def small_fasttext() -> FastText:
    return FastText([["a", "b"]], vector_size=4, min_count=1, bucket=50, epochs=1, workers=1)


def with_counts(*counts: float) -> KeyedVectors:
    wv = KeyedVectors(2)
    wv.add_vectors(["a", "b"], np.ones((2, 2)))
    wv.expandos["count"] = np.array(counts)
    return wv


def with_ngrams_of_another_width() -> KeyedVectors:
    wv = small_fasttext().wv
    wv.vectors_ngrams = wv.vectors_ngrams[:, :3]
    return wv


def with_an_infinite_learning_rate() -> Word2Vec:
    model = small_model()
    model.alpha = np.inf
    return model


def with_other_layer() -> Word2Vec:
    model = small_model()
    model.syn1neg = model.syn1neg[:2]
    return model


def with_too_large_values() -> KeyedVectors:
    wv = KeyedVectors(2, dtype=np.float64)
    wv.add_vectors(["a"], np.full((1, 2), 1e300))
    return wv


def with_a_tree_of_unsorted_words() -> Word2Vec:
    model = Word2Vec(vector_size=4, min_count=1, hs=1, negative=0, sorted_vocab=0)
    counts = (2, 2, 2, 159, 14, 2, 5, 2)
    model.build_vocab_from_freq({f"w{row}": count for row, count in enumerate(counts)})
    return model


def documents_model() -> Doc2Vec:
    return Doc2Vec([TaggedDocument(["a", "b"], ["x"])], vector_size=2, min_count=1, epochs=1)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (with_nan, InputError, ["the vector of", "'a'" , "NaN"]),
        (with_infinite_output, InputError, ["output row of", "infinite"]),
        (with_too_large_values, InputError, ["'a'", "float32"]),
        (with_number_as_key, InputError, ["key 1", "17", "int"]),
        (with_unused_room, InputError, ["key 0", "None"]),
        (with_duplicate, InputError, ["more than one vector for 'a'"]),
        (with_surrogate, InputError, ["Unicode"]),
        (without_output_layer, InputError, ["syn1neg is missing", "model.wv"]),
        (without_a_tree, InputError, ["no Huffman tree", "create_binary_tree"]),
        (without_counts, InputError, ["without a count", "model.wv"]),
        (lambda: with_counts(2, -1), InputError, ["count of 'b' is -1"]),
        (lambda: with_counts(2.5, 1), InputError, ["counts are no whole numbers"]),
        (lambda: with_counts(2, np.nan), InputError, ["counts are no whole numbers"]),
        (lambda: with_counts(2, 1e30), InputError, ["1e+30, is no count"]),
        (with_ngrams_of_another_width, InputError, ["vectors_ngrams has the shape (50, 3)"]),
        (with_an_infinite_learning_rate, InputError, ["alpha is inf", "model.alpha"]),
        (with_other_layer, InputError, ["syn1neg", "(2, 4)", "(3, 4)"]),
        (with_a_tree_of_unsorted_words, InputError, ["Huffman tree", "sorted_vocab=0"]),
        (lambda: KeyedVectors(3), VocabularyError, ["no words"]),
        (lambda: Word2Vec(vector_size=4), VocabularyError, ["no words"]),
        (documents_model, InputError, ["Doc2Vec", "model.wv"]),
        (lambda: {"a": [1.0]}, InputError, ["dict", "KeyedVectors"]),
    ],
)  # fmt: skip
def test_what_cannot_be_imported_is_refused_by_name(
    tmp_path: Path, make: Any, error: type[NightjarError], words: list[str]
) -> None:
    with pytest.raises(error) as refused:
        from_gensim(make(), tmp_path, "imported")
    for word in words:
        assert word in str(refused.value)
    assert not (tmp_path / EMBEDDINGS).exists()


def test_name_that_no_model_can_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'My Model' cannot name a model"):
        from_gensim(small_model(), tmp_path, "My Model")


def test_artifact_of_another_stage_is_refused(corpus: Artifact) -> None:
    assert corpus.ref.stage == TOKENS
    with pytest.raises(InputError, match=r"tokens/.* has no vectors"):
        to_gensim(corpus)


def test_artifact_without_its_hyper_parameters_is_damaged(train: Train) -> None:
    trained = train("word2vec")
    config = {"model": {"trainer": "word2vec", "vector_size": 8}}
    stripped = replace(trained.manifest, identity={**trained.manifest.identity, "config": config})
    with pytest.raises(ArtifactDamaged, match="lacks window, min_count"):
        to_gensim(Artifact(trained.ref, stripped))


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="is a device, a pipe or a socket; name a file"):
        load_gensim(tmp_path / "pipe")


def test_files_that_gensim_did_not_save_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("no pickle\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"text\.txt: is no model that gensim saved"):
        load_gensim(path)
    with pytest.raises(InputError, match=r"missing: cannot be read"):
        load_gensim(tmp_path / "missing")
    with pytest.raises(InputError, match="cannot be written"):
        save_gensim(KeyedVectors(2), tmp_path / "missing" / "model")
