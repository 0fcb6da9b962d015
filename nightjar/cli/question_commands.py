"""The commands that ask models: ``nightjar neighbors``, ``analogy``, ``encode`` and so on."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from nightjar.cli import indexes, questions, render
from nightjar.cli.options import (
    DEFAULT_CONFIG,
    ApproximateOption,
    ConfigOption,
    JsonOption,
    ModelOption,
    NightOption,
    SetOption,
    TopnOption,
    errors,
    print_json,
)
from nightjar.cli.outputs import save_array
from nightjar.config import load_config
from nightjar.errors import InputError

app = typer.Typer()


@app.command()
def neighbors(
    words: Annotated[list[str], typer.Argument(help="Words of the vocabulary, taken together.")],
    negative: Annotated[
        list[str] | None, typer.Option("--not", help="Move away from this word; repeatable.")
    ] = None,
    threshold: Annotated[
        float,
        typer.Option(min=-1, max=1, help="Show words at least this similar; 0.7 for synonyms."),
    ] = -1.0,
    approximate: ApproximateOption = False,
    model: ModelOption = None,
    night: NightOption = None,
    topn: TopnOption = 10,
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find the nearest words by cosine similarity, in each model's champion."""
    answers = questions.ask(
        load_config(config, set_ or []),
        questions.Asked(model, night),
        words,
        task="neighbors",
        together=len(words) > 1,
        negative=negative or [],
        threshold=threshold,
        topn=topn,
        approximate=approximate,
    )
    title = " + ".join(words) + "".join(f" - {word}" for word in negative or [])
    _print_neighbors(answers, as_json, f"nearest to {title}")


@app.command()
def analogy(
    a: Annotated[str, typer.Argument(help="man")],
    b: Annotated[str, typer.Argument(help="king")],
    c: Annotated[str, typer.Argument(help="woman")],
    model: ModelOption = None,
    night: NightOption = None,
    topn: TopnOption = 5,
    approximate: ApproximateOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Answer "A is to B as C is to what?" in each model's champion."""
    loaded = load_config(config, set_ or [])
    answers = questions.ask(
        loaded,
        questions.Asked(model, night),
        [a, b, c],
        task="analogy",
        topn=topn,
        approximate=approximate,
    )
    _print_neighbors(answers, as_json, f"{a} is to {b} as {c} is to")


def _print_neighbors(answers: Sequence[questions.Answer], as_json: bool, title: str) -> None:
    if as_json:
        firsts = [replace(answer, found=(answer.found or [[]])[0]) for answer in answers]
        print_json({answer.model: answer.as_json("neighbors") for answer in firsts})
    else:
        render.print_neighbors(Console(), answers, title)


@app.command()
def similar(
    a: Annotated[str, typer.Argument(help="One word.")],
    b: Annotated[str, typer.Argument(help="Another.")],
    model: ModelOption = None,
    night: NightOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compute the cosine similarity of two words, in each model's champion."""
    answers = questions.ask(
        load_config(config, set_ or []), questions.Asked(model, night), [a, b], task="similarity"
    )
    if as_json:
        print_json({answer.model: answer.as_json("similarity") for answer in answers})
    else:
        render.print_rows(Console(), answers, [f"{a}, {b}"], ["words"])


@app.command()
def cluster(
    words: Annotated[list[str], typer.Argument(help="Words of the vocabulary.")],
    n_clusters: Annotated[int, typer.Option("--clusters", "-k", min=1, help="How many.")] = 2,
    model: ModelOption = None,
    night: NightOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Group words that belong together, in each model's champion."""
    loaded = load_config(config, set_ or [])
    answers = questions.ask(
        loaded, questions.Asked(model, night), words, task="cluster", n_clusters=n_clusters
    )
    if as_json:
        print_json({answer.model: answer.as_json("clusters") for answer in answers})
    else:
        render.print_rows(Console(), answers, words, ["word"])


@app.command()
def odd(
    words: Annotated[list[str], typer.Argument(help="At least three words of the vocabulary.")],
    model: ModelOption = None,
    night: NightOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find the word that fits the others least, in each model's champion."""
    answers = questions.ask(
        load_config(config, set_ or []), questions.Asked(model, night), words, task="odd_one_out"
    )
    if as_json:
        print_json({answer.model: answer.as_json("odd_one_out") for answer in answers})
    else:
        shown = [
            answer
            if answer.found is None
            else replace(answer, found=answer.found[0]["similarities"])
            for answer in answers
        ]
        render.print_rows(Console(), shown, words, ["similarity to the mean of all"])
        for answer in answers:
            if answer.found is not None:
                typer.echo(f"{answer.model}: {answer.found[0]['word']}")


@app.command()
def rank(
    query: Annotated[str, typer.Argument(help="A text.")],
    texts: Annotated[
        list[str] | None, typer.Argument(help="Texts to rank; default: the lines of stdin.")
    ] = None,
    model: ModelOption = None,
    night: NightOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Rank texts by the similarity of their mean vector to the query's."""
    given = texts or _lines_of_stdin()
    loaded = load_config(config, set_ or [])
    answers = questions.ask(loaded, questions.Asked(model, night), given, task="rank", query=query)
    if as_json:
        print_json({answer.model: answer.as_json("ranking") for answer in answers})
    else:
        render.print_rankings(Console(), answers, given)


@app.command()
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
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
) -> None:
    """Turn texts into the mean of their words' vectors, NaN (null) without a known word."""
    loaded = load_config(config, set_ or [])
    if model is None and len(loaded.config.models) > 1:
        raise InputError(
            f"choose one of the models with --model: {', '.join(loaded.config.models)}"
        )
    given = texts or _lines_of_stdin()
    found = questions.ask(
        loaded, questions.Asked(model, night), given, task="encode", unknown="nan"
    )[0].found
    if output is None:
        for text, vector in zip(given, found.tolist(), strict=True):
            known = None if math.isnan(vector[0]) else vector
            line = json.dumps({"text": text, "vector": known}, ensure_ascii=False)
            sys.stdout.write(line + "\n")
        return
    save_array(output, found)
    typer.echo(f"{len(found)} vectors of {found.shape[1]} values written to {output}")


@app.command()
def index(
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL[@VERSION]", help="A model; default: every model."),
    ] = None,
    night: NightOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Build the approximate index of each model's champion and measure its recall."""
    found = indexes.index_models(load_config(config, set_ or []), model, night, errors)
    if as_json:
        print_json({entry.model: entry.as_json() for entry in found})
    else:
        render.print_indexes(Console(), found)


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
