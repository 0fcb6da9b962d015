"""Searching documents: the index from night to night, filters, snippets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from search_support import Text, publish_vectors, random_texts
from stage_support import context_of

from nightjar.errors import ArtifactDamaged, InputError
from nightjar.stages.index import (
    DocumentIndexSettings,
    DocumentSearch,
    Filters,
    IndexSettings,
    index_documents,
    search_index_identity,
    snippets,
)
from nightjar.stages.index.document_search import matching
from nightjar.store import Artifact, Store, publish

GRAPH = DocumentIndexSettings(approximate_from=50)
REVIEWS = (
    Text("a:1", "A slow film about grief.", [1, 0, 0], "films", "en"),
    Text("a:2", "A FAST film.", [0.9, 0.1, 0], "films", "en"),
    Text("b:1", "Ein langsamer Film.", [0.8, 0.6, 0], "kino", "de"),
    Text("b:2", "???", None, "kino", "de"),
    Text("c:1", "Shares fell on Monday.", [0, 0, 2], "news", None),
    Text("c:2", "Shares rose (5 %) on Tuesday, said a trader.", [0, 0.1, 5], "news", None),
    Text("c:3", "Rain.", [0, 1, 0], "news", None),
)


def build(
    store: Store, vectors: Artifact, settings: DocumentIndexSettings | None = None
) -> Artifact:
    chosen = DocumentIndexSettings() if settings is None else settings
    manifest = vectors.manifest
    identity = search_index_identity(manifest.name, manifest.version, chosen)
    return store.open(
        publish(
            store.root,
            identity,
            lambda staging: index_documents(vectors, context_of(staging, identity), chosen),
        )
    )


@pytest.fixture
def reviews(tmp_path: Path) -> DocumentSearch:
    store = Store(tmp_path)
    return DocumentSearch(store, build(store, publish_vectors(tmp_path, REVIEWS)))


def found(search: DocumentSearch, query: Sequence[float], topn: int, **filters: object) -> str:
    hits = search.search(np.array(query, np.float32), topn, Filters(**filters))  # type: ignore[arg-type]
    return " ".join(hit.document.doc_id for hit in hits)


# -- exact search and filters ------------------------------------------------------------------


def test_the_nearest_documents_come_first_with_their_text(reviews: DocumentSearch) -> None:
    hits = reviews.search(np.array([2, 0, 0], np.float32), 3)
    assert [hit.document.doc_id for hit in hits] == ["a:1", "a:2", "b:1"]
    assert [hit.similarity for hit in hits] == pytest.approx([1, 0.9 / np.hypot(0.9, 0.1), 0.8])
    assert hits[2].document.text == "Ein langsamer Film."
    assert hits[2].document.language == "de"
    assert hits[0].document.n_chars == len(hits[0].document.text)


def test_a_document_without_a_known_word_is_never_found(reviews: DocumentSearch) -> None:
    assert "b:2" not in found(reviews, [-1, -1, -1], 10).split()
    assert len(found(reviews, [1, 0, 0], 10).split()) == 6


def test_filtered_answers_come_from_all_documents_that_pass(reviews: DocumentSearch) -> None:
    query = [1, 0, 0]
    assert found(reviews, [0.1, 0.2, 1], 2, sources=("news",)) == "c:2 c:1"
    assert found(reviews, query, 2, languages=("de",)) == "b:1"
    assert found(reviews, query, 5, contains="film") == "a:1 a:2 b:1"
    assert found(reviews, query, 5, contains=r"\bfast\b", sources=("films",)) == "a:2"
    assert found(reviews, query, 5, contains=r"\(5 %\)") == "c:2"
    assert found(reviews, query, 5, min_chars=20, max_chars=24) == "a:1 c:1"
    assert found(reviews, query, 5, contains="nothing like it") == ""


def test_a_filter_that_no_document_can_pass_says_what_there_is(reviews: DocumentSearch) -> None:
    with pytest.raises(InputError, match="source 'film'; there are films, kino, news"):
        found(reviews, [1, 0, 0], 2, sources=("film",))
    with pytest.raises(InputError, match="language 'fr'; there are de, en"):
        found(reviews, [1, 0, 0], 2, languages=("en", "fr"))
    with pytest.raises(InputError, match="not a regular expression"):
        found(reviews, [1, 0, 0], 2, contains="(")


def test_masks_are_of_every_row(reviews: DocumentSearch) -> None:
    mask = matching(reviews.documents, Filters(sources=("kino", "films")))
    assert mask.tolist() == [True, True, True, True, False, False, False]
    assert matching(reviews.documents, Filters()).all()


# -- the index from night to night -------------------------------------------------------------


def all_vectors(texts: Sequence[Text]) -> NDArray[np.float32]:
    return np.array([text.vector for text in texts], np.float32)


def assert_finds_each(store: Store, index: Artifact, texts: Sequence[Text]) -> None:
    search = DocumentSearch(store, index)
    nearest = [search.search(vector, 1)[0].document.doc_id for vector in all_vectors(texts)]
    assert nearest == [text.doc_id for text in texts]


def test_a_small_corpus_has_no_graph_and_a_large_one_has(tmp_path: Path) -> None:
    pytest.importorskip("usearch", reason="the extra 'index' is not installed")
    store, texts = Store(tmp_path), random_texts(60)
    vectors = publish_vectors(tmp_path, texts)
    small = build(store, vectors, replace(GRAPH, approximate_from=61))
    large = build(store, vectors, GRAPH)
    assert not small.has_file("index.usearch")
    assert not small.manifest.report["approximate"]
    assert large.manifest.report["approximate"]
    assert large.manifest.report["recall_at_10"] >= 0.95
    for index in (small, large):
        assert_finds_each(store, index, texts)
        assert store.verify(index.ref) == []


def test_without_usearch_search_is_exact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nightjar.stages.index.index_stage.usearch_version", lambda: None)
    store, texts = Store(tmp_path), random_texts(60)
    index = build(store, publish_vectors(tmp_path, texts), GRAPH)
    assert not index.manifest.report["approximate"]
    assert_finds_each(store, index, texts)


def test_the_next_night_adds_and_removes_documents(tmp_path: Path) -> None:
    pytest.importorskip("usearch", reason="the extra 'index' is not installed")
    store, texts = Store(tmp_path), random_texts(200)
    first = build(store, publish_vectors(tmp_path, texts), GRAPH)
    assert first.manifest.report["grown_from"] is None
    # Three go, one changes its text, two come, and the rows move.
    changed = replace(texts[50], text="another", vector=random_texts(1, seed=9)[0].vector)
    nobody = Text("z:1", "???", None)
    kept = [*texts[:10], *texts[13:50], changed, *texts[51:]]
    tonight = [*random_texts(2, seed=5), *kept, nobody]
    second = build(store, publish_vectors(tmp_path, tonight), GRAPH)
    assert second.manifest.report["grown_from"] == str(first.ref)
    assert second.manifest.counts["added"] == 3
    assert second.manifest.counts["removed"] == 4
    assert second.manifest.counts["without_known_words"] == 1
    keys = second.read("entries").column("key").to_pylist()
    assert keys[:3] == [200, 201, 0]
    assert keys[-1] is None
    assert_finds_each(store, second, tonight[:-1])
    third = build(store, publish_vectors(tmp_path, texts), replace(GRAPH, max_changed=0.5))
    assert third.manifest.report["grown_from"] is None  # other settings


def test_other_embeddings_or_too_much_change_build_anew(tmp_path: Path) -> None:
    pytest.importorskip("usearch", reason="the extra 'index' is not installed")
    store, texts = Store(tmp_path), random_texts(200)
    build(store, publish_vectors(tmp_path, texts), GRAPH)
    other = build(store, publish_vectors(tmp_path, texts, embeddings="e2"), GRAPH)
    assert other.manifest.report["grown_from"] is None
    half = build(store, publish_vectors(tmp_path, texts[:100]), GRAPH)
    assert half.manifest.report["grown_from"] is None
    assert_finds_each(store, half, texts[:100])


def test_an_updated_graph_that_finds_too_little_is_built_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("usearch", reason="the extra 'index' is not installed")
    monkeypatch.setattr("nightjar.stages.index.index_stage.measure", lambda *_: iter(()))
    store, texts = Store(tmp_path), random_texts(120)
    build(store, publish_vectors(tmp_path, texts[:-5]), GRAPH)
    second = build(store, publish_vectors(tmp_path, texts), GRAPH)
    assert second.manifest.report["grown_from"] is None
    assert_finds_each(store, second, texts)


def test_a_damaged_graph_of_last_night_is_passed_over(tmp_path: Path) -> None:
    pytest.importorskip("usearch", reason="the extra 'index' is not installed")
    store, texts = Store(tmp_path), random_texts(120)
    first = build(store, publish_vectors(tmp_path, texts[:-5]), GRAPH)
    path = first.file_path("index.usearch")
    path.write_bytes(path.read_bytes()[:-1])
    second = build(store, publish_vectors(tmp_path, texts), GRAPH)
    assert second.manifest.report["grown_from"] is None
    assert_finds_each(store, second, texts)


def test_the_same_document_twice(tmp_path: Path) -> None:
    pytest.importorskip("usearch", reason="the extra 'index' is not installed")
    store, texts = Store(tmp_path), random_texts(80)
    build(store, publish_vectors(tmp_path, texts), GRAPH)
    twice = [*texts, texts[3]]
    second = build(store, publish_vectors(tmp_path, twice), GRAPH)
    assert second.manifest.counts["added"] == 1
    search = DocumentSearch(store, second)
    hits = search.search(np.array(texts[3].vector, np.float32), 2)
    assert [hit.document.doc_id for hit in hits] == [texts[3].doc_id] * 2


def test_a_graph_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    pytest.importorskip("usearch", reason="the extra 'index' is not installed")
    store = Store(tmp_path)
    index = build(store, publish_vectors(tmp_path, random_texts(60)), GRAPH)
    path = index.file_path("index.usearch")
    path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(ArtifactDamaged, match=r"index\.usearch was changed.*verify --set-aside"):
        DocumentSearch(store, index)


def test_recall_of_the_graph_is_the_settings(tmp_path: Path) -> None:
    assert DocumentIndexSettings().graph == IndexSettings()
    assert DocumentIndexSettings().graph.min_recall == 0.95


# -- snippets ----------------------------------------------------------------------------------


def counted(texts: Sequence[str]) -> NDArray[np.float32]:
    """Vectors of how often some words occur."""
    words = ("grief", "slow", "music")
    rows = [[text.lower().count(word) for word in words] for text in texts]
    return np.array(rows, np.float32).reshape(-1, 3)


def marked(text: str, query: str, width: int = 240) -> tuple[str, list[str]]:
    (snippet,) = snippets([text], query, counted([query])[0], counted, width)
    return snippet.text, [snippet.text[start:stop] for start, stop in snippet.marks]


def test_the_snippet_is_the_sentence_nearest_to_the_query() -> None:
    text = "Nice music.<br /><br />A Slow, slow tale of\tGrief. The end came late. Music again."
    assert marked(text, "grief, slow", 40) == (
        "A Slow, slow tale of Grief.",
        ["Slow", "slow", "Grief"],
    )
    assert marked(text, "grief, slow", 50)[0] == "A Slow, slow tale of Grief. The end came late."


def test_a_long_sentence_is_cut_around_the_words() -> None:
    text = "word " * 50 + "of slow grief " + "more " * 50
    snippet, words = marked(text, "slow grief", 40)
    assert len(snippet) <= 40
    assert snippet.startswith("…")
    assert snippet.endswith("…")
    assert words == ["slow", "grief"]


def test_a_snippet_cannot_control_the_terminal() -> None:
    snippet, words = marked("\x1b[31m Grief\x07\x00 is [bold]slow[/bold]\u202e.", "grief")
    assert snippet.isprintable()
    assert "[bold]slow" in snippet
    assert words == ["Grief"]


def test_texts_without_sentences_or_vectors() -> None:
    found = snippets(["", "\n \n", "qqq www. eee"], "grief", counted(["grief"])[0], counted, 50)
    assert [snippet.text for snippet in found] == ["", "", "qqq www. eee"]
    assert snippets([], "grief", counted(["grief"])[0], counted, 50) == []
