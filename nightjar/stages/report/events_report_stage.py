"""Report on events: events a day, lengths of sessions, popularity, what was left out."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nightjar.config import EventsCorpusConfig, NightjarConfig
from nightjar.core import Planning
from nightjar.core.stage import StageContext
from nightjar.drawing import Axis, Bar, Curve, Page, Point, bar_chart, curve_chart
from nightjar.stages.report.measures import binned
from nightjar.stages.report.report_runs import (
    DOUBTS,
    PAGE,
    ReportStage,
    drop_rows,
    show_drops,
    show_sources,
    source_rows,
)
from nightjar.store import Artifact, Identity, schemas
from nightjar.wording import counted

REVISION = 1
"""Raise it when the same events give a different report than before."""

_MOST_ITEMS = 50
_POPULARITY_POINTS = 200
_DAY = 86_400_000_000
_LEFT_OUT = (
    *("events_incomplete", "events_of_bots", "events_of_rare_items", "events_repeated"),
    *("sessions_emptied", "sessions_cut", "held_out_sessions_too_short"),
    *("item_rows_repeated", "item_rows_without_item"),
)
"""Counts of an events artifact that say what is not there, or is there otherwise."""
_RATIO = 0.1
_TELLING_EVENTS = 100


def report_events(events: Artifact, tokens: Artifact, context: StageContext) -> None:
    """Write the tables and ``report.html``. Memory: a row group of the events, the vocabulary."""
    staging = context.staging
    days, lengths, counts = _days(events), _lengths(tokens), events.manifest.counts
    vocabulary = tokens.read("vocabulary", ["token", "count"])
    popularity = vocabulary.column("count").to_numpy().cumsum()
    top = pa.table(vocabulary.slice(0, _MOST_ITEMS).columns, schema=schemas.REPORT_TOP_SCHEMA)
    points = np.unique(
        np.geomspace(1, len(popularity), min(_POPULARITY_POINTS, len(popularity))).astype(np.int64)
    )
    sessions = [
        {"min_events": low, "max_events": high, "sessions": n}
        for (low, high), n in binned(lengths).items()
    ]
    sources, drops = source_rows(events), drop_rows(events, _LEFT_OUT)
    for name, table in (
        ("sources", sources),
        ("drops", drops),
        ("days", days),
        ("sessions", pa.Table.from_pylist(sessions, schemas.REPORT_SESSIONS_SCHEMA)),
        (
            "popularity",
            pa.table([points, popularity[points - 1]], schema=schemas.REPORT_POPULARITY_SCHEMA),
        ),
        ("top", top),
    ):
        staging.write(name, table)
    doubts = _doubts(days)
    staging.report[DOUBTS] = doubts
    staging.counts.update(
        events=counts["events"],
        items=counts["items"],
        users=counts["users"],
        sessions=tokens.manifest.counts["sentences"],
        events_held_out=counts["events_held_out"],
        items_described=events.rows(schemas.ITEMS),
        quarantined=counts.get("quarantined", 0),
    )
    page = Page(f"The events {events.manifest.name}")
    page.text(f"{events.ref} and {tokens.ref}")
    page.figures({name.replace("_", " "): f"{n:,}" for name, n in staging.counts.items()})
    if doubts:
        page.heading("Doubts")
        page.items(doubts)
    show_sources(page, sources, "event")
    page.heading("Days and sessions")
    page.plots(_day_chart(days), _session_chart(sessions))
    page.heading("Popularity")
    page.plots(_popularity_chart(points, popularity), _top_chart(top))
    show_drops(page, drops)
    staging.add_file(PAGE).write_text(page.html(), encoding="utf-8")


def _days(events: Artifact) -> pa.Table:
    """The table ``days``: kept events of each day in UTC that has some."""
    by_day: dict[int, int] = {}
    for batch in events.batches(schemas.EVENTS, ["time"]):
        days = batch.column("time").cast(pa.int64()).to_numpy() // _DAY
        for day, n in zip(*np.unique(days, return_counts=True), strict=True):
            by_day[int(day)] = by_day.get(int(day), 0) + int(n)
    found = sorted(by_day)
    return pa.table(
        [pa.array(found, pa.int32()).cast(pa.date32()), [by_day[day] for day in found]],
        schema=schemas.REPORT_DAYS_SCHEMA,
    )


def _lengths(tokens: Artifact) -> NDArray[np.int64]:
    lengths = [
        np.diff(batch.column("token_ids").offsets.to_numpy())
        for batch in tokens.batches("sentences", ["token_ids"])
    ]
    return np.concatenate(lengths).astype(np.int64) if lengths else np.zeros(0, np.int64)


def _doubts(days: pa.Table) -> list[str]:
    """Whether the last whole day is quiet beside the median day.

    The last day of all may have begun just before the night.
    """
    counts = days.column("events").to_numpy()
    usual = float(np.median(counts)) if len(counts) else 0.0
    names = days.column("day").to_pylist()
    if len(counts) < 3 or usual < _TELLING_EVENTS or counts[-2] >= _RATIO * usual:
        return []
    doubt = (
        f"{names[-2]} has {counted(int(counts[-2]), 'event')}, and a day usually has {usual:,.0f}: "
        f"check whether some of its events are not there yet"
    )
    return [doubt]


def _day_chart(days: pa.Table) -> str:
    counts = days.column("events").to_pylist()
    first = days.column("day").cast(pa.int32()).to_pylist()
    points = [Point(float(day - first[0]), float(n)) for day, n in zip(first, counts, strict=True)]
    return curve_chart(
        "Events a day",
        [Curve("", points)],
        Axis(f"days since {days.column('day')[0]}", low=0.0),
        Axis("events", low=0.0, high=1.05 * max(1.0, *map(float, counts), 0.0)),
    )


def _session_chart(sessions: list[dict[str, int]]) -> str:
    bars = [
        Bar(
            str(row["min_events"])
            if row["min_events"] == row["max_events"]
            else f"{row['min_events']:,} to {row['max_events']:,}",
            row["sessions"],
            f"{row['sessions']:,}",
        )
        for row in sessions
    ]
    return bar_chart("Sessions by their number of events", bars, "sessions")


def _popularity_chart(points: NDArray[np.int64], popularity: NDArray[np.int64]) -> str:
    n_items, n_events = len(popularity), float(popularity[-1])
    curve = [
        Point(100 * int(n) / n_items, 100 * float(popularity[n - 1]) / n_events)
        for n in points.tolist()
    ]
    return curve_chart(
        "Share of the events that the most popular items have",
        [Curve("", curve)],
        Axis("% of the items", low=0.0),
        Axis("% of the events", low=0.0, high=105.0),
    )


def _top_chart(top: pa.Table) -> str:
    rows = top.slice(0, 12).to_pylist()
    bars = [Bar(row["token"], row["count"], f"{row['count']:,}", colour=1) for row in rows]
    return bar_chart("Most popular items", bars, "events")


class ReportEvents(ReportStage):
    """The stage that reports on a corpus of events; logged to MLflow as well."""

    source = schemas.EVENTS
    about = "what events are like: days, sessions, popularity, tables and a page"
    tables = {
        "sources": schemas.REPORT_ROWS_SCHEMA,
        "drops": schemas.REPORT_DROPS_SCHEMA,
        "days": schemas.REPORT_DAYS_SCHEMA,
        "sessions": schemas.REPORT_SESSIONS_SCHEMA,
        "popularity": schemas.REPORT_POPULARITY_SCHEMA,
        "top": schemas.REPORT_TOP_SCHEMA,
    }

    @classmethod
    def subjects(cls, config: NightjarConfig) -> Iterable[str]:
        """Every corpus of kind events."""
        return config.corpora_of(EventsCorpusConfig)

    def identity(self, planning: Planning) -> Identity:
        """The two parents and nothing else."""
        return Identity(
            stage=schemas.CORPUS_REPORT,
            name=self.subject,
            config={},
            parents=dict(planning.parents),
            code={"revision": REVISION},
        )

    def report(self, source: Artifact, tokens: Artifact, context: StageContext) -> None:
        """See :func:`.report_events`."""
        report_events(source, tokens, context)
