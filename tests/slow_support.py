"""Which tests are slow: ``make quick`` leaves them out, and those that start servers or a browser.

    make test ARGS="--junitxml report.xml"
    python tests/slow_support.py report.xml

renews tests/slow_tests.txt: a line for each test function with a case that took longer than half a
second on that machine.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    import pytest

LIST = Path(__file__).with_name("slow_tests.txt")
SLOW_SECONDS = 0.5


def slow_tests() -> frozenset[str]:
    """As ``module::function``."""
    return frozenset(LIST.read_text(encoding="utf-8").split())


def found_slow(report: Path) -> list[str]:
    """The slow tests of a run, from pytest's JUnit report."""
    found = set()
    for case in ET.parse(report).iter("testcase"):
        if float(case.get("time", 0)) > SLOW_SECONDS:
            module = case.get("classname", "").removeprefix("tests.")
            found.add(f"{module}::{case.get('name', '').partition('[')[0]}")
    return sorted(found)


LONGEST = (
    "test_dask",
    "test_service",
    "test_installed_package",
    "test_nightly",
    "test_nights_without_mlflow",
    "test_registry_server",
    "test_purge",
    "test_benchmarks",
)
"""Files whose tests take minutes, with servers and processes of their own."""


def longest_first(items: Sequence[pytest.Item], n_workers: int) -> list[pytest.Item]:
    """The tests in an order in which no worker is left alone with a long one at the end.

    pytest-xdist gives each worker an equal stretch of the tests, and lets it steal from the ends of
    the others' once it is done. So each stretch begins with some of the longest files, none of
    which lies in two stretches: its servers and nights would be made twice.
    """
    files = [[item for item in items if item.path.stem == name] for name in LONGEST]
    others = [item for item in items if item.path.stem not in LONGEST]
    found: list[pytest.Item] = []
    for worker in range(n_workers):
        end = len(found) + (len(items) - len(found)) // (n_workers - worker)
        found += [item for file in files[worker::n_workers] for item in file]
        n_more = max(0, end - len(found))
        found += others[:n_more]
        others = others[n_more:]
    return found


if __name__ == "__main__":
    LIST.write_text("\n".join(found_slow(Path(sys.argv[1]))) + "\n", encoding="utf-8")
