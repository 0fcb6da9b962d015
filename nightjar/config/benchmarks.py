"""The section ``evaluation``: benchmarks of every kind, and how they are scored."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from nightjar.config.sections import Name, Section, Seed, Text

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class _Benchmark(Section):
    """What every kind has: a file, and where it comes from."""

    NOT_SHAPING: ClassVar[frozenset[str]] = frozenset(("path", "sha256", "license", "reference"))
    """Keys that do not change a score: the file counts by its content."""

    path: Text
    sha256: Sha256 | None = Field(
        None, description="of the file, in hex; a file with another one is an error"
    )
    license: Text | None = Field(None, description="for people")
    reference: Text | None = Field(None, description="for people: where the benchmark is from")


class SimilarityBenchmark(_Benchmark):
    """Word pairs with human scores: ``word1``, ``word2``, ``score``, tab-separated or Parquet.

    ``#`` starts a comment. Words may be in quotes. A tab-separated file may have a header: its
    first line is one if its third field is the name of a column.
    """

    type: Literal["similarity"]
    metric: Literal["spearman", "pearson"] = Field("spearman", description="for the gate")


class AnalogyBenchmark(_Benchmark):
    """Questions "a is to b as c is to d", in Google's format or as Parquet.

    Google's format: ``: category`` lines, and lines of four words. Columns of Parquet: ``a``,
    ``b``, ``c``, ``d`` and, if there are categories, ``category``.
    """

    type: Literal["analogy"]
    method: Literal["3cosadd", "3cosmul"] = Field(
        "3cosadd", description="how b, c and a are combined: as a sum or as a product"
    )
    metric: Literal["accuracy"] = Field("accuracy", description="for the gate")


class CategorizationBenchmark(_Benchmark):
    """Words to cluster into known categories: ``category``, ``word``, tab-separated or Parquet."""

    type: Literal["categorization"]
    metric: Literal["purity", "normalized_information", "adjusted_information"] = Field(
        "purity", description="for the gate"
    )


class OutlierBenchmark(_Benchmark):
    """Sets of words and outliers: ``category``, ``words``, ``outliers``, tab-separated or Parquet.

    Words are separated by spaces, or lists in Parquet; ``_`` stands for a space.
    """

    type: Literal["outlier"]
    metric: Literal["accuracy", "share"] = Field(
        "accuracy", description="for the gate; share: mean position of the outlier (OPP)"
    )


class StsBenchmark(_Benchmark):
    """Pairs of texts with human scores: ``score``, ``sentence1``, ``sentence2``.

    Tab-separated with a header, or Parquet. A column ``genre`` or ``category`` gives categories.
    """

    type: Literal["sts"]
    metric: Literal["spearman", "pearson"] = Field("spearman", description="for the gate")


class ClassificationBenchmark(_Benchmark):
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


class NeighborsBenchmark(_Benchmark):
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
    | NeighborsBenchmark,
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
