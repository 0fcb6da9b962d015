"""Corpora of nodes and of items go whole nights: plan, acceptance, gate, record, retention."""

from __future__ import annotations

from pathlib import Path

import pytest
from kinds_support import N_NODES, N_USERS, KindsProject
from nights_support import outcome

from nightjar.cli import lookups
from nightjar.cli.corpora_asked import TwoNights, compare_documents, report_corpus
from nightjar.core import Night, NightStatus
from nightjar.errors import ConfigError, InputError
from nightjar.pipeline import make_plan
from nightjar.pipeline.answerers import Answerers
from nightjar.pipeline.reporting import compare_nights, page_path
from nightjar.pipeline.reporting.night_facts import read_facts
from nightjar.pipeline.retention import PurgeRequest, collect, purge
from nightjar.promotion import read_standing
from nightjar.store import Artifact, Store

OF_NODES = ["read graph people", "walk people", "report people", "train nodes", "evaluate nodes"]
OF_ITEMS = [
    *("read events clicks", "sessionize clicks", "report clicks"),
    *("train items", "evaluate items"),
]


class Nights:
    """Four nights: the first, nothing due, new rows, and spoilt sources."""

    def __init__(self, project: KindsProject) -> None:
        self.project = project
        self.due_first = project.due()
        self.first = project.night()
        self.idle = project.night()
        project.write_edges("known2.edges", range(20, 60))
        self.due_after_edges = project.due()
        project.write_events("clicks2.csv", range(N_USERS, N_USERS + 30))
        self.grown = project.night()
        self.report = report_corpus(project.loaded, "people", TwoNights())
        (project.directory / "known2.edges").unlink()
        project.write_edges("known1.edges", range(12))
        self.spoilt = project.night()


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Nights:
    return Nights(KindsProject(tmp_path_factory.mktemp("kinds")))


def ran(night: Night) -> list[str]:
    return sorted(step.label for step in night.steps if step.was_run)


def components(nights: Nights) -> int:
    """Groups of nodes of the grown graph that know each other, counted by hand."""
    loaded = nights.project.loaded
    store = Store(loaded.artifacts_dir)
    graph = store.open(store.ref("graph", nights.grown.accepted["people"]["versions"]["graph"]))
    group = list(range(graph.rows("nodes")))
    for edge in graph.read("edges").to_pylist():
        one, other = group[edge["source"]], group[edge["target"]]
        group = [one if found == other else found for found in group]
    return len(set(group))


def test_everything_is_due_once_and_then_what_has_new_rows(nights: Nights) -> None:
    assert sorted(nights.due_first) == ran(nights.first) == sorted(OF_NODES + OF_ITEMS)
    assert nights.idle.status is NightStatus.NOTHING_TO_DO
    assert sorted(nights.due_after_edges) == sorted(OF_NODES)
    assert [outcome(nights.first, model) for model in ("nodes", "items")] == ["promoted"] * 2


def graphs(nights: Nights, *of: Night) -> list[Artifact]:
    store = Store(nights.project.loaded.artifacts_dir)
    versions = [night.accepted["people"]["versions"]["graph"] for night in of]
    return [store.open(store.ref("graph", version)) for version in versions]


def test_what_is_accepted_is_counted_by_name(nights: Nights) -> None:
    accepted = read_standing(nights.project.loaded).corpora
    amounts = {
        corpus: [dict(night.amounts) for night in found] for corpus, found in accepted.items()
    }
    # Without a fifth that is held out: two edges between the rings; the third row is a loop, the
    # fourth has no source.
    assert amounts["people"] == [{"nodes": 60, "edges": 102}, {"nodes": 40, "edges": 70}]
    held_out = [graph.rows("held_out") for graph in graphs(nights, nights.first, nights.grown)]
    assert held_out == [82 - 70, 122 - 102]
    assert [found["items"] for found in amounts["clicks"]] == [20, 20]
    verdict = nights.first.accepted["people"]
    assert verdict["nodes"] == N_NODES
    assert verdict["edges"] == 70
    assert set(verdict["versions"]) == {"graph", "tokens"}


