"""`nightjar search` over a small night's documents."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from conftest import SMALL_CONFIG, run_due
from test_cli import assert_refused, nightjar

from nightjar.store import Store

NOTES = ("The police said it rained.", "qqqx wwwv", "Cricket: the Test team won the match.")
COLLECTIONS = {"documents": {"model": "cbow"}, "others": {"model": "glove"}}


def write_config(directory: Path, *, notes: tuple[str, ...] = NOTES) -> Path:
    """The small pipeline with a second source and documents to search."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "notes.txt").write_text("\n".join(notes) + "\n", encoding="utf-8")
    notes_source = {"type": "text", "path": "notes.txt", "language": "en"}
    sources = {**SMALL_CONFIG["ingest"]["sources"], "notes": notes_source}
    config = {**SMALL_CONFIG, "ingest": {"sources": sources}, "document_vectors": COLLECTIONS}
    path = directory / "pipeline_config.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished night. Read only: copy to change."""
    path = write_config(tmp_path_factory.mktemp("search") / "project")
    labels = run_due(path)
    assert labels[-4:] == ["embed documents", "index documents", "embed others", "index others"]
    return path


@pytest.fixture
def copied(config: Path, tmp_path: Path) -> Path:
    shutil.copytree(config.parent, tmp_path / "copy")
    return tmp_path / "copy" / config.name


@pytest.fixture
def ask(config: Path) -> Callable[..., dict[str, object]]:
    def asked(query: str, *options: object) -> dict[str, object]:
        done = nightjar("search", query, "--in", "documents", "-c", config, "--json", *options)
        assert done.returncode == 0, done.stderr
        answer: dict[str, object] = json.loads(done.stdout)
        return answer

    return asked


def ids(answer: dict[str, object]) -> list[str]:
    return [hit["doc_id"] for hit in answer["hits"]]  # type: ignore[attr-defined]


def test_a_document_is_found_by_its_own_words(
    config: Path, ask: Callable[..., dict[str, object]]
) -> None:
    answer = ask(NOTES[0], "-n", 3)
    first = answer["hits"][0]  # type: ignore[index]
    assert first["similarity"] == pytest.approx(1, abs=1e-5)
    assert (first["rank"], first["source"], first["language"]) == (1, "notes", "en")
    assert first["snippet"] == NOTES[0]
    assert [first["snippet"][start:stop] for start, stop in first["marks"]] == (
        ["The", "police", "said", "it", "rained"]
    )
    assert len(ids(answer)) == 3
    assert answer["documents"] == 296
    assert answer["approximate"] is False
    shown = nightjar("search", NOTES[0], "--in", "documents", "-c", config).stdout
    assert first["doc_id"] in shown
    assert NOTES[0] in shown
    assert "documents: 295 documents, 1 more have no known word" in shown


def test_filters_leave_as_many_answers_as_there_are(ask: Callable[..., dict[str, object]]) -> None:
    assert len(ids(ask("government", "--source", "notes"))) == 2  # one has no known word
    assert len(ids(ask("government", "--language", "en", "-n", 1))) == 1
    found = ask("government", "--contains", r"\bcricket\b", "--min-chars", 40, "-n", 50)
    assert len(ids(found)) > 3
    assert ids(ask("government", "--source", "notes", "--contains", "no such text")) == []
    assert ids(ask("police", "--max-chars", 30)) == ids(ask("police", "--source", "notes"))[:1]


def test_what_cannot_be_answered_says_what_to_do(config: Path) -> None:
    def refused(*arguments: object) -> str:
        done = nightjar("search", *arguments, "-c", config)
        assert_refused(done, 2)
        return done.stderr

    assert "the query is empty" in refused("  ", "--in", "documents")
    assert "choose what to search with --in: documents, others" in refused("police")
    assert "did you mean 'documents'?" in refused("police", "--in", "document")
    message = refused("polcie qqqx", "--in", "documents")
    assert "no vector for 2 words: polcie, qqqx" in message
    assert "did you mean police" in message
    assert "no word in '?!'" in refused("?!", "--in", "documents")
    assert "no document has the source 'note'; there are news, notes" in refused(
        "police", "--in", "documents", "--source", "note"
    )
    assert "'(' is not a regular expression" in refused("police", "--in", "others", "--contains=(")


def test_without_document_vectors_the_message_shows_what_to_add(finished_config: Path) -> None:
    done = nightjar("search", "police", "-c", finished_config)
    assert_refused(done, 2, "document_vectors:\n  documents:\n    model: cbow\n", "nightjar run")


def test_before_the_first_night_it_says_to_run(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    assert_refused(nightjar("search", "a", "--in", "others", "-c", path), 2, "'nightjar run'")


def test_a_missing_index_is_built_when_it_is_asked_for(copied: Path) -> None:
    shutil.rmtree(copied.parent / "artifacts" / "search_index")
    command = ("search", "police", "--in", "documents", "-c", copied, "--json")
    first = nightjar(*command)
    assert first.returncode == 0, first.stderr
    assert "index documents: 295 documents" in first.stderr
    second = nightjar(*command)
    assert (second.stdout, second.stderr) == (first.stdout, "")


def test_a_damaged_index_is_told_and_rebuilt_after_it_is_set_aside(copied: Path) -> None:
    store = Store(copied.parent / "artifacts")
    index = next(
        store.open(ref)
        for ref in store.versions("search_index")
        if store.open(ref).manifest.name == "documents"
    )
    path = index.file_path("vectors.npy")
    path.write_bytes(path.read_bytes()[:-4])
    command = ("search", "police", "--in", "documents", "-c", copied)
    assert_refused(nightjar(*command), 1, "vectors.npy has", "verify --set-aside")
    assert nightjar("verify", "--set-aside", "-c", copied).returncode == 1
    assert nightjar(*command).returncode == 0


def test_the_next_night_searches_the_new_documents(copied: Path) -> None:
    (copied.parent / "notes.txt").write_text("A government of cricket police.\n", encoding="utf-8")
    run_due(copied)
    command = ("search", "government of cricket police", "--in", "documents", "-c", copied)
    found = json.loads(nightjar(*command, "--source", "notes", "--json").stdout)
    assert [hit["snippet"] for hit in found["hits"]] == ["A government of cricket police."]
