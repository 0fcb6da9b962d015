"""Where the explorer starts: what stands, what the last nights did, and what needs a person."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dash import dcc, html

from nightjar.config import NightjarConfig
from nightjar.core import Night, NightStatus
from nightjar.core.nights import StepOutcome
from nightjar.core.units import unit_of
from nightjar.explorer.overview import (
    REPORT,
    Challenger,
    ChampionNow,
    CorpusNow,
    ModelNow,
    Overview,
    read_overview,
)
from nightjar.explorer.pages.elements import Component, Request, notice, table
from nightjar.explorer.view import View
from nightjar.files.harmless_text import visible
from nightjar.promotion import EventKind
from nightjar.scoring.scores import Score
from nightjar.wording import counted, plural_of

_LONGEST_REASON = 300
_MAX_NAMED = 3


def overview_page(request: Request) -> Component:
    """Alarms of the last night, models, corpora, the last nights."""
    found = read_overview(request.library.loaded)
    problems = [notice(problem) for problem in found.problems]
    return [
        html.H1(visible(request.library.loaded.config.pipeline.name)),
        *problems,
        *_alarms(found),
        html.H2("Models"),
        _models(found.models, request.library.loaded.config),
        html.H2("Corpora"),
        _corpora(found.corpora),
        html.H2("Last nights"),
        _nights(found),
    ]


# -- alarms ------------------------------------------------------------------------------------


def _alarms(found: Overview) -> list[Component]:
    """What needs a person, first."""
    moved = [notice(said) for said in found.moved]
    night = found.last
    if night is None:
        return [
            *moved,
            notice(
                "There is no night yet: 'nightjar run' trains and judges the models of the "
                "configuration; then reload this page.",
                "hint",
            ),
        ]
    which = f"Night {night.number}, {_when(night)}"
    if not night.alarms:
        return [*moved, html.P(f"{which}: no alarm.", className="quiet")]
    return [
        *moved,
        html.Section(
            [
                html.H2(f"{which}: {counted(len(night.alarms), 'alarm')}"),
                html.Ul([html.Li(visible(alarm, None)) for alarm in night.alarms]),
            ],
            className="notice problem alarms",
            role="alert",
        ),
    ]


# -- models ------------------------------------------------------------------------------------


def _models(models: Sequence[ModelNow], config: NightjarConfig) -> Component:
    head = ["model", "champion", "score (interval)", "covered", "challenger", "look at"]
    rows = [
        [
            html.Strong(visible(found.model)),
            _champion(found),
            *_scores(found.champion),
            _challenger(found),
            _links(found, plural_of(unit_of(config, found.model))),
        ]
        for found in models
    ]
    return table(head, rows, is_stacked=True)


def _champion(found: ModelNow) -> Component:
    """Which version, since when, and what a person should know of it."""
    now = found.champion
    lines: list[Component] = []
    if now is None:
        lines.append("none yet")
    else:
        night = "" if now.event.night is None else f", night {now.event.night}"
        how = _HOW.get(now.event.kind, now.event.kind.value.replace("_", " "))
        lines += [
            _version_link("/cards", found.model, now.version.number),
            html.Small(f"since {now.event.time:%Y-%m-%d %H:%M}{night}, {how}"),
        ]
    if found.hold:
        lines.append(html.Small(f"held: {visible(found.hold, _LONGEST_REASON)}"))
    if not found.is_configured:
        lines.append(html.Small("gone from the config"))
    return _lines(lines)


_HOW = {
    EventKind.PROMOTED: "by the gate",
    EventKind.APPROVED: "approved",
    EventKind.FORCED: "forced",
    EventKind.ROLLED_BACK: "rolled back",
    EventKind.RESUMED: "repaired",
}


def _scores(now: ChampionNow | None) -> tuple[Component, Component]:
    """Each benchmark's score with its interval, and the share of its items covered."""
    if now is None:
        return "-", "-"
    scored = [score for score in now.scores if score.value is not None]
    if not scored:
        return ("-" if now.mean is None else f"{now.mean:.3f} (mean)"), "-"
    return (
        _lines([_scored(score) for score in scored]),
        _lines([f"{score.coverage:.0%}" for score in scored]),
    )


def _scored(score: Score) -> Component:
    return html.Span(f"{visible(score.benchmark)} {_value(score)}", className="unbroken")


def _value(score: Score) -> str:
    value = "-" if score.value is None else f"{score.value:.3f}"
    if score.ci_low is None or score.ci_high is None:
        return value
    return f"{value} ({score.ci_low:.3f} to {score.ci_high:.3f})"


