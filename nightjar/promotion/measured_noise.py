"""The measured noise of training: which measurement holds for a version."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow.compute as pc

from nightjar.errors import StoreError
from nightjar.promotion.contenders import BenchmarkScore, Noise
from nightjar.store import Artifact, Store, schemas

N_WORDS = "n_words"
"""Key in the settings of a measurement: the running words of the vocabulary it was trained on."""


def training_of(store: Store, embeddings: Artifact) -> dict[str, Any]:
    """The settings of a training without its seed, with those of the model that it is made from.

    Raises StoreError when the vectors that it is made from are gone.
    """
    identity = embeddings.manifest.identity
    model = {key: value for key, value in identity["config"]["model"].items() if key != "seed"}
    base = identity["parents"].get(schemas.EMBEDDINGS)
    made_from = (
        None
        if base is None
        else training_of(store, store.open(store.ref(schemas.EMBEDDINGS, base)))
    )
    return {"model": model, "base": made_from}


def running_words(embeddings: Artifact) -> int:
    """How often the words of its vocabulary occur in the text that a version was trained on."""
    return int(pc.sum(embeddings.read("vectors", ["count"]).column("count")).as_py() or 0)


def find_noise(
    store: Store,
    model: str,
    embeddings: Artifact,
    scores: Mapping[str, BenchmarkScore],
    max_growth: float,
) -> Noise | None:
    """The scores of :func:`find_measurement` on the same benchmarks as ``scores``."""
    found = find_measurement(store, model, embeddings, max_growth)
    return None if found is None else Noise(_scores(found, scores), found.manifest.digest)


def find_measurement(
    store: Store,
    model: str,
    embeddings: Artifact,
    max_growth: float,
    fits: Callable[[Artifact], bool] = lambda found: True,  # noqa: ARG005
) -> Artifact | None:
    """The noise artifact that holds for ``embeddings``: same settings, about as much text.

    Of several that ``fits`` accepts the one with the most similar amount of text. None when there
    is none.
    """
    refs = store.versions(schemas.NOISE)
    if not refs:
        return None
    try:
        training = training_of(store, embeddings)
    except StoreError:
        return None
    n_words = running_words(embeddings)
    fitting: list[tuple[float, str, Artifact]] = []
    for ref in refs:
        try:
            found = store.open(ref)
        except StoreError:
            continue  # verify reports it
        config = found.manifest.identity["config"]
        settings = {key: value for key, value in config["training"].items() if key != N_WORDS}
        if config["model"] != model or settings != training or not fits(found):
            continue
        growth = abs(n_words / max(1, config["training"][N_WORDS]) - 1)
        if growth < max_growth or growth == 0:
            fitting.append((growth, ref.version, found))
    if not fitting:
        return None
    return min(fitting, key=lambda entry: entry[:2])[2]


def _scores(noise: Artifact, scores: Mapping[str, BenchmarkScore]) -> dict[str, tuple[float, ...]]:
    """The scores of each training, by benchmark, of those with the same settings and items.

    Items that are held out of a corpus change every night; for them the settings alone count.
    """
    measured: Mapping[str, tuple[Any, str | None]] = noise.manifest.report["benchmarks"]
    found: defaultdict[str, list[float | None]] = defaultdict(list)
    for row in noise.read("trainings").sort_by("seed").to_pylist():
        found[row["benchmark"]].append(row["score"])
    return {
        name: tuple(value for value in values if value is not None)
        for name, values in found.items()
        if name in scores
        and json.dumps(measured[name][0], sort_keys=True) == scores[name].settings
        and measured[name][1] in (None, scores[name].items_sha256)
        and None not in values
    }
