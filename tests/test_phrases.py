"""Phrases are those of gensim, and models join them as the corpus had them."""

from __future__ import annotations

import random
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import examples
from gensim.models.phrases import ENGLISH_CONNECTOR_WORDS as GENSIM_CONNECTOR_WORDS
from gensim.models.phrases import FrozenPhrases, Phrases
from gensim.test.utils import datapath
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from phrases_support import check_against_gensim, found_in

from nightjar.config import TokenizeConfig
from nightjar.config.tokenize import PhrasesConfig
from nightjar.kernels.phrase_counting import hash_texts
from nightjar.model.tokenization import make_sentence_splitter, make_tokenizer
from nightjar.model.tokenization.known_phrases import ENGLISH_CONNECTOR_WORDS, PhraseJoiner
from nightjar.stages.tokenize.phrases import scoring
from nightjar.stages.tokenize.phrases import scoring as scoring_module
from nightjar.stages.tokenize.phrases.passes import FoundPhrases
from nightjar.stages.tokenize.phrases.phrase_table import SentenceIds

IMDB_DIR = Path(__file__).parents[2] / "shared" / "data" / "imdb"

# "new_york" and "a_b" as words of the corpus meet what joining makes.
WORDS = ["new", "york", "city", "of", "the", "a", "b", "a_b", "_", "new_york", "b_", "é"]


def configs() -> st.SearchStrategy[PhrasesConfig]:
    connectors = st.sampled_from([[], ["of"], ["of", "the"], ["a_b", "the", "new_york"]])
    common = {
        "min_count": st.integers(1, 3),
        "delimiter": st.sampled_from(["_", "_", "__", "é"]),
        "connector_words": connectors,
        "passes": st.integers(1, 3),
    }
    return st.one_of(
        st.builds(PhrasesConfig, threshold=st.sampled_from([0.01, 0.5, 1.0, 3.0]), **common),
        st.builds(
            PhrasesConfig,
            scoring=st.just("npmi"),
            threshold=st.sampled_from([-1.0, 0.0, 0.3, 0.5]),
            **common,
        ),
    )


def corpora() -> st.SearchStrategy[list[list[str]]]:
    words = st.one_of(st.sampled_from(WORDS[:5]), st.sampled_from(WORDS))
    small = st.lists(st.lists(words, max_size=12), max_size=12)
    return st.one_of(small, st.builds(many_sentences, st.integers(0, 2**32), st.integers(2, 12)))


def many_sentences(seed: int, n_words: int) -> list[list[str]]:
    """Enough of few words for phrases, and for spellings that occur twice."""
    chosen = random.Random(seed)
    words = chosen.sample(WORDS, n_words)
    return [[chosen.choice(words) for _ in range(chosen.randrange(10))] for _ in range(40)]


@settings(deadline=None, max_examples=examples(100))
@given(corpora(), configs(), st.lists(st.integers(0, 12), max_size=3))
def test_phrases_scores_and_sentences_are_those_of_gensim(
    sentences: list[list[str]], config: PhrasesConfig, cuts: list[int]
) -> None:
    check_against_gensim(sentences, config, cuts)


