"""Questions to the nights of a corpus: how its documents differ, what it is like, what is new.

By default they compare the last accepted night with the accepted one before it
(:mod:`nightjar.pipeline.answerers`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

from nightjar.cli.options import NightOption
from nightjar.config import LoadedConfig
from nightjar.errors import InputError
from nightjar.formats.item_titles import Titles, titles_in
from nightjar.pipeline.answerers import Answerers, AskedCorpus
from nightjar.stages.ingest import Comparison, compare
from nightjar.stages.report import (
    DOUBTS,
    LANGUAGE_DOUBTS,
    PAGE,
    NewWords,
    compare_vocabularies,
    page_with_comparison,
)
from nightjar.store import Artifact, Store, schemas


@dataclass(frozen=True)
class TwoNights:
    """The nights of a corpus that are compared."""

    night: NightOption = None
    """None: the last accepted one."""
    against: Annotated[
        int | None,
        typer.Option(
            "--against",
            metavar="ID",
            help="Compare with this night; default: the accepted one before.",
        ),
    ] = None


def compare_documents(
    loaded: LoadedConfig, corpus: str | None, nights: TwoNights, old: str | None, new: str | None
) -> Comparison:
    """Compare the documents of two nights or of two artifacts; ``corpus`` None: the only one.

    ``old`` and ``new`` are versions of documents artifacts, or their first digits. Raises
    InputError when there is nothing to compare, ArtifactMissing for an unknown version.
    """
    answerers = Answerers(loaded)
    if corpus in loaded.config.corpora and corpus not in loaded.config.text_corpora:
        raise InputError(
            f"{corpus} has no documents to compare; 'nightjar diff NIGHT NIGHT' compares what two "
            f"nights read of it, 'nightjar report {corpus}' shows it"
        )
    if old is None:
        now, before = _both_nights(answerers, corpus, nights)
        if before is None:
            raise InputError(
                f"{now.label} is the first accepted night, so there is nothing to compare it with. "
                f"'nightjar run' makes another one once the sources change"
            )
        return compare(*(answerers.corpus_stage(n, schemas.DOCUMENTS) for n in (before, now)))
    older = _documents(answerers, old)
    if new is not None:
        return compare(older, _documents(answerers, new))
    now = answerers.corpus(corpus, nights.night)
    return compare(older, answerers.corpus_stage(now, schemas.DOCUMENTS))


def _both_nights(
    answerers: Answerers, corpus: str | None, nights: TwoNights
) -> tuple[AskedCorpus, AskedCorpus | None]:
    now = answerers.corpus(corpus, nights.night)
    if nights.against is not None:
        return now, answerers.corpus(now.corpus, nights.against)
    return now, answerers.corpus_before(now)


def _documents(answerers: Answerers, what: str) -> Artifact:
    ref = answerers.store.find(what if "/" in what else f"{schemas.DOCUMENTS}/{what}")
    if ref.stage != schemas.DOCUMENTS:
        raise InputError(
            f"{ref} is not a documents artifact; 'nightjar versions documents' lists them"
        )
    return answerers.store.open(ref)


@dataclass(frozen=True)
class WordsSince:
    """How the vocabulary of a night differs from that of an earlier one."""

    night: AskedCorpus
    """The earlier night."""
    tokens: Artifact
    """The earlier night's tokens."""
    words: NewWords

    def as_json(self) -> dict[str, Any]:
        """Plain JSON types; lists only the most frequent words."""
        new = self.words
        return {
            "night": self.night.night,
            "tokens": str(self.tokens.ref),
            "n_appeared": new.n_appeared,
            "n_vanished": new.n_vanished,
            "appeared": new.appeared.to_pylist(),
            "vanished": new.vanished.to_pylist(),
        }


@dataclass(frozen=True)
class CorpusReport:
    """A night's report, and what is new since another night."""

    night: AskedCorpus
    report: Artifact
    tokens: Artifact
    since: WordsSince | None
    """None when no earlier night was accepted."""
    titles: Titles = field(default_factory=Titles)
    """Of items that came or went."""

    @property
    def figures(self) -> dict[str, int]:
        """Numbers of documents, words and so on."""
        return dict(self.report.manifest.counts)

    @property
    def doubts(self) -> tuple[str, ...]:
        """What looks wrong in its text, and guesses of languages that are not believed."""
        said = self.report.manifest.report
        return (*said.get(DOUBTS, ()), *said.get(LANGUAGE_DOUBTS, ()))

    @property
    def page(self) -> str:
        """The page, ending with what is new."""
        if self.since is None:
            return self.report.file_path(PAGE).read_text(encoding="utf-8")
        return page_with_comparison(self.report, self.tokens, self.since.tokens, self.since.words)

    def as_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "corpus": self.night.corpus,
            "night": self.night.night,
            "report": str(self.report.ref),
            "page": str(self.report.file_path(PAGE)),
            "tokens": str(self.tokens.ref),
            "figures": self.figures,
            "doubts": list(self.doubts),
            "against": None if self.since is None else self.since.as_json(),
        }


def report_corpus(loaded: LoadedConfig, corpus: str | None, nights: TwoNights) -> CorpusReport:
    """Describe a corpus (None: the only one) as of a night, and compare it with another night's.

    Raises InputError as :meth:`~nightjar.pipeline.answerers.Answerers.corpus` does, StoreError
    when an artifact of one of the nights is gone or damaged.
    """
    answerers = Answerers(loaded)
    now, before = _both_nights(answerers, corpus, nights)
    tokens = answerers.corpus_stage(now, schemas.TOKENS)
    since = None
    if before is not None:
        earlier = answerers.corpus_stage(before, schemas.TOKENS)
        since = WordsSince(before, earlier, compare_vocabularies(tokens, earlier))
    report = answerers.corpus_stage(now, schemas.CORPUS_REPORT)
    return CorpusReport(now, report, tokens, since, _titles(answerers.store, tokens, since))


def _titles(store: Store, tokens: Artifact, since: WordsSince | None) -> Titles:
    """The titles of items that came or went, as far as their events are kept."""
    if since is None:
        return Titles()
    found: dict[str, str] = {}
    for of, words in ((since.tokens, since.words.vanished), (tokens, since.words.appeared)):
        version = of.manifest.parents.get(schemas.EVENTS, "")
        if store.is_published(schemas.EVENTS, version):
            events = store.open(store.ref(schemas.EVENTS, version))
            found |= titles_in(events, words.column("token").to_pylist()).by_token
    return Titles(found)
