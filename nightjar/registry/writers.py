"""Changing the registry: who owns a model, where its aliases point, what its tags say.

Where the registry is a SQLite file, this module writes the few rows itself, as MLflow would, so
that commands need not import MLflow; elsewhere it goes through MLflow. Making and deleting
versions always goes through MLflow.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from nightjar.errors import ForeignModel, RegistryUnavailable
from nightjar.registry.readers import (
    BUSY_SECONDS,
    CHAMPION,
    RegisteredVersion,
    RegistryPlace,
    SqliteReader,
    sqlite_advice,
)
from nightjar.registry.registered_names import KEY_TAG
from nightjar.registry.uris import sqlite_path

if TYPE_CHECKING:
    from mlflow import MlflowClient

LEDGER_TAG = "nightjar.ledger"
"""Tag of a registered model: the id of the ledger that owns it."""
EVENT_TAG = "nightjar.ledger_event"
"""Tag of a registered model: the last event whose alias was moved."""
GATE_TAG = "nightjar.gate"
"""Tag of a version: what the gate said last. Tags that start so name each of its rules."""
DAMAGED_TAG = "nightjar.damaged_registration_key"
"""Tag of a version whose files are no longer intact: its registration key."""


class RegistryWriter(Protocol):
    """Write access to aliases and tags. Each method raises RegistryUnavailable."""

    def own(self, name: str, ledger_id: str, *, takes_over: bool = False) -> None:
        """Make this ledger own a registered model without an owner (``takes_over``: any model).

        Raises ForeignModel when another ledger owns it.
        """

    def point(self, name: str, alias: str, number: int | None) -> None:
        """Point an alias to a version; None deletes the alias."""

    def mark(self, name: str, event: int) -> None:
        """Record that the alias ``champion`` is where this event of the ledger puts it."""

    def set_aside(self, version: RegisteredVersion) -> None:
        """Hide a damaged version from lookups by key: its embeddings get registered again."""

    def describe(self, name: str, number: int, tags: Mapping[str, str], verdict: str) -> None:
        """Put ``verdict`` at the end of a version's description, then set tags, in their order.

        Tags of rules that are not among them, from an earlier verdict, are deleted.
        """


def open_writer(place: RegistryPlace) -> RegistryWriter:
    """Return write access to a pipeline's registry; imports MLflow unless it is a SQLite file."""
    database = sqlite_path(place.uri)
    return ClientWriter(place) if database is None else SqliteWriter(place, database)


