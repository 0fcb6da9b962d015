"""The stages put together, without an orchestrator: what is due, doing it, what came out.

Every version follows from the config, the inputs and the code alone, so the whole plan is
known before anything runs (:mod:`~nightjar.pipeline.planning`). A step whose version is
already published is reused. What the due trainings will need is estimated
(:mod:`~nightjar.pipeline.forecast`). One due step is one call
(:mod:`~nightjar.pipeline.execution`), and the outcome of a night is read back from what was
published (:mod:`~nightjar.pipeline.outcome`), never from memory: it is true after a crash, too.
"""

from nightjar.pipeline.execution import Provenance, lease_path, run_step
from nightjar.pipeline.forecast import Estimate, Forecast, forecast
from nightjar.pipeline.outcome import ModelOutcome, read_outcomes
from nightjar.pipeline.planning import Action, Plan, Step, make_plan

__all__ = [
    "Action",
    "Estimate",
    "Forecast",
    "ModelOutcome",
    "Plan",
    "Provenance",
    "Step",
    "forecast",
    "lease_path",
    "make_plan",
    "read_outcomes",
    "run_step",
]
