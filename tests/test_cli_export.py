"""``nightjar export``, and models of trainer ``import``: out of one pipeline, into another."""

from __future__ import annotations

import ast
import gzip
import json
import os
import shlex
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from asking_support import asked_json, refused
from conftest import run_a_night
from gensim.models import KeyedVectors
from nights_support import POOR, HandMade
from test_cli import nightjar as run_cli

from nightjar.cli.exchange import Exported
from nightjar.config import load_config
from nightjar.errors import InputError, SourceChanged, SourceError
from nightjar.formats import FORMATS
from nightjar.formats.embeddings import Embeddings
from nightjar.pipeline import Provenance, make_plan, read_outcomes, run_step
from nightjar.progress import SILENT
from nightjar.registry import tracking_uri
from nightjar.registry.client import import_mlflow
from nightjar.store import Store, schemas


def embeddings_of(config: Path, name: str, *overrides: str) -> Embeddings:
    loaded = load_config(config, overrides)
    ref = make_plan(loaded).step(schemas.EMBEDDINGS, name).ref
    return Embeddings.from_artifact(Store(loaded.artifacts_dir).open(ref))


def test_a_champion_is_exported_and_its_line_of_code_opens_it(
    finished_config: Path, tmp_path: Path
) -> None:
    path = tmp_path / "glove.txt"
    done = run_cli(
        "export", "glove@champion", "--format", "word2vec", "-o", path, "-c", finished_config
    )
    assert done.returncode == 0, done.stderr
    expected = embeddings_of(finished_config, "glove")
    assert f"{len(expected.tokens):,} vectors written to {path}" in done.stdout
    line = done.stdout.splitlines()[-1].removeprefix("open it: gensim.models.KeyedVectors.")
    assert line == f'load_word2vec_format("{path}")'
    opened = KeyedVectors.load_word2vec_format(str(path))
    assert tuple(opened.index_to_key) == expected.tokens
    np.testing.assert_array_equal(opened.vectors, expected.matrix)


@pytest.mark.parametrize("folder", ["sp ace", "it's", 'quo"te', "back\\slash", "$HOME"])
def test_the_line_that_opens_an_export_is_quoted(folder: str) -> None:
    path = Path("here") / folder
    lines = {name: Exported("", path, name, 1, 1, Counter()).loading for name in FORMATS}
    assert shlex.split(lines["projector"]) == ["tensorboard", "--logdir", str(path)]
    for name in ("word2vec", "numpy", "sqlite"):
        call = next(node for node in ast.walk(ast.parse(lines[name])) if isinstance(node, ast.Call))
        while isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Call):
            call = call.func.value
        assert ast.literal_eval(call.args[0]) == str(path)
    kept = ast.parse(lines["gensim"]).body[0]
    assert repr(f"{path}/vectors.kv") in ast.unparse(kept)


def test_a_night_s_candidate_is_exported_with_where_it_comes_from(tmp_path: Path) -> None:
    project = HandMade(tmp_path / "project")
    project.night()
    project.write_vectors(POOR)
    project.night()
    sources = []
    for number, arguments in enumerate((("words",), ("words@2",), ("words", "--night", "2"))):
        path = tmp_path / f"{number}.npz"
        shown = asked_json(project.path, "export", *arguments, "-f", "numpy", "-o", path)
        with np.load(path) as archive:
            sources.append(json.loads(str(archive["source"])))
        assert shown["artifact"] == f"embeddings/{sources[-1]['embeddings_version']}"
    champion, blocked, of_night = sources
    assert blocked == of_night
    assert (champion["version"], blocked["version"]) == ("1", "2")
    assert champion["embeddings_version"] != blocked["embeddings_version"]
    error = refused(project.path, "export", "words@1", "--night", 1, "-f", "numpy")
    assert "name a version or a night" in str(error)


