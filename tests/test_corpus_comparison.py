"""``nightjar diff documents``: what changed between two nights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from asking_support import asked, asked_json, refused
from conftest import examples
from corpus_support import run_ingest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nights_support import HandMade

from nightjar.sources import file_groups
from nightjar.stages.ingest import compare

SOURCE = {"s": {"type": "jsonl", "path": "data/*.jsonl", "id_field": "id"}}


def publish(base: Path, texts: Mapping[int, str]) -> Any:
    (base / "data").mkdir(exist_ok=True)
    for number in range(3):
        rows = [
            {"id": key, "text": text} for key, text in sorted(texts.items()) if key % 3 == number
        ]
        content = "".join(json.dumps(row) + "\n" for row in rows)
        (base / "data" / f"{number}.jsonl").write_text(content, encoding="utf-8")
    return run_ingest(base, SOURCE, deduplicate=False).artifact


TEXTS = st.dictionaries(st.integers(0, 9), st.sampled_from(["a", "b", "c"]), min_size=1)


@settings(deadline=None, max_examples=examples(12), suppress_health_check=list(HealthCheck))
@given(TEXTS, TEXTS)
def test_every_document_is_added_changed_removed_or_unchanged(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    before: dict[int, str],
    after: dict[int, str],
) -> None:
    monkeypatch.setattr(file_groups, "LARGE_BYTES", 1)
    base = tmp_path_factory.mktemp("diff")
    found = compare(publish(base, before), publish(base, after))
    changes = {document.doc_id: document.change.value for document in found.documents()}
    expected = {
        **{f"s:{key}": "added" for key in after.keys() - before.keys()},
        **{f"s:{key}": "removed" for key in before.keys() - after.keys()},
        **{
            f"s:{key}": "changed"
            for key in after.keys() & before.keys()
            if after[key] != before[key]
        },
    }
    assert changes == expected
    assert found.n_changes == len(expected)
    assert found.n_unchanged == sum(after.get(key) == text for key, text in before.items())


# -- the command line --------------------------------------------------------------------------


def test_nights_are_compared_the_last_accepted_one_by_default(tmp_path: Path) -> None:
    project = HandMade(tmp_path / "project")
    error = refused(project.path, "diff", "documents")
    assert error.exit_code == 2
    assert "no night is accepted for the corpus text yet: 'nightjar run' makes one" in str(error)
    project.night()
    error = refused(project.path, "diff", "documents")
    assert "night 1 of text is the first accepted night" in str(error)
    project.write_text(110)
    project.night()
    project.write_text(20)
    project.night()  # not accepted
    shown = asked_json(project.path, "diff", "documents", "-n", 1)
    first, second = shown["old"], shown["new"]
    assert (shown["added"], shown["removed"], shown["unchanged"]) == ({"s": 10}, {}, 100)
    assert [document["change"] for document in shown["documents"]] == ["added"]
    lines = asked(project.path, "diff", "documents", "-n", 2).splitlines()
    assert lines[0] == f"{first} -> {second}"
    assert lines[1].split() == ["added", "10", "(s", "10)"]
    assert [line[0] for line in lines[5:7]] == ["+", "+"]
    assert lines[7] == "... and 8 more (--limit)"
    spoilt = asked_json(project.path, "diff", "documents", "--night", 3)
    assert (spoilt["old"], spoilt["removed"]) == (second, {"s": 90})
    against = asked_json(project.path, "diff", "documents", "--night", 3, "--against", 1)
    assert (against["old"], against["new"]) == (first, spoilt["new"])
    versions = [ref.partition("/")[2] for ref in (second, first)]
    back = asked_json(project.path, "diff", "documents", *versions)
    assert (back["old"], back["new"], back["removed"]) == (second, first, {"s": 10})
    one = asked_json(project.path, "diff", "documents", versions[1][:6])
    assert (one["old"], one["new"]) == (first, second)


def test_a_night_that_changed_nothing_is_not_what_the_next_is_compared_with(tmp_path: Path) -> None:
    project = HandMade(tmp_path / "project")
    project.night()
    accept_once_more(project)
    assert project.kinds.count("accepted") == 2
    assert "is the first accepted night" in str(refused(project.path, "diff", "documents"))
    project.write_text(110)
    project.night()
    found = asked_json(project.path, "diff", "documents")
    assert found["added"] == {"s": 10}
    for _ in range(2):
        accept_once_more(project)
    assert project.kinds.count("accepted") == 5
    assert asked_json(project.path, "diff", "documents") == found  # which retention keeps, too


def accept_once_more(project: HandMade) -> None:
    """A night that changes nothing but what is searched."""
    entries = project.document.setdefault("document_vectors", {})
    entries[f"texts-{len(entries)}"] = {"model": "words"}
    project.save()
    project.night()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tokens",), "takes two nights, as in 'nightjar diff last~1 last', or the word documents"),
        (("documents", "abc"), "no artifact matches"),
        (("documents", "tokens/1234"), "no artifact matches"),
        (("documents", "--night", "7"), "there is no night 7"),
        (("documents", "--corpus", "txet"), "no such corpus; did you mean 'text'?"),
        (("documents", "abc", "--against", "1"), "not both"),
    ],
)
def test_what_cannot_be_compared_is_a_message(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    assert message in str(refused(HandMade(tmp_path).path, "diff", *arguments))


def test_with_several_corpora_it_has_to_be_said_which(tmp_path: Path) -> None:
    project = HandMade(tmp_path / "project")
    (project.directory / "notes.txt").write_text("one two\nthree four\n", encoding="utf-8")
    source = {"type": "text", "path": "notes.txt"}
    project.document["corpora"]["notes"] = {"kind": "text", "sources": {"n": source}}
    project.document["models"]["words"]["corpus"] = "text"
    project.document["document_vectors"] = {
        "texts": {"model": "words"},
        "others": {"model": "words", "corpus": "notes"},
    }
    project.save()
    project.night()
    for command in (("diff", "documents"), ("show", "documents"), ("show", "tokens")):
        error = refused(project.path, *command)
        assert "choose the corpus with --corpus: text, notes" in str(error)
    assert "choose the corpus" in str(refused(project.path, "report"))
    assert "choose what to search with --in: texts, others" in str(
        refused(project.path, "search", "one")
    )
    figures = asked_json(project.path, "report", "notes")["figures"]
    assert (figures["documents"], figures["words"]) == (2, 4)
    documents = asked_json(project.path, "show", "documents", "--corpus", "notes")
    assert documents["counts"]["documents_kept"] == 2
    vectors = asked_json(project.path, "show", "others")
    assert vectors["identity"]["parents"]["documents"] == documents["version"]
    index = asked_json(project.path, "show", "search_index", "--in", "others")
    assert index["identity"]["parents"]["document_vectors"] == vectors["version"]
    (project.directory / "notes.txt").write_text("one two\nfive six\n", encoding="utf-8")
    project.night()
    found = asked_json(project.path, "diff", "documents", "--corpus", "notes")
    assert (found["added"], found["removed"]) == ({"n": 1}, {"n": 1})
    error = refused(project.path, "diff", "documents", "--corpus", "text")
    assert "night 1 of text is the first accepted night" in str(error)
