"""Every wait in the code has a limit, or a comment that says why it has none.

The comment is ``# waits: REASON``, on the wait or on the line above. Plain ``with lock:`` is not
looked at: a lock of this process is held for a moment. Nor are leases: ``waited_lease`` says itself
who is waited for.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
from conftest import PROJECT_ROOT
from test_architecture import modules

_REASON = re.compile(r"# waits: \S.{9,}")

BARE = {
    *("wait", "join", "get", "result", "exception", "acquire", "join_thread"),
    "accept",
}
"""Methods that wait for ever without an argument."""
ALWAYS = {
    *("recv", "recv_bytes", "recv_into", "recvfrom", "serve_forever", "input", "communicate"),
    *("os.wait", "os.waitpid", "signal.pause", "signal.sigwait", "webbrowser.open"),
}
"""What waits for ever, whatever its arguments are."""
NEEDS_TIMEOUT = {
    *(f"subprocess.{name}" for name in ("run", "call", "check_call", "check_output")),
    *(
        f"{package}.{name}"
        for package in ("requests", "httpx")
        for name in ("get", "post", "put", "patch", "delete", "head", "options", "request")
    ),
    *("httpx.stream", "httpx.Client", "httpx.AsyncClient", "urllib.request.urlopen"),
    *("socket.create_connection", "distributed.Client", "concurrent.futures.as_completed"),
}
"""What takes the limit as ``timeout=``."""
SECOND = {"concurrent.futures.wait", "multiprocessing.connection.wait"}
"""Functions whose second argument is the limit."""
POOLS = {"ThreadPoolExecutor", "ProcessPoolExecutor"}
POOL_NAMES = re.compile(r"(^|_)(threads|pool|processes)$")


def called(node: ast.expr, imported: dict[str, str]) -> str:
    """The dotted name of what is called, by its full name if it is imported; else its last part."""
    if isinstance(node, ast.Name):
        return imported.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f"{called(node.value, imported)}.{node.attr}"
    return ""


def imports(tree: ast.Module) -> dict[str, str]:
    """The full name of each imported name."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update({a.asname: a.name for a in node.names if a.asname})
        elif isinstance(node, ast.ImportFrom):
            found.update({a.asname or a.name: f"{node.module}.{a.name}" for a in node.names})
    return found


def is_endless(call: ast.Call, imported: dict[str, str]) -> bool:
    """Whether a call may wait for ever."""
    name = called(call.func, imported)
    method = call.func.attr if isinstance(call.func, ast.Attribute) else name
    named = {keyword.arg for keyword in call.keywords}
    if "timeout" in named or None in named:  # **options are somebody else's
        return False
    if name in NEEDS_TIMEOUT or name in ALWAYS or method in ALWAYS:
        return True
    if name in SECOND:
        return len(call.args) < 2
    if name in {"fcntl.flock", "fcntl.lockf"}:
        return not {"LOCK_NB", "LOCK_UN"} & {
            node.attr for node in ast.walk(call) if isinstance(node, ast.Attribute)
        }
    if name == "select.select":
        return len(call.args) < 4
    if not isinstance(call.func, ast.Attribute):
        return False
    if method == "shutdown":
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        return not call.args and given.get("wait") != "False"
    if method == "map":
        return POOL_NAMES.search(called(call.func.value, imported)) is not None
    is_own = isinstance(call.func.value, ast.Name) and call.func.value.id == "self"
    return method in BARE and not call.args and not is_own and "raise_on_failure" not in named


def is_endless_loop(loop: ast.While) -> bool:
    """Whether a loop sleeps, or waits a little each time, and looks at no clock."""
    names = [
        node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
        for node in own_nodes(loop)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name)
    ]
    return "sleep" in names and "monotonic" not in names


def waits_in_its_test(loop: ast.While) -> bool:
    """Whether a loop is of the form ``while not event.wait(1.0)``, without a clock."""
    waits = any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "wait"
        for node in ast.walk(loop.test)
    )
    clock = any(
        isinstance(node, ast.Attribute) and node.attr == "monotonic" for node in ast.walk(loop)
    )
    return waits and not clock


