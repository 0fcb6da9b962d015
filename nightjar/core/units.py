"""What a model has vectors of: words, nodes or items, as messages and pages name them.

The noun comes from the kind of the model's corpus (:mod:`nightjar.store.corpus_kinds`), so a new
kind is named right everywhere. :mod:`nightjar.wording` makes its plural.
"""

from __future__ import annotations

from collections.abc import Iterable

from nightjar.config import NightjarConfig
from nightjar.store.corpus_kinds import KINDS

WORD = KINDS["text"].embeds
MIXED = "entry"
"""For models of several kinds together."""


def unit_of(config: NightjarConfig, model: str) -> str:
    """What ``model`` has vectors of, in the singular.

    A model that is not configured (it was removed, or published by hand) counts as one of words,
    unless every corpus is of another kind.
    """
    if model in config.models:
        return unit_of_corpus(config, config.corpus_of(model))
    return _common(unit_of_corpus(config, corpus) for corpus in config.corpora) or WORD


def unit_of_corpus(config: NightjarConfig, corpus: str) -> str:
    """What models of ``corpus`` have vectors of, in the singular."""
    return KINDS[config.corpora[corpus].kind].embeds


def unit_of_all(config: NightjarConfig, models: Iterable[str]) -> str:
    """What all of ``models`` have vectors of; :data:`MIXED` where they differ."""
    return _common(unit_of(config, model) for model in models) or MIXED


def _common(units: Iterable[str]) -> str | None:
    """The unit that all have; None for several, or for none."""
    found = set(units)
    return found.pop() if len(found) == 1 else None
