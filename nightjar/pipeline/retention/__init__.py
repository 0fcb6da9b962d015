"""Retention: what a directory keeps, and deleting the rest for good.

What is needed follows from the records of every pipeline in the directory
(:mod:`.pipelines`) and from how long each declared stage is kept
(:mod:`.needs`); everything else goes, its registered versions and runs in
MLflow included (:mod:`.collection`). No stage is known by name.

What a person has a right to have erased goes at once, from all that is kept
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
from nightjar.pipeline.retention.purging import PurgeRequest, PurgeResult, finish_purges, purge
from nightjar.pipeline.retention.sweeping import Swept
from nightjar.pipeline.retention.trained import TrainedVectors

__all__ = [
    "Collected",
    "Collection",
    "Item",
    "ItemKind",
    "PurgeRequest",
    "PurgeResult",
    "Swept",
    "TrainedVectors",
    "collect",
    "finish_purges",
    "plan_collection",
    "purge",
]
