"""Facts about items: a title, and the attributes that make items alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from nightjar.store import schemas

_WRITTEN = "attributes"
"""The column of readers of tables, whose values are written ``column=value`` already."""
_SEPARATOR = "|"
"""Between several values of an attribute in one field, as in ``Drama|War``."""


def gather_items(
    rows: Iterable[pa.RecordBatch | pa.Table] | None, counts: Counter[str]
) -> pa.Table:
    """The table ``items``, by item: the first row about each, later ones are counted.

    Rows have ``item``, perhaps ``title``; every other column is an attribute. An attribute's
    values are separated by ``|`` and written ``column=value``; those of a column ``attributes`` are
    written so already. Memory: all rows.
    """
    found: dict[str, tuple[str | None, list[str]]] = {}
    for batch in rows or ():
        names = [name for name in batch.schema.names if name not in ("item", "title")]
        titles = batch.column("title").to_pylist() if "title" in batch.schema.names else ()
        attributes = [_values(batch.column(name)) for name in names]
        for place, item in enumerate(batch.column("item").to_pylist()):
            counts["item_rows_read"] += 1
            if item is None or item in found:
                counts["item_rows_repeated" if item else "item_rows_without_item"] += 1
                continue
            facts = [
                value if name == _WRITTEN else f"{name}={value}"
                for name, column in zip(names, attributes, strict=True)
                for value in column[place]
            ]
            title = titles[place] if titles else None
            found[item] = (title or None, list(dict.fromkeys(facts)))
    items = sorted(found)
    return pa.table(
        {
            "item": pa.array(items, pa.string()),
            "title": pa.array([found[item][0] for item in items], pa.string()),
            "attributes": pa.array(
                [found[item][1] for item in items], schemas.ITEMS_SCHEMA.field("attributes").type
            ),
        },
        schema=schemas.ITEMS_SCHEMA,
    )


def _values(column: pa.Array | pa.ChunkedArray) -> list[list[str]]:
    """The values of each row; none for a null or an empty field."""
    if pa.types.is_list(column.type):
        return [[str(value) for value in row or ()] for row in column.to_pylist()]
    texts = pc.fill_null(column.cast(pa.string()), "").to_pylist()
    return [[part.strip() for part in text.split(_SEPARATOR) if part.strip()] for text in texts]
