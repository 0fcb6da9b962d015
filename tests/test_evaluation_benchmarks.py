"""Reading benchmark files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nightjar.config import AnalogyBenchmark, SimilarityBenchmark
from nightjar.errors import BenchmarkError
from nightjar.stages.evaluate.analogies import Analogies
from nightjar.stages.evaluate.benchmark_files import RESERVED_CATEGORIES
from nightjar.stages.evaluate.kinds import read_benchmark
from nightjar.stages.evaluate.text_pairs import TextPairs
from nightjar.stages.evaluate.word_pairs import WordPairs

PACKAGED = "package:gensim/test/test_data"
SHARED_DIR = Path(__file__).parents[2] / "shared" / "data" / "eval" / "similarity"


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(("name", "n_pairs"), [("wordsim353.tsv", 353), ("simlex999.txt", 999)])
def test_packaged_similarity_sets_are_read_whole(tmp_path: Path, name: str, n_pairs: int) -> None:
    config = SimilarityBenchmark(type="similarity", path=f"{PACKAGED}/{name}")
    items = read_benchmark("pairs", config, tmp_path)
    assert isinstance(items, WordPairs)
    assert len(items) == n_pairs
    assert 0 <= items.gold.min() < items.gold.max() <= 10


def test_packaged_analogies_are_read_whole(tmp_path: Path) -> None:
    config = AnalogyBenchmark(type="analogy", path=f"{PACKAGED}/questions-words.txt")
    items = read_benchmark("google", config, tmp_path)
    assert isinstance(items, Analogies)
    assert len(items) == 19_544
    assert len(set(items.categories)) == 14
    assert items.questions[0] == ("Athens", "Greece", "Baghdad", "Iraq")
    assert items.categories[-1] == "gram9-plural-verbs"


@pytest.mark.parametrize(
    ("name", "n_pairs"),
    [("men", 3000), ("mturk771", 771), ("rg65", 65), ("wordsim353-rel", 252), ("simlex999", 999)],
)
def test_sets_with_a_header_line_are_read_whole(name: str, n_pairs: int) -> None:
    path = SHARED_DIR / f"{name}.tsv"
    if not path.is_file():
        pytest.skip("the shared benchmark files are not here")
    assert len(WordPairs.read(path)) == n_pairs


def test_similarity_lines_may_have_comments_blanks_and_windows_line_ends(tmp_path: Path) -> None:
    content = (
        "\ufeff# a comment\r\n\r\nword1\tword2\tscore\r\n old \tnew\t1.5\r\nNew York\tcity\t-2\r\n"
    )
    items = WordPairs.read(write(tmp_path / "pairs.tsv", content))
    assert items.left == ("old", "New York")
    assert items.right == ("new", "city")
    assert items.gold.tolist() == [1.5, -2.0]


def test_analogy_lines_may_have_comments_and_repeated_categories(tmp_path: Path) -> None:
    content = "//Copyright\n: family\nboy girl king queen\n:capital\nA B C D\n\n: family\na b c d"
    items = Analogies.read(write(tmp_path / "questions.txt", content))
    assert items.categories == ("family", "capital", "family")
    assert items.questions[1] == ("A", "B", "C", "D")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("a\tb\t1\na b 2\n", 2),
        ("a\tb\t1\n# c\na\tb\tmany\n", 3),
        ("word1\tword2\tscore\nword1\tword2\tscore\n", 2),
        ("a\tb\t1\t2\n", 1),
        *(
            (f"a\tb\t{score}\nc\td\t1\n", 1)
            for score in ("nan", "inf", "7,5", "N/A", "", "-", "1_0")
        ),
        ("a\tb\tscore\nc\td\tinf\n", 2),
        ("a\tb\t1\n\tb\t1\n", 2),
        (b"a\tb\t1\n\xff\tb\t1\n", 2),
    ],
)
def test_malformed_pair_is_named_by_file_and_line(
    tmp_path: Path, content: str | bytes, line: int
) -> None:
    path = write(tmp_path / "pairs.tsv", content)
    with pytest.raises(BenchmarkError, match=rf"pairs\.tsv, line {line}: ") as caught:
        WordPairs.read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("header", ["", "w1\tw2\tscore\n", '"w1"\t"w2"\t"Human (mean)"\n'])
def test_quoted_words_are_the_words(tmp_path: Path, header: str) -> None:
    content = header + '"king"\t"a ""queen"""\t"1"\n"\tx"y"\t2\n'
    items = WordPairs.read(write(tmp_path / "pairs.tsv", content))
    assert items.left == ("king", '"')
    assert items.right == ('a "queen"', 'x"y"')
    assert items.gold.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("a b c d\n", 1),
        (": x\na b c d\na b c\n", 3),
        (": x\na b c d e\n", 2),
        (":\na b c d\n", 1),
        (b": x\n\xe9 b c d\n", 2),
        *((f": {name}\na b c d\n", 1) for name in RESERVED_CATEGORIES),
    ],
)
def test_malformed_question_is_named_by_file_and_line(
    tmp_path: Path, content: str | bytes, line: int
) -> None:
    path = write(tmp_path / "questions.txt", content)
    with pytest.raises(BenchmarkError, match=rf"questions\.txt, line {line}: "):
        Analogies.read(path)


