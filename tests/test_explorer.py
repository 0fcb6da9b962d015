"""The explorer: what its pages say, what its address means, what it refuses."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import PROJECT_ROOT
from explorer_support import HOSTILE, WORDS, Explored, make_explored, vectors
from lookup_support import lookup_model, random_matrix
from nights_support import GOOD, POOR, HandMade
from registry_support import World
from sharing_support import shared

dash = pytest.importorskip("dash", reason="needs the extra 'explore'")

from nightjar.config import load_config  # noqa: E402
from nightjar.drawing import labels  # noqa: E402 (after the check for the extra)
from nightjar.errors import InputError  # noqa: E402
from nightjar.explorer import level_of_detail  # noqa: E402
from nightjar.explorer.app import changed, draw, make_app, suggestions, window  # noqa: E402
from nightjar.explorer.jobs import Jobs, Pending  # noqa: E402
from nightjar.explorer.library import Library  # noqa: E402
from nightjar.explorer.moved import moved_words  # noqa: E402
from nightjar.explorer.pages.elements import Screen  # noqa: E402
from nightjar.explorer.placement import open_map  # noqa: E402
from nightjar.explorer.prefixes import PrefixIndex  # noqa: E402
from nightjar.explorer.server import protect  # noqa: E402
from nightjar.explorer.view import Box, View, read_view  # noqa: E402
from nightjar.files.harmless_text import plotly_text, visible  # noqa: E402
from nightjar.scoring.scores import main_scores, read_scores  # noqa: E402
from nightjar.store import Store, schemas  # noqa: E402


@pytest.fixture(scope="module")
def explored(tmp_path_factory: pytest.TempPathFactory) -> Explored:
    return shared(tmp_path_factory, "explored", make_explored)


@pytest.fixture(scope="module")
def library(explored: Explored) -> Library:
    return Library(load_config(explored.config, []))


def page(library: Library, address: str) -> str:
    """The text of a page that is finished, with every address and value in it."""
    path, _, search = address.partition("?")
    for _ in range(100):
        components, is_finished = draw(library, read_view(path, search), Screen())
        if is_finished:
            return json.dumps(dash.html.Div(components).to_plotly_json(), cls=_Encoder)
    raise AssertionError("never finished")


class _Encoder(json.JSONEncoder):
    def default(self, o: Any) -> Any:
        return o.to_plotly_json()


def silent(_note: str) -> None:
    """A report that nobody reads."""


# -- versions --------------------------------------------------------------------------------


def test_the_catalogue_has_registered_versions_with_aliases_and_other_artifacts(
    library: Library, explored: Explored
) -> None:
    catalogue = library.catalogue()
    assert [version.label for version in catalogue.versions] == [
        "w2v v1",
        "w2v v2 champion",
        f"w2v {explored.embeddings[2]}, not registered",
    ]
    assert catalogue.problems == ()
    assert catalogue.find("w2v@champion").embeddings == explored.embeddings[1]
    assert catalogue.find("w2v@1").embeddings == explored.embeddings[0]
    assert [version.key for version in catalogue.pair()] == ["w2v@1", "w2v@2"]
    with pytest.raises(InputError, match="no version 'w2v@9'"):
        catalogue.find("w2v@9")


def test_words_page_marks_what_is_new_and_gone(library: Library) -> None:
    text = page(library, "/words?word=word007&left=w2v%401&right=w2v%402&topn=5")
    assert text.count('"mark new"') == text.count('"mark gone"') == 5
    assert "0 of 5 in both versions" in text
    same = page(library, "/words?word=king&left=w2v%401&right=w2v%401&topn=5")
    assert "mark new" not in same
    assert "5 of 5 in both versions" in same
    assert f"{len(WORDS) - WORDS.index('king')} occurrences, rank 11 of 104" in same


def test_an_unknown_word_is_named_with_words_that_start_alike(library: Library) -> None:
    text = page(library, "/words?word=kingg")
    assert "has no vector for 1 word: kingg" in text
    assert "Words with the same beginning" in text
    assert "word=kingdom" in text


def test_analogies_leave_out_the_words_asked_with(library: Library, explored: Explored) -> None:
    text = page(library, "/analogies?positive=king+word001&negative=queen&right=w2v%401&topn=3")
    model = library.model(library.catalogue().find("w2v@1"))
    for near in model.neighbors_of_mean(["king", "word001"], ["queen"], 3):
        assert f"{near.similarity:.3f}" in text
    assert "king + word001 - queen" in text
    assert "has no vector for 1 word: nobody" in page(library, "/analogies?positive=nobody")


def test_an_imported_artifact_without_tokens_answers_too(
    explored: Explored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # others have files in /tmp
    library = copied(explored, tmp_path / "copy")
    world = World(library.loaded.artifacts_dir)
    imported = world.embeddings("imported", name="glove-6b").ref.version
    text = page(library, f"/words?word=king&right=embeddings/{imported}&topn=2")
    assert f"glove-6b {imported}, not registered" in text
    assert "3 occurrences, rank 2 of 4" in text
    before = set(Path(tempfile.gettempdir()).glob("nightjar-scratch-*"))
    with library:
        assert before
    assert not set(Path(tempfile.gettempdir()).glob("nightjar-scratch-*")) & before


# -- moved words -----------------------------------------------------------------------------


def test_the_word_that_was_turned_around_moved_most_whatever_the_rotation(tmp_path: Path) -> None:
    left = lookup_model(tmp_path / "left", WORDS[10:], vectors(1)[10:])
    right = lookup_model(tmp_path / "right", WORDS[10:], vectors(2)[10:])
    found = moved_words(left, right, 1, silent)
    assert found.n_shared == len(WORDS) - 10
    assert found.words[0].token == "word007"
    assert found.words[0].distance > 1.5
    assert found.words[1].distance < 0.05
    assert found.words[1].overlap > 0.7
    assert found.words[0].overlap < 0.3


def test_only_words_frequent_in_both_versions_are_compared(tmp_path: Path) -> None:
    words = [f"w{i}" for i in range(60)]
    left = lookup_model(tmp_path / "left", words, random_matrix(60))
    right = lookup_model(tmp_path / "right", words[::-1], random_matrix(60, seed=2))
    found = moved_words(left, right, 21, silent)  # counts run from 60 down to 1
    assert found.n_shared == 20
    assert {word.token for word in found.words} == set(words[20:40])
    with pytest.raises(InputError, match="choose a smaller number"):
        moved_words(left, right, 58, silent)
    other = lookup_model(tmp_path / "other", words, random_matrix(60, 5))
    with pytest.raises(InputError, match="cannot be aligned"):
        moved_words(left, other, 1, silent)


def test_the_moved_page_sorts_as_the_address_says(library: Library) -> None:
    both = "left=w2v%401&right=w2v%402&least=1"
    by_distance = page(library, f"/moved?{both}")
    assert by_distance.index("word=word007") < by_distance.index("word=word001")
    by_rank = page(library, f"/moved?{both}&sort=left")
    assert by_rank.index("word=king&") < by_rank.index("word=word007")
    assert "choose another version" in page(library, "/moved?left=w2v%402&right=w2v%402")


# -- prefixes --------------------------------------------------------------------------------


def test_what_plotly_uses_once_it_is_imported_is_imported_before_requests_come() -> None:
    """Else a request meets a module that another request's thread is importing."""
    code = """
import importlib.util, pathlib, re, sys
import _plotly_utils, plotly
from nightjar.explorer.server import import_what_answers_need
import_what_answers_need()
used = set()
for package in (plotly, _plotly_utils):
    for path in pathlib.Path(package.__file__).parent.rglob("*.py"):
        used |= set(re.findall(r'get_module\\("([\\w.]+)", should_load=False\\)', path.read_text()))
installed = {name for name in used if importlib.util.find_spec(name.partition(".")[0])}
print(sorted(used), sorted(name for name in installed if name not in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    used, _, missing = done.stdout.strip().partition("] [")
    assert "'pandas'" in used
    assert missing == "]"


def test_prefixes_find_the_most_frequent_words_in_any_spelling(tmp_path: Path) -> None:
    words = ["zebra", "kind", "King", "König", "kilo", "king", "ki", "a", "Zoo"]
    table = lookup_model(tmp_path / "model", words).table
    index = PrefixIndex.open(tmp_path / "lookup" / "order", table)
    assert [words[row] for row in index.rows("ki", 3)] == ["kind", "King", "kilo"]
    assert [words[row] for row in index.rows("ki", 9)] == ["kind", "King", "kilo", "king", "ki"]
    assert [words[row] for row in index.rows("kö", 9)] == ["König"]
    assert [words[row] for row in index.rows("z", 9)] == ["zebra", "Zoo"]
    assert index.rows("", 2) == [0, 1]
    assert index.rows("nothing", 5) == []
    again = PrefixIndex.open(tmp_path / "lookup" / "order", table)
    assert again.rows("ki", 3) == index.rows("ki", 3)


def test_suggestions_are_few_and_lead_to_the_word(library: Library) -> None:
    found = json.dumps(suggestions(library, View("/words"), "word0"), cls=_Encoder)
    assert found.count("word=word0") == 10
    assert suggestions(library, View("/words", word="king"), "king") is None
    nothing = json.dumps(suggestions(library, View("/words"), "zzz"), cls=_Encoder)
    assert "no word starts like this" in nothing


# -- the map ---------------------------------------------------------------------------------


def test_the_map_is_the_first_two_principal_components(tmp_path: Path) -> None:
    matrix = random_matrix(300) * np.array([9, 5, 1, 1, 1, 1, 1, 1], np.float32)
    model = lookup_model(tmp_path / "model", [f"w{i}" for i in range(300)], matrix)
    found = open_map(tmp_path / "lookup" / "map", model, "pca", silent)
    units = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    centred = units - units.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    expected = np.abs(centred @ axes[:2].T)
    assert np.allclose(np.abs(found.positions), expected, atol=1e-4)
    again = open_map(tmp_path / "lookup" / "again", model, "pca", silent)
    assert again.positions.tobytes() == found.positions.tobytes()
    assert again.clusters.tobytes() == found.clusters.tobytes()


@pytest.mark.parametrize("method", ["pca", "neighbours"])
def test_a_cut_map_is_made_again(tmp_path: Path, method: str) -> None:
    model = lookup_model(tmp_path / "model", [f"w{i}" for i in range(50)])
    directory = tmp_path / "lookup" / "map"
    found = open_map(directory, model, method, silent)
    before = found.positions.copy()
    path = directory / "positions.npy"
    path.write_bytes(path.read_bytes()[:100])
    assert np.array_equal(open_map(directory, model, method, silent).positions, before)
    assert [entry.name for entry in directory.parent.iterdir()] == ["map"]


def test_the_neighbour_graph_keeps_neighbours_together(tmp_path: Path) -> None:
    centres = random_matrix(4, 16, seed=5) * 3
    matrix = np.repeat(centres, 60, axis=0) + random_matrix(240, 16, seed=6)
    model = lookup_model(tmp_path / "model", [f"w{i}" for i in range(240)], matrix)
    found = open_map(tmp_path / "lookup" / "map", model, "neighbours", silent).positions
    apart = np.linalg.norm(found[:, np.newaxis] - found[np.newaxis], axis=2)
    np.fill_diagonal(apart, np.inf)
    nearest = apart.argmin(axis=1)
    assert np.mean(nearest // 60 == np.arange(240) // 60) > 0.95


def test_a_window_has_its_most_frequent_words_and_finer_ones_after_zooming() -> None:
    positions = np.random.default_rng(1).uniform(0, 1, (400_000, 2)).astype(np.float32)
    whole = level_of_detail.rows_in(positions, (0, 1, 0, 1))
    assert whole.tolist() == list(range(level_of_detail.MAX_POINTS))
    box = (0.5, 0.51, 0.5, 0.51)
    inside = level_of_detail.rows_in(positions, box)
    x, y = positions[inside].T
    assert len(inside) == np.count_nonzero(((positions >= 0.5) & (positions <= 0.51)).all(axis=1))
    assert ((x >= 0.5) & (x <= 0.51) & (y >= 0.5) & (y <= 0.51)).all()
    assert inside.max() > level_of_detail.MAX_POINTS


def test_labels_do_not_overlap_and_the_most_frequent_win() -> None:
    points = np.array([[0.5, 0.5], [0.51, 0.5], [0.5, 0.8], [0.999, 0.1]], np.float32)
    texts = ["first", "hidden by it", "free", "beyond the edge"]
    style, pixels = labels.LabelStyle(), (600, 400)

    def shown(box: Box, taken: Any = None) -> list[int]:
        boxes = labels.label_boxes(texts, points, box, pixels, style)
        return labels.apart(boxes, pixels, taken)

    assert shown((0, 1, 0, 1)) == [0, 2]
    assert shown((0.49, 0.53, 0.4, 0.6)) == [0, 1]
    assert shown((0, 1, 0, 1), np.array([[290.0, 310.0, 0.0, 400.0]])) == []
    assert labels.text_width("漢字") > labels.text_width("ill")


def test_moving_the_map_sends_the_points_of_the_window(library: Library) -> None:
    view = read_view("/map", "?word=king")
    page(library, "/map?word=king")
    whole = window(library, view, {"xaxis.autorange": True, "yaxis.autorange": True}, Screen())
    assert whole is not None
    model_map = library.word_map(library.catalogue().pair()[1], "pca")
    assert not isinstance(model_map, Pending)
    x, y = map(float, model_map.positions[WORDS.index("king")])
    moved = dict(
        zip(
            ("xaxis.range[0]", "xaxis.range[1]", "yaxis.range[0]", "yaxis.range[1]"),
            (x - 0.05, x + 0.05, y - 0.05, y + 0.05),
            strict=True,
        )
    )
    part = window(library, view, moved, Screen())
    assert part is not None
    assert 0 < len(part[0]["x"]) < len(whole[0]["x"])
    assert any("king" in text for text in part[0]["hovertext"])
    assert "<b>king</b>" in part[2]["text"]
    assert window(library, view, {"dragmode": "zoom"}, Screen()) is None
    assert window(library, view, {"xaxis.range[0]": "evil"}, Screen()) is None
    for nowhere in (10**400, 1e308, float("nan"), [1]):
        assert window(library, view, {"xaxis.range[1]": nowhere}, Screen()) is None


# -- scores and cards ------------------------------------------------------------------------


def test_scores_have_intervals_champions_and_reasons(library: Library) -> None:
    text = page(library, "/scores")
    figures = [part for part in json.loads(text)["props"]["children"] if part]
    charts = next(p for p in figures if p["props"].get("className") == "charts")
    graph = charts["props"]["children"][0]["props"]["children"][1]["props"]["figure"]
    (trace,) = graph["data"]
    store = Store(library.loaded.artifacts_dir)
    evaluations = [store.open(ref) for ref in store.versions("evaluation")]
    scores = [main_scores(read_scores(evaluation))["pairs"] for evaluation in evaluations]
    assert trace["y"] == [score.value for score in scores]
    high = [score.ci_high - score.value for score in scores if score.ci_high and score.value]
    assert trace["error_y"]["array"] == pytest.approx(high)
    assert trace["marker"]["symbol"] == ["star", "star"]
    assert "w2v v2 promoted, night 2" in trace["hovertext"][1]
    assert "first champion" in text
    assert "the champion's" in text
    assert '"decision accepted"' in text


def test_cards_show_the_card_of_the_version_and_its_lineage(
    library: Library, explored: Explored
) -> None:
    text = page(library, "/cards?right=w2v%401")
    assert "# night-w2v" in text
    assert explored.embeddings[0] in text
    for stage in ("embeddings", "evaluation"):
        assert f'"{stage}"' in text
    assert "not registered: a model card" in page(
        library, f"/cards?right=embeddings/{explored.embeddings[2]}"
    )


# -- the address -----------------------------------------------------------------------------


def test_an_address_leads_back_to_its_state() -> None:
    view = View("/map", "w2v@1", "a b", HOSTILE[1], topn=5, least=3, box=(0.0, 1.5, -2.0, 1e-5))
    assert read_view(view.path, view.search) == view
    assert View().search == ""


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ("?topn=0", "topn='0' in the address: expected 1 to 100"),
        ("?topn=%00", "expected a whole number"),
        ("?least=1e9", "expected a whole number"),
        ("?sort=evil", "expected beyond, distance, overlap"),
        ("?box=1,0,0,1", "expected x0 < x1"),
        ("?box=nan,1,0,1", "expected four numbers"),
        ("?colour=red", "unknown parameter 'colour'"),
        ("?" + "&".join(["a=1"] * 100), "not understood"),
        ("?left=nobody%409", "there is no version 'nobody@9'"),
    ],
)
def test_a_wrong_address_is_explained_in_the_page(
    library: Library, search: str, message: str
) -> None:
    text = page(library, f"/words{search}")
    assert message in text


def test_an_unknown_page_is_named(library: Library) -> None:
    assert "there is no page /nowhere" in page(library, "/nowhere")


def test_fields_change_the_address_and_untouched_versions_stay_out_of_it(library: Library) -> None:
    catalogue = library.catalogue()
    left, right = catalogue.pair()
    now = {"word": "king", "left": left.key, "right": right.key, "topn": 15}
    view = View("/words")
    assert changed(view, catalogue, now) == "?word=king"
    assert changed(replace(view, word="king"), catalogue, now) is None
    assert changed(view, catalogue, {**now, "left": "w2v@2"}) == "?left=w2v%402&word=king"
    assert changed(replace(view, word="king"), catalogue, {**now, "word": ""}) == ""
    wrong = changed(View("/moved"), catalogue, {"least": "many"})
    assert wrong is not None
    assert "expected a whole number" in read_view("/moved", wrong).problems[0]


# -- trouble ---------------------------------------------------------------------------------


def copied(explored: Explored, directory: Path) -> Library:
    """A copy of everything, free to damage."""
    shutil.copytree(explored.config.parent, directory)
    return Library(load_config(directory / explored.config.name, []))


def test_a_damaged_artifact_is_named_and_the_rest_still_shown(
    explored: Explored, tmp_path: Path
) -> None:
    library = copied(explored, tmp_path / "copy")
    artifacts = library.loaded.artifacts_dir
    path = artifacts / "embeddings" / explored.embeddings[2] / "vectors.parquet"
    path.write_bytes(path.read_bytes()[:-50])
    text = page(library, "/words?word=king&left=w2v%402&right=w2v%402")
    assert f"embeddings/{explored.embeddings[2]} is damaged" in text
    assert "5 of 5" in page(library, "/words?word=king&left=w2v%402&right=w2v%402&topn=5")


def test_registered_files_that_are_cut_while_they_are_open_are_named(
    explored: Explored, tmp_path: Path
) -> None:
    library = copied(explored, tmp_path / "copy")
    assert "cosine similarity" in page(library, "/words?word=king&left=w2v%402")
    for path in library.loaded.artifacts_dir.glob("mlflow/**/lookup/vectors.npy"):
        path.write_bytes(b"")
    text = page(library, "/words?word=king&left=w2v%402")
    assert re.search(r"night-w2v version 2: \S+vectors\.npy has 0 bytes instead of \d+", text)
    assert "nightjar rollback" in text


def test_derived_arrays_lie_beside_the_artifacts_and_go_with_their_versions(
    explored: Explored, tmp_path: Path
) -> None:
    library = copied(explored, tmp_path / "copy")
    derived = library.loaded.artifacts_dir / schemas.DERIVED_DIR
    shutil.rmtree(derived, ignore_errors=True)
    page(library, "/map?right=w2v%401")
    page(library, f"/map?right=embeddings/{explored.embeddings[2]}")
    names = {path.name.partition("-")[0] for path in derived.iterdir()}
    assert names == {explored.embeddings[0], explored.embeddings[2]}
    shutil.rmtree(library.loaded.artifacts_dir / "embeddings" / explored.embeddings[2])
    library.remove_derived()
    names = {path.name.partition("-")[0] for path in derived.iterdir()}
    assert names == {explored.embeddings[0]}


def test_the_card_has_the_verdict_of_the_gate_rule_by_rule(tmp_path: Path) -> None:
    project = HandMade(tmp_path / "project")
    project.night()
    project.write_vectors(POOR)
    project.night()
    library = Library(project.loaded)
    shown = page(library, "/cards?right=words%402")
    assert "Gate: blocked" in shown
    assert "fails: mean score -1.0000 over pairs is 2.0000 below the champion" in shown
    assert "holds: coverage 1.0000, required 0.5000" in shown
    assert "Gate: promoted" in page(library, "/cards?right=words%401")


def test_a_blocked_candidate_and_a_trial_are_points_of_their_own(tmp_path: Path) -> None:
    project = HandMade(tmp_path / "project")
    project.night()
    project.night()  # the same candidate: no new point
    project.write_vectors(POOR)
    project.night()
    project.write_vectors(GOOD, "other.txt", seed=3)
    project.night("models.words.path=other.txt")
    library = Library(project.loaded)
    found = library.history()
    assert [(entry.judged.night, entry.judged.outcome) for entry in found.measurements] == [
        (1, "promoted"),
        (3, "blocked"),
        (4, "passed"),
    ]
    assert [entry.judged.is_trial for entry in found.measurements] == [False, False, True]
    assert [entry.has_been_champion for entry in found.measurements] == [True, False, False]
    assert [event.kind for event in found.events] == ["promoted", "accepted", "blocked"]
    assert library.history() == found
    evaluation = found.measurements[0].judged.evaluation
    shutil.rmtree(project.loaded.artifacts_dir / "evaluation" / evaluation)
    assert [entry.judged.night for entry in library.history().measurements] == [1, 3, 4]
    kept = Library(project.loaded).history()  # what is not kept any more is no problem
    assert ([entry.judged.night for entry in kept.measurements], kept.problems) == ([3, 4], ())


def test_a_missing_registry_and_an_empty_folder_are_explained(
    explored: Explored, tmp_path: Path
) -> None:
    library = copied(explored, tmp_path / "copy")
    database = library.loaded.artifacts_dir / "mlflow" / "mlflow.db"
    database.write_bytes(b"no database" * 1_000)
    text = page(library, "/words?word=king")
    assert "the MLflow database cannot be read" in text
    assert "cosine similarity" in text
    shutil.rmtree(library.loaded.artifacts_dir)
    empty = Library(library.loaded)
    for path in ("/words", "/analogies", "/map", "/moved", "/cards"):
        assert "there is no trained model yet" in page(empty, path)
    assert "nothing has been evaluated yet" in page(empty, "/scores")


def finished(jobs: Jobs, work: Any) -> Any:
    while isinstance(found := jobs.get("other", "work", work), Pending):
        pass
    return found


def test_work_is_done_once_and_its_error_can_be_tried_again() -> None:
    jobs = Jobs(patience_seconds=0.01)
    go = threading.Event()
    calls: list[int] = []

    def work(report: Any) -> str:
        calls.append(1)
        report("half")
        assert go.wait(20)
        return "done"

    while (found := jobs.get("key", "work", work)) != Pending("work: half"):
        assert isinstance(found, Pending)
    go.set()
    while isinstance(found, Pending):
        found = jobs.get("key", "work", work)
    assert (found, len(calls)) == ("done", 1)

    def fail(_report: Any) -> str:
        raise InputError("no")

    for _ in range(2):
        with pytest.raises(InputError, match="no"):
            finished(jobs, fail)


# -- hostile text ----------------------------------------------------------------------------


def test_tokens_are_written_without_control_characters_and_cut() -> None:
    assert visible("\u202eevil\x00") == "\\u202eevil\\x00"
    assert visible("a\nb") == "a\\nb"
    assert len(visible("long" * 2_500)) == 48
    assert visible(" ") == "' '"
    assert plotly_text("<b>&amp;") == "&lt;b&gt;&amp;amp;"


def test_no_label_of_the_map_holds_a_tag(library: Library) -> None:
    figure = json.loads(page(library, "/map?word=king"))
    text = json.dumps(figure)
    assert "<img" not in text
    assert "<script" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text


# -- the server ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def client(library: Library) -> Any:
    app = make_app(library)
    protect(app, "127.0.0.1:8050", 8050)
    return app.server.test_client()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "127.0.0.1:8050"}, 200),
        ({"Host": "localhost:8050"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example:8050"}, 403),
        ({"Host": "127.0.0.1:9999"}, 403),
        ({"Host": "127.0.0.1:8050", "Origin": "http://127.0.0.1:8050"}, 200),
        ({"Host": "127.0.0.1:8050", "Origin": "http://evil.example"}, 403),
        ({"Host": "127.0.0.1:8050", "Origin": "null"}, 403),
    ],
)
def test_other_hosts_and_other_sites_are_refused(
    client: Any, headers: dict[str, str], status: int
) -> None:
    answer = client.get("/", headers=headers)
    assert answer.status_code == status
    if status == 200:
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
        assert "//" not in policy


def test_a_post_of_another_site_is_refused(client: Any) -> None:
    headers = {"Host": "127.0.0.1:8050", "Sec-Fetch-Site": "cross-site"}
    assert client.post("/_dash-update-component", headers=headers, json={}).status_code == 403


def submitted(client: Any, word: str, *, fields_of: str, address: str) -> str | None:
    """Where a field leads that has a word, was drawn for one address, and is used at another."""
    answer = posted(client, submission(word, fields_of=fields_of, address=address))
    assert answer.status_code in (200, 204)
    changes = list(answer.json["response"].values()) if answer.status_code == 200 else []
    return str(changes[0]["search"]) if changes else None


def posted(client: Any, body: Any) -> Any:
    headers = {"Host": "127.0.0.1:8050"}
    return client.post("/_dash-update-component", headers=headers, json=body)


def submission(word: str, *, fields_of: str, address: str) -> dict[str, Any]:
    """What the page posts when a word is submitted."""
    field, choices = {"text": "word"}, [("left", "w2v@1"), ("right", "w2v@2"), ("topn", 15)]

    def given(key: dict[str, str], name: str, value: Any) -> dict[str, Any]:
        return {"id": key, "property": name, "value": value}

    return {
        "output": "url.search",
        "outputs": {"id": "url", "property": "search"},
        "changedPropIds": ['{"text":"word"}.n_submit'],
        "inputs": [
            [given(field, "n_submit", 1)],
            [given({"button": "go"}, "n_clicks", 0)],
            [given({"choice": name}, "value", value) for name, value in choices],
        ],
        "state": [
            [given(field, "value", word)],
            [given(field, "id", field)],
            [given({"choice": name}, "id", {"choice": name}) for name, _ in choices],
            {"id": "fields-of", "property": "data", "value": ["/words", fields_of]},
            {"id": "url", "property": "pathname", "value": "/words"},
            {"id": "url", "property": "search", "value": address},
        ],
    }


def replaced(body: Any, place: tuple[Any, ...], value: Any) -> Any:
    """A copy of ``body`` with another value at ``place``."""
    if not place:
        return value
    changed = dict(body) if isinstance(body, dict) else list(body)
    changed[place[0]] = replaced(body[place[0]], place[1:], value)
    return changed


@pytest.mark.parametrize("junk", [[], {}, None, 1, "a", [{}], [[{}]], {"id": {}}])
@pytest.mark.parametrize(
    "place",
    [
        *((), ("output",), ("outputs",), ("outputs", "id")),
        *(("inputs",), ("inputs", 0), ("inputs", 0, 0), ("inputs", 0, 0, "id")),
        *(("inputs", 0, 0, "property"), ("state",), ("state", 1), ("state", 1, 0, "value")),
        *(("state", 1, 0, "id"), ("state", 3), ("state", 4), ("state", 5), ("state", 5, "id")),
    ],
)
def test_a_post_of_another_shape_is_refused(client: Any, place: tuple[Any, ...], junk: Any) -> None:
    body = submission("queen", fields_of="?word=king", address="?word=king")
    answer = posted(client, replaced(body, place, junk))
    assert answer.status_code == 400
    assert answer.mimetype == "text/plain"


@pytest.mark.parametrize(
    ("place", "junk"),
    [
        (("state", 5, "value"), ["?word=a"]),
        (("state", 4, "value"), {"a": 1}),
        (("state", 0, 0, "value"), ["queen"]),
        (("inputs", 2, 0, "value"), {"a": 1}),
        (("inputs", 2), []),
        (("state", 0), []),
        (("output",), "screen.data"),
        (("changedPropIds", 0), 1),
        (("changedPropIds",), "a"),
    ],
)
def test_values_that_no_field_has_are_refused(
    client: Any, place: tuple[Any, ...], junk: Any
) -> None:
    body = submission("queen", fields_of="?word=king", address="?word=king")
    assert posted(client, replaced(body, place, junk)).status_code == 400


def test_what_is_no_json_is_refused(client: Any) -> None:
    for data in ("", "{", "[" * 100_000, b"\xff"):
        answer = client.post(
            "/_dash-update-component",
            headers={"Host": "127.0.0.1:8050"},
            data=data,
            content_type="application/json",
        )
        assert answer.status_code == 400


def test_fields_of_a_page_that_was_left_lead_nowhere(client: Any) -> None:
    lead = submitted(client, "queen", fields_of="?word=king", address="?word=king")
    assert lead is not None
    assert "word=queen" in lead
    assert submitted(client, "queen", fields_of="?word=queen", address="?word=king") is None
    assert submitted(client, "king", fields_of="?word=king", address="?word=king") is None


def start(config: Path, *options: str) -> subprocess.Popen[str]:
    # A shell's background process ignores Ctrl-C; this one must not, however the tests run.
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from nightjar.cli.main import main; main()"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, "explore", "-c", str(config), "--no-open", *options],
        env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def address(explored: Explored) -> Iterator[str]:
    """The explorer as a process of its own; at the end Ctrl-C ends it cleanly."""
    process = start(explored.config, "--port", "0")
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("Explorer: http://127.0.0.1:"), line
    yield line.split()[1].rstrip("/")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "Explorer ended.\n", ""), err


def test_a_port_in_use_is_one_message(explored: Explored) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start(explored.config, "--port", str(port))
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert err.startswith(f"nightjar: cannot listen on 127.0.0.1:{port} (Address already")
    assert "--port" in err


def test_a_missing_extra_is_named(explored: Explored) -> None:
    code = (
        "import sys; sys.modules['dash'] = None\n"
        "from nightjar.cli.main import main\n"
        f"sys.argv = ['nightjar', 'explore', '-c', {str(explored.config)!r}]\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "nightjar: the explorer needs dash: pip install 'nightjar[explore]'\n"


# -- in a browser ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("needs the browser chromium on the PATH")
    flags = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync"
    flags += " --disable-background-networking --disable-component-update"
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=flags.split())
        yield started
        started.close()


@pytest.fixture
def tab(browser: Any, address: str) -> Iterator[Any]:
    """A page; in the end nothing was said, asked for or loaded that should not be."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    opened = context.new_page()
    trouble: list[str] = []
    opened.on(
        "dialog", lambda dialog: (trouble.append(f"dialog {dialog.message}"), dialog.dismiss())
    )
    opened.on("pageerror", lambda error: trouble.append(f"error {error}"))
    opened.on(
        "console",
        lambda said: trouble.append(said.text) if said.type == "error" else None,
    )
    opened.on(
        "request",
        lambda sent: (
            trouble.append(f"request {sent.url}")
            if not sent.url.startswith((address, "data:", "blob:"))
            else None
        ),
    )
    opened.set_default_timeout(120_000)
    yield opened
    opened.wait_for_timeout(200)
    context.close()
    assert trouble == []


