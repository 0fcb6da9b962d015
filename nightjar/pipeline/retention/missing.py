"""What is needed but gone: deleted by hand, or lost with a disk.

Only what no retention rule can have deleted counts, however ``keep`` was set before: the champions,
references, pinned and waiting versions, the newest night, the last accepted one of each corpus, and
what is searched. What was never made, and what a purge erased, is not missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from nightjar.config import KeepConfig, LoadedConfig
from nightjar.core import Keep, Stage
from nightjar.pipeline.retention.needs import Key, Survey
from nightjar.pipeline.retention.pipelines import RecordedPipeline, read_pipelines
from nightjar.registry import RegistryPlace, registered_name
from nightjar.stages import STAGES
from nightjar.stages.ingest import PurgeList
from nightjar.store import Store

_LEAST = KeepConfig(accepted_nights=1, rollback_versions=0, trials=0)
_NEVER_PURGED = (Keep.MODEL, Keep.SOURCE, Keep.RECORD)


@dataclass(frozen=True)
class Missing:
    """Something that is needed and gone."""

    name: str
    """STAGE/VERSION, or a registered version."""
    reason: str
    """Who needs it."""
    advice: str

    def __str__(self) -> str:
        return f"{self.name} is missing ({self.reason}); {self.advice}"


def find_missing(
    loaded: LoadedConfig, stages: Sequence[type[Stage]] = STAGES
) -> tuple[Missing, ...]:
    """What is needed in the directory of ``loaded`` and is gone, artifacts first.

    Raises StoreError, including LedgerDamaged, when a record cannot be read; RegistryUnavailable.
    """
    pipelines = [
        replace(found, keep=_LEAST, keeps_earlier_standing=False)
        for found in read_pipelines(loaded)
    ]
    survey = Survey(Store(loaded.artifacts_dir), pipelines, stages, datetime.now(UTC))
    return (
        *_artifacts(survey, pipelines, stages),
        *_versions(loaded, survey),
    )


def _artifacts(
    survey: Survey, pipelines: Sequence[RecordedPipeline], stages: Sequence[type[Stage]]
) -> Iterator[Missing]:
    lasting = {stage.name for stage in stages if stage.keep in _NEVER_PURGED}
    may_be_purged = any(map(_was_purged, pipelines))
    for key, reason in survey.missing():
        if may_be_purged and key[0] not in lasting:
            continue
        yield Missing("/".join(key), reason, _advice(key, survey))


def _was_purged(pipeline: RecordedPipeline) -> bool:
    """Whether documents were purged since the newest night, which makes anew what is erased."""
    if pipeline.newest is None:
        return True
    began = datetime.fromisoformat(pipeline.newest.started_at)
    return any(
        datetime.fromisoformat(order.time) >= began
        for listed in PurgeList.all(pipeline.directory).values()
        for order in listed.orders
    )


def _advice(key: Key, survey: Survey) -> str:
    if key in survey.needs.own_planned:
        return "'nightjar run' makes it again"
    return "restore it from a backup: no night makes it again"


def _versions(loaded: LoadedConfig, survey: Survey) -> Iterator[Missing]:
    """The registered versions of this pipeline that the ledger needs and the registry lacks."""
    reader = RegistryPlace.of(loaded.config.registry, loaded.artifacts_dir).reader()
    for model, numbers in survey.needs.own_numbers.items():
        name = registered_name(loaded.config.pipeline.name, model)
        known = {version.version for version in reader.versions(name)}
        for number in sorted(numbers.keys() - known):
            yield Missing(
                f"{name} version {number}",
                numbers[number],
                "it was deleted in MLflow: restore the registry from a backup, or make another "
                "version champion with 'nightjar promote'",
            )
