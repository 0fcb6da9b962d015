"""Runs every stage on a tiny input, and pins what it wrote: see tests/test_revisions.py.

``python tests/revisions_support.py`` renews ``revisions.json``. It refuses when a stage writes
something else under the same revision.
"""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from stage_support import context_of

from nightjar.config import load_config
from nightjar.core import Of, Planning, Stage
from nightjar.formats.gensim import from_gensim
from nightjar.pipeline import Provenance, make_plan, run_step
from nightjar.progress import SILENT
from nightjar.stages import MeasureDrift, MeasureNoise
from nightjar.stages.report import corpus_report_identity, report_corpus
from nightjar.stages.report.events_report_stage import ReportEvents, report_events
from nightjar.stages.report.graph_report_stage import ReportGraph, report_graph
from nightjar.stages.train.aligning import write_aligned
from nightjar.stages.train.training_identity import ALIGNING_REVISION
from nightjar.store import Artifact, Identity, Store, publish, schemas

PINS = Path(__file__).with_name("revisions.json")
RENEW = "renew tests/revisions.json: .venv/bin/python tests/revisions_support.py"

# -- the inputs --------------------------------------------------------------------------------

_WORDS = (
    *("river", "water", "mill", "bread", "stone", "bridge", "boat", "wheel", "miller", "flour"),
    *("oven", "baker", "field", "horse", "road", "market"),
)


def _sentences() -> Iterator[str]:
    """Eighty sentences of words near each other in the list, the first ones more often."""
    state = 1
    for number in range(80):
        words = []
        for _ in range(6 + number % 5):
            state = (state * 1_103_515_245 + 12_345) % 2**31
            words.append(_WORDS[(state >> 16) % (4 + number % (len(_WORDS) - 3))])
        yield f"The {' '.join(words)} of New York."


LINES = (
    *_sentences(),
    "The river and the water of New York.",
    "The river and the water of New York.",
    "  ",
    "Short",
    "Write to jane.doe@example.org or see https://example.org/a?b=c, call +44 20 7946 0958 now.",
    "Card 4111 1111 1111 1111, account DE89 3704 0044 0532 0130 0, 17 apples and 3.5 pears.",
    "The cafÃ© was closed &amp; the \u200bdoor\x07 \ufb01nally <b>shut</b> at cafe\u0301.",
    "!!! ??? *** /// ### word",
    "1234567 8901234 word 5678",
    "aaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbbbb word",
    "Вчера вечером министры страны встретились в столице и долго обсуждали новый закон.",
    "Les ministres du pays se sont réunis lundi dans la capitale et ont adopté un plan.",
    "A long walk along the old canal led them past nine locks and two quiet villages at noon.",
    "A long walk along the old canal led them past nine locks and two quiet villages at dusk.",
)
PAGE = """<html><head><title>A mill</title><script>x()</script></head><body><h1>The mill</h1>
<p>It grinds <i>flour</i> day and night.<p>Bread is made of it.<ul><li>one<li>two</ul></body>
</html>"""
WIKI = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/"><siteinfo><namespaces>
<namespace key="0" /><namespace key="1">Talk</namespace></namespaces></siteinfo>
<page><title>Boat</title><ns>0</ns><id>1</id><revision><id>9</id><text>A '''boat''' is on the
[[river|water]]. {{Infobox|a=b}} &lt;ref&gt;x&lt;/ref&gt;

