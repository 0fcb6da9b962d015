"""Options that several commands share, and how they print for a script."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

errors = Console(stderr=True, soft_wrap=True, highlight=False)

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", help="The pipeline's configuration file.")
]
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
        "--model", "-m", help="One model, or glove@challenger, glove@2; default: every champion."
    ),
]
NightOption = Annotated[
    int | None,
    typer.Option("--night", metavar="ID", help="Ask that night ('nightjar nights' lists them)."),
]
CorpusOption = Annotated[
    str | None, typer.Option("--corpus", help="Which corpus; needed if there are several.")
]
ApproximateOption = Annotated[
    bool,
    typer.Option(
        "--approximate", help="From the approximate index, which is built at its first use."
    ),
]
TopnOption = Annotated[int, typer.Option("--topn", "-n", min=1, help="How many answers.")]
DEFAULT_CONFIG = Path("pipeline_config.yaml")


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