def test_a_champion_is_judged_on_tonights_items(nights: Nights) -> None:
    """Version 1 was registered with the score on the first graph, and judged on the second."""
    store = Store(nights.project.loaded.artifacts_dir)
    graph = nights.grown.accepted["people"]["versions"]["graph"]
    (decision,) = [one for one in nights.grown.decisions if one["model"] == "nodes"]
    steps = [step for step in nights.grown.steps if step.label == "evaluate nodes"]
    manifests = [store.open(store.ref(step.stage, step.version)).manifest for step in steps]
    assert {found.parents["graph"] for found in manifests} == {graph}
    assert {found.parents["embeddings"] for found in manifests} == {
        decision["candidate"]["embeddings"],
        decision["champion"]["embeddings"],
    }
    first = nights.first.decisions[0]["score"]
    assert decision["champion_score"] != first


def test_a_spoilt_graph_is_not_accepted_and_its_model_blocked(nights: Nights) -> None:
    night = nights.spoilt
    assert not night.accepted["people"]["is_accepted"]
    assert night.accepted["clicks"]["is_accepted"]
    assert outcome(night, "nodes") == "blocked"
    (alarm,) = [text for text in night.alarms if "is not accepted" in text]
    assert "of the nodes are lost (16 of 60), more than corpora.people.accept.max_nodes" in alarm
    standing = read_standing(nights.project.loaded)
    champion = standing.model("nodes").champion
    assert champion is not None
    (decision,) = [one for one in nights.grown.decisions if one["model"] == "nodes"]
    assert champion.embeddings == decision["candidate"]["embeddings"]
    assert standing.corpora["people"][0].night == nights.grown.number


def test_reports_pages_and_differences_speak_of_nodes_and_events(nights: Nights) -> None:
    loaded = nights.project.loaded
    assert nights.report.figures["nodes"] == 60
    assert nights.report.figures["components"] == components(nights)
    assert "known" in nights.report.page
    before, after = (read_facts(loaded, night) for night in (nights.first, nights.grown))
    figures = {
        found.corpus: {what: (old, new) for what, old, new in found.figures}
        for found in compare_nights(before, after).corpora
    }
    assert figures["people"]["nodes"] == (40, 60)
    assert figures["people"]["in quarantine"] == (1, 1)
    assert figures["clicks"]["items"] == (20, 20)
    assert after.corpora["people"].as_json()["graph"] == after.corpora["people"].source
    page = page_path(loaded, nights.grown.number).read_text(encoding="utf-8")
    assert "Edges of each source" in page
    assert "Events of each source" in page


def test_everything_is_whole_and_what_is_needed_is_kept(nights: Nights) -> None:
    loaded = nights.project.loaded
    assert lookups.verify(loaded, None, False).problems == ()
    collect(loaded)
    assert make_plan(loaded).due == ()
    accepted = read_standing(loaded).corpora
    store = Store(loaded.artifacts_dir)
    for corpus in ("people", "clicks"):
        for night in accepted[corpus][:2]:
            for stage, found in night.artifacts.items():
                assert store.is_published(stage, found.version)
    asked = Answerers(loaded).corpus("people")
    assert Answerers(loaded).corpus_stage(asked, "graph").rows("nodes") == 60


def test_questions_about_documents_say_what_to_ask_instead(nights: Nights) -> None:
    loaded = nights.project.loaded
    with pytest.raises(InputError, match=r"may be in people and clicks: choose the corpus"):
        purge(loaded, PurgeRequest(("5",), None, "test", ""))
    with pytest.raises(InputError, match=r"people has no documents to compare; 'nightjar diff"):
        compare_documents(loaded, "people", TwoNights(), None, None)
    with pytest.raises(ConfigError, match=r"no model of a corpus of kind text"):
        Answerers(loaded).entry(None)


def test_silent_sources_are_told_of(tmp_path: Path) -> None:
    project = KindsProject(tmp_path)
    project.document["corpora"].pop("clicks")
    project.document["models"].pop("items")
    project.document["evaluation"]["benchmarks"].pop("next")
    project.document["registry"]["gate"]["benchmarks"] = ["links"]
    project.save()
    project.night()
    (tmp_path / "met.csv").write_text("from,to\n", encoding="utf-8")
    night = project.night()
    assert any("the source met gives no edge, and gave 3" in alarm for alarm in night.alarms)
