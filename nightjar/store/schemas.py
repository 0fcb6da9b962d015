"""The Parquet schemas of every published table: the contract between the stages.

Columns are added, never renamed; their meaning is in docs/artifacts.md. Stage names are the
directory names under the artifact store.
"""

from __future__ import annotations

import pyarrow as pa

DOCUMENTS = "documents"
GRAPH = "graph"
EVENTS = "events"
ROW_SHARDS = "row_shards"
TOKENS = "tokens"
COOCCURRENCES = "cooccurrences"
RAW_EMBEDDINGS = "raw_embeddings"
EMBEDDINGS = "embeddings"
EVALUATION = "evaluation"
NOISE = "noise"
DRIFT = "drift"
WORD_INDEX = "word_index"
DOCUMENT_VECTORS = "document_vectors"
SEARCH_INDEX = "search_index"
CORPUS_REPORT = "corpus_report"
DOCUMENT_SHARDS = "document_shards"
TOKEN_SHARDS = "token_shards"  # noqa: S105  # not a password

PHRASES = "phrases"
TOKENIZER_FILE = "tokenizer.json"
"""In tokens and embeddings: the definition of the tokenizer, if it has one."""
DERIVED_DIR = "explorer"
"""Below the artifact store, but not a stage: the explorer's arrays, ``<embeddings>-...`` each."""
WORDS_FILE = "words.json"
"""In embeddings: how their training texts were split into words."""


def _schema(**columns: pa.DataType) -> pa.Schema:
    """Make a schema of required columns; ``_optional`` (cut off the name) allows nulls."""
    return pa.schema(
        pa.field(name.removesuffix("_optional"), kind, nullable=name.endswith("_optional"))
        for name, kind in columns.items()
    )


DOCUMENTS_SCHEMA = _schema(
    doc_id=pa.string(),
    source=pa.string(),
    text=pa.large_string(),
    content_sha256=pa.string(),
    n_chars=pa.int32(),
    language_optional=pa.string(),
)
QUARANTINE_SCHEMA = _schema(
    source=pa.string(),
    locator=pa.string(),
    reason=pa.string(),
    detail=pa.string(),
    excerpt=pa.string(),
)
DOCUMENT_KEYS_SCHEMA = _schema(
    text_digest=pa.binary(16),
    id_digest=pa.binary(16),
    has_native_id=pa.bool_(),
    locator=pa.string(),
    raw_digest=pa.binary(16),
)
SIGNATURES_SCHEMA = _schema(signature=pa.binary(512))

_TOKEN_IDS = pa.list_(pa.field("element", pa.int32(), nullable=False))
SENTENCES_SCHEMA = _schema(doc_id=pa.string(), sentence=pa.int32(), token_ids=_TOKEN_IDS)
VOCABULARY_SCHEMA = _schema(
    token_id=pa.int32(), token=pa.string(), count=pa.int64(), n_documents=pa.int64()
)
REPORT_SOURCES_SCHEMA = _schema(
    source=pa.string(),
    documents=pa.int64(),
    characters=pa.int64(),
    words=pa.int64(),
    quarantined=pa.int64(),
)
REPORT_DROPS_SCHEMA = _schema(
    step=pa.string(), source_optional=pa.string(), reason=pa.string(), count=pa.int64()
)
REPORT_LENGTHS_SCHEMA = _schema(min_words=pa.int64(), max_words=pa.int64(), documents=pa.int64())
REPORT_GROWTH_SCHEMA = _schema(words=pa.int64(), distinct_words=pa.int64())
REPORT_LANGUAGES_SCHEMA = _schema(
    language=pa.string(), declared=pa.int64(), sampled=pa.int64(), share=pa.float64()
)
REPORT_ROWS_SCHEMA = _schema(source=pa.string(), kept=pa.int64(), quarantined=pa.int64())
REPORT_DEGREES_SCHEMA = _schema(min_degree=pa.int64(), max_degree=pa.int64(), nodes=pa.int64())
REPORT_COMPONENTS_SCHEMA = _schema(nodes=pa.int64(), components=pa.int64())
REPORT_TOP_SCHEMA = _schema(token=pa.string(), count=pa.int64())
REPORT_DAYS_SCHEMA = _schema(day=pa.date32(), events=pa.int64())
REPORT_SESSIONS_SCHEMA = _schema(min_events=pa.int64(), max_events=pa.int64(), sessions=pa.int64())
REPORT_POPULARITY_SCHEMA = _schema(items=pa.int64(), events=pa.int64())
SHARD_SENTENCES_SCHEMA = _schema(doc_id=pa.string(), sentence=pa.int32(), n_tokens=pa.int32())
SHARD_TOKENS_SCHEMA = _schema(token_id=pa.int32())
SHARD_VOCABULARY_SCHEMA = _schema(token=pa.string(), count=pa.int64(), n_documents=pa.int64())
PHRASES_SCHEMA = _schema(
    **{
        "phrase": pa.string(),
        "tokens": pa.list_(pa.field("element", pa.string(), nullable=False)),
        "count": pa.int64(),
        "score": pa.float64(),
        "pass": pa.int32(),
    }
)
COOCCURRENCES_SCHEMA = _schema(row=pa.int32(), column=pa.int32(), count=pa.float64())

