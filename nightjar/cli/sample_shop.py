"""The made-up shop of the template ``items``: what visitors of an outdoor shop look at.

60 things of ten categories, and 800 visitors who come once or several times. Who has looked at a
tent goes on to a mat, or to another tent, or anywhere. Nothing of it is real, and the same rows are
made every time.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

_CATEGORIES = (
    "tent", "mat", "sleeping-bag", "stove", "pot", "lamp", "backpack", "boots", "jacket", "map",
)  # fmt: skip
_MAKES = ("alpine", "basic", "family", "light", "trail", "winter")
_N_VISITORS = 800
_FOLLOWER, _SAME_CATEGORY = 0.6, 0.15  # the rest is anything, what is liked most first
_START = datetime(2026, 9, 1, 6, tzinfo=UTC)
_DAYS = 60
_SEED = 17


def shop_files() -> dict[str, str]:
    """``data/events.csv`` (user, item, time) and ``data/items.csv`` (item, title, ...)."""
    chance = random.Random(_SEED).random  # noqa: S311 (made-up data; no version changes these)
    events = sorted(
        (time, visitor, item)
        for visitor in range(1, _N_VISITORS + 1)
        for time, item in _visits(chance)
    )
    rows = [f"v{visitor:03d},{item},{time:%Y-%m-%dT%H:%M:%SZ}\n" for time, visitor, item in events]
    items = [
        f"{category}-{make},{make.capitalize()} {category.replace('-', ' ')},{category},{make}\n"
        for category in _CATEGORIES
        for make in _MAKES
    ]
    return {
        "data/events.csv": "user,item,time\n" + "".join(rows),
        "data/items.csv": "item,title,category,make\n" + "".join(items),
    }


def _visits(chance: Callable[[], float]) -> list[tuple[datetime, str]]:
    """What one visitor looks at, and when: one to four visits on different days."""
    taste = int(chance() * len(_MAKES))
    found: list[tuple[datetime, str]] = []
    days = sorted({int(chance() * _DAYS) for _ in range(1 + int(chance() * 4))})
    for day in days:
        time = _START + timedelta(days=day, minutes=int(chance() * 900))
        category, make = _liked(len(_CATEGORIES), chance()), taste
        for _ in range(3 + int(chance() * 6)):
            found.append((time, f"{_CATEGORIES[category]}-{_MAKES[make]}"))
            time += timedelta(seconds=20 + int(chance() * 400))
            step = chance()
            if step < _FOLLOWER:  # the next category, mostly of the make one likes
                category = (category + 1) % len(_CATEGORIES)
                make = taste if chance() < 0.7 else _liked(len(_MAKES), chance())
            elif step < _FOLLOWER + _SAME_CATEGORY:
                make = (make + 1) % len(_MAKES)
            else:
                category = _liked(len(_CATEGORIES), chance())
                make = _liked(len(_MAKES), chance())
    return found


def _liked(count: int, draw: float) -> int:
    """A number below ``count``, small ones more often; ``draw`` is from 0 to 1."""
    return int(count * draw**1.5)
