"""The model card: what the model is, how it was made, how good it is and how to use it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from nightjar.config import SifConfig, UsifConfig, base_of
from nightjar.formats.spaces import SPACE, space_of
from nightjar.model.lookup.requests import TASKS
from nightjar.registry.summary import BASE, ModelSummary
from nightjar.scoring.scores import Score
from nightjar.wording import counted, plural_of, with_article

CARD_NAME = "model_card.md"
"""The card's file among the artifacts of its run."""

_MAX_DESCRIPTION = 4_900
"""MLflow's database holds 5,000 characters."""

_KINDS = {
    "word2vec": "Word2Vec",
    "fasttext": "FastText",
    "glove": "GloVe",
    "import": "Pre-trained",
    "sif": "SIF-weighted",
    "usif": "uSIF-weighted",
    "prone": "ProNE",
}
_PAPERS = {
    "word2vec": "Mikolov et al. 2013, arXiv:1301.3781 and arXiv:1310.4546",
    "fasttext": "Bojanowski et al. 2017, arXiv:1607.04606",
    "glove": "Pennington et al. 2014, doi:10.3115/v1/D14-1162",
    "sif": "Arora et al. 2017, openreview.net/forum?id=SyK00v5xx",
    "usif": "Ethayarajh 2018, doi:10.18653/v1/W18-3012",
    "prone": "Zhang et al. 2019, doi:10.24963/ijcai.2019/594",
}
_WAYS = {
    "aligned": "onto which the trained vectors were turned",
    "warm": "from which the training started",
    "compass": "whose output layer the training kept",
}
_UNKNOWN_WITH_SUBWORDS = """\
A word outside the vocabulary gets the mean over its character n-grams. A word none of whose n-grams
was seen in training"""
_LIMITS_OF_OTHERS = """\
## Limits

{embeds} that comes after the training has no vector, and a rare one has a poor one. The vectors
reproduce what the data shows, and what it leaves out. Use them as features and for lookup, not for
decisions about people."""
_LIMITS = """\
## Limits

Each word has one vector, whatever its sense in a sentence. The vectors reproduce the biases and
gaps of their corpus; rare words have poor vectors. Use them as features and for lookup, not for
decisions about people."""


def parameter_text(value: Any) -> str:
    """Format a hyper-parameter as it would appear in the config."""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def short_description(summary: ModelSummary) -> str:
    """The description of a registered version."""
    scores = ", ".join(
        f"{name} {_value(score.value)} ({score.n_covered} of {counted(score.n_items, 'item')})"
        for name, score in summary.main.items()
    )
    text = (
        f"{_sentence(summary)}\n\n"
        f"Scores: {scores or 'none'}.\n\n"
        f"The run holds the model card ({CARD_NAME}) and every score (scores.json)."
    )
    return text[:_MAX_DESCRIPTION]


def model_card(summary: ModelSummary) -> str:
    """The complete card as Markdown. It depends only on the summary, not on clock or host."""
    sections = (
        f"# {summary.request.registered_model}\n\n{_sentence(summary)}",
        _use(summary),
        _training(summary),
        _scores(summary),
        _space(summary),
        _LIMITS
        if summary.embeds == "word"
        else _LIMITS_OF_OTHERS.format(embeds=with_article(summary.embeds).capitalize()),
        _lineage(summary),
    )
    return "\n\n".join(sections) + "\n"


def _sentence(summary: ModelSummary) -> str:
    corpus, model = summary.corpus, summary.request.model
    origin = f"imported from {', '.join(_files(summary)[:3])}"
    if corpus is not None:
        origin = f"trained on {counted(corpus.n_units, corpus.unit)} ({corpus.sources})"
    base = base_of(model)
    if base is not None:
        kind = "weighted by" if isinstance(model, SifConfig | UsifConfig) else "fine-tuned on"
        origin = (
            f"those of {base} (`{summary.versions[BASE]}`) {kind} "
            f"{origin.removeprefix('trained on ')}"
        )
    return (
        f"{_KINDS[model.trainer]} vectors of {counted(summary.n_words, summary.embeds)} in "
        f"{counted(summary.vector_size, 'dimension')}, {origin}."
    )


def _files(summary: ModelSummary) -> list[str]:
    inputs = summary.request.embeddings.manifest.identity["inputs"]
    return [_cell(entry["name"]) for entry in inputs]


