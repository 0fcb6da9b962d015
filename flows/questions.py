"""Questions to the champions: what ``nightjar neighbors``, ``encode`` and the like ask.

They are the questions of :mod:`nightjar.lookup.requests`, put to the files that
:mod:`nightjar.model_files` keeps beside the artifacts. Nothing here needs Prefect; MLflow is
needed only where the registry is a server.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from flows.indexes import open_with_index
from flows.lookups import NoChampionError, model_ref
from nightjar.config import LoadedConfig
from nightjar.errors import InputError, UnknownTokenError
from nightjar.lookup import QueryError, UnknownWords, VectorModel, answer
from nightjar.model_files import open_model
from nightjar.store import Store


@dataclass(frozen=True)
class Answer:
    """One model's answer, of JSON types or an array; ``problem`` says why it has none."""

    model: str
    found: Any
    problem: str | None = None

    def as_json(self, key: str) -> dict[str, Any]:
        """Plain JSON types, the answer under ``key``."""
        found = self.found.tolist() if isinstance(self.found, np.ndarray) else self.found
        return {key: found, "problem": self.problem}


def ask(
    loaded: LoadedConfig, model: str | None, items: Sequence[str], **parameters: Any
) -> tuple[Answer, ...]:
    """Put a question to ``model`` (by default its champion), or to every model's champion.

    A model of several that cannot answer says why in ``problem``. Raises InputError when
    there is no answer at all.
    """
    names = list(loaded.config.models) if model is None else [model]
    answers = []
    for name in names:
        try:
            champion = open_champion(loaded, name, bool(parameters.get("approximate")))
            answers.append(Answer(name, answer(champion, items, parameters)))
        except (QueryError, NoChampionError) as error:
            if len(names) == 1:
                raise _as_input_error(error) from error
            answers.append(Answer(name, None, str(error)))
    if all(found.problem for found in answers):
        raise UnknownTokenError("\n".join(dict.fromkeys(found.problem or "" for found in answers)))
    return tuple(answers)


def open_champion(loaded: LoadedConfig, name: str, approximate: bool = False) -> VectorModel:
    """The champion of a model, open, with its index if it is ``approximate`` questions.

    ``name`` may have an alias or version (:func:`flows.lookups.model_ref`). Raises InputError
    when there is no such model.
    """
    if approximate:
        return open_with_index(loaded, name, Console(stderr=True))[0]
    name, ref = model_ref(loaded, name)
    store = Store(loaded.artifacts_dir)
    return open_model(store, name, store.open(ref))


def _as_input_error(error: QueryError | NoChampionError) -> InputError:
    if isinstance(error, UnknownWords):
        return UnknownTokenError(str(error))
    return error if isinstance(error, InputError) else InputError(str(error))


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Write a NumPy file, whole or not at all. Raises InputError where it cannot be written."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            with unfinished.open("wb") as file:
                np.save(file, array, allow_pickle=False)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from error
