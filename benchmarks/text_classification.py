"""Sentiment of film reviews from sentence vectors, compared with a bag of words.

The pipeline trains vectors on all reviews, without labels. Then a logistic regression is trained on
some labelled reviews and tested on others. The vectors come from the registry, as for any consumer.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import mlflow
import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.reviews import parser, read_reviews, run_pipeline
from nightjar.config import LoadedConfig
from nightjar.registry import tracking_uri

TRAINING_SIZES = (100, 1_000)
"""And all that there are."""
TEST_SHARE = 0.2


def main() -> None:
    """Run the pipeline, train the classifiers, print and write their accuracy."""
    options = parser(__doc__).parse_args()
    reviews = read_reviews(options.data, options.reviews)
    labelled = [review for review in reviews if review.label in ("pos", "neg")]
    if len(labelled) < 50:
        sys.exit(f"{len(labelled)} of {len(reviews)} reviews are pos or neg, too few to learn from")
    loaded = run_pipeline(reviews, options.work, options.threads)
    texts = [review.text for review in labelled]
    is_positive = np.array([review.label == "pos" for review in labelled])
    order = np.random.default_rng(1).permutation(len(labelled))
    n_test = int(len(labelled) * TEST_SHARE)
    test, train = order[:n_test], order[n_test:]
    rows = []
    for name, classifier, features in contestants(loaded, texts):
        for size in (*(size for size in TRAINING_SIZES if size < len(train)), len(train)):
            classifier.fit(features[train[:size]], is_positive[train[:size]])
            accuracy = float(classifier.score(features[test], is_positive[test]))
            rows.append({"features": name, "labelled": size, "accuracy": accuracy})
    report(rows, {"reviews": len(reviews), "tested": n_test}, options)


def contestants(loaded: LoadedConfig, texts: Sequence[str]) -> Iterator[tuple[str, Any, Any]]:
    """Name, classifier and features of each method."""
    words = TfidfVectorizer(sublinear_tf=True, min_df=2, ngram_range=(1, 1))
    yield "bag of words", LogisticRegression(C=10, max_iter=1_000), words.fit_transform(texts)
    for model, name in (("skipgram", "mean of vectors"), ("sif", "SIF")):
        scaled = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1_000))
        yield name, scaled, encode(loaded, model, texts)


def encode(loaded: LoadedConfig, model: str, texts: Sequence[str]) -> NDArray[np.float32]:
    """Vectors of texts by the champion, zeros for a text without a known word."""
    mlflow.set_tracking_uri(tracking_uri(loaded.config.registry, loaded.artifacts_dir))
    champion = mlflow.pyfunc.load_model(f"models:/reviews-{model}@champion")
    vectors: NDArray[np.float32] = champion.predict(
        list(texts), params={"task": "encode", "unknown": "zero"}
    )
    return vectors


def report(
    rows: Sequence[dict[str, Any]], counts: dict[str, int], options: argparse.Namespace
) -> None:
    """Print a table, a line for each number of labelled reviews, and write the JSON."""
    names = list(dict.fromkeys(row["features"] for row in rows))
    print("labelled" + "".join(f"{name:>18}" for name in names))
    for size in dict.fromkeys(row["labelled"] for row in rows):
        found = {row["features"]: row["accuracy"] for row in rows if row["labelled"] == size}
        print(f"{size:>8}" + "".join(f"{found[name]:>18.3f}" for name in names))
    margin = 1.96 * 0.5 / np.sqrt(counts["tested"])
    print(f"accuracy on {counts['tested']} other reviews, 95 % interval +-{margin:.3f} at most")
    if options.json:
        figures = {**counts, "accuracy_margin": margin, "results": rows}
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
