"""The picture of the packages in docs/architecture.md, drawn from the imports.

    python tests/architecture_picture.py            draw it anew
    python tests/architecture_picture.py --check    fail when it is not what the imports say

Arrows that follow from others are left out: where A uses B and B uses C, A may use C, too.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import grimp

PAGE = Path(__file__).resolve().parents[1] / "docs" / "architecture.md"
BEGIN, END = "<!-- the picture begins -->\n", "<!-- the picture ends -->\n"
Uses = Mapping[str, frozenset[str]]


def package_imports() -> dict[str, frozenset[str]]:
    """The packages and modules directly in ``nightjar``, and which of them each one imports."""
    graph = grimp.build_graph("nightjar", include_external_packages=False)
    names = sorted(graph.find_children("nightjar"))
    for name in names:
        graph.squash_module(name)
    return {
        _short(name): frozenset(
            _short(used)
            for used in graph.find_modules_directly_imported_by(name)
            if used in names and used != name
        )
        for name in names
    }


def _short(name: str) -> str:
    return name.removeprefix("nightjar.")


def reduced(uses: Uses) -> dict[str, frozenset[str]]:
    """The imports without those that follow from others. Raises ValueError for a circle."""
    reached: dict[str, frozenset[str]] = {}

    def reach(name: str, above: tuple[str, ...]) -> frozenset[str]:
        if name in above:
            raise ValueError(f"a circle: {' -> '.join((*above, name))}")
        if name not in reached:
            below = [reach(used, (*above, name)) for used in uses[name]]
            reached[name] = uses[name].union(*below)
        return reached[name]

    return {
        name: frozenset(
            used
            for used in found
            if not any(used in reach(other, ()) for other in found if other != used)
        )
        for name, found in uses.items()
    }


def picture(uses: Uses) -> str:
    """A flow chart in Mermaid, which GitHub and most editors draw."""
    arrows = [
        f"    {name} --> {used}"
        for name, found in sorted(reduced(uses).items())
        for used in sorted(found)
    ]
    return "\n".join(["```mermaid", "flowchart TD", *arrows, "```", ""])


def drawn(page: str, found: str) -> str:
    """``page`` with the picture ``found``."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{found}{END}{after}"


def main() -> int:
    """Draw, or check; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--check", action="store_true", help="change nothing")
    arguments = parser.parse_args()
    page = PAGE.read_text(encoding="utf-8")
    new = drawn(page, picture(package_imports()))
    if not arguments.check:
        PAGE.write_text(new, encoding="utf-8")
    elif new != page:
        sys.stderr.write(
            f"{PAGE.name}: the picture is not what the imports say; run "
            f"'python tests/architecture_picture.py'\n"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
