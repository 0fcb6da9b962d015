"""Known-item search over film reviews: a passage is removed, and its review must be found.

Before the pipeline sees the reviews, one sentence of 8 to 30 words is removed from some of them,
and every second sentence from others. The removed text is the query, and its review the answer.
Sentence vectors (the mean of word vectors, SIF) are compared with BM25, and each ranking is fused
with that of BM25.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer

from benchmarks.reviews import Review, parser, read_reviews, run_pipeline
from nightjar.config import LoadedConfig
from nightjar.model.tokenization import Settings, make_sentence_splitter
from nightjar.pipeline.searching import open_search

Ranking = list[NDArray[np.int64]]
"""For each query, the rows of the reviews, best first."""

BEST = 1_000
"""Reviews ranked for a query; an answer that is not among them counts as not found."""
SENTENCE, HALF = KINDS = ("a sentence", "half a review")
SENTENCE_WORDS = range(8, 31)
WORD = r"(?u)\b\w+\b"


@dataclass(frozen=True)
class Query:
    """A passage of a review, and the row of that review."""

    kind: str
    text: str
    answer: int


def main() -> None:
    """Run the pipeline, run every query through every ranker, print and write the scores."""
    options = parser(__doc__)
    options.add_argument("--queries", type=int, default=1_000, help="of each kind so many")
    options.add_argument(
        "--encoder",
        metavar="PATH",
        help="also a pre-trained sentence-transformers encoder: folder, package:... or hub:...",
    )
    given = options.parse_args()
    reviews, queries = hold_out(read_reviews(given.data, given.reviews), given.queries)
    if not queries:
        sys.exit("no review has a sentence to take out: give more of --reviews")
    collections = {"mean of vectors": "mean", "SIF": "documents"}
    overrides = []
    if given.encoder:
        collections["pre-trained"] = "pretrained"
        entry = f"{{encoder: sentence-transformers, path: '{given.encoder}'}}"
        overrides.append(f"document_vectors.pretrained={entry}")
    loaded = run_pipeline(reviews, given.work, given.threads, overrides)
    keyword = bm25([review.text for review in reviews], queries)
    rankings = {"BM25": keyword}
    for name, collection in collections.items():
        rankings[name] = by_vectors(loaded, collection, reviews, queries)
        rankings[f"BM25 and {name}"] = fused(keyword, rankings[name])
    rows = [
        {"query": kind, "ranker": name, **scores(found, queries, kind)}
        for kind in KINDS
        for name, found in rankings.items()
    ]
    report(rows, len(reviews), given)


def hold_out(reviews: Sequence[Review], n_queries: int) -> tuple[list[Review], list[Query]]:
    """The reviews without the removed passages, and ``n_queries`` queries of each kind."""
    split = make_sentence_splitter(Settings("unicode", None, None, False, True, 1, 40))
    generator = np.random.default_rng(1)
    kept = list(reviews)
    queries: list[Query] = []
    for row in generator.permutation(len(reviews)).tolist():
        if len(queries) == n_queries * len(KINDS):
            break
        kind = KINDS[len(queries) % len(KINDS)]
        sentences = [part for part in split(plain(reviews[row].text)) if part.strip()]
        fitting = [i for i, part in enumerate(sentences) if len(part.split()) in SENTENCE_WORDS]
        if len(sentences) < 6 or not fitting:
            continue
        out = range(1, len(sentences), 2) if kind == HALF else [generator.choice(fitting)]
        rest = [part for i, part in enumerate(sentences) if i not in out]
        kept[row] = replace(reviews[row], text=" ".join(rest))
        queries.append(Query(kind, " ".join(sentences[i] for i in out), row))
    return kept, queries


def plain(text: str) -> str:
    """A review without its line break tags."""
    return re.sub(r"<br */?>", "\n", text)


def by_vectors(
    loaded: LoadedConfig, name: str, reviews: Sequence[Review], queries: Sequence[Query]
) -> Ranking:
    """The reviews whose vectors are nearest to those of the queries, from the search index."""
    rows = {f"reviews:{review.id}": row for row, review in enumerate(reviews)}
    with open_search(loaded, name) as search:
        row_of = np.array([rows[doc_id] for doc_id in search.documents.doc_ids()])
        vectors = np.nan_to_num(search.encode_queries([query.text for query in queries]))
        return [row_of[near.rows] for near in search.documents.nearest(vectors, BEST)]


def bm25(
    texts: Sequence[str], queries: Sequence[Query], k1: float = 1.2, b: float = 0.75
) -> Ranking:
    """BM25 (Robertson and Zaragoza 2009) over lower-cased words without further processing."""
    vectorizer = CountVectorizer(token_pattern=WORD, dtype=np.float32)
    counts = vectorizer.fit_transform(texts).tocsr()
    lengths = np.asarray(counts.sum(axis=1)).ravel()
    n_with_word = np.bincount(counts.indices, minlength=counts.shape[1])
    idf = np.log1p((len(texts) - n_with_word + 0.5) / (n_with_word + 0.5))
    length_of_entry = np.repeat(lengths / lengths.mean(), np.diff(counts.indptr))
    counts.data *= (k1 + 1) / (counts.data + k1 * (1 - b + b * length_of_entry))
    weights = (counts @ sparse.diags(idf.astype(np.float32))).T.tocsc()
    asked = vectorizer.transform([query.text for query in queries])
    found: Ranking = []
    for first in range(0, len(queries), 100):
        for row in (asked[first : first + 100] @ weights).toarray():
            best = np.argsort(-row, kind="stable")[:BEST]
            found.append(best[row[best] > 0])
    return found


def fused(one: Ranking, other: Ranking, k: int = 60) -> Ranking:
    """Reciprocal rank fusion (Cormack et al. 2009) of two rankings."""
    found: Ranking = []
    for pair in zip(one, other, strict=True):
        points: dict[int, float] = {}
        for ranking in pair:
            for rank, row in enumerate(ranking.tolist(), start=1):
                points[row] = points.get(row, 0.0) + 1 / (k + rank)
        best = sorted(points, key=lambda row: -points[row])[:BEST]
        found.append(np.array(best, np.int64))
    return found


def scores(found: Ranking, queries: Sequence[Query], kind: str) -> dict[str, float]:
    """Share of answers at rank 1 and among the first 10, and the mean reciprocal rank."""
    ranks = []
    for rows, query in zip(found, queries, strict=True):
        if query.kind == kind:
            place = np.flatnonzero(rows == query.answer)
            ranks.append(int(place[0]) + 1 if place.size else math.inf)
    at = np.array(ranks)
    return {
        "queries": len(ranks),
        "recall_at_1": float(np.mean(at <= 1)),
        "recall_at_10": float(np.mean(at <= 10)),
        "mrr": float(np.mean(1 / at)),
    }


def report(rows: Sequence[dict[str, Any]], n_reviews: int, options: argparse.Namespace) -> None:
    """Print a table and write the JSON."""
    print(f"{'query':15}{'ranker':25}{'recall@1':>10}{'recall@10':>11}{'MRR':>8}")
    for row in rows:
        values = f"{row['recall_at_1']:>10.3f}{row['recall_at_10']:>11.3f}{row['mrr']:>8.3f}"
        print(f"{row['query']:15}{row['ranker']:25}{values}")
    n_queries = min(row["queries"] for row in rows)
    margin = 1.96 * 0.5 / math.sqrt(n_queries)
    print(
        f"{n_queries} queries of each kind over {n_reviews} reviews; "
        f"95 % interval of a recall +-{margin:.3f} at most"
    )
    if options.json:
        figures = {"reviews": n_reviews, "recall_margin": margin, "results": list(rows)}
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
