"""Groups of options: what Typer sees of them, and what a command gets."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from nightjar.cli.main import app
from nightjar.cli.options import CommonOptions, ConfigOptions, JsonOption, LedgerOptions, grouped


@dataclass(frozen=True)
class Place:
    """A group with an argument and an option."""

    name: Annotated[str, typer.Argument(help="A name.")]
    floor: Annotated[int, typer.Option("--floor", "-f", help="A floor.")] = 2


def test_a_command_gets_its_groups_as_objects() -> None:
    got: list[object] = []
    small = typer.Typer()

    @small.command()
    @grouped
    def visit(
        greeting: Annotated[str, typer.Option(help="Say this.")] = "hello",
        *,
        place: Place,
        common: CommonOptions,
    ) -> None:
        """Visit a place."""
        got.extend((greeting, place, common))

    done = CliRunner().invoke(
        small, ["tower", "-f", "7", "-c", "other.yaml", "-s", "a.b=1", "--set", "c=2", "--json"]
    )
    assert done.exit_code == 0, done.output
    assert got == [
        "hello",
        Place("tower", 7),
        CommonOptions(Path("other.yaml"), ["a.b=1", "c=2"], True),
    ]
    got.clear()
    assert CliRunner().invoke(small, ["tower", "--greeting", "hi"]).exit_code == 0
    assert got == ["hi", Place("tower"), CommonOptions()]
    assert CliRunner().invoke(small, []).exit_code == 2  # an argument without a default is needed


def test_the_help_lists_the_options_in_the_order_of_the_parameters() -> None:
    @grouped
    def visit(*, place: Place, loud: JsonOption = False, config: ConfigOptions) -> None:
        """Visit a place."""

    assert list(inspect.signature(visit).parameters) == [
        *("name", "floor", "loud", "config", "overrides")
    ]
    assert visit.__doc__ == "Visit a place."


def test_two_groups_with_one_option_are_refused() -> None:
    def visit(*, common: CommonOptions, ledger: LedgerOptions) -> None: ...

    with pytest.raises(ValueError, match="duplicate parameter name: 'config'"):
        grouped(visit)


def commands(group: Any = None, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every command with its name, those of groups, too."""
    for name, command in (group or typer.main.get_command(app)).commands.items():
        yield f"{path}{name}", command
        if hasattr(command, "commands"):
            yield from commands(command, f"{path}{name} ")


def test_a_shared_option_means_the_same_in_every_command() -> None:
    shared = {"--config", "--set", "--json", "--night", "--in", "--approximate"}
    meanings = defaultdict(set)
    for _, command in commands():
        for parameter in command.params:
            for flag in shared & set(parameter.opts):
                meanings[flag].add((parameter.help, parameter.default, tuple(parameter.opts)))
    assert {flag: len(found) for flag, found in meanings.items()} == dict.fromkeys(shared, 1)


def test_every_command_but_init_takes_a_config() -> None:
    without = {
        name for name, command in commands() if not any("-c" in p.opts for p in command.params)
    }
    assert without == {"init"}
