"""Where shards are processed: in this process, in processes of this machine, or on a cluster.

A stage that can be split into independent pieces gives an executor a function and the pieces. The
function must be importable by name, pieces and results must be small and picklable (paths and
numbers, never text), and it must be safe to process a piece twice: the output is published under a
version, or written to a file of its own. So losing a worker costs only its current piece, and the
result is the same wherever and however often a piece was processed.
"""

from nightjar.core.executors.cluster import DaskExecutor, local_cluster
from nightjar.core.executors.executor import INLINE, INLINE_BYTES, Advance, Executor
from nightjar.core.executors.processes import ProcessExecutor

STAGE_MODULES = (
    "nightjar.stages.ingest.shard_reading",
    "nightjar.sources.tables.row_shards",
    "nightjar.stages.tokenize.word_ids",
)
"""The slow imports of workers that process shards of documents, rows and tokens."""

__all__ = [
    "INLINE",
    "INLINE_BYTES",
    "STAGE_MODULES",
    "Advance",
    "DaskExecutor",
    "Executor",
    "ProcessExecutor",
    "local_cluster",
]
