"""Commands in this process: a tenth of a second each, where a separate process takes seconds."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from click.testing import Result
from typer.testing import CliRunner

from nightjar.cli.main import app
from nightjar.errors import NightjarError


def invoked(config: Path, *arguments: object) -> Result:
    """A command's exit code and output; removes the log handlers that it adds."""
    loggers = [logging.getLogger(name) for name in ("nightjar",)]
    before = [(logger, logger.level, list(logger.handlers)) for logger in loggers]
    try:
        return CliRunner().invoke(app, [*map(str, arguments), "-c", str(config)])
    finally:
        for logger, level, handlers in before:
            logger.setLevel(level)
            logger.handlers[:] = handlers


def asked(config: Path, *arguments: object) -> str:
    """What a command prints on standard output; it must succeed."""
    done = invoked(config, *arguments)
    assert done.exit_code == 0, (arguments, done.output, done.exception)
    return done.stdout


def asked_json(config: Path, *arguments: object) -> Any:
    """The JSON that a command prints."""
    return json.loads(asked(config, *arguments, "--json"))


def refused(config: Path, *arguments: object) -> NightjarError:
    """The error that a command must end with; it prints nothing before."""
    done = invoked(config, *arguments)
    assert isinstance(done.exception, NightjarError), (arguments, done.output, done.exception)
    assert done.stdout == ""
    return done.exception
