"""Telling of a night once it is over. Nothing here ever makes a night fail."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime

from nightjar.config import LoadedConfig
from nightjar.core import Night, NightRecorder, Nights
from nightjar.errors import LeaseTaken, NightjarError
from nightjar.files import urls
from nightjar.pipeline.alerts.bodies import Message, nightjar_body, slack_body
from nightjar.pipeline.alerts.happenings import FAILED, Happening, died_before, happenings_of
from nightjar.pipeline.alerts.outbox import Outbox
from nightjar.wording import counted

logger = logging.getLogger(__name__)

_HURRIED_SECONDS = 5.0
"""For the only try of a process that was told to end: who told it waits only for some seconds."""


@dataclass
class Watch:
    """A night, or the attempt to run one, that is told of when its block ends."""

    loaded: LoadedConfig
    is_trial: bool
    recorder: NightRecorder | None = None
    """Set as soon as the night has begun."""

    @property
    def night(self) -> Night | None:
        """The night as its record stands; None before it has begun."""
        return None if self.recorder is None else self.recorder.night


_watch: ContextVar[Watch | None] = ContextVar("watch", default=None)


@contextmanager
def telling(loaded: LoadedConfig, is_trial: bool) -> Iterator[Watch]:
    """Tell of the night in the block when the block ends, however it ends.

    A command that plans before the night starts opens a block around both, so that a failure of
    planning is told, too; within an open block another one does nothing, so nothing is told twice.
    A run that finds another under way has nothing to tell, and Ctrl-C has a person in front of it.
    """
    outer = _watch.get(None)
    if outer is not None:
        yield outer
        return
    watch = Watch(loaded, is_trial)
    token = _watch.set(watch)
    try:
        yield watch
    except (LeaseTaken, KeyboardInterrupt):
        raise
    except BaseException as error:
        _tell(watch, error)
        raise
    else:
        _tell(watch, None)
    finally:
        _watch.reset(token)


def post(
    loaded: LoadedConfig,
    happenings: Sequence[Happening],
    night: Night | None = None,
    *,
    is_hurried: bool = False,
) -> str:
    """Send what happened, together with what was not delivered before.

    Returns why it was not delivered, "" if it was or there is nothing to tell. Raises StoreError
    when what is to be told cannot be kept.
    """
    settings = loaded.config.alerts.webhook
    outbox = Outbox(loaded.pipeline_dir)
    if settings is None:
        return ""
    if happenings:
        outbox.put(happenings)
    entries = outbox.entries()
    if not entries:
        return ""
    from nightjar.pipeline.alerts import webhook  # noqa: PLC0415 (httpx is slow)

    told = [each for entry in entries for each in entry.told]
    message = Message(secrets.token_hex(12), loaded.config.pipeline.name, night, told)
    body = slack_body(message) if settings.body == "slack" else nightjar_body(message)
    if is_hurried:
        seconds = min(settings.timeout_seconds, _HURRIED_SECONDS)
        settings = settings.model_copy(update={"tries": 1, "timeout_seconds": seconds})
    try:
        webhook.deliver(settings, body, message.id)
    except webhook.NotDelivered as error:
        outbox.failed(entries, str(error))
        logger.warning(
            "alerts.webhook: %s not delivered: %s. The next message has %s, too",
            *(counted(len(told), "event"), error, "it" if len(told) == 1 else "them"),
        )
        return str(error)
    outbox.delivered(entries)
    return ""


def _tell(watch: Watch, error: BaseException | None) -> None:
    """Send the message of a night that is over, and write its metrics."""
    loaded, alerts = watch.loaded, watch.loaded.config.alerts
    if alerts.webhook is not None and (alerts.trials or not watch.is_trial):
        is_asked_to_end = error is not None and not isinstance(error, Exception)
        with _never_failing("what happened is not told"):
            post(loaded, _to_tell(watch, error), watch.night, is_hurried=is_asked_to_end)
    if alerts.metrics is not None and not watch.is_trial:
        from nightjar.pipeline.alerts.metrics_file import write_metrics  # noqa: PLC0415 (slow)

        with _never_failing("alerts.metrics"):
            write_metrics(loaded)


@contextmanager
def _never_failing(what: str) -> Iterator[None]:
    """Log what goes wrong in the block: the night is over, and recorded."""
    try:
        yield
    except NightjarError as problem:
        logger.warning("%s: %s", what, problem)
    except Exception as problem:  # noqa: BLE001
        # Without its message, which is a library's and may quote anything.
        logger.warning("%s: %s", what, type(problem).__name__)


def _to_tell(watch: Watch, error: BaseException | None) -> list[Happening]:
    """What the config wants told of a night, and of those killed just before it."""
    night, loaded = watch.night, watch.loaded
    problems = _problems(error)
    if night is None:
        moment = datetime.now(UTC).isoformat(timespec="milliseconds")
        found = [Happening(FAILED, "", text, None, moment) for text in problems]
    else:
        found = [
            *died_before(Nights(loaded.pipeline_dir), night.number),
            *happenings_of(night, problems),
        ]
    return [each for each in found if each.kind in loaded.config.alerts.events]


def _problems(error: BaseException | None) -> list[str]:
    """Why a night failed: a line for each step, as its record says."""
    if error is None:
        return []
    failures = getattr(error, "failures", None)
    if failures:
        return [f"{label}: {problem}" for label, problem in failures.items()]
    return [urls.redacted(str(error)) or type(error).__name__]
