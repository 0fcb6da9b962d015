"""The section ``execution``: where the shards of the corpus are worked on."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from nightjar.config.sections import Section, Text


class ExecutionConfig(Section):
    """Where shards are read, tokenized and counted; ``execution: dask`` is short for its engine."""

    engine: Literal["local", "dask"] = Field(
        "local", description="processes of this machine, or a Dask cluster (the extra dask)"
    )
    address: Text | None = Field(
        None, description="of the cluster's scheduler, tcp://HOST:8786; null: a local cluster"
    )
    n_workers: int | None = Field(
        None, ge=1, description="of a local cluster, in processes; null: training.workers"
    )

    @model_validator(mode="before")
    @classmethod
    def _engine_alone(cls, value: Any) -> Any:
        return {"engine": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _cluster_settings_are_for_dask(self) -> Self:
        if self.engine == "local" and (self.address is not None or self.n_workers is not None):
            raise ValueError("address and n_workers are for engine: dask")
        if self.address is not None and self.n_workers is not None:
            raise ValueError("n_workers is for a local cluster, address for one that is there")
        return self
