"""A query from any interface: items, and parameters that say what to do with them.

=========== ================================= ==========================================
task        items                             answer
=========== ================================= ==========================================
vector      words                             float32 (n_words, vector_size)
neighbors   words, or vectors                 for each its nearest words; with ``together``
                                              or ``negative`` one list for all words
analogy     words, three to a question        for each question its answers
similarity  words, two to a pair              for each pair its cosine similarity
odd_one_out words                             the one least like the others
cluster     words                             the number of each word's cluster
rank        texts, against ``query``          places and similarities, best first
encode      texts                             float32 (n_texts, vector_size)
recommend   items of a history, latest last   the items most likely next, best first
about       none                              the model's name, the id of its space, its sizes
=========== ================================= ==========================================

Recommendations, of models of items, are objects with ``item``, ``score`` and ``title`` (null
without one). Neighbours are objects with ``token`` and ``similarity``, of models of items also with
``title``. With ``threshold`` they are all words at least that similar (synonyms), up to ``topn``.
With ``space``, the id of a space, a question is refused by a model of another space: give it with
vectors that were kept, or where the answer will be compared with such. An item may also be a query
of its own, an object with ``items`` and parameters; the answer is then a list of answers. With
``approximate``, neighbours and analogies come from the model's approximate index, if it has one.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from .lookup_errors import QueryError, counted
from .model import Neighbor, VectorModel
from .recommending import WAYS
from .request_limits import Cost, RequestLimits

MAX_TOPN = 100_000
MAX_ANSWERS = 10_000_000
"""Limit on the neighbours in all answers together, and on words times clusters."""


@dataclass(frozen=True)
class Parameters:
    """The parameters of a query, with defaults."""

    task: str = "vector"
    topn: int = 10
    threshold: float = -1.0
    """Least similarity of a neighbour."""
    together: bool = False
    """One query of all words, instead of one for each."""
    negative: tuple[str, ...] = ()
    """Words to subtract."""
    query: str = ""
    """The text to rank against."""
    n_clusters: int = 2
    seed: int = 1
    approximate: bool = False
    """Neighbours and analogies from the approximate index."""
    by: str = "blend"
    """What recommends: blend, output, input or cooccurrence."""
    may_repeat: bool = False
    """Whether items of the history are recommended again."""
    space: str = ""
    """The space that the vectors of question and answer must be of; "" for any."""
    unknown: str = "error"
    """For a word without a vector: error or nan; for a text: error, nan or zero."""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Parameters:
        """Check names, types and ranges. Raises QueryError."""
        known = {field.name: field for field in fields(cls)}
        for name in given:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {close[0]!r}? There" if close else "there"
                raise QueryError(f"there is no parameter {name!r}; {hint} are {', '.join(known)}")
        values = {name: _converted(name, value) for name, value in given.items()}
        parameters = cls(**values)
        if parameters.task not in TASKS:
            raise QueryError(f"task is {parameters.task!r}, choose {', '.join(TASKS)}")
        if not 1 <= parameters.topn <= MAX_TOPN:
            raise QueryError(f"topn is {parameters.topn}, choose 1 to {MAX_TOPN}")
        if not -1 <= parameters.threshold <= 1:
            raise QueryError(f"threshold is {parameters.threshold}, choose -1 to 1")
        if parameters.seed < 0:
            raise QueryError(f"seed is {parameters.seed}, choose 0 or more")
        return parameters


def _converted(name: str, value: Any) -> Any:
    if name == "negative":
        if not isinstance(value, (list, tuple, np.ndarray)):
            raise QueryError(f"negative is {value!r}, expected a list of words")
        return tuple(_string(f"negative[{place}]", word) for place, word in enumerate(value))
    if name in ("topn", "n_clusters", "seed"):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise QueryError(f"{name} is {value!r}, expected a whole number")
        return int(value)
    if name == "threshold":
        is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        if not is_number or math.isnan(value):
            raise QueryError(f"threshold is {value!r}, expected a number")
        return float(value)
    if name in ("together", "approximate", "may_repeat"):
        if not isinstance(value, (bool, np.bool_)):
            raise QueryError(f"{name} is {value!r}, expected true or false")
        return bool(value)
    return _string(name, value)


def _string(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise QueryError(f"{name} is {value!r} ({type(value).__name__}), expected a string")
    return value


def answer(
    model: VectorModel,
    items: Sequence[Any],
    given: Mapping[str, Any],
    limits: RequestLimits | None = None,
) -> Any:
    """The answer to a query: an array of float32, or a value that JSON can represent.

    Raises QueryError for any error in the query, and for one that is beyond the ``limits``.
    """
    try:
        if limits is not None:
            limits.check_items(items)
        if any(isinstance(item, Mapping) for item in items):
            return _answers(model, items, given, limits)
        parameters = Parameters.of(given)
        _check_space(model, parameters)
        _check_cost(model, [(items, parameters)], limits)
        return TASKS[parameters.task](model, items, parameters)
    except RecursionError as error:
        raise QueryError("the items have lists or objects too deep in each other") from error


def _answers(
    model: VectorModel, items: Sequence[Any], given: Mapping[str, Any], limits: RequestLimits | None
) -> list[Any]:
    """The answers to items that are queries of their own; all are validated first."""
    if Parameters.of(given) != Parameters():
        raise QueryError(
            "the items are questions of their own, so their parameters belong into them, beside "
            "'items'"
        )
    questions: list[tuple[Sequence[Any], Parameters]] = []
    for place, question in enumerate(items):
        asked = question.get("items") if isinstance(question, Mapping) else None
        if not isinstance(asked, (list, tuple, np.ndarray)):
            raise QueryError(
                f"item {place} is {_shown(question)}, expected a question: an object with a list "
                f"'items', and parameters beside it"
            )
        if any(isinstance(item, Mapping) for item in asked):
            raise QueryError(f"item {place}: a question has words, vectors or texts, no questions")
        rest = {str(name): value for name, value in question.items() if name != "items"}
        with _named(place):
            questions.append((list(asked), Parameters.of(rest)))
            _check_space(model, questions[-1][1])
    _check_cost(model, questions, limits)
    answers = []
    for place, (asked, parameters) in enumerate(questions):
        with _named(place):
            found = TASKS[parameters.task](model, asked, parameters)
        answers.append(found.tolist() if isinstance(found, np.ndarray) else found)
    return answers


@contextmanager
def _named(place: int) -> Iterator[None]:
    try:
        yield
    except QueryError as error:
        raise QueryError(f"item {place}: {error}") from error


def _check_space(model: VectorModel, parameters: Parameters) -> None:
    """Raise QueryError for a question about another space than the model's."""
    if parameters.space and parameters.space != model.space:
        raise QueryError(
            f"the vectors of {model.name} are of the space {model.space or 'unknown'}, the "
            f"question is about {_shown(parameters.space)}: vectors of two spaces cannot be "
            f"compared. 'nightjar map-vectors' brings kept vectors from one to the other"
        )


