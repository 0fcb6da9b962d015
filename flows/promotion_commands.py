"""Orders about models."""

import typer

app = typer.Typer()
