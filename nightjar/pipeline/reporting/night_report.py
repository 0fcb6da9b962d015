"""The page of a night, kept beside its record and in the MLflow runs of its versions.

The page depends on the record, the artifacts and the ledger alone, so it can be made again as long
as these are kept. It never fails a night: what goes wrong is an alarm.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from nightjar.config import LoadedConfig
from nightjar.core import Night, Nights, NightStatus
from nightjar.errors import InputError, StoreError
from nightjar.files.served_pages import PAGE_NAME
from nightjar.pipeline.reporting.model_sections import words_since_champions
from nightjar.pipeline.reporting.night_difference import compare_nights
from nightjar.pipeline.reporting.night_facts import read_facts
from nightjar.pipeline.reporting.night_page import NightView, night_page
from nightjar.registry import (
    PAGE_TAG,
    RegisteredVersion,
    RegistryPlace,
    log_night_page,
    page_of,
    registered_name,
)
from nightjar.store import replace

_LAST = re.compile(r"last(?:~(?P<back>[0-9]{1,6}))?")


def page_path(loaded: LoadedConfig, number: int) -> Path:
    """Where the page of a night is, if it was made."""
    return Nights(loaded.pipeline_dir).path(number) / PAGE_NAME


def make_page(loaded: LoadedConfig, night: Night) -> str:
    """The page of a night as HTML. Raises StoreError when what is kept cannot be read."""
    facts = read_facts(loaded, night)
    is_idle = night.status is NightStatus.NOTHING_TO_DO
    before = None if is_idle else accepted_before(loaded, night)
    since = None
    if before is not None:
        since = compare_nights(read_facts(loaded, before), facts, reads_words=False)
    words = {} if is_idle else words_since_champions(facts)
    return night_page(NightView(facts, since, words))


def report_night(loaded: LoadedConfig, night: Night) -> Path:
    """Make the page of a night, keep it, and log it to MLflow.

    Returns where it is kept beside the record. In MLflow it is logged to the run of each version
    that the night registered. Raises StoreError, StoreNotWritable, RegistryUnavailable.
    """
    html = make_page(loaded, night)
    path = page_path(loaded, night.number)
    replace(path, html.encode())
    place = RegistryPlace.of(loaded.config.registry, loaded.artifacts_dir)
    for version in _registered_by(place, night):
        log_night_page(place, version, night.number, html)
    return path


def page_addresses(loaded: LoadedConfig, night: Night) -> list[str]:
    """Where MLflow shows the page, once for each version that the night registered.

    None where the registry is no server. Raises RegistryUnavailable.
    """
    place = RegistryPlace.of(loaded.config.registry, loaded.artifacts_dir)
    if not place.is_server:
        return []
    paths = (version.tags.get(PAGE_TAG) for version in _registered_by(place, night))
    found = (page_of(place.uri, path) for path in paths if path)
    return [address for address in found if address]


def _registered_by(place: RegistryPlace, night: Night) -> Iterator[RegisteredVersion]:
    """The versions of the night's candidates that this night registered."""
    reader = None
    for decision in night.decisions:
        reader = place.reader() if reader is None else reader
        name = registered_name(night.pipeline, decision["model"])
        found = reader.version(name, int(decision["candidate"]["version"]))
        if found is not None and found.tags.get("nightjar.night") == str(night.number):
            yield found


# -- which night ---------------------------------------------------------------------------------


def find_night(loaded: LoadedConfig, what: str) -> Night:
    """The night that ``what`` names: a number, ``last``, or ``last~2`` for two before that.

    ``last`` counts the nights that are no trials and got as far as their plan. Raises InputError.
    """
    nights = Nights(loaded.pipeline_dir)
    if what.isascii() and what.isdecimal() and len(what) < 10:
        return nights.get(int(what))
    found = _LAST.fullmatch(what)
    if found is None:
        raise InputError(
            f"{what}: name a night by its number, or as last, last~1 ('nightjar nights' lists them)"
        )
    back = int(found["back"] or 0)
    for night in nights.newest_first():
        if night.steps and not night.is_trial:
            if back == 0:
                return night
            back -= 1
    raise InputError(f"{what}: there are not so many nights; 'nightjar nights' lists them")


def accepted_before(loaded: LoadedConfig, night: Night) -> Night | None:
    """The last night before ``night`` whose corpora were all accepted, and that was no trial."""
    nights = Nights(loaded.pipeline_dir)
    for number in reversed(nights.numbers()):
        if number >= night.number:
            continue
        try:
            found = nights.get(number)
        except StoreError:
            continue  # its record cannot be read: 'nightjar nights' says so
        is_accepted = all(entry["is_accepted"] for entry in found.accepted.values())
        if found.accepted and is_accepted and not found.is_trial:
            return found
    return None
