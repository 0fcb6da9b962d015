"""Nights in a row: what is promoted, blocked, held and recorded, and where the aliases are."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from promotion_support import Pipeline, score, scores, served, write_config
from registry_support import World

from nightjar.config import load_config
from nightjar.errors import ForeignModel, LedgerDamaged, ModelFilesDamaged, StandingChanged
from nightjar.promotion import (
    Acceptance,
    ArtifactDigest,
    EventKind,
    Outcome,
    Promoter,
    ServedIndex,
    benchmark_scores,
    ledger_directory,
    read_standing,
)
from nightjar.registry.uris import sqlite_path
from nightjar.store import FileIdentity, Identity, Staging, publish


@pytest.fixture
def pipeline(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    return Pipeline.create(tmp_path, tmp_path_factory)


# -- one night after the other -----------------------------------------------------------------


def test_first_version_is_promoted_by_the_floors_and_is_the_reference(pipeline: Pipeline) -> None:
    first = pipeline.version("A")
    settled = pipeline.night(first)
    assert settled.is_promoted
    assert settled.event is not None
    assert (settled.event.kind, settled.event.old, settled.event.new) == (
        EventKind.PROMOTED,
        None,
        first,
    )
    assert (pipeline.alias(), pipeline.alias("challenger")) == (1, None)
    assert pipeline.mark() == "1"
    standing = pipeline.standing()
    assert (standing.champion, standing.reference) == (first, first)


def test_first_version_with_too_little_coverage_is_blocked(pipeline: Pipeline) -> None:
    first = pipeline.version("A")
    pipeline.evaluations[first.digest] = scores(0.5, coverage=0.29)
    assert pipeline.night(first).decision.outcome is Outcome.BLOCKED
    assert (pipeline.alias(), pipeline.alias("challenger")) == (None, 1)


def test_first_version_waits_where_the_config_says_so(pipeline: Pipeline) -> None:
    pipeline.config = write_config(pipeline.config.parent, first="wait")
    first = pipeline.version("A")
    settled = pipeline.night(first)
    assert settled.event is not None
    assert settled.event.kind is EventKind.WAITING
    assert (pipeline.alias(), pipeline.alias("challenger")) == (None, 1)
    assert pipeline.night(first, number=2).event is None
    pipeline.night(pipeline.version("B"), number=3)
    assert pipeline.kinds() == [("waiting", 1), ("superseded", 1), ("waiting", 2)]
    waiting = pipeline.standing().waiting
    assert waiting is not None
    assert waiting.new == pipeline.version("B")


def test_worse_version_is_blocked_and_the_champion_stays(pipeline: Pipeline) -> None:
    pipeline.night(pipeline.version("A", 0.5))
    settled = pipeline.night(pipeline.version("B", 0.4), number=2)
    assert settled.event is not None
    assert (settled.event.kind, settled.event.night) == (EventKind.BLOCKED, 2)
    assert settled.event.reason.startswith("mean score 0.4000 over wordsim353, simlex999 is 0.1000")
    numbers = settled.event.evidence["decision"]
    assert (numbers["score"], numbers["champion_score"]) == (0.4, 0.5)
    assert numbers["candidate"]["evaluation"]["wordsim353"]["items_sha256"] == "a" * 64
    assert numbers["gate"]["margin"] == 0.05
    assert (pipeline.alias(), pipeline.alias("challenger")) == (1, 2)


def test_verdict_is_on_the_versions_page_with_each_rule(pipeline: Pipeline) -> None:
    pipeline.night(pipeline.version("A", 0.5))
    pipeline.night(pipeline.version("B", 0.4), number=2)
    found = pipeline.client.get_model_version("night-w2v", "2")
    assert found.tags["nightjar.gate"] == "blocked"
    assert found.tags["nightjar.gate_reason"].startswith("mean score 0.4000 over wordsim353")
    assert found.tags["nightjar.gate.min_coverage"] == "holds: coverage 0.9000, required 0.3000"
    assert found.tags["nightjar.gate.champion"].startswith("fails: mean score 0.4000")
    assert "Gate: blocked in night 2: mean score 0.4000" in found.description
    assert "- min_coverage holds: coverage 0.9000" in found.description
    pipeline.evaluations[pipeline.version("B").digest] = scores(0.6)
    pipeline.night(pipeline.version("B"), number=3)
    found = pipeline.client.get_model_version("night-w2v", "2")
    assert found.tags["nightjar.gate"] == "promoted"
    assert found.description.count("Gate: ") == 1


REFUSED = """
CREATE TRIGGER refused BEFORE INSERT ON model_version_tags WHEN NEW.key = 'nightjar.gate_key'
BEGIN SELECT RAISE(ABORT, 'refused'); END
"""


def test_verdict_that_mlflow_refuses_is_on_the_page_after_the_next_night_of_another_candidate(
    pipeline: Pipeline,
) -> None:
    first, second = pipeline.version("A", 0.5), pipeline.version("B", 0.6)
    database = sqlite_path(pipeline.place.uri)
    assert database is not None
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(REFUSED)
        settled = pipeline.night(first, number=1)
        assert settled.is_promoted
        assert (
            "version 1 is in the ledger, but MLflow does not show all of it" in settled.left_to_do
        )
        assert pipeline.alias() == 1
        (alarm,) = pipeline.promoter().recover()
        assert alarm == settled.left_to_do
        assert "nightjar.gate" not in pipeline.registered(first).tags  # all of it or nothing
        connection.execute("DROP TRIGGER refused")
    settled = pipeline.night(second, number=2)
    assert settled.left_to_do == ""
    for version, event in zip((first, second), pipeline.events("w2v"), strict=True):
        assert pipeline.registered(version).tags["nightjar.gate_key"] == event.decision_key
    said = pipeline.client.get_model_version("night-w2v", "1").description
    assert "Gate: promoted in night 1" in said


def test_better_version_takes_over_and_is_challenger_no_more(pipeline: Pipeline) -> None:
    pipeline.night(pipeline.version("A", 0.5))
    pipeline.night(pipeline.version("B", 0.4))
    assert pipeline.alias("challenger") == 2
    pipeline.evaluations[pipeline.version("B").digest] = scores(0.6)
    assert pipeline.night(pipeline.version("B")).is_promoted
    assert (pipeline.alias(), pipeline.alias("challenger")) == (2, None)
    assert pipeline.standing().previous == (pipeline.version("A"),)


def test_a_then_b_then_a_again_ends_with_a_judged_against_b(pipeline: Pipeline) -> None:
    first, second = pipeline.version("A", 0.5), pipeline.version("B", 0.52)
    assert pipeline.night(first, number=1).is_promoted
    assert pipeline.night(second, number=2).is_promoted
    settled = pipeline.night(first, number=3)
    assert settled.is_promoted
    assert settled.event is not None
    assert (settled.event.old, settled.event.new) == (second, first)
    assert settled.decision.champion_score == pytest.approx(0.52)
    assert pipeline.kinds() == [("promoted", 1), ("promoted", 2), ("promoted", 1)]
    assert pipeline.alias() == 1
    assert pipeline.night(second, number=4).is_promoted  # the key of night 2, not of a blocked one
    assert pipeline.alias() == 2


def test_a_that_is_too_much_worse_than_b_is_blocked(pipeline: Pipeline) -> None:
    first, second = pipeline.version("A", 0.5), pipeline.version("B", 0.6)
    pipeline.night(first)
    pipeline.night(second)
    assert pipeline.night(first).decision.outcome is Outcome.BLOCKED
    assert (pipeline.alias(), pipeline.alias("challenger")) == (2, 1)


def test_night_with_the_champion_as_candidate_writes_nothing(pipeline: Pipeline) -> None:
    first = pipeline.version("A")
    pipeline.night(first)
    settled = pipeline.night(first, number=2)
    assert (settled.decision.outcome, settled.event) == (Outcome.UNCHANGED, None)
    assert pipeline.kinds() == [("promoted", 1)]


def test_same_question_is_answered_the_same_and_recorded_once(pipeline: Pipeline) -> None:
    champion, other = pipeline.version("A", 0.5), pipeline.version("B", 0.4)
    third = pipeline.version("C", 0.3)
    pipeline.night(champion)
    decisions = [pipeline.night(other).decision, pipeline.night(other, number=3).decision]
    assert decisions[0] == decisions[1]
    pipeline.night(third, number=4)
    assert pipeline.night(other, number=5).event is None  # not only the last one counts
    assert pipeline.kinds() == [("promoted", 1), ("blocked", 2), ("blocked", 3)]
    assert pipeline.alias("challenger") == 2  # the newest candidate all the same


def test_other_rules_ask_another_question(pipeline: Pipeline) -> None:
    pipeline.night(pipeline.version("A", 0.5))
    other = pipeline.version("B", 0.4)
    pipeline.night(other)
    pipeline.config = write_config(pipeline.config.parent, margin=0.07)
    assert pipeline.night(other).event is not None
    pipeline.config = write_config(pipeline.config.parent, margin=0.1)
    assert pipeline.night(other).is_promoted


def test_score_does_not_sink_night_by_night(pipeline: Pipeline) -> None:
    for night in range(1, 9):
        pipeline.night(pipeline.version(f"V{night}", 0.5 - 0.04 * (night - 1)), number=night)
    assert pipeline.alias() == 2
    assert pipeline.standing().reference == pipeline.version("V1")


def test_reference_follows_a_version_that_is_better_beyond_doubt(pipeline: Pipeline) -> None:
    pipeline.config = write_config(pipeline.config.parent, noise_prior=0.01)
    pipeline.night(pipeline.version("A", 0.5))
    pipeline.night(pipeline.version("B", 0.54))
    assert pipeline.standing().reference == pipeline.version("A")
    pipeline.night(pipeline.version("C", 0.61))
    assert pipeline.standing().reference == pipeline.version("C")


def test_benchmark_whose_file_changed_is_not_compared(pipeline: Pipeline) -> None:
    champion = pipeline.version("A", 0.9)
    pipeline.night(champion)
    candidate = pipeline.version("B")
    changed = {name: score(0.5, items="b" * 64) for name in ("wordsim353", "simlex999")}
    pipeline.evaluations[candidate.digest] = changed
    settled = pipeline.night(candidate)
    assert settled.decision.outcome is Outcome.WAITING
    assert (settled.decision.champion_score, pipeline.alias()) == (None, 1)
    pipeline.evaluations[champion.digest] = changed
    assert pipeline.night(candidate).is_promoted


def test_champion_that_cannot_be_scored_any_more_is_not_replaced_unseen(
    pipeline: Pipeline,
) -> None:
    champion = pipeline.version("A")
    pipeline.night(champion)
    pipeline.evaluations[champion.digest] = {}
    assert pipeline.night(pipeline.version("B", 0.9)).decision.outcome is Outcome.WAITING


def test_same_version_with_other_bytes_is_another_candidate(pipeline: Pipeline) -> None:
    first = pipeline.version("A")
    pipeline.night(first)
    other = pipeline.version("other bytes")
    assert replace(other, embeddings=first.embeddings) != first
    settled = pipeline.night(other)
    assert settled.is_promoted
    assert pipeline.alias() == 2


def test_trial_writes_nothing_and_moves_no_alias(pipeline: Pipeline) -> None:
    pipeline.night(pipeline.version("A", 0.5))
    settled = pipeline.night(pipeline.version("B", 0.9), is_trial=True)
    assert settled.decision.outcome is Outcome.PROMOTED
    assert (settled.event, settled.is_promoted) == (None, False)
    assert pipeline.kinds() == [("promoted", 1)]
    assert (pipeline.alias(), pipeline.alias("challenger")) == (1, None)


def test_veto_is_recorded_as_a_blocked_version(pipeline: Pipeline) -> None:
    pipeline.night(pipeline.version("A"))
    promoter = pipeline.promoter(2)
    question = replace(
        pipeline.question(pipeline.version("B", 0.9)), veto="half the corpus is gone"
    )
    settled = promoter.settle(question, promoter.judge(question))
    assert settled.event is not None
    assert (settled.event.kind, settled.event.reason) == (
        EventKind.BLOCKED,
        "half the corpus is gone",
    )


def test_question_about_another_champion_is_a_mistake(pipeline: Pipeline) -> None:
    pipeline.night(pipeline.version("A"))
    question = replace(pipeline.question(pipeline.version("B")), champion=None)
    with pytest.raises(StandingChanged, match="w2v got another champion by a run or command"):
        pipeline.promoter().judge(question)


# -- derived models ------------------------------------------------------------------------------


def test_derived_model_is_promoted_after_its_base(pipeline: Pipeline) -> None:
    glove = pipeline.version("G", model="glove")
    sif = pipeline.version("S", model="sif", base=glove.embeddings)
    assert pipeline.night(sif, "sif", base=glove).decision.outcome is Outcome.BLOCKED
    pipeline.night(glove, "glove")
    settled = pipeline.night(sif, "sif", base=glove)
    assert settled.is_promoted
    assert pipeline.alias(model="sif") == 1
    assert pipeline.kinds("sif") == [("blocked", 1), ("promoted", 1)]


def test_answer_to_the_same_question_names_the_base_as_it_is_registered_now(
    pipeline: Pipeline,
) -> None:
    glove = pipeline.version("G", model="glove")
    pipeline.night(glove, "glove")
    pipeline.night(pipeline.version("S", 0.5, model="sif"), "sif", base=glove)
    worse = pipeline.version("T", 0.3, model="sif")
    assert pipeline.night(worse, "sif", base=glove).decision.outcome is Outcome.BLOCKED
    pipeline.client.delete_model_version_tag("night-glove", "1", "nightjar.registration_key")
    again = pipeline.version("G", model="glove")
    assert (again.number, again.digest) == (2, glove.digest)
    pipeline.night(again, "glove")
    settled = pipeline.night(worse, "sif", base=again)
    assert settled.decision.base_champion == again
    assert settled.note == "as it was decided before"


def test_answer_to_the_same_question_names_the_versions_as_they_are_registered_now(
    pipeline: Pipeline,
) -> None:
    champion, other = pipeline.version("A", 0.5), pipeline.version("B", 0.4)
    pipeline.night(champion)
    before = pipeline.night(other, number=2).decision
    assert "(version 1)" in before.reason
    pipeline.client.delete_model_version_tag("night-w2v", "1", "nightjar.registration_key")
    again = pipeline.version("A", 0.5)
    assert (again.number, again.digest) == (3, champion.digest)
    pipeline.night(again, number=3)
    settled = pipeline.night(other, number=4)
    assert settled.decision.key == before.key
    assert "the champion's 0.5000 (version 3)" in settled.decision.reason
    assert (settled.event, settled.note) == (None, "as it was decided before")


def test_derived_model_of_a_blocked_base_is_blocked(pipeline: Pipeline) -> None:
    glove = pipeline.version("G", model="glove")
    pipeline.night(glove, "glove")
    pipeline.night(pipeline.version("S", model="sif"), "sif", base=glove)
    worse = pipeline.version("G2", 0.1, model="glove")
    pipeline.night(worse, "glove")
    settled = pipeline.night(pipeline.version("S2", 0.9, model="sif"), "sif", base=worse)
    assert settled.decision.outcome is Outcome.BLOCKED
    assert "glove has the champion version 1" in settled.decision.reason
    assert pipeline.alias(model="sif") == 1


# -- holds ---------------------------------------------------------------------------------------


def test_held_model_is_judged_and_recorded_but_not_promoted(pipeline: Pipeline) -> None:
    pipeline.night(pipeline.version("A", 0.5))
    pipeline.steward().hold("w2v", "audit")
    better = pipeline.version("B", 0.6)
    settled = pipeline.night(better)
    assert (settled.decision.outcome, settled.is_promoted) == (Outcome.PROMOTED, False)
    assert settled.event is not None
    assert settled.event.reason.startswith("held: audit. It would pass: mean score 0.6000")
    assert pipeline.night(better).event is None
    pipeline.night(pipeline.version("C", 0.1))
    assert pipeline.kinds()[1:] == [("held", 1), ("waiting", 2), ("blocked", 3)]
    assert pipeline.alias() == 1
    pipeline.steward().resume("w2v")
    assert pipeline.night(better).is_promoted
    assert pipeline.standing().waiting is None


# -- the alias, moved by hand ----------------------------------------------------------------------


def test_alias_moved_by_hand_raises_an_alarm_and_holds_the_model(pipeline: Pipeline) -> None:
    pipeline.night(pipeline.version("A", 0.5))
    pipeline.version("B", 0.1)
    pipeline.client.set_registered_model_alias("night-w2v", "champion", "2")
    (alarm,) = pipeline.promoter().recover()
    assert alarm == (
        "night-w2v: the alias champion was moved by hand: it points to version 2, but the ledger "
        "says to version 1 (event 1). The model is held until 'nightjar adopt w2v' (the alias is "
        "right) or 'nightjar repair w2v' (the ledger is)"
    )
    assert pipeline.promoter().recover() == [alarm]  # every night, recorded once
    assert pipeline.kinds() == [("promoted", 1), ("held", 1)]
    settled = pipeline.night(pipeline.version("C", 0.9))
    assert not settled.is_promoted
    assert pipeline.alias() == 2


def test_alias_deleted_by_hand_holds_the_model(pipeline: Pipeline) -> None:
    pipeline.night(pipeline.version("A"))
    pipeline.client.delete_registered_model_alias("night-w2v", "champion")
    (alarm,) = pipeline.promoter().recover()
    assert "it points nowhere, but the ledger says to version 1" in alarm


def test_champion_deleted_by_hand_holds_the_model(pipeline: Pipeline) -> None:
    pipeline.night(pipeline.version("A"))
    pipeline.client.delete_model_version("night-w2v", "1")
    (alarm,) = pipeline.promoter().recover()
    assert "it points nowhere" in alarm


def test_registered_model_deleted_by_hand_holds_the_model(pipeline: Pipeline) -> None:
    pipeline.night(pipeline.version("A"))
    pipeline.client.delete_registered_model("night-w2v")
    (alarm,) = pipeline.promoter().recover()
    assert "it points nowhere" in alarm
    assert pipeline.promoter().recover() == [alarm]


def test_alias_set_by_hand_before_the_first_night_holds_the_model(pipeline: Pipeline) -> None:
    pipeline.version("A")
    pipeline.client.set_registered_model_alias("night-w2v", "champion", "1")
    (alarm,) = pipeline.promoter().recover()
    assert "it points to version 1, but the ledger says nowhere." in alarm


def test_alias_that_was_moved_back_by_hand_is_told(pipeline: Pipeline) -> None:
    pipeline.night(pipeline.version("A"))
    pipeline.version("B")
    pipeline.client.set_registered_model_alias("night-w2v", "champion", "2")
    pipeline.promoter().recover()
    pipeline.client.set_registered_model_alias("night-w2v", "champion", "1")
    (alarm,) = pipeline.promoter().recover()
    assert "it points to version 1 (event 1) again" in alarm


def test_nothing_moved_nothing_said(pipeline: Pipeline) -> None:
    assert pipeline.promoter().recover() == []
    pipeline.night(pipeline.version("A"))
    assert pipeline.promoter().recover() == []
    assert pipeline.kinds() == [("promoted", 1)]


# -- whose model it is ---------------------------------------------------------------------------


def test_other_ledger_of_the_same_registry_is_refused(pipeline: Pipeline, tmp_path: Path) -> None:
    pipeline.night(pipeline.version("A"))
    uri = pipeline.place.uri
    other = tmp_path / "other"
    other.mkdir()
    path = write_config(other)
    text = path.read_text().replace("registry:\n", f"registry:\n  tracking_uri: {uri}\n")
    path.write_text(text)
    with pytest.raises(ForeignModel, match="night-w2v belongs to another pipeline directory"):
        Promoter(load_config(path), "ann").recover()
    assert not (ledger_directory(load_config(path)) / "000001.parquet").exists()


def test_lost_ledger_is_refused(pipeline: Pipeline) -> None:
    pipeline.night(pipeline.version("A"))
    shutil.rmtree(pipeline.ledger.directory)
    with pytest.raises(ForeignModel, match=r"the ledger below .* is none yet"):
        pipeline.promoter().recover()


def test_ledger_that_lost_its_end_is_damaged(pipeline: Pipeline) -> None:
    pipeline.night(pipeline.version("A"))
    pipeline.night(pipeline.version("B", 0.6))
    (pipeline.ledger.directory / "000002.parquet").unlink()
    with pytest.raises(LedgerDamaged, match=r"ends with event 1, but night-w2v was moved by event"):
        pipeline.promoter().recover()


def test_candidate_whose_files_are_damaged_is_not_promoted(pipeline: Pipeline) -> None:
    pipeline.night(pipeline.version("A"))
    candidate = pipeline.version("B", 0.9)
    lookup = pipeline.folder(candidate) / "artifacts" / "lookup" / "vectors.npy"
    lookup.write_bytes(lookup.read_bytes()[::-1])
    with pytest.raises(ModelFilesDamaged, match=r"was changed\. It is not promoted; run again"):
        pipeline.night(candidate)
    assert (pipeline.kinds(), pipeline.alias()) == ([("promoted", 1)], 1)
    assert pipeline.version("B") == replace(candidate, number=3)  # registered anew


def test_command_between_judging_and_settling_wins(pipeline: Pipeline) -> None:
    first, second = pipeline.version("A", 0.5), pipeline.version("B", 0.5)
    pipeline.night(first)
    pipeline.night(second)
    promoter = pipeline.promoter(3)
    question = pipeline.question(pipeline.version("C", 0.9))
    decision = promoter.judge(question)
    pipeline.steward().rollback("w2v")
    settled = promoter.settle(question, decision)
    assert settled.event is None
    assert settled.note == "not recorded: meanwhile a command changed what it depends on"
    assert pipeline.alias() == 1


def test_hold_between_judging_and_settling_is_kept(pipeline: Pipeline) -> None:
    pipeline.night(pipeline.version("A", 0.5))
    promoter = pipeline.promoter(2)
    question = pipeline.question(pipeline.version("B", 0.9))
    decision = promoter.judge(question)
    pipeline.steward().hold("w2v", "wait")
    settled = promoter.settle(question, decision)
    assert settled.event is not None
    assert (settled.event.kind, pipeline.alias()) == (EventKind.WAITING, 1)


# -- accepted nights, and what readers see -----------------------------------------------------


def acceptance(version: str, n_documents: int = 3) -> Acceptance:
    artifacts = {
        stage: ArtifactDigest(f"{stage}-{version}", version) for stage in ("documents", "tokens")
    }
    return Acceptance(
        "reviews", artifacts, {"documents": n_documents, "tokens": 70}, "nothing lost"
    )


def test_accepted_night_is_recorded_once(pipeline: Pipeline) -> None:
    event = pipeline.promoter(4).accept(acceptance("a"))
    assert event is not None
    assert (event.kind, event.subject, event.night) == (EventKind.ACCEPTED, "reviews", 4)
    assert pipeline.promoter(5).accept(acceptance("a")) is None
    assert pipeline.promoter(6).accept(acceptance("b", 5)) is not None
    nights = pipeline.promoter().standing().corpora["reviews"]
    assert [(night.night, night.amounts["documents"]) for night in nights] == [(6, 5), (4, 3)]
    assert nights[0].documents == ArtifactDigest("documents-b", "b")


def test_new_documents_are_searched_with_the_champion_while_a_candidate_is_blocked(
    pipeline: Pipeline,
) -> None:
    champion = pipeline.version("A", 0.5)
    pipeline.night(champion, number=1)
    assert pipeline.promoter().standing().serving == served(champion, 1)
    pipeline.night(pipeline.version("B", 0.1), number=2)
    assert pipeline.promoter(2).accept(acceptance("b"), served(champion, 2)) is not None
    assert pipeline.promoter().standing().serving == served(champion, 2)
    assert pipeline.promoter(3).accept(acceptance("b"), served(champion, 2)) is None
    assert pipeline.promoter(4).accept(acceptance("b"), served(champion, 3)) is not None


def test_index_of_a_champion_that_a_command_replaced_is_left_out(pipeline: Pipeline) -> None:
    first, second = pipeline.version("A", 0.5), pipeline.version("B", 0.5)
    pipeline.night(first, number=1)
    pipeline.night(second, number=2)
    pipeline.steward().rollback("w2v")
    encoder = ServedIndex("d3", "v3", "i3")
    event = pipeline.promoter(3).accept(
        acceptance("c"), {**served(second, 3), "by-encoder": encoder}
    )
    assert event is not None
    assert event.serving == {"by-encoder": encoder}


def test_readers_do_not_see_a_promotion_whose_alias_has_not_moved(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = pipeline.version("A", 0.5)
    pipeline.night(first, number=1)

    class KilledError(BaseException):
        pass

    def dies(*args: object) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr("nightjar.promotion.applying.Desk.apply", dies)
        with pytest.raises(KilledError):
            pipeline.night(pipeline.version("B", 0.6), number=2)
    before = read_standing(pipeline.loaded)
    assert before.model("w2v").champion == first
    assert before.serving == served(first, 1)
    assert (pipeline.alias(), pipeline.mark()) == (1, "1")  # readers repair nothing
    assert pipeline.promoter(3).recover() == []
    after = read_standing(pipeline.loaded)
    assert after.model("w2v").champion == pipeline.version("B")
    assert after.serving == served(pipeline.version("B"), 2)


def test_readers_follow_the_ledger_when_the_alias_was_moved_by_hand(pipeline: Pipeline) -> None:
    pipeline.night(pipeline.version("A"))
    pipeline.version("B")
    pipeline.client.set_registered_model_alias("night-w2v", "champion", "2")
    assert read_standing(pipeline.loaded).model("w2v").champion == pipeline.version("A")


def test_readers_of_a_pipeline_without_a_ledger_find_nothing(pipeline: Pipeline) -> None:
    assert read_standing(pipeline.loaded).models == {}
    assert not pipeline.ledger.directory.exists()


# -- what it costs -------------------------------------------------------------------------------

NOTHING_DUE = """
import sys
sys.path.insert(0, "tests")
from pathlib import Path
from nightjar.config import load_config
from nightjar.promotion import BenchmarkScore, Contender, Promoter, Question, read_standing
from nightjar.registry import RegistryPlace, find_registered

