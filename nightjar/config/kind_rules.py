"""Rules between a corpus and what is made of it: trainers, benchmarks, document vectors."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from nightjar.config.benchmarks import BenchmarkConfig, LinkPredictionBenchmark, NextItemBenchmark
from nightjar.config.corpora import (
    CorpusConfig,
    EventsCorpusConfig,
    GraphCorpusConfig,
    TextCorpusConfig,
)
from nightjar.config.registry_sections import GateBenchmarks
from nightjar.config.trainers import (
    FastTextConfig,
    ImportConfig,
    ModelConfig,
    ProneConfig,
    SifConfig,
    UsifConfig,
    Word2VecConfig,
)
from nightjar.wording import counted

Corpora = Mapping[str, CorpusConfig]


def check_trainers(
    models: Mapping[str, ModelConfig], corpora: Corpora, corpus_of: Callable[[str], str]
) -> None:
    """Raise ValueError for a trainer that learns nothing from its kind of corpus."""
    for name, model in models.items():
        corpus = corpus_of(name)
        kind = corpora[corpus].kind
        if isinstance(model, SifConfig | UsifConfig) and kind != "text":
            raise ValueError(
                f"models.{name}.trainer: {model.trainer} weighs the words of texts, and the corpus "
                f"{corpus} is of kind {kind}; take the model out, or name a corpus of kind text"
            )
        if isinstance(model, ProneConfig) and kind != "graph":
            raise ValueError(
                f"models.{name}.trainer: prone factorizes a graph, and the corpus {corpus} is of "
                f"kind {kind}; choose word2vec, fasttext or glove, or name a corpus of kind graph"
            )


def check_benchmarks(benchmarks: Mapping[str, BenchmarkConfig], corpora: Corpora) -> None:
    """Raise ValueError for a benchmark of a corpus that is not there, or holds nothing out."""
    for name, benchmark in benchmarks.items():
        key = f"evaluation.benchmarks.{name}"
        wanted: str | None = getattr(benchmark, "corpus", None)
        kind = benchmark.CORPUS_KIND
        if wanted is not None:
            if wanted not in corpora:
                raise ValueError(
                    f"{key}.corpus: there is no corpus {wanted!r}; corpora has {', '.join(corpora)}"
                )
            if corpora[wanted].kind != kind:
                raise ValueError(
                    f"{key}.corpus: {wanted} is of kind {corpora[wanted].kind}, and "
                    f"{benchmark.type} scores models of corpora of kind {kind}"
                )
        scored = [
            corpus
            for corpus, found in corpora.items()
            if found.kind == kind and wanted in (None, corpus)
        ]
        if not scored:
            raise ValueError(
                f"{key}: {benchmark.type} scores models of corpora of kind {kind}, and corpora has "
                f"none; take it out"
            )
        for corpus in scored:
            _check_holds_out(key, benchmark, corpus, corpora[corpus])


def _check_holds_out(
    key: str, benchmark: BenchmarkConfig, corpus: str, found: CorpusConfig
) -> None:
    only = f"; or name another corpus in {key}.corpus"
    if isinstance(benchmark, LinkPredictionBenchmark) and isinstance(found, GraphCorpusConfig):
        if found.held_out == 0:
            raise ValueError(
                f"{key} asks for edges that no model has seen, and corpora.{corpus}.held_out is 0: "
                f"set it to a share of the edges, such as 0.1{only}"
            )
    elif isinstance(benchmark, NextItemBenchmark) and isinstance(found, EventsCorpusConfig):
        for part, least in (("test", 0), ("share", 0)):
            if getattr(found.held_out, part) <= least:
                raise ValueError(
                    f"{key} asks for last events that no model has seen, and "
                    f"corpora.{corpus}.held_out.{part} is 0: raise it{only}"
                )
        needed = found.held_out.test + found.held_out.validation + 1
        if found.sessions.max_events < needed:
            raise ValueError(
                f"{key} asks for last events, and corpora.{corpus}.sessions.max_events is "
                f"{found.sessions.max_events}: a session is held out of if it has "
                f"{counted(needed, 'event')} (held_out.test and validation, and one before "
                f"them). Raise max_events to {needed} or more{only}"
            )


def check_gates(
    gates: Mapping[str, GateBenchmarks],
    common: GateBenchmarks,
    scored: Mapping[str, Collection[str]],
) -> None:
    """Raise ValueError for a model that no benchmark of its gate scores.

    ``gates`` has the benchmarks that models name themselves, ``common`` those of the others,
    ``scored`` the benchmarks that score each model.
    """
    for name, benchmarks in scored.items():
        own = gates.get(name)
        if own is not None:
            foreign = sorted(set(own) - set(benchmarks))
            if foreign:
                raise ValueError(
                    f"models.{name}.gate_benchmarks names {', '.join(foreign)}, which "
                    f"{_score(foreign)} other models; those of {name} are {_named(benchmarks)}"
                )
        elif not set(common) & set(benchmarks):
            raise ValueError(
                f"registry.gate.benchmarks has none that scores {name}: add one of "
                f"{_named(benchmarks)}, or name its own in models.{name}.gate_benchmarks"
            )


def check_recommending(
    models: Mapping[str, ModelConfig], scored: Mapping[str, Mapping[str, BenchmarkConfig]]
) -> None:
    """Raise ValueError for a model that cannot recommend as a benchmark asks it to.

    ``scored`` has the benchmarks that score each model.
    """
    for name, benchmarks in scored.items():
        model = models[name]
        has_outputs = isinstance(model, Word2VecConfig | FastTextConfig) and model.negative > 0
        for benchmark, found in benchmarks.items():
            if isinstance(model, ImportConfig) and isinstance(found, NextItemBenchmark):
                raise ValueError(
                    f"models.{name}: vectors from a file come without what recommends items (how "
                    f"often they stood together, and a fitted blend), so "
                    f"evaluation.benchmarks.{benchmark} cannot score them; train a model with "
                    f"word2vec, fasttext or glove in place of the import"
                )
            if isinstance(found, NextItemBenchmark) and found.by == "output" and not has_outputs:
                raise ValueError(
                    f"evaluation.benchmarks.{benchmark}.by: models.{name} has no output vectors "
                    f"(word2vec and fasttext with negative above 0 have them); set by to input, "
                    f"cooccurrence or blend"
                )


def check_documents(corpus_of_entries: Mapping[str, str], corpora: Corpora) -> None:
    """Raise ValueError for an entry of ``document_vectors`` of a corpus without documents."""
    for name, corpus in corpus_of_entries.items():
        if not isinstance(corpora[corpus], TextCorpusConfig):
            raise ValueError(
                f"document_vectors.{name}: the corpus {corpus} is of kind {corpora[corpus].kind} "
                f"and has no documents; take the entry out, or name a corpus of kind text"
            )


def _score(names: Collection[str]) -> str:
    return "scores" if len(names) == 1 else "score"


def _named(benchmarks: Collection[str]) -> str:
    return ", ".join(sorted(benchmarks)) or "none: evaluation.benchmarks has none of its kind"
