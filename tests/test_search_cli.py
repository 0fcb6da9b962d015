"""`nightjar search` over a small night's documents."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from asking_support import asked_json, invoked, refused
from conftest import SMALL_CONFIG, run_due
from nights_support import GOOD, POOR, HandMade, outcome
from test_cli import assert_refused, nightjar

from nightjar.config import load_config
from nightjar.errors import ArtifactDamaged, ArtifactMissing, InputError
from nightjar.pipeline.searching import Found, SearchRequest, find_documents
from nightjar.stages.index import Filters

pytestmark = pytest.mark.slow  # the nights that most of it starts from

NOTES = ("The police said it rained.", "qqqx wwwv", "Cricket: the Test team won the match.")
COLLECTIONS = {"documents": {"model": "cbow"}, "others": {"model": "glove"}}


def write_config(directory: Path, *, notes: tuple[str, ...] = NOTES) -> Path:
    """The small pipeline with a second source and documents to search."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "notes.txt").write_text("\n".join(notes) + "\n", encoding="utf-8")
    notes_source = {"type": "text", "path": "notes.txt", "language": "en"}
    sources = {**SMALL_CONFIG["corpora"]["text"]["sources"], "notes": notes_source}
    config = {
        **SMALL_CONFIG,
        "corpora": {"text": {"kind": "text", "sources": sources}},
        "document_vectors": COLLECTIONS,
    }
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


def found_in(
    config: Path,
    query: str,
    name: str | None = "documents",
    night: int | None = None,
    topn: int = 10,
    **filters: Any,
) -> Found:
    question = SearchRequest(query, name, night, topn, Filters(**filters))
    return find_documents(load_config(config, []), question)


def ids(found: Found) -> list[str]:
    return [hit.document.doc_id for hit, _ in found.hits]


def test_a_document_is_found_by_its_own_words(config: Path) -> None:
    command = ("search", NOTES[0], "--in", "documents", "-c", config)
    done = nightjar(*command, "--json", "-n", 3)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    first = answer["hits"][0]
    assert first["similarity"] == pytest.approx(1, abs=1e-5)
    assert (first["rank"], first["source"], first["language"]) == (1, "notes", "en")
    assert first["snippet"] == NOTES[0]
    marked = [first["snippet"][start:stop] for start, stop in first["marks"]]
    assert marked == ["The", "police", "said", "it", "rained"]
    assert len(answer["hits"]) == 3
    assert answer["documents"] == 296
    assert answer["approximate"] is False
    shown = nightjar(*command, "--source", "notes", "--min-chars", 20).stdout
    assert first["doc_id"] in shown
    assert NOTES[0] in shown
    assert "documents: 295 documents, 1 more have no known word" in shown


def test_words_without_a_vector_are_named_after_the_answers(config: Path) -> None:
    command = ("search", "police zzyx zzyx", "--in", "documents", "-c", config)
    done = nightjar(*command, "-n", 1)
    assert "documents has no vector for zzyx: other words decide\n" in done.stdout
    assert json.loads(nightjar(*command, "--json").stdout)["unknown_words"] == ["zzyx"]
    assert found_in(config, "police").unknown == ()


def test_filters_leave_as_many_answers_as_there_are(config: Path) -> None:
    assert len(ids(found_in(config, "government", sources=("notes",)))) == 2  # one is unknown
    assert len(ids(found_in(config, "government", languages=("en",), topn=1))) == 1
    some = found_in(config, "government", contains=r"\bcricket\b", min_chars=40, topn=50)
    assert len(ids(some)) > 3
    assert ids(found_in(config, "government", contains="no such text")) == []
    short = ids(found_in(config, "police", max_chars=30))
    assert short == ids(found_in(config, "police", sources=("notes",)))[:1]


