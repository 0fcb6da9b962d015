"""A person's right to erasure: what is left of a document anywhere, and what comes next."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from copying_support import copy_project
from database_support import SqliteReviews, put
from fork_support import FORKED
from remote_support import running_site
from retention_support import PROVENANCE, Project, make_project, places_of, sentences
from search_support import Text, publish_vectors, random_texts
from sharing_support import shared
from typer.testing import CliRunner

from nightjar.cli.main import app
from nightjar.config import load_config
from nightjar.core import NightStatus, StageContext
from nightjar.core.stage import Erased, Fate, Rewriting
from nightjar.core.using import at_work, night_lease
from nightjar.errors import InputError, LeaseTaken, StoreError
from nightjar.pipeline import DirectRunner, NightRequest, run_night
from nightjar.pipeline.retention import (
    PurgeRequest,
    PurgeResult,
    collect,
    finish_purges,
    purge,
    sweeping,
)
from nightjar.promotion import Steward, read_standing
from nightjar.sources.rejections import digest_of
from nightjar.stages.embed.embed_stage import erase_from_document_vectors
from nightjar.stages.index import (
    INDEX_FILE,
    VECTORS_FILE,
    DocumentIndexSettings,
    DocumentSearch,
    index_documents,
    search_index_identity,
)
from nightjar.stages.index.index_stage import erase_from_search_index
from nightjar.stages.ingest import PurgeList
from nightjar.store import (
    Artifact,
    Identity,
    Staging,
    Store,
    acquire_lease,
    delete,
    publish,
    remove_abandoned,
    rewrite,
    schemas,
    set_aside,
)

pytestmark = [
    pytest.mark.slow,  # the nights that most of it starts from
    pytest.mark.usefixtures("light_nights"),
]

WORD = "xyzzyquux"
"""Of the document that is erased alone."""
SECRET = f"{WORD} " + " ".join(f"secret{number} plover" for number in range(12))
NEARLY = SECRET.replace("secret11", "other11")
GLOVE = {"trainer": "glove", "vector_size": 8, "window": 3, "epochs": 1, "min_count": 1}


def two_models() -> dict[str, Any]:
    words = {
        "trainer": "word2vec",
        "architecture": "cbow",
        "vector_size": 8,
        "epochs": 1,
        "min_count": 1,
        "window": 3,
    }
    return {"words": words, "counted": GLOVE}


def rows(texts: Mapping[str, str]) -> str:
    """Lines of JSON, from texts by id."""
    return "".join(f"{json.dumps({'id': name, 'text': text})}\n" for name, text in texts.items())


def notes_of(person: str) -> dict[str, str]:
    """Some notes, the fifth of them by a person."""
    notes = [(f"n{number}", text) for number, text in enumerate(sentences(20, seed=4))]
    return dict([*notes[:5], ("person", person), *notes[5:]])


def make_secret_project(directory: Path, *, has_secret: bool = True) -> Project:
    """Two sources, of which one has the secret twice and nearly a third time, one once."""
    sources = {
        "in": {"type": "text", "path": "news.txt"},
        "notes": {"type": "jsonl", "path": "notes.jsonl", "id_field": "id"},
    }
    near = {"threshold": 0.6, "shingle": 2}
    project = make_project(
        directory,
        corpora={"news": {"kind": "text", "sources": sources, "near_duplicates": near}},
        models=two_models(),
    )
    write_texts(project, 60, has_secret=has_secret)
    return project


def write_texts(project: Project, n_lines: int, *, has_secret: bool = True) -> None:
    lines, notes = sentences(n_lines, seed=3), notes_of(SECRET)
    lines[7:7] = [SECRET, "between them"]
    lines[30:30] = [SECRET, NEARLY]
    if not has_secret:
        lines = [line for line in lines if line not in (SECRET, NEARLY)]
        del notes["person"]
    project.write_lines(lines)
    (project.directory / "notes.jsonl").write_text(rows(notes), encoding="utf-8")


def opened(project: Project, stage: str) -> list[Artifact]:
    store = Store(project.artifacts)
    return [store.open(ref) for ref in store.versions(stage)]


def secret_id(project: Project) -> str:
    (found,) = {
        row["doc_id"]
        for artifact in opened(project, schemas.DOCUMENTS)
        for row in artifact.read("documents").to_pylist()
        if row["text"] == SECRET
    }
    return str(found)


def id_of(project: Project, word: str) -> str:
    """Of the document with a word."""
    (found,) = {
        row["doc_id"]
        for row in opened(project, schemas.DOCUMENTS)[-1].read("documents").to_pylist()
        if word in row["text"]
    }
    return str(found)


def purged(project: Project, *documents: str, corpus: str | None = None) -> PurgeResult:
    return purge(project.load(), PurgeRequest(documents, corpus, "ann", "asked for"))


def searched_ids(project: Project) -> list[str]:
    served = read_standing(project.load()).serving["by-words"]
    store = Store(project.artifacts)
    index = store.open(store.ref(schemas.SEARCH_INDEX, served.search_index))
    return DocumentSearch(store, index).doc_ids()


def assert_whole(project: Project) -> None:
    store = Store(project.artifacts)
    for stage in store.stages():
        for ref in store.versions(stage):
            assert store.verify(ref) == []


def run_two_nights(project: Project) -> None:
    project.night()
    write_texts(project, 70)
    project.night()


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Two nights with the secret. Read only: copy to change."""
    return shared(tmp_path_factory, "purge", two_nights_with_the_secret)


