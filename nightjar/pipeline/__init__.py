"""The stages combined, without an orchestrator: planning, running a night, and its outcome.

Every version follows from the config, the inputs and the code alone, so the whole plan is known
before anything runs (:mod:`.planning`), and the needs of the due trainings can be estimated
(:mod:`.forecast`). A night (:mod:`.night`) runs the plan, applies each corpus' rule
(:mod:`.acceptance`), judges each model and updates what readers are served. Its outcome is read
back from what was published and decided (:mod:`.outcome`), never from memory, so it is correct
after a crash, too.
"""

from nightjar.core import Action, Plan, Provenance, Step, run_step
from nightjar.pipeline.acceptance import CorpusVerdict, judge_corpus
from nightjar.pipeline.forecast import Estimate, Forecast, forecast
from nightjar.pipeline.night import (
    RETRY_PAUSES,
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
from nightjar.pipeline.outcome import ModelOutcome, WordSample, read_outcomes, sample_words
from nightjar.pipeline.ownership import claim_pipeline
from nightjar.pipeline.planning import make_plan, plan_entries
from nightjar.pipeline.serving import (
    accept_last_night,
    prepare_serving,
    served_documents,
)

__all__ = [
    "RETRY_PAUSES",
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
    "WordSample",
    "accept_last_night",
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
    "sample_words",
    "served_documents",
    "was_killed",
]
