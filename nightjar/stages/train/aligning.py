"""Aligning: raw embeddings, turned onto the coordinates of their anchor.

The rotation is estimated from the words that both have (:mod:`nightjar.drift.alignment`) and
applied to every row of every table: vectors, rows of words and n-grams, output layer, components.
So words that the anchor lacks are included, cosines stay, unknown words are composed in the same
coordinates, and the products that a continued training starts from are those of the raw training.
GloVe's accumulators of squared gradients belong to single coordinates: each row gets their mean,
which a rotation leaves alone.

Without an anchor nothing is turned: these embeddings found a space.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nightjar.core import Anchor
from nightjar.drift.alignment import Alignment, Pairs, align
from nightjar.errors import ArtifactMissing, InputError
from nightjar.formats.embeddings import BLOCK_ROWS, Embeddings, matrix_of, vector_array
from nightjar.formats.spaces import SPACE, kept_space
from nightjar.progress import Progress
from nightjar.store import Artifact, Staging, Store, schemas
from nightjar.wording import counted

ROTATION = "rotation"
"""The table with the orthogonal matrix."""
_SQUARES = "squared_gradient"
Turn = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def open_anchor(store: Store, name: str, anchor: Anchor) -> Artifact:
    """The embeddings of the anchor of model ``name``.

    Raises ArtifactMissing when they are gone or were made again with other bytes.
    """
    ref = store.ref(schemas.EMBEDDINGS, anchor.embeddings)
    advice = (
        f"bring {ref.path} back from a backup, or let the vectors keep to another version from "
        f"now on: 'nightjar rebase {name} --space' takes the champion"
    )
    try:
        found = store.open(ref)
    except ArtifactMissing as error:
        raise ArtifactMissing(
            f"{ref}, whose coordinates {name} keeps to, is gone: {advice}"
        ) from error
    if found.manifest.digest != anchor.digest:
        raise ArtifactMissing(
            f"{ref}, whose coordinates {name} keeps to, was made again with other vectors, since "
            f"threads are not deterministic: {advice}"
        )
    return found


def write_aligned(
    name: str, raw: Artifact, anchor: Artifact | None, staging: Staging, progress: Progress
) -> None:
    """Write the tables of ``raw``, turned onto ``anchor``, and the rotation.

    In memory: the vectors of both, then a block of rows. Raises InputError when they share too few
    words to know the rotation.
    """
    size = raw.schema("vectors").field("vector").type.list_size
    staging.counts.update(raw.manifest.counts)
    staging.report.update(raw.manifest.report)
    rotation = np.eye(size)
    found: dict[str, object] = {"mode": "aligned", "anchor": None}
    if anchor is not None:
        alignment = rotation_onto(name, raw, anchor, progress)
        rotation = alignment.rotation
        found = {
            **kept_space("aligned", anchor),
            "residual": alignment.residual,
            "shared_words": alignment.n_words,
        }
    staging.report[SPACE] = found

    def turn(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        if anchor is None:
            return rows
        turned: NDArray[np.float32] = (rows.astype(np.float64) @ rotation).astype(np.float32)
        return turned

    for table in tables_of(raw):
        _write_turned(raw, table, turn, staging)
    _write_rotation(rotation, staging)
    for file in (schemas.WORDS_FILE, schemas.TOKENIZER_FILE):
        if raw.has_file(file):
            shutil.copyfile(raw.file_path(file), staging.add_file(file))


def tables_of(artifact: Artifact) -> list[str]:
    """The names of its tables."""
    names = [entry.name for entry in artifact.manifest.files if entry.columns]
    return list(dict.fromkeys(name.split("/")[0].removesuffix(".parquet") for name in names))


def rotation_onto(name: str, raw: Artifact, anchor: Artifact, progress: Progress) -> Alignment:
    """The rotation of ``raw`` onto ``anchor``, by the words that both have.

    Raises InputError for vectors of another size, and when they share fewer words than a vector has
    values: then many rotations fit alike.
    """
    ours, theirs = Embeddings.from_artifact(raw), Embeddings.from_artifact(anchor)
    size = ours.matrix.shape[1]
    if theirs.matrix.shape[1] != size:
        raise InputError(
            f"{name} has vectors of {counted(size, 'value')}, {anchor.ref}, whose coordinates it "
            f"keeps to, of {theirs.matrix.shape[1]}"
        )
    rows = [(row, theirs.ids[word]) for row, word in enumerate(ours.tokens) if word in theirs.ids]
    if len(rows) < size:
        raise InputError(
            f"{name} shares {counted(len(rows), 'word')} with {anchor.ref}, whose coordinates it "
            f"keeps to; {size}, as many as a vector has values, are needed to turn it. If its text "
            f"is another one now, 'nightjar rebase {name} VERSION --space' names a version that "
            f"fits, or set space: own"
        )
    left, right = np.array(rows, np.int64).T
    pairs = Pairs(ours.matrix, theirs.matrix, left, right)
    progress.start(f"align {name}", len(pairs), "words")
    n_done = 0

    def advance(n_words: int) -> None:
        nonlocal n_done
        progress.advance(n_words - n_done, "")
        n_done = n_words

    return align(pairs, ours.counts[left], advance, as_used=True)


def _write_turned(raw: Artifact, table: str, turn: Turn, staging: Staging) -> None:
    schema = raw.schema(table)
    with staging.writer(table, schema) as writer:
        for batch in raw.batches(table, batch_rows=BLOCK_ROWS):
            columns = [_turned(batch, field, turn) for field in schema]
            writer.write_batch(pa.record_batch(columns, schema=schema))


def _turned(batch: pa.RecordBatch, field: pa.Field, turn: Turn) -> pa.Array:
    if not pa.types.is_fixed_size_list(field.type):
        return batch.column(field.name)
    rows = matrix_of(batch, field.name)
    if field.name != _SQUARES:
        return vector_array(turn(rows))
    turned = turn(rows)
    if turned is rows:
        return vector_array(rows)
    means = rows.mean(axis=1, dtype=np.float64, keepdims=True).astype(np.float32)
    return vector_array(np.broadcast_to(means, rows.shape))


def _write_rotation(rotation: NDArray[np.float64], staging: Staging) -> None:
    schema = schemas.rotation_schema(len(rotation))
    flat = pa.array(np.ascontiguousarray(rotation).reshape(-1))
    columns = [
        pa.array(range(len(rotation)), pa.int32()),
        pa.FixedSizeListArray.from_arrays(flat, type=schema.field("values").type),
    ]
    staging.write(ROTATION, pa.table(columns, schema=schema))


def rotation_of(embeddings: Artifact) -> NDArray[np.float64]:
    """The rotation that its raw vectors were turned by, shape (vector_size, vector_size)."""
    column = embeddings.read(ROTATION, ["values"]).column("values").combine_chunks()
    values = column.flatten().to_numpy(zero_copy_only=False)
    matrix: NDArray[np.float64] = values.reshape(len(column), -1)
    return matrix
