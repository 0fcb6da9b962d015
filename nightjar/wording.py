"""Singular and plural in messages. Below every package, since all of them count something."""

from __future__ import annotations


def counted(n: int, noun: str, plural: str = "") -> str:
    """``1 document``, ``2 documents``, ``1,000 documents``; ``plural`` for irregular ones."""
    return f"{n:,} {noun if n == 1 else plural or plural_of(noun)}"


def plural_of(noun: str) -> str:
    """``words``, ``entries``, ``indexes``."""
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}{'es' if noun.endswith(('s', 'x', 'ch')) else 's'}"


def with_article(noun: str) -> str:
    """``a node``, ``an item``."""
    return f"{'an' if noun[:1] in 'aeiou' else 'a'} {noun}"
