"""Printing what differs between two nights: ``nightjar diff NIGHT NIGHT``."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from nightjar.cli.outputs import print_line
from nightjar.cli.tables import plain_table, print_table
from nightjar.core.units import WORD
from nightjar.files.harmless_text import visible
from nightjar.formats.item_titles import Titles
from nightjar.pipeline.reporting import NightDifference
from nightjar.pipeline.reporting.night_difference import (
    CorpusDifference,
    ModelDifference,
    ScoreChange,
)
from nightjar.pipeline.reporting.word_changes import WordChanges
from nightjar.scoring.scores import Score
from nightjar.wording import counted, plural_of


def print_difference(console: Console, found: NightDifference, limit: int) -> None:
    """Print everything that differs, and ``limit`` words of each kind."""
    for facts in (found.before, found.after):
        night = facts.night
        trial = f", a trial with {', '.join(night.overrides)}" if night.is_trial else ""
        lasted = "" if night.seconds is None else f", {night.seconds:,.1f} s"
        alarms = f", {counted(len(night.alarms), 'alarm')}" if night.alarms else ""
        print_line(
            console,
            f"night {night.number}: {night.status.value}{trial}, started {night.started_at[:16]}"
            f"{lasted}{alarms}",
        )
    _print_config(console, found)
    for corpus in found.corpora:
        _print_corpus(console, corpus, limit)
    for model in found.models:
        _print_model(console, model, limit, found.after.embeds(model.model))
    _print_steps(console, found)


def _print_config(console: Console, found: NightDifference) -> None:
    if not found.config:
        print_line(console, "config and code: the same")
        return
    table = plain_table("key", "before", "after", wraps=["before", "after"])
    for change in found.config:
        before, after = (_value(value) for value in (change.before, change.after))
        table.add_row(Text(visible(change.key, None)), Text(before), Text(after))
    print_table(console, table)


def _value(value: object) -> str:
    return "-" if value is None else visible(str(value), 200)


def _print_corpus(console: Console, found: CorpusDifference, limit: int) -> None:
    print_line(console, f"corpus {found.corpus}", "bold")
    table = plain_table("", "before", "after", "change")
    for what, before, after in found.figures:
        change = "" if before is None or after is None else f"{after - before:+,}"
        table.add_row(what, _count(before), _count(after), change)
    print_table(console, table)
    for side, word in ((found.before, "before"), (found.after, "after")):
        if side is not None and side.is_accepted is False:
            print_line(console, f"  not accepted {word}: {side.reason}", "yellow")
    side = found.after or found.before
    units = plural_of(WORD if side is None else side.embeds)
    if found.vocabulary is None:
        print_line(console, f"  {units}: the tokens of a night are no longer kept")
        return
    vocabulary = found.vocabulary
    come, gone = vocabulary.come[:limit], vocabulary.gone[:limit]
    _print_words(console, f"new {units}", vocabulary.n_come, come, vocabulary.titles)
    _print_words(console, f"{units} that are gone", vocabulary.n_gone, gone, vocabulary.titles)


def _print_words(
    console: Console,
    title: str,
    n_words: int,
    words: Sequence[tuple[str, int]],
    titles: Titles,
) -> None:
    shown = ", ".join(f"{_named(token, titles)} ({count:,})" for token, count in words)
    print_line(console, f"  {title}: {n_words:,}{f': {shown}' if shown else ''}")


def _named(token: str, titles: Titles) -> str:
    """A token, and of an item the title."""
    title = titles.get(token)
    return f"{visible(token)} ({visible(title)})" if title else visible(token)


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _print_model(console: Console, found: ModelDifference, limit: int, unit: str) -> None:
    print_line(console, f"model {found.model}", "bold")
    for side, word in ((found.before, "before"), (found.after, "after")):
        if side is None:
            print_line(console, f"  {word}: not in the config")
            continue
        version = "-" if side.version is None else f"v{side.version}"
        words = "" if side.n_words is None else f", {counted(side.n_words, unit)}"
        seconds = "" if side.seconds is None else f", trained in {side.seconds:,.1f} s"
        missing = f"; {side.missing}" if side.missing else ""
        print_line(console, f"  {word}: {version} {side.outcome}{words}{seconds}{missing}")
    _print_scores(console, found.scores)
    after = found.after
    if after is not None and after.drift is not None:
        said = after.drift.get("said") or after.drift.get("note")
        print_line(console, f"  drift from v{after.drift.get('before')}: {said}")
    if found.words is None:
        print_line(console, f"  {plural_of(unit)}: the vectors of a night are no longer kept")
    else:
        _print_word_changes(console, found.words, limit, plural_of(unit))


def _print_scores(console: Console, changes: Sequence[ScoreChange]) -> None:
    if not changes:
        return
    columns = ("benchmark", "before", "after", "change", "covered before", "after")
    table = plain_table(*columns)
    for change in changes:
        before, after = (
            None if side is None else side.value for side in (change.before, change.after)
        )
        difference = "" if before is None or after is None else f"{after - before:+.4f}"
        table.add_row(
            f"{change.benchmark}, {change.metric}",
            _score(change.before),
            _score(change.after),
            difference,
            _covered(change.before),
            _covered(change.after),
        )
    print_table(console, table)


def _score(score: Score | None) -> str:
    if score is None or score.value is None:
        return "-"
    if score.ci_low is None or score.ci_high is None:
        return f"{score.value:.4f}"
    return f"{score.value:.4f} ({score.ci_low:.3f} to {score.ci_high:.3f})"


def _covered(score: Score | None) -> str:
    return "-" if score is None else f"{score.n_covered:,}/{score.n_items:,}"


def _print_word_changes(console: Console, words: WordChanges, limit: int, units: str) -> None:
    come, gone = words.come[:limit], words.gone[:limit]
    _print_words(console, f"new {units}", words.n_come, come, words.titles)
    _print_words(console, f"{units} that are gone", words.n_gone, gone, words.titles)
    if words.n_measured:
        beyond = "" if words.n_beyond is None else f", {words.n_beyond:,} beyond chance"
        median = "" if words.median is None else f", half of them by less than {words.median:.3f}"
        print_line(console, f"  moved {units}: {words.n_measured:,} compared{beyond}{median}")
    for word in words.moved[:limit]:
        floor = "" if word.floor is None else f", another seed {word.floor:.3f}"
        near = ""
        if word.neighbors_after:
            before, after = (
                ", ".join(_named(one, words.titles) for one in side[:5])
                for side in (word.neighbors_before, word.neighbors_after)
            )
            near = f": near {before}; now {after}"
        name = _named(word.token, words.titles)
        print_line(console, f"    {name} {word.displacement:.3f}{floor}{near}")
    if words.note:
        print_line(console, f"  ({words.note})", "dim")


def _print_steps(console: Console, found: NightDifference) -> None:
    if not found.steps:
        return
    table = plain_table("step", "seconds before", "after")
    for step in found.steps:
        before, after = (
            "-" if seconds is None else f"{seconds:,.1f}" for seconds in (step.before, step.after)
        )
        table.add_row(Text(step.label), before, after)
    print_table(console, table)
