"""One night: runs what is due, judges each corpus and model, and records the result.

The order of a night, without an orchestrator::

    corpora -> accepted or not
            -> models -> registered -> judged -> served -> promoted or not
            -> accepted corpora are recorded, unneeded artifacts are deleted
            -> the record is closed, alerts are sent

A :class:`Runner` runs the steps: this process, or Prefect's tasks in ``flows``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Protocol

from nightjar.config import ImportConfig, LoadedConfig
from nightjar.core import (
    Action,
    Night,
    NightRecorder,
    Nights,
    NightStatus,
    Parent,
    Plan,
    Provenance,
    Stage,
    Step,
    run_step,
)
from nightjar.core.executors import Executor
from nightjar.core.nights import config_hash
from nightjar.core.plan import made_again
from nightjar.core.using import claim, night_lease
from nightjar.errors import (
    InputError,
    NightjarError,
    RegistryUnavailable,
    RetryLater,
    StoreError,
)
from nightjar.files import urls
from nightjar.pipeline.acceptance import CorpusVerdict, corpus_doubts, judge_corpus
from nightjar.pipeline.alerts import telling
from nightjar.pipeline.drifting import MeasuredDrift, measure_drift
from nightjar.pipeline.judging import Judging
from nightjar.pipeline.ownership import claim_pipeline
from nightjar.pipeline.planning import plan_made
from nightjar.pipeline.reporting import report_night
from nightjar.pipeline.retention import collect, finish_purges
from nightjar.pipeline.serving import ServingBuilder
from nightjar.progress import SILENT, Progress
from nightjar.promotion import (
    Acceptance,
    Contender,
    Outcome,
    Promoter,
    Question,
    Serving,
    SettledDecision,
    VersionRef,
)
from nightjar.registry import (
    RegisteredVersion,
    RegistrationRequest,
    RegistryPlace,
    check_files_whole,
    ensure_registered,
    find_registered,
    masked,
    patient,
    registered_name,
)
from nightjar.stages import STAGES
from nightjar.store import (
    Artifact,
    Store,
    acquire_lease,
    is_held,
    remove_abandoned,
    remove_unfinished,
    schemas,
)
from nightjar.store.corpus_kinds import CORPUS_SOURCES

logger = logging.getLogger(__name__)

RETRY_PAUSES = (5.0, 30.0)
"""Seconds before each further try of what failed because something outside was missing."""


class Runner(Protocol):
    """Does the work of a night.

    Each call raises what the work raises. A NightjarError stops only the steps that depend on the
    failed one; any other error is a bug and ends the night.
    """

    def start(self, plan: Plan) -> None:
        """Prepare: the night holds the lease, and any due steps of ``plan`` follow one by one."""

    def run(self, step: Step) -> None:
        """Do a due step."""

    def register(self, request: RegistrationRequest) -> RegisteredVersion:
        """Make a version in MLflow."""


@dataclass(frozen=True)
class DirectRunner:
    """Runs every step in this process."""

    loaded: LoadedConfig
    provenance: Provenance
    progress: Callable[[str], Progress] = lambda label: SILENT  # noqa: ARG005
    """The listener for a step's label."""
    executor: Executor | None = None

    def start(self, plan: Plan) -> None:
        """Do nothing."""

    def run(self, step: Step) -> None:
        """See :func:`nightjar.core.run_step`."""
        progress = self.progress(step.label)
        run_step(self.loaded, step, progress, self.provenance, self.executor)

    def register(self, request: RegistrationRequest) -> RegisteredVersion:
        """See :func:`nightjar.registry.ensure_registered`; tried again as Prefect's task is."""
        label = f"register {request.model_name}"
        for pause in RETRY_PAUSES:
            try:
                return ensure_registered(request, self.progress(label))
            except RetryLater as error:
                logger.warning("%s: %s. Trying again in %.0f s", label, error, pause)
                time.sleep(pause)
        return ensure_registered(request, self.progress(label))


class NightFailed(NightjarError):
    """One or more steps of a night failed; the message names each with its reason."""

    def __init__(self, failures: Mapping[str, NightjarError]) -> None:
        super().__init__("\n".join(f"{label}: {error}" for label, error in failures.items()))
        self.failures = dict(failures)
        only_input = all(isinstance(error, InputError) for error in failures.values())
        self.exit_code = InputError.exit_code if only_input else NightjarError.exit_code


