"""Shared by the tests of the configuration: a minimal file, and the text of an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from nightjar.config import load_config
from nightjar.errors import ConfigError

SHIPPED = Path(__file__).parents[1] / "pipeline_config.yaml"

MINIMAL = """\
corpora:
  text:
    kind: text
    sources:
      news: {type: text, path: news.txt}
models:
  glove: {trainer: glove}
  skipgram:
    trainer: word2vec
    window: 4
evaluation:
  benchmarks:
    pairs: {type: similarity, path: pairs.tsv}
registry:
  gate: {benchmarks: [pairs]}
"""


def refusal(path: Path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    return str(caught.value)


def refusal_of(text: str, path: Path) -> str:
    path.write_text(text, encoding="utf-8")
    return refusal(path)
