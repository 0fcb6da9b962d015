"""Graphs: how fast walks are drawn beside other packages, and what Cora's nodes and links score.

    python -m benchmarks.graphs --json FILE [--data DIR] [--edges 10000000] [--peers DIR]

Each part is a module ``benchmarks.graphs_PART`` with a function ``measure``. Packages to compare
with are in an environment of their own: ``--peers`` names it (``DIR/bin/python``), or its
interpreter.
"""

from __future__ import annotations

import argparse
import importlib
import json
from pathlib import Path
from typing import Any

PARTS = ("speed", "cora")


def main() -> None:
    """Run the parts and write their figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True, help="where figures go")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--edges", type=int, default=10_000_000, help="of the generated graph")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each engine")
    parser.add_argument("--workers", type=int, default=2, help="threads of each engine")
    parser.add_argument(
        "--peers", type=Path, help="an environment, or its interpreter, with fastnode2vec, node2vec"
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    arguments = parser.parse_args()
    figures: dict[str, Any] = {}
    for part in arguments.parts:
        figures |= importlib.import_module(f"benchmarks.graphs_{part}").measure(arguments)
        arguments.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
