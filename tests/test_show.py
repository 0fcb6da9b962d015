"""`nightjar show`, `versions` and `verify` over nights in a row."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from asking_support import asked, asked_json, invoked, refused
from nights_support import GOOD, POOR, HandMade

from nightjar.promotion import Steward

WORDS = {"trainer": "import", "path": "vectors.txt", "format": "glove"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> HandMade:
    """Version 1 promoted, 2 promoted, 3 blocked; then held. Read only."""
    project = HandMade(tmp_path_factory.mktemp("show") / "project")
    project.document["document_vectors"] = {"documents": {"model": "words"}}
    project.save()
    project.night()
    project.write_text(110)
    project.write_vectors(GOOD, seed=1)
    project.night()
    project.write_text(20)
    project.write_vectors(POOR)
    project.night()
    Steward(project.loaded, "anna").hold("words", "wait for [the] audit")
    return project


def test_a_model_says_how_it_stands_and_what_happened(project: HandMade) -> None:
    shown = asked_json(project.path, "show", "words")
    assert (shown["champion"], shown["reference"], shown["previous"]) == (2, 1, [1])
    assert (shown["held"], shown["waiting"], shown["shown"]) == ("wait for [the] audit", None, 2)
    assert shown["load"] == "models:/night-words@champion"
    kinds = [(event["kind"], event["version"], event["night"]) for event in shown["events"]]
    assert kinds == [
        ("promoted", 1, 1),
        ("promoted", 2, 2),
        ("blocked", 3, 3),
        ("held", 2, None),
    ]
    assert shown["events"][2]["champion_score"] == pytest.approx(1.0)
    assert [score["benchmark"] for score in shown["scores"] if score["metric"] == "spearman"] == [
        "pairs"
    ]
    printed = asked(project.path, "show", "words")
    assert "wait for [the] audit" in re.sub(r"\s+", " ", printed)


def test_another_version_shows_its_own_scores_and_lineage(project: HandMade) -> None:
    champion, blocked = (asked_json(project.path, "show", f"words@{n}") for n in (2, 3))
    assert blocked["champion"] == champion["champion"] == 2
    assert (champion["shown"], blocked["shown"]) == (2, 3)
    key = "nightjar.embeddings_version"
    assert champion["lineage"][key] != blocked["lineage"][key]
    assert champion["scores"] != blocked["scores"]
    assert asked_json(project.path, "show", "words", "--night", 3) == blocked
    assert asked_json(project.path, "show", "night-words") == champion


def test_a_stage_is_the_artifact_that_readers_use(project: HandMade) -> None:
    documents = asked_json(project.path, "show", "documents")
    assert documents["counts"]["documents_kept"] == 110  # of the accepted night, not of the last
    spoilt = asked_json(project.path, "show", "documents", "--night", 3)
    assert spoilt["counts"]["documents_kept"] == 20
    tokens = asked_json(project.path, "show", "tokens")
    assert tokens["identity"]["parents"] == {"documents": documents["version"]}
    report = asked_json(project.path, "show", "corpus_report")
    assert report["identity"]["parents"]["tokens"] == tokens["version"]
    vectors = asked_json(project.path, "show", "document_vectors")
    assert vectors["identity"]["parents"]["documents"] == documents["version"]
    embeddings = asked_json(project.path, "show", "embeddings")
    assert vectors["identity"]["parents"]["embeddings"] == embeddings["version"]
    lineage = asked_json(project.path, "show", "words")["lineage"]
    assert lineage["nightjar.embeddings_version"] == embeddings["version"]
    evaluation = asked_json(project.path, "show", "evaluation")
    assert evaluation["version"] == lineage["nightjar.evaluation_version"]
    index = asked_json(project.path, "show", "search_index")
    assert asked_json(project.path, "show", "search_index", "--night", 2) == index
    assert asked_json(project.path, "show", f"search_index/{index['version'][:6]}") == index


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "search_index", "--night", "3"), "night 3 has no index of documents: its text"),
        (("show", "search_index", "--night", "1"), "is no longer kept: an index is kept while"),
        (("show", "cooccurrences"), "words version 2 has no cooccurrences"),
        (("show", "wrods"), "no artifact matches"),
        (("show", "words@9"), "has no version or alias '9'"),
        (("show", "tokens", "--corpus", "nwes"), "no such corpus; have text"),
        (("show", "document_vectors", "--in", "documnets"), "did you mean 'documents'?"),
        (("versions", "wrods"), "there is no such stage"),
    ],
)
def test_what_there_is_not_is_named(
    project: HandMade, arguments: tuple[str, ...], message: str
) -> None:
    assert message in str(refused(project.path, *arguments))


def test_with_several_models_a_stage_of_theirs_is_asked_by_model(tmp_path: Path) -> None:
    project = HandMade(tmp_path / "project", models={"words": WORDS, "again": WORDS})
    project.night()
    error = refused(project.path, "show", "embeddings")
    assert "every model (words, again) has its own; 'nightjar show MODEL'" in str(error)
    project.document["models"].pop("again")
    project.save()
    listed = asked_json(project.path, "versions")["registered"]
    assert [entry["name"] for entry in listed] == ["night-words", "night-again"]
    gone = asked_json(project.path, "show", "again")
    assert (gone["champion"], gone["is_configured"]) == (1, False)


def test_versions_lists_what_is_registered_with_its_aliases(project: HandMade) -> None:
    listed = asked_json(project.path, "versions", "embeddings")
    assert len(listed["artifacts"]) == 3
    aliases = {entry["version"]: entry["aliases"] for entry in listed["registered"]}
    assert aliases == {1: [], 2: ["champion"], 3: ["challenger"]}
    versions = {entry["embeddings_version"] for entry in listed["registered"]}
    assert versions == {entry["version"] for entry in listed["artifacts"]}


def test_verify_reads_the_files_of_registered_versions(project: HandMade, tmp_path: Path) -> None:
    shutil.copytree(project.directory, tmp_path / "copy")
    config = tmp_path / "copy" / project.path.name
    assert "3 registered versions, all whole" in asked(config, "verify")
    path = next((tmp_path / "copy" / "artifacts").glob("mlflow/**/vectors.npy"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    done = invoked(config, "verify")
    assert done.exit_code == 1
    assert "vectors.npy was changed" in done.stdout
