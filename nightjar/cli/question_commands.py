"""The commands that ask models: ``nightjar neighbors``, ``encode``, ``recommend`` and so on."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from nightjar.cli.indexes import IndexedModel, index_models
from nightjar.cli.options import (
    ApproximateOption,
    CommonOptions,
    ConfigOptions,
    NightOption,
    TopnOption,
    grouped,
)
from nightjar.cli.outputs import (
    errors,
    print_json,
    print_json_line,
    print_line,
    save_array,
)
from nightjar.cli.questions import Answer, Asked, ask
from nightjar.cli.tables import fits, plain_table, print_table
from nightjar.cli.terminal import Terminal, data_text
from nightjar.errors import InputError
from nightjar.files.harmless_text import visible
from nightjar.files.paths import check_output
from nightjar.formats.item_titles import Titles
from nightjar.formats.origins import SPACE, companion_of, write_companion
from nightjar.pipeline.answerers import Answerers
from nightjar.pipeline.item_histories import history_of_user
from nightjar.wording import counted, plural_of

app = typer.Typer()
_MOST_NAMED = 5
"""Items of a history that the title of an answer has: the latest ones."""


@app.command()
@grouped
def neighbors(
    words: Annotated[
        list[str],
        typer.Argument(help="Words (ids of nodes, of items) of the vocabulary, taken together."),
    ],
    negative: Annotated[
        list[str] | None, typer.Option("--not", help="Move away from this word or id; repeatable.")
    ] = None,
    threshold: Annotated[
        float,
        typer.Option(min=-1, max=1, help="Show those at least this similar; 0.7 for synonyms."),
    ] = -1.0,
    topn: TopnOption = 10,
    approximate: ApproximateOption = False,
    *,
    asked: Asked,
    common: CommonOptions,
) -> None:
    """Find the nearest words, nodes or items by cosine similarity, in each model's champion."""
    answers = ask(
        common.load(),
        asked,
        words,
        task="neighbors",
        together=len(words) > 1,
        negative=negative or [],
        threshold=threshold,
        topn=topn,
        approximate=approximate,
    )
    title = " + ".join(words) + "".join(f" - {word}" for word in negative or [])
    _tell_neighbors(answers, common.as_json, f"nearest to {title}")


@app.command()
@grouped
def analogy(
    a: Annotated[str, typer.Argument(help="man")],
    b: Annotated[str, typer.Argument(help="king")],
    c: Annotated[str, typer.Argument(help="woman")],
    topn: TopnOption = 5,
    approximate: ApproximateOption = False,
    *,
    asked: Asked,
    common: CommonOptions,
) -> None:
    """Answer "A is to B as C is to what?" in each model's champion."""
    answers = ask(
        common.load(), asked, [a, b, c], task="analogy", topn=topn, approximate=approximate
    )
    _tell_neighbors(answers, common.as_json, f"{a} is to {b} as {c} is to")


@app.command()
@grouped
def similar(
    a: Annotated[str, typer.Argument(help="One word or id.")],
    b: Annotated[str, typer.Argument(help="Another.")],
    *,
    asked: Asked,
    common: CommonOptions,
) -> None:
    """Compute the cosine similarity of two words, nodes or items, in each model's champion."""
    answers = ask(common.load(), asked, [a, b], task="similarity")
    if common.as_json:
        _print_json(answers, "similarity")
    else:
        _print_rows(Terminal(), answers, [f"{a}, {b}"], [plural_of(_unit(answers))])


@app.command()
@grouped
def cluster(
    words: Annotated[list[str], typer.Argument(help="Words (ids) of the vocabulary.")],
    n_clusters: Annotated[int, typer.Option("--clusters", "-k", min=1, help="How many.")] = 2,
    *,
    asked: Asked,
    common: CommonOptions,
) -> None:
    """Group words, nodes or items that belong together, in each model's champion."""
    answers = ask(common.load(), asked, words, task="cluster", n_clusters=n_clusters)
    if common.as_json:
        _print_json(answers, "clusters")
    else:
        _print_rows(Terminal(), answers, words, [_unit(answers)])


@app.command()
@grouped
def odd(
    words: Annotated[list[str], typer.Argument(help="At least three words (ids).")],
    *,
    asked: Asked,
    common: CommonOptions,
) -> None:
    """Find the word, node or item that fits the others least, in each model's champion."""
    answers = ask(common.load(), asked, words, task="odd_one_out")
    if common.as_json:
        _print_json(answers, "odd_one_out")
    else:
        shown = [
            answer
            if answer.found is None
            else replace(answer, found=answer.found[0]["similarities"])
            for answer in answers
        ]
        _print_rows(Terminal(), shown, words, ["similarity to the mean of all"])
        for answer in answers:
            if answer.found is not None:
                named = answer.titles.named(answer.found[0]["word"])
                print_line(Terminal(), f"{answer.model}: {visible(named, None)}")