class SqliteWriter:
    """Writes rows of MLflow's own tables; a test checks that it agrees with MlflowClient."""

    def __init__(self, place: RegistryPlace, database: Path) -> None:
        self._place = place
        self._database = database

    def own(self, name: str, ledger_id: str, *, takes_over: bool = False) -> None:
        """Make this ledger own a registered model without an owner (``takes_over``: any model)."""
        tags = SqliteReader(self._database).model_tags(name)
        if not takes_over:
            check_owner(self._place, name, tags, ledger_id)
        if tags.get(LEDGER_TAG) == ledger_id:
            return
        with self._transaction() as connection:
            connection.execute(
                "DELETE FROM registered_model_tags "
                "WHERE workspace = 'default' AND name = ? AND key = ?",
                (name, EVENT_TAG),  # another ledger's
            )
            _set_model_tag(connection, name, LEDGER_TAG, ledger_id)

    def point(self, name: str, alias: str, number: int | None) -> None:
        """Point an alias to a version; None deletes the alias."""
        if number is not None and SqliteReader(self._database).version(name, number) is None:
            raise RegistryUnavailable(
                f"{self._database}: {name} has no version {number}, so {alias} cannot point to it"
            )
        with self._transaction() as connection:
            connection.execute(
                "DELETE FROM registered_model_aliases "
                "WHERE workspace = 'default' AND name = ? AND alias = ?",
                (name, alias),
            )
            if number is not None:
                connection.execute(
                    "INSERT INTO registered_model_aliases (workspace, name, alias, version) "
                    "VALUES ('default', ?, ?, ?)",
                    (name, alias, number),
                )

    def mark(self, name: str, event: int) -> None:
        """Record that the alias ``champion`` is where this event of the ledger puts it."""
        with self._transaction() as connection:
            _set_model_tag(connection, name, EVENT_TAG, str(event))

    def set_aside(self, version: RegisteredVersion) -> None:
        """Hide a damaged version from lookups by key: its embeddings get registered again."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE OR REPLACE model_version_tags SET key = ? "
                "WHERE workspace = 'default' AND name = ? AND version = ? AND key = ?",
                (DAMAGED_TAG, version.name, version.version, KEY_TAG),
            )

    def describe(self, name: str, number: int, tags: Mapping[str, str], verdict: str) -> None:
        """Set tags of a version, and put ``verdict`` at the end of its description."""
        with self._transaction() as connection:
            connection.execute(
                "DELETE FROM model_version_tags WHERE workspace = 'default' AND name = ? "
                "AND version = ? AND substr(key, 1, ?) = ?",
                (name, number, len(_RULE_TAGS), _RULE_TAGS),
            )
            connection.executemany(
                "INSERT OR REPLACE INTO model_version_tags (workspace, name, version, key, value) "
                "VALUES ('default', ?, ?, ?, ?)",
                [(name, number, key, _tag_value(value)) for key, value in tags.items()],
            )
            row = connection.execute(
                "SELECT description FROM model_versions "
                "WHERE workspace = 'default' AND name = ? AND version = ?",
                (name, number),
            ).fetchone()
            before = "" if row is None or row[0] is None else str(row[0])
            connection.execute(
                "UPDATE model_versions SET description = ? "
                "WHERE workspace = 'default' AND name = ? AND version = ?",
                (_with_verdict(before, verdict), name, number),
            )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """A connection; at the end of the block all its changes are committed, or none."""
        try:
            connection = sqlite3.connect(
                self._database.absolute(), timeout=BUSY_SECONDS, isolation_level=None
            )
            with closing(connection):
                connection.execute("PRAGMA foreign_keys = ON")
                connection.execute("BEGIN IMMEDIATE")
                with connection:
                    yield connection
        except sqlite3.Error as error:
            raise RegistryUnavailable(
                f"{self._database}: the MLflow database cannot be written ({error}); "
                f"{sqlite_advice(error, self._database)}"
            ) from error


def _set_model_tag(connection: sqlite3.Connection, name: str, key: str, value: str) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO registered_model_tags (workspace, name, key, value) "
        "VALUES ('default', ?, ?, ?)",
        (name, key, value),
    )


class ClientWriter:
    """Writes through MLflow, which is imported on first use."""

    def __init__(self, place: RegistryPlace) -> None:
        self.place = place

    @cached_property
    def client(self) -> MlflowClient:
        """MLflow's client."""
        from nightjar.registry.client import connect  # noqa: PLC0415 (imports MLflow)

        return connect(self.place.uri, self.place.local_artifacts)

    def claim(self, name: str, ledger_id: str, description: str) -> None:
        """Make the registered model if it is missing, and make this ledger its owner.

        Raises ForeignModel when another ledger owns it.
        """
        from nightjar.registry.client import EXISTS, error_code  # noqa: PLC0415 (imports MLflow)

        with self._named_errors():
            from mlflow.exceptions import MlflowException  # noqa: PLC0415

            try:
                self.client.create_registered_model(
                    name, tags={LEDGER_TAG: ledger_id}, description=description
                )
                return
            except MlflowException as error:
                if error_code(error) != EXISTS:
                    raise
        self.own(name, ledger_id)

    def own(self, name: str, ledger_id: str, *, takes_over: bool = False) -> None:
        """Make this ledger own a registered model without an owner (``takes_over``: any model)."""
        with self._named_errors():
            tags = self.client.get_registered_model(name).tags
            if not takes_over:
                check_owner(self.place, name, tags, ledger_id)
            if tags.get(LEDGER_TAG) != ledger_id:
                if EVENT_TAG in tags:  # another ledger's
                    self.client.delete_registered_model_tag(name, EVENT_TAG)
                self.client.set_registered_model_tag(name, LEDGER_TAG, ledger_id)

    def point(self, name: str, alias: str, number: int | None) -> None:
        """Point an alias to a version; None deletes the alias."""
        with self._named_errors():
            if number is None:
                self.client.delete_registered_model_alias(name, alias)
            else:
                self.client.set_registered_model_alias(name, alias, str(number))

    def mark(self, name: str, event: int) -> None:
        """Record that the alias ``champion`` is where this event of the ledger puts it."""
        with self._named_errors():
            self.client.set_registered_model_tag(name, EVENT_TAG, str(event))

    def set_aside(self, version: RegisteredVersion) -> None:
        """Hide a damaged version from lookups by key: its embeddings get registered again."""
        key, number = version.tags.get(KEY_TAG), str(version.version)
        if key is None:
            return
        with self._named_errors():
            self.client.set_model_version_tag(version.name, number, DAMAGED_TAG, key)
            self.client.delete_model_version_tag(version.name, number, KEY_TAG)

    def describe(self, name: str, number: int, tags: Mapping[str, str], verdict: str) -> None:
        """Set tags of a version, and put ``verdict`` at the end of its description."""
        with self._named_errors():
            found = self.client.get_model_version(name, str(number))
            page = _with_verdict(found.description or "", verdict)
            self.client.update_model_version(name, str(number), page)
            for key in found.tags:
                if key.startswith(_RULE_TAGS) and key not in tags:
                    self.client.delete_model_version_tag(name, str(number), key)
            for key, value in tags.items():
                self.client.set_model_version_tag(name, str(number), key, _tag_value(value))

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        from nightjar.registry.client import named_errors  # noqa: PLC0415 (imports MLflow)

        with named_errors(self.place.uri):
            yield


