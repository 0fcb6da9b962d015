"""The command line: ``nightjar COMMAND``.

A user's mistake ends with one message on standard error and exit code 2, trouble with the
store, the registry or a model with exit code 1; neither shows a traceback. With ``--json``,
standard output is one JSON document and nothing else. Only the commands that need Prefect,
MLflow or gensim import them.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console

import nightjar
from nightjar.cli import (
    corpus_commands,
    exchange_commands,
    lookups,
    night_commands,
    project_commands,
    promotion_commands,
    question_commands,
    render,
    retention_commands,
)
from nightjar.cli.display import fetch_progress
from nightjar.cli.environment import (
    has_prefect_server,
    keep_logs_off_the_terminal,
    prepare_environment,
)
from nightjar.cli.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    CorpusOption,
    JsonOption,
    NightOption,
    SetOption,
    errors,
    print_json,
)
from nightjar.config import LoadedConfig, load_config
from nightjar.core import Night, Nights
from nightjar.errors import InputError, LeaseTaken, NightjarError, OrchestratorUnavailable
from nightjar.pipeline import (
    DirectRunner,
    NightRequest,
    Plan,
    claim_pipeline,
    forecast,
    has_changed,
    lease_path,
    make_plan,
    read_outcomes,
    run_night,
    was_killed,
)
from nightjar.pipeline.provenance import n_workers, read_provenance
from nightjar.stages.train.resources import read_resources
from nightjar.store import acquire_lease, named_write_errors

if TYPE_CHECKING:
    from nightjar.cli.embedded_server import EmbeddedServer

app = typer.Typer(
    name="nightjar",
    help="Nightly embeddings you can trust: train, evaluate and register word vectors.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
_INTERRUPTED = 130


def main() -> None:
    """Entry point: run a command and turn Nightjar's errors into exit codes."""
    try:
        app()
    except NightjarError as error:
        errors.print(f"nightjar: {error}", markup=False)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _end_interrupted()
    except SystemExit as done:
        if done.code == _INTERRUPTED:  # Typer's exit code for Ctrl-C
            _end_interrupted()
        raise
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)


def _end_interrupted() -> NoReturn:
    errors.print(
        "nightjar: interrupted; the same command continues from what is published, and a "
        "training from its last checkpoint"
    )
    sys.exit(_INTERRUPTED)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"nightjar {nightjar.__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Log what the stages do.")
    ] = False,
) -> None:
    """Options of every command."""
    del version
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    handler.setLevel(logging.INFO if verbose else logging.WARNING)
    for name in ("nightjar",):
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)


