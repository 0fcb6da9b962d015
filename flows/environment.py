"""The environment that Prefect and MLflow find: set before either is imported.

No telemetry, and nothing outside the project unless the user configured it: without
``PREFECT_API_URL``, ``PREFECT_HOME`` or a profile of the user's own, Prefect keeps its
database under ``artifacts/prefect`` and starts its embedded server from there.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from pathlib import Path

NO_TELEMETRY = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
_EMBEDDED_SERVER = {
    # The default of 20 s is what a cold start takes on two busy cores.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
}


def prepare_environment(
    artifacts_dir: Path, environment: MutableMapping[str, str] = os.environ
) -> None:
    """Fill in what the user has not set; what is set stays."""
    for name, value in {**NO_TELEMETRY, **_EMBEDDED_SERVER}.items():
        environment.setdefault(name, value)
    if not _has_own_prefect(environment):
        environment["PREFECT_HOME"] = str(artifacts_dir / "prefect")


def log_to_prefect(environment: MutableMapping[str, str] = os.environ) -> None:
    """Send Nightjar's log lines to the run's page; keep them off the terminal."""
    environment.setdefault("PREFECT_LOGGING_EXTRA_LOGGERS", "nightjar,flows,tasks")
    environment.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")


def _has_own_prefect(environment: MutableMapping[str, str]) -> bool:
    names = ("PREFECT_API_URL", "PREFECT_HOME", "PREFECT_PROFILE", "PREFECT_PROFILES_PATH")
    if any(environment.get(name) for name in names):
        return True
    home = Path(environment.get("HOME", "~")).expanduser()
    return (home / ".prefect" / "profiles.toml").exists()