ROWS = "rows"
ID_TYPE = pa.dictionary(pa.int32(), pa.string())
"""Ids of rows: text, each id once in a row group."""
EDGE_ROWS_SCHEMA = _schema(source=ID_TYPE, target=ID_TYPE, weight=pa.float64())
"""Edges as they were read; ``weight`` is there if the source has weights."""
EVENT_ROWS_SCHEMA = _schema(
    user=ID_TYPE, item=ID_TYPE, time=pa.timestamp("us", tz="UTC"), session=ID_TYPE
)
"""Events as they were read; ``session`` is there if a column names sessions."""
ITEM_ROWS_SCHEMA = _schema(
    item=ID_TYPE,
    title_optional=pa.string(),
    attributes=pa.list_(pa.field("element", pa.string(), nullable=False)),
)
"""Facts about items as they were read; ``title`` is there if a column has it."""

NODES = "nodes"
NODES_SCHEMA = _schema(node=pa.string(), n_out=pa.int64(), n_in=pa.int64(), strength=pa.float64())
"""Of a graph, by id: edges that lead away and to it, and the sum of the weights of the first."""
EDGES = "edges"
EDGES_SCHEMA = _schema(source=pa.int32(), target=pa.int32(), weight=pa.float32())
"""Of a graph, by source, then target (rows of ``nodes``); undirected edges stand twice."""
HELD_OUT = "held_out"
HELD_OUT_EDGES_SCHEMA = _schema(source=pa.int32(), target=pa.int32())
"""Edges that no model sees, each once; rows of ``nodes``."""
EVENTS_SCHEMA = _schema(
    user=pa.string(), session=pa.string(), item=pa.string(), time=pa.timestamp("us", tz="UTC")
)
"""Kept events by session, then time; ``session`` is unique over all users."""
HELD_OUT_EVENTS_SCHEMA = _schema(
    session=pa.string(), item=pa.string(), time=pa.timestamp("us", tz="UTC"), part=pa.string()
)
"""The last events of held-out sessions; ``part`` is ``test`` or ``validation``."""
ITEMS = "items"
ITEMS_SCHEMA = _schema(
    item=pa.string(),
    title_optional=pa.string(),
    attributes=pa.list_(pa.field("element", pa.string(), nullable=False)),
)
"""Facts about items; an attribute is ``column=value``."""
NEAR_ITEMS = "near_items"
NEAR_ITEMS_SCHEMA = _schema(row=pa.int32(), item=pa.int32(), share=pa.float32())
"""In embeddings of items: the share of ``item`` among what stood near ``row``; largest first."""
DESCRIBED_ITEMS = "described_items"
DESCRIBED_ITEMS_SCHEMA = _schema(
    item=pa.string(),
    title_optional=pa.string(),
    placed=pa.list_(pa.field("element", pa.int32(), nullable=False)),
)
"""In embeddings of items: those of the vocabulary in its order, then described ones that are new,
with the rows of the items that stand for them."""

INDEX_ENTRIES_SCHEMA = _schema(
    doc_id=pa.string(), content_sha256=pa.string(), key_optional=pa.int64()
)


def vector_type(vector_size: int) -> pa.DataType:
    """A row of ``vector_size`` float32 values, none of them null."""
    return pa.list_(pa.field("element", pa.float32(), nullable=False), vector_size)


def vectors_schema(vector_size: int) -> pa.Schema:
    """``vectors``: the published vector of each token, in vocabulary order."""
    return _schema(token=pa.string(), count=pa.int64(), vector=vector_type(vector_size))


def output_vectors_schema(vector_size: int) -> pa.Schema:
    """``output_vectors``: rows of the output layer (negative sampling or Huffman nodes)."""
    return _schema(kind=pa.string(), row=pa.int32(), vector=vector_type(vector_size))


def ngrams_schema(vector_size: int) -> pa.Schema:
    """``ngrams``: the n-gram buckets that some word of the vocabulary uses, ascending."""
    return _schema(bucket=pa.int32(), vector=vector_type(vector_size))


def input_vectors_schema(vector_size: int) -> pa.Schema:
    """``word_rows``: FastText's own row of each word, before the n-grams are added."""
    return _schema(token=pa.string(), vector=vector_type(vector_size))


