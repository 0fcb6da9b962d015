"""Questions to models, for ``nightjar neighbors``, ``encode`` and so on.

They are the questions of :mod:`nightjar.model.lookup.requests`, put to the registered files of the
version that :mod:`nightjar.pipeline.answerers` chooses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
import typer

from nightjar.cli.indexes import attach_index
from nightjar.cli.options import NightOption
from nightjar.cli.outputs import errors
from nightjar.config import LoadedConfig
from nightjar.core.units import WORD, unit_of
from nightjar.errors import InputError
from nightjar.formats.item_titles import Titles, titles_of
from nightjar.model.lookup import VectorModel, answer
from nightjar.pipeline.answerers import Answerers, named_model_errors
from nightjar.wording import counted

_OF_TEXTS = ("encode", "rank")


@dataclass(frozen=True)
class Asked:
    """The models that should answer: champions, or a night's candidates.

    ``model`` names one as :meth:`nightjar.pipeline.answerers.Answerers.model` reads it.
    """

    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="Ask one model, as glove, glove@2, glove@challenger; default: all.",
        ),
    ] = None
    night: NightOption = None


@dataclass(frozen=True)
class Answer:
    """One model's answer, in JSON types or an array; ``problem`` says why it has none."""

    model: str
    found: Any
    problem: str | None = None
    remarks: tuple[str, ...] = ()
    """How words that are not in the vocabulary were read, and which items are unknown."""
    space: str | None = None
    """The id of the space of the model's vectors."""
    unit: str = WORD
    """What the model has vectors of, in the singular."""
    titles: Titles = field(default_factory=Titles)
    """Of the items that are asked about and found."""

    def as_json(self, key: str) -> dict[str, Any]:
        """Plain JSON types, the answer under ``key``."""
        found = self.found.tolist() if isinstance(self.found, np.ndarray) else self.found
        return {
            key: found,
            "space": self.space,
            "problem": self.problem,
            "remarks": list(self.remarks),
            **({"titles": dict(self.titles.by_token)} if self.titles.by_token else {}),
        }


def ask(
    loaded: LoadedConfig, asked: Asked, items: Sequence[str], **parameters: Any
) -> tuple[Answer, ...]:
    """Ask one model, or all.

    ``parameters`` are those of :class:`nightjar.model.lookup.requests.Parameters`, so the answers
    are those of a served model. When several are asked, one that cannot answer says why in
    ``problem``. Raises InputError when there is no answer at all.
    """
    answerers = Answerers(loaded)
    names = list(loaded.config.models) if asked.model is None else [asked.model]
    answers = []
    for name in names:
        try:
            answers.append(_ask_one(answerers, name, asked.night, items, parameters))
        except InputError as error:
            if len(names) == 1:
                raise
            answers.append(Answer(name, None, str(error)))
    if all(found.problem for found in answers):
        raise InputError("\n".join(dict.fromkeys(found.problem or "" for found in answers)))
    return tuple(answers)


def _ask_one(
    answerers: Answerers,
    name: str,
    night: int | None,
    items: Sequence[str],
    parameters: dict[str, Any],
) -> Answer:
    moved = answerers.standing.moved.get(name)
    if moved and night is None:  # the champion is asked
        errors.print(f"alarm: {moved}")
    asked = answerers.model(name, night)
    with answerers.opened(asked) as model:
        if parameters.get("approximate"):
            attach_index(answerers, asked, model, errors)
        with named_model_errors():
            found = answer(model, items, parameters)
            unit = unit_of(answerers.loaded.config, asked.model)
            if parameters["task"] in _OF_TEXTS:
                return Answer(name, found, space=model.space, unit=unit)
            if parameters["task"] == "recommend":
                unknown = [
                    f"{item} is not known, and left out" for item in model.unknown_items(items)
                ]
                titles = titles_of(model, items)
                remarks = (*unknown, *([] if found else [_why_nothing(model, items)]))
                return Answer(name, found, None, remarks, model.space, unit, titles)
            words = dict.fromkeys((*items, *parameters.get("negative", ())))
            remarks = tuple(r.remark for r in model.readings(list(words)) if r.remark)
            titles = titles_of(model, [*words, *_tokens(found)])
            return Answer(name, found, None, remarks, model.space, unit, titles)


def _why_nothing(model: VectorModel, history: Sequence[str]) -> str:
    """Why a model that knows items of ``history`` recommends none."""
    n_seen = len(set(history).intersection(model.table.tokens_of(np.arange(len(model.table)))))
    if n_seen == len(model.table):
        return (
            f"nothing to recommend: all {counted(n_seen, 'item')} that it knows are in the "
            f"history; --repeat recommends those, too"
        )
    return (
        "nothing to recommend: no other item stood near those of the history; --by input asks "
        "their vectors"
    )


def _tokens(found: Any) -> Iterator[str]:
    """The tokens of lists of neighbours; of answers of other tasks none."""
    for near in found if isinstance(found, list) else ():
        for one in near if isinstance(near, list) else ():
            if isinstance(one, dict) and "token" in one:
                yield one["token"]
