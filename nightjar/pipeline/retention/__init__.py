"""Retention: decides what a directory keeps, and permanently deletes the rest.

What is needed follows from the records of every pipeline in the directory (:mod:`.pipelines`) and
from how long each declared stage is kept (:mod:`.needs`); everything else is deleted, including its
registered versions and runs in MLflow (:mod:`.collection`). No stage is known by name. What is
needed but gone is found, too (:mod:`.missing`).

Documents that a person has a right to have erased are removed at once from everything that is kept
(:mod:`.purging`).
"""

from nightjar.pipeline.retention.collection import (
    Collected,
    Collection,
    Item,
    ItemKind,
    collect,
    plan_collection,
)
from nightjar.pipeline.retention.missing import Missing, find_missing
from nightjar.pipeline.retention.purging import PurgeRequest, PurgeResult, finish_purges, purge
from nightjar.pipeline.retention.sweeping import Swept
from nightjar.pipeline.retention.trained import TrainedVectors

__all__ = [
    "Collected",
    "Collection",
    "Item",
    "ItemKind",
    "Missing",
    "PurgeRequest",
    "PurgeResult",
    "Swept",
    "TrainedVectors",
    "collect",
    "find_missing",
    "finish_purges",
    "plan_collection",
    "purge",
]
