"""Defaults of models by the kind of corpus that they learn from.

Those of the sections are for text. On walks over a graph and on sessions of events other values are
better by far (shared defaults made for text are worse than popularity for next items), so a key
that the user did not write gets the value of this table first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_WALKS: Mapping[str, Any] = {"vector_size": 128, "min_count": 1}
"""Perozzi et al. 2014, section 4.1.2, and Grover and Leskovec 2016, section 4.2."""
_WALKED_WINDOWS: Mapping[str, Any] = {
    **_WALKS,
    "window": 10,
    "sample": 0.0,
    "negative": 5,
    "epochs": 1,
}
"""One pass over many walks: walks that come again teach less than others (docs/experiments.md)."""
_SESSIONS: Mapping[str, Any] = {"vector_size": 32, "min_count": 1}
_SESSION_WINDOWS: Mapping[str, Any] = {
    **_SESSIONS,
    "window": 4,
    "shrink_windows": False,
    "sample": 0.0,
    "ns_exponent": 0.25,
    "negative": 40,
    "alpha": 0.025,
    "epochs": 20,
}
"""Chosen for the next item of a session on MovieLens 100K's validation events (docs/items.md)."""
_NO_NGRAMS: Mapping[str, Any] = {"max_n": 0}
"""Ids that look alike are not alike."""

DEFAULTS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "graph": {
        "word2vec": _WALKED_WINDOWS,
        "fasttext": {**_WALKED_WINDOWS, **_NO_NGRAMS},
        "glove": {**_WALKS, "window": 10},
    },
    "events": {
        "word2vec": {**_SESSION_WINDOWS, "window_side": "past"},
        "fasttext": {**_SESSION_WINDOWS, **_NO_NGRAMS},
        "glove": {**_SESSIONS, "window": 5},
    },
}
"""By kind of corpus and trainer: values of keys that the user did not write."""


def with_defaults(document: Any) -> Any:
    """The file with the defaults of :data:`DEFAULTS` filled in; anything malformed as it is."""
    if not isinstance(document, dict):
        return document
    corpora, models = document.get("corpora"), document.get("models")
    if not isinstance(corpora, dict) or not isinstance(models, dict):
        return document
    kinds = {name: _kind(corpus) for name, corpus in corpora.items()}
    if not set(kinds.values()) & set(DEFAULTS):
        return document
    filled = {
        name: _filled(model, kinds.get(_corpus_of(name, corpora, models), ""))
        for name, model in models.items()
    }
    return {**document, "models": filled}


def _filled(model: Any, kind: str) -> Any:
    if not isinstance(model, dict):
        return model
    trainer = model.get("trainer")
    defaults = DEFAULTS.get(kind, {}).get(trainer if isinstance(trainer, str) else "", {})
    return {**defaults, **model}


def _kind(corpus: Any) -> str:
    kind = corpus.get("kind") if isinstance(corpus, dict) else None
    return kind if isinstance(kind, str) else ""


def _corpus_of(name: Any, corpora: Mapping[Any, Any], models: Mapping[Any, Any]) -> Any:
    """The corpus of a model: its own, that of the model it is made from, or the only one."""
    for _ in range(len(models)):
        model = models.get(name)
        if not isinstance(model, dict):
            break
        if isinstance(model.get("corpus"), str):
            return model["corpus"]
        base = model.get("init_from") or model.get("model")
        if not isinstance(base, str):
            break
        name = base
    return next(iter(corpora)) if len(corpora) == 1 else None
