"""The section ``evaluation``: benchmarks of every kind, and how they are scored."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from nightjar.config.sections import Name, Section, Seed, Text

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class _Benchmark(Section):
    """What every kind has."""

    CORPUS_KIND: ClassVar[str] = "text"
    """The kind of the corpora whose models are scored."""
    NOT_SHAPING: ClassVar[frozenset[str]] = frozenset()
    """Keys that do not change a score."""


class FileBenchmark(_Benchmark):
    """A benchmark that is a file: where it is, and where it comes from."""

    NOT_SHAPING: ClassVar[frozenset[str]] = frozenset(("path", "sha256", "license", "reference"))
    """The file counts by its content."""

    path: Text
    sha256: Sha256 | None = Field(
        None, description="of the file, in hex; a file with another one is an error"
    )
    license: Text | None = Field(None, description="for people")
    reference: Text | None = Field(None, description="for people: where the benchmark is from")


class _OfCorpus(_Benchmark):
    """A benchmark of the models of one corpus, or of all of its kind."""

    NOT_SHAPING: ClassVar[frozenset[str]] = frozenset(("corpus",))

    corpus: Name | None = Field(
        None, description="whose models are scored; null: every corpus of the kind"
    )


class NodeClassificationBenchmark(FileBenchmark, _OfCorpus):
    """Labels of nodes, for a logistic regression on their vectors: ``node``, ``label``.

    Tab-separated with a header or Parquet; a node with several labels has several rows. One
    regression for each label against the rest; as many labels are predicted for a node as it has
    (Perozzi et al. 2014, section 5). Every split learns from ``train_share`` of the nodes.
    """

    CORPUS_KIND: ClassVar[str] = "graph"
    NOT_SHAPING: ClassVar[frozenset[str]] = FileBenchmark.NOT_SHAPING | _OfCorpus.NOT_SHAPING

    type: Literal["node_classification"]
    train_share: float = Field(0.5, gt=0, lt=1, description="of the labelled nodes")
    splits: int = Field(5, ge=1, le=100, description="drawn at random, their scores averaged")
    max_nodes: int = Field(
        100_000, ge=10, description="more labelled nodes are sampled, the same ones every night"
    )
    metric: Literal["micro_f1", "macro_f1"] = Field("micro_f1", description="for the gate")


class LinkPredictionBenchmark(_OfCorpus):
    """Edges that were held out of the graph (``held_out``) against pairs that are no edges.

    A pair's score is the cosine of its vectors. As many pairs of nodes without an edge are drawn
    as edges are held out.
    """

    CORPUS_KIND: ClassVar[str] = "graph"

    type: Literal["link_prediction"]
    max_edges: int = Field(100_000, ge=10, description="more held-out edges are sampled")
    metric: Literal["auc", "average_precision"] = Field("auc", description="for the gate")


class NextItemBenchmark(_OfCorpus):
    """The last event of each held-out session, looked for among all items by the events before.

    Items of the session so far are left out. ``by`` says how items are recommended
    (docs/items.md).
    """

    CORPUS_KIND: ClassVar[str] = "events"

    type: Literal["next_item"]
    topn: int = Field(10, ge=1, le=1_000, description="recommendations")
    by: Literal["blend", "output", "input", "cooccurrence"] = Field(
        "blend", description="what recommends: the model as it is served, or a part of it alone"
    )
    max_sessions: int = Field(50_000, ge=10, description="more held-out sessions are sampled")
    metric: Literal["hit_rate", "ndcg"] = Field("ndcg", description="for the gate")


class SimilarityBenchmark(FileBenchmark):
    """Word pairs with human scores: ``word1``, ``word2``, ``score``, tab-separated or Parquet.

    ``#`` starts a comment. Words may be in quotes. A tab-separated file may have a header: its
    first line is one if its third field is the name of a column.
    """

    type: Literal["similarity"]
    metric: Literal["spearman", "pearson"] = Field("spearman", description="for the gate")


class AnalogyBenchmark(FileBenchmark):
    """Questions "a is to b as c is to d", in Google's format or as Parquet.

    Google's format: ``: category`` lines, and lines of four words. Columns of Parquet: ``a``,
    ``b``, ``c``, ``d`` and, if there are categories, ``category``.
    """

    type: Literal["analogy"]
    method: Literal["3cosadd", "3cosmul"] = Field(
        "3cosadd", description="how b, c and a are combined: as a sum or as a product"
    )
    metric: Literal["accuracy"] = Field("accuracy", description="for the gate")


class CategorizationBenchmark(FileBenchmark):
    """Words to cluster into known categories: ``category``, ``word``, tab-separated or Parquet."""

    type: Literal["categorization"]
    metric: Literal["purity", "normalized_information", "adjusted_information"] = Field(
        "purity", description="for the gate"
    )


class OutlierBenchmark(FileBenchmark):
    """Sets of words and outliers: ``category``, ``words``, ``outliers``, tab-separated or Parquet.

    Words are separated by spaces, or lists in Parquet; ``_`` stands for a space.
    """

    type: Literal["outlier"]
    metric: Literal["accuracy", "share"] = Field(
        "accuracy", description="for the gate; share: mean position of the outlier (OPP)"
    )


class StsBenchmark(FileBenchmark):
    """Pairs of texts with human scores: ``score``, ``sentence1``, ``sentence2``.

    Tab-separated with a header, or Parquet. A column ``genre`` or ``category`` gives categories.
    """

    type: Literal["sts"]
    metric: Literal["spearman", "pearson"] = Field("spearman", description="for the gate")


class ClassificationBenchmark(FileBenchmark):
    """Labelled texts, tab-separated with a header or Parquet, for a logistic regression.

    It learns from the texts' vectors. Each part of the texts is predicted from the other parts.
    """

    type: Literal["classification"]
    text_column: Text = "text"
    label_column: Text = "label"
    folds: int = Field(5, ge=2, le=100, description="parts of the cross-validation")
    max_texts: int = Field(
        10_000, ge=10, description="larger files are sampled, evenly over the labels"
    )
    metric: Literal["accuracy", "macro_f1"] = Field("accuracy", description="for the gate")

    @model_validator(mode="after")
    def _label_is_not_the_text(self) -> Self:
        if self.text_column == self.label_column:
            raise ValueError(
                f"text_column and label_column are both {self.text_column!r}; name the column of "
                f"the labels"
            )
        return self


class NeighborsBenchmark(FileBenchmark):
    """Your own words and their expected neighbours: ``word``, ``neighbors``.

    Tab-separated with a header, neighbours separated by spaces; or Parquet, with lists.
    """

    type: Literal["neighbors"]
    topn: int = Field(
        10, ge=1, le=1_000, description="nearest words among which they are looked for"
    )
    metric: Literal["share"] = Field("share", description="for the gate: share that is found")


BenchmarkConfig = Annotated[
    SimilarityBenchmark
    | AnalogyBenchmark
    | CategorizationBenchmark
    | OutlierBenchmark
    | StsBenchmark
    | ClassificationBenchmark
    | NeighborsBenchmark
    | NodeClassificationBenchmark
    | LinkPredictionBenchmark
    | NextItemBenchmark,
    Field(discriminator="type"),
]


class EvaluationConfig(Section):
    """The benchmarks that every model is scored on."""

    benchmarks: dict[Name, BenchmarkConfig] = Field(min_length=1)
    max_vocabulary: int = Field(300_000, ge=1, description="use only the most frequent words")
    case_insensitive: bool = True
    bootstrap_samples: int = Field(1_000, ge=1, le=1_000_000)
    confidence: float = Field(0.95, gt=0, lt=1)
    seed: Seed = 1
