"""The night's report: what its page says, that it loads nothing, and that it fails no night."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from asking_support import asked, asked_json, refused
from explorer_support import HOSTILE, WORDS, write_vectors
from nights_support import HandMade, outcome
from registry_support import mlflow
from sharing_support import shared

from nightjar.core import Night, Nights, NightStatus
from nightjar.errors import StoreNotWritable
from nightjar.pipeline.reporting import find_night, make_page, night_report, page_path, read_facts
from nightjar.pipeline.reporting.item_differences import champion_before, item_differences
from nightjar.pipeline.reporting.night_difference import words_between
from nightjar.store import Identity, Staging, Store, publish, schemas

HOSTILE_SOURCE = "s"
WIDTHS = (390, 1280)


@dataclass(frozen=True)
class Finished:
    """Five nights: two that promote, one with nothing to do, a trial, one that is not accepted."""

    config: Path
    pages: tuple[str, ...]
    """As each night left it."""
    nights: tuple[Night, ...]


def make_finished(directory: Path) -> Finished:
    models = {
        "w2v": {"trainer": "import", "path": "vectors.parquet", "format": "parquet"},
        "cbow": {"trainer": "word2vec", "vector_size": 4, "min_count": 1, "epochs": 2},
    }
    project = HandMade(directory / "project", models=models)
    pairs = [f"word{2 * row:03d}\tword{2 * row + 1:03d}\t{row}" for row in range(20)]
    pairs += ["left0\tright0\t1", "left1\tright2\t2", "left2\tright1\t3", "left3\tleft4\t4"]
    (project.directory / "pairs.tsv").write_text("\n".join(pairs) + "\n", encoding="utf-8")
    project.document["registry"]["gate"] |= {
        "margin": 1.0,
        "min_coverage": 0.0,
        "loss_must_fall": False,
    }
    project.save()
    vectors = project.directory / "vectors.parquet"
    write_vectors(vectors, 1)
    project.write_text(100)
    nights = [project.night()]
    write_vectors(vectors, 2)
    project.write_text(120)
    nights += [project.night(), project.night(), project.night("models.cbow.epochs=3")]
    project.write_text(20)
    nights.append(project.night())
    pages = [page_path(project.loaded, night.number) for night in nights]
    return Finished(
        project.path, tuple(path.read_text(encoding="utf-8") for path in pages), tuple(nights)
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return shared(tmp_path_factory, "night-pages", make_finished)


@pytest.fixture(scope="module")
def project(finished: Finished) -> HandMade:
    """The project of the nights. Nobody writes to it."""
    found = HandMade.__new__(HandMade)
    found.directory, found.path = finished.config.parent, finished.config
    return found


def text_of(page: str) -> str:
    """What somebody reads, without the script."""
    body = page.partition("<body>")[2].partition("<script>")[0]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", body))


# -- what it says ------------------------------------------------------------------------------


def test_the_nights_are_what_the_tests_assume(finished: Finished) -> None:
    statuses = [night.status.value for night in finished.nights]
    assert statuses == ["completed", "completed", "nothing to do", "completed", "completed"]
    assert outcome(finished.nights[1], "w2v") == "promoted"
    assert finished.nights[3].is_trial
    assert not finished.nights[4].accepted["text"]["is_accepted"]


def test_every_night_has_a_page_with_all_sections(finished: Finished) -> None:
    headings = [
        "Decisions", "What changed", "Scores", "Item by item", "Losses", "Drift", "Map",
        "Corpora", "Lineage", "Steps",
    ]  # fmt: skip
    for night, page in zip(finished.nights, finished.pages, strict=True):
        assert f"<h1>Night {night.number} of night: {night.status.value}</h1>" in page
        found = re.findall(r"<h2[^>]*>([^<]*)</h2>", page)
        assert found == (["Decisions"] if night.status is NightStatus.NOTHING_TO_DO else headings)
    assert "no step ran" in finished.pages[2]
    assert "A trial with models.cbow.epochs=3" in finished.pages[3]
    assert "Not accepted" in finished.pages[4]


def test_the_second_night_is_compared_with_the_first(finished: Finished) -> None:
    text = text_of(finished.pages[1])
    assert "Compared with night 1, the last accepted one before." in text
    assert "text: documents 100 120 +20" in text
    assert "20 words new since night 1" in text
    assert "The config and the code are the same." in text
    # A trial differs in its key; a night that was not accepted is nothing to compare with.
    assert "models.cbow.epochs 2 3" in text_of(finished.pages[3])
    assert "Compared with night 3" in text_of(finished.pages[4])


def test_scores_are_drawn_by_version_with_intervals_and_promotions(finished: Finished) -> None:
    page = finished.pages[1]
    scores = page.partition(">Scores</h2>")[2].partition("<h2")[0]
    (first, *_) = re.findall(r"<svg.*?</svg>", scores)
    assert first.count('class="c0 interval"') == 2
    assert first.count("l6 6l-6 6") == 2  # both became champion
    assert re.findall(r">(\d v\d)</text>", first) == ["1 v1", "2 v2"]
    assert "night 2, v2 promoted" in first
    assert "Coverage" in scores


def test_a_later_night_does_not_change_an_earlier_page(
    finished: Finished, project: HandMade
) -> None:
    """Only the end differs: the page was made a moment before it."""
    night = Nights(project.loaded.pipeline_dir).get(1)
    again = make_page(project.loaded, night)
    scores = ">Scores</h2>(.*?)<h2"
    for pattern in (scores, ">Decisions</h2>(.*?)<h2", ">Losses</h2>(.*?)<h2"):
        then, now = (re.search(pattern, page, re.DOTALL) for page in (finished.pages[0], again))
        assert then is not None
        assert now is not None
        assert then[1] == now[1]
    assert make_page(project.loaded, night) == again


def test_items_are_compared_by_name(finished: Finished, project: HandMade) -> None:
    facts = read_facts(project.loaded, Nights(project.loaded.pipeline_dir).get(2))
    found = champion_before(facts, "w2v")
    assert found is not None
    number, champion = found
    assert number == 1
    candidate = facts.evaluation_of("w2v", str(facts.models["w2v"].embeddings))
    assert candidate is not None
    assert champion is not None
    (items,) = item_differences(facts, candidate, champion)
    assert len(items.names) == 20
    best, worst = items.extremes(3)
    assert "word006 / word007" in {items.names[place] for place in (*best, *worst)}
    assert "word006 / word007" in finished.pages[1]
    same = item_differences(facts, candidate, candidate)[0]
    assert (same.n_better, same.n_worse) == (0, 0)


def test_losses_of_candidate_and_champion_are_drawn(finished: Finished) -> None:
    losses = finished.pages[1].partition(">Losses</h2>")[2].partition("<h2")[0]
    (chart,) = re.findall(r"<svg.*?</svg>", losses)
    assert chart.count("<polyline") == 2
    assert "champion v1" in chart
    assert "w2v: no losses" in losses


def test_the_word_that_moved_is_named(finished: Finished) -> None:
    drift = finished.pages[1].partition(">Drift</h2>")[2].partition("<h2")[0]
    moved = re.search(r"Words that moved most.*?</svg>", drift, re.DOTALL)
    assert moved is not None
    assert re.findall(r'<text x="8"[^>]*>([^<]+)</text>', moved[0])[0] == "word007"


def test_what_is_no_longer_kept_is_named(finished: Finished, project: HandMade) -> None:
    night = Nights(project.loaded.pipeline_dir).get(1)
    gone = replace(night, steps=tuple(replace(step, version="0" * 12) for step in night.steps))
    page = text_of(make_page(project.loaded, gone))
    for said in (
        "its vectors and its scores are no longer kept",
        "w2v: its vectors are no longer kept",
        "its documents (000000000000) are no longer kept",
        "published; no longer kept",
    ):
        assert said in page
    assert "w2v" in finished.pages[0]


def test_a_measured_drift_is_drawn_beside_its_floor(tmp_path: Path, finished: Finished) -> None:
    """With a hand-made artifact, as the stage that measures it writes them."""
    shutil.copytree(finished.config.parent, tmp_path / "project")
    project = HandMade.__new__(HandMade)
    project.directory, project.path = tmp_path / "project", tmp_path / "project" / "night.yaml"
    night = Nights(project.loaded.pipeline_dir).get(2)
    (decision,) = [one for one in night.decisions if one["model"] == "w2v"]
    before, after = (decision[role]["embeddings"] for role in ("champion", "candidate"))
    artifact = publish_drift(project, before, after)
    drift = {
        "artifact": artifact, "before": 1, "lost": 0.31, "low": 0.2, "high": 0.42,
        "tolerance": 0.1, "is_alarm": True, "n_shared": 100, "n_beyond": 1, "n_come": 0,
        "n_gone": 0, "residual": 0.1, "note": "", "said": "31% of the neighbours are gone",
    }  # fmt: skip
    told = replace(night, decisions=({**decision, "drift": drift},))
    page = make_page(project.loaded, told)
    drawn = page.partition(">Drift</h2>")[2].partition("<h2")[0]
    text = text_of(f"<body>{drawn}")
    assert '<p class="alarm">31% of the neighbours are gone</p>' in drawn
    assert f"measured in {artifact}" in text
    assert "100 words of both compared, 1 beyond chance" in text
    assert "word007 0.900, another seed 0.050" in text
    assert "king, queen" in text
    changes = words_between(read_facts(project.loaded, told), "w2v", before, after)
    assert changes is not None
    assert (changes.n_beyond, changes.n_measured, changes.moved[0].floor) == (1, 100, 0.05)
    # Of another pair it says nothing.
    other = words_between(read_facts(project.loaded, told), "w2v", after, before)
    assert other is not None
    assert other.n_beyond is None


NEIGHBORS = pa.list_(pa.field("element", pa.string(), nullable=False))
DRIFT_WORDS = pa.schema(
    {
        "token": pa.string(), "count_before": pa.int64(), "count_after": pa.int64(),
        "displacement": pa.float64(), "floor_displacement": pa.float64(),
        "overlap": pa.float64(), "floor_overlap": pa.float64(), "is_beyond": pa.bool_(),
        "neighbors_before": NEIGHBORS, "neighbors_after": NEIGHBORS,
    }
)  # fmt: skip


def publish_drift(project: HandMade, before: str, after: str) -> str:
    rows = [
        {"token": "word007", "count_before": 80, "count_after": 81, "displacement": 0.9,
         "floor_displacement": 0.05, "overlap": 0.1, "floor_overlap": 0.6, "is_beyond": True,
         "neighbors_before": ["king", "queen"], "neighbors_after": ["word001"]},
        {"token": HOSTILE[0], "count_before": 80, "count_after": 81, "displacement": 0.1,
         "floor_displacement": 0.05, "overlap": None, "floor_overlap": None, "is_beyond": False,
         "neighbors_before": None, "neighbors_after": None},
    ]  # fmt: skip

    def write(staging: Staging) -> None:
        staging.write("words", pa.Table.from_pylist(rows, DRIFT_WORDS))
        staging.counts.update(shared=100, beyond=1)

    identity = Identity(
        stage="drift",
        name="w2v",
        config={"model": "w2v", "before": {"version": before, "digest": ""}, "noise": None},
        parents={schemas.EMBEDDINGS: after},
        code={"revision": 1},
    )
    return str(publish(project.loaded.artifacts_dir, identity, write, None))


# -- where it is kept --------------------------------------------------------------------------


def test_pages_stay_while_events_are_deleted(project: HandMade) -> None:
    nights = Nights(project.loaded.pipeline_dir)
    assert not any(path.suffix == ".html" for path in nights.repeated_files())
    for number in nights.numbers()[:-1]:
        names = sorted(path.name for path in nights.path(number).iterdir())
        assert names == ["begin.json", "night.json", "report.html"]


def test_mlflow_has_the_page_and_a_link_that_leads_there(
    finished: Finished, project: HandMade
) -> None:
    uri = project.place.uri
    client = mlflow.MlflowClient(uri, uri)
    version = client.get_model_version("night-w2v", "2")
    files = {found.path for found in client.list_artifacts(version.run_id)}
    assert "night-000002.html" in files
    experiment = client.get_run(version.run_id).info.experiment_id
    path = f"experiments/{experiment}/runs/{version.run_id}/artifacts/night-000002.html"
    assert version.tags["nightjar.night_page"] == path
    link = f"Report of night 2: [night-000002.html](#/{path}?workflowType=machine_learning)"
    assert version.description.count(link) == 1
    # The verdict, which later nights replace, stays at the end.
    assert version.description.index(link) < version.description.index("\n\nGate: ")
    kept = client.download_artifacts(version.run_id, "night-000002.html")
    assert Path(kept).read_text(encoding="utf-8") == finished.pages[1]


def test_a_report_that_fails_is_an_alarm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = HandMade(tmp_path / "project")

    def fails(*_: object) -> str:
        raise ZeroDivisionError("a bug")

    with monkeypatch.context() as patched:
        patched.setattr(night_report, "night_page", fails)
        night = project.night()
    assert night.status is NightStatus.COMPLETED
    assert outcome(night) == "promoted"
    (alarm,) = night.alarms
    assert alarm.startswith("the night's report is not finished: a bug")
    assert Nights(project.loaded.pipeline_dir).get(1).alarms == night.alarms
    assert not page_path(project.loaded, 1).exists()

    def is_full(*_: object) -> None:
        raise StoreNotWritable("no space")

    with monkeypatch.context() as patched:
        patched.setattr(night_report, "replace", is_full)
        assert "no space" in project.night().alarms[0]
    assert asked(project.path, "nights", "report", "1").strip() == str(page_path(project.loaded, 1))
    assert "Night 1 of night: completed" in page_path(project.loaded, 1).read_text()


def test_a_failed_night_has_a_page(tmp_path: Path) -> None:
    project = HandMade(tmp_path / "project")
    (project.directory / "vectors.txt").write_text("left0 1.0 0.0\nright0 x 1\n")
    with pytest.raises(Exception, match=r"vectors\.txt"):
        project.night()
    page = page_path(project.loaded, 1).read_text(encoding="utf-8")
    assert "<h1>Night 1 of night: failed</h1>" in page
    assert "vectors.txt" in text_of(page)


# -- commands ----------------------------------------------------------------------------------


def test_the_command_names_the_page_and_copies_it(
    finished: Finished, project: HandMade, tmp_path: Path
) -> None:
    path = page_path(project.loaded, 5)
    assert asked(project.path, "nights", "report").strip() == str(path)
    assert asked_json(project.path, "nights", "report", "2") == {
        "night": 2,
        "page": str(page_path(project.loaded, 2)),
    }
    copy = tmp_path / "copy.html"
    assert asked(project.path, "nights", "report", "last~1", "-o", copy).strip() == str(copy)
    assert copy.read_text(encoding="utf-8") == finished.pages[2]
    assert "there is no night 9" in str(refused(project.path, "nights", "report", "9"))
    assert "name a night by its number" in str(refused(project.path, "nights", "report", "x"))
    assert "not so many nights" in str(refused(project.path, "nights", "report", "last~7"))


def test_last_counts_no_trials(project: HandMade) -> None:
    assert [find_night(project.loaded, name).number for name in ("last", "last~1", "4")] == [
        5,
        3,
        4,
    ]


def test_diff_says_the_same_in_a_terminal(project: HandMade) -> None:
    told = asked(project.path, "diff", "1", "2", "-n", "3")
    assert re.search(r"documents +100 +120 +\+20", told)
    assert "config and code: the same" in told
    assert "new words: 20: word100 (1), word101 (1), word102 (1)\n" in told
    assert "word007" in told
    assert "before: v1 promoted, 104 words" in told
    assert "train cbow" in told
    found = asked_json(project.path, "diff", "1", "2")
    assert [found[side]["night"] for side in ("before", "after")] == [1, 2]
    (corpus,) = found["corpora"]
    assert corpus["vocabulary"]["n_come"] == 20
    w2v, cbow = found["models"]
    assert w2v["words"]["moved"][0]["token"] == "word007"
    assert cbow["words"]["n_come"] == 20
    assert len(cbow["after"]["losses"]) == 2
    assert w2v["after"]["scores"]["pairs"]["n_items"] == 24
    same = asked_json(project.path, "diff", "2", "2")
    assert same["config"] == []
    assert same["models"][0]["words"]["note"] == "these are the same vectors"
    trial = asked_json(project.path, "diff", "2", "4")
    changed = {one["key"]: (one["before"], one["after"]) for one in trial["config"]}
    assert changed == {"models.cbow.epochs": (2, 3)}


def test_hostile_tokens_reach_no_terminal(project: HandMade) -> None:
    told = asked(project.path, "diff", "1", "2", "-n", "200")
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", told)


@pytest.mark.parametrize(
    "arguments",
    [("3",), ("1", "2", "3"), ("1", "2", "--corpus", "text"), ("1", "2", "--against", "1")],
)
def test_diff_takes_two_nights_or_documents(project: HandMade, arguments: tuple[str, ...]) -> None:
    assert "'nightjar diff' takes two nights" in str(refused(project.path, "diff", *arguments))


# -- in a browser ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("needs the browser chromium on the PATH")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu"]
        )
        yield started
        started.close()


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """Opens a page without network; in the end nothing was said, asked for or loaded."""
    contexts, trouble = [], []

    def open_(page: str, width: int = 1280, **more: Any) -> Any:
        path = tmp_path / "page.html"
        path.write_text(page, encoding="utf-8")
        context = browser.new_context(
            viewport={"width": width, "height": 800}, offline=True, **more
        )
        contexts.append(context)
        tab = context.new_page()
        tab.on("dialog", lambda said: (trouble.append(said.message), said.dismiss()))
        tab.on("pageerror", lambda error: trouble.append(str(error)))
        tab.on("console", lambda said: trouble.append(said.text))
        tab.on(
            "request",
            lambda sent: None if sent.url == path.as_uri() else trouble.append(sent.url),
        )
        tab.goto(path.as_uri())
        return tab

    yield open_
    for context in contexts:
        context.close()
    assert trouble == []


@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits_its_width_and_loads_nothing(finished: Finished, opened: Any, width: int) -> None:
    tab = opened(finished.pages[1], width)
    tab.evaluate("document.querySelectorAll('details').forEach(found => found.open = true)")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    boxes = tab.locator("svg").evaluate_all(
        "found => found.map(one => one.getBoundingClientRect()).map(box => [box.left, box.right])"
    )
    assert len(boxes) > 10
    assert all(left >= 0 and right <= width for left, right in boxes)
    small = tab.locator("svg.chart").evaluate_all(
        "found => found.map(one => one.getBoundingClientRect().width / one.viewBox.baseVal.width)"
    )
    assert min(small) * 11 >= 9  # pixels of the smallest text
    # Labels of an axis do not run into each other.
    for chart in tab.locator("svg.chart").all()[:4]:
        ends = chart.locator("text[text-anchor=middle]").evaluate_all(
            "found => found.map(one => one.getBoundingClientRect()).map(b => [b.left, b.right])"
        )[:-1]
        for one, other in pairwise(ends):
            assert one[1] <= other[0]


def test_hostile_tokens_are_text(finished: Finished, opened: Any) -> None:
    tab = opened(finished.pages[1])
    tab.evaluate("document.querySelectorAll('details').forEach(found => found.open = true)")
    assert tab.locator("img, iframe, object, embed, base, link").count() == 0
    assert tab.locator("script").count() == 1
    assert [one.get_attribute("href")[0] for one in tab.locator("a").all()] == ["#"] * 10
    titles = tab.locator(".map").first.locator("title").all_text_contents()
    assert len(titles) == len(WORDS)
    assert any(title.startswith(HOSTILE[0]) for title in titles)
    whole = tab.evaluate("document.documentElement.outerHTML")
    assert "\u202e" not in whole
    assert "\\u202eevil" in whole
    assert max(map(len, titles)) < 80


def test_the_map_finds_words_and_shows_what_is_hostile_as_text(
    finished: Finished, opened: Any
) -> None:
    tab = opened(finished.pages[1])
    first = tab.locator(".map").first
    field = first.locator("input")
    field.fill("kin")
    found = first.locator("ul li").all_inner_texts()
    assert {text.partition(",")[0] for text in found} == {"king", "kind", "kingdom"}
    assert first.locator("circle.hit").count() == 3
    assert tab.locator(".map").nth(1).locator("circle.hit").count() == 0
    field.fill("<img")
    assert first.locator("ul li").all_inner_texts()[0].startswith(HOSTILE[0])
    field.fill("nowhere")
    assert first.locator("ul li").all_inner_texts() == ["nothing on the map begins like this"]
    field.fill("")
    assert first.locator("ul li").count() == first.locator("circle.hit").count() == 0


def test_without_javascript_everything_but_the_search_is_there(
    finished: Finished, opened: Any
) -> None:
    tab = opened(finished.pages[1], java_script_enabled=False)
    assert tab.locator(".map circle").count() > len(WORDS)
    assert tab.locator(".map input").first.is_disabled()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(finished: Finished, opened: Any, scheme: str) -> None:
    tab = opened(finished.pages[1], color_scheme=scheme)
    ink, ground = tab.evaluate(
        "['color', 'backgroundColor'].map(name => getComputedStyle(document.body)[name])"
    )
    fill = tab.locator("svg.chart text").first.evaluate("found => getComputedStyle(found).fill")
    assert fill == ink
    assert abs(brightness(ink) - brightness(ground)) > 150


def brightness(colour: str) -> float:
    red, green, blue = map(int, re.findall(r"\d+", colour)[:3])
    return 0.3 * red + 0.6 * green + 0.1 * blue


def test_the_store_is_what_the_page_was_made_from(project: HandMade) -> None:
    """Nothing was written but pages: each artifact is whole."""
    store = Store(project.loaded.artifacts_dir)
    for ref in store.versions(schemas.EMBEDDINGS):
        assert store.verify(ref) == []