def test_enter_searches_a_word_and_suggestions_lead_to_words(tab: Any, address: str) -> None:
    tab.goto(f"{address}/words")
    tab.get_by_role("heading", name="Search a word").wait_for()
    tab.get_by_label("word").fill("kin")
    tab.locator("#suggestions a", has_text="kingdom").wait_for()
    tab.get_by_label("word").fill("king")
    tab.get_by_label("word").press("Enter")
    tab.get_by_role("heading", name="king", exact=True).wait_for()
    assert tab.url == f"{address}/words?word=king"
    tab.get_by_label("word").fill("que")
    tab.locator("#suggestions a", has_text="queen").click()
    tab.get_by_role("heading", name="queen", exact=True).wait_for()
    tab.go_back()
    tab.get_by_role("heading", name="king", exact=True).wait_for()
    assert tab.get_by_label("word").input_value() == "king"


def test_choosing_a_version_compares_it(tab: Any, address: str) -> None:
    """The last champion stands beside the champion at first; here they change sides."""
    tab.goto(f"{address}/words?word=word007")
    marks = tab.locator(".mark.new")
    marks.first.wait_for()
    choose(tab, "left", "w2v v2 champion")
    marks.first.wait_for(state="detached")
    assert "left=w2v%402" in tab.url
    choose(tab, "right", "w2v v1")
    marks.first.wait_for()
    assert "right=w2v%401" in tab.url
    assert [heading.inner_text() for heading in tab.locator("h2").all()][-2:] == [
        "w2v v2 champion",
        "w2v v1",
    ]


