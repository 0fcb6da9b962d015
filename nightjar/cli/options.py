"""The options that several commands share, each declared once.

Options that belong together are a *group*: a frozen dataclass whose fields are options or
arguments. A command takes a group as one keyword parameter, and :func:`grouped` shows Typer its
fields in that place::

    @app.command()
    @grouped
    def similar(a: Word, b: Word, *, asked: Asked, common: CommonOptions) -> None: ...
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from nightjar.config import LoadedConfig, load_config

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]
NightOption = Annotated[
    int | None,
    typer.Option("--night", metavar="ID", help="Ask this night ('nightjar nights' lists them)."),
]
CorpusOption = Annotated[
    str | None, typer.Option("--corpus", help="Choose a corpus; needed if there are several.")
]
EntryOption = Annotated[
    str | None,
    typer.Option("--in", help="Choose an entry of document_vectors; needed if several."),
]
ApproximateOption = Annotated[
    bool,
    typer.Option("--approximate", help="Use the approximate index, which is built on first use."),
]
TopnOption = Annotated[int, typer.Option("--topn", "-n", min=1, help="Show this many answers.")]


@dataclass(frozen=True)
class ConfigFile:
    """The config of a command that takes it as it stands in the file."""

    config: Annotated[Path, typer.Option("--config", "-c", help="Use this configuration file.")] = (
        Path("pipeline_config.yaml")
    )

    def load(self) -> LoadedConfig:
        """Read the config. Raises ConfigError."""
        return load_config(self.config)


@dataclass(frozen=True)
class ConfigOptions(ConfigFile):
    """The config, and what is different for this call."""

    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set", "-s", metavar="KEY=VALUE", help="Override one key: models.glove.eta=0.1."
        ),
    ] = None

    def load(self) -> LoadedConfig:
        """Read the config and apply the overrides. Raises ConfigError."""
        return load_config(self.config, self.overrides or [])


@dataclass(frozen=True)
class CommonOptions(ConfigOptions):
    """What most commands take: the config, and JSON instead of text."""

    as_json: JsonOption = False


@dataclass(frozen=True)
class LedgerOptions(ConfigFile):
    """What the commands of the ledger take: they go by the config as it is."""

    as_json: JsonOption = False


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Give Typer the fields of each group that ``command`` takes, and ``command`` the groups.

    A parameter is a group if its annotation is a dataclass. Raises ValueError when two groups
    have a field of the same name.
    """
    groups: dict[str, type[Any]] = {}
    shown: list[inspect.Parameter] = []
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        group = parameter.annotation
        if isinstance(group, type) and is_dataclass(group):
            groups[parameter.name] = group
            shown += _fields(group)
        else:
            shown.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    @wraps(command)
    def called(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        command(**given)

    called.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    return called


def _fields(group: type[Any]) -> list[inspect.Parameter]:
    types = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=types[field.name],
        )
        for field in fields(group)
    ]
