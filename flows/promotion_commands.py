"""stand-in until the branch promotion brings it"""

import typer

app = typer.Typer()
