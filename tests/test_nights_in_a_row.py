"""Nights in a row: the second, the tenth, after a blocked one, a reverted config, a spoilt text."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from asking_support import asked, asked_json, invoked, refused
from nights_support import FAIR, GOOD, POOR, HandMade, outcome

from nightjar.core import NightStatus, StageContext
from nightjar.errors import ConfigError, NightjarError
from nightjar.promotion import Decision, Promoter, Question, Steward
from nightjar.registry import open_reader, tracking_uri
from nightjar.stages import EmbedDocuments
from nightjar.store import Store

pytestmark = pytest.mark.usefixtures("light_nights")


@pytest.fixture
def project(tmp_path: Path) -> HandMade:
    return HandMade(tmp_path / "project")


def alias(project: HandMade, name: str = "champion") -> int | None:
    reader = open_reader(tracking_uri(project.loaded.config.registry, project.loaded.artifacts_dir))
    found = reader.alias("night-words", name)
    return None if found is None else found.version


def test_the_first_night_promotes_and_the_second_has_nothing_to_do(project: HandMade) -> None:
    first = project.night()
    assert first.status is NightStatus.COMPLETED
    assert outcome(first) == "promoted"
    assert project.kinds == ["promoted", "accepted"]
    assert project.due() == []
    second = project.night()
    assert second.status is NightStatus.NOTHING_TO_DO
    assert outcome(second) == "unchanged"
    assert project.kinds == ["promoted", "accepted"]
    assert (project.champion, alias(project)) == (1, 1)


def test_a_then_b_then_a_ends_with_a_judged_and_promoted(begun: HandMade) -> None:
    begun.write_vectors(GOOD, seed=1)
    assert outcome(begun.night()) == "promoted"
    assert (begun.champion, alias(begun)) == (2, 2)
    begun.write_vectors(GOOD)
    assert begun.due() == []  # A's artifacts are there
    night = begun.night()
    assert outcome(night) == "promoted"
    assert (begun.champion, alias(begun)) == (1, 1)
    assert begun.due() == []
    assert outcome(begun.night()) == "unchanged"


def test_a_blocked_candidate_is_judged_once_and_stays_blocked(begun: HandMade) -> None:
    begun.write_vectors(POOR)
    assert outcome(begun.night()) == "blocked"
    n_events = len(begun.events)
    for _ in range(2):
        night = begun.night()
        assert night.status is NightStatus.NOTHING_TO_DO
        assert outcome(night) == "blocked"
    assert len(begun.events) == n_events
    assert (begun.champion, alias(begun), alias(begun, "challenger")) == (1, 1, 2)
    assert begun.due() == []


def test_why_is_about_what_the_last_night_decided(begun: HandMade) -> None:
    begun.write_vectors(POOR)
    begun.night()
    assert "as decided" not in asked(begun.path, "why", "words")
    begun.write_vectors(POOR, seed=1)
    begun.night()
    begun.write_vectors(POOR)
    assert outcome(begun.night()) == "blocked"
    said = asked(begun.path, "why", "words")
    assert "words version 4," in said  # version 2 was deleted, and its bytes are registered again
    assert "blocked in night 4, as decided in night 2: mean score" in said
    assert "candidate 4" in said
    found = json.loads(asked(begun.path, "why", "words", "--json"))
    assert (found["version"], found["decision"]["night"]) == (4, 2)
    last = found["last_night"]
    assert (last["night"], last["outcome"], last["repeats"]) == (4, "blocked", 2)
    begun.night("evaluation.bootstrap_samples=90")  # a trial decides nothing
    assert "blocked in night 4, as decided in night 2" in asked(begun.path, "why", "words")
    begun.write_vectors(GOOD)
    assert outcome(begun.night()) == "unchanged"
    said = asked(begun.path, "why", "words")
    assert "words version 1," in said
    assert "unchanged in night 6: version 1 is the champion" in said
    assert "promoted:" in said


def test_small_losses_do_not_add_up(begun: HandMade) -> None:
    """Each night loses less than allowed against the champion; the reference notices."""
    outcomes = []
    while "blocked" not in outcomes and len(outcomes) < 7:
        quality = 1 - 0.13 * (len(outcomes) + 1)
        begun.write_vectors(quality, seed=len(outcomes) + 1)
        outcomes.append(outcome(begun.night()))
    assert outcomes[0] == "promoted"
    assert outcomes[-1] == "blocked"


def test_a_block_names_the_consumers_and_has_an_exit_code_of_its_own(project: HandMade) -> None:
    project.document["consumers"] = {
        "search": {"uses": ["words"], "contact": "ann@example.com", "what": "queries"}
    }
    project.save()
    assert not any("search" in alarm for alarm in project.night().alarms)
    assert invoked(project.path, "run", "--fail-on-block").exit_code == 0
    project.write_vectors(POOR)
    night = project.night()
    assert outcome(night) == "blocked"
    keep = "words is blocked and its consumers keep the champion"
    assert f"{keep}: search (ann@example.com: queries)" in night.alarms
    assert "used by search (ann@example.com: queries)" in asked(project.path, "why", "words")
    assert invoked(project.path, "run").exit_code == 0
    again = invoked(project.path, "run", "--fail-on-block", "--json")
    assert again.exit_code == 3
    assert json.loads(again.stdout)["models"][0]["decision"] == "blocked"


def test_a_corpus_that_is_refused_has_the_same_exit_code(begun: HandMade) -> None:
    begun.write_text(2)
    night = begun.night()
    assert not night.accepted["text"]["is_accepted"]
    assert any("98.0% of the documents are lost" in alarm for alarm in night.alarms)
    assert invoked(begun.path, "run", "--fail-on-block").exit_code == 3


def test_mode_warn_promotes_what_fails_and_says_so(project: HandMade) -> None:
    project.document["registry"]["gate"]["mode"] = "warn"
    project.save()
    project.night()
    project.write_vectors(POOR)
    night = project.night()
    assert (outcome(night), project.champion) == ("promoted", 2)
    (alarm,) = (alarm for alarm in night.alarms if "mode: warn" in alarm)
    assert alarm.startswith("words: promoted against the gate (mode: warn): mean score")


def test_mode_approve_waits_and_judges_again_when_a_person_approves(project: HandMade) -> None:
    project.document["registry"]["gate"]["mode"] = "approve"
    project.save()
    assert outcome(project.night()) == "waiting"
    asked(project.path, "promote", "words", 1)
    project.write_vectors(FAIR, seed=2)
    assert outcome(project.night()) == "waiting"
    project.write_vectors(GOOD, seed=3)
    assert outcome(project.night()) == "waiting"
    event = asked_json(project.path, "promote", "words", 3)["event"]
    judged = event["evidence"]["judged_again"]
    assert (judged["outcome"], event["kind"]) == ("waiting", "approved")
    assert judged["champion_score"] == pytest.approx(1.0)
    assert project.champion == 3


def test_losing_words_blocks(begun: HandMade) -> None:
    lines = (begun.directory / "vectors.txt").read_text(encoding="utf-8").splitlines()
    (begun.directory / "vectors.txt").write_text("\n".join(lines[:-4]) + "\n", encoding="utf-8")
    night = begun.night()
    assert outcome(night) == "blocked"
    assert night.decisions[0]["reason"].endswith(
        "10.00% of the champion's words, by their counts, are lost, more than 5.00%"
    )


def test_words_cannot_be_lost_a_few_every_night(project: HandMade) -> None:
    """Two of forty each night, against the reference, which stays where it was."""
    project.document["registry"]["gate"]["max_coverage_lost"] = 1.0
    project.save()
    project.night()
    lines = (project.directory / "vectors.txt").read_text(encoding="utf-8").splitlines()
    found = []
    for kept in (38, 36, 34):
        text = "\n".join(lines[:kept]) + "\n"
        (project.directory / "vectors.txt").write_text(text, encoding="utf-8")
        night = project.night()
        found.append(outcome(night))
    assert found == ["promoted", "blocked", "blocked"]
    assert "15.00% of the reference's words" in night.decisions[0]["reason"]


def test_another_language_waits_for_a_person_and_stops_no_night(begun: HandMade) -> None:
    """The champion covers nothing of tonight's benchmark."""
    for name in ("vectors.txt", "pairs.tsv"):
        path = begun.directory / name
        path.write_text(path.read_text().replace("left", "links").replace("right", "rechts"))
    begun.document["registry"]["gate"]["max_vocabulary_lost"] = 1.0
    begun.save()
    for _ in range(2):
        night = begun.night()
        assert outcome(night) == "waiting"
        assert "nothing to compare with the champion (version 1)" in night.decisions[0]["reason"]
        assert "'nightjar promote words 2' promotes it" in night.decisions[0]["reason"]
        assert any("words keeps its champion: a person decides" in one for one in night.alarms)
    asked(begun.path, "promote", "words", "2")
    assert (begun.champion, begun.standing.model("words").reference.number) == (2, 2)
    assert outcome(begun.night()) == "unchanged"


