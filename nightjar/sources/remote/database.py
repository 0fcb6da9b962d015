"""Reading a database query in one snapshot, row by row."""

from __future__ import annotations

import difflib
import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import exc
from sqlalchemy.engine import URL, Connection, Engine

from nightjar.errors import SourceError
from nightjar.files import urls
from nightjar.sources.rejections import MAX_BYTES_PER_CHAR
from nightjar.sources.remote.object_storage import Interrupted
from nightjar.sources.remote.row_parts import DatabaseSettings, OutOfRange, TooLong
from nightjar.sources.remote.silence import SILENT_SECONDS, Silence

logger = logging.getLogger(__name__)

ROWS_AT_ONCE = 200
"""Rows, or keys, in memory at once."""
_CONNECT_SECONDS = 15
_DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
_LOCK_SECONDS = 60
_POSTGRES: dict[str, Any] = {
    "connect_timeout": _CONNECT_SECONDS,
    "application_name": "nightjar",
    # A machine that is gone is noticed after two minutes, not two hours.
    "keepalives_idle": 60,
    "keepalives_interval": 15,
    "keepalives_count": 4,
}
_CONNECT_ARGUMENTS: dict[str, dict[str, Any]] = {
    "psycopg": _POSTGRES,
    "psycopg2": _POSTGRES,
    "pymysql": {"connect_timeout": _CONNECT_SECONDS, "read_timeout": int(SILENT_SECONDS)},
    "mysqldb": {"connect_timeout": _CONNECT_SECONDS, "read_timeout": int(SILENT_SECONDS)},
}
_LIMIT_LOCKS = (
    "SELECT set_config(name, '{seconds}s', true) FROM pg_settings "
    "WHERE name = 'lock_timeout' AND setting = '0'"
)
"""Waits for a table that somebody has locked; does nothing where there is no such setting."""
_LASTING = re.compile(
    r"authentication failed|does not exist|no pg_hba\.conf entry|access denied|unknown database"
    r"|no password supplied|unable to open|not a database|permission denied",
    re.IGNORECASE,
)
"""In the message of a failed connection: retrying would not help."""
_PASSING = re.compile(r"is locked|deadlock|could not serialize|canceling statement", re.IGNORECASE)
_ALIAS = "nightjar_rows"


class Database:
    """A connection with a snapshot of the query's table."""

    def __init__(
        self, source: DatabaseSettings, connection: Connection, secret: str | None, silence: Silence
    ) -> None:
        self._silence = silence
        self._source = source
        self._connection = connection
        self._secret = secret
        text = source.query.replace(":", r"\:")  # otherwise it would start a parameter
        nothing = sqlalchemy.text(f"SELECT * FROM ({text}\n) {_ALIAS} WHERE 1 = 0")  # noqa: S608
        self._names = list(self._execute(nothing).keys())
        self._check_columns()
        columns: list[Any] = [sqlalchemy.column(name) for name in source.columns]
        self._table = sqlalchemy.text(f"{text}\n").columns(*columns).subquery(_ALIAS)

    def _check_columns(self) -> None:
        for key, name in self._source.named_columns:
            if self._names.count(name) == 1:
                continue
            if name in self._names:
                raise SourceError(f"the query has several columns {name!r}; give each its own name")
            close = difflib.get_close_matches(name, self._names, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise SourceError(
                f"there is no {key} {name!r}; the query has {', '.join(self._names)}{hint}"
            )

    def rows(self, since: Any = None) -> Iterator[Sequence[Any]]:
        """The source's columns of each row, ordered by watermark, then key.

        With ``since`` only rows whose watermark is null or at least ``since``.
        """
        source, table = self._source, self._table
        query = sqlalchemy.select(*(table.c[name] for name in source.columns))
        order = [table.c[source.key_column]]
        if source.watermark_column is not None:
            watermark = table.c[source.watermark_column]
            order.insert(0, watermark)
            if since is not None:
                query = query.where(sqlalchemy.or_(watermark >= since, watermark.is_(None)))
        yield from self._stream(query.order_by(*order))

    def keys(self) -> Iterator[Any]:
        """The key of each row, unordered."""
        key = self._table.c[self._source.key_column]
        for row in self._stream(sqlalchemy.select(key)):
            yield row[0]

    def _stream(self, query: Any) -> Iterator[Sequence[Any]]:
        with _named_errors(self._secret):
            result = self._execute(query.execution_options(yield_per=ROWS_AT_ONCE))
            partitions = result.partitions()
            while (rows := self._next(partitions)) is not None:
                yield from rows

    def _next(self, partitions: Iterator[Sequence[Any]]) -> Sequence[Any] | None:
        with self._silence.limited():
            return next(partitions, None)

    def _execute(self, query: Any) -> Any:
        with _named_errors(self._secret), self._silence.limited():
            return self._connection.execute(query)


@contextmanager
def opened(source: DatabaseSettings, base_dir: Path, max_chars: int) -> Iterator[Database]:
    """The database of ``source``, in a read-only transaction that sees one state of it.

    A value that Python cannot hold is returned as text, and one too long for ``max_chars`` as its
    length where the driver allows it: one row must not end a night.

    Raises SourceError for errors that retrying cannot fix, without passwords, SourceUnavailable
    when the server is silent, and :class:`Interrupted` for others.
    """
    url = _url(source, base_dir)
    engine = _engine(url)
    _take_any_value(engine, max_chars)
    silence = _silence_of(engine)
    try:
        with _named_errors(url.password, is_connecting=True), ExitStack() as stack:
            with silence.limited():
                connection = stack.enter_context(engine.connect())
                if url.get_backend_name() == "sqlite":  # it starts none before the first write
                    connection.exec_driver_sql("BEGIN")
                elif url.get_backend_name() == "postgresql":
                    connection.exec_driver_sql(_LIMIT_LOCKS.format(seconds=_LOCK_SECONDS))
            try:
                yield Database(source, connection, url.password, silence)
            finally:
                with silence.limited():
                    stack.close()
    finally:
        engine.dispose()
        silence.close()


def _url(source: DatabaseSettings, base_dir: Path) -> URL:
    text = source.url
    if text is None:
        variable = str(source.url_env)
        text = os.environ.get(variable)
        if not text:
            raise SourceError(f"url_env: the environment variable {variable} is not set")
    try:
        url = sqlalchemy.make_url(text)
    except (exc.ArgumentError, ValueError):
        raise SourceError(
            "the URL cannot be read; it is like postgresql://reader@host:5432/base"
        ) from None
    url = url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))
    return _read_only_file(url, base_dir) if url.get_backend_name() == "sqlite" else url