def test_file_without_an_item_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "empty", "# nothing\n")
    with pytest.raises(BenchmarkError, match="no word pair"):
        WordPairs.read(path)
    with pytest.raises(BenchmarkError, match="no question"):
        Analogies.read(path)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (".", "is a directory; name a file in it"),
        ("pipe", "is a device, a pipe or a socket"),
        ("broken", "is a link to gone, which does not exist"),
    ],
)
def test_what_is_no_file_is_named_as_what_it_is(tmp_path: Path, path: str, message: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "broken").symlink_to("gone")
    config = SimilarityBenchmark(type="similarity", path=path)
    with pytest.raises(BenchmarkError, match=rf"evaluation\.benchmarks\.mine: .*: {message}"):
        read_benchmark("mine", config, tmp_path)


@pytest.mark.parametrize("path", ["missing.tsv", "package:gensim/missing.tsv"])
def test_missing_file_is_named_with_its_benchmark(tmp_path: Path, path: str) -> None:
    config = SimilarityBenchmark(type="similarity", path=path)
    with pytest.raises(BenchmarkError, match=r"evaluation\.benchmarks\.mine: there is no file"):
        read_benchmark("mine", config, tmp_path)


@pytest.mark.parametrize(
    ("name", "n_pairs", "genres"),
    [
        ("sts2012.tsv", 2358, {"MSRpar", "OnWN", "SMTeuroparl", "SMTnews"}),
        ("sts2013.tsv", 1500, {"FNWN", "OnWN", "headlines"}),
        ("sts2014.tsv", 3750, None),
        ("sick-test.tsv", 4927, set()),
        ("sick-train.tsv", 4500, set()),
    ],
)
def test_pairs_of_texts_are_read_whole(name: str, n_pairs: int, genres: set[str] | None) -> None:
    path = SHARED_DIR.parent / "sts" / name
    if not path.exists():
        pytest.skip(f"{path.name} is not there: the evaluation sets are not beside the project")
    items = TextPairs.read(path)
    assert len(items) == n_pairs
    assert 0 <= items.gold.min() < items.gold.max() <= 5
    if genres is not None:
        assert set(items.categories) == genres
    assert all(text for text in (*items.left, *items.right))


def test_sts_columns_are_found_by_name_and_quoted_texts_unquoted(tmp_path: Path) -> None:
    content = (
        "\ufeffgenre\tSentence2\tsentence1\tscore\r\n"
        'news\t"it ""says"" so"\tA dog.\t2.5\r\n'
        "\r\n"
        'talk\t"who" said "that"\t"\t0\r\n'
    )
    items = TextPairs.read(write(tmp_path / "sts.tsv", content))
    assert items.left == ("A dog.", '"')
    assert items.right == ('it "says" so', '"who" said "that"')
    assert items.gold.tolist() == [2.5, 0.0]
    assert items.categories == ("news", "talk")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "line 1: the header has no column score, sentence1, sentence2"),
        ("score\tsentence1\n1\tx\n", "line 1: the header has no column sentence2"),
        (
            "score\tsentence1\tsentence2\n1\ta\n",
            "line 2: expected 3 fields separated by tabs, with a number in score",
        ),
        (
            "score\tsentence1\tsentence2\nnan\ta\tb\n",
            "line 2: expected 3 fields separated by tabs, with a number in score",
        ),
        (
            "score\tsentence1\tsentence2\n1_0\ta\tb\n",
            "line 2: expected 3 fields separated by tabs, with a number in score",
        ),
        (
            "score\tsentence1\tsentence2\tscore\n1\ta\tb\t2\n",
            "line 1: the header names score several times",
        ),
        ("sentence1\tscore\tsentence1\tsentence2\n", "header names sentence1 several times"),
        ("score\tsentence1\tsentence2\n", "there is no pair of texts in it"),
        ("genre\tscore\tsentence1\tsentence2\nall\t1\ta\tb\n", "line 2: the category name 'all'"),
    ],
)
def test_malformed_pairs_of_texts_are_named(tmp_path: Path, content: str, message: str) -> None:
    path = write(tmp_path / "sts.tsv", content)
    with pytest.raises(BenchmarkError, match=message):
        TextPairs.read(path)