def two_nights_with_the_secret(directory: Path) -> Project:
    project = make_secret_project(directory / "project")
    run_two_nights(project)
    return project


@pytest.fixture
def project(nights: Project, tmp_path: Path) -> Project:
    return Project(copy_project(nights.directory, tmp_path / "copy"))


# -- what is left ----------------------------------------------------------------------------


def test_no_byte_of_a_purged_document_is_left_but_in_vectors_that_are_told(
    project: Project,
) -> None:
    doc_id = secret_id(project)
    before = {place.split("/")[0] for place in places_of(WORD, project.artifacts)}
    assert before == {
        "document_shards",
        "documents",
        "drift",
        "embeddings",
        "mlflow",
        "pipelines",
        "token_shards",
        "tokens",
    }
    assert any(path.endswith("/report.html") for path in places_of(WORD, project.artifacts))
    result = purged(project, doc_id)
    told = {vectors.embeddings for vectors in result.trained}
    versions = {vectors.name for vectors in result.trained}
    assert versions == {"small-words v1", "small-words v2", "small-counted v1", "small-counted v2"}
    assert all(vectors.is_certain for vectors in result.trained)
    for place in places_of(WORD, project.artifacts):
        stage, version, *_ = place.split("/")
        assert stage == "mlflow" or (stage == "embeddings" and version in told)
        assert stage != "mlflow" or place.endswith("lookup/tokens.arrow")
    assert places_of(doc_id, project.artifacts) == []
    assert places_of("secret11", project.artifacts) == places_of(WORD, project.artifacts)
    assert_whole(project)
    assert result.retrain == ("words", "counted")
    assert {note.split(":")[0] for note in result.notes} == {
        "version 1 is the reference of words",
        "version 1 is the reference of counted",
    }


def compared_with(project: Project, version: str) -> str:
    """The earlier embeddings of a drift artifact."""
    store = Store(project.artifacts)
    drift = store.open(store.ref(schemas.DRIFT, version))
    return str(drift.manifest.identity["config"]["before"]["version"])


