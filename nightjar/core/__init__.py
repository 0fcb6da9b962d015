"""Stages, plans and nights; this package knows no stage by name, no Prefect and no MLflow.

A stage is declared once (:mod:`.stage`). A plan says which artifacts are due and why
(:mod:`.plan`), one call runs a due step (:mod:`.step_running`), and a night leaves a record that
survives ``kill -9`` (:mod:`.nights`).
"""

from nightjar.core.nights import Night, NightRecorder, Nights, NightStatus, StepRecord
from nightjar.core.plan import Action, Plan, Planner, Step, make_plan
from nightjar.core.stage import (
    Anchor,
    Keep,
    Of,
    Parent,
    Planning,
    Stage,
    StageContext,
    Tables,
    Wanted,
)
from nightjar.core.step_running import Provenance, run_step

__all__ = [
    "Action",
    "Anchor",
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
