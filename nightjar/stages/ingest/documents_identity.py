"""The identity of the documents artifact, and its sources."""

from __future__ import annotations

from pathlib import Path

from nightjar.config import IngestConfig
from nightjar.config.sources import NOT_SHAPING
from nightjar.sources.purge_list import NOTHING, Purged
from nightjar.sources.selection import (
    Fetching,
    Sources,
    file_inputs,
    reading_libraries,
    select_files,
)
from nightjar.stages.ingest.cleaning import code_identity
from nightjar.store import Identity
from nightjar.store.schemas import DOCUMENTS

REVISION = 7
"""Raise it when the same sources give different documents than before."""


def text_sources(config: IngestConfig, base_dir: Path, purged: Purged = NOTHING) -> Sources:
    """The sources of a text corpus."""
    return Sources(config.sources, config, base_dir, config.max_chars, purged.ids)


def documents_identity(
    config: IngestConfig,
    base_dir: Path,
    fetching: Fetching,
    corpus: str = "",
    purged: Purged = NOTHING,
) -> Identity:
    """The identity of the documents artifact of ``corpus``.

    Hashes every source file, and fetches remote ones. Directories and URLs are left out: a file
    that moves keeps its version. Raises SourceError, with the source and the pattern, when a file
    is missing or unreadable, a glob matches nothing or a package is not installed;
    SourceUnavailable when a server does not answer.
    """
    sources = text_sources(config, base_dir, purged)
    return Identity(
        stage=DOCUMENTS,
        name=corpus,
        config={
            **config.model_dump(
                mode="json",
                exclude={"max_fetch_bytes": True, "sources": {"__all__": set(NOT_SHAPING)}},
            ),
            **({"purged": purged.digest} if purged else {}),
        },
        inputs=file_inputs(select_files(sources, fetching)),
        code={
            "revision": REVISION,
            "cleaning": code_identity(config.cleaning),
            **{
                library: version
                for source in config.sources.values()
                for library, version in reading_libraries(source).items()
            },
        },
    )
