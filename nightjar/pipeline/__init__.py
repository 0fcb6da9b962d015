"""The stages put together, without an orchestrator: what is due, a night, what came out.

Every version follows from the config, the inputs and the code alone, so the whole plan is known
before anything runs (:mod:`.planning`); what the due trainings will need is
estimated (:mod:`.forecast`). A night runs it, asks each corpus' rule
(:mod:`.acceptance`), has each model judged and what readers ask brought up to
date (:mod:`.night`). What came out is read back from what was published and
decided (:mod:`.outcome`), never from memory: it is true after a crash, too.
"""

from nightjar.core import Action, Plan, Provenance, Step, run_step
from nightjar.pipeline.acceptance import CorpusVerdict, judge_corpus
from nightjar.pipeline.forecast import Estimate, Forecast, forecast
from nightjar.pipeline.night import (
    DirectRunner,
    NightFailed,
    NightRequest,
    Runner,
    has_changed,
    is_running,
    is_trial,
    lease_path,
    run_night,
    was_killed,
)
from nightjar.pipeline.outcome import ModelOutcome, read_outcomes
from nightjar.pipeline.ownership import claim_pipeline
from nightjar.pipeline.planning import make_plan, plan_entries
from nightjar.pipeline.serving import (
    accept_last_night,
    champion_embeddings,
    prepare_serving,
    served_documents,
)

__all__ = [
    "Action",
    "CorpusVerdict",
    "DirectRunner",
    "Estimate",
    "Forecast",
    "ModelOutcome",
    "NightFailed",
    "NightRequest",
    "Plan",
    "Provenance",
    "Runner",
    "Step",
    "accept_last_night",
    "champion_embeddings",
    "claim_pipeline",
    "forecast",
    "has_changed",
    "is_running",
    "is_trial",
    "judge_corpus",
    "lease_path",
    "make_plan",
    "plan_entries",
    "prepare_serving",
    "read_outcomes",
    "run_night",
    "run_step",
    "served_documents",
    "was_killed",
]
