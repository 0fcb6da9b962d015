"""Where the shards of a stage are worked on: here, in processes of this machine, or on a cluster.

A stage that can be cut into independent pieces hands an executor a function and the pieces. The
function is importable by name, a piece and its result can be pickled and are small (paths and
numbers, never text), and doing a piece twice does no harm: what it makes is published under a
version, or written to a file of its own. So a worker that is lost costs the piece it was at,
nothing else, and the result is the same wherever and however often a piece was done.
"""

from nightjar.core.executors.cluster import DaskExecutor, local_cluster
from nightjar.core.executors.executor import INLINE, INLINE_BYTES, Advance, Executor
from nightjar.core.executors.processes import ProcessExecutor

STAGE_MODULES = ("nightjar.stages.ingest.shard_reading", "nightjar.stages.tokenize.word_ids")
"""What workers at shards of ingest and tokenize import, the slow ones."""

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