def _check_cost(
    model: VectorModel,
    questions: Sequence[tuple[Sequence[Any], Parameters]],
    limits: RequestLimits | None,
) -> None:
    """Raise QueryError when the questions together are beyond the limits."""
    if limits is None:
        return
    limits.check_items([word for _, given in questions for word in (*given.negative, given.query)])
    limits.check_cost([_cost(model, len(items), given) for items, given in questions])


def _cost(model: VectorModel, n_items: int, parameters: Parameters) -> Cost:
    n_words, vector_size = len(model.table), model.table.vector_size
    if parameters.task == "cluster":
        n_pairs = n_items * max(0, parameters.n_clusters)
        return Cost(n_pairs, n_pairs * vector_size)
    if parameters.task == "neighbors":
        is_one = parameters.together or bool(parameters.negative)
        n_queries = 1 if is_one else n_items
    elif parameters.task == "analogy":
        n_queries = n_items // 3
    elif parameters.task == "recommend":
        n_queries = len(WAYS)
    else:
        return Cost()
    n_answers = n_queries * min(parameters.topn, n_words)
    return Cost(n_answers, n_queries * n_words * vector_size)


def _vector(model: VectorModel, items: Sequence[Any], parameters: Parameters) -> Any:
    return model.vectors(_words(items), parameters.unknown)


def _neighbors(model: VectorModel, items: Sequence[Any], parameters: Parameters) -> Any:
    topn = min(parameters.topn, len(model.table))
    threshold = parameters.threshold if parameters.threshold > -1 else None
    approximate = parameters.approximate
    if parameters.together or parameters.negative:
        found = model.neighbors_of_mean(
            _words(items), parameters.negative, topn, threshold, approximate
        )
        return [_listed(model, found)]
    if topn * len(items) > MAX_ANSWERS:
        raise QueryError(
            f"{counted(len(items), 'item')} with topn {topn} are more than {MAX_ANSWERS} "
            f"neighbours: ask for fewer at a time"
        )
    if any(not isinstance(item, str) for item in items):
        vectors = _vectors(items, model.table.vector_size)
        answers = model.neighbors_of_vectors(vectors, topn, threshold, approximate)
    else:
        answers = model.neighbors(items, topn, threshold, approximate)
    return [_listed(model, found) for found in answers]


