"""Overrides on the command line."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from config_support import MINIMAL, SHIPPED, refusal
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from nightjar.cli.main import app
from nightjar.config import (
    FastTextConfig,
    GloVeConfig,
    NightjarConfig,
    check_may_be_recorded,
    load_config,
)
from nightjar.errors import ConfigError


def test_an_override_keeps_the_keys_beside_it() -> None:
    shipped, changed = load_config(SHIPPED), load_config(SHIPPED, ["models.glove.vector_size=50"])
    before, after = (loaded.config.model_dump() for loaded in (shipped, changed))
    assert before["models"]["glove"].pop("vector_size") == 100
    assert after["models"]["glove"].pop("vector_size") == 50
    assert before == after
    assert changed.overrides == ("models.glove.vector_size=50",)


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("training.seed=3", ("training", "seed"), 3),
        ("training.workers=null", ("training", "workers"), None),
        ("training.workers=~", ("training", "workers"), None),
        ("training.deterministic=yes", ("training", "deterministic"), True),
        (
            "registry.tracking_uri=http://h:5000/?a=b",
            ("registry", "tracking_uri"),
            "http://h:5000/?a=b",
        ),
        ("registry.tracking_uri='12'", ("registry", "tracking_uri"), "12"),
        (" training . seed = 3", ("training", "seed"), 3),
        ("registry.gate.margin=1e-3", ("registry", "gate", "margin"), 0.001),
        ("registry.gate.noise_prior=2E1", ("registry", "gate", "noise_prior"), 20.0),
        ("registry.gate.noise_prior=.5e+1", ("registry", "gate", "noise_prior"), 5.0),
        ("registry.gate.margin=1", ("registry", "gate", "margin"), 1.0),
        ("registry.gate.noise_prior=1_000.5", ("registry", "gate", "noise_prior"), 1000.5),
        ("registry.experiment=e1", ("registry", "experiment"), "e1"),
        ("registry.experiment=1e1x", ("registry", "experiment"), "1e1x"),
        ("training={seed: 7, workers: 2}", ("training", "seed"), 7),
    ],
)
def test_an_override_is_read_as_yaml(
    minimal: Path, override: str, path: tuple[str, ...], value: object
) -> None:
    found: Any = load_config(minimal, [override]).config
    for key in path:
        found = getattr(found, key)
    assert found == value
    assert type(found) is type(value)


def test_a_later_override_wins(minimal: Path) -> None:
    loaded = load_config(minimal, ["training.seed=3", "training={workers: 2}", "training.seed=4"])
    assert (loaded.config.training.seed, loaded.config.training.workers) == (4, 2)


def test_null_removes_a_named_section(minimal: Path) -> None:
    assert set(load_config(minimal, ["models.glove=null"]).config.models) == {"skipgram"}


def test_null_takes_a_section_back_to_its_defaults(minimal: Path) -> None:
    loaded = load_config(
        minimal, ["training.seed=9", "training=null", "corpora.text.tokenize=null"]
    )
    assert loaded.config.training.seed == 1


def test_null_for_a_named_section_that_is_not_there_is_an_error(minimal: Path) -> None:
    message = refusal(minimal, "models.glov=null")
    assert message.endswith("there is no 'models.glov' to remove; did you mean 'glove'?")


def test_overrides_may_add_a_model_key_by_key(minimal: Path) -> None:
    loaded = load_config(minimal, ["models.new.window=3", "models.new.trainer=fasttext"])
    model = loaded.config.models["new"]
    assert isinstance(model, FastTextConfig)
    assert model.window == 3


def test_an_override_fills_a_section_that_the_file_leaves_blank(minimal: Path) -> None:
    minimal.write_text(MINIMAL.replace("glove: {trainer: glove}", "glove:"), encoding="utf-8")
    assert "models.glove: should be a section with keys (got null)" in refusal(minimal)
    config = load_config(minimal, ["models.glove.trainer=glove"]).config
    assert isinstance(config.models["glove"], GloVeConfig)
    assert set(load_config(minimal, ["models.glove=null"]).config.models) == {"skipgram"}


def test_an_override_changes_one_of_two_sections_that_share_an_alias(minimal: Path) -> None:
    shared = MINIMAL.replace("{trainer: glove}", "&shared {trainer: glove}\n  second: *shared")
    minimal.write_text(shared, encoding="utf-8")
    models = load_config(minimal, ["models.second.window=3"]).config.models
    assert (models["glove"].window, models["second"].window) == (15, 3)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.glove.window=3", "unknown section 'model'; did you mean 'models'?"),
        ("models.glov.window=3", "there is no 'models.glov'; did you mean 'glove'?"),
        (
            "models.new.window=3",
            "there is no 'models.new'; to add it: the key 'models.new.trainer' is",
        ),
        ("training.seed.x=1", "'training.seed' is a value, not a section"),
        ("registry.gate.benchmarks.0=a", "'registry.gate.benchmarks' is a list, not a section"),
        ("training.seed", "write it as section.key=value"),
        ("=1", "write it as section.key=value"),
        ("a..b=1", "write it as section.key=value"),
        ("training.seed=", "there is no value; write null to have none"),
        ("training.seed=# three", "there is no value; write null to have none"),
        ("models.glove=", "there is no value; write null to have none"),
        ("corpora.text.sources.news.path=*.txt", "not valid YAML"),
        ("training={seed: 1, seed: 2}", "the key 'seed' stands twice"),
    ],
)
def test_an_override_that_leads_nowhere_is_refused(
    minimal: Path, override: str, message: str
) -> None:
    minimal.write_text(MINIMAL + "training: {seed: 1}\n", encoding="utf-8")
    text = refusal(minimal, override)
    assert text.startswith(f"override {override!r}: ")
    assert message in text


def test_the_remedy_for_special_characters_in_an_override_works(minimal: Path) -> None:
    message = refusal(minimal, "corpora.text.sources.news.path=*.txt")
    match = re.search(r'--set "(.*)"$', message)
    assert match is not None
    source = load_config(minimal, [match[1]]).config.corpora["text"].sources["news"]
    assert source.patterns == ["*.txt"]


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
NAMES = st.sampled_from(
    [
        "corpora",
        "sources",
        "news",
        "type",
        "text",
        "path",
        "models",
        "glove",
        "trainer",
        "window",
        "registry",
        "gate",
        "benchmarks",
        "evaluation",
        "pairs",
        "x",
    ]
)
DOCUMENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4)
)


@settings(deadline=None)
@given(value=DOCUMENTS, key=st.lists(NAMES, min_size=1, max_size=4))
def test_any_override_is_accepted_or_refused_with_a_config_error(
    tmp_path_factory: pytest.TempPathFactory, value: object, key: list[str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(MINIMAL, encoding="utf-8")
    override = f"{'.'.join(key)}={yaml.safe_dump(value, default_flow_style=True, width=10**6)}"
    with suppress(ConfigError):
        assert isinstance(load_config(path, [override]).config, NightjarConfig)


@pytest.mark.parametrize(
    "override",
    [
        "registry.tracking_uri=http://ann:s3cret@mlflow:5000",
        "registry.tracking_uri=postgresql://ann:s3/cret@db/x",
        "registry.tracking_uri=postgresql://db/x?password=s3cret",
        "registry.tracking_uri=https://s3cret@mlflow",
    ],
)
def test_an_override_with_a_password_is_not_for_prefects_database(
    minimal: Path, override: str
) -> None:
    with pytest.raises(ConfigError, match="keep its password in clear; set MLFLOW_TR") as refused:
        check_may_be_recorded(["training.seed=1", override])
    assert "s3" not in str(refused.value)
    served = CliRunner().invoke(app, ["serve", "-c", str(minimal), "--set", override])
    assert isinstance(served.exception, ConfigError)
    assert "s3" not in str(served.exception)


@pytest.mark.parametrize(
    "override",
    [
        "http://ann:s3cret@host",
        "registry.tracking_uri={http://ann:s3cret@host",
        "registry.tracking_url=http://ann:s3cret@host",
        "training.seed=http://ann:s3cret@host",
        "models=http://ann:s3cret@host",
        "pipeline.name=http://ann:s3cret@host",
        "registry=http://ann:s3cret@host",
        "training.workers=http://ann:s3/cret@host",
        "sources.a={where: {x: yes}, path: http://ann:s3cret@host}",
        "registry.tracking_uri=http://ann:1/s3cret@host",
    ],
)
def test_a_message_about_an_override_shows_no_password(minimal: Path, override: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_config(minimal, [override])
    assert "s3" not in str(refused.value)


def test_an_override_without_a_password_may_be_recorded() -> None:
    check_may_be_recorded(
        [
            "registry.tracking_uri=http://mlflow:5000/a@b",
            "registry.tracking_uri=postgresql://reader@db/x",
            "corpora.text.sources.news.path=s3://bucket/a?b=1",
            "models.a.token_pattern=a:b@c",
        ]
    )
