"""Nightjar: nightly embeddings you can trust.

::

    import nightjar

    pipeline = nightjar.Pipeline("pipeline_config.yaml")
    night = pipeline.run()
    model = pipeline.model("glove")
    model.neighbors(["king"], topn=5)

The names in ``__all__`` are the public API (docs/api.md); everything else may change. They are
imported on first use, so that ``import nightjar`` is fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nightjar.version import __version__

if TYPE_CHECKING:
    from nightjar.api import Model, Pipeline, ProgressReport, SearchHit, open_model
    from nightjar.errors import (
        ConfigError,
        InputError,
        LeaseTaken,
        NightjarError,
        PromotionRefused,
        RetryLater,
        StoreError,
        UnknownTokenError,
    )

_API = ("Model", "Pipeline", "ProgressReport", "SearchHit", "open_model")
_ERRORS = (
    "ConfigError",
    "InputError",
    "LeaseTaken",
    "NightjarError",
    "PromotionRefused",
    "RetryLater",
    "StoreError",
    "UnknownTokenError",
)

__all__ = [
    "ConfigError",
    "InputError",
    "LeaseTaken",
    "Model",
    "NightjarError",
    "Pipeline",
    "ProgressReport",
    "PromotionRefused",
    "RetryLater",
    "SearchHit",
    "StoreError",
    "UnknownTokenError",
    "__version__",
    "open_model",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name not in _API + _ERRORS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("nightjar.api" if name in _API else "nightjar.errors"), name)


def __dir__() -> list[str]:
    return __all__