loaded = load_config(Path(sys.argv[1]))
promoter = Promoter(loaded, "night", 2)
assert promoter.recover() == []
champion = promoter.standing().model("w2v").champion
reader = RegistryPlace.of(loaded.config.registry, loaded.artifacts_dir).reader()
assert find_registered(reader, "night-w2v", champion.digest) is None  # made without registering
score = BenchmarkScore(0.5, 0.9, "similarity", "x", "share", "y")
scores = {name: score for name in ("wordsim353", "simlex999")}
contender = Contender(champion, scores)
question = Question("w2v", contender, contender, contender, loaded.config.registry.gate)
settled = promoter.settle(question, promoter.judge(question))
assert settled.event is None
assert read_standing(loaded).model("w2v").champion == champion
heavy = {"mlflow", "pandas", "sqlalchemy", "prefect", "gensim", "numba", "scipy"}
print(sorted(heavy & set(sys.modules)))
"""


def test_night_with_nothing_due_imports_no_mlflow(pipeline: Pipeline) -> None:
    pipeline.night(pipeline.version("A"))
    done = subprocess.run(
        [sys.executable, "-c", NOTHING_DUE, str(pipeline.config)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[1],
    )
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


# -- what is asked of artifacts --------------------------------------------------------------------


def test_scores_come_with_the_items_that_they_are_of(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    world = World.create(tmp_path, tmp_path_factory)
    plain = world.request(0.5, 0.3, n_covered=80).evaluation
    rows = plain.read("scores")
    answers = {"wordsim353": score(0.5, 0.8).answers, "simlex999": score(0.3, 0.8).answers}

    def write(staging: Staging) -> None:
        staging.write("scores", rows)
        tables = [found.as_table(name) for name, found in answers.items() if found is not None]
        staging.write("answers", pa.concat_tables(tables))
        staging.report["answers"] = {
            name: found.sha256() for name, found in answers.items() if found is not None
        }

    identity = Identity(
        "evaluation",
        "w2v",
        config={
            "benchmarks": {
                "wordsim353": {"type": "similarity"},
                "simlex999": {"type": "similarity"},
            }
        },
        inputs=[
            FileIdentity(f"{name}/{name}.tsv", 3, name[0] * 64)
            for name in ("wordsim353", "simlex999")
        ],
    )
    evaluation = world.store.open(publish(world.artifacts_dir, identity, write))
    found = benchmark_scores(evaluation, ["wordsim353"])
    kind = {"settings": '{"type": "similarity"}', "metric": "spearman"}
    assert found == {
        "wordsim353": replace(score(0.5, 0.8, "w" * 64), **kind),
        "simlex999": replace(score(0.3, 0.8, "s" * 64), **kind),
    }
    read = found["wordsim353"].answers
    assert read is not None
    assert read.sha256() == found["wordsim353"].answers_sha256
    assert found["simlex999"].answers is None