def glove_parameters_schema(vector_size: int) -> pa.Schema:
    """``parameters``: GloVe's rows with bias and AdaGrad accumulators (``kind`` word, context)."""
    return _schema(
        kind=pa.string(),
        token=pa.string(),
        vector=vector_type(vector_size),
        bias=pa.float32(),
        squared_gradient=vector_type(vector_size),
        bias_squared_gradient=pa.float32(),
    )


def components_schema(vector_size: int) -> pa.Schema:
    """``components``: the directions common to all sentences, which SIF and uSIF remove."""
    return _schema(component=pa.int32(), share=pa.float64(), vector=vector_type(vector_size))


def rotation_schema(vector_size: int) -> pa.Schema:
    """``rotation``: rows of the orthogonal matrix that turned the raw vectors, from the left."""
    values = pa.list_(pa.field("element", pa.float64(), nullable=False), vector_size)
    return _schema(row=pa.int32(), values=values)


LOSSES_SCHEMA = _schema(epoch=pa.int32(), mean_loss=pa.float64())


def document_vectors_schema(vector_size: int) -> pa.Schema:
    """``vectors`` of document_vectors: one row per document, zeros where no word is known.

    Zeros, not null: pyarrow cannot read null rows of fixed-size lists back from Parquet.
    """
    return _schema(
        doc_id=pa.string(),
        content_sha256=pa.string(),
        vector=vector_type(vector_size),
        is_known=pa.bool_(),
    )


SCORES_SCHEMA = _schema(
    model=pa.string(),
    benchmark=pa.string(),
    category=pa.string(),
    metric=pa.string(),
    value_optional=pa.float64(),
    ci_low_optional=pa.float64(),
    ci_high_optional=pa.float64(),
    n_items=pa.int64(),
    n_covered=pa.int64(),
    max_vocabulary=pa.int64(),
    seconds=pa.float64(),
    is_main=pa.bool_(),
)
ANSWERS = "answers"
ANSWERS_SCHEMA = _schema(
    benchmark=pa.string(),
    item=pa.int32(),
    category_optional=pa.string(),
    answer_optional=pa.float64(),
    gold=pa.float64(),
    unit=pa.int32(),
    second_unit_optional=pa.int32(),
)
NOISE_SCHEMA = _schema(seed=pa.int64(), benchmark=pa.string(), score_optional=pa.float64())
FLOOR_WORDS = "floor_words"
FLOOR_WORDS_SCHEMA = _schema(
    token=pa.string(), displacement=pa.float32(), overlap_optional=pa.float32()
)
FLOOR_BANDS = "floor_bands"
FLOOR_BANDS_SCHEMA = _schema(
    least_count=pa.int64(),
    n_words=pa.int64(),
    displacement=pa.float64(),
    overlap_optional=pa.float64(),
    limit=pa.float64(),
)
DRIFT_WORDS_SCHEMA = _schema(
    token=pa.string(),
    count_before=pa.int64(),
    count_after=pa.int64(),
    displacement=pa.float64(),
    floor_displacement_optional=pa.float64(),
    overlap_optional=pa.float64(),
    floor_overlap_optional=pa.float64(),
    is_beyond_optional=pa.bool_(),
    neighbors_before_optional=pa.list_(pa.field("element", pa.string(), nullable=False)),
    neighbors_after_optional=pa.list_(pa.field("element", pa.string(), nullable=False)),
)
DRIFT_BANDS_SCHEMA = _schema(
    least_count=pa.int64(),
    n_words=pa.int64(),
    displacement=pa.float64(),
    floor_displacement_optional=pa.float64(),
    overlap_optional=pa.float64(),
    floor_overlap_optional=pa.float64(),
    n_beyond_optional=pa.int64(),
)
DRIFT_VOCABULARY_SCHEMA = _schema(token=pa.string(), count=pa.int64(), change=pa.string())
HEALTH_SCHEMA = _schema(measure=pa.string(), value_optional=pa.float64(), n_words=pa.int64())

_REGISTERED = pa.struct(
    [("number", pa.int64()), ("embeddings", pa.string()), ("digest", pa.string())]
)
LEDGER_SCHEMA = _schema(
    number=pa.int64(),
    time=pa.timestamp("us", tz="UTC"),
    kind=pa.string(),
    subject=pa.string(),
    old_optional=_REGISTERED,
    new_optional=_REGISTERED,
    night_optional=pa.int64(),
    actor=pa.string(),
    reason=pa.string(),
    decision_key_optional=pa.string(),
    evidence=pa.string(),
    sha256=pa.string(),
)
"""A row of the ledger; ``evidence`` is JSON, ``sha256`` covers the other columns."""