def test_documents_and_tokens_are_those_of_nights_without_it(
    project: Project, tmp_path: Path
) -> None:
    without = make_secret_project(tmp_path / "without", has_secret=False)
    without.night()
    write_texts(without, 70, has_secret=False)
    without.night()
    purged(project, secret_id(project))
    for stage, tables in (
        (schemas.DOCUMENTS, ("documents", "quarantine")),
        (schemas.TOKENS, ("sentences", "vocabulary")),
    ):
        for ours, theirs in zip(opened(project, stage), opened(without, stage), strict=True):
            for table in tables:
                columns = [name for name in theirs.schema(table).names if name != "locator"]
                found, expected = (art.read(table, columns).to_pylist() for art in (ours, theirs))
                assert found == expected
            counts = dict(theirs.manifest.counts)
            assert {name: count for name, count in ours.manifest.counts.items() if count} == {
                name: count for name, count in counts.items() if count
            }
    for ours, theirs in zip(
        opened(project, schemas.DOCUMENTS), opened(without, schemas.DOCUMENTS), strict=True
    ):
        ours_by, theirs_by = (art.manifest.report["sources"] for art in (ours, theirs))
        for source, of_theirs in theirs_by.items():
            assert of_theirs.items() <= ours_by[source].items()


def test_readers_answer_without_it_at_once(project: Project) -> None:
    doc_id = secret_id(project)
    assert doc_id in searched_ids(project)
    n_before = len(searched_ids(project))
    purged(project, doc_id)
    assert doc_id not in searched_ids(project)
    assert len(searched_ids(project)) == n_before - 1
    served = read_standing(project.load()).serving["by-words"]
    store = Store(project.artifacts)
    search = DocumentSearch(store, store.open(store.ref("search_index", served.search_index)))
    texts = {row["doc_id"]: row["text"] for row in search.documents.read("documents").to_pylist()}
    matrix = opened(project, schemas.DOCUMENT_VECTORS)[-1].read("vectors").to_pylist()
    for place in (0, 10, 40, len(matrix) - 1):  # each still answers with itself
        query = np.array(matrix[place]["vector"], np.float32)
        best = search.search(query, 1)[0].document
        assert best.text == texts[best.doc_id]
        assert best.doc_id == matrix[place]["doc_id"]


def test_what_is_made_of_it_is_due_and_the_night_keeps_it_out(project: Project) -> None:
    doc_id = secret_id(project)
    assert project.due() == []
    result = purged(project, doc_id)
    assert {"ingest", "tokenize", "train words", "train counted"} < set(project.due())
    assert set(result.swept.places) == {
        "in: news.txt:8",
        "in: news.txt:31",
        "in: news.txt:32",
        "notes: notes.jsonl:6",
    }
    night = project.night()
    assert night.status is NightStatus.COMPLETED
    assert night.alarms == ()
    assert project.due() == []
    records = opened(project, schemas.DOCUMENTS)[-1].read("quarantine").to_pylist()
    found = [row for row in records if row["reason"] == "purged"]
    assert sorted((row["source"], row["locator"]) for row in found) == sorted(
        tuple(place.split(": ", 1)) for place in result.swept.places
    )
    assert {(row["detail"], row["excerpt"]) for row in found} == {("", "")}
    told = {vectors.embeddings for vectors in result.trained}
    for place in places_of(WORD, project.artifacts):
        stage, version, *_ = place.split("/")
        if stage == "drift":  # from the vectors that are told, and kept no longer than they are
            version = compared_with(project, version)
        is_page = place.startswith("pipelines/") and place.endswith("/report.html")
        assert stage == "mlflow" or is_page or version in told
    assert not {vectors.embeddings for vectors in purged(project, doc_id).trained} - told


def test_vectors_that_were_learnt_from_it_go_when_nothing_needs_them(project: Project) -> None:
    purged(project, secret_id(project))
    project.night()
    for model in ("words", "counted"):
        Steward(project.load(), "ann").rebase(model, 3)
    collect(project.load("keep.rollback_versions=0"))
    assert places_of(WORD, project.artifacts) == []
    assert places_of("secret3", project.artifacts) == []


# -- how it is kept out ----------------------------------------------------------------------


