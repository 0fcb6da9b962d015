"""What the reports of every kind of corpus share: stage, page, and run in MLflow."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import pyarrow as pa

from nightjar.config import LoadedConfig
from nightjar.core import Keep, Of, Parent, Stage
from nightjar.core.stage import Erased, Erasers, Fate, StageContext
from nightjar.drawing import Page
from nightjar.registry import CorpusRun, RegistryPlace, bytes_of_run, delete_run, log_corpus
from nightjar.store import Artifact, Manifest, Store, schemas
from nightjar.store.corpus_kinds import NO_DROPS, kept_by_source

PAGE = "report.html"
DOUBTS = "doubts"
"""Key of the manifest's report: what looks wrong in the corpus, in sentences; a night's alarms."""


def erase_from_report(store: Store, artifact: Artifact, erased: Erased) -> Fate:
    """Delete the report on a graph or on events that had what is erased: it names nodes or items.

    Reports on documents have nothing but counts.
    """
    del store
    parents = artifact.manifest.parents
    is_theirs = (
        parents.get(schemas.GRAPH) in erased.node_names
        or parents.get(schemas.EVENTS) in erased.sessions
    )
    return Fate.DELETED if is_theirs else Fate.UNTOUCHED


class ReportStage(Stage):
    """A stage that reports on a kind of corpus; logged to MLflow as well."""

    name = schemas.CORPUS_REPORT
    verb = "report"
    of = Of.CORPUS
    keep = Keep.CORPUS
    files = (PAGE,)
    page = PAGE
    erasers: ClassVar[Erasers] = {schemas.CORPUS_REPORT: erase_from_report}
    source: ClassVar[str]
    """The stage that the tokens of the kind are made from."""

    @abstractmethod
    def report(self, source: Artifact, tokens: Artifact, context: StageContext) -> None:
        """Write the tables and the page."""

    def parents(self) -> Iterable[Parent]:
        """What the tokens are made from, and the tokens."""
        return (Parent(self.source, self.subject), Parent(schemas.TOKENS, self.subject))

    def write(self, context: StageContext) -> None:
        """See :meth:`report`; then log the run to MLflow."""
        source, tokens = context.parent(self.source), context.parent(schemas.TOKENS)
        self.report(source, tokens, context)
        _log_report(self.loaded, (source, tokens), context)

    @classmethod
    def forget(cls, loaded: LoadedConfig, manifest: Manifest, *, is_dry_run: bool = False) -> int:
        """Delete its run in MLflow, too."""
        run_id = manifest.report.get("run_id")
        if run_id is None:
            return 0
        place = RegistryPlace.of(loaded.config.registry, loaded.artifacts_dir)
        return bytes_of_run(place, run_id) if is_dry_run else delete_run(place, run_id)


def _log_report(loaded: LoadedConfig, parents: Sequence[Artifact], context: StageContext) -> None:
    """Log what is written as a run in MLflow, and note the run in the manifest's report."""
    staging = context.staging
    logged = log_corpus(
        CorpusRun(
            loaded.config.pipeline,
            loaded.config.registry,
            loaded.artifacts_dir,
            context.identity.version,
            {f"nightjar.{found.ref.stage}_version": found.ref.version for found in parents},
            staging.counts,
            tuple(sorted(path for path in staging.directory.iterdir() if path.is_file())),
            context.actor,
        )
    )
    staging.report.update(experiment_id=logged.experiment_id, run_id=logged.run_id)


def source_rows(made: Artifact) -> pa.Table:
    """The table ``sources`` of a graph or of events: rows kept and quarantined."""
    counts = made.manifest.report.get("sources", {})
    rows = [
        {"source": source, "kept": n, "quarantined": counts[source].get("quarantined", 0)}
        for source, n in kept_by_source(made).items()
    ]
    return pa.Table.from_pylist(rows, schemas.REPORT_ROWS_SCHEMA)


def drop_rows(made: Artifact, left_out: Sequence[str]) -> pa.Table:
    """The table ``drops``: what was quarantined by source, then counts of ``left_out``."""
    rows: list[dict[str, Any]] = []
    sources: Mapping[str, Mapping[str, Any]] = made.manifest.report.get("sources", {})
    for source, counts in sources.items():
        for name, n in counts.items():
            if isinstance(n, int) and n and name not in NO_DROPS:
                reason = name.removeprefix("quarantined_")
                rows.append({"step": "read", "source": source, "reason": reason, "count": n})
    rows += [
        {"step": made.ref.stage, "source": None, "reason": name, "count": n}
        for name in left_out
        if (n := made.manifest.counts.get(name, 0))
    ]
    return pa.Table.from_pylist(rows, schemas.REPORT_DROPS_SCHEMA)


def show_sources(page: Page, sources: pa.Table, unit: str) -> None:
    """Add the table of sources to a page."""
    page.heading("Sources")
    page.table(
        ("source", f"{unit}s", "in quarantine"),
        [(row["source"], row["kept"], row["quarantined"]) for row in sources.to_pylist()],
    )


def show_drops(page: Page, drops: pa.Table) -> None:
    """Add what was left out to a page."""
    page.heading("Left out")
    if not len(drops):
        page.text("nothing")
        return
    page.table(
        ("step", "source", "what", "count"),
        [
            (row["step"], row["source"] or "", row["reason"].replace("_", " "), row["count"])
            for row in drops.to_pylist()
        ],
    )
