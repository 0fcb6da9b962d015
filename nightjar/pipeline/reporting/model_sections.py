"""The sections of a night's page about its models: scores, items, losses, drift and the map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nightjar.drawing import (
    MAX_WORDS,
    Axis,
    Bar,
    Curve,
    MappedWord,
    Page,
    Point,
    bar_chart,
    curve_chart,
    map_of_words,
    place_words,
)
from nightjar.formats.item_titles import Titles, titles_in
from nightjar.pipeline.history import Measurement, read_history
from nightjar.pipeline.reporting.item_differences import (
    ItemDifferences,
    champion_before,
    embeddings_of,
    item_differences,
)
from nightjar.pipeline.reporting.night_difference import words_between
from nightjar.pipeline.reporting.night_facts import ModelFacts, NightFacts
from nightjar.pipeline.reporting.word_changes import WordChanges, matrix_of, read_first
from nightjar.wording import counted, plural_of

_MOST_NIGHTS = 60
_MOST_BENCHMARKS = 12
_N_ITEMS = 8
_MOST_POINTS = 200
_N_MOVED = 25
_LONGEST_NAME = 90
_GONE = "no longer kept"


# -- scores ------------------------------------------------------------------------------------


def draw_scores(page: Page, facts: NightFacts) -> None:
    """Each benchmark by version with intervals, promotions as diamonds; and the coverage."""
    history = read_history(facts.loaded, {}, until=facts.night.number, most_nights=_MOST_NIGHTS)
    if not history.measurements:
        page.text("nothing has been evaluated yet")
        return
    page.text(
        f"The last {_MOST_NIGHTS} nights, a point for each candidate. Lines are confidence "
        f"intervals; a diamond became champion; a hollow point is a trial or was not judged; an "
        f"arrow at the edge is a score far from the others. Scores are comparable where the "
        f"covered items are the same."
    )
    for model in facts.models.values():
        found = [one for one in history.measurements if one.judged.model == model.model]
        page.subheading(model.model)
        if not found:
            page.text("no scores are kept")
            continue
        benchmarks = list(dict.fromkeys(one.score.benchmark for one in found))[:_MOST_BENCHMARKS]
        nights = sorted({one.judged.night for one in found})
        axis = Axis("night, version", _names(found, nights))
        page.plots(
            *(
                _score_chart([one for one in found if one.score.benchmark == name], nights, axis)
                for name in benchmarks
            ),
            _coverage_chart(found, benchmarks, nights, axis),
        )
        _score_table(page, model)


def _names(found: Sequence[Measurement], nights: Sequence[int]) -> dict[int, str]:
    """The night and the version at each place of the axis."""
    names = {}
    for one in found:
        version = "" if one.judged.version is None else f" v{one.judged.version}"
        names[nights.index(one.judged.night)] = f"{one.judged.night}{version}"
    return names


def _score_chart(found: Sequence[Measurement], nights: Sequence[int], axis: Axis) -> str:
    points = [
        Point(
            nights.index(one.judged.night),
            one.score.value,
            one.score.ci_low,
            one.score.ci_high,
            _said(one),
            is_marked=one.has_been_champion,
            is_hollow=one.judged.is_trial or one.judged.version is None,
        )
        for one in found
        if one.score.value is not None
    ]
    if not points:
        return ""
    score = found[-1].score
    return curve_chart(score.benchmark, [Curve("", points)], axis, Axis(score.metric))


def _said(one: Measurement) -> str:
    judged, score = one.judged, one.score
    what = "not judged" if judged.version is None else f"v{judged.version} {judged.outcome}"
    interval = ""
    if score.ci_low is not None and score.ci_high is not None:
        interval = f" ({score.ci_low:.3f} to {score.ci_high:.3f})"
    trial = ", a trial" if judged.is_trial else ""
    return f"night {judged.night}, {what}{trial}: {score.value:.4f}{interval}"


def _coverage_chart(
    found: Sequence[Measurement], benchmarks: Sequence[str], nights: Sequence[int], axis: Axis
) -> str:
    curves = [
        Curve(
            name,
            [
                Point(
                    nights.index(one.judged.night),
                    100 * one.score.coverage,
                    said=f"night {one.judged.night}, {name}: {one.score.n_covered:,} of "
                    f"{counted(one.score.n_items, 'item')}",
                    is_marked=one.has_been_champion,
                )
                for one in found
                if one.score.benchmark == name
            ],
            number,
        )
        for number, name in enumerate(benchmarks)
    ]
    return curve_chart("Coverage", curves, axis, Axis("% of the items", low=0.0, high=100.0))


def _score_table(page: Page, model: ModelFacts) -> None:
    if model.missing:
        page.text(model.missing)
    if model.scores:
        page.table(
            ("benchmark", "metric", "tonight", "interval", "items covered"),
            [
                (
                    name,
                    score.metric,
                    "-" if score.value is None else f"{score.value:.4f}",
                    "-"
                    if score.ci_low is None or score.ci_high is None
                    else f"{score.ci_low:.3f} to {score.ci_high:.3f}",
                    f"{score.n_covered:,} of {score.n_items:,}",
                )
                for name, score in model.scores.items()
            ],
        )


# -- items -------------------------------------------------------------------------------------


def draw_items(page: Page, facts: NightFacts) -> None:
    """Candidate against champion, on each item of each benchmark."""
    n_drawn = 0
    for model in facts.models.values():
        found = champion_before(facts, model.model)
        if found is None:
            continue
        number, theirs = found
        ours = facts.evaluation_of(model.model, str(model.embeddings))
        n_drawn += 1
        page.subheading(f"{model.model}: candidate v{model.version} against champion v{number}")
        if ours is None or theirs is None:
            page.text(f"the answers of one of them are {_GONE}")
            continue
        differences = item_differences(facts, ours, theirs)
        if not differences:
            page.text("they share no benchmark")
        page.plots(*(_item_chart(one) for one in differences))
        for one in differences:
            _item_table(page, one)
    if not n_drawn:
        page.text("No candidate was judged against another version as champion.")


def _item_chart(found: ItemDifferences) -> str:
    values = sorted(found.differences.tolist())
    if not values:
        return ""
    every = -(-len(values) // _MOST_POINTS)
    shown = sorted({*range(0, len(values), every), len(values) - 1})
    points = [Point(place + 1, values[place]) for place in shown]
    zero = Curve("", [Point(1, 0.0), Point(len(values), 0.0)], 9, has_dots=False)
    curves = [zero, Curve("", points, 0, is_line=False)]
    return curve_chart(
        f"{found.benchmark}: {counted(len(values), 'item')} that both cover",
        curves,
        Axis("items, from the worst to the best"),
        Axis("candidate less champion", low=-1.05, high=1.05)
        if max(map(abs, values)) > 0.5
        else Axis("candidate less champion"),
    )


def _item_table(page: Page, found: ItemDifferences) -> None:
    n_same = len(found.ours) - found.n_better - found.n_worse
    only = ""
    if found.n_only_ours or found.n_only_theirs:
        only = (
            f" Only the candidate covers {counted(found.n_only_ours, 'item')} more, only the "
            f"champion {found.n_only_theirs:,}."
        )
    page.paragraph(
        f"{found.benchmark}: {found.n_better:,} better, {found.n_worse:,} worse, {n_same:,} the "
        f"same. The value of an item is {found.about}.{only}"
    )
    best, worst = found.extremes(_N_ITEMS)
    rows = [
        (
            mark,
            found.names[place][:_LONGEST_NAME],
            f"{found.theirs[place]:.3f}",
            f"{found.ours[place]:.3f}",
            f"{found.differences[place]:+.3f}",
        )
        for mark, places in (("better", best), ("worse", worst))
        for place in places
    ]
    if rows:
        with page.folded(f"The items of {found.benchmark} that changed most"):
            page.table(("", "item", "champion", "candidate", "difference"), rows)


# -- losses ------------------------------------------------------------------------------------


def draw_losses(page: Page, facts: NightFacts) -> None:
    """The mean loss of each epoch, beside that of the champion before."""
    charts, without = [], []
    for model in facts.models.values():
        if not model.losses:
            without.append(model.model)
            continue
        curves = [Curve("tonight", _losses(model.losses), 0), *_champions_losses(facts, model)]
        values = [point.y for curve in curves for point in curve.points]
        margin = 0.05 * (max(values) - min(values)) or 1e-3
        charts.append(
            curve_chart(
                model.model,
                curves,
                Axis("epoch", {epoch: str(epoch) for epoch, _ in model.losses}),
                Axis("mean loss", low=min(values) - margin, high=max(values) + margin),
            )
        )
    page.plots(*charts)
    if without:
        page.text(
            f"{', '.join(without)}: no losses, because the vectors were not trained by epochs or "
            f"are {_GONE}"
        )


def _losses(losses: Sequence[tuple[int, float]]) -> list[Point]:
    return [Point(epoch, loss, said=f"epoch {epoch}: {loss:.4f}") for epoch, loss in losses]


def _champions_losses(facts: NightFacts, model: ModelFacts) -> list[Curve]:
    champion = None if model.decision is None else model.decision.get("champion")
    before = embeddings_of(facts, champion)
    if before is None or before.ref.version == model.embeddings or not before.has_table("losses"):
        return []
    losses = [(row["epoch"], row["mean_loss"]) for row in before.read("losses").to_pylist()]
    number = 0 if champion is None else champion["version"]
    return [Curve(f"champion v{number}", _losses(losses), 1)]


# -- drift -------------------------------------------------------------------------------------


def draw_drift(page: Page, facts: NightFacts, words: Mapping[str, WordChanges]) -> None:
    """How far words moved from the champion before, and which came and went."""
    for name, changes in words.items():
        model = facts.models[name]
        champion = (model.decision or {})["champion"]["version"]
        page.subheading(f"{model.model}: from champion v{champion} to v{model.version}")
        if model.drift is not None:
            _drift_figures(page, model.drift)
        _drift_words(page, changes, facts.embeds(name))
    if not words:
        page.text(
            f"No candidate was judged against another version as champion, or vectors are {_GONE}."
        )


def words_since_champions(facts: NightFacts) -> dict[str, WordChanges]:
    """By model: the words of the candidate beside those of the champion it was judged against."""
    found = {name: _since_champion(facts, model) for name, model in facts.models.items()}
    return {name: changes for name, changes in found.items() if changes is not None}


def _since_champion(facts: NightFacts, model: ModelFacts) -> WordChanges | None:
    if champion_before(facts, model.model) is None or model.decision is None:
        return None
    before = embeddings_of(facts, model.decision["champion"])
    if before is None:
        return None
    return words_between(facts, model.model, before.ref.version, model.embeddings)


def _drift_figures(page: Page, drift: Mapping[str, Any]) -> None:
    if drift.get("is_alarm"):
        page.alarm(str(drift.get("said") or "More neighbours are gone than chance explains."))
    elif drift.get("said") or drift.get("note"):
        page.paragraph(str(drift.get("said") or drift["note"]))
    lost = drift.get("lost")
    if lost is None:
        return
    low, high = drift.get("low"), drift.get("high")
    tolerance = drift.get("tolerance") or 0.0
    page.plots(
        bar_chart(
            "Neighbours lost beyond what another seed loses",
            [
                Bar(
                    "lost",
                    100 * lost,
                    f"{lost:.1%}",
                    None if low is None else 100 * low,
                    None if high is None else 100 * high,
                ),
                Bar("tolerated", 100 * tolerance, f"{tolerance:.1%}", colour=9),
            ],
            "% of the neighbours, with the 95 % interval",
        )
    )


def _drift_words(page: Page, changes: WordChanges, embeds: str) -> None:
    if changes.note:
        page.text(changes.note)
    beyond = "" if changes.n_beyond is None else f", {changes.n_beyond:,} beyond chance"
    if changes.n_measured:
        median = (
            ""
            if changes.median is None
            else f"; half of them moved by less than {changes.median:.3f}"
        )
        page.paragraph(f"{counted(changes.n_measured, embeds)} of both compared{beyond}{median}.")
    title = f"{plural_of(embeds).capitalize()} that moved most"
    page.plots(_moved_chart(title, changes))
    if changes.moved:
        with page.folded(f"{title}, with figures"):
            _moved_table(page, changes, embeds)
    for title, n_words, words in (
        ("new", changes.n_come, changes.come),
        ("gone", changes.n_gone, changes.gone),
    ):
        if not words:
            page.paragraph(f"No {embeds} is {title}.")
            continue
        with page.folded(f"{counted(n_words, embeds)} {title}: the most frequent ones"):
            page.words(named_words(changes.titles, words))


def named_words(titles: Titles, words: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """Words with their counts; of items the title, too."""
    return [(titles.named(token), count) for token, count in words]


def _moved_table(page: Page, changes: WordChanges, embeds: str) -> None:
    has_floor = any(word.floor is not None for word in changes.moved)
    has_neighbors = any(word.neighbors_after for word in changes.moved)
    columns = [embeds, "count", "displacement"]
    columns += ["of another seed"] if has_floor else []
    columns += ["neighbours before", "neighbours after"] if has_neighbors else []
    rows = []
    named = changes.titles.named
    for word in changes.moved[:_N_MOVED]:
        row: list[str | int] = [
            named(word.token)[:_LONGEST_NAME],
            word.count,
            f"{word.displacement:.3f}",
        ]
        row += ["-" if word.floor is None else f"{word.floor:.3f}"] if has_floor else []
        if has_neighbors:
            for neighbors in (word.neighbors_before, word.neighbors_after):
                row.append(", ".join(map(named, neighbors))[:_LONGEST_NAME])
        rows.append(row)
    page.table(columns, rows)


def _moved_chart(title: str, changes: WordChanges) -> str:
    moved = [
        Bar(
            changes.titles.named(word.token),
            word.displacement,
            f"{word.displacement:.3f}"
            + ("" if word.floor is None else f", another seed {word.floor:.3f}"),
            colour=6 if word.is_beyond else 0,
        )
        for word in changes.moved[:12]
    ]
    return bar_chart(title, moved, "cosine distance after aligning")


# -- the map -----------------------------------------------------------------------------------


def draw_map(page: Page, facts: NightFacts, changed: Mapping[str, WordChanges]) -> None:
    """The most frequent words of each candidate; new ones and those that moved in a colour."""
    for model in facts.models.values():
        embeddings = facts.opened("embeddings", model.embeddings)
        if embeddings is None:
            page.text(f"{model.model}: its vectors are {_GONE}")
            continue
        changes = changed.get(model.model)
        table = read_first(embeddings, MAX_WORDS)
        marks = _marks(changes)
        tokens = table.column("token").to_pylist()
        titles = titles_in(embeddings, tokens)
        words = [
            MappedWord(token, count, marks.get(token, 0), titles.get(token))
            for token, count in zip(tokens, table.column("count").to_pylist(), strict=True)
        ]
        names = () if changes is None else ("new since the champion", "moved most")
        places = place_words(matrix_of(table))
        page.part(map_of_words(model.model, words, places, names, facts.embeds(model.model)))


def _marks(changes: WordChanges | None) -> dict[str, int]:
    if changes is None:
        return {}
    # Where chance is not measured, all that is listed may have moved by chance: a tenth at most.
    most = max(1, changes.n_after // 10)
    moved = {
        word.token: 2
        for place, word in enumerate(changes.moved)
        if (place < most if word.is_beyond is None else word.is_beyond)
    }
    return {**moved, **{token: 1 for token, _ in changes.come}}