def choose(tab: Any, side: str, version: str) -> None:
    tab.locator(f".field.{side} button").first.click()
    tab.get_by_role("option", name=version).click()


def test_zooming_the_map_asks_for_its_window(tab: Any, address: str) -> None:
    tab.goto(f"{address}/map?word=king")
    tab.locator("#map .scatterlayer text", has_text="king").first.wait_for()
    before = tab.locator("#map .js-plotly-plot").evaluate("plot => plot.data[0].x.length")
    box = tab.locator("#map").bounding_box()
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    for _ in range(4):
        tab.mouse.wheel(0, -600)
        tab.wait_for_timeout(150)
    tab.wait_for_function(
        "before => document.querySelector('#map .js-plotly-plot').data[0].x.length < before",
        arg=before,
    )
    assert "box=" in tab.url
    tab.reload()
    tab.wait_for_function(
        "before => (document.querySelector('#map .js-plotly-plot')?.data?.[0]?.x.length"
        " ?? before) < before",
        arg=before,
    )


def test_hostile_tokens_are_text_on_every_page(tab: Any, address: str) -> None:
    tab.goto(address)
    tab.locator(".alarms").get_by_text(f"look at {visible(HOSTILE[0])} and {visible(HOSTILE[7])}")
    documents = "documents?query=queen+kingdom"
    for path in (
        "",
        documents,
        "words",
        "map",
        "moved?left=w2v%401&right=w2v%402&least=1",
        "scores",
        "cards",
    ):
        tab.goto(f"{address}/{path}")
        tab.wait_for_function("document.querySelector('#page .pending') === null")
        assert tab.locator("#page img, #page script").count() == 0
    for token in HOSTILE[:-1]:
        tab.goto(address + (View("/words", word=token).link() or ""))
        tab.get_by_role("heading", name=visible(token), exact=True).wait_for()
        assert tab.locator("#page td").count() > 10