def _analogy(model: VectorModel, items: Sequence[Any], parameters: Parameters) -> Any:
    words = _words(items)
    if not words or len(words) % 3:
        raise QueryError(
            f"analogy takes three words to a question; given: {counted(len(words), 'word')}"
        )
    questions = [(words[i], words[i + 1], words[i + 2]) for i in range(0, len(words), 3)]
    topn = min(parameters.topn, len(model.table))
    return [
        _listed(model, found) for found in model.analogies(questions, topn, parameters.approximate)
    ]


def _similarity(model: VectorModel, items: Sequence[Any], _parameters: Parameters) -> Any:
    words = _words(items)
    if not words or len(words) % 2:
        raise QueryError(
            f"similarity takes two words to a pair; given: {counted(len(words), 'word')}"
        )
    pairs = [(words[i], words[i + 1]) for i in range(0, len(words), 2)]
    return model.similarities(pairs).tolist()


def _odd(model: VectorModel, items: Sequence[Any], _parameters: Parameters) -> Any:
    found = model.odd_one_out(_words(items))
    return [{"word": found.word, "similarities": list(found.similarities)}]


def _cluster(model: VectorModel, items: Sequence[Any], parameters: Parameters) -> Any:
    if len(items) * parameters.n_clusters > MAX_ANSWERS:
        raise QueryError(
            f"{counted(len(items), 'word')} in {counted(parameters.n_clusters, 'cluster')} are too "
            f"many: words times clusters may be {MAX_ANSWERS} at most"
        )
    return model.clusters(_words(items), parameters.n_clusters, parameters.seed)


def _rank(model: VectorModel, items: Sequence[Any], parameters: Parameters) -> Any:
    if not parameters.query:
        raise QueryError("rank needs the parameter query, a text")
    ranked = model.rank(parameters.query, _texts(items))
    return [{"item": place, "similarity": similarity} for place, similarity in ranked]


def _encode(model: VectorModel, items: Sequence[Any], parameters: Parameters) -> Any:
    return model.encode(_texts(items), parameters.unknown)


def _recommend(model: VectorModel, items: Sequence[Any], parameters: Parameters) -> Any:
    topn = min(parameters.topn, len(model.table))
    history = _strings(items, "the id of an item")
    found = model.recommend(history, topn, parameters.by, parameters.may_repeat)
    return [{"item": one.item, "score": one.score, "title": one.title} for one in found]


def _about(model: VectorModel, items: Sequence[Any], _parameters: Parameters) -> Any:
    if len(items):
        raise QueryError("about takes no items")
    return [
        {
            "model": model.name,
            "space": model.space,
            "n_words": len(model.table),
            "vector_size": model.table.vector_size,
        }
    ]


TASKS: Mapping[str, Callable[[VectorModel, Sequence[Any], Parameters], Any]] = {
    "vector": _vector,
    "neighbors": _neighbors,
    "analogy": _analogy,
    "similarity": _similarity,
    "odd_one_out": _odd,
    "cluster": _cluster,
    "rank": _rank,
    "encode": _encode,
    "recommend": _recommend,
    "about": _about,
}
"""The function that answers each task."""


def _words(items: Sequence[Any]) -> list[str]:
    return _strings(items, "a word")


def _texts(items: Sequence[Any]) -> list[str]:
    return _strings(items, "a text")


def _strings(items: Sequence[Any], what: str) -> list[str]:
    for place, item in enumerate(items):
        if not isinstance(item, str):
            raise QueryError(
                f"item {place} is {_shown(item)} ({type(item).__name__}), expected {what}"
            )
    return list(items)


def _shown(item: Any) -> str:
    shown = repr(item[:60]) if isinstance(item, str) else repr(item)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _vectors(items: Sequence[Any], vector_size: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    vectors = np.zeros((len(items), vector_size))
    for place, item in enumerate(items):
        try:
            values = np.asarray(item, dtype=np.float64)
        except (TypeError, ValueError):
            values = np.zeros(0)
        if values.shape != (vector_size,):
            raise QueryError(
                f"item {place} is not a vector of {vector_size} numbers; give either words or "
                f"vectors, not both"
            )
        vectors[place] = values
    return vectors


def _listed(model: VectorModel, found: Sequence[Neighbor]) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = [
        {"token": near.token, "similarity": near.similarity} for near in found
    ]
    if model.item_recommender is not None:
        titles = model.titles_of([near.token for near in found])
        for one, title in zip(listed, titles, strict=True):
            one["title"] = title
    return listed
