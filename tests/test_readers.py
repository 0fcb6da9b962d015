"""Readers read what was promoted: after a blocked or a spoilt night every answer is as it was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from asking_support import asked, asked_json
from conftest import PROJECT_ROOT
from gensim.models import Word2Vec
from nights_support import GOOD, HandMade, outcome
from sharing_support import shared

from nightjar.cli.main import app
from nightjar.explorer.app import draw
from nightjar.explorer.library import Library
from nightjar.explorer.pages.elements import Screen
from nightjar.explorer.view import read_view

pytestmark = pytest.mark.slow  # the nights that most of it starts from

MODELS = {
    "words": {"trainer": "import", "path": "vectors.txt", "format": "glove"},
    "cbow": {
        "trainer": "word2vec",
        "architecture": "cbow",
        "vector_size": 4,
        "min_count": 1,
        "epochs": 1,
    },
    "mean": {"trainer": "sif", "model": "words", "components": 1},
}
ENTRIES = {"texts": {"model": "words"}, "means": {"model": "mean"}}
QUESTIONS: dict[str, tuple[str, ...]] = {
    "neighbors": ("neighbors", "left1", "--json"),
    "neighbors, approximate": (
        "neighbors",
        "left1",
        "-m",
        "words",
        "-n",
        "30",
        "--approximate",
        "--json",
    ),
    "analogy": ("analogy", "left1", "right1", "left2", "--json"),
    "similar": ("similar", "left1", "right1", "--json"),
    "similar, of the alias": ("similar", "left1", "right1", "-m", "words@champion", "--json"),
    "cluster": ("cluster", "left1", "right1", "left2", "--json"),
    "odd": ("odd", "left1", "right9", "left2", "--json"),
    "rank": ("rank", "left1 right2", "left1 right1.", "right9 left9.", "--json"),
    "encode": ("encode", "left1 right2 word3", "-m", "words"),
    "encode, derived": ("encode", "left1 right2 word3", "-m", "mean"),
    "index": ("index", "--json"),
    "search": ("search", "left1 right2", "--in", "texts", "--json"),
    "search, derived": ("search", "left1 right2", "--in", "means", "--json"),
    "search, filtered": ("search", "left1", "--in", "texts", "--contains", "word7", "--json"),
    "diff": ("diff", "documents", "--json"),
    "report": ("report", "--json"),
    "show documents": ("show", "documents", "--json"),
    "show tokens": ("show", "tokens", "--json"),
    "show corpus_report": ("show", "corpus_report", "--json"),
    "show document_vectors": ("show", "document_vectors", "--in", "texts", "--json"),
    "show search_index": ("show", "search_index", "--in", "means", "--json"),
    "show an entry": ("show", "texts", "--json"),
}
"""What is asked, of every command that answers from a model or a corpus."""
WRITTEN: dict[str, tuple[str, ...]] = {
    "export": ("export", "words", "--format", "word2vec"),
    "export, derived": ("export", "mean", "--format", "numpy"),
    "report, the page": ("report",),
    "encode, a file": ("encode", "left1", "-m", "words"),
}
"""Commands that write an answer into a file."""
PAGES = (
    "/words",
    "/words?word=left1",
    "/analogies?positive=left1",
    "/map",
    "/moved?least=1",
    "/cards",
)
SAYS_WHAT_HAPPENED = {
    *("run", "plan", "nights", "accept", "versions", "verify", "serve", "from-gensim"),
    *("history", "why", "promote", "rollback", "pin", "unpin", "hold", "resume", "retire"),
    *("adopt", "repair", "collect", "purge", "init", "rebase", "noise", "check", "drift"),
    "map-vectors",
}
"""Commands that answer no question to a model or a corpus: they run, order, or tell of nights."""


def written(project: HandMade, *arguments: str) -> bytes:
    path = project.directory / "answer"
    path.unlink(missing_ok=True)
    asked(project.path, *arguments, "-o", path)
    return path.read_bytes()


def vectors_of_gensim(project: HandMade, model: str) -> list[Any]:
    """What ``nightjar to-gensim`` writes, without the time that gensim puts in."""
    path = project.directory / "answer.gensim"
    asked(project.path, "to-gensim", model, "-o", path, "--force")
    opened = Word2Vec.load(str(path)).wv
    return [opened.index_to_key, opened.vectors.tolist()]


def page(project: HandMade, address: str) -> str:
    path, _, search = address.partition("?")
    with Library(project.loaded) as library:
        while True:
            body, is_finished = draw(library, read_view(path, search), Screen())
            if is_finished:
                return str(body)


def standing_of(project: HandMade, model: str) -> dict[str, Any]:
    """What ``nightjar show MODEL`` says, but for what happened."""
    shown: dict[str, Any] = asked_json(project.path, "show", model)
    del shown["events"]
    return shown


def answers(project: HandMade) -> dict[str, Any]:
    """Every answer that there is."""
    found: dict[str, Any] = {
        name: asked(project.path, *question) for name, question in QUESTIONS.items()
    }
    found |= {name: written(project, *question) for name, question in WRITTEN.items()}
    found |= {address: page(project, address) for address in PAGES}
    found["to-gensim"] = vectors_of_gensim(project, "cbow")
    return found | {f"show {model}": standing_of(project, model) for model in MODELS}


ASKED = [*QUESTIONS, *WRITTEN, *PAGES, "to-gensim", *(f"show {model}" for model in MODELS)]
Answers = dict[str, dict[str, Any]]
REVERSED = 0.0
"""The quality of vectors that put every pair in the wrong order."""


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """Answers after two good nights, a spoilt one, a blocked one, and another good one."""
    return shared(tmp_path_factory, "readers", five_nights)


def five_nights(directory: Path) -> Answers:
    project = HandMade(directory / "project", models=MODELS, document_vectors=ENTRIES)
    project.document["registry"]["gate"]["margin"] = 1.2
    project.document["training"]["deterministic"] = True
    project.save()
    project.night()
    project.write_text(120)
    project.write_vectors(GOOD, seed=1)
    project.night()
    found = {"good": answers(project)}
    project.write_text(20)
    spoilt = project.night()
    assert not spoilt.accepted["text"]["is_accepted"]
    found["spoilt"] = answers(project)
    project.write_text(120)
    project.write_vectors(REVERSED)
    assert outcome(project.night()) == "blocked"
    found["blocked"] = answers(project)
    project.write_text(20)
    project.night()
    found["spoilt and blocked"] = answers(project)
    project.write_text(130)
    project.write_vectors(GOOD, seed=2000)
    assert outcome(project.night()) == "promoted"
    found["better"] = answers(project)
    return found


@pytest.mark.parametrize("night", ["spoilt", "blocked", "spoilt and blocked"])
@pytest.mark.parametrize("question", ASKED)
def test_an_answer_is_what_it_was(nights: Answers, question: str, night: str) -> None:
    assert nights[night][question] == nights["good"][question]


@pytest.mark.parametrize("question", ASKED)
def test_after_a_promotion_the_answer_is_another_one(nights: Answers, question: str) -> None:
    assert nights["better"][question] != nights["good"][question]


def test_every_command_is_asked_or_answers_no_question() -> None:
    asked_ones = {question[0] for question in (*QUESTIONS.values(), *WRITTEN.values())}
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert set(commands) <= asked_ones | {"to-gensim", "explore", "recommend"} | SAYS_WHAT_HAPPENED


def test_a_rollback_switches_model_and_index_at_once(tmp_path: Path) -> None:
    project = HandMade(tmp_path / "project", document_vectors={"texts": {"model": "words"}})
    questions = {name: QUESTIONS[name] for name in ("encode", "search")}

    def all_answers() -> dict[str, str]:
        shown = {name: asked(project.path, *question) for name, question in questions.items()}
        return {**shown, "vectors": asked_json(project.path, "show", "texts")["version"]}

    project.night()
    first = all_answers()
    project.write_vectors(GOOD, seed=2000)
    project.night()
    second = all_answers()
    assert all(first[name] != second[name] for name in first)
    asked(project.path, "rollback", "words")
    assert all_answers() == first
    asked(project.path, "promote", "words", 2)
    assert all_answers() == second


def test_new_documents_are_searched_while_a_candidate_is_blocked(tmp_path: Path) -> None:
    project = HandMade(tmp_path / "project", document_vectors={"texts": {"model": "words"}})
    project.night()
    before = asked_json(project.path, "show", "texts")
    encoded = asked(project.path, *QUESTIONS["encode"])
    project.write_text(110)
    project.write_vectors(REVERSED)
    assert outcome(project.night()) == "blocked"
    after = asked_json(project.path, "show", "texts")
    assert (before["counts"]["documents"], after["counts"]["documents"]) == (100, 110)
    embeddings = [found["identity"]["parents"]["embeddings"] for found in (before, after)]
    assert embeddings[0] == embeddings[1]
    assert asked(project.path, *QUESTIONS["encode"]) == encoded
    found = asked_json(project.path, "search", "left9", "--contains", "word109")
    assert len(found["hits"]) == 1


def test_reading_imports_neither_mlflow_nor_prefect_nor_gensim(tmp_path: Path) -> None:
    project = HandMade(tmp_path / "project", document_vectors={"texts": {"model": "words"}})
    project.night()
    left_out = ("derived", "diff", "index", "search_index")  # what this project has not
    questions = [
        question
        for name, question in QUESTIONS.items()
        if not any(part in name for part in left_out)
    ]
    program = (
        "import json, sys\n"
        "from typer.testing import CliRunner\n"
        "from nightjar.cli.main import app\n"
        "for question in json.loads(sys.argv[1]):\n"
        "    done = CliRunner().invoke(app, [*question, '-c', sys.argv[2]])\n"
        "    assert done.exit_code == 0, (question, done.output, done.exception)\n"
        "heavy = ('mlflow', 'prefect', 'gensim', 'numba', 'torch', 'scipy', 'matplotlib', 'dash')\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    more = [["show", "words"], ["versions"], ["nights"], ["verify"]]
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps([*questions, *more]), str(project.path)],
        env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr
