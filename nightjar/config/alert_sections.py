"""The section ``alerts``: who is told of a night, how, and where its numbers are written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from nightjar.config.sections import Section, Text
from nightjar.config.sources import EnvironmentName
from nightjar.files import urls

AlertKind = Literal["failed", "blocked", "alarm", "waiting", "promoted"]
"""What a message may say of a night."""


def _read_by_node_exporter(path: str) -> str:
    if PurePath(path).suffix != ".prom":
        raise ValueError("ends in .prom, or node_exporter's textfile collector does not read it")
    return path


class WebhookConfig(Section):
    """A web server that is sent messages (docs/alerts.md). Its URL is a secret."""

    url_env: EnvironmentName = Field(description="the environment variable with the URL")
    secret_env: EnvironmentName | None = Field(
        None, description="the one with the secret that signs messages; nightjar needs it"
    )
    body: Literal["nightjar", "slack"] = Field(
        "nightjar", description="slack: what Slack and those who understand the same expect"
    )
    tries: int = Field(4, ge=1, le=10, description="with pauses of 1, 2, 4, ... s; a minute in all")
    timeout_seconds: float = Field(10.0, gt=0, le=60, description="of each try")

    @model_validator(mode="before")
    @classmethod
    def _no_secrets(cls, values: Any) -> Any:
        if isinstance(values, Mapping):
            for key in values:
                if key not in cls.model_fields and (key == "url" or urls.is_secret_name(str(key))):
                    raise ValueError(
                        f"{key} is a secret, which does not belong in the config: put it into an "
                        f"environment variable, and name that in url_env or secret_env"
                    )
        return values

    @model_validator(mode="after")
    def _is_signed(self) -> Self:
        if self.body == "nightjar" and self.secret_env is None:
            raise ValueError(
                "secret_env is missing: messages are signed; name the environment variable with "
                "the secret, for example NIGHTJAR_WEBHOOK_SECRET"
            )
        return self


class AlertsConfig(Section):
    """Who is told what happened in a night."""

    events: list[AlertKind] = Field(
        ["failed", "blocked", "alarm", "waiting", "promoted"],
        min_length=1,
        description="what a message is sent for; one message a night",
    )
    trials: bool = Field(False, description="tell of runs with overrides, too")
    webhook: WebhookConfig | None = Field(None, description="where messages are sent")
    metrics: Annotated[Text, AfterValidator(_read_by_node_exporter)] | None = Field(
        None,
        description="a text file for Prometheus, NAME.prom, written after each night; relative to "
        "the config file",
    )
