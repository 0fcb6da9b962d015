"""The sections ``models`` and ``training``: models of every trainer, and how they are trained."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import ByteSize, Field, model_validator

from nightjar.config.registry_sections import GateBenchmarks
from nightjar.config.sections import (
    MAX_EPOCHS,
    MAX_INT32_COUNT,
    MemorySize,
    Name,
    Section,
    Seed,
    Text,
)


class _AnyModel(Section):
    corpus: Name | None = Field(
        None, description="one of corpora; optional if there is only one, or with a base model"
    )
    gate_benchmarks: GateBenchmarks | None = Field(
        None,
        description="benchmarks that decide about this model, a list or weights by name; default: "
        "registry.gate.benchmarks",
    )


class _Model(_AnyModel):
    vector_size: int = Field(100, ge=1, le=10_000, description="dimensions of a vector")
    window: int = Field(5, ge=1, le=1_000, description="context words on each side")
    min_count: int = Field(5, ge=1, description="rarer words have no vector")
    max_vocabulary: int | None = Field(
        None, ge=2, description="keep only the most frequent words, up to this number"
    )
    epochs: int = Field(5, ge=1, le=MAX_EPOCHS, description="passes over the corpus")
    seed: Seed | None = Field(None, description="default: training.seed")
    init_from: Name | None = Field(
        None, description="fine-tune: start from the vectors of this configured model"
    )
    space: Literal["own", "aligned", "warm", "compass"] = Field(
        "own",
        description="coordinates of each night's vectors: own ones; turned onto the first "
        "champion's (aligned); trained from it (warm); trained with its output layer (compass)",
    )

    @model_validator(mode="after")
    def _starts_once(self) -> Self:
        if self.init_from is not None and self.space in ("warm", "compass"):
            raise ValueError(
                f"init_from and space: {self.space} both say where the training starts; give one "
                f"(space: aligned goes with init_from)"
            )
        return self


class _WindowModel(_Model):
    """Shared by Word2Vec and FastText: prediction within a sliding window."""

    engine: str
    architecture: Literal["skipgram", "cbow"] = "skipgram"
    negative: int = Field(5, ge=0, le=1_000, description="negative samples; 0: none")
    hs: bool = Field(False, description="hierarchical softmax")
    ns_exponent: float = Field(0.75, ge=-2, le=2, description="of the noise distribution")
    sample: float = Field(1e-3, ge=0, le=1, description="subsampling threshold; 0: off")
    alpha: float = Field(0.05, gt=0, le=10, description="initial learning rate")
    min_alpha: float = Field(1e-4, gt=0, le=10, description="final learning rate")
    cbow_mean: bool = Field(True, description="CBOW: mean of the context, else its sum")
    shrink_windows: bool = Field(True, description="draw the window size from 1..window")

    @model_validator(mode="after")
    def _has_an_objective(self) -> Self:
        if self.negative == 0 and not self.hs:
            raise ValueError("negative is 0 and hs is off: nothing to learn; turn one on")
        if self.min_alpha > self.alpha:
            raise ValueError("min_alpha is above alpha: the learning rate decays, lower it")
        return self

    @model_validator(mode="after")
    def _space_can_be_kept(self) -> Self:
        if self.space in ("warm", "compass") and self.engine != "native":
            raise ValueError(f"space: {self.space} needs engine: native; aligned works with any")
        if self.space == "compass" and (self.hs or not self.negative):
            raise ValueError(
                "space: compass keeps the output rows of words, which negative sampling has and "
                "hierarchical softmax has not: set negative above 0 and hs: false"
            )
        return self


class Word2VecConfig(_WindowModel):
    """Word2Vec (Mikolov et al. 2013, arXiv:1301.3781 and arXiv:1310.4546)."""

    trainer: Literal["word2vec"]
    engine: Literal["native", "gensim"] = "native"
    window_side: Literal["both", "past"] = Field(
        "both",
        description="past: a word is predicted from those before it alone, as the next item of a "
        "session is (engine: native)",
    )
    alpha: float = Field(
        0.05,
        gt=0,
        le=10,
        description="initial learning rate; default for skip-gram and the sum of CBOW: 0.025",
    )

    @model_validator(mode="before")
    @classmethod
    def _learning_rate_of_the_authors(cls, data: Any) -> Any:
        """Defaults as in word2vec.c: 0.05 for CBOW (with the mean), else 0.025."""
        if not isinstance(data, dict) or "alpha" in data:
            return data
        is_mean = data.get("architecture") == "cbow" and data.get("cbow_mean", True) is not False
        return data if is_mean else {**data, "alpha": 0.025}

    @model_validator(mode="after")
    def _has_both_sides_in_gensim(self) -> Self:
        if self.window_side == "past" and self.engine == "gensim":
            raise ValueError(
                "window_side: past needs engine: native; gensim's windows have both sides"
            )
        return self


class FastTextConfig(_WindowModel):
    """FastText (Bojanowski et al. 2017, arXiv:1607.04606): Word2Vec with n-grams."""

    trainer: Literal["fasttext"]
    engine: Literal["native", "gensim"] = "native"
    min_n: int = Field(3, ge=1, le=100, description="shortest character n-gram")
    max_n: int = Field(6, ge=0, le=100, description="longest; 0: no n-grams")
    bucket: int = Field(
        2_000_000, ge=0, le=MAX_INT32_COUNT, description="rows of the n-gram hash table"
    )

    @model_validator(mode="after")
    def _ngrams_have_rows(self) -> Self:
        if 0 < self.max_n < self.min_n:
            raise ValueError(
                f"min_n is {self.min_n} and max_n {self.max_n}: no n-gram is both so long and so "
                f"short; raise max_n, or set max_n: 0 for none"
            )
        if self.max_n >= self.min_n and self.bucket == 0:
            raise ValueError("bucket is 0 but n-grams are on; set bucket, or max_n: 0")
        return self


class GloVeConfig(_Model):
    """GloVe (Pennington et al. 2014, doi:10.3115/v1/D14-1162)."""

    trainer: Literal["glove"]
    engine: Literal["native"] = "native"
    window: int = Field(15, ge=1, le=1_000, description="context words on each side")
    epochs: int = Field(25, ge=1, le=MAX_EPOCHS, description="passes over the non-zero counts")
    x_max: float = Field(100.0, gt=0, description="counts above it have weight 1")
    alpha: float = Field(0.75, ge=0, le=10, description="exponent of the weighting")
    eta: float = Field(0.05, gt=0, le=10, description="initial learning rate of AdaGrad")
    symmetric: bool = Field(True, description="count left and right context, otherwise only left")
    distance_weighting: bool = Field(True, description="a pair d words apart counts 1/d")
    combine: Literal["sum", "word"] = Field(
        "sum", description="published vector: word + context, or word alone"
    )

    @model_validator(mode="after")
    def _has_no_compass(self) -> Self:
        if self.space == "compass":
            raise ValueError(
                "GloVe publishes the sum of both of its matrices, so none can be kept as a "
                "compass; choose space: aligned or warm"
            )
        return self


class ProneConfig(_AnyModel):
    """ProNE (Zhang et al. 2019, doi:10.24963/ijcai.2019/594): a graph's matrix, factorized.

    Sparse matrix factorization (section 3.1), then spectral propagation (section 3.2), then
    averages over neighbours, which the paper does not have.
    """

    trainer: Literal["prone"]
    vector_size: int = Field(128, ge=1, le=10_000, description="dimensions of a vector")
    ns_exponent: float = Field(0.75, ge=-2, le=2, description="of the noise distribution")
    steps: int = Field(10, ge=0, le=100, description="terms of the Chebyshev expansion; 0: none")
    mu: float = Field(0.2, ge=-10, le=10, description="centre of the band-pass filter")
    theta: float = Field(0.5, gt=0, le=10, description="its width")
    spread: int | None = Field(
        None,
        ge=0,
        le=100,
        description="times that vectors are then averaged over neighbours; 0: as in the paper; "
        "null: 10 for a graph of few edges, fewer the more neighbours a node has",
    )
    seed: Seed | None = Field(None, description="default: training.seed")
    space: Literal["own", "aligned"] = Field(
        "own", description="coordinates: each version's own, or turned onto the first champion's"
    )


VectorFormat = Literal[
    "auto",
    "word2vec",
    "word2vec-binary",
    "glove",
    "fasttext",
    "gensim",
    "safetensors",
    "numpy",
    "parquet",
    "projector",
    "spacy",
    "sentence-transformers",
    "model2vec",
    "sqlite",
]


class ImportConfig(_AnyModel):
    """Pre-trained vectors from a file; other models may be fine-tuned from them."""

    trainer: Literal["import"]
    path: Text = Field(description="file or folder, relative to the config file")
    format: VectorFormat = Field("auto", description="auto: by the content")
    max_vocabulary: int | None = Field(
        None, ge=2, description="read only the first words, up to this number"
    )


class _SentenceEncoder(_AnyModel):
    model: Name = Field(description="the configured model whose vectors are weighted")
    space: Literal["own", "aligned"] = Field(
        "own", description="coordinates: each version's own, or turned onto the first champion's"
    )


class SifConfig(_SentenceEncoder):
    """SIF (Arora et al. 2017, openreview.net/forum?id=SyK00v5xx): a text is a weighted mean."""

    trainer: Literal["sif"]
    a: float = Field(1e-3, gt=0, le=1, description="a word of probability p has weight a / (a + p)")
    components: int = Field(1, ge=0, le=100, description="common components to remove")


class UsifConfig(_SentenceEncoder):
    """uSIF (Ethayarajh 2018, doi:10.18653/v1/W18-3012): SIF without a free parameter."""

    trainer: Literal["usif"]
    components: int = Field(5, ge=0, le=100, description="common components to remove, weighted")


TrainedConfig = Word2VecConfig | FastTextConfig | GloVeConfig
"""A model that learns from the tokens, epoch by epoch."""

ModelConfig = Annotated[
    TrainedConfig | ImportConfig | SifConfig | UsifConfig | ProneConfig,
    Field(discriminator="trainer"),
]


def space_of_model(model: ModelConfig) -> str:
    """How ``model`` keeps its coordinates: ``own``, ``aligned``, ``warm`` or ``compass``."""
    return "own" if isinstance(model, ImportConfig) else model.space


def base_of(model: ModelConfig) -> str | None:
    """The configured model that ``model`` is derived from, or None."""
    if isinstance(model, SifConfig | UsifConfig):
        return model.model
    return None if isinstance(model, ImportConfig | ProneConfig) else model.init_from


class TrainingConfig(Section):
    """Settings for training that all models share."""

    seed: Seed = 1
    workers: int | None = Field(None, ge=1, le=1024, description="default: every core")
    deterministic: bool = Field(
        False, description="one worker and byte-identical vectors run after run"
    )
    checkpoint_minutes: float | None = Field(
        10.0,
        gt=0,
        description="interval of the checkpoints that resume a killed training; null: none",
    )
    max_memory: MemorySize = Field(
        ByteSize(1_000_000_000),
        description="for counting co-occurrences, as in 512MB or 2GiB; beyond that, disk is used",
    )
