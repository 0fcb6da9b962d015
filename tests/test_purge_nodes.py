"""A person's right to erasure in a graph: what is left of a node, what comes next."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from graph_support import Edge, batches_of, graph_config
from kinds_support import KindsProject
from stage_support import context_of

from nightjar.cli import lookups
from nightjar.config import GraphCorpusConfig
from nightjar.core.stage import Erased, Eraser, Fate
from nightjar.errors import InputError
from nightjar.pipeline.answerers import Answerers
from nightjar.pipeline.retention import PurgeRequest, collect, purge
from nightjar.progress import SILENT
from nightjar.promotion import Steward, read_standing
from nightjar.sources.purge_list import PurgeList
from nightjar.sources.rejections import digest_of
from nightjar.stages.graph.erasing_nodes import erase_from_graph, erase_from_walks, nodes_of
from nightjar.stages.graph.graph_building import build_graph
from nightjar.stages.graph.walks_writing import write_walks
from nightjar.store import Artifact, Identity, Staging, Store, publish, rewrite, schemas

WHO = "secret person"


EDGES = [(f"n{a}", f"n{b}", 1.0 + a) for a in range(12) for b in range(a, 12) if (a * b) % 3 != 1]


def published(
    root: Path, config: GraphCorpusConfig, rows: list[Edge], name: str = "g"
) -> tuple[Artifact, Artifact]:
    """The graph of ``rows`` and the walks over it, as the stages publish them."""

    def write_graph(staging: Staging) -> None:
        build_graph(config, batches_of(rows), staging, SILENT)
        staging.write("quarantine", schemas.QUARANTINE_SCHEMA.empty_table())

    store = Store(root)
    graph = store.open(publish(root, Identity(schemas.GRAPH, name, {}), write_graph))
    settings = config.walks.model_dump(mode="json")
    identity = Identity(schemas.TOKENS, name, settings, parents={schemas.GRAPH: graph.ref.version})
    write = lambda staging: write_walks(config, graph, context_of(staging))  # noqa: E731
    return graph, store.open(publish(root, identity, write))


def erase(artifact: Artifact, eraser: Eraser, erased: Erased) -> Artifact:
    store = Store(Path(artifact.directory).parents[1])
    rewriting = eraser(store, artifact, erased)
    assert not isinstance(rewriting, Fate)
    rewrite(artifact, rewriting)
    return store.open(artifact.ref)


def erased_from(graph: Artifact, *names: str) -> Erased:
    digests = frozenset(map(digest_of, names))
    found = {graph.ref.version: nodes_of(graph, digests)}
    return Erased(frozenset(), nodes={graph.manifest.name: digests}, node_names=found)


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_what_is_left_is_the_graph_without_the_node(
    tmp_path: Path, directed: bool, weighted: bool
) -> None:
    config = graph_config(weighted, directed=directed, self_loops="keep", held_out=0.2)
    rows: list[Edge] = [edge if weighted else edge[:2] for edge in EDGES]
    graph, _ = published(tmp_path, config, rows)
    without: list[Edge] = [edge for edge in rows if "n7" not in edge]
    expected, _ = published(tmp_path, config, without, "other")
    left = erase(graph, erase_from_graph, erased_from(graph, "n7"))
    for table in (schemas.NODES, schemas.EDGES, schemas.HELD_OUT):
        assert left.read(table).to_pylist() == expected.read(table).to_pylist()
    counts, others = left.manifest.counts, expected.manifest.counts
    same = ("nodes", "edges", "held_out", "isolated_nodes", "nodes_no_edge_leaves")
    assert [counts[name] for name in same] == [others[name] for name in same]
    assert counts["edges_purged"] == len(rows) - len(without)
    assert left.manifest.report["most_edges"] == expected.manifest.report["most_edges"]


def test_a_graph_of_which_no_edge_is_left_is_deleted(tmp_path: Path) -> None:
    graph, walks = published(tmp_path, graph_config(), [("hub", "a"), ("hub", "b")])
    erased = erased_from(graph, "hub")
    assert erase_from_walks(Store(tmp_path), walks, erased) is Fate.DELETED
    assert erase_from_graph(Store(tmp_path), graph, erased) is Fate.DELETED


def test_what_is_left_of_walks_visits_nobody_who_is_gone(tmp_path: Path) -> None:
    config = graph_config(walks={"per_node": 20, "length": 4})
    graph, walks = published(tmp_path, config, [edge[:2] for edge in EDGES])

    def visited(artifact: Artifact) -> list[tuple[str, int, list[str]]]:
        names = artifact.read("vocabulary").column("token").to_pylist()
        rows = artifact.read("sentences").to_pylist()
        named = ([names[one] for one in row["token_ids"]] for row in rows)
        return [(row["doc_id"], row["sentence"], w) for row, w in zip(rows, named, strict=True)]

    every = visited(walks)
    expected = [walk for walk in every if "n7" not in walk[2]]
    assert 0 < len(expected) < len(every)
    left = erase(walks, erase_from_walks, erased_from(graph, "n7"))
    assert visited(left) == expected
    visits = Counter(name for *_, walk in expected for name in walk)
    meeting = Counter(name for *_, walk in expected for name in set(walk))
    vocabulary = left.read("vocabulary").to_pylist()
    assert [(row["token"], row["count"], row["n_documents"]) for row in vocabulary] == [
        (name, n, meeting[name]) for name, n in sorted(visits.items(), key=lambda x: (-x[1], x[0]))
    ]
    counts = left.manifest.counts
    assert (counts["sentences"], counts["tokens"]) == (len(expected), visits.total())
    assert counts["walks_purged"] == len(every) - len(expected)


def make_project(directory: Path) -> KindsProject:
    """Two rings of nodes; a person who knows some of both, and rows of theirs that are no edge."""
    project = KindsProject(directory)
    document = project.document
    del document["corpora"]["clicks"], document["evaluation"]["benchmarks"]["next"]
    document["registry"]["gate"]["benchmarks"] = ["links"]
    document["models"] = {"nodes": {"trainer": "prone", "vector_size": 8, "space": "aligned"}}
    project.save()
    with (directory / "met.csv").open("a", encoding="utf-8") as file:
        file.writelines(f"{WHO},{node}\n{node + 20},{WHO}\n" for node in range(6))
        file.write(f"{WHO},\n{WHO},{WHO}\n")
    return project


def places_of(project: KindsProject, word: str) -> list[str]:
    """Artifacts with ``word`` in a table, and other files with it as it is."""
    root = project.loaded.artifacts_dir
    found = [
        str(path.relative_to(root))
        for path in sorted(root.rglob("*"))
        if path.is_file() and word.encode() in path.read_bytes()
    ]
    store = Store(root)
    for artifact in (store.open(ref) for stage in store.stages() for ref in store.versions(stage)):
        names = {entry.name.split("/")[0] for entry in artifact.manifest.files if entry.columns}
        tables = (artifact.read(name.removesuffix(".parquet")) for name in names)
        if any(word in str(table.to_pylist()) for table in tables):
            found.append(str(artifact.ref))
    return found


def test_a_purged_node_is_gone_once_the_models_that_knew_it_are(tmp_path: Path) -> None:
    """A first night, the purge, two nights without the node, and the orders that the purge named.

    The anchor, the reference and the rollback target were trained with it.
    """
    project = make_project(tmp_path / "project")
    project.night(promotes=True)
    loaded = project.loaded
    stages = {place.partition("/")[0] for place in places_of(project, WHO)}
    assert {"graph", "tokens", "row_shards", "corpus_report", "embeddings"} <= stages
    result = purge(loaded, PurgeRequest((WHO,), None, "test", "asked"))
    assert (result.n_erased, result.what) == (1, "node")
    assert result.swept.places == ("met: met.csv",)
    assert result.retrain == ("nodes",)
    assert all(found.is_certain for found in result.trained)
    left = {place.partition("/")[0] for place in places_of(project, WHO)}
    assert left <= {"embeddings", "raw_embeddings", "mlflow"}
    assert lookups.verify(loaded, None, False).problems == ()
    assert WHO not in PurgeList.read(loaded.pipeline_dir, "people").path.read_text("utf-8")
    assert {"read graph", "walk", "report", "factorize nodes"} <= set(project.due())

    night = project.night(promotes=True)
    graph = Answerers(loaded).corpus_stage(Answerers(loaded).corpus("people"), schemas.GRAPH)
    assert WHO not in graph.read(schemas.NODES).column("node").to_pylist()
    quarantine = graph.read("quarantine").to_pylist()
    theirs = [row for row in quarantine if row["reason"] == "purged"]
    assert len(theirs) == 2 * 6 + 2  # also the loop, and the row that names nobody else
    assert {(row["detail"], row["excerpt"]) for row in theirs} == {("", "")}
    assert [decision["outcome"] for decision in night.decisions] == ["promoted"]
    assert project.due() == []
    champion = read_standing(loaded).model("nodes").champion
    assert champion is not None
    vectors = Store(loaded.artifacts_dir).open(
        Store(loaded.artifacts_dir).ref(schemas.EMBEDDINGS, champion.embeddings)
    )
    assert WHO not in vectors.read("vectors", ["token"]).column("token").to_pylist()

    steward = Steward(loaded, "test")
    steward.rebase("nodes")
    steward.rebase("nodes", of_space=True)
    project.document["keep"] = {"rollback_versions": 0, "trials": 0}
    project.save()
    assert project.due() == []  # a moved anchor makes nothing due
    collect(project.loaded)
    assert places_of(project, WHO) == []
    with pytest.raises(InputError, match="no kept edge of people is of this node"):
        purge(loaded, PurgeRequest(("nobody",), None, "test"))
