"""Which tests are slow: ``make quick`` leaves them out, and those that start servers or a browser.

    make test ARGS="--junitxml report.xml"
    python tests/slow_support.py report.xml

renews tests/slow_tests.txt: a line for each test function with a case that took longer than half a
second on that machine.
"""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree as ET

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


if __name__ == "__main__":
    LIST.write_text("\n".join(found_slow(Path(sys.argv[1]))) + "\n", encoding="utf-8")
