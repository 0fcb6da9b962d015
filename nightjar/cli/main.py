"""The command line: ``nightjar COMMAND``.

A user's mistake ends with one message on standard error and exit code 2, trouble with the
store, the registry or a model with exit code 1; neither shows a traceback. With ``--json``,
standard output is one JSON document and nothing else. Only the commands that need Prefect,
MLflow or gensim import them.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import Annotated, NoReturn

import typer

import nightjar
from nightjar.cli import (
    artifact_commands,
    corpus_commands,
    exchange_commands,
    night_commands,
    plan_commands,
    project_commands,
    promotion_commands,
    question_commands,
    retention_commands,
    run_commands,
)
from nightjar.cli.outputs import errors
from nightjar.cli.terminal import shut_the_door, write_text
from nightjar.errors import NightjarError

app = typer.Typer(
    name="nightjar",
    help="Nightly embeddings you can trust: train, evaluate and register word vectors.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
# 'nightjar --help' lists them in this order, that of the sections of docs/commands.md.
app.add_typer(project_commands.app)
app.add_typer(plan_commands.app)
app.add_typer(run_commands.app)
app.add_typer(night_commands.app)
app.add_typer(artifact_commands.app)
app.add_typer(corpus_commands.app)
app.add_typer(question_commands.app)
app.add_typer(promotion_commands.app)
app.add_typer(retention_commands.app)
app.add_typer(exchange_commands.app)
_INTERRUPTED = 130
_LAST_SECONDS = 20.0
"""After an error, libraries may take this long to end: Prefect would offer the last lines of its
log to a server that does not answer for minutes."""


def main() -> None:
    """Entry point: run a command and turn Nightjar's errors into exit codes."""
    shut_the_door()
    try:
        app()
    except NightjarError as error:
        errors.print(f"nightjar: {error}")
        _end(error.exit_code)
    except KeyboardInterrupt:
        _end_interrupted()
    except SystemExit as done:
        if done.code == _INTERRUPTED:  # Typer's exit code for Ctrl-C
            _end_interrupted()
        raise
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)


def _end_interrupted() -> NoReturn:
    errors.print(
        "nightjar: interrupted; the same command continues from what is published, and a "
        "training from its last checkpoint"
    )
    _end(_INTERRUPTED)


def _end(code: int) -> NoReturn:
    limit = threading.Timer(_LAST_SECONDS, os._exit, [code])
    limit.daemon = True
    limit.start()
    sys.exit(code)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        write_text(f"nightjar {nightjar.__version__}\n")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Log what the stages do.")
    ] = False,
) -> None:
    """Options of every command."""
    del version
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    handler.setLevel(logging.INFO if verbose else logging.WARNING)
    for name in ("nightjar",):
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)


if __name__ == "__main__":
    main()