def test_the_list_holds_hashes_alone(project: Project) -> None:
    doc_id = secret_id(project)
    purged(project, doc_id)
    listed = PurgeList.read(project.load().pipeline_dir, "news")
    (order,) = listed.orders
    assert order.is_done
    assert order.ids == (digest_of(doc_id).hex(),)
    assert digest_of(SECRET).hex() in order.texts
    assert (order.actor, order.reason) == ("ann", "asked for")
    text = listed.path.read_text()
    assert doc_id not in text
    assert WORD not in text


def test_an_id_stays_out_whatever_text_it_gets_and_a_text_whatever_id(project: Project) -> None:
    purged(project, "notes:person")
    notes = notes_of("quite another text of the same person")
    (project.directory / "notes.jsonl").write_text(rows(notes), encoding="utf-8")
    project.write_lines([*sentences(60, seed=3), "a new line", SECRET])
    night = project.night()
    (alarm,) = night.alarms
    assert alarm.startswith("corpus news is smaller than in the last accepted night: 12.0% of the")
    found = {
        row["doc_id"]: row["text"]
        for row in opened(project, "documents")[-1].read("documents").to_pylist()
    }
    assert "notes:person" not in found
    assert "notes:n6" in found
    assert SECRET not in found.values()
    assert "a new line" in found.values()
    for text in ("quite another text", WORD):
        places = [place for place in places_of(text, project.artifacts) if "mlflow" not in place]
        assert {place.split("/")[0] for place in places} <= {"embeddings", "drift", "pipelines"}


