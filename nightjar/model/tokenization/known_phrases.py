"""Joining phrases in the tokens of a text, as in the corpus."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

ENGLISH_CONNECTOR_WORDS = frozenset(
    (
        *("a", "an", "the", "for", "of", "with", "without", "at", "from", "to", "in", "on", "by"),
        *("and", "or"),
    )
)
"""gensim's list: articles, prepositions and conjunctions that a phrase may contain."""


class PhraseJoiner:
    """Joins the phrases of one pass after the other.

    ``passes`` has the phrases of each pass, each as its tokens. A phrase is two tokens that are not
    connector words, with only connector words, if any, between them.
    """

    def __init__(
        self,
        passes: Iterable[Iterable[Sequence[str]]],
        delimiter: str,
        connector_words: Iterable[str],
    ) -> None:
        self._connector_words = frozenset(connector_words)
        self._passes = [
            {tuple(phrase): delimiter.join(phrase) for phrase in phrases} for phrases in passes
        ]

    @classmethod
    def from_json(cls, text: str) -> PhraseJoiner:
        """The inverse of :func:`phrases_to_json`. Raises ValueError for malformed text."""
        try:
            found = json.loads(text)
            return cls(found["passes"], found["delimiter"], found["connector_words"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"no phrases in it: {error!r}") from error

    def join(self, tokens: Sequence[str]) -> list[str]:
        """The tokens of one sentence with each phrase as one token, greedily from left to right."""
        joined = list(tokens)
        for phrases in self._passes:
            joined = self._joined(joined, phrases)
        return joined

    def _joined(self, tokens: list[str], phrases: dict[tuple[str, ...], str]) -> list[str]:
        done: list[str] = []
        candidate: list[str] = []  # a word and the connector words after it
        for token in tokens:
            if token in self._connector_words:
                (candidate or done).append(token)
                continue
            phrase = phrases.get((*candidate, token)) if candidate else None
            if phrase is not None:
                done.append(phrase)
                candidate = []
            else:
                done += candidate
                candidate = [token]
        return done + candidate


def phrases_to_json(
    passes: Iterable[Iterable[Sequence[str]]], delimiter: str, connector_words: Iterable[str]
) -> str:
    """The content of a :class:`PhraseJoiner` as JSON, for the file in a registered model."""
    content = {
        "delimiter": delimiter,
        "connector_words": sorted(connector_words),
        "passes": [[list(phrase) for phrase in phrases] for phrases in passes],
    }
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n"
