"""The explorer's overview, its document search, and what keeps its pages readable."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from explorer_support import HOSTILE, Explored, make_explored, measure_floor_by_hand
from lookup_support import lookup_model
from nights_support import GOOD, POOR, HandMade
from sharing_support import shared

dash = pytest.importorskip("dash", reason="needs the extra 'explore'")

from nightjar.config import LoadedConfig, load_config  # noqa: E402 (after the check)
from nightjar.core import Nights  # noqa: E402
from nightjar.explorer.app import changed, draw, make_app  # noqa: E402
from nightjar.explorer.floors import floor_for  # noqa: E402
from nightjar.explorer.library import Library  # noqa: E402
from nightjar.explorer.overview import read_overview  # noqa: E402
from nightjar.explorer.pages.elements import Screen  # noqa: E402
from nightjar.explorer.pages.scores_page import benchmark_figure  # noqa: E402
from nightjar.explorer.start_words import start_words  # noqa: E402
from nightjar.explorer.view import View, read_view  # noqa: E402
from nightjar.files.harmless_text import visible  # noqa: E402
from nightjar.pipeline import accept_last_night  # noqa: E402
from nightjar.pipeline.history import History, Judged, Measurement  # noqa: E402
from nightjar.pipeline.provenance import read_provenance  # noqa: E402
from nightjar.scoring.scores import ALL, Score  # noqa: E402


@pytest.fixture(scope="module")
def explored(tmp_path_factory: pytest.TempPathFactory) -> Explored:
    return shared(tmp_path_factory, "explored", make_explored)


@pytest.fixture(scope="module")
def library(explored: Explored) -> Library:
    return Library(load_config(explored.config, []))


@pytest.fixture(scope="module")
def three_nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shared(tmp_path_factory, "three_nights", make_three_nights)


def make_three_nights(directory: Path) -> Path:
    """A promotion, a blocked candidate, and a night whose corpus is not accepted."""
    project = HandMade(directory / "project", models=two_models())
    for name in ("vectors.txt", "other.txt"):
        project.write_vectors(_QUALITY, name)
    project.night()
    project.write_vectors(POOR)
    project.night()
    project.write_text(10)
    project.night()
    return project.path


_QUALITY = 0.9


def two_models() -> dict[str, Any]:
    files = {"words": "vectors.txt", "other": "other.txt"}
    return {
        name: {"trainer": "import", "path": path, "format": "glove"} for name, path in files.items()
    }


def copied(config: Path, directory: Path) -> LoadedConfig:
    """A copy of a project, free to change."""
    shutil.copytree(config.parent, directory)
    return load_config(directory / config.name)


def page(loaded: LoadedConfig, address: str) -> str:
    """The text of a finished page, with every address in it."""
    path, _, search = address.partition("?")
    library = Library(loaded)
    for _ in range(100):
        components, is_finished = draw(library, read_view(path, search), Screen())
        if is_finished:
            return json.dumps(dash.html.Div(components).to_plotly_json(), cls=_Encoder)
    raise AssertionError("never finished")


class _Encoder(json.JSONEncoder):
    def default(self, o: Any) -> Any:
        return o.to_plotly_json()


def edit_record(loaded: LoadedConfig, number: int, values: Mapping[str, Any]) -> None:
    """Change the record of a night by hand."""
    path = Nights(loaded.pipeline_dir).path(number) / "night.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**record, **values}), encoding="utf-8")


# -- the overview ----------------------------------------------------------------------------


def test_the_overview_before_the_first_night_says_what_to_do(tmp_path: Path) -> None:
    text = page(HandMade(tmp_path / "project").loaded, "/")
    assert "There is no night yet: 'nightjar run'" in text
    assert "none yet" in text


def test_the_overview_says_what_stands_and_why(three_nights: Path) -> None:
    loaded = load_config(three_nights)
    found = read_overview(loaded)
    assert found.problems == ()
    words, other = found.models
    assert words.champion is not None
    assert (words.champion.version.number, words.champion.event.night) == (1, 1)
    (score,) = words.champion.scores
    assert (score.benchmark, score.coverage) == ("pairs", 1.0)
    assert score.value is not None
    assert score.ci_low is not None
    assert score.ci_high is not None
    assert score.ci_low < score.value < score.ci_high <= 1
    assert words.challenger is not None
    assert (words.challenger.number, words.challenger.outcome) == (2, "blocked")
    assert words.challenger.night == 3
    assert re.search(r"1\.9\d+ below the champion", words.challenger.reason)
    assert other.champion is not None
    assert other.challenger is None  # the candidate is the champion
    (corpus,) = found.corpora
    assert (corpus.night, dict(corpus.amounts)) == (1, {"documents": 100, "tokens": 300})
    assert "90.0% of the documents are lost" in corpus.refused
    assert [night.number for night in found.nights] == [3, 2, 1]
    assert found.last is not None
    assert found.last.number == 3


def test_the_overview_leads_to_the_pages_with_the_versions_chosen(three_nights: Path) -> None:
    text = page(load_config(three_nights), "/")
    for address in (
        "/words?right=words%401",
        "/map?right=other%401",
        "/cards?right=words%401",
        "/cards?right=words%402",
        "/moved?left=words%401&right=words%402",
    ):
        assert f'"{address}"' in text
    assert text.index("1 alarm") < text.index('"Models"')
    assert text.index("corpus text is not accepted") < text.index('"Models"')
    assert re.search(r'"pairs 0\.9\d\d \(0\.\d\d\d to [01]\.\d\d\d\)"', text)
    assert "not accepted: text" in text


def test_a_corpus_that_a_person_accepted_is_not_shown_as_refused(
    three_nights: Path, tmp_path: Path
) -> None:
    loaded = copied(three_nights, tmp_path / "copy")
    accept_last_night(loaded, read_provenance(loaded), "text", "a new source")
    (corpus,) = read_overview(loaded).corpora
    assert (corpus.night, corpus.amounts["documents"], corpus.refused) == (3, 10, "")


def test_a_challenger_is_gone_when_the_config_is_reverted(tmp_path: Path) -> None:
    project = HandMade(tmp_path / "project")
    project.night()
    project.write_vectors(POOR)
    project.night()
    project.write_vectors(GOOD)
    project.night()
    (model,) = read_overview(project.loaded).models
    assert model.challenger is None
    assert model.champion is not None
    assert [score.value for score in model.champion.scores] == [1.0]


def test_without_mlflow_the_ledger_answers(three_nights: Path, tmp_path: Path) -> None:
    loaded = copied(three_nights, tmp_path / "copy")
    before = read_overview(loaded).models
    (loaded.artifacts_dir / "mlflow" / "mlflow.db").write_bytes(b"no database" * 1_000)
    found = read_overview(loaded)
    assert found.models == before
    assert len(found.problems) == 1
    assert found.problems[0].startswith("what follows is by the ledger alone: ")
    assert "MLflow database cannot be read" in page(loaded, "/")
    # And the champion is chosen, not the blocked version that lies beside it.
    champion = before[0].champion
    assert champion is not None
    catalogue = Library(loaded).catalogue()
    assert not all(version.is_champion for version in catalogue.versions)
    left, right = catalogue.pair()
    assert left.embeddings == champion.version.embeddings
    assert (left.is_champion, right.is_champion) == (True, True)


def test_of_many_nights_and_models_only_the_last_nights_are_read(
    three_nights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = copied(three_nights, tmp_path / "copy")
    nights = Nights(loaded.pipeline_dir)
    model = nights.get(2).as_json()["decisions"][0]
    decisions = [{**model, "model": f"model{number:02d}"} for number in range(50)]
    for number in range(4, 504):
        shutil.copytree(nights.path(2), nights.path(number))
        edit_record(loaded, number, {"number": number, "decisions": decisions})
    read: list[int] = []
    get = Nights.get
    monkeypatch.setattr(
        Nights, "get", lambda records, number: read.append(number) or get(records, number)
    )
    found = read_overview(loaded)
    assert [night.number for night in found.nights] == list(range(503, 493, -1))
    assert set(read) <= {*range(494, 504), 1}
    assert len(read) == len(set(read))
    assert found.n_nights == 503
    text = page(loaded, "/")
    assert "blocked: model00, model01, model02 and 47 more" in text
    assert "493 older nights" in text


def test_a_night_that_died_a_trial_and_a_failed_step_are_named(
    three_nights: Path, tmp_path: Path
) -> None:
    loaded = copied(three_nights, tmp_path / "copy")
    nights = Nights(loaded.pipeline_dir)
    steps = nights.get(3).as_json()["steps"]
    failed = [{**steps[0], "outcome": "failed"}]
    edit_record(loaded, 3, {"status": "failed", "steps": failed})
    edit_record(loaded, 2, {"is_trial": True})
    shutil.copytree(nights.path(1), nights.path(4))
    (nights.path(4) / "night.json").rename(nights.path(4) / "begin.json")
    edit = json.loads((nights.path(4) / "begin.json").read_text(encoding="utf-8"))
    edit |= {"number": 4, "status": "running", "ended_at": None, "seconds": None}
    (nights.path(4) / "begin.json").write_text(json.dumps(edit), encoding="utf-8")
    text = page(loaded, "/")
    assert '"ended early"' in text
    assert f"failed: {visible(steps[0]['label'])}" in text
    assert '"completed, a trial"' in text
    damaged = nights.path(3) / "night.json"
    damaged.write_text('{"number": 3}', encoding="utf-8")
    assert "the record of this night cannot be read" in page(loaded, "/")


def test_the_drift_of_the_last_candidate_is_shown(three_nights: Path, tmp_path: Path) -> None:
    loaded = copied(three_nights, tmp_path / "copy")
    decisions = Nights(loaded.pipeline_dir).get(3).as_json()["decisions"]
    drifts = [None, {"lost": 0.12, "low": 0.08, "high": 0.16}]
    edit_record(
        loaded,
        3,
        {"decisions": [{**d, "drift": drift} for d, drift in zip(decisions, drifts, strict=True)]},
    )
    text = page(loaded, "/")
    assert text.count("last candidate: 12% (8% to 16%) of the neighbours") == 1


def test_a_night_with_a_page_leads_to_it(three_nights: Path, tmp_path: Path) -> None:
    loaded = copied(three_nights, tmp_path / "copy")
    nights = Nights(loaded.pipeline_dir)
    assert "/nights/1/report.html" in page(loaded, "/")
    for number in nights.numbers():
        (nights.path(number) / "report.html").unlink()
    assert "/nights/" not in page(loaded, "/")
    (Nights(loaded.pipeline_dir).path(2) / "report.html").write_text("<p>night 2</p>")
    assert "/nights/2/report.html" in page(loaded, "/")
    client = make_app(Library(loaded)).server.test_client()
    answer = client.get("/nights/2/report.html")
    assert (answer.status_code, answer.text, answer.mimetype) == (
        200,
        "<p>night 2</p>",
        "text/html",
    )
    assert client.get("/nights/1/report.html").status_code == 404
    assert client.get(f"/nights/{10**30}/report.html").status_code == 404


# -- which versions are chosen ---------------------------------------------------------------


def test_beside_a_chosen_version_stands_the_champion_of_its_model(three_nights: Path) -> None:
    catalogue = Library(load_config(three_nights)).catalogue()

    def keys(left: str, right: str) -> list[str]:
        return [version.key for version in catalogue.sides(left, right)]

    assert keys("", "words@2") == ["words@1", "words@2"]  # the blocked one is never the default
    assert keys("words@2", "") == ["words@2", "words@1"]
    assert keys("", "other@1") == ["other@1", "other@1"]
    assert "words@2" not in keys("", "")


def test_a_champion_stands_beside_the_one_before(library: Library) -> None:
    sides = library.catalogue().sides("", "w2v@champion")
    assert [version.key for version in sides] == ["w2v@1", "w2v@2"]


# -- documents -------------------------------------------------------------------------------


def test_documents_are_found_as_text(library: Library) -> None:
    loaded = library.loaded
    text = page(loaded, "/documents?query=queen+kingdom&topn=5")
    assert json.dumps(visible(HOSTILE[0]))[1:-1] in text
    assert '"type": "Mark"' in text
    assert text.count('"data-title": "similarity"') == 6  # the head, and five documents
    assert "31 documents" in text


def test_words_without_a_vector_are_named(library: Library) -> None:
    text = page(library.loaded, "/documents?query=king+zzyx")
    assert "the model has no vector for zzyx: other words decide" in text
    assert "has no vector for 1 word: zzyx" in page(library.loaded, "/documents?query=zzyx")


def test_documents_can_be_filtered(library: Library) -> None:
    text = page(library.loaded, "/documents?query=king&contains=word01[02]")
    assert [f':doc{row}"' in text for row in (4, 5, 6)] == [False, True, True]
    assert "no document passes" in page(library.loaded, "/documents?query=king&contains=nothing")
    assert "is not a regular expression" in page(library.loaded, "/documents?query=king&contains=(")
    wrong = page(library.loaded, "/documents?query=king&source=x")
    assert "no document has the source 'x'; there are s" in wrong
    assert "document_vectors" in page(library.loaded, "/documents?query=king&entry=nobody")


def test_without_documents_to_search_the_page_says_why(
    three_nights: Path, explored: Explored, library: Library
) -> None:
    assert "embeds no documents" in page(load_config(three_nights), "/documents")
    assert "embeds no documents" in page(load_config(three_nights), "/documents?query=king")
    assert "Describe what you look for" in page(library.loaded, "/documents")
    loaded = load_config(explored.config, ["pipeline.name=new"])
    assert "no night is accepted" in page(loaded, "/documents?query=king")


def test_an_empty_index_is_said(tmp_path: Path) -> None:
    """None of the documents has a word that the model knows."""
    project = HandMade(tmp_path / "project", document_vectors={"documents": {"model": "words"}})
    (project.directory / "text.txt").write_text("nothing known\n", encoding="utf-8")
    project.night()
    text = page(project.loaded, "/documents?query=left1")
    assert "the index of documents is empty: of 1 document none has a known word" in text


def test_the_fields_of_documents_go_into_the_address(library: Library) -> None:
    catalogue = replace(library.catalogue(), entries=("documents", "others"))
    now = {"query": "king", "contains": "", "source": "", "entry": "documents", "topn": 15}
    assert changed(View("/documents"), catalogue, now) == "?query=king"
    other = {**now, "entry": "others"}
    assert changed(View("/documents", query="king"), catalogue, other) == (
        "?query=king&entry=others"
    )
    back = changed(View("/documents", query="king", entry="others"), catalogue, now)
    assert back == "?query=king&entry=documents"


# -- words to start from ---------------------------------------------------------------------


def test_start_words_are_about_something(tmp_path: Path) -> None:
    """Of 40 function words, 300 words on 30 subjects and 100 that were hardly learned."""
    generator = np.random.default_rng(1)
    subjects = generator.standard_normal((30, 16))
    functions = 0.4 * generator.standard_normal((40, 16)) + 1.0
    about = np.repeat(subjects, 10, axis=0) * 3 + 0.6 * generator.standard_normal((300, 16))
    rare = generator.standard_normal((100, 16))
    words = [
        *(f"f{chr(97 + n % 26)}{'x' * (n // 26)}" for n in range(40)),
        *(f"topic{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(300)),
        *(f"rare{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(100)),
    ]
    order = np.concatenate([np.arange(40), 40 + generator.permutation(300), np.arange(340, 440)])
    matrix = np.concatenate([functions, about, rare]).astype(np.float32)[order]
    counts = [*(20_000 - 300 * n for n in range(40)), *(1_500 - n for n in range(300))]
    counts += [5] * 100
    table = lookup_model(
        tmp_path / "model", [words[row] for row in order], matrix, counts=counts
    ).table
    rows = start_words(table)
    tokens = table.tokens_of(rows)
    assert len(tokens) >= 20
    assert all(token.startswith("topic") for token in tokens)
    subjects_of = {(order[row] - 40) // 10 for row in rows.tolist()}
    assert len(subjects_of) >= 20  # of thirty
    assert start_words(table).tolist() == rows.tolist()


@pytest.mark.parametrize("n_words", [1, 3, 60])
def test_small_vocabularies_have_start_words_too(tmp_path: Path, n_words: int) -> None:
    table = lookup_model(tmp_path / "model", [f"{'ab'[n % 2]}{n}" for n in range(n_words)]).table
    assert 0 < len(start_words(table)) <= 40


# -- axes ------------------------------------------------------------------------------------


def test_a_spoilt_night_is_marked_at_the_border_with_its_value() -> None:
    values = [0.40, 0.41, 0.39, -0.9, 0.42, 0.40]
    history = History(tuple(measured(n, value) for n, value in enumerate(values)), (), ())
    figure = benchmark_figure(history, "pairs", ["words"], Screen())
    low, high = figure["layout"]["yaxis"]["range"]
    assert 0.3 < low < high < 0.5
    whole, border = figure["data"]
    assert whole["y"][3] == -0.9
    assert (border["y"], border["text"]) == ([low], ["-0.900"])
    assert border["x"] == [whole["x"][3]]


def measured(night: int, value: float) -> Measurement:
    score = Score(
        "words", "pairs", ALL, "spearman", value, value - 0.03, value + 0.03, 9, 9, 99, 0.1, True
    )
    time = datetime(2026, 11, 1 + night, tzinfo=UTC)
    judged = Judged("words", night, time, False, f"e{night}", {"pairs": score}, night, "blocked")
    return Measurement(judged, score, has_been_champion=False)


# -- the floor beside moved words ------------------------------------------------------------


def test_without_a_floor_the_page_says_how_to_get_one(explored: Explored, library: Library) -> None:
    address = "/moved?left=w2v%401&right=w2v%402&least=1"
    text = page(library.loaded, address)
    assert "The vectors of w2v are imported, so what chance alone would move" in text
    trained = load_config(explored.config, ["models.w2v={trainer: word2vec}"])
    text = page(trained, address)
    assert "'nightjar noise w2v --seeds 3' measures it" in text
    assert '"name": "beyond the floor", "showlegend": false' in text


def test_words_beyond_their_floor_are_marked(explored: Explored, tmp_path: Path) -> None:
    loaded = copied(explored.config, tmp_path / "copy")
    measure_floor_by_hand(loaded.artifacts_dir, "w2v", explored.embeddings[1], 0.2)
    version = Library(loaded).catalogue().find("w2v@2")
    floor = floor_for(Library(loaded).store, version, 0.25)
    assert floor is not None
    assert floor.least_counts.tolist() == [0, 50]
    assert floor.bands_of(np.array([1, 49, 50, 10**6])).tolist() == [0, 0, 1, 1]
    text = page(loaded, "/moved?left=w2v%401&right=w2v%402&least=1")
    assert "1 word moved farther than chance moves words of their frequency" in text
    assert text.count('"mark gone"') == 1
    assert "(floor 0.100)" in text  # word007 is frequent
    assert '"y": [0.2, 0.2, 0.1, 0.1]' in text
    assert '"y": [0.4, 0.4, 0.2, 0.2]' in text


def test_a_floor_that_no_word_reaches_is_in_the_picture_all_the_same(
    explored: Explored, tmp_path: Path
) -> None:
    loaded = copied(explored.config, tmp_path / "copy")
    measure_floor_by_hand(loaded.artifacts_dir, "w2v", explored.embeddings[1], 3.0)
    text = page(loaded, "/moved?left=w2v%401&right=w2v%402&least=1")
    assert "0 words moved farther" in text
    highest = re.search(r'"yaxis": \{[^}]*"range": \[0\.0, ([\d.]+)\]', text)
    assert highest is not None
    assert float(highest.group(1)) > 6


def test_a_floor_of_other_settings_does_not_count(explored: Explored, tmp_path: Path) -> None:
    loaded = copied(explored.config, tmp_path / "copy")
    measure_floor_by_hand(loaded.artifacts_dir, "other", explored.embeddings[1], 0.2)
    version = Library(loaded).catalogue().find("w2v@2")
    assert floor_for(Library(loaded).store, version, 0.25) is None
