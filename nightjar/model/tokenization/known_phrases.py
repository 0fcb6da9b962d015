"""Joining phrases in the tokens of a text, as it was done in the corpus."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

ENGLISH_CONNECTOR_WORDS = frozenset(
    (
        *("a", "an", "the", "for", "of", "with", "without", "at", "from", "to", "in", "on", "by"),
        *("and", "or"),
    )
)
"""gensim's: articles, prepositions and conjunctions that a phrase may have inside."""


class PhraseJoiner:
    """Joins the phrases of one pass after the other.

    ``passes`` has the phrases of each pass, a phrase as the tokens it is made of. A phrase is
    two tokens that are no connector words, with none but connector words between them.
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
        """Back from :func:`phrases_to_json`. Raises ValueError for text of another form."""
        try:
            found = json.loads(text)
            return cls(found["passes"], found["delimiter"], found["connector_words"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"no phrases in it: {error!r}") from error

    def join(self, tokens: Sequence[str]) -> list[str]:
        """The tokens of one sentence, those of a phrase as one: greedily from left to right."""
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
    """What a :class:`PhraseJoiner` is made of, as the file that travels with a model."""
    content = {
        "delimiter": delimiter,
        "connector_words": sorted(connector_words),
        "passes": [[list(phrase) for phrase in phrases] for phrases in passes],
    }
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n"
