"""The registry's address, the file behind a SQLite address, and masking for messages."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from nightjar.config import RegistryConfig

_SQLITE = re.compile(r"sqlite(?:\+\w+)?:///(?P<path>[^?]+)")
_SECRET_PARAMETER = re.compile(r"(?i)([?&][^=&]*(?:pass|token|secret|key)[^=&]*=)[^&#]*")
_HIDDEN = "***"


def mlflow_dir(artifacts_dir: Path) -> Path:
    """The directory of the default MLflow database and the local model files."""
    return artifacts_dir.absolute() / "mlflow"


def tracking_uri(registry: RegistryConfig, artifacts_dir: Path) -> str:
    """The configured MLflow address, else SQLite under ``artifacts_dir`` (absolute)."""
    return registry.tracking_uri or f"sqlite:///{mlflow_dir(artifacts_dir) / 'mlflow.db'}"


def is_server(uri: str) -> bool:
    """Whether the address is an MLflow server, which keeps the files itself."""
    return uri.startswith(("http://", "https://", "databricks"))


def sqlite_path(uri: str) -> Path | None:
    """The database file of a ``sqlite:///`` address; None for any other address."""
    match = _SQLITE.fullmatch(uri.partition("?")[0])
    return None if match is None else Path(match["path"])


def masked(uri: str) -> str:
    """``uri`` without its password or token, for messages."""
    parts = urlsplit(uri)
    user_info, at, host = parts.netloc.rpartition("@")
    if at:
        user, colon, _ = user_info.partition(":")
        hidden = f"{user}:{_HIDDEN}" if colon else _HIDDEN
        uri = urlunsplit(parts._replace(netloc=f"{hidden}@{host}"))
    return _SECRET_PARAMETER.sub(rf"\1{_HIDDEN}", uri)


def without_secrets(text: str, uri: str) -> str:
    """``text`` (another program's message) with the password of ``uri`` masked."""
    user_info = urlsplit(uri).netloc.rpartition("@")[0]
    secret = user_info.rpartition(":")[2]
    text = text.replace(uri, masked(uri))
    for form in {secret, unquote(secret)} - {""}:
        text = text.replace(form, _HIDDEN)
    return text


def page_of(uri: str, path: str) -> str | None:
    """The address of a page of MLflow's, such as ``models/NAME``, in its mode for model training.

    A browser that sees MLflow for the first time opens its mode for GenAI otherwise, which shows
    traces; there are none. None where ``uri`` is not on the web. A password is masked.
    """
    if not uri.startswith(("http://", "https://")):
        return None
    return f"{masked(uri).rstrip('/')}/#/{path}?workflowType=machine_learning"
