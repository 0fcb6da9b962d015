"""Sessions as sentences: the tokens artifact of a corpus of events."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nightjar.config.corpora import EventsCorpusConfig
from nightjar.core.stage import StageContext
from nightjar.formats.event_sessions import EventSessions, read_sessions
from nightjar.store import Artifact, Staging, schemas

_SESSION_TOKENS = 1 << 20
"""Tokens of a row group of sentences, or one session if that is longer."""
_MOST_FREQUENT = 20


def write_sessions(config: EventsCorpusConfig, events: Artifact, context: StageContext) -> None:
    """Write ``sentences``, a session each, and ``vocabulary``, the items by count.

    ``doc_id`` is the session, ``sentence`` is 0. Counts are those of a text corpus, a session
    being a document. Memory: some 30 bytes an event, and every name once.
    """
    del config
    write_tokens(read_sessions(events, context.progress), context.staging)


def write_tokens(sessions: EventSessions, staging: Staging) -> None:
    """The same for sessions in memory."""
    vocabulary, rank_of = _ranked(sessions)
    staging.write("vocabulary", vocabulary)
    ids = rank_of[sessions.item]
    with staging.writer("sentences", schemas.SENTENCES_SCHEMA) as writer:
        for table in _sentences(sessions.names, ids, sessions.bounds):
            writer.write_table(table)
    staging.counts.update(
        documents_read=len(sessions),
        documents_without_tokens=0,
        sentences=len(sessions),
        tokens=len(ids),
        vocabulary=len(vocabulary),
    )
    staging.report["most_frequent"] = vocabulary.column("token")[:_MOST_FREQUENT].to_pylist()


def _ranked(sessions: EventSessions) -> tuple[pa.Table, NDArray[np.int32]]:
    """The vocabulary by count falling, then by token; and the rank of each item."""
    names, item = sessions.items, sessions.item
    counts = np.bincount(item, minlength=len(names))
    pairs = np.unique(sessions.session * len(names) + item)
    n_sessions = np.bincount(pairs % len(names), minlength=len(names))
    by_name = np.empty(len(names), np.int64)
    by_name[pc.array_sort_indices(names).to_numpy()] = np.arange(len(names))
    order = np.lexsort((by_name, -counts))
    rank_of = np.empty(len(names), np.int32)
    rank_of[order] = np.arange(len(names), dtype=np.int32)
    columns = [
        pa.array(np.arange(len(names), dtype=np.int32)),
        names.take(pa.array(order)),
        pa.array(counts[order].astype(np.int64)),
        pa.array(n_sessions[order].astype(np.int64)),
    ]
    return pa.Table.from_arrays(columns, schema=schemas.VOCABULARY_SCHEMA), rank_of


def _sentences(
    names: pa.Array, ids: NDArray[np.int32], bounds: NDArray[np.int64]
) -> Iterator[pa.Table]:
    """Row groups of complete sessions."""
    schema = schemas.SENTENCES_SCHEMA
    first = 0
    while first < len(names):
        stop = int(np.searchsorted(bounds, bounds[first] + _SESSION_TOKENS, side="right")) - 1
        stop = min(max(stop, first + 1), len(names))
        offsets = (bounds[first : stop + 1] - bounds[first]).astype(np.int32)
        values = pa.array(ids[bounds[first] : bounds[stop]])
        columns = [
            names[first:stop],
            pa.array(np.zeros(stop - first, np.int32)),
            pa.ListArray.from_arrays(
                pa.array(offsets), values, type=schema.field("token_ids").type
            ),
        ]
        yield pa.Table.from_arrays(columns, schema=schema)
        first = stop
