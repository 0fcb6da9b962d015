"""Evidently's embedding drift for one pair of matrices, for :mod:`benchmarks.drift`.

Runs in an interpreter that has the package ``evidently``; prints, for each of its four methods with
their defaults, whether it says that there is drift.
"""

from __future__ import annotations

import json
import sys
import warnings
from importlib import import_module

import numpy as np
import pandas as pd


def main(path: str) -> None:
    """Judge the arrays ``reference`` and ``current`` of an npz file."""
    methods = import_module("evidently.legacy.metrics.data_drift.embedding_drift_methods")
    pair = np.load(path)
    found = {}
    for name in ("model", "distance", "mmd", "ratio"):
        frames = [pd.DataFrame(pair[side]) for side in ("current", "reference")]
        for frame in frames:
            frame.columns = [f"value{column}" for column in frame.columns]
        found[name] = bool(getattr(methods, name)()(*frames)[1])
    print(json.dumps(found))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(sys.argv[1])
