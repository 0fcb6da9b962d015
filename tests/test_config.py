"""Reading the configuration: what is accepted, and what each refusal says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from config_support import MINIMAL, SHIPPED, refusal, refusal_of
from pydantic import BaseModel, TypeAdapter

from nightjar.config import (
    DocumentVectorsConfig,
    FastTextConfig,
    GloVeConfig,
    MediaWikiSource,
    Word2VecConfig,
    load_config,
)
from nightjar.config.models import ExecutionConfig, ModelConfig

# -- the shipped file --------------------------------------------------------------------

NEWS = "corpora.text.sources.news"


def test_the_shipped_config_is_valid() -> None:
    loaded = load_config(SHIPPED)
    assert loaded.base_dir == SHIPPED.parent
    assert loaded.artifacts_dir == SHIPPED.parent / "artifacts"
    assert list(loaded.config.models) == ["word2vec-cbow", "word2vec-skipgram", "fasttext", "glove"]


def sections(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], BaseModel]]:
    """Every config model below ``value`` and the keys that lead there."""
    if isinstance(value, BaseModel):
        yield path, value
        for name in type(value).model_fields:
            yield from sections(getattr(value, name), (*path, name))
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from sections(item, (*path, name))


def test_the_shipped_config_states_every_key_that_applies() -> None:
    document = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    missing = []
    for path, section in sections(load_config(SHIPPED).config):
        if "cleaning" in path:
            continue  # docs/cleaning.md: options of a step are refused without the step
        stated = document
        for key in path:
            stated = stated[key]
        if isinstance(section, ExecutionConfig):
            assert stated == section.engine
            continue
        expected = set(type(section).model_fields)
        if isinstance(section, Word2VecConfig | FastTextConfig) and section.architecture != "cbow":
            expected.remove("cbow_mean")
        # For models that are fine-tuned, or judged by benchmarks of their own.
        expected -= {"init_from", "gate_benchmarks", "corpus"}
        if path[:2] == ("evaluation", "benchmarks"):
            expected = {"type", "path"}  # docs/evaluation.md
        if isinstance(section, DocumentVectorsConfig):
            expected = {"model"}  # the other keys are of pre-trained encoders
        missing += [".".join((*path, key)) for key in sorted(expected - set(stated))]
    assert missing == []


def test_the_examples_in_the_shipped_config_are_valid_sources() -> None:
    lines = SHIPPED.read_text(encoding="utf-8").splitlines()
    examples = [re.sub(r"^ +# +", "", line) for line in lines if re.search(r"# .*\{type: ", line)]
    kinds = ("sts", "categorization", "outlier", "classification", "neighbors")
    overrides = [
        f"evaluation.benchmarks.{example.partition('}')[0]}}}".replace(": ", "=", 1)
        if any(f"type: {kind}," in example for kind in kinds)
        else f"corpora.english.sources.{example}".replace(": ", "=", 1)
        for example in examples
    ]
    config = load_config(SHIPPED, overrides).config
    assert [found.type for found in config.evaluation.benchmarks.values()][3:] == list(kinds)
    sources = config.corpora["english"].sources
    assert {name: source.type for name, source in sources.items()} == {
        "wikipedia": "mediawiki",
        "lee-news": "text",
        "reviews": "jsonl",
        "tickets": "parquet",
        "survey": "csv",
        "site": "html",
        "logs": "jsonl",
        "orders": "sql",
    }


def test_the_example_models_in_the_shipped_config_are_valid() -> None:
    lines = SHIPPED.read_text(encoding="utf-8").splitlines()
    found = [re.search(r"# +(\S+): (\{trainer: .*\})$", line) for line in lines]
    examples = {match[1]: match[2].replace(", ...", "") for match in found if match}
    overrides = ["evaluation.benchmarks.sts={type: sts, path: x}"]
    overrides += [f"models.{name}={example}" for name, example in examples.items()]
    models = load_config(SHIPPED, overrides).config.models
    assert {name: models[name].trainer for name in examples} == {
        "news": "import",
        "tuned": "word2vec",
        "sentences": "sif",
        "sentences-usif": "usif",
    }


def test_a_minimal_config_has_every_default(minimal: Path) -> None:
    config = load_config(minimal).config
    glove = config.models["glove"]
    assert isinstance(glove, GloVeConfig)
    assert (glove.window, glove.x_max, glove.alpha, glove.eta) == (15, 100.0, 0.75, 0.05)
    assert config.corpora["text"].tokenize.max_token_chars == 40
    assert config.pipeline.artifacts_dir == "artifacts"


def test_the_config_cannot_be_changed_after_it_was_read(minimal: Path) -> None:
    config = load_config(minimal).config
    with pytest.raises(ValueError, match="frozen"):
        config.training.seed = 2


# -- unknown keys ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("corpora.text.tokenise.lowercase=true", "did you mean 'tokenize'?"),
        (
            "xyzzy=1",
            "unknown key 'xyzzy'; valid here: alerts, consumers, corpora, document_vectors, ",
        ),
        ("training.sed=1", "unknown key 'training.sed'; did you mean 'seed'?"),
        (
            "training.qqq=1",
            "'training.qqq'; valid here: checkpoint_minutes, deterministic, max_memory, seed, ",
        ),
        (
            "corpora.text.sources.news.documnt=line",
            "'corpora.text.sources.news.documnt'; did you mean 'document'?",
        ),
        (
            "corpora.text.sources.news.text=1",
            "unknown key 'corpora.text.sources.news.text'; did you mean",
        ),
        (
            "corpora.text.sources.news.id_field=a",
            "unknown key 'corpora.text.sources.news.id_field'",
        ),
        ("models.glove.windw=3", "'models.glove.windw'; did you mean 'window'?"),
        ("models.glove.glove=3", "unknown key 'models.glove.glove'; valid here: alpha"),
        ("models.glove.negative=5", "unknown key 'models.glove.negative'; "),
        ("models.skipgram.min_n=3", "unknown key 'models.skipgram.min_n'; did you mean"),
        (
            "evaluation.benchmarks.pairs.pth=x",
            "'evaluation.benchmarks.pairs.pth'; did you mean 'path'?",
        ),
        ("registry.gate.min_cover=0", "'registry.gate.min_cover'; did you mean 'min_coverage'?"),
    ],
)
def test_an_unknown_key_names_the_closest_valid_one(
    minimal: Path, override: str, message: str
) -> None:
    text = refusal(minimal, override)
    assert text.startswith(f"override {override!r}: ")
    assert message in text


def test_an_unknown_key_of_the_file_is_named_with_its_line(minimal: Path) -> None:
    message = refusal_of(MINIMAL.replace("window", "windwo"), minimal)
    assert (
        message == "nightly.yaml:10: unknown key 'models.skipgram.windwo'; did you mean 'window'?"
    )


def test_every_problem_has_a_line_of_its_own(minimal: Path) -> None:
    text = MINIMAL.replace("window: 4", "window: 0\n    epochs: x").replace(
        "path: news", "pat: news"
    )
    assert refusal_of(text, minimal).splitlines() == [
        "nightly.yaml:5: the key 'corpora.text.sources.news.path' is missing",
        "nightly.yaml:5: unknown key 'corpora.text.sources.news.pat'; did you mean 'path'?",
        "nightly.yaml:10: models.skipgram.window: should be at least 1 (got 0)",
        "nightly.yaml:11: models.skipgram.epochs: should be a whole number (got 'x')",
    ]


# -- values of the wrong kind ------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("models.glove.window='5'", "models.glove.window: should be a whole number (got '5')"),
        ("models.glove.window=5.0", "should be a whole number (got 5.0)"),
        ("models.glove.window=true", "should be a whole number (got true)"),
        ("models.glove.window=null", "should be a whole number (got null)"),
        ("models.glove.window=[5]", "should be a whole number (got a list)"),
        ("models.glove.window=0", "should be at least 1 (got 0)"),
        ("models.glove.window=100000", "should be at most 1000 (got 100000)"),
        ("models.glove.eta='0.1'", "should be a number (got '0.1')"),
        ("models.glove.eta=true", "should be a number (got true)"),
        ("models.glove.eta=.nan", "should be a finite number (got .nan)"),
        ("models.glove.x_max=.inf", "should be a finite number (got .inf)"),
        ("models.glove.x_max=-.inf", "should be a finite number (got -.inf)"),
        ("models.glove.x_max=1e999", "should be a finite number (got .inf)"),
        ("models.glove.eta=0", "should be above 0.0 (got 0)"),
        ("evaluation.confidence=1", "should be below 1.0 (got 1)"),
        ("training.deterministic=1", "should be true or false (got 1)"),
        ("training.deterministic='true'", "should be true or false (got 'true')"),
        ("training.seed=4294967296", "training.seed: should be at most 4000000000"),
        ("models.glove.combine=su", "should be 'sum' or 'word' (got 'su')"),
        ("corpora.text.sources.news.language=no", "should be text (got false; put it in quotes)"),
        ("corpora.text.sources.news.language=12", "should be text (got 12; put it in quotes)"),
        (
            "corpora.text.sources.news.language=2024-01-02",
            "should be text (got the date 2024-01-02;",
        ),
        (
            "corpora.text.sources.news.path=5",
            "corpora.text.sources.news.path: should be text (got 5;",
        ),
        (
            "corpora.text.sources.news.path=[a, 5]",
            "corpora.text.sources.news.path.1: should be text (got 5;",
        ),
        ("corpora.text.sources.news.path=[]", "path: should have at least 1 entry (got a list)"),
        ("corpora.text.sources.news.path=''", "path: should not be empty (got '')"),
        ('corpora.text.sources.news.path="\\ud800"', "is no Unicode character"),
        ("corpora.text.sources.news.encoding=utf-9", "'utf-9' is not a text encoding"),
        ("corpora.text.sources.news.encoding=base64", "'base64' is not a text encoding"),
        (
            "corpora.text.sources.news={type: csv, path: a, delimiter: ab}",
            "should be one character (got 'ab')",
        ),
        (
            'corpora.text.sources.news={type: csv, path: a, delimiter: "\\n"}',
            "cannot separate columns",
        ),
        (
            "corpora.text.tokenize={tokenizer: regex, pattern: (}",
            "not a regular expression: missing )",
        ),
        ("models.glove=5", "models.glove: should be a section with keys (got 5)"),
        ("models=[glove]", "models: should be a section with keys (got a list)"),
        ("models={}", "models: should have at least 1 entry"),
        ("training=fast", "training: should be a section with keys (got 'fast')"),
        (
            "pipeline.name=Night",
            "is not a valid name: names are lower-case letters, digits and dashes",
        ),
        (
            "models.Glove={trainer: glove}",
            "'models.Glove' is not a valid name: names are lower-case",
        ),
        (
            "models={1: {trainer: glove}}",
            "'models.1' is not a valid name: a key is text, put it in",
        ),
        (
            "models.glove.trainer=glov",
            "import, sif, usif, prone (got 'glov'); did you mean 'glove'?",
        ),
        (
            "models.glove.trainer=null",
            "should be one of word2vec, fasttext, glove, import, sif, usif, prone (got null)",
        ),
        ("models.glove.trainer=[glove]", "(got a list)"),
        ("models.glove.engine=gensim", "models.glove.engine: should be 'native' (got 'gensim')"),
        ("pipeline.artifacts_dir=''", "pipeline.artifacts_dir: should not be empty"),
    ],
)
def test_a_wrong_value_is_named_with_what_it_should_be_and_where_it_came_from(
    minimal: Path, override: str, message: str
) -> None:
    text = refusal(minimal, override)
    assert text.startswith(f"override {override!r}: ")
    assert message in text
    assert "\n" not in text


def test_a_long_wrong_value_is_cut_short_in_the_message(minimal: Path) -> None:
    message = refusal_of(MINIMAL.replace("window: 4", f"window: {'x' * 500}"), minimal)
    assert len(message) < 200


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["models.skipgram.negative=0"], "negative is 0 and hs is off"),
        (["models.skipgram.min_alpha=1"], "min_alpha is above alpha"),
        (["models.f={trainer: fasttext, bucket: 0}"], "bucket is 0 but n-grams are on"),
        (["corpora.text.tokenize.pattern=a"], "pattern is for tokenizer: regex"),
        (["corpora.text.tokenize.tokenizer=regex"], "pattern is for tokenizer: regex"),
        (["corpora.text.tokenize.min_token_chars=50"], "min_token_chars is above max_token_chars"),
        (["corpora.text.max_chars=5", "corpora.text.min_chars=6"], "min_chars is above max_chars"),
        (["registry.gate.benchmarks=[pairs, pairs]"], "names pairs more than once"),
        (["registry.gate.benchmarks=[pears]"], "names pears, evaluation.benchmarks has pairs"),
    ],
)
def test_values_that_contradict_each_other_name_the_overrides(
    minimal: Path, overrides: list[str], message: str
) -> None:
    text = refusal(minimal, *overrides)
    assert message in text
    assert all(f"override {override!r}" in text for override in overrides)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("corpora", "the key 'corpora' is missing"),
        ("registry", "the key 'registry' is missing"),
        ("registry.gate", "the key 'registry.gate' is missing"),
        ("evaluation.benchmarks", "the key 'evaluation.benchmarks' is missing"),
    ],
)
def test_a_missing_section_is_named(minimal: Path, key: str, message: str) -> None:
    assert refusal(minimal, f"{key}=null") == f"override '{key}=null': {message}"


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [
        ("512MB", 512_000_000),
        ("2GiB", 2 << 30),
        ("64000000", 64_000_000),
        ("1e9", 1_000_000_000),
        ("6.4E+7", 64_000_000),
    ],
)
def test_memory_is_bytes_or_a_number_with_a_unit(minimal: Path, text: str, n_bytes: int) -> None:
    training = load_config(minimal, [f"training.max_memory={text}"]).config.training
    assert training.max_memory == n_bytes


@pytest.mark.parametrize("text", ["63MB", "lots", "true", "-1", "null", "1.5"])
def test_too_little_memory_or_none_is_refused(minimal: Path, text: str) -> None:
    assert "training.max_memory" in refusal(minimal, f"training.max_memory={text}")


@pytest.mark.parametrize("text", ["64000000.0", "1e9 pounds", "lots", "5 XB", "1e-3"])
def test_a_size_that_cannot_be_read_says_what_to_write(minimal: Path, text: str) -> None:
    message = refusal(minimal, f"training.max_memory={text}")
    assert "training.max_memory: should be a whole number of bytes, or a number with" in message
    assert "as in 512MB or 2GiB" in message


def test_counts_may_be_written_with_an_exponent(minimal: Path) -> None:
    glove = load_config(minimal, ["models.glove.epochs=1e1"]).config.models["glove"]
    assert repr(glove.epochs) == "10"
    assert "should be a whole number" in refusal(minimal, "models.glove.epochs=15e-1")
    assert "should be a whole number" in refusal(minimal, "models.glove.epochs=1e300")


@pytest.mark.parametrize(
    ("text", "meaning"),
    [("0100", "64"), ("-0777", "-511"), ("1:30", "90"), ("1:30.5", "90.5"), ("[1, 0_1]", "1")],
)
def test_a_number_that_yaml_guesses_is_refused_everywhere(
    minimal: Path, text: str, meaning: str
) -> None:
    message = refusal(minimal, f"models.glove.vector_size={text}")
    value = text.strip("[]").split()[-1]
    assert f"without quotes YAML reads {value} as {meaning}; write '{value}'" in message
    assert "where" not in message
    config = MINIMAL.replace("{trainer: glove}", f"{{trainer: glove, vector_size: {text}}}")
    assert f"reads {value} as {meaning}" in refusal_of(config, minimal)


def test_a_number_that_is_clear_is_taken_however_it_is_written(minimal: Path) -> None:
    config = load_config(minimal, ["models.glove.vector_size=1_00", "training.seed=0x10"]).config
    assert (config.models["glove"].vector_size, config.training.seed) == (100, 16)


def test_a_missing_tag_says_what_it_may_be(minimal: Path) -> None:
    message = refusal_of(MINIMAL.replace("{trainer: glove}", "{window: 3}"), minimal)
    assert message == (
        "nightly.yaml:7: the key 'models.glove.trainer' is missing; "
        "it is one of word2vec, fasttext, glove, import, sif, usif, prone"
    )


def test_a_list_of_paths_is_a_list_of_patterns(minimal: Path) -> None:
    loaded = load_config(minimal, ["corpora.text.sources.news={type: mediawiki, path: [a, b]}"])
    source = loaded.config.corpora["text"].sources["news"]
    assert isinstance(source, MediaWikiSource)
    assert source.patterns == ["a", "b"]
    assert source.namespaces == [0]


@pytest.mark.parametrize(
    ("model", "alpha"),
    [
        ({"trainer": "word2vec"}, 0.025),
        ({"trainer": "word2vec", "architecture": "cbow"}, 0.05),
        ({"trainer": "word2vec", "architecture": "cbow", "cbow_mean": False}, 0.025),
        ({"trainer": "word2vec", "architecture": "cbow", "alpha": 0.01}, 0.01),
        ({"trainer": "fasttext"}, 0.05),
    ],
)
def test_learning_rates_default_to_those_of_the_authors(
    model: dict[str, Any], alpha: float
) -> None:
    assert TypeAdapter(ModelConfig).validate_python(model).alpha == alpha
