"""Copies of a project that share nothing with it, although MLflow keeps absolute paths."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

_PATHS = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}
"""Columns of MLflow's tables that hold paths or addresses of files."""


def copy_project(directory: Path, copy: Path) -> Path:
    """Copy a directory with its ``artifacts``; what MLflow stores goes into the copy from now on.

    Nights in the copy would write into the original otherwise, and delete its models.
    """
    shutil.copytree(directory, copy, symlinks=True, dirs_exist_ok=True)
    with closing(sqlite3.connect(copy / "artifacts" / "mlflow" / "mlflow.db")) as database:
        for table, columns in _PATHS.items():
            for column in columns:
                database.execute(
                    f"UPDATE {table} SET {column} = replace({column}, ?, ?)",
                    (f"{directory}/", f"{copy}/"),
                )
        database.commit()
    return copy
