"""Options that several commands share, and JSON output for scripts."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

errors = Console(stderr=True, soft_wrap=True, highlight=False)

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="Use this configuration file.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", "-s", metavar="KEY=VALUE", help="Override one key: models.glove.eta=0.1."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="Ask one model, as glove, glove@2, glove@challenger; default: all.",
    ),
]
NightOption = Annotated[
    int | None,
    typer.Option("--night", metavar="ID", help="Ask this night ('nightjar nights' lists them)."),
]
CorpusOption = Annotated[
    str | None, typer.Option("--corpus", help="Choose a corpus; needed if there are several.")
]
ApproximateOption = Annotated[
    bool,
    typer.Option("--approximate", help="Use the approximate index, which is built on first use."),
]
TopnOption = Annotated[int, typer.Option("--topn", "-n", min=1, help="Show this many answers.")]
DEFAULT_CONFIG = Path("pipeline_config.yaml")


def print_json(value: Any) -> None:
    """Print one JSON document on standard output."""
    sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