== Use ==
* It floats [http://example.org here].</text></revision></page>
<page><title>B</title><ns>0</ns><id>2</id><redirect title="Boat" /><revision><id>8</id>
<text>#REDIRECT [[Boat]]</text></revision></page>
<page><title>Talk:Boat</title><ns>1</ns><id>3</id><revision><id>7</id><text>No.</text></revision>
</page></mediawiki>"""
ROWS = (
    {"id": 1, "title": "A mill", "text": "The wheel turns in the water.", "lang": "en", "n": 4},
    {"id": 2, "title": "An oven", "text": "The baker bakes the bread.", "lang": "en", "n": 1},
    {"id": 2, "title": "An oven", "text": "Another text of the same.", "lang": "en", "n": 5},
    {"id": 3, "title": "A boat", "text": "The boat is on the river.", "lang": None, "n": 5},
)
TONGUES = (
    "The quick brown fox doesn't re-read its U.S. papers; Dr. Smith paid $3.50 for them!",
    "Straße, ÇA VA? Naïve co-op façade — e.g. 1,234.5 units…",
    "我喜歡在河邊看書。他們明天去北京大學。",
    "東京都に住んでいます。国会議事堂の前で会いましょう。",
    "ฉันรักภาษาไทย วันนี้อากาศดีมาก",
    "İstanbul'da ILIK bir gün. Isparta.",
)
SIMILAR = (
    "river\twater\t8\nstone\tbridge\t5\nmill\twheel\t9\nbread\toven\t7\nboat\tbaker\t1\nno\tx\t3\n"
)
QUESTIONS = (
    ": trades\nmill bread river water\nstone bridge mill bread\nriver water boat river\n"
    ": gram1-things\nriver water mill bread\nbread mill water river\nriver water no x\n"
)
TEXT_PAIRS = (
    "genre\tscore\tsentence1\tsentence2\na\t4.5\tThe river water\tWater of the river\n"
    "a\t1.0\tThe mill wheel\tBread of the baker\nb\t3.0\tA boat\tThe boat and bridge\n"
    "b\t2.0\tStone\tFlour\nb\t0.5\tno\tx\n"
)
VECTORS = """9 4
river 1 0.5 -0.25 0
water 0.875 0.625 -0.125 0.25
mill 0 1 0.5 -1
bread -0.125 1.125 0.625 -0.75
stone 0.5 -0.5 0.5 -0.5
bridge 0.25 -0.75 0.5 -0.125
boat 1 -1 1 0.0625
wheel 0 0.75 -0.5 -1
ocean 0.5 0.5 0.5 0.5
"""
"""Numbers that float32 holds exactly: what is computed of them is nearly the same everywhere."""

_WINDOWS = {
    "vector_size": 4,
    "min_count": 3,
    "max_vocabulary": 12,
    "epochs": 2,
    "negative": 3,
    "sample": 0.05,
}
_FASTTEXT = {**_WINDOWS, "trainer": "fasttext", "min_n": 3, "max_n": 4, "bucket": 16}
MODELS: Mapping[str, Mapping[str, Any]] = {
    "cbow": {**_WINDOWS, "trainer": "word2vec", "architecture": "cbow"},
    "skipgram": {**_WINDOWS, "trainer": "word2vec", "sample": 0},
    "hs": {**_WINDOWS, "trainer": "word2vec", "negative": 0, "hs": True},
    "word2vec-gensim": {**_WINDOWS, "trainer": "word2vec", "engine": "gensim"},
    "fasttext": _FASTTEXT,
    "fasttext-gensim": {**_FASTTEXT, "engine": "gensim"},
    "glove": {
        "trainer": "glove",
        "vector_size": 4,
        "min_count": 3,
        "max_vocabulary": 12,
        "epochs": 3,
        "window": 4,
    },
    "file": {"trainer": "import", "path": "vectors.txt"},
    "tuned": {**_WINDOWS, "trainer": "word2vec", "init_from": "file"},
    "turned": {**_WINDOWS, "trainer": "word2vec", "space": "aligned"},
    "sif": {"trainer": "sif", "model": "file", "a": 0.01},
    "usif": {"trainer": "usif", "model": "file", "components": 2},
}
CLEANING = {
    "steps": [
        *("html", "repair", "unicode", "control_characters", "urls", "emails", "personal_data"),
        *("numbers", "white_space"),
    ],
    "filters": {
        "min_words": 2,
        "max_words": 60,
        "max_symbol_ratio": 0.5,
        "max_digit_ratio": 0.5,
        "max_repeated_character_ratio": 0.5,
    },
    "language": {"languages": ["en", "de"], "min_chars": 75},
}
CONFIG: dict[str, Any] = {
    "corpora": {
        "text": {
            "kind": "text",
            "sources": {
                "lines": {"type": "text", "path": "lines.txt"},
                "whole": {
                    "type": "text",
                    "path": "*.cp1252",
                    "document": "file",
                    "encoding": "cp1252",
                },
                "page": {"type": "html", "path": "page.html"},
                "wiki": {"type": "mediawiki", "path": "wiki.xml"},
                "rows": {
                    "type": "jsonl",
                    "path": "rows.jsonl",
                    "id_field": "id",
                    "text_field": ["title", "text"],
                    "language_field": "lang",
                    "limit": 2,
                    "where": {"n": {"min": 2}},
                },
                "table": {
                    "type": "csv",
                    "path": "table.csv",
                    "id_column": "id",
                    "delimiter": "auto",
                },
                "columns": {"type": "parquet", "path": "table.parquet", "text_column": "title"},
                "base": {
                    "type": "sql",
                    "url": "sqlite:///base.db",
                    "query": "SELECT * FROM texts",
                    "key_column": "id",
                },
            },
            "cleaning": CLEANING,
            "near_duplicates": {"threshold": 0.7, "shingle": 3},
            "max_lost": 1.0,
            "tokenize": {"phrases": {"min_count": 5, "threshold": 2.0, "passes": 2}},
        }
    },
    "training": {"seed": 7, "deterministic": True},
    "models": MODELS,
    "evaluation": {
        "bootstrap_samples": 20,
        "benchmarks": {
            "similar": {"type": "similarity", "path": "similar.tsv"},
            "questions": {"type": "analogy", "path": "questions.txt"},
            "texts": {"type": "sts", "path": "texts.tsv"},
        },
    },
    "registry": {"gate": {"benchmarks": ["similar"]}},
    "document_vectors": {"mean": {"model": "file", "normalize": True}},
}
_ITEM_FACTS = "item,title,genre\n" + "".join(
    f"film{n},The {n},{'Drama|War' if n % 2 else 'Comedy'}\n" for n in range(14)
)
_HALVES = {"spring": 0, "autumn": 1}
"""Labels of the nodes of each of two rings."""
GRAPH_CONFIG: dict[str, Any] = {
    "pipeline": {"name": "pinned-graph"},
    "corpora": {
        "people": {
            "kind": "graph",
            "sources": {
                "known": {"type": "text", "path": "known.edges", "weighted": True},
                "met": {"type": "csv", "path": "met.csv", "weight_column": "weight"},
            },
            "held_out": 0.2,
            "max_lost": 1.0,
            "walks": {"per_node": 3, "length": 12},
        }
    },
    "training": {"seed": 7, "deterministic": True},
    "models": {
        "nodes": {"trainer": "word2vec", **_WINDOWS, "min_count": 1, "max_vocabulary": 40},
        "prone": {"trainer": "prone", "vector_size": 4, "steps": 4, "spread": 2},
        "people-file": {"trainer": "import", "path": "nodes.txt", "corpus": "people"},
    },
    "evaluation": {
        "bootstrap_samples": 20,
        "benchmarks": {
            "links": {"type": "link_prediction"},
            "halves": {
                "type": "node_classification",
                "path": "halves.tsv",
                "train_share": 0.5,
                "splits": 2,
            },
        },
    },
    "registry": {"gate": {"benchmarks": ["links"]}},
}
SECOND_ORDER = tuple(
    f"corpora.people.{setting}"
    for setting in ("directed=true", "self_loops=keep", "walks.p=0.5", "walks.q=4.0")
)
EVENTS_CONFIG: dict[str, Any] = {
    "pipeline": {"name": "pinned-events"},
    "corpora": {
        "clicks": {
            "kind": "events",
            "sources": {"log": {"type": "csv", "path": "clicks.csv"}},
            "items": {
                "films": {
                    "type": "csv",
                    "path": "films.csv",
                    "title_column": "title",
                    "attribute_columns": ["genre"],
                }
            },
            "held_out": {"share": 0.9},
            "sessions": {"by": "gap", "gap_minutes": 30.0, "max_events": 7},
            "bots": {"events": 9, "minutes": 5.0},
            "min_item_events": 2,
            "time_zone": "Europe/Berlin",
            "max_lost": 1.0,
        }
    },
    "training": {"seed": 7, "deterministic": True},
    "models": {
        "items": {"trainer": "word2vec", **_WINDOWS, "min_count": 1, "max_vocabulary": 40},
    },
    "evaluation": {
        "bootstrap_samples": 20,
        "benchmarks": {"next": {"type": "next_item", "by": "cooccurrence"}},
    },
    "registry": {"gate": {"benchmarks": ["next"]}},
}
TOKENIZERS: Mapping[str, Sequence[str]] = {
    "unicode": ("casefold=true", "apostrophes=split", "hyphens=keep"),
    "turkish": ("locale=tr", "normalization=null", "split_sentences=false"),
    "whitespace": ("tokenizer=whitespace", "lowercase=false", "max_token_chars=7"),
    "regex": ("tokenizer=regex", r"pattern='[^\W\d]+|\d'", "min_token_chars=2"),
    "chinese": ("tokenizer=chinese",),
    "japanese": ("tokenizer=japanese", "japanese_mode=A"),
    "thai": ("tokenizer=thai",),
    "spacy": ("tokenizer=spacy", "spacy_language=en"),
    "bpe": ("tokenizer=subword", "subword_vocabulary=120"),
    "unigram": ("tokenizer=subword", "subword_algorithm=unigram", "subword_vocabulary=120"),
}
"""What is set under ``tokenize``."""


def write_inputs(base: Path) -> None:
    """The files that CONFIG and the others name."""
    config = {**CONFIG, "pipeline": {"name": "pinned"}}
    source = {"type": "text", "path": "tongues.txt"}
    tongues = {**config, "corpora": {"text": {"kind": "text", "sources": {"t": source}}}}
    del tongues["document_vectors"]
    tongues["models"] = {"glove": MODELS["glove"]}
    table = 'id;text\n1;The miller\'s wheel\n2;"A ""quoted"" boat; and\nmore"\n'
    texts = {
        "pinned.yaml": yaml.safe_dump(config, sort_keys=False),
        "tongues.yaml": yaml.safe_dump(tongues, sort_keys=False),
        "lines.txt": "".join(f"{line}\n" for line in LINES),
        "tongues.txt": "".join(f"{line}\n" for line in TONGUES),
        "page.html": PAGE,
        "wiki.xml": WIKI,
        "rows.jsonl": "".join(f"{json.dumps(row)}\n" for row in ({"text": 5}, *ROWS)),
        "table.csv": table,
        "similar.tsv": SIMILAR,
        "questions.txt": QUESTIONS,
        "texts.tsv": TEXT_PAIRS,
        "vectors.txt": VECTORS,
    }
    for name, text in texts.items():
        (base / name).write_text(text, encoding="utf-8")
    (base / "whole.cp1252").write_bytes("The “café” of the mill.\r\nIt is open.".encode("cp1252"))
    pq.write_table(pa.Table.from_pylist(list(ROWS[:3])), base / "table.parquet")
    connection = sqlite3.connect(base / "base.db")
    with connection:
        connection.execute("CREATE TABLE texts (id INTEGER, text TEXT)")
        rows = [(number, f"The record {number} of the mill") for number in (3, 1, 2)]
        connection.executemany("INSERT INTO texts VALUES (?, ?)", rows)
    connection.close()


def write_graph(base: Path) -> None:
    """Two rings that know each other a little, with what is wrong with some rows."""
    edges = [(n, n // 12 * 12 + (n + step) % 12) for n in range(24) for step in (1, 2, 5)]
    known = [f"p{one} p{other} {1 + (one * other) % 3 / 2}" for one, other in edges]
    met = ["source,target,weight", "p0,p13,2", "p5,p18,1", "p0,p0,1", ",p3,1", "p1,p2,-1"]
    halves = [f"p{n}\t{half}" for half, ring in _HALVES.items() for n in _ring(ring)]
    texts = {
        "graph.yaml": yaml.safe_dump(GRAPH_CONFIG, sort_keys=False),
        "known.edges": "".join(f"{line}\n" for line in ("# who knows whom", *known, "p7")),
        "met.csv": "".join(f"{line}\n" for line in met),
        "halves.tsv": "".join(f"{line}\n" for line in ("node\tlabel", *halves)),
        "nodes.txt": _vectors_of([f"p{n}" for n in range(24)]),
    }
    for name, text in texts.items():
        (base / name).write_text(text, encoding="utf-8")


def _ring(number: int) -> range:
    return range(12 * number, 12 * number + 12)


def _vectors_of(names: Sequence[str]) -> str:
    """Numbers that float32 holds exactly; neighbours in the list are alike."""
    lines = [
        f"{name} {n / 8} {(n // 12) * 4 - 2} {(n * 5) % 7 / 4} {1 - n / 16}"
        for n, name in enumerate(names)
    ]
    return "".join(f"{line}\n" for line in (f"{len(names)} 4", *lines))


def write_events(base: Path) -> None:
    """Users who go along a ring of items, one of them too fast, with some rows that are wrong."""
    lines = ["user,item,time"]
    for user in range(30):
        for step in range(6 + user % 4):
            item = (user * 3 + step * (1 + user % 2)) % 12
            day, hour = 1 + user % 9, 9 + step // 4 * 2
            lines.append(f"u{user},film{item},2026-01-{day:02d} {hour:02d}:{step:02d}:30")
    lines += [f"robot,film{step % 3},2026-01-05 10:00:{step:02d}" for step in range(20)]
    lines += ["u1,rare,2026-01-02 20:00:00", "u1,,2026-01-02 20:00:00", "u2,film1,yesterday"]
    texts = {
        "events.yaml": yaml.safe_dump(EVENTS_CONFIG, sort_keys=False),
        "clicks.csv": "".join(f"{line}\n" for line in lines),
        "films.csv": _ITEM_FACTS,
    }
    for name, text in texts.items():
        (base / name).write_text(text, encoding="utf-8")


# -- running the stages: what to adapt when their calls change ----------------------------------


def run_planned(config: Path, names: Collection[str], *overrides: str) -> dict[str, Artifact]:
    """What the planned steps called ``names`` (a stage, or a stage and a model) write."""
    loaded = load_config(config, overrides)
    plan = make_plan(loaded)
    provenance = Provenance(git_commit=None, actor="test", n_workers=1)
    store = Store(loaded.artifacts_dir)
    found = {}
    for step in plan.steps:
        is_of_corpus = step.work.of is Of.CORPUS or step.stage == schemas.COOCCURRENCES
        name = step.stage if is_of_corpus else f"{step.stage} {step.subject}"
        if {step.stage, name} & set(names):
            found[name] = store.open(run_step(loaded, step, SILENT, provenance))
    return found


def report(store: Store, documents: Artifact, tokens: Artifact) -> Artifact:
    """The corpus report, without its run in MLflow."""
    identity = corpus_report_identity(documents.ref.version, tokens.ref.version, "pinned")
    ref = publish(
        store.root,
        identity,
        lambda staging: report_corpus(documents, tokens, context_of(staging, identity)),
    )
    return store.open(ref)


def report_alone(stage: Stage, parents: Mapping[str, Artifact]) -> Artifact:
    """The report on a graph or events, without its run in MLflow."""
    write = report_graph if isinstance(stage, ReportGraph) else report_events
    versions = {name: parent.ref.version for name, parent in parents.items()}
    identity = stage.identity(Planning(versions))
    root = stage.loaded.artifacts_dir
    ref = publish(
        root,
        identity,
        lambda staging: write(*parents.values(), context_of(staging, identity)),
    )
    return Store(root).open(ref)


def run_kinds(base: Path) -> dict[str, list[Artifact]]:
    """What the stages of graphs and events wrote, by the name under which it is pinned."""
    write_graph(base)
    write_events(base)
    found: dict[str, list[Artifact]] = {}
    for kind, corpus, judged, report_stage in (
        (schemas.GRAPH, "people", "people-file", ReportGraph),
        (schemas.EVENTS, "clicks", "items", ReportEvents),
    ):
        config = base / f"{kind}.yaml"
        stages = (kind, schemas.TOKENS, schemas.EMBEDDINGS, f"{schemas.EVALUATION} {judged}")
        made = run_planned(config, stages)
        own, tokens = made[kind], made[schemas.TOKENS]
        parents = {kind: own, schemas.TOKENS: tokens}
        found |= {name: [artifact] for name, artifact in made.items() if " " in name}
        found[kind] = [own]
        found[f"{schemas.TOKENS} {kind}"] = [tokens]
        store = Store(own.directory.parents[1])
        pieces = own.manifest.report["pieces"][schemas.ROW_SHARDS]
        shards = [store.open(store.ref(schemas.ROW_SHARDS, version)) for version in pieces]
        found[f"{schemas.ROW_SHARDS} {kind}"] = sorted(shards, key=lambda it: it.manifest.name)
        reporting = report_stage(load_config(config), corpus)
        found[f"{schemas.CORPUS_REPORT} {kind}"] = [report_alone(reporting, parents)]
    second = run_planned(base / "graph.yaml", (schemas.GRAPH, schemas.TOKENS), *SECOND_ORDER)
    found["graph directed"] = [second[schemas.GRAPH]]
    found["tokens second order"] = [second[schemas.TOKENS]]
    return found


def noise_and_drift(base: Path) -> tuple[Artifact, Artifact]:
    """Vectors of other words taken for trainings with other seeds, and what moved between two."""
    config, evaluated = base / "pinned.yaml", f"{schemas.EVALUATION} file"
    header, *lines = VECTORS.splitlines()
    words = [line.partition(" ")[0] for line in lines]
    evaluations = {}
    for seed in (1, 2, 3):
        others = [*words[seed:], *words[:seed]]
        turned = [f"{w} {line.partition(' ')[2]}" for w, line in zip(others, lines, strict=True)]
        (base / "vectors.txt").write_text("\n".join([header, *turned]) + "\n", encoding="utf-8")
        found = run_planned(config, (f"{schemas.EMBEDDINGS} file", evaluated))
        evaluations[seed] = found[evaluated]
    (base / "vectors.txt").write_text(VECTORS, encoding="utf-8")
    loaded = load_config(config)
    versions = {seed: evaluation.ref.version for seed, evaluation in evaluations.items()}
    noise = run_alone(MeasureNoise(loaded, "file", versions), {})
    before, after = (evaluations[seed].manifest.parents[schemas.EMBEDDINGS] for seed in (1, 3))
    store = Store(loaded.artifacts_dir)
    digest = store.open(store.ref(schemas.EMBEDDINGS, before)).manifest.digest
    drift = MeasureDrift(loaded, "file", before, digest, noise.ref.version)
    return noise, run_alone(drift, {schemas.EMBEDDINGS: after})


def run_alone(stage: Stage, parents: Mapping[str, str]) -> Artifact:
    """What a stage that no night plans writes."""
    identity = stage.identity(Planning(parents))
    ref = publish(
        stage.loaded.artifacts_dir,
        identity,
        lambda staging: stage.write(context_of(staging, identity)),
    )
    return Store(stage.loaded.artifacts_dir).open(ref)


def aligned(store: Store, raw: Artifact, anchor: Artifact) -> Artifact:
    """Imported vectors, turned onto trained ones."""
    identity = Identity(schemas.EMBEDDINGS, "aligned", {}, code={"revision": ALIGNING_REVISION})
    ref = publish(
        store.root,
        identity,
        lambda staging: write_aligned("aligned", raw, anchor, staging, SILENT),
    )
    return store.open(ref)


def gensim_model(store: Store) -> Artifact:
    """A small FastText of gensim, published."""
    from gensim.models.fasttext import FastTextKeyedVectors  # noqa: PLC0415  # slow to import

    vectors = FastTextKeyedVectors(vector_size=4, min_n=3, max_n=3, bucket=8)
    words = ["river", "mill", "bread"]
    values = np.arange(12, dtype=np.float32).reshape(3, 4) / 8
    vectors.add_vectors(words, values)
    vectors.vectors_vocab = values[::-1].copy()
    vectors.vectors_ngrams = np.arange(32, dtype=np.float32).reshape(8, 4) / 16
    vectors.recalc_char_ngram_buckets()
    return store.open(from_gensim(vectors, store.root, "from-gensim"))


_PLANNED = (
    *(schemas.DOCUMENTS, schemas.TOKENS, schemas.COOCCURRENCES),
    *(schemas.RAW_EMBEDDINGS, schemas.EMBEDDINGS),
    *(f"{schemas.EVALUATION} file", schemas.DOCUMENT_VECTORS, schemas.SEARCH_INDEX),
)
"""Scores are those of the model ``file``: of trained vectors a last bit may turn an answer. For the
same reason nodes are judged by imported vectors, and next items by co-occurrence."""


def run_stages(base: Path) -> dict[str, list[Artifact]]:
    """What every stage wrote, by the name under which it is pinned.

    Not the graph of an index, which several threads build each time differently: its recall is
    tested instead. Not the registration, whose result is in MLflow.
    """
    write_inputs(base)
    planned = run_planned(base / "pinned.yaml", _PLANNED)
    found = {name: [artifact] for name, artifact in planned.items()}
    documents, tokens = planned[schemas.DOCUMENTS], planned[schemas.TOKENS]
    store = Store(documents.directory.parents[1])
    for stage in (schemas.DOCUMENT_SHARDS, schemas.TOKEN_SHARDS):
        shards = [store.open(ref) for ref in store.versions(stage)]
        found[stage] = sorted(shards, key=_first_document)
    found[schemas.CORPUS_REPORT] = [report(store, documents, tokens)]
    found["embeddings from gensim"] = [gensim_model(store)]
    noise, drift = noise_and_drift(base)
    found[schemas.NOISE], found[schemas.DRIFT] = [noise], [drift]
    found["embeddings aligned"] = [
        aligned(store, planned["embeddings file"], planned["embeddings skipgram"])
    ]
    for name, settings in TOKENIZERS.items():
        overrides = [f"corpora.text.tokenize.{setting}" for setting in settings]
        stages = (schemas.DOCUMENTS, schemas.TOKENS)
        planned = run_planned(base / "tongues.yaml", stages, *overrides)
        found[f"tokens {name}"] = [planned[schemas.TOKENS]]
    return found | run_kinds(base)


def _first_document(shard: Artifact) -> str:
    table = next(name for name in _tables(shard) if name in ("documents", "sentences"))
    ids = shard.read(table, ["doc_id"]).column(0).to_pylist()
    return str(ids[0]) if ids else ""


# -- what they wrote ---------------------------------------------------------------------------

_VOLATILE = {"seconds"}
"""Columns that differ each time."""
_UNSIGNED = {"components.vector"}
"""Directions with an arbitrary sign."""


@dataclass(frozen=True)
class Pin:
    """What a stage wrote, and under which revision."""

    revision: Mapping[str, Any]
    """All revisions in the identity."""
    code: str | None
    """The hash of the code in the identity, where there is one."""
    tables: Mapping[str, str]
    """By table and file the start of a hash of all but floating point numbers."""
    numbers: Mapping[str, Sequence[float]]
    """Those by table and column."""

    @classmethod
    def of(cls, artifacts: Sequence[Artifact]) -> Pin:
        """The content of ``artifacts`` of one stage, in order."""
        code = dict(_flat(artifacts[0].manifest.identity["code"]))
        tables: dict[str, Any] = {}
        numbers: dict[str, list[float]] = {}
        for artifact in artifacts:
            for name in _tables(artifact):
                values = tables.setdefault(name, [])
                values.append(_values(artifact.read(name), name, numbers))
            for name in _files(artifact):
                path = artifact.directory / name
                if path.suffix == ".npy":
                    matrix = np.load(path, allow_pickle=False)
                    numbers.setdefault(name, []).extend(_rounded(matrix.ravel().tolist()))
                    tables.setdefault(name, []).append([str(matrix.dtype), list(matrix.shape)])
                elif path.suffix == ".json":
                    floats = numbers.setdefault(name, [])
                    tables.setdefault(name, []).append(_json(path, floats))
        return cls(
            revision={key: value for key, value in code.items() if key in _REVISIONS},
            code=code.get("code", code.get("kernels")),
            tables={name: _digest(values) for name, values in sorted(tables.items())},
            numbers=dict(sorted(numbers.items())),
        )

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> Pin:
        """A pin from PINS."""
        return cls(value["revision"], value["code"], value["tables"], value["numbers"])

    def differences(self, other: Pin, tolerance: float = 1.0) -> list[str]:
        """The tables, files and columns that differ in ``other``.

        ``tolerance`` multiplies the usual tolerance for numbers.
        """
        names = {*self.tables, *other.tables}
        found = {name for name in names if self.tables.get(name) != other.tables.get(name)}
        found |= {
            name
            for name in {*self.numbers, *other.numbers}
            if not _are_close(self.numbers.get(name, ()), other.numbers.get(name, ()), tolerance)
        }
        return sorted(found)


_REVISIONS = ("revision", "cleaning.revision", "phrases", "rows", "recommending.revision")


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _tables(artifact: Artifact) -> list[str]:
    names = [entry.name for entry in artifact.manifest.files if entry.columns]
    return list(dict.fromkeys(name.split("/")[0].removesuffix(".parquet") for name in names))


def _files(artifact: Artifact) -> list[str]:
    return [entry.name for entry in artifact.manifest.files if not entry.columns]


def _values(table: pa.Table, name: str, numbers: dict[str, list[float]]) -> list[Any]:
    """Columns with their types and values; floating point numbers go to ``numbers``."""
    values: list[Any] = [table.num_rows]
    for field, column in zip(table.schema, table.columns, strict=True):
        values.append([field.name, str(field.type), field.nullable])
        if field.name in _VOLATILE:
            continue
        if pa.types.is_floating(field.type) or pa.types.is_fixed_size_list(field.type):
            flat = column.to_pylist()
            if pa.types.is_fixed_size_list(field.type):
                flat = [number for vector in flat for number in vector]
            values.append([place for place, number in enumerate(flat) if number is None])
            place = f"{name}.{field.name}"
            known = [number for number in flat if number is not None]
            known = list(map(abs, known)) if place in _UNSIGNED else known
            numbers.setdefault(place, []).extend(_rounded(known))
        else:
            values.append(column.to_pylist())
    return values


def _json(path: Path, floats: list[float]) -> Any:
    """What a JSON file holds; floating point numbers go to ``floats``."""

    def take(text: str) -> None:
        floats.extend(_rounded([float(text)]))

    return json.loads(path.read_bytes(), parse_float=take)


def _digest(values: Any) -> str:
    text = json.dumps(values, default=_as_text, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _as_text(value: bytes | date) -> str:
    return value.hex() if isinstance(value, bytes) else value.isoformat()


def _rounded(numbers: Sequence[float]) -> list[float]:
    return [float(f"{number:.6g}") for number in numbers]


def _are_close(one: Sequence[float], other: Sequence[float], tolerance: float) -> bool:
    """Whether they differ by no more than between two processors.

    Kernels are compiled for the processor: the order of sums and fused operations change the last
    bits of a number, and training carries them on. Between an old and a new processor it was a
    fiftieth of what is allowed here; a change of behaviour is far more.
    """
    return len(one) == len(other) and all(
        math.isclose(a, b, rel_tol=1e-3 * tolerance, abs_tol=1e-5 * tolerance)
        for a, b in zip(one, other, strict=True)
    )


def _tolerance(name: str) -> float:
    """gensim looks sigmoids up in a table of 1,000, so a last bit may become a step."""
    return 100.0 if name.endswith("-gensim") else 1.0


def read_pins() -> dict[str, Pin]:
    """The stored pins."""
    return {name: Pin.read(value) for name, value in json.loads(PINS.read_bytes()).items()}


def problem(name: str, pinned: Pin | None, found: Pin) -> str:
    """What is wrong with a stage, and what to do; "" if it matches its pin."""
    if pinned is None:
        return f"{name} is not pinned: {RENEW}"
    differences = ", ".join(pinned.differences(found, _tolerance(name)))
    if found.revision != pinned.revision:
        return f"{name} has the revisions {found.revision}, pinned are {pinned.revision}: {RENEW}"
    if not differences:
        return ""
    if found.code != pinned.code:
        return (
            f"{name} writes something else now ({differences}), and so does its code, which is "
            f"hashed: if that is meant, {RENEW}"
        )
    return (
        f"{name} writes something else under the same revision {found.revision} ({differences}): "
        f"artifacts of before would be reused. Raise that revision (REVISION beside the stage's "
        f"identity) and {RENEW}"
    )


def renewed(pins: Mapping[str, Pin], found: Mapping[str, Pin]) -> dict[str, Pin]:
    """The pins from now on.

    Numbers stay unchanged where nothing differs. Ends the process when something differs under the
    same revision.
    """
    result = {}
    for name, pin in found.items():
        old = pins.get(name)
        is_same = old is not None and not old.differences(pin, _tolerance(name))
        if old is not None and not is_same and (old.revision, old.code) == (pin.revision, pin.code):
            sys.exit(problem(name, old, pin))
        result[name] = replace(pin, numbers=old.numbers) if old is not None and is_same else pin
    return result


def main() -> None:
    """Write PINS again."""
    with tempfile.TemporaryDirectory() as directory:
        found = {name: Pin.of(made) for name, made in run_stages(Path(directory)).items()}
    pins = renewed(read_pins() if PINS.exists() else {}, found)
    text = ",\n".join(
        f"{json.dumps(name)}: {json.dumps(asdict(pin))}" for name, pin in pins.items()
    )
    PINS.write_text(f"{{\n{text}\n}}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
