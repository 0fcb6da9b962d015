"""The secret of a Prefect server: what a client must know to give it orders."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

_USER = "nightjar"


def new_secret() -> str:
    """A secret in the form of Prefect's auth strings, ``user:password``."""
    return f"{_USER}:{secrets.token_urlsafe(32)}"


def secret_path(artifacts_dir: Path) -> Path:
    """Where the server of ``nightjar serve`` keeps its secret."""
    return artifacts_dir / "prefect" / "server.secret"


def kept_secret(path: Path) -> str:
    """The secret in the file ``path``, which only this user can read; made if it is missing.

    One that others could read, or that another user put there, is replaced. Raises OSError.
    """
    for _ in range(2):
        try:
            return _read(path)
        except FileNotFoundError:
            _make(path)
    return _read(path)


def _read(path: Path) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, encoding="ascii", errors="replace") as file:
        found = os.fstat(descriptor)
        is_private = not found.st_mode & (stat.S_IRWXG | stat.S_IRWXO)
        secret = file.read().strip()
    is_whole = secret.isascii() and secret.isprintable() and secret.startswith(f"{_USER}:")
    if is_private and found.st_uid == os.geteuid() and is_whole:
        return secret
    path.unlink()
    raise FileNotFoundError(path)


def _make(path: Path) -> None:
    """Write a new secret, unless another process is faster."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{new_secret()}\n")
        try:
            os.link(unfinished, path)  # unlike a rename it replaces nothing
        except FileExistsError:
            return
    finally:
        unfinished.unlink(missing_ok=True)
