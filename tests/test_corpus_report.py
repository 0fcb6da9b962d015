"""The corpus report: its tables agree with the text, its page holds all it shows."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from asking_support import asked, asked_json, refused
from nights_support import HandMade

from nightjar.config import load_config
from nightjar.errors import RegistryUnavailable
from nightjar.pipeline import Provenance, make_plan, run_step
from nightjar.progress import SILENT
from nightjar.registry.client import import_mlflow
from nightjar.stages.report import PAGE, compare_vocabularies, measures, page_with_comparison
from nightjar.store import Artifact, Store, schemas

mlflow = import_mlflow()

PIPELINE = """
pipeline: {name: night}
corpora:
  text:
    kind: text
    sources:
      news: {type: jsonl, path: news.jsonl, id_field: id}
      notes: {type: jsonl, path: notes.jsonl, language: de}
models:
  cbow: {trainer: word2vec, architecture: cbow, vector_size: 4, min_count: 1, epochs: 1}
evaluation: {benchmarks: {w: {type: similarity, path: pairs.tsv}}}
registry: {gate: {benchmarks: [w], min_coverage: 0.0, margin: 0.1}}
"""
ENGLISH = "The ministers of the country met in the capital on Monday and agreed on a plan."
FRENCH = "Les ministres du pays se sont réunis lundi dans la capitale et ont adopté un plan."


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "night.yaml").write_text(PIPELINE, encoding="utf-8")
    (tmp_path / "pairs.tsv").write_text("w1\tw2\t1\nw3\tw4\t2\nw5\tw6\t3\n", encoding="utf-8")
    write(tmp_path, "news.jsonl", [{"id": 1, "text": ENGLISH}, {"id": 2, "text": FRENCH}])
    write(tmp_path, "notes.jsonl", [{"text": "eins zwei"}, {"text": "!!!"}, {"text": 5}])
    return tmp_path


def write(base: Path, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    content = "".join(json.dumps(row) + "\n" for row in rows)
    (base / name).write_text(content, encoding="utf-8")


def run_report(base: Path, *overrides: str) -> Artifact:
    loaded = load_config(base / "night.yaml", overrides)
    plan = make_plan(loaded)
    provenance = Provenance(git_commit=None, actor="test", n_workers=1)
    steps = [plan.step(name) for name in (schemas.DOCUMENTS, schemas.TOKENS, schemas.CORPUS_REPORT)]
    refs = [run_step(loaded, step, SILENT, provenance) for step in steps]
    assert Store(base / "artifacts").verify(refs[-1]) == []
    return Store(base / "artifacts").open(refs[-1])


def rows(report: Artifact, table: str) -> list[dict[str, Any]]:
    return report.read(table).to_pylist()


def test_tables_say_what_the_corpus_is_like(base: Path) -> None:
    report = run_report(base)
    n_english, n_french = len(ENGLISH.split()), len(FRENCH.split())
    assert rows(report, "sources") == [
        {
            "source": "news",
            "documents": 2,
            "characters": len(ENGLISH) + len(FRENCH),
            "words": n_english + n_french,
            "quarantined": 0,
        },
        {"source": "notes", "documents": 2, "characters": 12, "words": 2, "quarantined": 1},
    ]
    drops = {
        (row["step"], row["source"], row["reason"]): row["count"] for row in rows(report, "drops")
    }
    assert drops == {
        ("quarantine", "notes", "not_text"): 1,
        ("tokenize", None, "documents_without_tokens"): 1,
    }
    lengths = {
        (row["min_words"], row["max_words"]): row["documents"] for row in rows(report, "lengths")
    }
    assert lengths[0, 0] == 1
    assert lengths[2, 3] == 1
    assert lengths[8, 15] + lengths[16, 31] == 2
    assert sum(lengths.values()) == 4
    words = (ENGLISH + " " + FRENCH + " eins zwei").lower().replace(".", "").split()
    growth = rows(report, "growth")
    assert growth[0] == {"words": 0, "distinct_words": 0}
    for point in growth:
        assert point["distinct_words"] == len(set(words[: point["words"]]))
    assert growth[-1]["words"] == len(words)
    languages = {row["language"]: row["share"] for row in rows(report, "languages")}
    assert languages == {"de": 0.5, "en": 0.25, "fr": 0.25}
    assert report.manifest.counts["distinct_words"] == len(set(words))


def test_a_rare_language_beside_much_of_its_relative_is_not_believed() -> None:
    believed, doubts = measures.believed(Counter(en=900, pcm=80, de=20), {})
    assert believed == {"en": 900, "de": 20, "und": 80}
    (doubt,) = doubts
    assert doubt == (
        "80 of 1,000 documents looked at look like pcm, and 900 like en, its close relative that "
        "is written much more: they are counted as und, not as pcm"
    )
    assert measures.believed(Counter(en=998, pcm=2), {}) == ({"en": 998, "und": 2}, ())


@pytest.mark.parametrize(
    ("guessed", "declared"),
    [({"pcm": 90, "en": 10}, {}), ({"pcm": 50, "en": 100}, {}), ({"pcm": 8, "en": 90}, {"pcm": 3})],
)
def test_a_rare_language_of_its_own_is_believed(
    guessed: dict[str, int], declared: dict[str, int]
) -> None:
    assert measures.believed(Counter(guessed), declared) == (guessed, ())


def test_an_improbable_language_is_undetermined(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measures, "_identify", lambda: lambda _text: ("pcm", 0.55))
    report = run_report(base)
    languages = {row["language"]: row["share"] for row in rows(report, "languages")}
    assert languages == {"de": 0.5, "und": 0.5}
    (doubt,) = report.manifest.report["language_doubts"]
    assert doubt == (
        "2 of 2 documents looked at are shorter than 50 characters, or no language is probable "
        "enough (70%): they are counted as und"
    )
    assert doubt in report.file_path(PAGE).read_text(encoding="utf-8")


def tokens_of(report: Artifact, base: Path) -> Artifact:
    store = Store(base / "artifacts")
    return store.open(store.ref(schemas.TOKENS, report.manifest.parents[schemas.TOKENS]))


def test_what_is_new_is_found_between_any_two_versions(base: Path) -> None:
    first = run_report(base)
    write(base, "notes.jsonl", [{"text": "zwei drei drei"}])
    second = run_report(base)
    assert run_report(base).ref == second.ref  # nothing new, nothing made
    now, then = tokens_of(second, base), tokens_of(first, base)
    new = compare_vocabularies(now, then)
    assert new.appeared.to_pylist() == [{"token": "drei", "count": 2, "n_documents": 1}]
    assert new.vanished.to_pylist() == [{"token": "eins", "count": 1, "n_documents": 1}]
    page = page_with_comparison(second, now, then, new)
    assert "New words: 1" in page
    assert "drei" in page
    assert "Words that are gone: 1" in page


def test_the_command_compares_with_the_accepted_night_before(tmp_path: Path) -> None:
    project = HandMade(tmp_path / "project")
    project.night()
    first = asked_json(project.path, "report")
    assert (first["night"], first["against"]) == (1, None)
    assert first["figures"]["documents"] == 100
    assert "nothing to compare it with" in asked(project.path, "report")
    project.write_text(90)
    with (project.directory / "text.txt").open("a", encoding="utf-8") as text:
        text.write("zwei drei drei [red]\n")
    project.night()
    project.write_text(20)
    project.night()  # not accepted
    found = asked_json(project.path, "report")
    assert found["night"] == 2
    against = found["against"]
    assert (against["night"], against["tokens"]) == (1, first["tokens"])
    assert (against["n_appeared"], against["n_vanished"]) == (3, 10)
    appeared = {row["token"]: row["count"] for row in against["appeared"]}
    assert appeared == {"drei": 2, "zwei": 1, "red": 1}
    assert {row["token"] for row in against["vanished"]} == {f"word{n}" for n in range(90, 100)}
    spoilt = asked_json(project.path, "report", "--night", 3)
    assert (spoilt["night"], spoilt["against"]["night"]) == (3, 2)


def test_the_page_of_the_command_ends_with_what_is_new(tmp_path: Path) -> None:
    project = HandMade(tmp_path / "project")
    project.night()
    path = tmp_path / "page.html"
    asked(project.path, "report", "-o", path)
    assert "What is new" not in path.read_text(encoding="utf-8")
    project.write_text(110)
    project.night()
    shown = asked(project.path, "report", "text", "--limit", 2, "-o", path)
    assert "new words: 10: word100 (1), word101 (1)" in shown
    assert "word102" not in shown
    page = path.read_text(encoding="utf-8")
    assert page.count("<h1>") == 2
    assert page.index("Vocabulary growth") < page.index("New words: 10") < page.index("word109")
    assert page.count("</html>") == 1
    back = asked(project.path, "report", "--night", 1, "--against", 2)
    assert "words that are gone: 10: word100 (1)" in back
    error = refused(project.path, "report", "-o", tmp_path / "nowhere" / "page.html")
    assert error.exit_code == 2
    os.mkfifo(tmp_path / "pipe")
    for wrong in (tmp_path / "pipe", path / "x", tmp_path, "/"):
        error = refused(project.path, "report", "-o", wrong)
        assert error.exit_code == 2
        assert f"{wrong} cannot be written" in str(error)
    assert (tmp_path / "pipe").is_fifo()
    assert "cannot be written" in str(error)


def test_the_version_hangs_on_the_corpus_alone_not_on_what_ran_before(base: Path) -> None:
    first = run_report(base).ref
    write(base, "notes.jsonl", [{"text": "zwei drei drei"}])
    run_report(base)
    write(base, "notes.jsonl", [{"text": "eins zwei"}, {"text": "!!!"}, {"text": 5}])
    assert run_report(base).ref == first


def test_the_page_loads_nothing_and_its_plots_are_whole(base: Path) -> None:
    page = (run_report(base).directory / PAGE).read_text(encoding="utf-8")
    assert re.findall(r"""(?:src|href)\s*=\s*["'](?!#)""", page) == []
    assert "<script" not in page
    assert "@import" not in page
    plots = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(plots) == 3
    for plot in plots:
        ET.fromstring(plot)  # our own


def test_the_report_is_an_mlflow_run_with_figures_and_files(base: Path) -> None:
    report = run_report(base)
    uri = f"sqlite:///{base / 'artifacts' / 'mlflow' / 'mlflow.db'}"
    client = mlflow.MlflowClient(tracking_uri=uri)
    run = client.get_run(report.manifest.report["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.metrics["corpus.documents"] == 4
    assert run.data.tags["nightjar.tokens_version"] == report.manifest.parents["tokens"]
    logged = client.list_artifacts(run.info.run_id, "corpus")
    tables = ("drops", "growth", "languages", "lengths", "sources")
    assert sorted(Path(file.path).name for file in logged) == sorted(
        [PAGE, *(f"{table}.parquet" for table in tables)]
    )


def test_without_mlflow_the_report_is_not_published_and_says_why(base: Path) -> None:
    (base / "file").touch()
    with pytest.raises(RegistryUnavailable, match="cannot be used"):
        run_report(base, f"registry.tracking_uri=sqlite:///{base / 'file' / 'mlflow.db'}")
    assert Store(base / "artifacts").versions(schemas.CORPUS_REPORT) == []