def test_a_text_stays_out_when_it_is_cleaned_otherwise(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    project.write_lines([*sentences(30, seed=1), f"{WORD}   <b>bold</b>  words"])
    project.night()
    purged(project, id_of(project, WORD))
    project.night('corpora.news.cleaning.steps=["html", "white_space"]', promotes=True)
    documents = opened(project, "documents")[-1]
    assert documents.rows("documents") == 30
    assert [row["reason"] for row in documents.read("quarantine").to_pylist()] == ["purged"]


def test_shards_that_another_pipeline_has_read_keep_it_out_of_the_documents(
    project: Project,
) -> None:
    """A shard is shared; a pipeline without such an order may have read the document into it."""
    doc_id = secret_id(project)
    purged(project, doc_id)
    for shard in opened(project, schemas.DOCUMENT_SHARDS):
        delete(shard.directory)
    listed = PurgeList.read(project.load().pipeline_dir, "news")
    orders = listed.orders
    listed.path.unlink()
    write_texts(project, 80)
    project.night()
    assert secret_id(project) == doc_id
    listed.write(orders)
    project.night()
    newest = opened(project, schemas.DOCUMENTS)[-1]
    assert SECRET not in newest.read("documents").column("text").to_pylist()
    quarantine = newest.read("quarantine").to_pylist()
    assert sum(row["reason"] == "purged" for row in quarantine) == 4
    assert not any(row["excerpt"] for row in quarantine if row["reason"] == "purged")


# -- other pipelines, other corpora ------------------------------------------------------------


def test_all_pipelines_of_the_directory_forget_it_and_keep_it_out(project: Project) -> None:
    other = project.directory / "other.yaml"
    config = project.config.read_text().replace("name: small", "name: other")
    other.write_text(config)

    def night() -> None:
        loaded = load_config(other)
        run_night(loaded, DirectRunner(loaded, PROVENANCE), PROVENANCE, NightRequest("other"))

    night()
    result = purged(project, "notes:person")
    assert {"other-words v1", "other-counted v1"} < {found.name for found in result.trained}
    listed = PurgeList.read(project.artifacts / "pipelines/other", "news")
    assert [order.ids for order in listed.orders] == [()]
    assert listed.is_done
    night()
    project.night()
    for artifact in opened(project, schemas.DOCUMENTS):
        assert SECRET not in artifact.read("documents").column("text").to_pylist()
    newest = opened(project, schemas.DOCUMENTS)[-1]
    # The id is known to the own list alone, its text to both.
    reasons = [row["reason"] for row in newest.read("quarantine").to_pylist()]
    assert reasons.count("purged") == 4


def two_corpora(directory: Path) -> Project:
    """Two corpora whose sources have the same names and ids."""
    corpora = {
        name: {
            "kind": "text",
            "sources": {"in": {"type": "jsonl", "path": f"{name}.jsonl", "id_field": "id"}},
        }
        for name in ("left", "right")
    }
    words = {**two_models()["words"], "corpus": "left"}
    project = make_project(directory, corpora=corpora, models={"words": words})
    lines = sentences(40, seed=5)
    texts = {"left": lines[:20], "right": lines[20:]}
    own = {"left": "left alone has this", "right": f"right alone {WORD} has this"}
    for name, found in texts.items():
        by_id = {f"n{number}": text for number, text in enumerate([*found, own[name]])}
        (directory / f"{name}.jsonl").write_text(rows(by_id))
    project.night()
    return project


def test_of_several_corpora_with_such_an_id_one_is_named(tmp_path: Path) -> None:
    project = two_corpora(tmp_path / "project")
    with pytest.raises(InputError, match=r"in:n20 is a document of left and right.*--corpus"):
        purged(project, "in:n20")
    with pytest.raises(InputError, match="middle: corpora has left, right"):
        purged(project, "in:n20", corpus="middle")
    purged(project, "in:n20", corpus="right")
    by_name = {art.manifest.name: art for art in opened(project, schemas.DOCUMENTS)}
    assert by_name["right"].rows("documents") == 20
    assert by_name["left"].rows("documents") == 21
    assert not PurgeList.read(project.load().pipeline_dir, "left").orders
    assert places_of(WORD, project.artifacts) == []
    assert [label for label in project.due() if "left" in label or "words" in label] == []


# -- refusals ----------------------------------------------------------------------------------


def test_a_document_that_is_not_there_is_refused_and_nothing_is_done(project: Project) -> None:
    before = places_of(WORD, project.artifacts)
    with pytest.raises(InputError, match="in:nobody: no kept document has this id"):
        purged(project, secret_id(project), "in:nobody")
    assert places_of(WORD, project.artifacts) == before
    assert not PurgeList.read(project.load().pipeline_dir, "news").orders


def test_nothing_is_purged_while_a_night_or_a_command_is_under_way(project: Project) -> None:
    doc_id = secret_id(project)
    pipelines = project.artifacts / "pipelines"
    for name in ("small", "other"):
        (pipelines / name).mkdir(exist_ok=True)
        with (
            acquire_lease(night_lease(pipelines / name), "a night"),
            pytest.raises(LeaseTaken, match=f"a night of pipeline {name} is under way"),
        ):
            purged(project, doc_id)
    with (
        at_work(pipelines / "small", "promoting"),
        pytest.raises(LeaseTaken, match="a command of pipeline small is at work"),
    ):
        purged(project, doc_id)
    assert not PurgeList.read(project.load().pipeline_dir, "news").orders


def test_a_list_that_cannot_be_read_stops_the_night(project: Project) -> None:
    purged(project, secret_id(project))
    PurgeList.read(project.load().pipeline_dir, "news").path.write_text("{")
    with pytest.raises(StoreError, match="without it what was purged would come back"):
        project.due()


# -- killed ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def victims() -> None:
    """The process that purges are forked from is ready."""
    FORKED.run("purge_victims_support:load", is_forked=False)


def kill(project: Project, doc_id: str, n_steps: int, *, at_renames: bool) -> int:
    arguments = str(project.config), doc_id, n_steps, at_renames
    return FORKED.run("purge_victims_support:act", *arguments)


@pytest.mark.usefixtures("victims")
@pytest.mark.parametrize("at_renames", [False, True])
def test_killed_at_any_step_a_purge_is_finished_by_whoever_comes_next(
    nights: Project, tmp_path: Path, at_renames: bool
) -> None:
    doc_id = secret_id(nights)
    n_steps = done = 0
    while not done:
        copy = copy_project(nights.directory, tmp_path / f"{n_steps}")
        project = Project(copy)
        code = kill(project, doc_id, n_steps, at_renames=at_renames)
        done = code == 0
        assert code in (0, 9)
        n_steps += 5 if at_renames else 1
        if not done:
            loaded = project.load()
            with acquire_lease(night_lease(loaded.pipeline_dir), "the next night"):
                remove_abandoned(loaded.artifacts_dir)
                swept = finish_purges(loaded)
                assert finish_purges(loaded) is None
            if swept is None:  # not even the order was written
                purged(project, doc_id)
        assert_whole(project)
        assert not places_of(WORD, project.artifacts, but=("mlflow", "embeddings"))
        assert doc_id not in searched_ids(project)
        shutil.rmtree(copy)
    assert n_steps > 12


@pytest.mark.usefixtures("victims")
def test_the_next_night_finishes_a_purge_and_says_so(project: Project) -> None:
    doc_id = secret_id(project)
    assert kill(project, doc_id, 3, at_renames=False) == 9
    night = project.night()
    assert any("finished an interrupted purge" in alarm for alarm in night.alarms)
    assert not places_of(
        WORD, project.artifacts, but=("mlflow", "embeddings", "drift", "pipelines")
    )


def test_search_tells_when_index_and_documents_are_not_of_the_same_purge(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    doc_id = secret_id(project)

    def stopped(artifact: Artifact, write: Rewriting) -> None:
        if artifact.ref.stage == schemas.DOCUMENTS:
            raise KeyboardInterrupt
        rewrite(artifact, write)

    with monkeypatch.context() as patched:
        patched.setattr(sweeping, "rewrite", stopped)
        with pytest.raises(KeyboardInterrupt):
            purged(project, doc_id)
    with pytest.raises(StoreError, match="documents are being purged"):
        searched_ids(project)
    arguments = ["collect", "--config", str(project.config)]
    assert CliRunner().invoke(app, arguments, catch_exceptions=False).exit_code == 0
    assert doc_id not in searched_ids(project)


IMPORTED = {"words": {"trainer": "import", "path": "vectors.txt", "format": "glove"}}


def write_vectors(project: Project) -> None:
    """Vectors of the benchmark's words, which no night learns."""
    words = {
        word for word in (project.directory / "pairs.tsv").read_text().split() if word.isalpha()
    }
    vectors = [f"{word} {n % 7} {n % 5} 1" for n, word in enumerate(sorted(words))]
    (project.directory / "vectors.txt").write_text("\n".join(vectors) + "\n", encoding="utf-8")


# -- whatever else there is --------------------------------------------------------------------


def test_what_was_set_aside_is_deleted_since_nothing_can_be_erased_from_it(
    project: Project,
) -> None:
    documents = opened(project, schemas.DOCUMENTS)[0]
    shutil.copytree(documents.directory, project.directory / "saved")
    aside = set_aside(documents.ref)
    (project.directory / "saved").rename(documents.directory)
    result = purged(project, secret_id(project))
    assert not aside.exists()
    assert f"set-aside/{aside.name}" in result.swept.deleted


def test_a_shard_that_a_limit_cuts_is_read_anew(tmp_path: Path) -> None:
    project = make_project(
        tmp_path / "project",
        corpora={
            "news": {
                "kind": "text",
                "limit": 12,
                "sources": {"in": {"type": "text", "path": "news.txt"}},
            }
        },
    )
    lines = sentences(30, seed=1)
    project.write_lines([*lines[:4], SECRET, *lines[4:]])
    project.night()
    result = purged(project, secret_id(project))
    assert any(name.startswith("document_shards/") for name in result.swept.deleted)
    project.night()
    newest = opened(project, schemas.DOCUMENTS)[-1]
    assert newest.read("documents").column("text").to_pylist() == lines[:12]


def test_what_stages_without_an_eraser_made_of_it_is_deleted(project: Project) -> None:
    documents = opened(project, schemas.DOCUMENTS)[-1]
    embeddings = opened(project, schemas.EMBEDDINGS)[-1]
    other = publish(project.artifacts, Identity("pictures", "any", {}), lambda staging: None)
    made = [
        publish(project.artifacts, identity, lambda staging: None)
        for identity in (
            Identity("drawings", "any", {}, {documents.ref.stage: documents.ref.version}),
            Identity("word_index", "any", {}, {embeddings.ref.stage: embeddings.ref.version}),
        )
    ]
    made.append(
        publish(
            project.artifacts,
            Identity("frames", "any", {}, {"drawings": made[0].version}),
            lambda staging: None,
        )
    )
    swept = purged(project, secret_id(project)).swept
    assert {str(made[0]), str(made[2])} <= set(swept.deleted)
    for ref in (other, made[1]):
        assert Store(project.artifacts).verify(ref) == []


def test_a_graph_is_built_anew_since_it_would_keep_the_vector(tmp_path: Path) -> None:
    texts = random_texts(60)
    gone = texts[17]
    settings = DocumentIndexSettings(approximate_from=10)

    def indexed(root: Path, rows: list[Text]) -> tuple[Artifact, Artifact]:
        vectors = publish_vectors(root, rows)
        identity = search_index_identity("documents", vectors.ref.version, settings)

        def write(staging: Staging) -> None:
            index_documents(vectors, StageContext(identity, staging), settings)

        return vectors, Store(root).open(publish(root, identity, write))

    store = Store(tmp_path / "ours")
    vectors, index = indexed(store.root, texts)
    assert index.has_file(INDEX_FILE)
    erased = Erased(frozenset((digest_of(gone.text),)))
    for artifact, eraser in (
        (vectors, erase_from_document_vectors),
        (index, erase_from_search_index),
    ):
        fate = eraser(store, artifact, erased)
        assert callable(fate)
        rewrite(artifact, fate)
    rest = [text for text in texts if text is not gone]
    _, as_never_there = indexed(tmp_path / "expected", rest)
    ours = store.open(index.ref)
    assert store.verify(index.ref) == []
    assert ours.read("entries").to_pylist() == as_never_there.read("entries").to_pylist()
    for name in (INDEX_FILE, VECTORS_FILE):
        found, wanted = (art.file_path(name).read_bytes() for art in (ours, as_never_there))
        assert found == wanted
    assert erase_from_search_index(store, ours, erased) is Fate.UNTOUCHED


def test_phrases_of_its_words_go(tmp_path: Path) -> None:
    project = make_project(
        tmp_path / "project",
        corpora={
            "news": {
                "kind": "text",
                "sources": {"in": {"type": "text", "path": "news.txt"}},
                "tokenize": {"phrases": {"min_count": 2, "threshold": 0.01, "passes": 2}},
            }
        },
    )
    project.write_lines([*sentences(30, seed=1), f"{WORD} plover {WORD} plover {WORD} plover egg"])
    project.night()
    tokens = opened(project, schemas.TOKENS)[-1]
    assert any(WORD in row["tokens"] for row in tokens.read("phrases").to_pylist())
    n_phrases = tokens.rows("phrases")
    purged(project, id_of(project, WORD))
    tokens = opened(project, schemas.TOKENS)[-1]
    assert 0 < tokens.rows("phrases") < n_phrases
    assert not places_of(
        WORD, project.artifacts, but=("mlflow", "embeddings", "drift", "pipelines")
    )
    assert_whole(project)


def test_pieces_that_a_tokenizer_learnt_from_it_go(tmp_path: Path) -> None:
    corpus = {
        "kind": "text",
        "sources": {"in": {"type": "text", "path": "news.txt"}},
        "tokenize": {"tokenizer": "subword", "subword_vocabulary": 400},
    }
    project = make_project(
        tmp_path / "project", corpora={"news": corpus}, models=IMPORTED, document_vectors={}
    )
    write_vectors(project)
    project.write_lines([*sentences(60, seed=1), " ".join([WORD] * 50)])
    project.night()
    tokens = opened(project, schemas.TOKENS)[-1]
    assert WORD in tokens.file_path(schemas.TOKENIZER_FILE).read_text()
    result = purged(project, id_of(project, WORD))
    assert str(tokens.ref) in result.swept.deleted
    assert places_of(WORD, project.artifacts) == []
    assert result.trained == ()
    project.night()
    assert project.due() == []


def test_vectors_whose_documents_are_not_kept_may_have_been_learnt_from_it(
    project: Project,
) -> None:
    for number in (3, 4):
        write_texts(project, 70 + 10 * number)
        project.night()
    result = purged(project, secret_id(project))
    certain = {found.name for found in result.trained if found.is_certain}
    doubtful = {found.name for found in result.trained if not found.is_certain}
    assert certain == {f"small-{model} v{n}" for model in ("words", "counted") for n in (3, 4)}
    assert doubtful == {f"small-{model} v{n}" for model in ("words", "counted") for n in (1, 2)}


def test_rows_of_a_database_that_were_fetched_go_one_by_one(tmp_path: Path) -> None:
    source = {
        "type": "sql",
        "url": "sqlite:///reviews.db",
        "query": "SELECT * FROM reviews",
        "key_column": "id",
        "watermark_column": "at",
    }
    corpora = {"news": {"kind": "text", "sources": {"db": source}}}
    project = make_project(tmp_path / "project", corpora=corpora, models=IMPORTED)
    write_vectors(project)
    reviews = SqliteReviews(project.directory)
    put(reviews, range(30), at=1, word=sentences(1, seed=0)[0])
    put(reviews, [17], at=2, word=WORD)
    project.night()
    assert any(place.startswith("fetched") for place in places_of(WORD, project.artifacts))
    result = purged(project, "db:17")
    assert places_of(WORD, project.artifacts) == []
    assert result.trained == ()
    assert any(name.startswith("fetched/") for name in result.swept.deleted)
    night = project.night()
    assert night.alarms == ()
    newest = opened(project, schemas.DOCUMENTS)[-1]
    assert newest.rows("documents") == 29
    assert places_of(WORD, project.artifacts) == []
    # The database still has the row: once it changes it is read, and refused.
    put(reviews, [17], at=3, word=f"{WORD} again")
    project.night()
    newest = opened(project, schemas.DOCUMENTS)[-1]
    assert newest.rows("documents") == 29
    assert places_of(WORD, project.artifacts) == []


def test_files_that_were_fetched_with_it_go_and_come_back_without_it(tmp_path: Path) -> None:
    with running_site() as site:
        lines = sentences(30, seed=1)
        url = site.serve("/news.txt", "\n".join([*lines, SECRET]).encode())
        project = make_project(
            tmp_path / "project",
            corpora={"news": {"kind": "text", "sources": {"in": {"type": "text", "path": url}}}},
        )
        project.night()
        doc_id = secret_id(project)
        assert any(place.startswith("fetched") for place in places_of(WORD, project.artifacts))
        result = purged(project, doc_id)
        assert not places_of(WORD, project.artifacts, but=("mlflow", "embeddings"))
        assert any(name.startswith("fetched/") for name in result.swept.deleted)
        site.serve("/news.txt", "\n".join(lines).encode())  # deleted at its source
        project.night()
        newest = opened(project, schemas.DOCUMENTS)[-1]
        assert newest.read("documents").column("text").to_pylist() == lines
        assert not places_of(
            WORD, project.artifacts, but=("mlflow", "embeddings", "drift", "pipelines")
        )


# -- the command -------------------------------------------------------------------------------


def test_the_command_tells_what_is_gone_and_what_is_left_to_do(project: Project) -> None:
    doc_id = secret_id(project)
    arguments = ["purge", doc_id, "--reason", "asked for", "--config", str(project.config)]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert "1 document is erased" in result.output
    for told in (
        "rewritten",
        "news.txt:8",
        "small-words v2",
        "the next night retrains words, counted",
    ):
        assert told in result.output
    again = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    found = json.loads(again.output)
    assert found["n_erased"] == 0
    assert len(found["trained"]) == 4
    assert found["swept"]["rewritten"] == []