@app.command()
@grouped
def rank(
    query: Annotated[str, typer.Argument(help="A text.")],
    texts: Annotated[
        list[str] | None, typer.Argument(help="Texts to rank; default: the lines of stdin.")
    ] = None,
    *,
    asked: Asked,
    common: CommonOptions,
) -> None:
    """Rank texts by the similarity of their mean vector to the query's."""
    given = texts or _lines_of_stdin()
    answers = ask(common.load(), asked, given, task="rank", query=query)
    if common.as_json:
        _print_json(answers, "ranking")
    else:
        _print_rankings(Terminal(), answers, given)


@app.command()
@grouped
def encode(
    texts: Annotated[
        list[str] | None, typer.Argument(help="Texts; default: the lines of standard input.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write a NumPy file; default: JSON lines."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Ask this model; needed if several."),
    ] = None,
    night: NightOption = None,
    *,
    config: ConfigOptions,
) -> None:
    """Turn texts into the mean of their words' vectors, NaN (null) without a known word."""
    loaded = config.load()
    if model is None and len(loaded.config.models) > 1:
        raise InputError(
            f"choose one of the models with --model: {', '.join(loaded.config.models)}"
        )
    if output is not None:
        check_output(output)  # before the work
    given = texts or _lines_of_stdin()
    (answer,) = ask(loaded, Asked(model, night), given, task="encode", unknown="nan")
    found = answer.found
    if output is None:
        for text, vector in zip(given, found.tolist(), strict=True):
            known = None if math.isnan(vector[0]) else vector
            print_json_line({"text": text, "vector": known, "space": answer.space})
        return
    companion_of(output).unlink(missing_ok=True)  # never beside vectors that it is not of
    save_array(output, found)
    if answer.space is not None:
        write_companion(output, {"model": answer.model, SPACE: answer.space})
    written = f"{counted(len(found), 'vector')} of {counted(found.shape[1], 'value')}"
    print_line(Terminal(), f"{written} written to {output}")


@app.command()
@grouped
def recommend(
    model: Annotated[str, typer.Argument(metavar="MODEL[@VERSION]", help="A model of items.")],
    items: Annotated[
        list[str] | None, typer.Argument(help="Ids of items so far, the latest last.")
    ] = None,
    user: Annotated[
        str | None, typer.Option("--user", help="Recommend for this user of the events instead.")
    ] = None,
    by: Annotated[
        Literal["blend", "output", "input", "cooccurrence"],
        typer.Option("--by", help="What recommends: the blend, or a part of it."),
    ] = "blend",
    topn: TopnOption = 10,
    may_repeat: Annotated[
        bool, typer.Option("--repeat", help="Also recommend items of the history again.")
    ] = False,
    night: NightOption = None,
    *,
    common: CommonOptions,
) -> None:
    """Recommend the next items after some items, or for a user, by a model of events.

    A user or items that nobody knows are an error (exit code 2). Where there is nothing left to
    recommend, it says why (exit code 0; 'remarks' in JSON).
    """
    loaded = common.load()
    if bool(items) == (user is not None):
        raise InputError("name items, or a user with --user, one of them")
    if user is not None:
        items = history_of_user(Answerers(loaded), model, user, night)
    (answer,) = ask(
        loaded,
        Asked(model, night),
        items or [],
        task="recommend",
        topn=topn,
        by=by,
        may_repeat=may_repeat,
    )
    if common.as_json:
        _print_json([answer], "recommendations")
        return
    given = [answer.titles.named(item) for item in items or []]
    more = f"{len(given) - _MOST_NAMED:,} more, " if len(given) > _MOST_NAMED else ""
    after = f"{more}{', '.join(given[-_MOST_NAMED:])}"
    title = f"after {after}" if user is None else f"for the user {user}"
    console = Terminal()
    console.print(data_text(f"{answer.model} recommends {title}", "italic"))
    table = plain_table("item", "title", "score")
    for found in answer.found:
        named = data_text(found["title"] or "")
        table.add_row(data_text(found["item"]), named, f"{found['score']:.4f}")
    if answer.found:
        print_table(console, table)
    _print_problems(console, [answer])


@app.command()
@grouped
def index(
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL[@VERSION]", help="A model; default: every model."),
    ] = None,
    night: NightOption = None,
    *,
    common: CommonOptions,
) -> None:
    """Build the approximate index of each model's champion and measure its recall."""
    found = index_models(common.load(), model, night, errors)
    if common.as_json:
        print_json({entry.model: entry.as_json() for entry in found})
    else:
        _print_indexes(Terminal(), found)


def _lines_of_stdin() -> list[str]:
    if sys.stdin.isatty():
        errors.print("Reading texts from the terminal, one per line; end with Ctrl-D.")
    try:
        lines = sys.stdin.buffer.read().decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"standard input is not UTF-8 (byte {error.start}); convert it") from error
    if not lines:
        raise InputError("no text is given: pass some as arguments, or pipe them in, one per line")
    return lines