@dataclass(frozen=True)
class NightRequest:
    """How to run a night."""

    owner: str
    """The holder of the lease, named to other runs."""
    promotes: bool = False
    """Whether a run with overrides may promote and accept; a run without always may."""
    is_offline: bool = False
    """Whether remote sources were just fetched, so that no server is asked again."""
    progress: Progress = SILENT
    """Listener for fetching."""
    stages: Sequence[type[Stage]] = STAGES


def lease_path(loaded: LoadedConfig) -> Path:
    """The lease that one run of this pipeline holds at a time."""
    return night_lease(loaded.pipeline_dir)


def has_changed(loaded: LoadedConfig) -> bool:
    """Whether the config differs from the last night's, so that something is probably due."""
    last = Nights(loaded.pipeline_dir).last()
    return last is None or last.config_hash != config_hash(_recorded_config(loaded))


def was_killed(loaded: LoadedConfig) -> bool:
    """Whether the last night has no end. Also True while a night is under way."""
    last = Nights(loaded.pipeline_dir).last()
    return last is not None and last.status is NightStatus.RUNNING


def is_running(loaded: LoadedConfig) -> bool:
    """Whether a night of this pipeline is under way."""
    return is_held(lease_path(loaded))


def is_trial(loaded: LoadedConfig, promotes: bool) -> bool:
    """Whether a run is only judged and recorded, without promoting or accepting anything."""
    return bool(loaded.overrides) and not promotes


def run_night(
    loaded: LoadedConfig, runner: Runner, provenance: Provenance, request: NightRequest
) -> Night:
    """Run one night from lease to record.

    Raises LeaseTaken when another run is under way, ConfigError when another config owns the
    pipeline, NightFailed when steps failed (after everything else was done), and whatever
    planning raises. The night's record is closed in every case but a kill. After that its alerts
    are sent and its metrics written (:mod:`nightjar.pipeline.alerts`).
    """
    with (
        telling(loaded, is_trial(loaded, request.promotes)) as watch,
        acquire_lease(lease_path(loaded), request.owner),
        patient(),
    ):
        claim_pipeline(loaded)
        remove_abandoned(loaded.artifacts_dir)
        remove_unfinished(loaded.pipeline_dir)  # of records of nights, of the ledger
        recorder = Nights(loaded.pipeline_dir).begin(
            loaded.config.pipeline.name,
            request.owner,
            _recorded_config(loaded),
            tuple(urls.redacted(override) for override in loaded.overrides),
            is_trial(loaded, request.promotes),
            provenance.git_commit,
        )
        watch.recorder = recorder
        with _closed(loaded, recorder):
            night = _Night(loaded, runner, provenance, request, recorder)
            failures = night.run()
            if failures:
                for label, error in failures.items():
                    recorder.alarm(f"{label}: {error}")
                _ended(loaded, recorder, NightStatus.FAILED)
                raise NightFailed(failures)
            done = NightStatus.COMPLETED if night.n_done else NightStatus.NOTHING_TO_DO
            return _ended(loaded, recorder, done)


@contextmanager
def _closed(loaded: LoadedConfig, recorder: NightRecorder) -> Iterator[None]:
    """Close the record of a night that an error or Ctrl-C ends."""
    try:
        yield
    except NightFailed:
        raise
    except Exception as error:
        recorder.alarm(str(error))
        _ended(loaded, recorder, NightStatus.FAILED)
        raise
    except BaseException:
        recorder.end(NightStatus.ENDED_EARLY)
        raise


def _ended(loaded: LoadedConfig, recorder: NightRecorder, status: NightStatus) -> Night:
    """Make the night's report and close its record. The report fails no night."""
    try:
        report_night(loaded, recorder.ended(status))
    except Exception as error:  # a bug in it, too
        is_bug = not isinstance(error, NightjarError)
        logger.warning("the night's report is not finished: %s", error, exc_info=is_bug)
        recorder.alarm(
            f"the night's report is not finished: {error}; 'nightjar nights report "
            f"{recorder.night.number} --again' makes it"
        )
    return recorder.end(status)


def _recorded_config(loaded: LoadedConfig) -> dict[str, object]:
    config = loaded.config.model_dump(mode="json")
    uri = loaded.config.registry.tracking_uri
    config["registry"]["tracking_uri"] = None if uri is None else masked(uri)
    return config


