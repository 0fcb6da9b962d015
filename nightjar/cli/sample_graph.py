"""The made-up graph of the template ``graph``: who writes to whom at a university.

600 people at twelve institutes of six faculties. Most mails stay in the institute, some go to the
other institute of the faculty, some anywhere; a few people know many. Nothing of it is real, and
the same rows are made every time.
"""

from __future__ import annotations

import random

_FACULTIES = {
    "arts": ("history", "music"),
    "economics": ("banking", "trade"),
    "engineering": ("robotics", "bridges"),
    "law": ("contracts", "crime"),
    "medicine": ("cardiology", "surgery"),
    "science": ("physics", "chemistry"),
}
_FIRST = ("ada", "ben", "cleo", "dan", "eva", "finn", "gina", "hugo", "iris", "jan")
_LAST = ("abbott", "brook", "cole", "dale", "ellis")
_MAILS_EACH = 5
_SAME_INSTITUTE, _SAME_FACULTY = 0.58, 0.2  # the rest goes anywhere
_SEED = 17


def graph_files() -> dict[str, str]:
    """``data/edges.csv`` (source, target, mails) and ``data/labels.tsv`` (node, label)."""
    chance = random.Random(_SEED).random  # noqa: S311 (made-up data; no version changes these)
    people = [
        (f"{first}.{last}@{institute}", faculty, institute)
        for faculty, institutes in _FACULTIES.items()
        for institute in institutes
        for first in _FIRST
        for last in _LAST
    ]
    known = {person: 0.3 + chance() ** 4 * 3 for person, _, _ in people}
    everyone = [person for person, _, _ in people]
    at = {name: [one for one, _, found in people if found == name] for _, _, name in people}
    of = {name: [one for one, found, _ in people if found == name] for _, name, _ in people}
    mails: dict[tuple[str, str], int] = {}
    for person, faculty, institute in people:
        for _ in range(_MAILS_EACH):
            where = chance()
            group = at[institute] if where < _SAME_INSTITUTE else of[faculty]
            if where >= _SAME_INSTITUTE + _SAME_FACULTY:
                group = everyone
            other = _drawn(group, known, chance())
            if other != person:
                pair = (min(person, other), max(person, other))
                mails[pair] = mails.get(pair, 0) + 1 + int(9 * chance() ** 3)
    edges = [f"{one},{other},{count}\n" for (one, other), count in sorted(mails.items())]
    labels = [f"{person}\t{faculty}\n" for person, faculty, _ in people]
    return {
        "data/edges.csv": "source,target,mails\n" + "".join(edges),
        "data/labels.tsv": "node\tlabel\n" + "".join(labels),
    }


def _drawn(group: list[str], weights: dict[str, float], draw: float) -> str:
    """A member of ``group``, by weight; ``draw`` is from 0 to 1."""
    left = draw * sum(weights[one] for one in group)
    for one in group:
        left -= weights[one]
        if left < 0:
            return one
    return group[-1]