@pytest.mark.parametrize(
    ("query", "name", "filters", "message"),
    [
        ("  ", "documents", {}, "the query is empty"),
        ("police", None, {}, "choose what to search with --in: documents, others"),
        ("police", "document", {}, "did you mean 'documents'?"),
        ("polcie qqqx", "documents", {}, "no vector for 2 words: polcie, qqqx"),
        ("polcie qqqx", "documents", {}, "did you mean police"),
        ("?!", "documents", {}, "no word of '?!'"),
        ("police", "others", {"sources": ("note",)}, "source 'note'; there are news, notes"),
        ("police", "others", {"contains": "("}, "'(' is not a regular expression"),
    ],
)
def test_what_cannot_be_answered_says_what_to_do(
    config: Path, query: str, name: str | None, filters: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        found_in(config, query, name, **filters)


def test_a_refusal_is_a_message_and_an_exit_code(config: Path) -> None:
    command = ("search", "polcie", "--in", "documents", "-c", config)
    assert_refused(nightjar(*command), 2, "did you mean police")


def test_without_document_vectors_the_message_shows_what_to_add(small_config: Path) -> None:
    done = nightjar("search", "police", "-c", small_config)
    assert_refused(done, 2, "document_vectors:\n  documents:\n    model: cbow\n", "nightjar run")


def test_before_the_first_night_it_says_to_run(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    with pytest.raises(
        InputError, match=r"no night is accepted for its corpus text .*'nightjar run'"
    ):
        found_in(path, "a", "others")


def test_reading_builds_no_index_and_the_next_night_does(copied: Path) -> None:
    artifacts = copied.parent / "artifacts"
    before = found_in(copied, "police").as_json()
    shutil.rmtree(artifacts / "search_index")
    done = nightjar("search", "police", "--in", "documents", "-c", copied)
    assert_refused(done, 1, f"documents is searched with {before['index']}", "'nightjar run' makes")
    assert not (artifacts / "search_index").exists()
    assert run_due(copied) == ["index documents", "index others"]
    assert found_in(copied, "police").as_json() == before


def test_a_spoilt_night_makes_what_is_searched_anew(tmp_path: Path) -> None:
    """Of the documents that are searched, not of its own."""
    project = HandMade(tmp_path / "project", document_vectors={"documents": {"model": "words"}})
    project.night()
    before = found_in(project.path, "left1").as_json()
    shutil.rmtree(project.loaded.artifacts_dir / "search_index")
    project.write_text(20)
    assert not project.night().accepted["text"]["is_accepted"]
    assert project.due() == []
    assert found_in(project.path, "left1").as_json() == before
    with pytest.raises(InputError, match="night 2 has no index of documents: its text was not"):
        found_in(project.path, "left1", night=2)


def test_a_spoilt_night_makes_a_new_entry_searchable_as_of_the_last_accepted_night(
    tmp_path: Path,
) -> None:
    project = HandMade(tmp_path / "project")
    project.night()
    project.document["document_vectors"] = {"documents": {"model": "words"}}
    project.save()
    project.write_text(20)
    assert not project.night().accepted["text"]["is_accepted"]
    assert project.due() == []
    assert found_in(project.path, "left1").hits
    standing = project.standing.corpora["text"]
    assert [(night.night, night.amounts["documents"]) for night in standing] == [(1, 100)]
    n_events = len(project.events)
    project.night()
    assert len(project.events) == n_events


def test_an_entry_that_was_away_while_its_model_changed_is_searched_again_after_a_spoilt_night(
    tmp_path: Path,
) -> None:
    entry = {"documents": {"model": "words"}}
    project = HandMade(tmp_path / "project", document_vectors=entry)
    project.night()
    project.document["document_vectors"] = {}
    project.save()
    project.write_vectors(GOOD, seed=1)
    assert outcome(project.night()) == "promoted"
    project.document["document_vectors"] = entry
    project.save()
    project.write_text(20)
    assert not project.night().accepted["text"]["is_accepted"]
    assert found_in(project.path, "left1").hits
    champion = project.standing.model("words").champion
    assert champion is not None
    assert project.standing.serving["documents"].embeddings == champion.embeddings


def test_a_spoilt_night_that_a_person_accepts_is_searched(tmp_path: Path) -> None:
    project = HandMade(tmp_path / "project", document_vectors={"documents": {"model": "words"}})
    command = ("accept", "text", "--reason", "the shop closed")
    assert "no night has made the corpus text" in str(refused(project.path, *command))
    project.night()
    assert "night 1 is accepted for text already" in str(refused(project.path, *command))
    project.write_text(20)
    assert not project.night().accepted["text"]["is_accepted"]
    before = found_in(project.path, "left1").as_json()
    assert asked_json(project.path, *command) == {"corpus": "text", "night": 2}
    assert found_in(project.path, "left1").as_json() != before
    (event,) = project.events[-1:]
    assert (event.kind.value, event.reason, event.night) == ("accepted", "the shop closed", 2)
    assert [night.amounts["documents"] for night in project.standing.corpora["text"]] == [20, 100]
    assert "night 2 is accepted for text already" in str(refused(project.path, *command))
    message = str(refused(project.path, "accept", "texts", "--reason", "a"))
    assert message == "texts: corpora has text"
    assert project.night().accepted["text"]["is_accepted"]  # judged against what was accepted
    assert project.due() == []


def test_a_champion_that_has_lost_its_vectors_is_told_and_searched_as_before(
    tmp_path: Path,
) -> None:
    entry = {"documents": {"model": "words"}}
    project = HandMade(tmp_path / "project", document_vectors=entry)
    project.night()
    champion = project.standing.model("words").champion
    assert champion is not None
    project.write_vectors(POOR)  # no night makes the champion's vectors any more
    before = found_in(project.path, "left1").as_json()
    shutil.rmtree(project.loaded.artifacts_dir / "embeddings" / champion.embeddings)
    project.write_text(110)
    for _ in range(2):
        night = project.night()
        assert night.accepted["text"]["is_accepted"]
        (alarm,) = [alarm for alarm in night.alarms if alarm.startswith("documents: ")]
        assert "the vectors of words version 1 are lost" in alarm
        assert "'nightjar rollback'" in alarm
        assert found_in(project.path, "left1").as_json() == before
    assert "champion of words, v1" in invoked(project.path, "verify").stdout


def test_a_damaged_index_is_told_and_rebuilt_by_a_night(copied: Path) -> None:
    before = found_in(copied, "police")
    path = before.index.file_path("vectors.npy")
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ArtifactDamaged, match=r"vectors\.npy was changed"):
        found_in(copied, "police")
    path.write_bytes(content[:-4])
    command = ("search", "police", "--in", "documents", "-c", copied)
    assert_refused(nightjar(*command), 1, "vectors.npy has", "verify --set-aside")
    assert nightjar("verify", "--set-aside", "-c", copied).returncode == 1
    assert run_due(copied) == ["index documents"]
    assert found_in(copied, "police").as_json() == before.as_json()


def test_the_next_night_searches_the_new_documents(
    copied: Path,
) -> None:
    before = found_in(copied, "police").as_json()
    (copied.parent / "notes.txt").write_text("A government of cricket police.\n", encoding="utf-8")
    run_due(copied)
    found = found_in(copied, "government of cricket police", sources=("notes",))
    assert [snippet.text for _, snippet in found.hits] == ["A government of cricket police."]
    now = found_in(copied, "police").as_json()
    assert now != before
    assert found_in(copied, "police", night=2).as_json() == now
    with pytest.raises(ArtifactMissing, match=r"night 1 had .*, which is no longer kept"):
        found_in(copied, "police", night=1)
    with pytest.raises(InputError, match="there is no night 9"):
        found_in(copied, "police", night=9)


def save_encoder(directory: Path, words: tuple[str, ...]) -> None:
    """A Model2Vec encoder that knows these words, each with a direction of its own."""
    model2vec = pytest.importorskip("model2vec", reason="the extra 'encoders' is not installed")
    tokenizers = pytest.importorskip("tokenizers", reason="the extra 'formats' is not installed")
    vocabulary = {word: row for row, word in enumerate(("[UNK]", *words))}
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordLevel(vocab=vocabulary, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.normalizer = tokenizers.normalizers.Lowercase()
    vectors = np.eye(len(vocabulary), dtype=np.float32)
    model2vec.StaticModel(vectors, tokenizer).save_pretrained(str(directory))


def test_what_a_pretrained_encoder_embedded_is_searched_with_it(tmp_path: Path) -> None:
    path = write_config(tmp_path / "project")
    save_encoder(path.parent / "encoder", ("police", "rained", "cricket", "won"))
    entry = "document_vectors={documents: {encoder: model2vec, path: encoder}}"
    command = ("-c", path, "--set", entry)
    run_due(path, entry)
    found = nightjar("search", "Cricket won", "--in", "documents", *command, "--source=notes")
    assert found.returncode == 0, found.stderr
    assert "Cricket: the Test team won the match." in found.stdout.splitlines()[1]
    again = nightjar("search", "qqqx", "--in", "documents", *command)
    assert_refused(again, 2, "documents knows no word of 'qqqx'")
    by_model = ("search", "police", "--in", "documents", "-c", path)  # without the override
    assert_refused(nightjar(*by_model), 1, "has vectors of an encoder (model2vec)", "nightjar run")
    save_encoder(path.parent / "encoder", ("police",))
    changed = nightjar("search", "police", "--in", "documents", *command)
    assert_refused(changed, 1, "the encoder's files are not those")
