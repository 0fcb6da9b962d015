"""Commands in this process: a tenth of a second each, where a process of its own takes seconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from flows.cli import app
from nightjar.errors import NightjarError


def asked(config: Path, *arguments: object) -> str:
    """What a command prints on standard output; it must succeed."""
    done = CliRunner().invoke(app, [*map(str, arguments), "-c", str(config)])
    assert done.exit_code == 0, (arguments, done.output, done.exception)
    return done.stdout


def asked_json(config: Path, *arguments: object) -> Any:
    """The JSON that a command prints."""
    return json.loads(asked(config, *arguments, "--json"))


def refused(config: Path, *arguments: object) -> NightjarError:
    """The error of a command that must end with one; it prints nothing before."""
    done = CliRunner().invoke(app, [*map(str, arguments), "-c", str(config)])
    assert isinstance(done.exception, NightjarError), (arguments, done.output, done.exception)
    assert done.stdout == ""
    return done.exception