def test_a_version_whose_vectors_are_gone_is_not_approved_unseen(project: HandMade) -> None:
    project.document["registry"]["gate"]["mode"] = "approve"
    project.save()
    night = project.night()
    assert outcome(night) == "waiting"
    candidate = night.decisions[0]["candidate"]["embeddings"]
    shutil.rmtree(project.loaded.artifacts_dir / "embeddings" / candidate)
    said = str(refused(project.path, "promote", "words", "1"))
    assert "its vectors are gone, so most rules cannot be checked" in said


def test_an_order_during_a_judgement_is_judged_anew(
    begun: HandMade, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun.write_vectors(GOOD, seed=1)
    begun.night()
    begun.write_vectors(GOOD, seed=2)
    judge, orders = Promoter.judge, []

    def ordered_first(self: Promoter, question: Question) -> Decision:
        if not orders:
            orders.append(Steward(begun.loaded, "a person").rebase("words"))
        return judge(self, question)

    monkeypatch.setattr(Promoter, "judge", ordered_first)
    assert outcome(begun.night()) == "promoted"
    assert begun.standing.model("words").reference.number == 2


def test_a_run_with_overrides_is_a_trial(begun: HandMade) -> None:
    begun.write_vectors(GOOD, "other.txt", seed=3)
    night = begun.night("models.words.path=other.txt")
    assert night.is_trial
    assert outcome(night) == "passed"
    assert not night.decisions[0]["is_promoted"]
    assert (begun.champion, alias(begun)) == (1, 1)
    reader = open_reader(tracking_uri(begun.loaded.config.registry, begun.loaded.artifacts_dir))
    assert [version.version for version in reader.versions("night-words")] == [1, 2]
    assert begun.kinds == ["promoted", "accepted"]
    promoted = begun.night("models.words.path=other.txt", promotes=True)
    assert promoted.decisions[0]["is_promoted"]
    assert (begun.champion, alias(begun)) == (2, 2)


def test_a_spoilt_night_is_not_accepted_and_promotes_nothing_trained_on_it(
    project: HandMade,
) -> None:
    project.document["models"]["cbow"] = {
        "trainer": "word2vec",
        "architecture": "cbow",
        "vector_size": 4,
        "min_count": 1,
        "epochs": 1,
    }
    project.document["registry"]["gate"]["margin"] = 2.0
    project.save()
    project.night()
    accepted = project.standing.corpora["text"][0]
    project.write_text(20)
    night = project.night()
    assert not night.accepted["text"]["is_accepted"]
    assert any("80.0% of the documents are lost" in alarm for alarm in night.alarms)
    assert outcome(night, "cbow") == "blocked"
    assert project.standing.corpora["text"][0] == accepted
    assert project.due() == []
    project.write_text(110)
    night = project.night()
    assert night.accepted["text"]["is_accepted"]
    assert outcome(night, "cbow") == "promoted"


def test_vectors_that_cannot_be_made_keep_no_other_index_from_new_documents(
    project: HandMade, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.document["document_vectors"] = {
        "whole": {"model": "words"},
        "broken": {"model": "words"},
    }
    project.save()
    project.night()
    before = project.standing.serving
    write = EmbedDocuments.write

    def failing(stage: EmbedDocuments, context: StageContext) -> None:
        if stage.subject == "broken":
            raise NightjarError("broken today")
        write(stage, context)

    monkeypatch.setattr(EmbedDocuments, "write", failing)
    for n_lines in (110, 120):
        project.write_text(n_lines)
        with pytest.raises(NightjarError, match="broken today"):
            project.night()
        accepted = project.standing.corpora["text"][0]
        assert accepted.amounts["documents"] == n_lines
        assert project.standing.serving["whole"].documents == accepted.documents.version
        assert project.standing.serving["broken"] == before["broken"]
        served = Store(project.loaded.artifacts_dir)
        assert served.is_published("documents", before["broken"].documents)
        assert project.due() == ["embed broken", "index broken"]
    monkeypatch.undo()
    project.night()
    accepted = project.standing.corpora["text"][0]
    assert {served.documents for served in project.standing.serving.values()} == {
        accepted.documents.version
    }
    assert project.due() == []


def test_a_changed_benchmark_file_is_scored_anew_for_both(begun: HandMade) -> None:
    pairs = begun.directory / "pairs.tsv"
    lines = pairs.read_text(encoding="utf-8").splitlines()
    pairs.write_text("\n".join(lines[:10]) + "\n", encoding="utf-8")
    begun.write_vectors(FAIR, seed=2)
    night = begun.night()
    evaluated = [step for step in night.steps if step.stage == "evaluation" and step.was_run]
    assert len(evaluated) == 2  # candidate and champion, on tonight's items
    assert night.decisions[0]["champion_score"] == pytest.approx(1.0)


def test_a_second_config_cannot_take_the_name(project: HandMade) -> None:
    project.night()
    other = project.directory / "other.yaml"
    shutil.copy(project.path, other)
    project.path, owner = other, project.path
    with pytest.raises(ConfigError, match=r"belongs to .*night\.yaml"):
        project.night()
    owner.unlink()
    assert project.night().status is NightStatus.NOTHING_TO_DO


def test_a_model_that_is_gone_keeps_its_champion_and_is_flagged(begun: HandMade) -> None:
    begun.document["models"] = {
        "others": {"trainer": "import", "path": "vectors.txt", "format": "glove"}
    }
    begun.save()
    night = begun.night()
    assert any("words is gone from the config" in alarm for alarm in night.alarms)
    assert begun.champion == 1


def test_nights_of_growing_text_leave_an_empty_plan_each(project: HandMade) -> None:
    for number in range(4):
        project.write_text(100 + 10 * number)
        project.night()
        assert project.due() == []
    assert len(project.standing.corpora["text"]) == 4


def test_two_corpora_in_one_config(tmp_path: Path) -> None:
    project = HandMade(tmp_path / "two")
    cbow = {
        "trainer": "word2vec",
        "architecture": "cbow",
        "vector_size": 4,
        "min_count": 1,
        "epochs": 1,
    }
    (project.directory / "more.txt").write_text("one two three.\nfour five six.\n" * 20, "utf-8")
    project.document["corpora"]["more"] = {
        "kind": "text",
        "sources": {"m": {"type": "text", "path": "more.txt", "document": "file"}},
        "tokenize": {"lowercase": False},
    }
    project.document["models"] = {
        "of-text": {**cbow, "corpus": "text"},
        "of-more": {**cbow, "corpus": "more"},
        "counted": {"trainer": "glove", "vector_size": 4, "min_count": 1, "corpus": "more"},
    }
    project.document["registry"]["gate"]["min_coverage"] = 0.0
    project.document["evaluation"]["benchmarks"]["more"] = {
        "type": "similarity",
        "path": "more.tsv",
    }
    (project.directory / "more.tsv").write_text("one\ttwo\t2\nfour\tsix\t1\none\tsix\t0\n", "utf-8")
    project.document["registry"]["gate"]["benchmarks"] = ["pairs"]
    for name in ("of-more", "counted"):
        project.document["models"][name]["gate_benchmarks"] = ["more"]
    project.document["document_vectors"] = {"texts": {"model": "of-text"}}
    project.save()
    night = project.night()
    labels = [step.label for step in night.steps if step.was_run]
    assert labels[:6] == [
        *("ingest text", "tokenize text", "report text"),
        *("ingest more", "tokenize more", "report more"),
    ]
    assert {entry["model"]: entry["outcome"] for entry in night.decisions} == {
        "of-text": "promoted",
        "of-more": "promoted",
        "counted": "promoted",
    }
    assert set(project.standing.corpora) == {"text", "more"}
    assert project.due() == []
    # Only what hangs on the changed corpus is due, and only its acceptance is in question.
    project.write_text(120)
    assert project.due()[:3] == ["ingest text", "tokenize text", "report text"]
    assert not [label for label in project.due() if "more" in label or "counted" in label]
    project.night()
    assert project.due() == []


def test_with_several_corpora_a_model_must_say_which(tmp_path: Path) -> None:
    project = HandMade(tmp_path / "two")
    project.document["corpora"]["more"] = project.document["corpora"]["text"]
    project.save()
    with pytest.raises(ConfigError, match=r"models\.words\.corpus is missing.*text, more"):
        project.due()
    project.document["models"]["words"]["corpus"] = "txt"
    project.save()
    with pytest.raises(ConfigError, match="did you mean 'text'"):
        project.due()