_VERDICT = "\n\nGate: "
_RULE_TAGS = f"{GATE_TAG}."
_MAX_DESCRIPTION, _MAX_TAG = 4_900, 2_000
"""MLflow's database holds 5,000 characters of either; shorter tags are easier to read."""


def _with_verdict(description: str, verdict: str) -> str:
    """The description with another verdict at its end."""
    own = description.partition(_VERDICT)[0]
    return f"{own}{_VERDICT}{verdict}"[:_MAX_DESCRIPTION]


def _tag_value(value: str) -> str:
    return value if len(value) <= _MAX_TAG else f"{value[: _MAX_TAG - 3]}..."


def check_owner(place: RegistryPlace, name: str, tags: Mapping[str, str], ledger_id: str) -> None:
    """Raise ForeignModel when the tags of the registered model name another ledger."""
    owner = tags.get(LEDGER_TAG, ledger_id)
    if owner != ledger_id:
        raise ForeignModel(
            f"the registered model {name} belongs to another pipeline directory (its tag "
            f"{LEDGER_TAG} is {owner}, the ledger below {place.artifacts_dir} is {ledger_id}). "
            f"Give this pipeline another pipeline.name; or, if that directory is gone for good, "
            f"'nightjar adopt MODEL --take-over' moves the model to this one"
        )


def applied_event(tags: Mapping[str, str]) -> int:
    """The last event whose alias was moved, from the tags of a registered model; 0 for none."""
    value = tags.get(EVENT_TAG, "")
    return int(value) if value.isascii() and value.isdigit() else 0


def load_address(name: str) -> str:
    """The address under which MLflow loads the champion of a registered model."""
    return f"models:/{name}@{CHAMPION}"
