"""Who is told what happened: a webhook, metrics for Prometheus, and ``nightjar check``.

After a night's record is closed, :func:`.telling.telling` makes one message of what the night has
to tell (:mod:`.happenings`), in the form that the config chooses (:mod:`.bodies`). The message is
kept first (:mod:`.outbox`) and then sent (:mod:`.webhook`). What no server takes goes with the next
message. Then the metrics are written (:mod:`.metrics_file`). None of this makes a night fail.

A night that did not happen tells nothing. :mod:`.checking` finds it, from the records alone.
"""

from nightjar.pipeline.alerts.checking import (
    CheckLimits,
    Checkup,
    Finding,
    alert_of_check,
    check_pipeline,
)
from nightjar.pipeline.alerts.happenings import short
from nightjar.pipeline.alerts.telling import Watch, telling

__all__ = [
    "CheckLimits",
    "Checkup",
    "Finding",
    "Watch",
    "alert_of_check",
    "check_pipeline",
    "short",
    "telling",
]