PAGES = (
    "",
    "words",
    "words?word=king",
    "analogies?positive=king",
    "map",
    "moved?left=w2v%401&right=w2v%402&least=1",
    "documents?query=king",
    "scores",
    "cards",
)
BEYOND = """
() => [...document.querySelectorAll("#controls *, #page *")].filter(part =>
  !part.closest(".scroll, .markdown, .js-plotly-plot")
  && part.getBoundingClientRect().right > document.documentElement.clientWidth
).map(part => part.outerHTML.slice(0, 200))
"""
"""What ends beyond the window and does not scroll in a place of its own."""
CLIPPED = """
() => [...document.querySelectorAll(".scroll")].filter(part => part.scrollWidth > part.clientWidth)
  .map(part => part.innerText.slice(0, 200))
"""
COLLIDING = """
selector => {
  const boxes = [...document.querySelectorAll(selector)].filter(label => label.textContent)
    .map(label => [label.textContent, label.getBoundingClientRect()]);
  const found = [];
  boxes.forEach(([one, a], place) => boxes.slice(place + 1).forEach(([other, b]) => {
    if (a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom) {
      found.push([one, other]);
    }
  }));
  return [boxes.length, found];
}
"""


def drawn(tab: Any, address: str) -> None:
    """Go there and wait until the page is finished."""
    tab.goto(address)
    tab.wait_for_function(
        "document.querySelector('#page .pending') === null"
        " && document.querySelector('#controls nav') !== null"
    )
    tab.wait_for_timeout(300)