def own_nodes(loop: ast.While) -> Iterator[ast.AST]:
    """What a loop does itself, without the loops over known things within it."""
    waiting: list[ast.AST] = [loop]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += [n for n in ast.iter_child_nodes(node) if not isinstance(n, ast.For)]


def endless(source: str) -> list[int]:
    """Lines of ``source`` with a wait that has neither a limit nor a reason."""
    tree = ast.parse(source)
    imported, lines = imports(tree), source.splitlines()
    found: set[tuple[int, int]] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and is_endless(node, imported):
            found.add((node.lineno, node.end_lineno or node.lineno))
        elif isinstance(node, ast.With):
            for item in node.items:
                call = item.context_expr
                if isinstance(call, ast.Call) and called(call.func, {}).split(".")[-1] in POOLS:
                    found.add((call.lineno, call.lineno))
        elif isinstance(node, ast.While) and (is_endless_loop(node) or waits_in_its_test(node)):
            found.add((node.lineno, node.lineno))
    return sorted(
        first
        for first, last in found
        if not any(_REASON.search(line) for line in lines[max(0, first - 2) : last])
    )


def test_every_wait_has_a_limit_or_a_reason() -> None:
    without = [
        f"{path}:{line}: give it a limit, or say '# waits: REASON'"
        for path in modules()
        for line in endless((PROJECT_ROOT / path).read_text(encoding="utf-8"))
    ]
    assert without == []


@pytest.mark.parametrize(
    "code",
    [
        "process.wait()",
        "thread.join()",
        "results.get()",
        "future.result()",
        "lock.acquire()",
        "process.communicate()",
        "output = process.communicate(b'x')[0]",
        "connection, _ = listening.accept()",
        "connection.recv(10)",
        "import subprocess\nsubprocess.run(['git'])",
        "from subprocess import run\nrun(['git'], check=True)",
        "import httpx\nhttpx.get('http://x')",
        "import httpx as h\nh.Client()",
        "import requests\nrequests.post(url, json={})",
        "from urllib.request import urlopen\nurlopen(url)",
        "from concurrent.futures import wait\nwait(futures)",
        "from concurrent.futures import as_completed\nfor f in as_completed(fs): pass",
        "from multiprocessing.connection import wait as wait_for\nwait_for([sentinel])",
        "import fcntl\nfcntl.flock(file, fcntl.LOCK_EX)",
        "with ThreadPoolExecutor(4) as threads:\n    pass",
        "list(threads.map(work, pieces))",
        "self._threads.shutdown()",
        "input('Go on?')",
        "while True:\n    time.sleep(1)",
        "while not path.exists():\n    time.sleep(1)",
        "while not stopped.wait(1.0):\n    look()",
        "# waits: no\nprocess.wait()",
        "# waits: this reason is too far away\n\nprocess.wait()",
    ],
)
def test_a_wait_without_a_limit_is_found(code: str) -> None:
    assert len(endless(code)) == 1


@pytest.mark.parametrize(
    "code",
    [
        "process.wait(10)",
        "event.wait(timeout=1)",
        "', '.join(words)",
        "os.path.join(a, b)",
        "{}.get('a')",
        "headers.get('a', None)",
        "results.get(timeout=1)",
        "results.get_nowait()",
        "state.result(raise_on_failure=False)",
        "logger.exception('it failed')",
        "import subprocess\nsubprocess.run(['git'], timeout=10)",
        "import httpx\nhttpx.get(url, timeout=5)",
        "self.promoter.accept(night)",
        "self.accept()",
        "executor.map(work, pieces, advance)",
        "import fcntl\nfcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        "import fcntl\nfcntl.flock(file, fcntl.LOCK_UN)",
        "from concurrent.futures import wait\nwait(futures, 0.2)",
        "map(str, numbers)",
        "pool.shutdown(wait=False)",
        "for second in (1, 3, 9):\n    time.sleep(second)",
        "while time.monotonic() < deadline:\n    time.sleep(1)",
        "# waits: as long as its child lives, on purpose\nprocess.wait()",
        "process.wait()  # waits: as long as its child lives",
        "with lock:\n    pass",
    ],
)
def test_a_wait_with_a_limit_or_a_reason_is_not(code: str) -> None:
    assert endless(code) == []