def _use(summary: ModelSummary) -> str:
    words = json.dumps(list(summary.example_words), ensure_ascii=False)
    shape = (len(summary.example_words), summary.vector_size)
    embeds = summary.embeds
    unknown = f"{with_article(embeds).capitalize()} outside the vocabulary"
    if summary.has_subwords:
        unknown = _UNKNOWN_WITH_SUBWORDS
    asked = "words or texts" if embeds == "word" else plural_of(embeds)
    return f"""\
## Use

```python
import mlflow

model = mlflow.pyfunc.load_model("models:/{summary.request.registered_model}@champion")
model.predict({words})  # float32, shape {shape}
model.predict({words}, params={{"task": "neighbors", "topn": 5}})
```

It needs mlflow, numpy and pyarrow. Input: a list, array or Series of {asked}, or a DataFrame
whose only column holds them. Tasks: {", ".join(TASKS)}.
{_spelling(summary)}
{unknown}
is an error that names it, or with `params={{"unknown": "nan"}}` a row of NaN."""


def _spelling(summary: ModelSummary) -> str:
    if summary.embeds != "word":
        return f"The ids are those of the data (tokens `{summary.versions['tokens']}`)."
    origin = "the imported file has them"
    if summary.corpus is not None:
        origin = f"the tokenizer wrote them (tokens\n`{summary.versions['tokens']}`)"
    return (
        "A word is looked up as written, and if it is unknown, as the tokenizer would write it. The"
        f"\nvocabulary is as {origin}."
    )


def _distinct(embeds: str) -> str:
    return "token" if embeds == "word" else embeds


def _import(summary: ModelSummary) -> str:
    inputs = summary.request.embeddings.manifest.identity["inputs"]
    files = [
        f"| {_cell(entry['name'])} | {entry['bytes']:,} | `{entry['sha256']}` |" for entry in inputs
    ]
    return f"""\
## Import

| file | bytes | sha256 |
|---|---:|---|
{_lines(files)}

The vectors were read from these files, not trained here."""


def _training(summary: ModelSummary) -> str:
    corpus = summary.corpus
    if corpus is None:
        return _import(summary)
    sources = [
        f"| {_cell(source)} | {n_units:,} |" for source, n_units in corpus.n_by_source.items()
    ]
    values = [
        f"| {key} | {_cell(parameter_text(value))} |" for key, value in summary.parameters.items()
    ]
    loss = (
        f" Mean loss of the last epoch: {summary.losses[-1].mean_loss:.4f}."
        if summary.losses
        else ""
    )
    return f"""\
## Training

| source | {corpus.unit}s |
|---|---:|
{_lines(sources)}

{counted(corpus.n_sentences, corpus.sentence)} with \
{counted(corpus.n_distinct_tokens, f"distinct {_distinct(corpus.embeds)}")}, of which
{summary.n_words:,} have a vector. Method: {_PAPERS[summary.request.model.trainer]}. Training took
{summary.request.embeddings.manifest.seconds:.1f} s.{loss}

| hyper-parameter | value |
|---|---|
{_lines(values)}"""


def _scores(summary: ModelSummary) -> str:
    rows = [
        f"| {_cell(name)} | {score.metric} | {_value(score.value)} | {_interval(score)} "
        f"| {score.n_covered:,} of {score.n_items:,} ({score.coverage:.1%}) "
        f"| {score.max_vocabulary:,} |"
        for name, score in summary.main.items()
    ]
    return f"""\
## Scores

| benchmark | metric | score | interval | covered items | vocabulary cap |
|---|---|---:|---|---:|---:|
{_lines(rows)}

Only covered items count: those whose {plural_of(summary.embeds)} all have a vector. Compare two
models only where they cover the same items. The run's scores.json has every category."""


def _space(summary: ModelSummary) -> str:
    embeddings = summary.request.embeddings
    kept = embeddings.manifest.report.get(SPACE) or {}
    anchor = kept.get("anchor")
    origin = "They are its own: this version founds the space."
    if anchor is not None:
        way = _WAYS[kept["mode"]]
        origin = f"They are those of the embeddings `{anchor['embeddings']}`, {way}."
    residual = kept.get("residual")
    if residual is not None:
        words = counted(kept["shared_words"], f"shared {summary.embeds}")
        origin += f"\nMean cosine distance that remains, over {words}: {residual:.4f}."
    return f"""\
## Space

The coordinates of the vectors have the id `{space_of(embeddings)}`. {origin}
Compare vectors only with those of the same space; `nightjar map-vectors` brings kept ones along."""


def _lineage(summary: ModelSummary) -> str:
    rows = [f"| {stage} | `{version}` |" for stage, version in summary.versions.items()]
    return f"""\
## Lineage

| artifact | version |
|---|---|
{_lines(rows)}

Digest of the embeddings' manifest: `{summary.request.embeddings.manifest.digest}`.
Code: git commit `{summary.request.git_commit or "unknown"}`."""


def _lines(rows: Sequence[str]) -> str:
    return "\n".join(rows)


def _interval(score: Score) -> str:
    if score.ci_low is None or score.ci_high is None:
        return "-"
    return f"{score.ci_low:.4f} to {score.ci_high:.4f}"


def _value(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _cell(text: str) -> str:
    """Escape text so that it cannot end its table cell."""
    return text.replace("|", "\\|").replace("\n", " ")
