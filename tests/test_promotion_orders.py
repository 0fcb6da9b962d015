"""What a person orders: the way back, pins, holds, aliases moved by hand; and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from promotion_support import MODELS, Pipeline, served, write_config
from typer.testing import CliRunner

from nightjar.cli.promotion_commands import app
from nightjar.errors import (
    BenchmarkError,
    ForeignModel,
    ModelFilesDamaged,
    NightjarError,
    PromotionRefused,
)
from nightjar.promotion import Decision, Outcome, Serving, Steward, VersionRef, ledger_directory
from nightjar.registry import RegisteredVersion


@pytest.fixture
def pipeline(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    return Pipeline.create(tmp_path, tmp_path_factory)


@pytest.fixture(scope="module")
def after_three(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """A, B and C became champion one after the other. Read only."""
    made = Pipeline.create(tmp_path_factory.mktemp("three"), tmp_path_factory)
    for night, (key, value) in enumerate((("A", 0.5), ("B", 0.52), ("C", 0.54)), start=1):
        made.night(made.version(key, value), number=night)
    return made


@pytest.fixture
def three(after_three: Pipeline, tmp_path: Path) -> Pipeline:
    """A copy of it, free to change."""
    return after_three.copied(tmp_path)


@pytest.fixture(autouse=True)
def judged_again(monkeypatch: pytest.MonkeyPatch) -> list[Decision | NightjarError]:
    """What the gate says about a version that a person approves: nothing, unless a test does."""
    answers: list[Decision | NightjarError] = []
    monkeypatch.setattr(
        "nightjar.pipeline.judging.judge_again",
        lambda *_: answered(answers),
    )
    return answers


def answered(answers: list[Decision | NightjarError]) -> Decision | None:
    found = answers[0] if answers else None
    if isinstance(found, NightjarError):
        raise found
    return found


def ask(pipeline: Pipeline, *arguments: object) -> str:
    """What a command prints, as a person sees it."""
    done = CliRunner().invoke(
        app, [*map(str, arguments), "--config", str(pipeline.config)], env={"COLUMNS": "300"}
    )
    if done.exception is not None:
        raise done.exception
    assert done.exit_code == 0
    return done.output


def ask_json(pipeline: Pipeline, *arguments: object) -> Any:
    return json.loads(ask(pipeline, *arguments, "--json"))


def refused(pipeline: Pipeline, *arguments: object, exit_code: int = 2) -> str:
    """Why a command is refused; it wrote nothing."""
    before = (pipeline.events(), pipeline.alias())
    with pytest.raises(NightjarError) as caught:
        ask(pipeline, *arguments)
    assert caught.value.exit_code == exit_code
    assert (pipeline.events(), pipeline.alias()) == before
    return str(caught.value)


# -- rollback ---------------------------------------------------------------------------------


def test_rollback_brings_back_the_champion_before_and_holds_the_model(three: Pipeline) -> None:
    said = ask(three, "rollback", "w2v", "--reason", "users complain")
    assert "rolled_back" in said
    assert "3 -> 2" in said
    assert "users complain" in said
    assert "w2v is held: nights promote nothing until 'nightjar resume w2v'" in said
    assert (three.alias(), three.standing().champion) == (2, three.version("B"))
    settled = three.night(three.version("C"), number=4)
    assert (settled.is_promoted, three.alias()) == (False, 2)
    ask(three, "rollback", "w2v")
    assert three.alias() == 1
    assert "has no earlier champion to roll back to" in refused(three, "rollback", "w2v")
    ask(three, "resume", "w2v")
    assert three.night(three.version("C"), number=5).is_promoted


def test_rollback_to_an_earlier_champion(three: Pipeline) -> None:
    event = ask_json(three, "rollback", "w2v", "--to", 1)["event"]
    assert (event["kind"], event["old"]["number"], event["new"]["number"]) == ("rolled_back", 3, 1)
    assert event["actor"]
    assert event["night"] is None
    assert three.alias() == 1
    assert three.standing().previous == ()


def test_rollback_makes_its_version_the_reference(pipeline: Pipeline) -> None:
    for key, value in (("A", 0.5), ("B", 0.6), ("C", 0.62)):
        pipeline.night(pipeline.version(key, value))
    assert pipeline.standing().reference == pipeline.version("C")
    pipeline.steward().rollback("w2v")
    assert pipeline.standing().reference == pipeline.version("B")
    pipeline.steward().rollback("w2v")
    assert pipeline.standing().reference == pipeline.version("A")


def test_rollback_to_what_was_never_champion_is_refused(three: Pipeline) -> None:
    three.version("D")
    assert "version 4 is no earlier champion; those are 2, 1" in refused(
        three, "rollback", "w2v", "--to", 4
    )
    assert "version 3 is no earlier champion" in refused(three, "rollback", "w2v", "--to", 3)


def test_rollback_to_damaged_files_is_refused_and_says_what_is_whole(three: Pipeline) -> None:
    shutil.rmtree(three.folder(three.version("B")))
    said = refused(three, "rollback", "w2v", exit_code=1)
    assert "night-w2v version 2" in said
    assert "roll back to instead (--to): version 1" in said
    ask(three, "rollback", "w2v", "--to", 1)
    assert three.alias() == 1


def test_rollback_to_a_version_that_is_gone_is_refused(three: Pipeline) -> None:
    three.client.delete_model_version("night-w2v", "2")
    assert "night-w2v has no version 2" in refused(three, "rollback", "w2v")


def test_rollback_of_a_base_warns_about_what_was_made_from_it(pipeline: Pipeline) -> None:
    bases = [pipeline.version(key, model="glove") for key in ("G1", "G2")]
    for number, base in enumerate(bases, start=1):
        pipeline.night(base, "glove", number=number)
        made = pipeline.version(f"S{number}", model="sif", base=base.embeddings)
        pipeline.night(made, "sif", base=base, number=number)
    assert pipeline.alias(model="sif") == 2
    notes = ask_json(pipeline, "rollback", "glove")["notes"]
    assert notes[1] == (
        f"sif version 2 was made from another version of glove ({bases[1].embeddings}, not "
        f"{bases[0].embeddings}): 'nightjar rollback sif --to 1' brings back the one that fits"
    )
    ask(pipeline, "rollback", "sif", "--to", "1")
    assert pipeline.alias(model="sif") == 1


# -- promote ----------------------------------------------------------------------------------


def test_waiting_version_is_approved(pipeline: Pipeline) -> None:
    pipeline.config = write_config(pipeline.config.parent, first="wait")
    first = pipeline.version("A")
    pipeline.night(first)
    event = ask_json(pipeline, "promote", "w2v", 1)["event"]
    assert (event["kind"], event["old"], event["new"]["number"]) == ("approved", None, 1)
    assert (pipeline.alias(), pipeline.alias("challenger")) == (1, None)
    standing = pipeline.standing()
    assert (standing.waiting, standing.reference) == (None, first)
    assert pipeline.night(first).decision.outcome is Outcome.UNCHANGED


def test_version_that_waits_is_judged_again_when_it_is_approved(
    pipeline: Pipeline, judged_again: list[Decision | NightjarError]
) -> None:
    pipeline.config = write_config(pipeline.config.parent, mode="approve")
    assert pipeline.night(pipeline.version("A", 0.5)).decision.outcome is Outcome.WAITING
    ask(pipeline, "promote", "w2v", 1)
    settled = pipeline.night(pipeline.version("B", 0.52))
    assert settled.decision.outcome is Outcome.WAITING
    assert settled.decision.reason.startswith("a person approves it (mode: approve): mean score")
    worse = replace(settled.decision, outcome=Outcome.BLOCKED, reason="worse than version 9")
    judged_again.append(worse)
    said = refused(pipeline, "promote", "w2v", 2)
    assert "version 2 does not pass the gate now: worse than version 9" in said
    judged_again[0] = settled.decision
    event = ask_json(pipeline, "promote", "w2v", 2)["event"]
    assert (event["kind"], event["actor"] != "") == ("approved", True)
    assert event["evidence"]["judged_again"]["key"] == settled.decision.key
    assert pipeline.alias() == 2


def test_small_losses_that_are_approved_add_up(
    pipeline: Pipeline, judged_again: list[Decision | NightjarError]
) -> None:
    """A person approves each night; the gate still counts from the first champion."""
    pipeline.config = write_config(pipeline.config.parent, mode="approve")
    outcomes = []
    for night, score in enumerate((0.5, 0.47, 0.44, 0.41), 1):
        settled = pipeline.night(pipeline.version(f"V{night}", score), number=night)
        judged_again[:] = [settled.decision]
        outcomes.append(settled.decision.outcome)
        if settled.decision.outcome is Outcome.WAITING:
            ask(pipeline, "promote", "w2v", night)
    assert outcomes == [Outcome.WAITING, Outcome.WAITING, Outcome.BLOCKED, Outcome.BLOCKED]
    assert (pipeline.alias(), pipeline.standing().reference) == (2, pipeline.version("V1"))
    ask(pipeline, "promote", "w2v", 4, "--force", "--reason", "the new corpus is harder")
    assert pipeline.standing().reference == pipeline.version("V4")


def test_a_version_that_waited_once_is_judged_all_the_same(
    pipeline: Pipeline, judged_again: list[Decision | NightjarError]
) -> None:
    pipeline.night(pipeline.version("A", 0.5))
    pipeline.config = write_config(pipeline.config.parent, mode="approve")
    waited = pipeline.night(pipeline.version("B", 0.5)).decision
    pipeline.night(pipeline.version("C", 0.5))
    assert pipeline.kinds()[-2:] == [("superseded", 2), ("waiting", 3)]
    judged_again.append(replace(waited, outcome=Outcome.BLOCKED, reason="worse by now"))
    assert "version 2 does not pass the gate now" in refused(pipeline, "promote", "w2v", 2)


def test_a_version_that_was_blocked_and_passes_by_now_needs_no_force(
    pipeline: Pipeline, judged_again: list[Decision | NightjarError]
) -> None:
    """A sentence encoder is blocked until the model that it is made from is promoted."""
    passed = pipeline.night(pipeline.version("A", 0.5)).decision
    pipeline.night(pipeline.version("B", 0.3))
    judged_again.append(passed)
    assert ask_json(pipeline, "promote", "w2v", 2)["event"]["kind"] == "approved"


def test_scores_do_not_excuse_a_corpus_that_is_not_accepted(
    pipeline: Pipeline, judged_again: list[Decision | NightjarError]
) -> None:
    passed = pipeline.night(pipeline.version("A", 0.5)).decision
    question = replace(pipeline.question(pipeline.version("B", 0.5)), veto="half of it is gone")
    promoter = pipeline.promoter()
    promoter.settle(question, promoter.judge(question))
    judged_again.append(passed)
    assert "was blocked: half of it is gone" in refused(pipeline, "promote", "w2v", 2)


def test_what_cannot_be_judged_can_be_forced(
    pipeline: Pipeline, judged_again: list[Decision | NightjarError]
) -> None:
    pipeline.night(pipeline.version("A", 0.5))
    pipeline.night(pipeline.version("B", 0.3))
    judged_again.append(BenchmarkError("a benchmark is gone"))
    assert "a benchmark is gone" in refused(pipeline, "promote", "w2v", 2)
    ask(pipeline, "promote", "w2v", 2, "--force", "--reason", "another language")
    assert pipeline.kinds()[-1] == ("forced", 2)


def test_blocked_version_needs_force_and_a_reason(pipeline: Pipeline) -> None:
    pipeline.night(pipeline.version("A", 0.5))
    pipeline.night(pipeline.version("B", 0.3))
    for more in ((), ("--force",), ("--reason", "new corpus")):
        said = refused(pipeline, "promote", "w2v", 2, *more)
        assert "version 2 was blocked: mean score 0.3000" in said
        assert "give --force and --reason TEXT" in said
    said = ask(pipeline, "promote", "w2v", 2, "--force", "--reason", "new corpus")
    assert "forced" in said
    assert "new corpus" in said
    assert pipeline.alias() == 2
    assert pipeline.standing().reference == pipeline.version("B")  # a person has chosen it
    assert pipeline.night(pipeline.version("C", 0.3)).is_promoted


def test_blocked_bytes_that_were_registered_again_need_force_all_the_same(
    pipeline: Pipeline,
) -> None:
    pipeline.night(pipeline.version("A", 0.5))
    pipeline.night(pipeline.version("B", 0.3))
    pipeline.client.delete_model_version_tag("night-w2v", "2", "nightjar.registration_key")
    assert pipeline.version("B").number == 3
    assert "version 3 was blocked" in refused(pipeline, "promote", "w2v", 3)


def test_version_that_no_night_judged_needs_force(pipeline: Pipeline) -> None:
    pipeline.night(pipeline.version("A", 0.5))
    pipeline.version("B")
    assert "version 2 has not been judged by any night" in refused(pipeline, "promote", "w2v", 2)
    ask(pipeline, "promote", "w2v", 2, "--force", "--reason", "trial was fine")
    assert pipeline.kinds()[-1] == ("forced", 2)


def test_earlier_champion_can_be_promoted_again_without_force(three: Pipeline) -> None:
    ask(three, "rollback", "w2v")
    said = ask(three, "promote", "w2v", 3)
    assert "w2v stays held (rolled back to version 2)" in said
    assert three.kinds()[-1] == ("approved", 3)
    assert three.standing().previous == (three.version("B"), three.version("A"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("promote", "w2v", 3), "w2v version 3 is the champion already"),
        (("promote", "w2v", 77), "night-w2v has no version 77; 'nightjar versions' lists"),
        (("promote", "w2w", 1), "neither pipeline_config.yaml nor the ledger has such a model; "),
        (("rollback", "w2w"), "did you mean 'w2v'?"),
        (("unpin", "w2v", 1), "w2v version 1 is not pinned; pinned versions: none"),
        (("retire", "w2v"), "w2v is in pipeline_config.yaml: the next night would promote it"),
        (("adopt", "w2v"), "points to version 3, as the ledger says; there is nothing to adopt"),
        (("repair", "w2v"), "points to version 3, as the ledger says; there is nothing to repair"),
        (("why", "w2v", 9), "no night has judged it and no command named it; the ledger knows"),
        (("why", "glove"), "glove: no night has judged a version of it yet"),
        (("history", "nobody"), "has no such model or corpus yet"),
    ],
)
def test_what_is_refused(three: Pipeline, arguments: tuple[object, ...], said: str) -> None:
    assert said in refused(three, *arguments)


@pytest.mark.parametrize("command", ["promote", "pin"])
def test_version_whose_files_are_not_whole_is_refused(three: Pipeline, command: str) -> None:
    (three.folder(three.version("A")) / "artifacts/lookup/vectors.npy").write_bytes(b"cut")
    said = refused(three, command, "w2v", 1, exit_code=1)
    assert "vectors.npy has 3 bytes instead of 64. Its files must be whole" in said


def test_version_made_by_hand_is_refused(three: Pipeline) -> None:
    three.client.create_model_version("night-w2v", "/by/hand")
    said = refused(three, "promote", "w2v", 4, "--force", "--reason", "x")
    assert "night-w2v version 4 was not registered by Nightjar" in said


# -- what is searched -------------------------------------------------------------------------


def test_index_switches_in_the_event_that_changes_the_champion(three: Pipeline) -> None:
    asked: list[tuple[str, int]] = []

    def prepare(model: str, version: RegisteredVersion) -> Serving:
        asked.append((model, version.version))
        return served(VersionRef.of(version), 9)

    steward = Steward(three.loaded, "ann", prepare)
    change = steward.rollback("w2v")
    assert change.event is not None
    assert change.event.serving == served(three.version("B"), 9)
    assert three.promoter().standing().serving == served(three.version("B"), 9)
    steward.pin("w2v", 1)
    steward.hold("w2v")
    assert asked == [("w2v", 2)]


def test_champion_that_changes_while_the_index_is_made_is_kept(three: Pipeline) -> None:
    def prepare(model: str, version: RegisteredVersion) -> Serving:
        three.night(three.version("D", 0.56), number=4)  # another command would wait for this one
        return {}

    with pytest.raises(PromotionRefused, match="was changed by another run or command meanwhile"):
        Steward(three.loaded, "ann", prepare).rollback("w2v")
    assert three.alias() == 4


def test_failure_of_the_index_leaves_the_champion(three: Pipeline) -> None:
    def prepare(model: str, version: RegisteredVersion) -> Serving:
        raise ModelFilesDamaged("no documents")

    with pytest.raises(ModelFilesDamaged):
        Steward(three.loaded, "ann", prepare).rollback("w2v")
    assert (three.alias(), len(three.events())) == (3, 3)


# -- pins and holds ---------------------------------------------------------------------------


def test_pins(three: Pipeline) -> None:
    ask(three, "pin", "w2v", 1)
    assert three.standing().pins == (three.version("A"),)
    assert ask_json(three, "pin", "w2v", 1)["event"] is None
    ask(three, "pin", "w2v", 3)
    assert three.standing().reference == three.version("C")  # a pin only keeps files
    assert "version 3 stays the reference" in ask(three, "unpin", "w2v", 3)
    assert three.standing().reference == three.version("C")
    assert three.standing().pins == (three.version("A"),)


def test_rebase_chooses_the_reference(three: Pipeline) -> None:
    event = ask_json(three, "rebase", "w2v", 1, "--reason", "audited")["event"]
    assert (event["kind"], event["new"]["number"], event["reason"]) == ("rebased", 1, "audited")
    standing = three.standing()
    assert (standing.reference, standing.champion) == (three.version("A"), three.version("C"))
    assert "version 1 is the reference already" in ask(three, "rebase", "w2v", 1)
    assert three.night(three.version("D", 0.46)).decision.outcome is Outcome.BLOCKED
    ask(three, "rebase", "w2v")
    assert three.standing().reference == three.version("C")
    assert "no champion to measure against" in refused(three, "rebase", "glove")


def test_hold_and_resume(three: Pipeline) -> None:
    ask(three, "hold", "w2v", "--reason", "audit")
    assert three.standing().hold_reason == "audit"
    assert ask_json(three, "hold", "w2v")["notes"] == ["w2v is held already: audit"]
    ask(three, "resume", "w2v")
    assert not three.standing().is_held
    assert ask_json(three, "resume", "w2v") == {"event": None, "notes": ["w2v is not held"]}


def test_model_that_was_never_judged_can_be_held(pipeline: Pipeline) -> None:
    ask(pipeline, "hold", "glove", "--reason", "not yet")
    settled = pipeline.night(pipeline.version("G", model="glove"), "glove")
    assert not settled.is_promoted


# -- the end ----------------------------------------------------------------------------------


def test_model_gone_from_the_config_keeps_its_champion_until_it_is_retired(
    three: Pipeline,
) -> None:
    others = {name: entry for name, entry in MODELS.items() if name != "w2v"}
    three.config = write_config(three.config.parent, others)
    assert three.promoter().recover() == []
    assert three.alias() == 3
    standing = three.promoter().standing()
    assert standing.gone(three.loaded.config.models) == ("w2v",)
    assert "w2v is gone from the config but keeps its champion" in ask(three, "history")
    ask(three, "rollback", "w2v")  # commands work for it
    ask(three, "retire", "w2v")
    assert (three.alias(), three.alias("challenger")) == (None, None)
    standing = three.promoter().standing()
    assert standing.gone(three.loaded.config.models) == ()
    assert standing.model("w2v").roots(9) == ()
    assert three.promoter().recover() == []
    assert ask_json(three, "retire", "w2v")["notes"] == ["w2v is retired already"]
    assert "retired" in ask(three, "history", "w2v")


def test_retired_model_that_comes_back_starts_anew(three: Pipeline) -> None:
    others = {name: entry for name, entry in MODELS.items() if name != "w2v"}
    config = three.config
    three.config = write_config(config.parent, others)
    ask(three, "retire", "w2v")
    three.config = write_config(config.parent)
    settled = three.night(three.version("D", 0.1), number=9)
    assert settled.is_promoted
    assert settled.decision.reason.startswith("first champion")


# -- an alias that was moved by hand ----------------------------------------------------------


def by_hand(pipeline: Pipeline, number: int | None) -> None:
    if number is None:
        pipeline.client.delete_registered_model_alias("night-w2v", "champion")
    else:
        pipeline.client.set_registered_model_alias("night-w2v", "champion", str(number))


@pytest.mark.parametrize("is_noticed", [True, False])
def test_adopt_makes_the_alias_right(three: Pipeline, is_noticed: bool) -> None:
    by_hand(three, 1)
    if is_noticed:
        assert len(three.promoter().recover()) == 1
    ask(three, "adopt", "w2v")
    standing = three.standing()
    assert (standing.champion, standing.is_held) == (three.version("A"), False)
    assert (three.alias(), three.promoter().recover()) == (1, [])
    assert [kind for kind, _ in three.kinds()][3:] == ["held", "adopted"]


@pytest.mark.parametrize("is_noticed", [True, False])
@pytest.mark.parametrize("place", [1, None])
def test_repair_moves_the_alias_back(three: Pipeline, is_noticed: bool, place: int | None) -> None:
    by_hand(three, place)
    if is_noticed:
        assert len(three.promoter().recover()) == 1
    ask(three, "repair", "w2v")
    standing = three.standing()
    assert (standing.champion, standing.is_held) == (three.version("C"), False)
    assert (three.alias(), three.promoter().recover()) == (3, [])
    assert [kind for kind, _ in three.kinds()][3:] == ["held", "resumed"]


def test_hold_of_a_person_outlasts_the_repair(three: Pipeline) -> None:
    ask(three, "hold", "w2v", "--reason", "audit")
    by_hand(three, 1)
    assert "w2v stays held (audit)" in ask(three, "repair", "w2v")
    assert three.standing().is_held


@pytest.mark.parametrize(
    "arguments",
    [
        ("rollback", "w2v"),
        ("promote", "w2v", 1),
    ],
)
def test_champion_is_not_changed_while_the_alias_is_disputed(
    three: Pipeline, arguments: tuple[object, ...]
) -> None:
    by_hand(three, 1)
    three.promoter().recover()
    said = refused(three, *arguments)
    assert "'nightjar adopt w2v' (the alias is right) or 'nightjar repair w2v'" in said


def test_resume_does_not_end_a_dispute(three: Pipeline) -> None:
    by_hand(three, 1)
    three.promoter().recover()
    assert "'nightjar repair w2v'" in refused(three, "resume", "w2v")


def test_adopt_a_deleted_champion_then_roll_back(three: Pipeline) -> None:
    three.client.delete_model_version("night-w2v", "3")
    assert len(three.promoter().recover()) == 1
    assert "night-w2v version 3 is gone from the registry" in refused(three, "repair", "w2v")
    ask(three, "adopt", "w2v")
    assert three.standing().champion is None
    assert three.promoter().recover() == []
    ask(three, "rollback", "w2v", "--to", 2)
    assert three.alias() == 2


def test_alias_on_a_version_that_is_not_ours_is_not_adopted(three: Pipeline) -> None:
    three.client.create_model_version("night-w2v", "/by/hand")
    by_hand(three, 4)
    assert "version 4 was not registered by Nightjar" in refused(three, "adopt", "w2v")
    ask(three, "repair", "w2v")
    assert three.alias() == 3


def test_champion_set_by_hand_before_the_first_night_is_adopted(pipeline: Pipeline) -> None:
    first = pipeline.version("A", 0.5)
    by_hand(pipeline, 1)
    ask(pipeline, "adopt", "w2v")
    standing = pipeline.standing()
    assert (standing.champion, standing.reference) == (first, first)
    assert pipeline.night(pipeline.version("B", 0.2)).decision.outcome is Outcome.BLOCKED


def test_alias_set_by_hand_before_the_first_night_is_taken_away_by_repair(
    pipeline: Pipeline,
) -> None:
    pipeline.version("A")
    by_hand(pipeline, 1)
    ask(pipeline, "repair", "w2v")
    assert pipeline.alias() is None
    assert pipeline.promoter().recover() == []


# -- another ledger ---------------------------------------------------------------------------


def test_lost_ledger_is_replaced_by_taking_over(three: Pipeline) -> None:
    shutil.rmtree(ledger_directory(three.loaded))
    with pytest.raises(
        ForeignModel, match="'nightjar adopt MODEL --take-over' moves the model to this one"
    ):
        three.promoter().recover()
    ask(three, "adopt", "w2v", "--take-over")
    standing = three.standing()
    assert (standing.champion, standing.is_held) == (three.version("C"), False)
    assert (three.alias(), three.promoter().recover()) == (3, [])
    assert three.night(three.version("D", 0.6)).is_promoted


def test_model_without_a_champion_can_be_taken_over(pipeline: Pipeline) -> None:
    pipeline.version("A")
    shutil.rmtree(ledger_directory(pipeline.loaded))
    with pytest.raises(ForeignModel):
        pipeline.promoter().recover()
    notes = ask_json(pipeline, "adopt", "w2v", "--take-over")["notes"]
    assert notes == ["night-w2v belongs to this pipeline directory now"]
    assert pipeline.promoter().recover() == []
    assert pipeline.night(pipeline.version("A")).is_promoted


# -- what is shown ----------------------------------------------------------------------------


def test_history_shows_events_and_how_things_stand(three: Pipeline) -> None:
    three.night(three.version("D", 0.1), number=4)
    said = ask(three, "history", "w2v")
    for expected in ("none -> 1", "1 -> 2", "2 -> 3", "blocked", "mean score 0.1000"):
        assert expected in said
    assert [line.split()[:3] for line in said.splitlines()][-1] == ["w2v", "3", "3"]
    shown = ask_json(three, "history", "w2v", "--limit", 2)
    assert [event["number"] for event in shown["events"]] == [3, 4]
    assert shown["n_events"] == 4
    assert shown["models"]["w2v"] == {
        "champion": 3,
        "reference": 3,
        "previous": [2, 1],
        "pinned": [],
        "waiting": None,
        "anchors": [],
        "is_held": False,
        "hold_reason": "",
        "is_in_conflict": False,
        "is_retired": False,
        "is_gone_from_config": False,
    }
    assert "2 older events are not shown (--limit)" in ask(three, "history", "--limit", 2)


def test_history_of_nothing(pipeline: Pipeline) -> None:
    nothing = {"models": {}, "alarms": [], "events": [], "n_events": 0}
    assert ask_json(pipeline, "history") == nothing


def test_why_shows_the_decision_with_its_scores_and_what_came_after(three: Pipeline) -> None:
    ask(three, "rollback", "w2v", "--reason", "complaints")
    said = ask(three, "why", "w2v", 3)
    for expected in (
        "w2v version 3",
        "promoted: mean score 0.5400 over wordsim353, simlex999 is 0.0200 above the champion's",
        "candidate 3",
        "champion 2",
        "reference 2",
        "min_coverage",
        "a drop of 0.0500 below the champion is found nine times in ten",
        "0.5400",
        "0.5200",
        "90.0%",
    ):
        assert expected in said
    shown = ask_json(three, "why", "w2v", 2)
    assert [event["kind"] for event in shown["events"]] == ["promoted", "rolled_back"]
    assert shown["decision"]["number"] == 2


def test_why_without_a_version_is_about_the_last_one_judged(three: Pipeline) -> None:
    three.night(three.version("D", 0.1))
    shown = ask_json(three, "why", "w2v")
    assert (shown["version"], shown["decision"]["kind"]) == (4, "blocked")


def test_why_of_bytes_that_were_registered_again(three: Pipeline) -> None:
    blocked = three.version("D", 0.1)
    three.night(blocked)
    (three.folder(blocked) / "files.json").unlink()
    found = three.registered(blocked)
    three.client.delete_model_version_tag("night-w2v", "4", "nightjar.registration_key")
    again = three.version("D")
    assert (again.number, again.digest, found.version) == (5, blocked.digest, 4)
    assert three.night(again).event is None  # the same question
    assert ask_json(three, "why", "w2v", 5)["decision"]["kind"] == "blocked"


def test_what_comes_from_data_is_no_markup_and_no_control_character(pipeline: Pipeline) -> None:
    pipeline.night(pipeline.version("A"))
    reason = "[bold]x[/bold] \x1b[31mred\x1b[0m\nnext [link=http://x]y[/link]"
    ask(pipeline, "hold", "w2v", "--reason", reason)
    for said in (ask(pipeline, "history"), ask(pipeline, "history", "w2v")):
        assert "[bold]x[/bold] \\x1b[31mred\\x1b[0m\\nnext [link=http://x]y[/link]" in said
        assert "\x1b" not in said
    assert ask_json(pipeline, "history")["events"][1]["reason"] == reason


def test_every_command_has_help_and_json() -> None:
    names = [command.name or command.callback.__name__ for command in app.registered_commands]  # type: ignore[union-attr]
    assert names == [
        "history", "why", "promote", "rollback", "pin", "rebase", "noise", "unpin", "hold",
        "resume", "retire", "adopt", "repair",
    ]  # fmt: skip
    for name in names:
        said = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"}).output
        assert "--config" in said
        assert "--json" in said
        help_lines = [line.strip() for line in said.splitlines() if line.strip()]
        assert len(help_lines[1]) > 40, said


def test_json_says_nothing_else_on_standard_output(three: Pipeline) -> None:
    done = CliRunner().invoke(app, ["rollback", "w2v", "--json", "--config", str(three.config)])
    assert json.loads(done.stdout)["event"]["kind"] == "rolled_back"
    assert done.stderr == ""


# -- many versions ----------------------------------------------------------------------------


COMMANDS: Mapping[str, tuple[object, ...]] = {
    "history": ("history", "w2v"),
    "why": ("why", "w2v"),
    "rollback": ("rollback", "w2v"),
    "pin": ("pin", "w2v", 1),
    "hold": ("hold", "w2v"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_read_the_versions_that_they_are_about_and_no_other(
    three: Pipeline, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """What a command takes must not grow with the number of registered versions."""

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def listing(*args: Any, **values: Any) -> Any:
            raise AssertionError(f"{real.__qualname__} reads every version")

        return listing

    from nightjar.registry.client import ClientReader  # noqa: PLC0415
    from nightjar.registry.readers import SqliteReader  # noqa: PLC0415

    for reader in (SqliteReader, ClientReader):
        monkeypatch.setattr(reader, "versions", counted(reader.versions))
    ask(three, *COMMANDS[name])
