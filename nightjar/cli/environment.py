"""The environment of Prefect and MLflow, set before either is imported.

No telemetry, and no files outside the project unless the user configured them: without
``PREFECT_API_URL``, ``PREFECT_HOME`` or a profile of the user's own, Prefect keeps its
database under ``artifacts/prefect``.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from pathlib import Path

from nightjar.store import named_write_errors

_DEFAULTS = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "nightjar",
}


def prepare_environment(
    artifacts_dir: Path, environment: MutableMapping[str, str] = os.environ
) -> None:
    """Set variables that the user has not set.

    Raises StoreNotWritable when the directory of Prefect's database cannot be made.
    """
    for name, value in _DEFAULTS.items():
        environment.setdefault(name, value)
    if "PREFECT_HOME" not in environment and not has_prefect_server(environment):
        home = artifacts_dir / "prefect"
        with named_write_errors(artifacts_dir):
            home.mkdir(parents=True, exist_ok=True)
        environment["PREFECT_HOME"] = str(home)


def has_prefect_server(environment: MutableMapping[str, str] = os.environ) -> bool:
    """Whether the user chose a Prefect server, by URL or by a profile of their own."""
    names = ("PREFECT_API_URL", "PREFECT_PROFILE", "PREFECT_PROFILES_PATH")
    if any(environment.get(name) for name in names):
        return True
    home = Path(environment.get("PREFECT_HOME") or "~/.prefect").expanduser()
    return (home / "profiles.toml").exists()


def keep_logs_off_the_terminal(environment: MutableMapping[str, str] = os.environ) -> None:
    """Send log lines only to the run's page; the terminal shows progress and messages."""
    environment.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
