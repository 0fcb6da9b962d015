"""The page of a night: its sections in order. What is no longer kept is named where it would be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from nightjar.core import Night, NightStatus
from nightjar.core.nights import StepOutcome, StepRecord
from nightjar.core.units import WORD
from nightjar.drawing import MAP_SCRIPT, MAP_STYLE, Bar, Link, Page, bar_chart
from nightjar.pipeline.reporting.model_sections import (
    draw_drift,
    draw_items,
    draw_losses,
    draw_map,
    draw_scores,
    named_words,
)
from nightjar.pipeline.reporting.night_difference import (
    CorpusDifference,
    ModelDifference,
    NightDifference,
)
from nightjar.pipeline.reporting.night_facts import CorpusFacts, ModelFacts, NightFacts
from nightjar.pipeline.reporting.word_changes import WordChanges
from nightjar.promotion import Event
from nightjar.registry import registered_name
from nightjar.store import schemas
from nightjar.wording import counted

_GONE = "no longer kept"
_MOST_EVENTS = 12


@dataclass(frozen=True)
class NightView:
    """What a page is drawn from."""

    facts: NightFacts
    since: NightDifference | None
    """Compared with the last accepted night; None for the first one."""
    words: Mapping[str, WordChanges]
    """By model: since the champion that the candidate was judged against."""


def night_page(view: NightView) -> str:
    """The page as HTML."""
    night = view.facts.night
    page = Page(
        f"Night {night.number} of {night.pipeline}: {night.status.value}",
        style=MAP_STYLE,
        script=MAP_SCRIPT,
    )
    _head(page, night)
    if night.status is NightStatus.NOTHING_TO_DO:
        _nothing(page, view)
        return page.html()
    sections: tuple[tuple[str, Callable[[Page, NightView], None]], ...] = (
        ("Decisions", _decisions),
        ("What changed", _changes),
        ("Scores", lambda page, view: draw_scores(page, view.facts)),
        ("Item by item", lambda page, view: draw_items(page, view.facts)),
        ("Losses", lambda page, view: draw_losses(page, view.facts)),
        ("Drift", lambda page, view: draw_drift(page, view.facts, view.words)),
        ("Map", lambda page, view: draw_map(page, view.facts, view.words)),
        ("Corpora", _corpora),
        ("Lineage", _lineage),
        ("Steps", _steps),
    )
    page.links([Link(title, _place(title)) for title, _ in sections])
    for title, draw in sections:
        page.heading(title, _place(title))
        draw(page, view)
    return page.html()


def _place(title: str) -> str:
    return title.lower().replace(" ", "-")


def _head(page: Page, night: Night) -> None:
    ran = [step for step in night.steps if step.outcome is StepOutcome.PUBLISHED]
    promoted = [found["model"] for found in night.decisions if found["is_promoted"]]
    if night.is_trial:
        page.paragraph(f"A trial with {', '.join(night.overrides)}: nothing is promoted.")
    page.figures(
        {
            "started (UTC)": night.started_at[:16].replace("T", " "),
            "seconds": "-" if night.seconds is None else f"{night.seconds:,.0f}",
            "steps ran": f"{len(ran)} of {len(night.steps)}",
            "promoted": ", ".join(promoted) or "none",
            counted(len(night.alarms), "alarm").partition(" ")[2]: str(len(night.alarms)),
        }
    )
    for alarm in night.alarms:
        page.alarm(alarm)


def _nothing(page: Page, view: NightView) -> None:
    page.paragraph(
        "Neither config, inputs nor code had changed, so no step ran. The page of the last night "
        "that worked has the scores, the maps and the rest: 'nightjar nights' lists the nights, "
        "and 'nightjar nights report ID' makes a page."
    )
    page.heading("Decisions")
    _decisions(page, view)


# -- decisions and changes ---------------------------------------------------------------------


def _decisions(page: Page, view: NightView) -> None:
    facts = view.facts
    if not facts.models:
        page.text("the config has no model")
        return
    rows = []
    for model in facts.models.values():
        champion = facts.standing.model(model.model).champion
        rows.append(
            (
                model.model,
                "-" if model.version is None else f"v{model.version}",
                model.outcome,
                "none" if champion is None else f"v{champion.number}",
                _failure(facts.night, model)
                if model.decision is None
                else str(model.decision["reason"]),
            )
        )
    page.table(("model", "version", "decision", "champion now", "why"), rows)
    for model in facts.models.values():
        rules = [] if model.decision is None else model.decision["rules"]
        if not rules:
            continue
        n_held = sum(bool(one["holds"]) for one in rules)
        with page.folded(f"The gate about {model.model}: {n_held} of {len(rules)} rules hold"):
            page.table(
                ("rule", "holds", "found"),
                [(one["rule"], "yes" if one["holds"] else "no", one["said"]) for one in rules],
            )
            page.items([str(remark) for remark in (model.decision or {}).get("remarks", ())])


def _failure(night: Night, model: ModelFacts) -> str:
    """Why a model was not judged, as far as the record says it."""
    of_it = [step for step in night.steps if model.model in step.subjects and step.error]
    return of_it[0].error if of_it else "the night got no further"


def _changes(page: Page, view: NightView) -> None:
    since = view.since
    if since is None:
        page.text("There is no accepted night before this one.")
        return
    before = since.before.night
    page.text(f"Compared with night {before.number}, the last accepted one before.")
    if since.config:
        page.table(
            ("key", f"night {before.number}", "this night"),
            [(one.key, _value(one.before), _value(one.after)) for one in since.config],
        )
    else:
        page.paragraph("The config and the code are the same.")
    page.table(
        ("what", f"night {before.number}", "this night", "change"),
        [
            *(row for found in since.corpora for row in _corpus_rows(found)),
            *(row for found in since.models for row in _model_rows(found)),
        ],
    )


def _value(value: object) -> str:
    return "(not there)" if value is None else str(value)


def _corpus_rows(found: CorpusDifference) -> Sequence[tuple[str, ...]]:
    rows = []
    for what, before, after in found.figures:
        name_of = f"{found.corpus}: {what}"
        rows.append((name_of, _count(before), _count(after), _change(before, after)))
    return rows


def _model_rows(found: ModelDifference) -> Sequence[tuple[str, ...]]:
    before, after = (None if side is None else side.n_words for side in (found.before, found.after))
    name_of = f"{found.model}: vectors"
    rows = [(name_of, _count(before), _count(after), _change(before, after))]
    for change in found.scores:
        then, now = (None if side is None else side.value for side in (change.before, change.after))
        rows.append(
            (
                f"{found.model}: {change.benchmark}, {change.metric}",
                "-" if then is None else f"{then:.4f}",
                "-" if now is None else f"{now:.4f}",
                "" if then is None or now is None else f"{now - then:+.4f}",
            )
        )
    return rows


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _change(before: int | None, after: int | None) -> str:
    return "" if before is None or after is None else f"{after - before:+,}"


# -- corpora -----------------------------------------------------------------------------------


def _corpora(page: Page, view: NightView) -> None:
    if not view.facts.corpora:
        page.text("the config has no corpus")
    since = {} if view.since is None else {found.corpus: found for found in view.since.corpora}
    for corpus in view.facts.corpora.values():
        page.subheading(corpus.corpus)
        _corpus(page, corpus)
        if (found := since.get(corpus.corpus)) is not None:
            _vocabulary(page, found, view)


def _corpus(page: Page, corpus: CorpusFacts) -> None:
    if corpus.is_accepted is not None:
        word = "Accepted" if corpus.is_accepted else "Not accepted"
        page.paragraph(f"{word}: {corpus.reason}")
    page.figures({what: _count(n) for what, n in corpus.figures.items()})
    units = f"{corpus.unit}s"
    if corpus.source is not None and not corpus.sources:
        page.text(f"its {units} ({corpus.source}) are {_GONE}")
    page.plots(
        bar_chart(
            f"{units.capitalize()} of each source",
            [Bar(source, n, f"{n:,}") for source, n in corpus.sources.items()],
            units,
        ),
        bar_chart(
            "Left out or changed, by reason",
            [
                Bar(reason, n, f"{n:,}", colour=1)
                for reason, n in sorted(corpus.dropped.items(), key=lambda entry: -entry[1])[:14]
            ],
            "records, documents or tokens" if corpus.kind == "text" else f"rows or {units}",
        ),
    )


def _vocabulary(page: Page, found: CorpusDifference, view: NightView) -> None:
    number = 0 if view.since is None else view.since.before.night.number
    vocabulary = found.vocabulary
    if vocabulary is None:
        page.text(f"the tokens of night {number} are {_GONE}, so its vocabulary is not compared")
        return
    corpus = found.after or found.before
    embeds = WORD if corpus is None else corpus.embeds
    for title, n_words, words in (
        ("new since", vocabulary.n_come, vocabulary.come),
        ("gone since", vocabulary.n_gone, vocabulary.gone),
    ):
        if not words:
            page.paragraph(f"No {embeds} is {title} night {number}.")
            continue
        with page.folded(f"{counted(n_words, embeds)} {title} night {number}, the most frequent"):
            page.words(named_words(vocabulary.titles, words))


# -- lineage and steps -------------------------------------------------------------------------


def _lineage(page: Page, view: NightView) -> None:
    facts = view.facts
    night = facts.night
    page.text("From the sources to the alias: each line is made from the one above it.")
    for model in facts.models.values():
        page.subheading(model.model)
        page.table(("what", "version", "made by"), _ancestry(facts, model))
    config = night.config_hash
    code = ", ".join(f"{name} {version}" for name, version in night.code.items() if version)
    page.text(f"config {config}; code: {code}")
    recent = [event for event in facts.events if event.night == night.number][:_MOST_EVENTS]
    if recent:
        page.subheading("In the ledger")
        page.table(
            ("event", "kind", "about", "by"),
            [(str(one.number), one.kind.value, _about(one), one.actor) for one in recent],
        )


def _about(event: Event) -> str:
    return event.subject + ("" if event.new is None else f" v{event.new.number}")


def _ancestry(facts: NightFacts, model: ModelFacts) -> Sequence[tuple[str, ...]]:
    corpus = _corpus_of(facts, model)
    of_corpus = facts.corpora.get(corpus)
    rows = (
        []
        if of_corpus is None
        else [("source", name, counted(n, of_corpus.unit)) for name, n in of_corpus.sources.items()]
    )
    steps = {(step.stage, step.version): step for step in facts.night.steps}
    evaluation = facts.night.version(schemas.EVALUATION, model.model)
    for stage, version in (
        (
            schemas.DOCUMENTS if of_corpus is None else of_corpus.source_stage,
            None if of_corpus is None else of_corpus.source,
        ),
        (schemas.TOKENS, None if of_corpus is None else of_corpus.tokens),
        (schemas.COOCCURRENCES, facts.night.version(schemas.COOCCURRENCES, model.model)),
        (schemas.EMBEDDINGS, model.embeddings),
        (schemas.EVALUATION, evaluation),
    ):
        if version is not None:
            rows.append((stage, version, _made_by(facts, steps.get((stage, version)))))
    name = registered_name(facts.night.pipeline, model.model)
    if model.version is not None:
        rows.append(("registered version", f"{name} {model.version}", model.outcome))
    champion = facts.standing.model(model.model).champion
    if champion is not None:
        mark = "this version" if champion.number == model.version else "an earlier version"
        rows.append(("alias champion", f"{name} {champion.number}", mark))
    return rows


def _corpus_of(facts: NightFacts, model: ModelFacts) -> str:
    section = facts.night.config["models"][model.model]
    base = section.get("model")
    if section.get("corpus") is None and isinstance(base, str):
        section = facts.night.config["models"].get(base, section)
    named = section.get("corpus")
    return str(named) if named is not None else next(iter(facts.corpora), "")


def _made_by(facts: NightFacts, step: StepRecord | None) -> str:
    if step is None:
        return "-"
    artifact = facts.opened(step.stage, step.version)
    if artifact is None:
        return f"{step.outcome.value}; {_GONE}"
    commit = (artifact.manifest.git_commit or "unknown")[:12]
    made = artifact.manifest.created_at[:16].replace("T", " ")
    return f"{step.outcome.value}; made {made} UTC, git commit {commit}"


def _steps(page: Page, view: NightView) -> None:
    steps: Sequence[StepRecord] = view.facts.night.steps
    ran = [step for step in steps if step.outcome in (StepOutcome.PUBLISHED, StepOutcome.FAILED)]
    longest = sorted(ran, key=lambda step: -step.seconds)[:14]
    page.plots(
        bar_chart(
            "Seconds of each step",
            [Bar(step.label, step.seconds, f"{step.seconds:,.1f} s") for step in longest],
            "seconds",
        ),
        bar_chart(
            "Memory of each step",
            [
                Bar(step.label, mebibytes, f"{mebibytes:,.0f} MiB", colour=2)
                for step in longest
                if (mebibytes := step.memory_bytes / 2**20)
            ],
            "MiB, peak of the night's process without workers",
        ),
    )
    page.text(
        "Memory is the largest resident size of the night's own process during the step, what it "
        "held before included, without worker processes."
    )
    with page.folded(f"Why each of {counted(len(steps), 'step')} ran or did not"):
        page.table(
            ("step", "version", "outcome", "why"),
            [
                (step.label, step.version, step.outcome.value, step.error or step.reason)
                for step in steps
            ],
        )