def _read_only_file(url: URL, base_dir: Path) -> URL:
    """Open read-only, because SQLite would create a missing file."""
    path = base_dir / (url.database or "")
    if not path.is_file():
        raise SourceError(f"there is no database {path}; relative paths start at the config file")
    return url.set(database=f"{path.resolve().as_uri()}", query={"mode": "ro", "uri": "true"})


def _engine(url: URL) -> Engine:
    options: dict[str, Any] = {}
    if url.get_backend_name() in ("postgresql", "mysql", "mariadb"):
        options["isolation_level"] = "REPEATABLE READ"
    try:
        arguments = _CONNECT_ARGUMENTS.get(url.get_driver_name(), {})
        return sqlalchemy.create_engine(
            url, connect_args=arguments, poolclass=sqlalchemy.NullPool, **options
        )
    except (ImportError, exc.NoSuchModuleError) as error:
        name = url.get_backend_name()
        needed = (
            "the extra postgres: pip install 'nightjar[postgres]'"
            if name == "postgresql"
            else "its driver for SQLAlchemy installed"
        )
        raise SourceError(f"a database of {name} needs {needed} ({error})") from None


def _silence_of(engine: Engine) -> Silence:
    """The limit on waiting for the server, from the first byte on."""
    silence = Silence()
    if engine.dialect.name == "sqlite":  # no server, and it waits for locks for 5 s
        return silence

    def connect(dialect: Any, _record: object, given: Any, named: Any) -> Any:
        connection = dialect.connect(*given, **named)
        silence.watch(connection)
        return connection

    sqlalchemy.event.listen(engine, "do_connect", connect)
    return silence


def _take_any_value(engine: Engine, max_chars: int) -> None:
    """Make the driver return every value, whatever it holds."""

    def read(data: bytes) -> str | TooLong:
        if len(data) > MAX_BYTES_PER_CHAR * max_chars:
            return TooLong(len(data))
        return data.decode("utf-8", "surrogateescape")

    def prepare(connection: Any, _record: object) -> None:
        if engine.dialect.name == "sqlite":  # any type in any column, text in any encoding
            connection.text_factory = read
        elif engine.dialect.driver == "psycopg":
            for name, loader in _lenient_loaders():
                connection.adapters.register_loader(name, loader)

    sqlalchemy.event.listen(engine, "connect", prepare)


def _lenient_loaders() -> list[tuple[str, type[Any]]]:
    """Loaders of psycopg that give a time as text if Python does not have it: infinity, 44 BC."""
    from psycopg import DataError  # noqa: PLC0415  # an extra
    from psycopg.types import datetime as times  # noqa: PLC0415

    def lenient(base: Any) -> type[Any]:
        class Lenient(base):  # type: ignore[misc]
            def load(self, data: Any) -> Any:
                try:
                    return super().load(data)
                except (DataError, OverflowError, ValueError):
                    return OutOfRange(str(data, "utf-8"))

        return Lenient

    return [
        ("date", lenient(times.DateLoader)),
        ("time", lenient(times.TimeLoader)),
        ("timetz", lenient(times.TimetzLoader)),
        ("timestamp", lenient(times.TimestampLoader)),
        ("timestamptz", lenient(times.TimestamptzLoader)),
    ]


@contextmanager
def _named_errors(secret: str | None, *, is_connecting: bool = False) -> Iterator[None]:
    """Translate errors of SQLAlchemy, without the statement or secrets."""
    try:
        yield
    except exc.SQLAlchemyError as error:
        message = _message(error)
        if secret:
            message = message.replace(secret, "...")
        is_lost = isinstance(error, exc.DBAPIError) and error.connection_invalidated
        is_trouble = isinstance(error, exc.OperationalError | exc.InterfaceError)
        if is_lost or _PASSING.search(message):
            raise Interrupted(message) from None
        if is_connecting and is_trouble and not _LASTING.search(message):
            raise Interrupted(message) from None
        raise SourceError(f"the database says: {message}") from None


def _message(error: exc.SQLAlchemyError) -> str:
    cause = getattr(error, "orig", None) or error
    text = " ".join(urls.redacted(str(cause)).split())
    return text or type(cause).__name__
