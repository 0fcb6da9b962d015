"""After any night the next plan is empty: with every option of the config at another value."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kinds_options_support import kinds_way, write_kinds
from nights_support import HandMade
from pydantic import BaseModel
from test_docs import SECTIONS

from nightjar.config import models, table_sources

pytestmark = pytest.mark.usefixtures("light_nights")

CBOW = {"trainer": "word2vec", "architecture": "cbow", "vector_size": 4, "min_count": 1}
TEXT_SOURCE = {"type": "text", "path": "text.txt"}
LEFT_OUT: dict[type[BaseModel], dict[str, str]] = {
    models.StorageConfig: dict.fromkeys(
        models.StorageConfig.model_fields, "of servers: tests/test_remote_nights.py"
    ),
    models.ExecutionConfig: dict.fromkeys(
        ("address", "n_workers"), "of a cluster, which shapes nothing: tests/test_dask.py"
    ),
    models.DocumentVectorsConfig: dict.fromkeys(
        (
            *("encoder", "path", "revision", "max_length", "prompt", "query_prompt"),
            *("batch_size", "device"),
        ),
        "of pre-trained encoders: tests/test_document_vectors.py",
    ),
    **{
        source: {"url_env": "the same as url"}
        for source in (
            *(models.SqlSource, table_sources.SqlEdges),
            *(table_sources.SqlEvents, table_sources.SqlItems),
        )
    },
    models.RegistryConfig: {"tracking_uri": "where versions are, not what they are"},
    models.TokenizeConfig: dict.fromkeys(
        ("japanese_mode", "spacy_language", "locale"),
        "of one tokenizer each: tests/test_text_tokenizers.py",
    ),
}
"""Keys that no night here has, and why."""

SHAPING_NOTHING = {
    "places": {
        "corpora.people.sources.known.path=[known.edges]",
        "corpora.clicks.sources.clicks-p.path=./clicks.parquet",
        "corpora.clicks.sources.clicks-d.query='SELECT * FROM clicks WHERE 1'",
        "evaluation.benchmarks.halves.path=moved/halves.tsv",
    },
    "limits of reading": {
        "corpora.people.max_fetch_bytes=2GB",
        "corpora.people.max_lost=0.4",
        "corpora.clicks.max_fetch_bytes=2GB",
        "corpora.clicks.max_lost=0.4",
    },
    "what is accepted": {
        "corpora.people.accept.max_nodes_lost=0.1",
        "corpora.clicks.accept.max_items_lost=0.1",
        "registry.gate.mode=enforce",
        "registry.gate.benchmarks=[halves]",
        "models.prone.gate_benchmarks=[halves]",
    },
}
"""Options of graphs and events that shape nothing."""


def corpora(*ways: dict[str, Any]) -> dict[str, Any]:
    return {f"c{number}": {"kind": "text", **way} for number, way in enumerate(ways)}


def ways(directory: Path) -> Iterator[dict[str, Any]]:
    """Changes of the config; together they state every key."""
    known = {"sha256": None, "license": "CC0", "reference": "ours"}
    yield {
        "pipeline": {"name": "other", "artifacts_dir": "elsewhere", "max_late_minutes": 5},
        "training": {
            "seed": 7,
            "workers": 2,
            "deterministic": True,
            "checkpoint_minutes": 1,
            "max_memory": "64MB",
        },
        "keep": {"accepted_nights": 1, "rollback_versions": 1, "trials": 0, "records_days": 9},
        "execution": {"engine": "local"},
        "registry": {
            "experiment": "mine",
            "gate": {
                "mode": "approve",
                "benchmarks": {"pairs": 2.0},
                "margin": 1,
                "min_coverage": 0.1,
                "max_coverage_lost": 0.9,
                "max_vocabulary_lost": 0.9,
                "min_scores": {"pairs": -1.0},
                "max_fall": 0.9,
                "health": {"isotropy": {"min": 0.0, "max": 1.0}},
                "loss_must_fall": False,
                "max_age_days": 9.0,
                "noise_prior": 0.1,
                "max_growth": 0.1,
                "first": "wait",
            },
        },
        "drift": {"tolerance": 0.3},
        "consumers": {"search": {"uses": ["words"], "contact": "ann", "what": "queries"}},
        "alerts": {
            "events": ["failed"],
            "trials": True,
            "webhook": {
                "url_env": "NO_SUCH_URL",
                "secret_env": "NO_SUCH_SECRET",
                "body": "slack",
                "tries": 1,
                "timeout_seconds": 1.0,
            },
            "metrics": "night.prom",
        },
        "evaluation": {
            "max_vocabulary": 50,
            "case_insensitive": False,
            "bootstrap_samples": 21,
            "confidence": 0.9,
            "seed": 2,
            "benchmarks": {
                "pairs": {"type": "similarity", "path": "pairs.tsv", **known, "metric": "pearson"},
                "questions": {
                    "type": "analogy",
                    "path": "questions.txt",
                    **known,
                    "method": "3cosmul",
                    "metric": "accuracy",
                },
                "texts": {"type": "sts", "path": "sts.tsv", **known, "metric": "pearson"},
                "sides": {
                    "type": "categorization",
                    "path": "sides.tsv",
                    **known,
                    "metric": "normalized_information",
                },
                "odd": {"type": "outlier", "path": "odd.tsv", **known, "metric": "share"},
                "labels": {
                    "type": "classification",
                    "path": "labels.tsv",
                    **known,
                    "text_column": "words",
                    "label_column": "side",
                    "folds": 2,
                    "max_texts": 10,
                    "metric": "macro_f1",
                },
                "near": {
                    "type": "neighbors",
                    "path": "near.tsv",
                    **known,
                    "topn": 3,
                    "metric": "share",
                },
            },
        },
        "models": {
            "words": {
                "trainer": "import",
                "path": "vectors.txt",
                "format": "auto",
                "max_vocabulary": 30,
                "gate_benchmarks": ["pairs"],
                "corpus": "text",
            }
        },
    }
    yield {
        "models": {
            "cbow": {
                **CBOW,
                "engine": "native",
                "window": 3,
                "max_vocabulary": 90,
                "epochs": 2,
                "seed": 3,
                "corpus": "text",
                "gate_benchmarks": ["pairs"],
                "negative": 2,
                "hs": True,
                "ns_exponent": 0.5,
                "sample": 0.01,
                "alpha": 0.04,
                "min_alpha": 0.001,
                "cbow_mean": False,
                "shrink_windows": False,
                "window_side": "past",
                "space": "warm",
            },
            "fast": {
                "trainer": "fasttext",
                "engine": "native",
                "architecture": "skipgram",
                "vector_size": 4,
                "min_count": 1,
                "window": 2,
                "max_vocabulary": 80,
                "epochs": 1,
                "seed": 4,
                "corpus": "text",
                "gate_benchmarks": ["pairs"],
                "negative": 3,
                "hs": False,
                "ns_exponent": 0.6,
                "sample": 0,
                "alpha": 0.06,
                "min_alpha": 0.0002,
                "cbow_mean": True,
                "shrink_windows": True,
                "min_n": 2,
                "max_n": 3,
                "bucket": 500,
                "space": "compass",
            },
            "glove": {
                "trainer": "glove",
                "engine": "native",
                "vector_size": 4,
                "min_count": 1,
                "window": 4,
                "max_vocabulary": 70,
                "epochs": 2,
                "seed": 5,
                "corpus": "text",
                "gate_benchmarks": ["pairs"],
                "x_max": 5,
                "alpha": 0.5,
                "eta": 0.1,
                "symmetric": False,
                "distance_weighting": False,
                "combine": "word",
                "space": "aligned",
            },
            **{
                f"tuned-{name}": {**model, "init_from": name, "epochs": 1}
                for name, model in (
                    ("cbow", CBOW),
                    (
                        "fast",
                        {
                            **CBOW,
                            "trainer": "fasttext",
                            "min_n": 2,
                            "max_n": 3,
                            "bucket": 500,
                        },
                    ),
                    ("glove", {"trainer": "glove", "vector_size": 4, "min_count": 1}),
                )
            },
            "sif": {
                "trainer": "sif",
                "model": "cbow",
                "space": "aligned",
                "a": 0.01,
                "components": 2,
                "corpus": "text",
                "gate_benchmarks": ["pairs"],
            },
            "usif": {
                "trainer": "usif",
                "model": "cbow",
                "space": "own",
                "components": 2,
                "corpus": "text",
                "gate_benchmarks": ["pairs"],
            },
        },
        "document_vectors": {"all": {"model": "cbow", "corpus": "text", "normalize": True}},
    }
    file = {"limit": 50, "language": "en", "storage": None}
    encoded = {**file, "encoding": "latin-1", "errors": "replace"}
    condition = {"where": {"kind": "good"}}
    yield {
        "corpora": corpora(
            {
                "sources": {"t": {**TEXT_SOURCE, **encoded, "document": "line"}},
                "deduplicate": False,
                "near_duplicates": {"threshold": 0.9, "shingle": 3},
                "min_chars": 2,
                "max_chars": 1000,
                "limit": 40,
                "on_error": "quarantine",
                "max_lost": 0.9,
                "max_expanded_bytes": "1GB",
                "max_expansion_ratio": 100,
                "max_fetch_bytes": "1GB",
                "accept": {"max_documents_lost": 0.5, "max_tokens_lost": 0.6},
                "tokenize": {
                    "tokenizer": "regex",
                    "pattern": "[a-z0-9]+",
                    "normalization": None,
                    "lowercase": True,
                    "casefold": True,
                    "split_sentences": False,
                    "min_token_chars": 2,
                    "max_token_chars": 30,
                    "phrases": {
                        "scoring": "npmi",
                        "min_count": 1,
                        "threshold": 0.5,
                        "delimiter": "~",
                        "connector_words": ["of"],
                        "passes": 2,
                    },
                },
            },
            {
                "sources": {
                    "j": {
                        **encoded,
                        **condition,
                        "type": "jsonl",
                        "path": "rows.jsonl",
                        "text_field": ["title", "text"],
                        "join": " ",
                        "id_field": "id",
                        "language_field": "language",
                    },
                    "p": {
                        **file,
                        **condition,
                        "type": "parquet",
                        "errors": "replace",
                        "path": "rows.parquet",
                        "text_column": "text",
                        "join": " ",
                        "id_column": "id",
                        "language_column": "language",
                    },
                    "c": {
                        **encoded,
                        "type": "csv",
                        "path": "rows.csv",
                        "columns": ["id", "language", "kind", "text"],
                        "where": {"kind": "good"},
                        "text_column": "text",
                        "join": " ",
                        "id_column": "id",
                        "language_column": "language",
                        "delimiter": ";",
                        "quote": "'",
                        "escape": "\\",
                    },
                    "d": {
                        **condition,
                        "limit": 9,
                        "language": "en",
                        "type": "sql",
                        "errors": "replace",
                        "url": f"sqlite:///{directory / 'rows.db'}",
                        "query": "SELECT id, text, kind, language, at FROM rows",
                        "key_column": "id",
                        "watermark_column": "at",
                        "check_deleted": False,
                        "text_column": "text",
                        "join": " ",
                        "language_column": "language",
                    },
                    "h": {**encoded, "type": "html", "path": "page.html", "selector": "main"},
                    "w": {**file, "type": "mediawiki", "path": "wiki.xml", "namespaces": [0, 4]},
                },
                "tokenize": {
                    "tokenizer": "unicode",
                    "apostrophes": "split",
                    "hyphens": "keep",
                },
            },
            {
                "sources": {"t": TEXT_SOURCE},
                "tokenize": {
                    "tokenizer": "subword",
                    "subword_algorithm": "bpe",
                    "subword_vocabulary": 60,
                },
            },
            {
                "sources": {"t": TEXT_SOURCE},
                "tokenize": {"tokenizer": "subword", "subword_path": "tokenizer.json"},
            },
            {
                "sources": {"t": TEXT_SOURCE},
                "cleaning": {
                    "steps": [
                        *("html", "repair", "unicode", "control_characters", "urls", "emails"),
                        *("personal_data", "numbers", "white_space"),
                    ],
                    "repair": {
                        "encoding": False,
                        "surrogates": False,
                        "terminal_escapes": False,
                        "ligatures": True,
                        "character_width": True,
                        "quotes": True,
                    },
                    "unicode": {"form": "NFKC"},
                    "control_characters": {
                        "bidi": False,
                        "private_use": False,
                        "zero_width": False,
                        "variation_selectors": True,
                    },
                    "urls": {"handling": "mask", "mask": "link"},
                    "emails": {"handling": "mask", "mask": "mail"},
                    "numbers": {"handling": "mask", "mask": "figure"},
                    "personal_data": {
                        "kinds": ["email", "phone", "card", "iban"],
                        "email_mask": "mail",
                        "phone_mask": "telephone",
                        "card_mask": "plastic",
                        "iban_mask": "account",
                    },
                    "white_space": {"max_blank_lines": 2},
                    "filters": {
                        "min_words": 1,
                        "max_words": 100,
                        "max_symbol_ratio": 0.9,
                        "max_digit_ratio": 0.9,
                        "max_repeated_line_ratio": 0.9,
                        "max_repeated_character_ratio": 0.9,
                    },
                    "language": {
                        "languages": ["en"],
                        "min_probability": 0.1,
                        "max_chars": 500,
                        "min_chars": 400,
                        "trust_sources": False,
                    },
                },
            },
        ),
        "models": {
            "words": {
                "trainer": "import",
                "path": "vectors.txt",
                "format": "glove",
                "corpus": "c0",
            }
        },
    }
    yield kinds_way(directory)  # the last, for SHAPING_NOTHING


def write_sources(directory: Path) -> None:
    """What the sources of :func:`ways` read."""
    rows = [
        {
            "id": str(number),
            "title": f"Title {number}",
            "text": f"left{number} right{number} some words here",
            "kind": "good" if number % 2 else "bad",
            "language": "en",
            "at": number,
        }
        for number in range(10)
    ]
    (directory / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    pq.write_table(pa.Table.from_pylist(rows), directory / "rows.parquet")
    table = [f"{row['id']};en;{row['kind']};'{row['text']}'" for row in rows]
    (directory / "rows.csv").write_text("\n".join(table) + "\n", encoding="utf-8")
    with closing(sqlite3.connect(directory / "rows.db")) as database:
        database.execute("CREATE TABLE rows (id, text, kind, language, at)")
        database.executemany("INSERT INTO rows VALUES (:id, :text, :kind, :language, :at)", rows)
        database.commit()
    (directory / "page.html").write_text("<main><p>Some words.</p></main>", encoding="utf-8")
    (directory / "wiki.xml").write_text(
        "<mediawiki><page><title>A</title><ns>0</ns><id>1</id><revision><id>2</id>"
        "<text>Some words of a page.</text></revision></page></mediawiki>",
        encoding="utf-8",
    )
    (directory / "questions.txt").write_text(": some\nleft0 right0 left1 right1\n", "utf-8")
    both = [(side, f"{side}{row}") for row in range(10) for side in ("left", "right")]
    tables = {
        "sides.tsv": ["category\tword", *(f"{side}\t{word}" for side, word in both)],
        "odd.tsv": ["words\toutliers", "left1 left2 left3 left4\tright1 right2"],
        "labels.tsv": ["words\tside", *(f"{word}\t{side}" for side, word in both)],
        "near.tsv": ["word\tneighbors", "left1\tleft2 left3", "right1\tright2"],
    }
    for name, lines in tables.items():
        (directory / name).write_text("\n".join(lines), "utf-8")
    pairs = [f"{row}\tleft{row} right{row}\tleft{row}" for row in range(5)]
    (directory / "sts.tsv").write_text("\n".join(["score\tsentence1\tsentence2", *pairs]), "utf-8")


def write_tokenizer(directory: Path) -> None:
    """A finished subword tokenizer."""
    tokenizers = pytest.importorskip("tokenizers")
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.train_from_iterator(
        ["left right word"], tokenizers.trainers.BpeTrainer(vocab_size=40, show_progress=False)
    )
    made.save(str(directory / "tokenizer.json"))


def stated(value: Any) -> Iterator[tuple[type[BaseModel], str]]:
    """Every key that a config says something about, by its section."""
    if isinstance(value, BaseModel):
        for name in value.model_fields_set:
            yield type(value), name
            yield from stated(getattr(value, name))
    elif isinstance(value, dict):
        for item in value.values():
            yield from stated(item)


def test_after_any_night_the_next_plan_is_empty(tmp_path: Path) -> None:
    directory = tmp_path / "project"
    project = HandMade(directory)
    write_sources(directory)
    write_kinds(directory)
    write_tokenizer(directory)
    base = project.document
    seen: set[tuple[type[BaseModel], str]] = set()
    for way in ways(directory):
        project.document = {**base, **way}
        project.save()
        seen |= set(stated(project.loaded.config))
        assert project.due() != []
        project.night()
        assert project.due() == [], list(way)
    missing = [
        f"{title}.{name}"
        for title, section in SECTIONS
        for name in section.model_fields
        if (section, name) not in seen and name not in LEFT_OUT.get(section, {})
    ]
    assert missing == []
    (directory / "moved").mkdir()
    (directory / "moved/halves.tsv").write_bytes((directory / "halves.tsv").read_bytes())
    for name, overrides in SHAPING_NOTHING.items():  # of the last way, kinds_way
        assert project.due(*sorted(overrides)) == [], name
    for override in ("corpora.people.walks.q=3.0", "corpora.clicks.held_out.share=0.7"):
        assert project.due(override) != [], override
