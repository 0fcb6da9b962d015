"""The benchmarks of formats and of sentence encoders run and report what they say."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import yaml

from benchmarks import formats, sentences
from nightjar.config import load_config


def test_the_benchmark_of_formats_measures_both_sides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "figures.json"
    arguments = ["--json", str(path), "--words", "500", "--size", "8", "--repeats", "1"]
    monkeypatch.setattr(sys, "argv", ["formats", *arguments])
    formats.main()
    report = json.loads(path.read_text(encoding="utf-8"))
    assert set(report["speed_ratio"]) == {"read_binary", "read_text", "write_binary", "write_text"}
    assert all(entry["gensim_seconds"] >= 0 for entry in report["measured"].values())
    assert "gensim" in capsys.readouterr().out


def test_the_pipeline_of_the_sentence_benchmark_is_valid(tmp_path: Path) -> None:
    sts = [tmp_path / "a.tsv", tmp_path / "b.tsv"]
    path = tmp_path / "pipeline_config.yaml"
    configuration = sentences.configuration(str(tmp_path / "*.parquet"), sts)
    path.write_text(yaml.safe_dump(configuration), encoding="utf-8")
    config = load_config(path).config
    assert set(config.evaluation.benchmarks) == {"a", "b"}
    trainers = [model.trainer for model in config.models.values()]
    assert trainers.count("sif") == trainers.count("usif") == 4
