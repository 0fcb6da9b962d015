"""Retention: what a directory keeps, and deleting the rest for good.

What is needed follows from the records of every pipeline in the directory
(:mod:`~nightjar.retention.pipelines`) and from how long each declared stage is kept
(:mod:`~nightjar.retention.needs`); everything else goes, its registered versions and runs in
MLflow included (:mod:`~nightjar.retention.collection`). No stage is known by name.
"""

from nightjar.retention.collection import (
    Collected,
    Collection,
    Item,
    ItemKind,
    collect,
    plan_collection,
)

__all__ = ["Collected", "Collection", "Item", "ItemKind", "collect", "plan_collection"]