def test_names_versions_and_limits_are_understood(finished_config: Path, tmp_path: Path) -> None:
    for number, what in enumerate(("small-cbow", "cbow@1", "small-cbow@champion")):
        path = tmp_path / f"{number}.npz"
        done = run_cli(
            "export",
            what,
            "-f",
            "numpy",
            "-o",
            path,
            "--limit",
            "5",
            "--json",
            "-c",
            finished_config,
        )
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)
        assert (report["tokens"], report["path"]) == (5, str(path))
        with np.load(path) as archive:
            expected = embeddings_of(finished_config, "cbow")
            assert tuple(archive["tokens"]) == expected.tokens[:5]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("glove", "-f", "word3vec"), "--format word3vec: choose one of word2vec, word2vec-binary"),
        (("glov", "-f", "numpy"), "has no such model; did you mean 'glove'?"),
        (("glove@9", "-f", "numpy"), "has no version or alias '9'; 'nightjar show glove' lists"),
        (("glove@best", "-f", "numpy"), "has no version or alias 'best'"),
        (("glove", "-f", "numpy", "-o", "nowhere/x.npz"), "nowhere/x.npz cannot be written"),
    ],
)
def test_a_wrong_export_is_one_message(
    finished_config: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = run_cli("export", *arguments, "-c", finished_config)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_pre_trained_vectors_are_a_model_like_any_other(
    finished_copy: Path, tmp_path: Path
) -> None:
    exported = tmp_path / "glove.txt"
    run_cli("export", "glove", "-f", "glove", "-o", exported, "-c", finished_copy)
    packed = finished_copy.parent / "pretrained.txt.gz"
    broken = exported.read_bytes() + b"the 1 2\n" + b"cut 1 2"
    packed.write_bytes(gzip.compress(broken))
    overrides = (
        "models.news={trainer: import, path: pretrained.txt.gz}",
        "models.tuned={trainer: word2vec, init_from: news, vector_size: 16, epochs: 1}",
    )
    night = run_a_night(finished_copy, *overrides)
    ran = [step.label for step in night.steps if step.was_run]
    assert ran == ["import news", "evaluate news", "train tuned", "evaluate tuned"]
    loaded = load_config(finished_copy, overrides)
    plan = make_plan(loaded)
    assert not plan.due
    artifact = Store(loaded.artifacts_dir).open(plan.step(schemas.EMBEDDINGS, "news").ref)
    assert artifact.manifest.counts["row_of_wrong_width"] == 1
    assert artifact.manifest.counts["cut_last_row"] == 1
    assert artifact.manifest.report["format"] == "glove"
    assert artifact.manifest.report["counts_are_ranks"] is True
    expected = embeddings_of(finished_copy, "glove")
    found = Embeddings.from_artifact(artifact)
    assert found.tokens == expected.tokens
    np.testing.assert_array_equal(found.matrix, expected.matrix)
    outcome = {entry.model: entry for entry in read_outcomes(loaded, night)}
    assert outcome["news"].scores["wordsim353"].value == pytest.approx(
        outcome["glove"].scores["wordsim353"].value
    )
    tuned = embeddings_of(finished_copy, "tuned", *overrides)
    assert set(found.tokens) <= set(tuned.tokens)
    mlflow = import_mlflow()
    mlflow.set_tracking_uri(tracking_uri(loaded.config.registry, loaded.artifacts_dir))
    try:
        model = mlflow.pyfunc.load_model("models:/small-news@champion")
        version = mlflow.MlflowClient().get_model_version_by_alias("small-news", "champion")
        card = mlflow.artifacts.load_text(f"runs:/{version.run_id}/model_card.md")
    finally:
        mlflow.set_tracking_uri(None)
    text = model.predict(["The police said so."], params={"task": "encode"})
    assert text.shape == (1, 16)
    assert "imported from pretrained.txt.gz" in card
    assert "| pretrained.txt.gz |" in card
    assert "nightjar.documents_version" not in version.tags


def test_a_plan_refuses_a_pipe_as_a_model(finished_config: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    override = f"models.news={{trainer: import, path: {tmp_path / 'pipe'}}}"
    with pytest.raises(SourceError, match=r"models.news.path: .*pipe is a device, a pipe"):
        make_plan(load_config(finished_config, (override,)))


def test_an_import_is_repeated_only_when_the_file_or_the_tokenizer_changes(
    finished_copy: Path,
) -> None:
    path = finished_copy.parent / "v.txt"
    path.write_text("the 1 2\npolice 3 4\nrain 5 6\nsaid 2 2\n", encoding="utf-8")
    override = "models.news={trainer: import, path: v.txt}"

    def version(*more: str) -> str:
        plan = make_plan(load_config(finished_copy, (override, *more)))
        return plan.step(schemas.EMBEDDINGS, "news").ref.version

    first = version()
    (finished_copy.parent / "elsewhere").mkdir()
    path.rename(finished_copy.parent / "elsewhere" / "v.txt")
    assert version("models.news.path=elsewhere/v.txt") == first
    assert version("models.news.path=elsewhere/v.txt", "training.seed=9") == first
    assert (
        version("models.news.path=elsewhere/v.txt", "corpora.text.tokenize.lowercase=false")
        != first
    )
    path.write_text("the 1 2\npolice 3 4\nrain 5 6\nsaid 2 3\n", encoding="utf-8")
    assert version() != first


def test_a_file_that_changes_under_way_is_noticed(
    finished_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = finished_copy.parent / "v.txt"
    path.write_text("the 1 2\npolice 3 4\n", encoding="utf-8")
    loaded = load_config(finished_copy, ("models.news={trainer: import, path: v.txt}",))
    plan = make_plan(loaded)
    path.write_text("the 1 2\npolice 3 5\n", encoding="utf-8")
    provenance = Provenance(git_commit=None, actor="test", n_workers=1)
    step = plan.step(schemas.EMBEDDINGS, "news")
    with pytest.raises(SourceChanged, match=r"models\.news\.path changed since the run"):
        run_step(loaded, step, SILENT, provenance)
    assert not Store(loaded.artifacts_dir).is_published(schemas.EMBEDDINGS, step.ref.version)


def test_a_broken_file_stops_its_model_alone(finished_copy: Path) -> None:
    (finished_copy.parent / "v.txt").write_text("no vectors here\n", encoding="utf-8")
    loaded = load_config(finished_copy, ("models.news={trainer: import, path: v.txt}",))
    plan = make_plan(loaded)
    provenance = Provenance(git_commit=None, actor="test", n_workers=1)
    with pytest.raises(InputError, match=r"v\.txt: its first row .* is no word followed by"):
        run_step(loaded, plan.step(schemas.EMBEDDINGS, "news"), SILENT, provenance)
    assert [step.label for step in plan.due] == ["import news", "evaluate news"]
