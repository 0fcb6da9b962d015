"""What a night says at its end although no rule stopped it: less text, and marks in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from asking_support import asked, asked_json
from nights_support import HandMade

pytestmark = pytest.mark.slow  # the nights that most of it starts from


def test_a_corpus_that_shrank_is_told_although_its_rule_allows_it(tmp_path: Path) -> None:
    project = HandMade(tmp_path / "project")
    assert project.night().alarms == ()
    project.write_text(95)
    assert project.night().alarms == ()  # a little less is usual
    project.write_text(80)
    shrunken = project.night()
    assert shrunken.accepted["text"]["is_accepted"]
    (alarm,) = shrunken.alarms
    assert alarm == (
        "corpus text is smaller than in the last accepted night: 15.8% of the documents are lost "
        "(80 of 95), which corpora.text.accept.max_documents_lost (20.0%) allows; 15.8% of the "
        "tokens are lost (240 of 285), which corpora.text.accept.max_tokens_lost (20.0%) allows. "
        "Check its sources, and 'nightjar diff documents'"
    )
    assert project.night().alarms == ()


def test_a_source_that_falls_silent_is_told(tmp_path: Path) -> None:
    project = HandMade(tmp_path / "project")
    sources = project.document["corpora"]["text"]["sources"]
    sources["few"] = {"type": "jsonl", "path": "few.jsonl"}
    project.save()
    few = project.directory / "few.jsonl"
    few.write_text(json.dumps({"text": "a few words."}) + "\n", encoding="utf-8")
    assert project.night().alarms == ()
    few.write_text(json.dumps({"text": ""}) + "\n", encoding="utf-8")
    (alarm,) = project.night().alarms
    assert "the source few gives no document, and gave 1" in alarm


def marked_lines(marked: str, n_marked: int, source: str = "") -> str:
    """100 documents, some of them with marks; the others differ from those of other sources."""
    text = [f"left{row % 20} right{row % 20} {source}word{row}." for row in range(100 - n_marked)]
    text += [marked.replace("N", str(row)) for row in range(n_marked)]
    return "\n".join(text) + "\n"


def lines(project: HandMade, marked: str, n_marked: int) -> None:
    """Make the text of 100 documents, some of them with marks."""
    text = marked_lines(marked, n_marked)
    (project.directory / "text.txt").write_text(text, encoding="utf-8")


def with_sources(project: HandMade, cases: Sequence[tuple[str, int]]) -> None:
    """Give the corpus a source for each case: marks, and how many of 100 documents have them."""
    sources = {}
    for number, (marked, n_marked) in enumerate(cases):
        name = f"s{number}"
        text = marked_lines(marked, n_marked, name)
        (project.directory / f"{name}.txt").write_text(text, encoding="utf-8")
        sources[name] = {"type": "text", "path": f"{name}.txt"}
    project.document["corpora"]["text"]["sources"] = sources
    project.save()


MARKS = {
    "left1 good filmN<br /><br />right1": (
        "tags of HTML in 20% of the documents of s0 (20 of 100 documents looked at): add html to "
        "corpora.text.cleaning.steps"
    ),
    "Johnson &amp; Johnson N": "entities of HTML such as &amp; in 20% of the documents of s1",
    "see [the page](https://example.org/N) for more": "links of Markdown in 20% of the documents of"
    " s2",
    "the [[River N|river]] flows": "marks of a wiki such as [[...]] in 20% of the documents of s3",
}


def test_marks_in_the_text_are_an_alarm_with_advice(tmp_path: Path) -> None:
    project = HandMade(tmp_path / "project")
    with_sources(project, [(marked, 20) for marked in MARKS])
    alarms = project.night().alarms
    assert [alarm.startswith("corpus text: ") for alarm in alarms] == [True] * len(MARKS)
    told = asked(project.path, "report")
    report = asked_json(project.path, "report")
    for alarm, said in zip(alarms, MARKS.values(), strict=True):
        assert said in alarm
        doubt = alarm.removeprefix("corpus text: ")
        assert f"doubt: {doubt}" in told
        assert doubt in report["doubts"]
    assert "Doubts" in Path(report["page"]).read_text(encoding="utf-8")


def test_what_only_looks_like_marks_is_no_alarm(tmp_path: Path) -> None:
    project = HandMade(tmp_path / "project")
    cases = [
        ("left1 good film<br />right1 N", 4),  # one here and there
        ("a < b and c > d N", 50),
        ("I <3 you N, AT&T and R&D; [1] and (see p. N)", 50),
        ("array[N](x) and {{", 50),
        ("the lt and gt of amp and div N", 50),
    ]
    with_sources(project, cases)
    assert project.night().alarms == ()
    assert len(project.loaded.config.corpora["text"].sources) == len(cases)


def test_words_of_html_among_the_most_frequent_are_told(tmp_path: Path) -> None:
    project = HandMade(tmp_path / "project")
    lines(project, "left1 good filmN br br right1", 20)
    (alarm,) = project.night().alarms
    assert alarm == (
        "corpus text: 'br' is the 1st most frequent word: it seems that somebody cut mark-up of "
        "HTML into words; take it out where the texts are made"
    )


def test_the_step_html_ends_the_alarm(tmp_path: Path) -> None:
    project = HandMade(tmp_path / "project")
    lines(project, "left1 good filmN<br /><br />right1", 20)
    project.document["corpora"]["text"]["cleaning"] = {"steps": ["html"]}
    project.save()
    assert project.night().alarms == ()
    lines(project, "left1 good filmN&lt;br&gt;right1", 20)
    (alarm,) = project.night().alarms
    assert "tags of HTML in 20%" in alarm
    assert "they may be escaped twice" in alarm
