"""Processes that are forked from one that has imported everything once.

For processes that are killed half way, and for commands, whose imports would take most of the time.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

_SERVER = """
import atexit, json, os, sys, threading, traceback
sys.path.insert(0, "tests")
{code}
print("ready", flush=True)
for line in sys.stdin:
    is_forked, *arguments = json.loads(line)
    if not is_forked:
        act(*arguments)
        print(0, flush=True)
        continue
    child = os.fork()
    if not child:
        code = 0
        try:
            act(*arguments)
        except SystemExit as done:
            code = done.code if isinstance(done.code, int) else int(done.code is not None)
        except BaseException:
            traceback.print_exc()
            code = 1
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # not as Python ends: libraries would join threads that a fork has not
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@dataclass(frozen=True)
class Victims:
    """Calls ``act`` of some code in separate processes."""

    server: subprocess.Popen[str]

    def run(self, *arguments: object, is_forked: bool = True) -> int:
        """The exit code of ``act(*arguments)``; negative for the number of a signal.

        Unless ``is_forked``, the process itself acts, and the next victims begin with what it has
        loaded.
        """
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.write(json.dumps([is_forked, *arguments]) + "\n")
        self.server.stdin.flush()
        return int(self.server.stdout.readline())


_COMMANDS = """
from nightjar.cli.main import main

def act(arguments, environment, directory, out, err):
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if os.isatty(1):  # Python remembers what the streams were
        sys.stdout, sys.stderr = (open(n, "w", buffering=1, closefd=False) for n in (1, 2))
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(directory)
    sys.path.remove("tests")
    sys.argv = ["nightjar", *arguments]
    main()
"""


@contextmanager
def victims_of(code: str) -> Iterator[Victims]:
    """Run ``code``, which defines ``act``, once for any number of victims."""
    with subprocess.Popen(
        [sys.executable, "-c", _SERVER.format(code=code)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
        env={**os.environ, "COLUMNS": "200"},  # for consoles that are created on import
    ) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        yield Victims(server)
        assert server.stdin is not None
        server.stdin.close()


_NIGHTS = """
import importlib
import victims_support  # imports what a night needs

def act(function, *arguments):
    module, _, name = function.partition(":")
    getattr(importlib.import_module(module), name)(*arguments)
"""


class Forked:
    """Calls functions, each in a separate process that need not import what a night needs."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._victims: Victims | None = None

    def run(self, function: str, *arguments: object, is_forked: bool = True) -> int:
        """The exit code of ``function``, as ``module:name``; see :meth:`Victims.run`."""
        if self._victims is None or self._victims.server.poll() is not None:
            self._victims = self._stack.enter_context(victims_of(_NIGHTS))
        return self._victims.run(function, *arguments, is_forked=is_forked)

    def close(self) -> None:
        """End the process that they are forked from."""
        self._stack.close()


class Commands:
    """Runs ``nightjar`` commands, each in a separate process that need not import it."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._victims: Victims | None = None

    def run(
        self, arguments: Sequence[str], environment: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """As ``subprocess.run`` with captured output."""
        victims = self._ready()
        with tempfile.TemporaryDirectory() as directory:
            out, err = (Path(directory, name) for name in ("out", "err"))
            code = victims.run(arguments, dict(environment), str(Path.cwd()), str(out), str(err))
            return subprocess.CompletedProcess(
                arguments, code, out.read_text("utf-8"), err.read_text("utf-8")
            )

    def run_on(
        self,
        terminal: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        directory: Path,
    ) -> int:
        """Run a command whose output goes to a terminal; its exit code."""
        return self._ready().run(arguments, dict(environment), str(directory), terminal, terminal)

    def _ready(self) -> Victims:
        if self._victims is None or self._victims.server.poll() is not None:
            self._victims = self._stack.enter_context(victims_of(_COMMANDS))
        return self._victims

    def close(self) -> None:
        """End the process that commands are forked from."""
        self._stack.close()


COMMANDS = Commands()
FORKED = Forked()
atexit.register(COMMANDS.close)
atexit.register(FORKED.close)
