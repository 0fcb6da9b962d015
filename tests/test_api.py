"""The Python API: what it promises, and that the command line and it agree."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from asking_support import asked, asked_json
from gensim.models import FastText
from gensim.models.fasttext import save_facebook_model
from nights_support import GOOD, HandMade, outcome

import nightjar
from nightjar.core import NightStatus
from nightjar.errors import ModelFilesDamaged
from nightjar.formats import FORMATS

PUBLIC = """ConfigError InputError LeaseTaken Model NightjarError Pipeline ProgressReport
PromotionRefused RetryLater SearchHit StoreError UnknownTokenError __version__ open_model"""
METHODS = {
    "Pipeline": "artifacts_dir collect history model models name nights plan rollback run search",
    "Model": """clusters embeddings_version encode name neighbors neighbors_of odd_one_out rank
        read_as recommend similarity space vector_size vectors version words""",
    "SearchHit": "doc_id similarity snippet source text",
    "ProgressReport": "done note phase step total unit",
}


def test_what_is_exported_is_what_was_promised() -> None:
    assert sorted(nightjar.__all__) == sorted(PUBLIC.split())
    assert dir(nightjar) == sorted(nightjar.__all__)
    for name in nightjar.__all__:
        assert getattr(nightjar, name) is not None
    for name, methods in METHODS.items():
        found = getattr(nightjar, name)
        public = {*vars(found), *getattr(found, "__dataclass_fields__", ())}
        assert sorted(key for key in public if not key.startswith("_")) == sorted(methods.split())
    with pytest.raises(AttributeError, match="has no attribute 'Pipelin'"):
        _ = nightjar.Pipelin


def test_importing_takes_nothing_along() -> None:
    code = "import nightjar, sys; print(sorted(m for m in sys.modules if m.startswith('nightjar')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['nightjar', 'nightjar.version']\n"


def test_nights_in_a_row(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    project = HandMade(tmp_path)
    pipeline = nightjar.Pipeline(project.path)
    assert (pipeline.name, pipeline.models) == ("night", ("words",))
    assert [step.label for step in pipeline.plan().due] == project.due()
    told: list[nightjar.ProgressReport] = []
    night = pipeline.run(on_progress=told.append)
    assert (night.number, night.status) == (1, NightStatus.COMPLETED)
    assert {"ingest", "import words"} <= {report.step for report in told}
    assert pipeline.run().status is NightStatus.NOTHING_TO_DO
    project.write_vectors(GOOD, seed=1)
    assert outcome(pipeline.run()) == "promoted"
    assert pipeline.model("words").version == 2
    change = pipeline.rollback("words", reason="a test")
    assert change.event is not None
    assert [event.kind.value for event in pipeline.history("words")] == [
        "promoted",
        "promoted",
        "rolled_back",
    ]
    assert pipeline.model("words").version == 1
    assert pipeline.model("words@2").version == 2
    assert [found.number for found in pipeline.nights()] == [1, 2, 3]
    planned = pipeline.collect(is_dry_run=True).n_bytes
    assert pipeline.collect().n_bytes == planned
    assert pipeline.collect().n_bytes == 0
    with pytest.raises(nightjar.PromotionRefused, match="no earlier champion"):
        pipeline.rollback("words", 17)
    out, _ = capfd.readouterr()
    assert out == ""


def test_documents_are_searched(tmp_path: Path) -> None:
    project = HandMade(tmp_path)
    project.document["document_vectors"] = {"lines": {"model": "words"}}
    project.save()
    pipeline = nightjar.Pipeline(project.path)
    with pytest.raises(nightjar.InputError, match="no night is accepted"):
        pipeline.search("left3")
    pipeline.run()
    found = pipeline.search("left3 right3", 3)
    assert len(found) == 3
    assert found[0].similarity == pytest.approx(1.0, abs=1e-5)
    assert found[0].text.startswith("left3 right3")
    told = asked_json(project.path, "search", "left3 right3", "-n", 3)["hits"]
    assert [hit.doc_id for hit in found] == [hit["doc_id"] for hit in told]


def test_overrides_make_a_trial(tmp_path: Path) -> None:
    project = HandMade(tmp_path)
    nightjar.Pipeline(project.path).run()
    project.write_vectors(GOOD, seed=1)
    trial = nightjar.Pipeline(project.path, ["evaluation.bootstrap_samples=11"])
    assert trial.run().is_trial
    assert nightjar.Pipeline(project.path).model("words").version == 1
    assert not trial.run(promote=True).is_trial
    assert nightjar.Pipeline(project.path).model("words").version == 2


def test_mistakes_are_errors_of_ours(tmp_path: Path) -> None:
    with pytest.raises(nightjar.ConfigError, match=r"absent\.yaml"):
        nightjar.Pipeline(tmp_path / "absent.yaml")
    project = HandMade(tmp_path)
    pipeline = nightjar.Pipeline(project.path)
    with pytest.raises(nightjar.ConfigError, match="did you mean 'words'"):
        pipeline.model("word")
    with pytest.raises(nightjar.InputError, match="no champion yet"):
        pipeline.model("words")
    with pytest.raises(nightjar.ConfigError, match="nightjar run"):
        nightjar.Pipeline(project.path, ["execution={engine: dask, n_workers: 2}"]).run()


def test_a_model_answers_as_the_command_line_does(finished_config: Path) -> None:
    model = nightjar.Pipeline(finished_config).model("glove")
    told = asked_json(finished_config, "neighbors", "police", "-m", "glove", "-n", 3)
    near = model.neighbors(["police"], 3)[0]
    assert [found.token for found in near] == [
        found["token"] for found in told["glove"]["neighbors"]
    ]
    assert "police" in model
    assert "no such word" not in model
    assert model.words[:2] == ["the", "to"] or len(model.words) == len(model)
    vectors = model.vectors(["police", "government"])
    assert vectors.shape == (2, model.vector_size)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    similarity = model.similarity([("police", "government")])
    np.testing.assert_allclose(similarity, [units[0] @ units[1]], atol=1e-6)
    assert model.encode(["The police."]).shape == (1, model.vector_size)
    assert [place for place, _ in model.rank("police", ["cricket", "police"])] == [1, 0]
    words = ["police", "government", "cricket"]
    told = asked_json(finished_config, "odd", *words, "-m", "glove")
    assert model.odd_one_out(words).word == told["glove"]["odd_one_out"][0]["word"]
    assert len(model.clusters(["police", "government", "cricket"], 2)) == 3
    assert len(model.neighbors_of(["police", "cricket"], ["government"], 4)) == 4
    with pytest.raises(nightjar.UnknownTokenError, match="governmnt"):
        model.neighbors(["governmnt"])
    with pytest.raises(nightjar.InputError, match="at least 3 words"):
        model.odd_one_out(["police"])


def test_registered_models_directories_and_files_are_opened(
    finished_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = nightjar.Pipeline(finished_config).model("glove")
    uri = f"sqlite:///{finished_config.parent}/artifacts/mlflow/mlflow.db"
    for where in ("models:/small-glove@champion", "models:/small-glove/1"):
        opened = nightjar.open_model(where, uri)
        assert (opened.version, opened.name) == (1, "small-glove")
        np.testing.assert_array_equal(opened.vectors(["police"]), model.vectors(["police"]))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert nightjar.open_model("models:/small-glove@champion").version == 1
    for where, problem in (
        ("models:/small-glove@nobody", "no such version"),
        ("models:/small-glove/9", "no such version"),
        ("models:/small-glove", "write models:/NAME@ALIAS"),
        (tmp_path / "absent", "no such file or directory"),
    ):
        with pytest.raises(nightjar.InputError, match=problem):
            nightjar.open_model(where)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with pytest.raises(nightjar.InputError, match="which registry"):
        nightjar.open_model("models:/small-glove@champion")
    path = tmp_path / f"glove{FORMATS['word2vec'].suffix}"
    asked(finished_config, "export", "glove", "--format", "word2vec", "--output", path)
    read = nightjar.open_model(path)
    assert (read.version, len(read)) == (None, len(model))
    np.testing.assert_allclose(read.vectors(["police"]), model.vectors(["police"]), rtol=1e-5)
    directories = [
        path.parent for path in (finished_config.parent / "artifacts").rglob("lookup.json")
    ]
    names = {nightjar.open_model(directory).name for directory in directories}
    assert names >= {"small-cbow", "small-glove"}  # tests on copies add theirs: MLflow keeps paths
    assert nightjar.open_model(directories[0].parents[1]).name in names


def test_a_file_of_fasttext_still_answers_for_words_that_it_never_saw(tmp_path: Path) -> None:
    sentences = [["the", "king", "walks"], ["the", "queen", "walks"]] * 20
    model = FastText(sentences, vector_size=8, min_count=1, bucket=100, epochs=1, workers=1)
    path = tmp_path / "words.bin"
    save_facebook_model(model, str(path))
    opened = nightjar.open_model(path)
    assert "kingly" not in opened
    np.testing.assert_allclose(opened.vectors(["kingly"])[0], model.wv["kingly"], rtol=1e-4)


def test_the_registry_may_be_a_relative_path(
    finished_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(nightjar.InputError, match="no such version"):
        nightjar.open_model("models:/small-glove@champion", "sqlite:///absent.db")
    monkeypatch.chdir(finished_config.parent / "artifacts" / "mlflow")
    model = nightjar.open_model("models:/small-glove@champion", "sqlite:///mlflow.db")
    assert model.version == 1


def test_a_damaged_directory_is_no_mistake_of_the_users(tmp_path: Path) -> None:
    (tmp_path / "lookup.json").write_text("{")
    with pytest.raises(ModelFilesDamaged, match="cannot be read"):
        nightjar.open_model(tmp_path)
