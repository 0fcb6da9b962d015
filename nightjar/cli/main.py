"""The command line: ``nightjar COMMAND``.

A user's mistake ends with one message on standard error and exit code 2, trouble with the
store, the registry or a model with exit code 1; neither shows a traceback. With ``--json``,
standard output is one JSON document and nothing else. Only the commands that need Prefect,
MLflow or gensim import them.
"""

from __future__ import annotations

import atexit
import errno
import logging
import os
import sys
import threading
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Annotated, NoReturn

import typer

import nightjar
from nightjar.cli import (
    artifact_commands,
    corpus_commands,
    drift_commands,
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
from nightjar.errors import InputError, NightjarError

app = typer.Typer(
    name="nightjar",
    help="Nightly embeddings you can trust: train, evaluate and register vectors of words, "
    "nodes and items.",
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
app.add_typer(drift_commands.app)
app.add_typer(retention_commands.app)
app.add_typer(exchange_commands.app)
_INTERRUPTED = 130
_NOBODY_READS = 141
_LAST_SECONDS = 20.0
"""After an error, libraries may take this long to end: Prefect would offer the last lines of its
log to a server that does not answer for minutes."""


def main() -> NoReturn:
    """Entry point: run a command and turn Nightjar's errors into exit codes."""
    shut_the_door()
    code = _performed()
    if code:
        limit = threading.Timer(_LAST_SECONDS, os._exit, [code])
        limit.daemon = True
        limit.start()
    _leave(code)


def _performed() -> int:
    """Run the command that the arguments name; return the exit code."""
    try:
        _check_the_directory()
        app()
    except NightjarError as error:
        errors.print(f"nightjar: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        return _interrupted()
    except SystemExit as done:
        if done.code == _INTERRUPTED:  # Typer's exit code for Ctrl-C
            return _interrupted()
        return done.code if isinstance(done.code, int) else int(done.code is not None)
    except BrokenPipeError:
        return _NOBODY_READS
    except Exception as error:  # noqa: BLE001  # as the interpreter does
        if isinstance(error, OSError) and error.errno == errno.ENOSPC and error.filename is None:
            return _unwritten(error)  # an artifact's error would have a file, and be Nightjar's
        traceback.print_exc()
        return 1
    return 0


def _unwritten(error: OSError) -> int:
    with suppress(OSError):
        errors.print(f"nightjar: the output cannot be written: {error.strerror}")
    return 1


def _check_the_directory() -> None:
    try:
        Path.cwd()
    except FileNotFoundError:
        raise InputError(
            "the current directory does not exist any more; change to one that does"
        ) from None


def _interrupted() -> int:
    errors.print(
        "nightjar: interrupted; the same command continues from what is published, and a "
        "training from its last checkpoint"
    )
    return _INTERRUPTED


def _leave(code: int) -> NoReturn:
    """End as a process of multiprocessing does, without what C++ libraries do after Python's end.

    A thread pool of Arrow's that is taken apart while one of its threads ends aborts the process
    now and then, after everything is done (https://github.com/apache/arrow/issues/34314).
    """
    try:
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001
        atexit._run_exitfuncs()  # noqa: SLF001
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        code = code or _NOBODY_READS
    except OSError as error:
        code = code or _unwritten(error)
    finally:
        os._exit(code)


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
