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
            if isinstance(done.code, str):
                print(done.code, file=sys.stderr)
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
{imports}

def act(arguments, environment, directory, given, out, err):
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.dup2(os.open(given, os.O_RDONLY), 0)
    if os.isatty(1):  # Python remembers what the streams were
        sys.stdout, sys.stderr = (open(n, "w", buffering=1, closefd=False) for n in (1, 2))
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(directory)
    sys.path.remove("tests")
    sys.argv = ["nightjar", *arguments]
    main()
"""
_NIGHTJAR = "from nightjar.cli.main import main"
_PYTHON = """
import importlib, runpy
for name in {imports!r}:
    importlib.import_module(name)

def main():
    # python PATH ... or python -m MODULE ...
    sys.argv = sys.argv[1:]
    sys.path[0] = str(os.path.dirname(os.path.abspath(sys.argv[0])))
    if sys.argv[0] == "-m":
        sys.path[0] = os.getcwd()
        sys.argv = sys.argv[1:]
        return runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    return runpy.run_path(sys.argv[0], run_name="__main__")
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
    """Runs commands, each in a separate process that need not import what they need.

    They are ``nightjar`` commands; with ``imports``, scripts and modules, as ``python`` runs them.
    """

    def __init__(self, imports: Sequence[str] = ()) -> None:
        self._stack = ExitStack()
        self._victims: Victims | None = None
        self._code = _COMMANDS.format(
            imports=_PYTHON.format(imports=tuple(imports)) if imports else _NIGHTJAR
        )

    def run(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        given: bytes = b"",
        directory: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """As ``subprocess.run`` with captured output, and with ``given`` as standard input."""
        victims = self._ready()
        with tempfile.TemporaryDirectory() as made:
            read, out, err = (Path(made, name) for name in ("in", "out", "err"))
            read.write_bytes(given)
            files = map(str, (directory or Path.cwd(), read, out, err))
            code = victims.run(arguments, dict(environment), *files)
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
        files = (str(directory), os.devnull, terminal, terminal)
        return self._ready().run(arguments, dict(environment), *files)

    def _ready(self) -> Victims:
        if self._victims is None or self._victims.server.poll() is not None:
            self._victims = self._stack.enter_context(victims_of(self._code))
        return self._victims

    def close(self) -> None:
        """End the process that commands are forked from."""
        self._stack.close()


COMMANDS = Commands()
FORKED = Forked()
atexit.register(COMMANDS.close)
atexit.register(FORKED.close)