def _unit(answers: Sequence[Answer]) -> str:
    """What the models have vectors of; "token" where they differ."""
    units = {answer.unit for answer in answers if answer.problem is None}
    return units.pop() if len(units) == 1 else "token"


def _titles(answers: Sequence[Answer]) -> Titles:
    """The titles of items that any of the models knows."""
    return Titles({k: v for answer in answers for k, v in answer.titles.by_token.items()})


def _print_json(answers: Sequence[Answer], key: str) -> None:
    print_json({answer.model: answer.as_json(key) for answer in answers})


def _tell_neighbors(answers: Sequence[Answer], as_json: bool, title: str) -> None:
    """Print a column per model, nearest words first; or JSON."""
    if as_json:
        _print_json(
            [replace(answer, found=(answer.found or [[]])[0]) for answer in answers], "neighbors"
        )
        return
    console = Terminal()
    lists = {answer.model: answer.found[0] for answer in answers if answer.found}
    titles = _titles(answers)
    console.print(data_text(title, "italic"))

    def table_of(models: Sequence[str]) -> Table:
        table = Table(*map(_whole_column, models), header_style="bold")
        for rank in range(max((len(lists[model]) for model in models), default=0)):
            table.add_row(*(_neighbor_cell(lists[model], rank, titles) for model in models))
        return table

    _print_side_by_side(console, list(lists), table_of)
    _print_problems(console, answers)


def _whole_column(name: str) -> Column:
    """A column whose cells take one line."""
    return Column(data_text(name), no_wrap=True)


def _print_side_by_side(
    console: Console, models: Sequence[str], table_of: Callable[[Sequence[str]], Table]
) -> None:
    """Print the models beside each other, as many at a time as fit on the console."""
    first = 0
    while first < len(models):
        n_models = len(models) - first
        while n_models > 1 and not fits(console, table_of(models[first : first + n_models])):
            n_models -= 1
        console.print(table_of(models[first : first + n_models]))
        first += n_models


def _neighbor_cell(found: Sequence[Mapping[str, Any]], rank: int, titles: Titles) -> Text:
    if rank >= len(found):
        return Text("")
    near = found[rank]
    title = titles.get(near["token"])
    named = (" ", data_text(visible(title), "italic")) if title else ()
    return Text.assemble(
        data_text(near["token"]), *named, " ", (f"{near['similarity']:.3f}", "dim")
    )


def _print_rows(
    console: Console, answers: Sequence[Answer], labels: Sequence[str], columns: Sequence[str]
) -> None:
    """Print one value of each answer: a row per label, a column per model."""
    found = {answer.model: answer.found for answer in answers if answer.problem is None}
    titles = _titles(answers)

    def table_of(models: Sequence[str]) -> Table:
        table = Table(*columns, *map(_whole_column, models), header_style="bold")
        for row, label in enumerate(labels):
            table.add_row(
                data_text(titles.named(label)),
                *(_value_cell(found[model][row]) for model in models),
            )
        return table

    _print_side_by_side(console, list(found), table_of)
    _print_problems(console, answers)


def _print_rankings(console: Console, answers: Sequence[Answer], texts: Sequence[str]) -> None:
    """Print the texts for each model, best first."""
    for answer in answers:
        if answer.problem is None:
            table = Table(
                _whole_column("similarity"), Column(data_text(answer.model)), header_style="bold"
            )
            for found in answer.found:
                table.add_row(f"{found['similarity']:.3f}", data_text(texts[found["item"]]))
            console.print(table)
    _print_problems(console, answers)


def _value_cell(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _print_problems(console: Console, answers: Sequence[Answer]) -> None:
    """Print how words were read, and why models have no answer."""
    for remark in dict.fromkeys(remark for answer in answers for remark in answer.remarks):
        models = [answer.model for answer in answers if remark in answer.remarks]
        print_line(console, f"{', '.join(models)}: {visible(remark, None)}", "dim")
    for answer in answers:
        if answer.problem:
            is_named = answer.problem.startswith(answer.model)
            print_line(console, answer.problem if is_named else f"{answer.model}: {answer.problem}")


def _print_indexes(console: Console, found: Sequence[IndexedModel]) -> None:
    """Print a row per index, then why models have none."""
    table = plain_table("model", "artifact", "vectors", "recall@10", "seconds")
    for entry in found:
        if entry.index is not None:
            manifest = entry.index.manifest
            table.add_row(
                data_text(entry.model),
                str(entry.index.ref),
                f"{manifest.counts['indexed']:,}",
                f"{manifest.report['recall_at_10']:.3f}",
                f"{manifest.seconds:.1f}",
            )
    print_table(console, table)
    for entry in found:
        if entry.problem:
            print_line(console, f"{entry.model}: {entry.problem}")