@pytest.mark.parametrize("width", [1280, 390])
def test_no_page_is_wider_than_the_window(tab: Any, address: str, width: int) -> None:
    tab.set_viewport_size({"width": width, "height": 800})
    for path in PAGES:
        drawn(tab, f"{address}/{path}")
        root = "document.documentElement"
        assert tab.evaluate(f"{root}.scrollWidth - {root}.clientWidth") == 0, path
        assert tab.evaluate(BEYOND) == [], path
        if width == 1280:
            assert tab.evaluate(CLIPPED) == [], path


def test_tables_with_long_cells_are_lists_on_a_narrow_screen(tab: Any, address: str) -> None:
    tab.set_viewport_size({"width": 390, "height": 800})
    for path in ("", "documents?query=king", "scores"):
        drawn(tab, f"{address}/{path}")
        assert tab.evaluate(CLIPPED) == [], path
        first = tab.locator(".stacked td").first
        assert first.evaluate("cell => getComputedStyle(cell, '::before').content") in (
            '"model"',
            '"rank"',
            '"time (UTC)"',
        )


@pytest.mark.parametrize("width", [1280, 390])
def test_labels_do_not_collide(tab: Any, address: str, width: int) -> None:
    tab.set_viewport_size({"width": width, "height": 800})
    for path, selector in (
        ("map", "#map .scatterlayer text"),
        ("map?word=king", "#map .scatterlayer text"),
        ("moved?left=w2v%401&right=w2v%402&least=1", ".chart .scatterlayer text"),
        ("moved?left=w2v%401&right=w2v%402&least=1", ".chart .xaxislayer-above text"),
        ("scores", ".chart .xaxislayer-above text"),
    ):
        drawn(tab, f"{address}/{path}")
        tab.locator(selector).first.wait_for()
        n_labels, collisions = tab.evaluate(COLLIDING, selector)
        assert n_labels
        assert collisions == [], path


def test_the_overview_leads_on_by_keyboard(tab: Any, address: str) -> None:
    drawn(tab, address)
    reached = []
    for _ in range(20):
        tab.keyboard.press("Tab")
        reached.append(tab.evaluate("document.activeElement.getAttribute('href')"))
    assert reached[:8] == [
        *("/", "/words", "/analogies", "/map", "/moved", "/documents", "/scores", "/cards"),
    ]
    assert "/words?right=w2v%402" in reached
    tab.locator("a[href='/moved?left=w2v%401&right=w2v%402']").focus()
    tab.keyboard.press("Enter")
    tab.get_by_role("heading", name="Words that moved most").wait_for()
    assert tab.url == f"{address}/moved?left=w2v%401&right=w2v%402"