def _challenger(found: ModelNow) -> Component:
    challenger = found.challenger
    lines: list[Component] = []
    if challenger is not None:
        lines += [
            html.Span(
                [
                    _version_link("/cards", found.model, challenger.number),
                    " ",
                    html.Span(challenger.outcome, className=f"decision {challenger.outcome}"),
                    _of_night(challenger),
                ]
            ),
            html.Small(visible(challenger.reason, _LONGEST_REASON)),
        ]
    drift = found.drift or {}
    if drift.get("lost") is not None and drift.get("low") is not None:
        lines.append(
            html.Small(
                f"last candidate: {drift['lost']:.0%} ({drift['low']:.0%} to {drift['high']:.0%}) "
                f"of the neighbours that another seed would have kept are gone"
            )
        )
    return _lines(lines) if lines else "-"


def _of_night(challenger: Challenger) -> str:
    return "" if challenger.night is None else f", night {challenger.night}"


def _links(found: ModelNow, units: str) -> Component:
    """The other pages, with the model's versions chosen."""
    now = found.champion
    if now is None:
        return "-"
    key = f"{found.model}@{now.version.number}"
    links = [
        _link(units, View("/words", right=key)),
        _link("map", View("/map", right=key)),
    ]
    challenger = found.challenger
    if challenger is not None:
        other = f"{found.model}@{challenger.number}"
        links.append(_link(f"moved {units}", View("/moved", left=key, right=other)))
    elif found.before is not None:
        before = f"{found.model}@{found.before.number}"
        links.append(_link(f"moved {units}", View("/moved", left=before, right=key)))
    return html.Span(links, className="words links")


def _version_link(path: str, model: str, number: int) -> Component:
    return _link(f"v{number}", View(path, right=f"{model}@{number}"))


def _link(text: str, view: View) -> Component:
    address = view.link()
    return html.Span(text) if address is None else dcc.Link(text, href=address)


# -- corpora -----------------------------------------------------------------------------------


def _corpora(corpora: Sequence[CorpusNow]) -> Component:
    head = ["corpus", "accepted night", "size", "last night"]
    rows = [
        [
            html.Strong(visible(found.corpus)),
            "none yet"
            if found.time is None
            else f"{'by hand' if found.night is None else found.night}, "
            f"{found.time:%Y-%m-%d %H:%M}",
            ", ".join(counted(n, what.removesuffix("s")) for what, n in found.amounts.items()),
            html.Span(
                f"not accepted: {visible(found.refused, _LONGEST_REASON)}", className="refused"
            )
            if found.refused
            else "-"
            if found.time is None
            else "accepted",
        ]
        for found in corpora
    ]
    return table(head, rows, is_stacked=True)


# -- nights ------------------------------------------------------------------------------------


def _nights(found: Overview) -> Component:
    if not found.nights:
        return html.P("none yet", className="quiet")
    rows = [
        [
            str(night.number),
            html.Span(_when(night), className="unbroken"),
            "-" if night.seconds is None else f"{night.seconds:,.0f}",
            _became(night),
            _alarm_list(night),
            html.A("report", href=f"/nights/{night.number}/{REPORT}")
            if night.number in found.reports
            else "-",
        ]
        for night in found.nights
    ]
    head = ["night", "started (UTC)", "seconds", "what became of it", "alarms", "page"]
    n_older = found.n_nights - len(found.nights)
    older = f"{counted(n_older, 'older night')}: 'nightjar nights' lists them." if n_older else None
    return html.Div(
        [
            table(head, rows, numbers=(2,), is_stacked=True),
            html.P(older, className="quiet") if older else None,
        ]
    )


def _alarm_list(night: Night) -> Component:
    if not night.alarms:
        return "-"
    return html.Details(
        [
            html.Summary(counted(len(night.alarms), "alarm")),
            html.Ul([html.Li(visible(alarm, None)) for alarm in night.alarms]),
        ]
    )


def _when(night: Night) -> str:
    return night.started_at[:16].replace("T", " ")


def _became(night: Night) -> Component:
    """The end of a night, and what it decided about corpora and models."""
    status = night.status.value + (", a trial" if night.is_trial else "")
    is_bad = night.status in (NightStatus.FAILED, NightStatus.ENDED_EARLY)
    parts: list[Component] = [html.Span(status, className="refused" if is_bad else None)]
    verdicts = {} if night.is_trial else night.accepted
    refused = [name for name, verdict in verdicts.items() if not verdict["is_accepted"]]
    failed = [step.label for step in night.steps if step.outcome is StepOutcome.FAILED]
    decided: dict[str, list[str]] = {}
    for decision in night.decisions:
        what = "promoted" if decision["is_promoted"] else decision["outcome"]
        decided.setdefault(what, []).append(decision["model"])
    parts += [
        f"{what}: {_named(names)}"
        for what, names in (("failed", failed), ("not accepted", refused), *decided.items())
        if names and what != "unchanged"
    ]
    return _lines(parts)


def _named(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(visible(name) for name in names[:_MAX_NAMED])
    n_more = len(names) - _MAX_NAMED
    return f"{shown} and {n_more} more" if n_more > 0 else shown


def _lines(parts: Iterable[Component]) -> Component:
    return html.Div([html.Div(part) for part in parts], className="lines")