@dataclass
class _Night:
    """A night under way."""

    loaded: LoadedConfig
    runner: Runner
    provenance: Provenance
    request: NightRequest
    recorder: NightRecorder
    failures: dict[str, NightjarError] = field(default_factory=dict)
    missing: set[tuple[str, str]] = field(default_factory=set)
    """Stage and version of the artifacts that could not be made."""
    verdicts: dict[str, CorpusVerdict] = field(default_factory=dict)
    n_done: int = 0

    def __post_init__(self) -> None:
        number = self.recorder.night.number
        self.store = Store(self.loaded.artifacts_dir)
        self.promoter = Promoter(self.loaded, self.provenance.actor, number)
        self.place = RegistryPlace.of(self.loaded.config.registry, self.loaded.artifacts_dir)
        self.judging = Judging(self.loaded, self.promoter, self.run_extra)

    @property
    def is_trial(self) -> bool:
        return self.recorder.night.is_trial

    def run(self) -> dict[str, NightjarError]:
        """Do everything between lease and record; return the failures by label."""
        is_reached = self.recover()
        self.finish_purges()
        plan = self.claimed(
            plan_made(
                self.loaded,
                self.request.progress,
                is_offline=self.request.is_offline,
                stages=self.request.stages,
            )
        )
        self.judging = replace(
            self.judging,
            tonight={
                parent: step.ref.version
                for parent, step in plan.shared.items()
                if parent.stage in CORPUS_SOURCES
            },
        )
        self.runner.start(plan)
        for step in plan.steps:
            self.run_step(step)
        self.judge_corpora(plan)
        if is_reached or self.recover(is_last_try=True):
            for step in plan.steps:
                if step.stage == schemas.EMBEDDINGS:
                    self.decide(plan, step)
        if not self.is_trial:
            self.accept()
            self.flag_gone_models()
        self.collect()
        return self.failures

    def recover(self, *, is_last_try: bool = False) -> bool:
        """Complete what earlier runs left unfinished; return False if MLflow does not answer.

        Then models are trained all the same: a later night registers them without training.
        """
        try:
            alarms = self.promoter.recover()
        except RegistryUnavailable as error:
            logger.warning("%s", error)
            if is_last_try:
                self.failures["registry"] = error
            return False
        for alarm in alarms:
            self.alarm(alarm)
        return True

    def claimed(self, plan: Plan) -> Plan:
        """Record a plan, which protects its artifacts; those already gone become due."""
        return claim(self.loaded.artifacts_dir, plan, self.recorder.planned, self.request.owner)

    def finish_purges(self) -> None:
        """Finish a purge that was interrupted."""
        try:
            swept = finish_purges(self.loaded, self.request.stages)
        except NightjarError as error:
            self.alarm(f"a purge is not finished: {error}")
            return
        if swept is not None:
            self.alarm("finished an interrupted purge")

    def collect(self) -> None:
        """Delete what is no longer needed; if that fails, the next night tries again."""
        try:
            collected = collect(self.loaded, self.request.stages)
        except (NightjarError, OSError) as error:
            self.alarm(f"unneeded artifacts were not deleted: {error}")
            return
        for message in collected.notes:
            logger.info("%s", message)

    def alarm(self, message: str) -> None:
        """Log and record an alarm."""
        logger.warning("%s", message)
        self.recorder.alarm(message)

    # -- steps --------------------------------------------------------------------------

    def run_step(self, step: Step) -> None:
        """Run a step if it is due and its parents exist; keep its failure."""
        key = (step.stage, step.ref.version)
        step = self.checked(step)
        if step.action is Action.REUSE:
            logger.info("%s: reused %s", step.label, step.ref)
            return
        lost = sorted(step.parents & self.missing)
        if lost:
            self.missing.add(key)
            self.recorder.left_out(step, f"{lost[0][0]} could not be made")
            return
        try:
            with self.recorder.step(step):
                self.runner.run(step)
            self.n_done += 1
        except NightjarError as error:
            self.failures[step.label] = error
            self.missing.add(key)

    def checked(self, step: Step) -> Step:
        """The step, due if a parent was made again tonight and differs: training with threads."""
        if step.action is Action.RUN:
            return step
        try:
            other = self.store.replaced_parent(self.store.open(step.ref).manifest)
        except StoreError:  # its reader reports it
            return step
        return replace(step, action=Action.RUN, reason=made_again(other)) if other else step

    def run_extra(self, plan: Plan) -> bool:
        """Run steps known only after decisions; return whether all their artifacts exist."""
        plan = self.claimed(plan)
        for step in plan.steps:
            self.run_step(step)
        return not any((step.stage, step.ref.version) in self.missing for step in plan.steps)

    # -- corpora ------------------------------------------------------------------------

    def judge_corpora(self, plan: Plan) -> None:
        """Apply each corpus' own rule. Writes nothing to the ledger yet."""
        standing = self.promoter.standing()
        for corpus in self.loaded.config.corpora:
            accepted = standing.corpora.get(corpus, ())
            verdict = judge_corpus(self.loaded, plan, corpus, accepted[0] if accepted else None)
            if verdict is None:  # it could not be made
                continue
            self.verdicts[corpus] = verdict
            self.recorder.accepted(corpus, verdict.as_json())
            if not verdict.is_accepted:
                self.alarm(
                    f"corpus {corpus} is not accepted: {verdict.reason}. Readers keep the last "
                    f"accepted night; if the loss is intended, run 'nightjar accept {corpus}'"
                )
            if verdict.losses:
                self.alarm(
                    f"corpus {corpus} is smaller than in the last accepted night: "
                    f"{'; '.join(verdict.losses)}. Check its sources{self.compared(corpus)}"
                )
            for doubt in corpus_doubts(self.loaded, plan, corpus):
                self.alarm(f"corpus {corpus}: {doubt}")

    def compared(self, corpus: str) -> str:
        """The command that shows what is gone, for a corpus that has one."""
        is_text = corpus in self.loaded.config.text_corpora
        return ", and 'nightjar diff documents'" if is_text else ""

    def accept(self) -> None:
        """Record the accepted corpora, each with its champions' indexes of its documents.

        The other corpora are searched as of their last accepted night; missing indexes are
        rebuilt, and indexes that are new are recorded beside that night.
        """
        corpora = self.promoter.standing().corpora
        for corpus, verdict in self.verdicts.items():
            serving = self.builder().of_corpus(corpus)
            if verdict.is_accepted:
                acceptance = Acceptance(corpus, verdict.artifacts, verdict.amounts, verdict.reason)
            elif last := next(iter(corpora.get(corpus, ())), None):
                reason = f"another index of what was accepted in night {last.night}"
                acceptance = Acceptance(corpus, last.artifacts, last.amounts, reason)
            else:  # nothing of it is read yet
                continue
            self.promoter.accept(acceptance, serving)

    # -- models -------------------------------------------------------------------------

    def decide(self, plan: Plan, step: Step) -> None:
        """Register tonight's candidate of a model, judge it, and promote it if it passes."""
        model = step.subject
        evaluation = plan.shared.get(Parent(schemas.EVALUATION, model))
        if (
            evaluation is None
            or {
                (step.stage, step.ref.version),
                (evaluation.stage, evaluation.ref.version),
            }
            & self.missing
        ):
            return
        started = time.monotonic()
        try:
            embeddings = self.store.open(step.ref)
            scores = self.store.open(evaluation.ref)
            registered = self.registered(model, embeddings, scores)
            candidate = VersionRef.of(registered)
            question, decision = self.judging.judge(model, candidate, scores, self.veto(model))
            drift = self.drift(question)
            serving: Serving | None = {}
            if not self.is_trial and self.promoter.will_promote(question, decision):
                promoted = {model: question.candidate.version}
                serving = self.builder(promoted).of_model(model)
            if serving is None:  # without an index nothing is promoted; the failure is recorded
                return
            settled = self.promoter.settle(question, decision, serving, self.is_trial)
        except NightjarError as error:
            self.failures[f"register {model}"] = error
            return
        self.n_done += settled.is_promoted
        seconds = round(time.monotonic() - started, 3)
        self.recorder.decision(
            {
                **_recorded(question, settled),
                "drift": None if drift is None else drift.as_json(),
                "seconds": seconds,
            }
        )
        logger.info("%s: %s, %s", model, settled.outcome, settled.reason)
        if settled.left_to_do:
            self.alarm(settled.left_to_do)
        if settled.is_promoted and settled.decision.failed:
            self.alarm(f"{model}: {settled.decision.reason}")
        if settled.is_undecided:
            self.alarm(f"{model} keeps its champion: {settled.decision.reason}")
        if settled.decision.outcome is Outcome.BLOCKED and question.consumers:
            self.alarm(
                f"{model} is blocked and its consumers keep the champion: "
                f"{', '.join(question.consumers)}"
            )

    def drift(self, question: Question) -> MeasuredDrift | None:
        """What moved between the champion and the candidate; raises an alarm if it is much.

        A failure is recorded, and the decision is made without it.
        """
        if question.champion is None:
            return None
        versions = question.champion.version, question.candidate.version
        try:
            found = measure_drift(self.loaded, question.model, *versions, self.run_extra)
        except NightjarError as error:  # such as a damaged artifact of an earlier night
            self.failures[f"drift {question.model}"] = error
            return None
        if found is not None and found.is_alarm:
            self.alarm(found.alarm())
        return found

    def registered(
        self, model: str, embeddings: Artifact, evaluation: Artifact
    ) -> RegisteredVersion:
        """The version in MLflow with exactly these bytes, made if it is missing."""
        name = registered_name(self.loaded.config.pipeline.name, model)
        found = find_registered(self.place.reader(), name, embeddings.manifest.digest)
        if found is not None and not check_files_whole(self.place, found, reads_bytes=False):
            return found
        source, tokens = self.origin(embeddings)
        self.n_done += 1
        return self.runner.register(
            RegistrationRequest(
                pipeline=self.loaded.config.pipeline,
                registry=self.loaded.config.registry_of(model),
                model_name=model,
                model=self.loaded.config.models[model],
                source=source,
                tokens=tokens,
                embeddings=embeddings,
                evaluation=evaluation,
                artifacts_dir=self.loaded.artifacts_dir,
                git_commit=self.provenance.git_commit,
                actor=self.provenance.actor,
                ledger_id=self.promoter.ledger_id(),
                night=self.recorder.night.number,
                is_trial=self.is_trial,
            )
        )

    def origin(self, embeddings: Artifact) -> tuple[Artifact | None, Artifact | None]:
        """What tokens are made of and tokens that a model was trained on, each None without any.

        The first are documents, a graph or events.
        """
        version = embeddings.manifest.parents.get(schemas.TOKENS)
        if version is None:
            return None, None
        tokens = self.store.open(self.store.ref(schemas.TOKENS, version))
        for stage, version in tokens.manifest.parents.items():
            if stage in CORPUS_SOURCES:
                return self.store.open(self.store.ref(stage, version)), tokens
        return None, tokens

    def veto(self, model: str) -> str:
        """Why no score can promote the model: its corpus is not accepted; "" if it is."""
        corpus = self.loaded.config.corpus_of(model)
        verdict = self.verdicts.get(corpus)
        if isinstance(self.loaded.config.models[model], ImportConfig):
            return ""
        if verdict is None or verdict.is_accepted:
            return ""
        return f"the corpus {corpus} is not accepted: {verdict.reason}"

    # -- what readers are served ----------------------------------------------------------

    def builder(self, promoted: Mapping[str, VersionRef] | None = None) -> ServingBuilder:
        """A builder of the champions' indexes of accepted documents, ``promoted`` included."""
        standing = self.promoter.standing()
        champions = {
            model: found.champion
            for model, found in standing.models.items()
            if found.champion is not None
        }
        documents = {
            corpus: accepted[0].documents.version
            for corpus, accepted in standing.corpora.items()
            if accepted and schemas.DOCUMENTS in accepted[0].artifacts
        }
        documents |= {
            corpus: verdict.artifacts[schemas.DOCUMENTS].version
            for corpus, verdict in self.verdicts.items()
            if verdict.is_accepted and schemas.DOCUMENTS in verdict.artifacts
        }
        return ServingBuilder(
            self.loaded,
            self.run_extra,
            documents,
            {**champions, **(promoted or {})},
            self.request.stages,
            self.alarm,
        )

    def flag_gone_models(self) -> None:
        """Raise an alarm for models with a champion that the config no longer has."""
        for model in self.promoter.standing().gone(self.loaded.config.models):
            self.alarm(
                f"{model} is gone from the config but keeps its champion; put it back, or run "
                f"'nightjar retire {model}'"
            )


def _recorded(question: Question, settled: SettledDecision) -> dict[str, object]:
    decision = settled.decision

    def version(contender: Contender | None) -> dict[str, object] | None:
        if contender is None:
            return None
        found = contender.version
        return {"version": found.number, "embeddings": found.embeddings, "digest": found.digest}

    return {
        "model": question.model,
        "outcome": settled.outcome.value,
        "reason": decision.reason,
        "note": settled.note,
        "key": decision.key,
        "is_promoted": settled.is_promoted,
        "event": None if settled.event is None else settled.event.number,
        "candidate": version(question.candidate),
        "champion": version(question.champion),
        "reference": version(question.reference),
        "score": decision.score,
        "coverage": decision.coverage,
        "champion_score": decision.champion_score,
        "reference_score": decision.reference_score,
        "rules": [asdict(rule) for rule in decision.rules],
        "consumers": list(question.consumers),
        "remarks": list(decision.remarks),
    }
