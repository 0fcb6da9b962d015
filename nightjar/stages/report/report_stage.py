"""Report: what a corpus is like, as tables and a page."""

from __future__ import annotations

from collections.abc import Iterable

from nightjar.config import LoadedConfig, NightjarConfig
from nightjar.core import Keep, Of, Parent, Planning, Stage, StageContext
from nightjar.core.erasure import hold_nothing
from nightjar.registry import CorpusRun, RegistryPlace, bytes_of_run, delete_run, log_corpus
from nightjar.stages.report import PAGE, corpus_report_identity, report_corpus
from nightjar.store import Identity, Manifest, schemas


class Report(Stage):
    """The report of a text corpus; logged to MLflow as well."""

    name = schemas.CORPUS_REPORT
    verb = "report"
    of = Of.CORPUS
    keep = Keep.CORPUS
    about = "what the corpus is like: tables and a page"
    tables = {
        "sources": schemas.REPORT_SOURCES_SCHEMA,
        "drops": schemas.REPORT_DROPS_SCHEMA,
        "lengths": schemas.REPORT_LENGTHS_SCHEMA,
        "growth": schemas.REPORT_GROWTH_SCHEMA,
        "languages": schemas.REPORT_LANGUAGES_SCHEMA,
    }
    files = (PAGE,)
    page = PAGE
    erasers = {schemas.CORPUS_REPORT: hold_nothing}
    uses_executor = True

    @classmethod
    def subjects(cls, config: NightjarConfig) -> Iterable[str]:
        """Every text corpus."""
        return config.text_corpora

    def parents(self) -> Iterable[Parent]:
        """Documents and tokens."""
        return (Parent(schemas.DOCUMENTS, self.subject), Parent(schemas.TOKENS, self.subject))

    def identity(self, planning: Planning) -> Identity:
        """The two parents alone."""
        return corpus_report_identity(
            planning.parents[schemas.DOCUMENTS], planning.parents[schemas.TOKENS], self.subject
        )

    def write(self, context: StageContext) -> None:
        """As :func:`.report_corpus`, then the run in MLflow."""
        documents, tokens = context.parent(schemas.DOCUMENTS), context.parent(schemas.TOKENS)
        staging = context.staging
        report_corpus(documents, tokens, context)
        logged = log_corpus(
            CorpusRun(
                self.config.pipeline,
                self.config.registry,
                self.loaded.artifacts_dir,
                context.identity.version,
                {
                    f"nightjar.{art.ref.stage}_version": art.ref.version
                    for art in (documents, tokens)
                },
                staging.counts,
                tuple(sorted(path for path in staging.directory.iterdir() if path.is_file())),
                context.actor,
            )
        )
        staging.report.update(experiment_id=logged.experiment_id, run_id=logged.run_id)

    @classmethod
    def forget(cls, loaded: LoadedConfig, manifest: Manifest, *, is_dry_run: bool = False) -> int:
        """Its run in MLflow goes along."""
        run_id = manifest.report.get("run_id")
        if run_id is None:
            return 0
        place = RegistryPlace.of(loaded.config.registry, loaded.artifacts_dir)
        if is_dry_run:
            return bytes_of_run(place, run_id)
        return delete_run(place, run_id)
