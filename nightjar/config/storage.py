"""The section ``storage`` of a source: how its URLs are reached. It holds no credentials."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from nightjar.config.sections import Section, Text
from nightjar.files import urls

_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_FAMILIES: Mapping[str, tuple[str, ...]] = {
    "endpoint_url": ("s3", "gs"),
    "region": ("s3",),
    "profile": ("s3",),
    "anonymous": ("s3", "gs", "az"),
    "requester_pays": ("s3", "gs"),
    "project": ("gs",),
    "account": ("az",),
    "headers_env": ("http",),
}
"""By key, the kinds of storage that have it."""


def check_variable_name(name: str) -> str:
    """``name``, which an environment variable can have; ValueError repeats nothing of another."""
    if not _ENVIRONMENT_NAME.fullmatch(name):
        raise ValueError("is the name of an environment variable")
    return name


def _names_of_variables(headers: dict[str, str]) -> dict[str, str]:
    # No value is repeated: it is a secret if it is not what belongs here.
    for header, variable in headers.items():
        if not _HEADER_NAME.fullmatch(header):
            raise ValueError("a header's name holds letters, digits and dashes")
        if not _ENVIRONMENT_NAME.fullmatch(variable):
            raise ValueError(
                f"{header}: is the name of an environment variable that holds the header's value"
            )
    return headers


def _plain_endpoint(url: str) -> str:
    if urls.scheme_of(url) not in urls.HTTP_SCHEMES:
        raise ValueError("is a URL with http:// or https://")
    urls.check_url(url)
    return url


class StorageConfig(Section):
    """How URLs are reached; credentials come from the environment (docs/sources.md)."""

    endpoint_url: Annotated[Text, AfterValidator(_plain_endpoint)] | None = Field(
        None, description="s3, gs: of a server of your own, as in http://127.0.0.1:9000"
    )
    region: Text | None = Field(None, description="s3: as in eu-central-1")
    profile: Text | None = Field(None, description="s3: which of those in ~/.aws")
    anonymous: bool = Field(False, description="s3, gs, az: public data, without credentials")
    requester_pays: bool = Field(False, description="s3, gs: who reads pays")
    project: Text | None = Field(None, description="gs: which is billed")
    account: Text | None = Field(None, description="az: the storage account")
    headers_env: Annotated[dict[str, str], AfterValidator(_names_of_variables)] = Field(
        {},
        description="http: by header the environment variable that holds its value, "
        "as in {Authorization: DATA_AUTHORIZATION}",
    )

    @model_validator(mode="before")
    @classmethod
    def _no_secrets(cls, values: Any) -> Any:
        if isinstance(values, Mapping):
            for key in values:
                if key not in cls.model_fields and urls.is_secret_name(str(key)):
                    hints = [urls.credentials_hint(kind) for kind in ("s3", "gs", "az", "http")]
                    raise ValueError(
                        f"{key} is a credential, which does not belong in the config. "
                        f"For s3: {hints[0]}; gs: {hints[1]}; az: {hints[2]}; http: {hints[3]}"
                    )
        return values

    def check_family(self, family: str) -> None:
        """Raise ValueError when a key is set that URLs of that kind do not have."""
        if family == "local":
            raise ValueError("storage: is for URLs; path holds local files")
        for key in sorted(self.model_fields_set):
            if family not in _FAMILIES[key]:
                mine = ", ".join(name for name, of in _FAMILIES.items() if family in of)
                raise ValueError(f"storage.{key}: is not for {family}, which has {mine}")
