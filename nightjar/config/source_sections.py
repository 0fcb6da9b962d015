"""Parts of a source: ``where`` selects records, ``storage`` configures access to URLs."""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from nightjar.config.linear_regex import make_search
from nightjar.config.sections import Section, Text
from nightjar.files import urls

_KEYS = ("min", "max", "regex", "not")
_MAX_DEPTH = 10
_MAX_SHOWN_KEYS = 5
_MAX_SHOWN_CHARS = 60


def checked_conditions(where: Mapping[str, Any]) -> Mapping[str, Any]:
    """``where`` itself. Raises ValueError with the field whose condition is invalid."""
    for field, condition in where.items():
        if not field:
            raise ValueError("the name of a field is empty")
        _check(field[:_MAX_SHOWN_CHARS], condition)
    return where


def _check(field: str, condition: Any, depth: int = 1) -> None:
    if depth > _MAX_DEPTH:
        raise ValueError(f"{field}: 'not' is nested more than {_MAX_DEPTH} deep")
    if isinstance(condition, Mapping):
        _check_mapping(field, condition, depth)
    elif isinstance(condition, list):
        if not condition:
            raise ValueError(f"{field}: the list is empty, so no record would be left")
        for value in condition:
            _check_value(field, value)
    else:
        _check_value(field, condition)


def _check_value(field: str, value: Any) -> None:
    is_value = value is None or isinstance(value, bool | int | float | str)
    if not is_value:
        raise ValueError(
            f"{field}: expected text, a number, true, false, null, a list of them or "
            f"{{{', '.join(_KEYS)}}} (got {_shown(value)}); put dates in quotes"
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{field}: {value!r} compares with nothing")


def _shown(value: Any) -> str:
    """``value`` in a few words, however large."""
    return reprlib.repr(value)


def _check_mapping(field: str, condition: Mapping[Any, Any], depth: int) -> None:
    unknown = [_shown(key).strip("'\"") for key in condition if key not in _KEYS]
    if unknown or not condition:
        more = ", ..." if len(unknown) > _MAX_SHOWN_KEYS else ""
        found = ", ".join(unknown[:_MAX_SHOWN_KEYS]) + more or "nothing"
        raise ValueError(f"{field}: expected {', '.join(_KEYS)} (got {found})")
    bounds = [condition[key] for key in ("min", "max") if key in condition]
    for bound in bounds:
        _check_value(f"{field}: min and max", bound)
    is_text = {isinstance(bound, str) for bound in bounds}
    is_number = all(isinstance(bound, int | float | str) for bound in bounds)
    if len(is_text) > 1 or not is_number or any(isinstance(bound, bool) for bound in bounds):
        raise ValueError(f"{field}: min and max are two numbers, or two texts such as '2026-01-31'")
    if len(bounds) == 2 and bounds[0] > bounds[1]:
        raise ValueError(f"{field}: min is above max, so no record would be left")
    if "regex" in condition:
        _check_regex(field, condition["regex"])
    if "not" in condition:
        _check(field, condition["not"], depth + 1)


def _check_regex(field: str, pattern: Any) -> None:
    if not isinstance(pattern, str):
        raise ValueError(f"{field}: a regex is text (got {_shown(pattern)})")
    try:
        make_search(pattern)
    except ValueError as error:
        raise ValueError(f"{field}: {error}") from error


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
    "redirect_hosts": ("http",),
}
"""The kinds of storage that have each key."""


def check_variable_name(name: str) -> str:
    """``name``, if it is valid for an environment variable; the ValueError does not quote it."""
    if not _ENVIRONMENT_NAME.fullmatch(name):
        raise ValueError("is the name of an environment variable")
    return name


def _names_of_variables(headers: dict[str, str]) -> dict[str, str]:
    # Values are not quoted: if one is not a variable's name, it may be a secret.
    for header, variable in headers.items():
        if not _HEADER_NAME.fullmatch(header):
            raise ValueError("a header's name holds letters, digits and dashes")
        if not _ENVIRONMENT_NAME.fullmatch(variable):
            raise ValueError(
                f"{header}: is the name of an environment variable that holds the header's value"
            )
    return headers


def _host_names(hosts: list[str]) -> list[str]:
    for host in hosts:
        try:
            parts = urlsplit(f"//{host}")
            is_host = bool(parts.hostname) and parts.netloc == host and "@" not in host
            is_host = is_host and (parts.port is None or parts.port > 0)
        except ValueError:
            is_host = False
        if not is_host or "*" in host:
            raise ValueError("is a list of hosts, each perhaps with a port, as in cdn.example:8080")
    return hosts


def _plain_endpoint(url: str) -> str:
    if urls.scheme_of(url) not in urls.HTTP_SCHEMES:
        raise ValueError("is a URL with http:// or https://")
    urls.check_url(url)
    return url


class StorageConfig(Section):
    """How URLs are accessed; credentials come from the environment (docs/sources.md)."""

    endpoint_url: Annotated[Text, AfterValidator(_plain_endpoint)] | None = Field(
        None, description="s3, gs: your own server, as in http://127.0.0.1:9000"
    )
    region: Text | None = Field(None, description="s3: as in eu-central-1")
    profile: Text | None = Field(None, description="s3: a profile in ~/.aws")
    anonymous: bool = Field(False, description="s3, gs, az: public data, without credentials")
    requester_pays: bool = Field(False, description="s3, gs: the reader pays")
    project: Text | None = Field(None, description="gs: the project to bill")
    account: Text | None = Field(None, description="az: the storage account")
    headers_env: Annotated[dict[str, str], AfterValidator(_names_of_variables)] = Field(
        {},
        description="http: for each header, the environment variable with its value, as in "
        "{Authorization: DATA_AUTHORIZATION}",
    )
    redirect_hosts: Annotated[list[str], AfterValidator(_host_names)] = Field(
        [],
        description="http: other servers that the server may redirect to, as in cdn.example or "
        "127.0.0.1:8080; every other one is refused",
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
        """Raise ValueError when a key is set that does not apply to URLs of that kind."""
        if family == "local":
            raise ValueError("storage: is for URLs; path holds local files")
        for key in sorted(self.model_fields_set):
            if family not in _FAMILIES[key]:
                mine = ", ".join(name for name, of in _FAMILIES.items() if family in of)
                raise ValueError(f"storage.{key}: is not for {family}, which has {mine}")
