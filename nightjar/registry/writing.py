"""Changing what is registered: who owns a model, where its aliases point, what its tags say.

Everything here imports MLflow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from nightjar.errors import ForeignModel
from nightjar.registry.client import EXISTS, connect, error_code, named_errors
from nightjar.registry.identity import KEY_TAG
from nightjar.registry.reading import CHAMPION, RegisteredVersion, RegistryPlace

if TYPE_CHECKING:
    from mlflow import MlflowClient

LEDGER_TAG = "nightjar.ledger"
"""Of a registered model: the id of the ledger that owns it."""
EVENT_TAG = "nightjar.ledger_event"
"""Of a registered model: the last event whose alias was moved."""
DAMAGED_TAG = "nightjar.damaged_registration_key"
"""Of a version whose files are no longer whole: its registration key."""


def check_owner(place: RegistryPlace, name: str, tags: Mapping[str, str], ledger_id: str) -> None:
    """Raise ForeignModel when the tags of the registered model name another ledger."""
    owner = tags.get(LEDGER_TAG, ledger_id)
    if owner != ledger_id:
        raise ForeignModel(
            f"the registered model {name} belongs to another pipeline directory (its tag "
            f"{LEDGER_TAG} is {owner}, the ledger below {place.artifacts_dir} is {ledger_id}). "
            f"Give this pipeline another pipeline.name; or, if that directory is gone for good, "
            f"'nightjar adopt MODEL --take-over' makes it this one's"
        )


class RegistryWriter:
    """Write access to the registry of a pipeline."""

    def __init__(self, place: RegistryPlace) -> None:
        self.place = place
        self.client: MlflowClient = connect(place.uri, place.local_artifacts)

    def claim(self, name: str, ledger_id: str, description: str) -> None:
        """Make the registered model if there is none, and this ledger its owner.

        Raises ForeignModel when another ledger owns it.
        """
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        with named_errors(self.place.uri):
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
        """Make this ledger the owner of a registered model that has none, or any with a will."""
        with named_errors(self.place.uri):
            tags = self.client.get_registered_model(name).tags
            if not takes_over:
                check_owner(self.place, name, tags, ledger_id)
            if tags.get(LEDGER_TAG) != ledger_id:
                if EVENT_TAG in tags:  # another ledger's
                    self.client.delete_registered_model_tag(name, EVENT_TAG)
                self.client.set_registered_model_tag(name, LEDGER_TAG, ledger_id)

    def point(self, name: str, alias: str, number: int | None) -> None:
        """Point an alias to a version; None: nowhere."""
        with named_errors(self.place.uri):
            if number is None:
                self.client.delete_registered_model_alias(name, alias)
            else:
                self.client.set_registered_model_alias(name, alias, str(number))

    def set_aside(self, version: RegisteredVersion) -> None:
        """Have a damaged version found by its key no more: its embeddings are registered anew."""
        key, number = version.tags.get(KEY_TAG), str(version.version)
        if key is None:
            return
        with named_errors(self.place.uri):
            self.client.set_model_version_tag(version.name, number, DAMAGED_TAG, key)
            self.client.delete_model_version_tag(version.name, number, KEY_TAG)

    def mark(self, name: str, event: int) -> None:
        """Say that the alias ``champion`` is where this event of the ledger wants it."""
        with named_errors(self.place.uri):
            self.client.set_registered_model_tag(name, EVENT_TAG, str(event))


def applied_event(tags: Mapping[str, str]) -> int:
    """The last event whose alias was moved, from the tags of a registered model; 0 for none."""
    value = tags.get(EVENT_TAG, "")
    return int(value) if value.isascii() and value.isdigit() else 0


def load_address(name: str) -> str:
    """What MLflow loads the champion of a registered model by."""
    return f"models:/{name}@{CHAMPION}"
