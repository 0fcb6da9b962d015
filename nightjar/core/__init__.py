"""Stages, plans and nights: knows no stage by name, no Prefect and no MLflow.

A stage is declared once (:mod:`~nightjar.core.stage`). A plan says which of its artifacts are
due and why (:mod:`~nightjar.core.plan`), one due step is one call
(:mod:`~nightjar.core.execution`), and a night leaves a record that survives ``kill -9``
(:mod:`~nightjar.core.nights`).
"""

from nightjar.core.execution import Provenance, run_step
from nightjar.core.nights import Night, NightRecorder, Nights, NightStatus, StepRecord
from nightjar.core.plan import Action, Plan, Planner, Step, make_plan
from nightjar.core.stage import (
    Keep,
    Of,
    Parent,
    Planning,
    Stage,
    StageContext,
    Tables,
    Wanted,
)

__all__ = [
    "Action",
    "Keep",
    "Night",
    "NightRecorder",
    "NightStatus",
    "Nights",
    "Of",
    "Parent",
    "Plan",
    "Planner",
    "Planning",
    "Provenance",
    "Stage",
    "StageContext",
    "Step",
    "StepRecord",
    "Tables",
    "Wanted",
    "make_plan",
    "run_step",
]
