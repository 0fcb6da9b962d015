"""RequestLimits on what one request to a served model may cost.

Whoever reaches the server may ask it. A question that would keep a worker busy for minutes, or fill
its memory, is refused before it is answered; the message says how much may be asked at a time. A
program that asks its own model (:func:`.answer` without limits) has none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .lookup_errors import QueryError, counted

_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_DEPTH_OF = np.zeros(256, np.int64)
_DEPTH_OF[[ord("["), ord("{")]] = 1
_DEPTH_OF[[ord("]"), ord("}")]] = -1


@dataclass(frozen=True)
class RequestLimits:
    """The most that one request may ask."""

    request_bytes: int = 64 << 20
    """Of the request itself."""
    depth: int = 16
    """Of lists and objects within each other; a question has eight at most."""
    items: int = 100_000
    """Words, vectors and texts, in all questions together."""
    characters: int = 12_000_000
    """In all words and texts together."""
    composed: int = 1_000_000
    """In the words without a vector, which FastText composes from n-grams."""
    answers: int = 1_000_000
    """Neighbours in all answers together, and words times clusters."""
    products: int = 200_000_000_000
    """Multiplications: vectors compared with every vector of the model."""

    def check_text(self, content: bytes) -> None:
        """Raise QueryError when a request in JSON is too long, or too deep to be read."""
        if len(content) > self.request_bytes:
            raise QueryError(
                f"the request has {counted(len(content), 'byte')}, {self.request_bytes:,} are "
                f"allowed: ask for fewer at a time"
            )
        steps = _DEPTH_OF[np.frombuffer(_STRINGS.sub(b"", content), np.uint8)]
        if steps.size and int(np.cumsum(steps[steps != 0]).max(initial=0)) > self.depth:
            raise QueryError(
                f"the request has lists or objects more than {self.depth} deep in each other"
            )

    def check_items(self, items: Sequence[Any]) -> None:
        """Raise QueryError for too many items, or too many characters in them."""
        n_items = n_characters = 0
        for item in items:
            asked = item.get("items") if isinstance(item, Mapping) else None
            several = asked if isinstance(asked, (list, tuple, np.ndarray)) else (item,)
            n_items += len(several)
            n_characters += sum(len(one) for one in several if isinstance(one, str))
        if n_items > self.items:
            raise QueryError(
                f"{counted(n_items, 'item')} are given, {self.items:,} are allowed: ask for fewer "
                f"at a time"
            )
        if n_characters > self.characters:
            raise QueryError(
                f"the items have {counted(n_characters, 'character')}, {self.characters:,} are "
                f"allowed: ask for fewer at a time"
            )

    def check_cost(self, costs: Sequence[Cost]) -> None:
        """Raise QueryError when all questions together answer or compare too much."""
        n_answers = sum(cost.answers for cost in costs)
        if n_answers > self.answers:
            raise QueryError(
                f"the answer would have {counted(n_answers, 'neighbour')}, or words times "
                f"clusters; {self.answers:,} are allowed: ask for fewer at a time"
            )
        n_products = sum(cost.products for cost in costs)
        if n_products > self.products:
            share = self.products / n_products
            raise QueryError(
                f"comparing so many vectors with every word of this model is too much for one "
                f"request: ask for about {share:.1%} of it at a time"
            )


@dataclass(frozen=True)
class Cost:
    """What a question costs."""

    answers: int = 0
    products: int = 0