@pytest.mark.parametrize("scoring", [{"threshold": 0.2}, {"scoring": "npmi", "threshold": 0.05}])
@pytest.mark.parametrize("connectors", [[], ["of", "the"], ["a_b", "the"]])
@pytest.mark.parametrize("delimiter", ["_", "__"])
def test_spellings_that_occur_twice_are_counted_together_as_by_gensim(
    scoring: dict[str, Any], connectors: list[str], delimiter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_repeated = []
    same_spellings = scoring_module.same_spellings

    def noted(*arguments: Any) -> scoring_module.Spelling:
        found = same_spellings(*arguments)
        n_repeated.append(found.n_repeated)
        return found

    monkeypatch.setattr(scoring_module, "same_spellings", noted)
    config = PhrasesConfig(
        min_count=1, passes=3, delimiter=delimiter, connector_words=[], **scoring
    )
    for seed in range(18):
        sentences = many_sentences(seed, 4 + seed % 9)
        check_against_gensim(
            [[word.replace("_", delimiter) for word in sentence] for sentence in sentences],
            config.model_copy(
                update={"connector_words": [word.replace("_", delimiter) for word in connectors]}
            ),
            cuts=[seed],
        )
    assert sum(map(bool, n_repeated)) >= 4


@settings(deadline=None, max_examples=examples(100))
@given(corpora(), configs(), corpora())
def test_the_joiner_of_models_joins_as_the_kernel(
    sentences: list[list[str]], config: PhrasesConfig, others: list[list[str]]
) -> None:
    found, _ = found_in(sentences, config)
    joiner = PhraseJoiner(
        [table.tokens for table in found.tables], config.delimiter, config.connectors
    )
    known = set(found.vocabulary.words)
    unseen = [[word for word in sentence if word in known] for sentence in others]
    for each in (sentences, unseen):
        ids = [[found.vocabulary.id_of[word] for word in sentence] for sentence in each]
        assert [joiner.join(sentence) for sentence in each] == joined_by(found, ids)


def joined_by(found: FoundPhrases, sentences: list[list[int]]) -> list[list[str]]:
    offsets = np.cumsum([0, *map(len, sentences)])
    ids = np.array([number for sentence in sentences for number in sentence], np.int32)
    shard = found.join(SentenceIds(ids, offsets))
    names = [found.vocabulary.words[number] for number in shard.ids.tolist()]
    return [names[start:end] for start, end in pairwise(shard.offsets.tolist())]


@settings(deadline=None, max_examples=examples(50))
@given(corpora(), configs())
def test_spellings_whose_hashes_collide_are_told_apart(
    sentences: list[list[str]], config: PhrasesConfig
) -> None:
    expected = [table.scores.tolist() for table in found_in(sentences, config)[0].tables]

    def same_hash(*arrays: NDArray[Any]) -> None:
        hash_texts(*arrays)
        arrays[3].fill(0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring, "hash_texts", same_hash)
        found, _ = found_in(sentences, config)
    assert [table.scores.tolist() for table in found.tables] == expected


def lee() -> list[list[str]]:
    """Sentences of the Lee corpus, lower-cased."""
    text = Path(datapath("lee_background.cor")).read_text(encoding="utf-8").lower()
    return [re.findall(r"[a-z]+", sentence) for sentence in re.split(r"[.\n]", text)]


CORPUS_CONFIGS = [
    PhrasesConfig(min_count=3, threshold=5.0, passes=2),
    PhrasesConfig(min_count=2, threshold=2.0, connector_words="english", passes=3),
    PhrasesConfig(min_count=2, scoring="npmi", threshold=0.4, passes=2),
    PhrasesConfig(min_count=3, scoring="npmi", threshold=0.5, connector_words="english", passes=2),
]


@pytest.mark.parametrize("config", CORPUS_CONFIGS)
def test_phrases_of_the_lee_corpus_are_those_of_gensim(config: PhrasesConfig) -> None:
    assert check_against_gensim(lee(), config, cuts=[100, 101, 1000]) > 100


@pytest.mark.parametrize("config", CORPUS_CONFIGS[1:])
def test_phrases_of_reviews_are_those_of_gensim(config: PhrasesConfig) -> None:
    if not IMDB_DIR.is_dir():
        pytest.skip("the reviews are not there: ../shared/data/imdb")
    reviews = pq.ParquetFile(IMDB_DIR / "reviews-00.parquet")
    texts = next(reviews.iter_batches(600, columns=["text"])).column("text").to_pylist()
    cut = TokenizeConfig()
    split, tokenize = make_sentence_splitter(cut), make_tokenizer(cut)
    sentences = [tokenize(sentence) for text in texts for sentence in split(text)]
    assert check_against_gensim(sentences, config, cuts=[2000, 5000]) > 400


@pytest.mark.parametrize("config", CORPUS_CONFIGS)
def test_one_pass_is_that_of_gensims_frozen_phrases(config: PhrasesConfig) -> None:
    one = config.model_copy(update={"passes": 1})
    found, joined = found_in(lee(), one)
    frozen = FrozenPhrases(
        Phrases(
            lee(),
            min_count=one.min_count,
            threshold=one.threshold,
            scoring=one.scoring,
            connector_words=one.connectors,
        )
    )
    table = found.tables[0]
    assert dict(zip(table.phrases, table.scores.tolist(), strict=True)) == frozen.phrasegrams
    assert joined == [frozen[sentence] for sentence in lee()]


def test_the_english_connector_words_are_those_of_gensim() -> None:
    assert ENGLISH_CONNECTOR_WORDS == GENSIM_CONNECTOR_WORDS


def test_the_default_score_is_that_of_word2phrase() -> None:
    # 4 occurrences of the pair, 5 and 4 of its words.
    sentences = [["new", "york"], ["new", "york", "x"], ["new", "y"], *[["new", "york"]] * 2]
    found, joined = found_in(sentences, PhrasesConfig(min_count=1, threshold=1.04))
    table = found.tables[0]
    n_types = len({"new", "york", "x", "y"}) + len({"new york", "york x", "new y"})
    assert table.phrases == ["new_york"]
    assert table.counts.tolist() == [4]
    assert table.scores.tolist() == [pytest.approx((4 - 1) / (5 * 4) * n_types)]
    assert joined[1] == ["new_york", "x"]


def test_a_score_must_be_above_the_threshold() -> None:
    sentences = [["a", "b"]] * 2
    # (2 - 1) / (2 * 2) * 3
    for threshold, phrases in ((0.75, []), (0.7499, [["a_b"]])):
        found, _ = found_in(sentences, PhrasesConfig(min_count=1, threshold=threshold))
        assert [table.phrases for table in found.tables] == phrases


def test_npmi_of_words_that_always_occur_together_is_one_and_rarer_ones_have_none() -> None:
    sentences = [["a", "b"], ["a", "b"], ["c", "d"], ["e"]]
    config = PhrasesConfig(scoring="npmi", min_count=2, threshold=0.9)
    found, joined = found_in(sentences, config)
    assert found.tables[0].phrases == ["a_b"]
    assert found.tables[0].scores.tolist() == [pytest.approx(1.0)]
    assert joined == [["a_b"], ["a_b"], ["c", "d"], ["e"]]


def test_a_phrase_has_connector_words_inside_and_never_at_its_ends() -> None:
    sentences = [["the", "bank", "of", "america", "of"]] * 3 + [["bank", "of"], ["of", "america"]]
    config = PhrasesConfig(min_count=1, threshold=0.1, connector_words=["of", "the"])
    found, joined = found_in(sentences, config)
    assert found.tables[0].tokens == [("bank", "of", "america")]
    assert joined[0] == ["the", "bank_of_america", "of"]
    assert joined[3:] == [["bank", "of"], ["of", "america"]]


def test_phrases_are_joined_from_the_left_and_do_not_overlap() -> None:
    found, joined = found_in(
        [["a", "b", "a", "b", "a"]] * 3, PhrasesConfig(min_count=1, threshold=0.1)
    )
    assert set(found.tables[0].phrases) == {"a_b", "b_a"}
    assert joined[0] == ["a_b", "a_b", "a"]


def test_a_second_pass_joins_phrases_with_words() -> None:
    sentences = [["new", "york", "city"]] * 3 + [["new", "york"], ["big", "city"]]
    config = PhrasesConfig(min_count=1, threshold=0.5, passes=2)
    found, joined = found_in(sentences, config)
    assert ("new", "york") in found.tables[0].tokens
    assert ("new_york", "city") in found.tables[1].tokens
    assert joined[0] == ["new_york_city"]
    assert joined[3] == ["new_york"]