@app.command()
def run(
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    promote: Annotated[
        bool,
        typer.Option(
            "--promote", help="Let a run with --set promote and accept; default: it is a trial."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Run what is due tonight, judge every model, and promote those that pass.

    A run with --set is a trial: its models are judged and recorded and can be queried by
    version, but nothing is promoted or accepted without --promote.
    """
    loaded = load_config(config, set_ or [])
    console = errors if as_json else Console()
    server = _Server(loaded)
    if has_changed(loaded):  # something is due: start the server while planning
        server.start()
    with fetch_progress(console) as progress:
        plan = make_plan(loaded, progress)
    try:
        with acquire_lease(lease_path(loaded), "nightjar run, starting"):
            claim_pipeline(loaded)
        message = _run_night(console, loaded, plan, promote, server)
    except LeaseTaken as taken:
        message = str(taken)
    if message is not None:
        _skip(console, message, as_json)
        return
    _report(console, loaded, next(Nights(loaded.pipeline_dir).newest_first()), as_json)


def _run_night(
    console: Console, loaded: LoadedConfig, plan: Plan, promotes: bool, server: _Server
) -> str | None:
    """Run a night, with Prefect only if needed; return the reason if it was skipped.

    Prefect is needed for due steps, or when it still counts a killed run as running.
    """
    if plan.due or was_killed(loaded):
        render.print_due(console, plan)
        return _run_flow(console, loaded, promotes, server)
    provenance = read_provenance(loaded)
    request = NightRequest("nightjar run", promotes, is_offline=True)
    run_night(loaded, DirectRunner(loaded, provenance), provenance, request)
    return None


def _run_flow(
    console: Console, loaded: LoadedConfig, promotes: bool, server: _Server
) -> str | None:
    """Run the nightly flow in this process; return the reason if skipped, None if it ran."""
    keep_logs_off_the_terminal()
    server.start()
    if server.is_ours:
        console.print("Starting the embedded Prefect server.", style="dim")
    with _interrupts_held_back():
        # Prefect reads its settings on import, which takes as long as the server's start.
        from nightjar.cli.embedded_flow import run_nightly  # noqa: PLC0415

    server.wait()
    return run_nightly(console, loaded, promotes)


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Delay Ctrl-C until after the block: an import may swallow it or fail with any error."""
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt


class _Server:
    """The embedded Prefect server of a run, unless the user has a server."""

    def __init__(self, loaded: LoadedConfig) -> None:
        self._loaded = loaded
        self._server: EmbeddedServer | None = None
        self._log_path = loaded.artifacts_dir / "prefect" / "server.log"

    @property
    def is_ours(self) -> bool:
        """Whether the run starts its own server."""
        return self._server is not None

    def start(self) -> None:
        """Start it in the background, once. Raises StoreNotWritable."""
        prepare_environment(self._loaded.artifacts_dir)
        if self._server is not None or has_prefect_server():
            return
        with named_write_errors(self._loaded.artifacts_dir):
            self._log_path.parent.mkdir(parents=True, exist_ok=True)
        from nightjar.cli.embedded_server import EmbeddedServer  # noqa: PLC0415 (imports httpx)

        self._server = EmbeddedServer(self._log_path, os.environ)
        # Registered before Prefect is imported, so that it stops after Prefect's last logs.
        atexit.register(self._server.stop)
        os.environ["PREFECT_API_URL"] = self._server.url

    def wait(self) -> None:
        """Wait until the server answers. Raises OrchestratorUnavailable."""
        if self._server is None:
            return
        from nightjar.cli.embedded_server import ServerDidNotStartError  # noqa: PLC0415

        try:
            self._server.wait()
        except ServerDidNotStartError as error:
            raise OrchestratorUnavailable(
                f"the embedded Prefect server did not start: {error}\nCheck for a full disk or a "
                f"database from a newer Prefect in {self._log_path.parent}, then run the same "
                f"command again"
            ) from error


def _skip(console: Console, reason: str, as_json: bool) -> None:
    console.print(f"Skipped: {reason}", markup=False, soft_wrap=True)
    if as_json:
        print_json({"status": "skipped", "reason": reason, "models": []})


def _report(console: Console, loaded: LoadedConfig, night: Night, as_json: bool) -> None:
    outcomes = read_outcomes(loaded, night)
    if as_json:
        print_json(
            {
                "status": night.status.value.replace(" ", "-"),
                "night": night.number,
                "is_trial": night.is_trial,
                "alarms": list(night.alarms),
                "models": render.outcomes_as_json(outcomes),
            }
        )
        return
    render.print_night(console, night)
    render.print_outcomes(console, outcomes)
    render.print_next_steps(console, loaded, outcomes)


@app.command(name="plan")
def plan_command(
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what would run, why, and the memory and time it needs. Publishes nothing.

    New files of remote sources are fetched, because the plan depends on their content.
    """
    loaded = load_config(config, set_ or [])
    with fetch_progress(errors) as progress:
        plan = make_plan(loaded, progress)
    resources = read_resources(loaded.artifacts_dir)
    forecasts = forecast(loaded, plan, n_workers(loaded), resources)
    if as_json:
        trainings = render.forecasts_as_json(forecasts)
        print_json({"steps": render.plan_as_json(plan), "trainings": trainings})
    else:
        render.print_plan(Console(), plan)
        render.print_forecasts(Console(), forecasts, resources)
    for number, found in enumerate(entry for entry in forecasts if entry.refusal):
        errors.print(f"{'' if number else 'nightjar: '}{found.refusal}", markup=False)
    if any(entry.refusal for entry in forecasts):
        raise typer.Exit(InputError.exit_code)


@app.command()
def versions(
    stage: Annotated[str | None, typer.Argument(help="A stage; default: all.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """List published artifacts and registered model versions."""
    loaded = load_config(config, set_ or [])
    listing = lookups.list_versions(loaded, stage)
    if as_json:
        print_json(listing.as_json())
    else:
        render.print_versions(Console(), listing)


@app.command()
def show(
    what: Annotated[
        str,
        typer.Argument(
            help="A model (glove, glove@3), a stage (tokens), an entry of document_vectors, or an "
            "artifact's version (tokens/1a2b)."
        ),
    ],
    corpus: CorpusOption = None,
    name: Annotated[
        str | None,
        typer.Option("--in", help="Choose an entry of document_vectors; needed if several."),
    ] = None,
    night: NightOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a model (champion, events, scores, lineage) or an artifact's manifest.

    For a stage, show the artifact that readers use: the last accepted night's or the champion's.
    """
    loaded = load_config(config, set_ or [])
    shown = lookups.describe(loaded, lookups.Wanted(what, corpus, name, night))
    if as_json:
        print_json(shown)
    else:
        render.print_description(Console(), shown)


@app.command()
def verify(
    what: Annotated[
        str | None, typer.Argument(help="An artifact; default: all, and registered versions.")
    ] = None,
    set_aside: Annotated[
        bool,
        typer.Option("--set-aside", help="Move damaged artifacts away; a run rebuilds them."),
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check every byte of the artifacts and of the registered versions' files."""
    loaded = load_config(config, set_ or [])
    report = lookups.verify(loaded, what, set_aside)
    if as_json:
        print_json(report.as_json())
    else:
        render.print_verification(Console(), report)
    if report.problems:
        raise typer.Exit(1)


app.add_typer(project_commands.app)
app.add_typer(question_commands.app)
app.add_typer(corpus_commands.app)
app.add_typer(night_commands.app)
app.add_typer(promotion_commands.app)
app.add_typer(retention_commands.app)
app.add_typer(exchange_commands.app)


@app.command()
def serve(
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    host: Annotated[str, typer.Option(help="Let the Prefect server listen here.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Its port.")] = 4200,
    work_pool: Annotated[str, typer.Option(help="Use this process work pool.")] = "nightjar",
    promote: Annotated[
        bool, typer.Option("--promote", help="Let nights with --set promote and accept.")
    ] = False,
) -> None:
    """Run the pipeline nightly on this machine: server, worker and deployment, until Ctrl-C."""
    loaded = load_config(config, set_ or [])
    prepare_environment(loaded.artifacts_dir)
    from nightjar.cli.service import serve_nightly  # noqa: PLC0415 (starts processes)

    serve_nightly(Console(), loaded, host, port, work_pool, promote)


@app.command()
def explore(
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    host: Annotated[str, typer.Option(help="Serve the page on this address.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Use this port; 0: any free one.")
    ] = 8050,
    is_opened: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in the browser.")
    ] = True,
) -> None:
    """Explore the models on a local web page: neighbours, map, moved words, scores, cards."""
    loaded = load_config(config, set_ or [])
    try:
        from nightjar.explorer.server import serve as serve_page  # noqa: PLC0415 (imports Dash)
    except ModuleNotFoundError as error:
        raise InputError(
            f"the explorer needs {error.name}: pip install 'nightjar[explore]'"
        ) from error
    serve_page(loaded, host, port, is_opened, Console(soft_wrap=True, highlight=False).print)


if __name__ == "__main__":
    main()
