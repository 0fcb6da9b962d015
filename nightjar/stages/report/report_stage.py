"""Report: from documents and tokens to tables and a page about the corpus."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from nightjar.config import NightjarConfig
from nightjar.core import Planning
from nightjar.core.stage import StageContext
from nightjar.drawing import Axis, Bar, Curve, Page, Point, bar_chart, curve_chart
from nightjar.stages.report.doubts import find_doubts
from nightjar.stages.report.measures import (
    Languages,
    Lengths,
    NewWords,
    measure_languages,
    measure_lengths,
    ranges_of,
)
from nightjar.stages.report.report_runs import DOUBTS, PAGE, ReportStage
from nightjar.store import Artifact, Identity, Staging, library_versions, schemas
from nightjar.store.schemas import CORPUS_REPORT, DOCUMENTS, TOKENS
from nightjar.wording import counted

REVISION = 4
"""Raise it when the same artifacts give a different report than before."""


def corpus_report_identity(documents: str, tokens: str, corpus: str = "") -> Identity:
    """The identity, from the versions of documents and tokens; comparisons are not part of it."""
    return Identity(
        stage=CORPUS_REPORT,
        name=corpus,
        config={},
        parents={DOCUMENTS: documents, TOKENS: tokens},
        code={"revision": REVISION, **library_versions("py3langid")},
    )


LANGUAGE_DOUBTS = "language_doubts"
"""Key of the manifest's report: which guesses of languages are not believed, and why."""
_MAX_LANGUAGES = 12


def report_corpus(documents: Artifact, tokens: Artifact, context: StageContext) -> None:
    """Write the tables and ``report.html``. Memory: a row group of the tokens."""
    staging = context.staging
    counts = {**documents.manifest.counts, **tokens.manifest.counts}
    lengths = measure_lengths(tokens, counts["documents_without_tokens"], context.progress)
    languages = measure_languages(documents)
    doubts = find_doubts(context.identity.name, documents, tokens)
    staging.report[DOUBTS] = list(doubts)
    staging.report[LANGUAGE_DOUBTS] = list(languages.doubts)
    _write_tables(documents, tokens, lengths, languages, staging)
    staging.counts.update(
        documents=counts["documents_kept"],
        quarantined=counts["quarantined"],
        characters=counts["characters_kept"],
        sentences=counts["sentences"],
        words=counts["tokens"],
        distinct_words=counts["vocabulary"],
    )
    page = _page(documents, tokens, lengths, languages, doubts)
    staging.add_file(PAGE).write_text(page, encoding="utf-8")


def _drops(documents: Artifact, tokens: Artifact) -> list[dict[str, Any]]:
    """Rows by source: what was quarantined, skipped, changed and dropped."""
    rows = []
    for source, counts in documents.manifest.report["sources"].items():
        for name, count in counts.items():
            if not isinstance(count, int) or name in _NO_DROPS or not count:
                continue
            step = "quarantine" if name.startswith("quarantined_") else "clean"
            if name.endswith("_skipped"):
                step = "skip"
            reason = name.removeprefix("quarantined_").removesuffix("_skipped")
            rows.append({"step": step, "source": source, "reason": reason, "count": count})
    return rows + [
        {"step": "tokenize", "source": None, "reason": name, "count": count}
        for name in ("documents_without_tokens", "token_too_short", "token_too_long")
        if (count := tokens.manifest.counts[name])
    ]


_NO_DROPS = frozenset(
    ("files_read", "documents_kept", "characters_kept", "quarantined", "documents")
)


def _write_tables(
    documents: Artifact,
    tokens: Artifact,
    lengths: Lengths,
    languages: Languages,
    staging: Staging,
) -> None:
    sources = documents.manifest.report["sources"]
    shares = languages.shares
    for name, schema, rows in (
        (
            "sources",
            schemas.REPORT_SOURCES_SCHEMA,
            [
                {
                    "source": source,
                    "documents": counts["documents_kept"],
                    "characters": counts["characters_kept"],
                    "words": lengths.words_by_source.get(source, 0),
                    "quarantined": counts["quarantined"],
                }
                for source, counts in sources.items()
            ],
        ),
        ("drops", schemas.REPORT_DROPS_SCHEMA, _drops(documents, tokens)),
        (
            "lengths",
            schemas.REPORT_LENGTHS_SCHEMA,
            [
                {"min_words": low, "max_words": high, "documents": n}
                for (low, high), n in ranges_of(lengths.by_bin).items()
            ],
        ),
        (
            "growth",
            schemas.REPORT_GROWTH_SCHEMA,
            [{"words": words, "distinct_words": n} for words, n in lengths.growth],
        ),
        (
            "languages",
            schemas.REPORT_LANGUAGES_SCHEMA,
            [
                {
                    "language": language,
                    "declared": languages.declared.get(language, 0),
                    "sampled": languages.sampled.get(language, 0),
                    "share": share,
                }
                for language, share in shares.items()
            ],
        ),
    ):
        staging.write(name, pa.Table.from_pylist(rows, schema))


def _page(
    documents: Artifact,
    tokens: Artifact,
    lengths: Lengths,
    languages: Languages,
    doubts: Sequence[str],
) -> str:
    counts = {**documents.manifest.counts, **tokens.manifest.counts}
    page = Page(f"The corpus {documents.manifest.name}")
    page.text(f"{documents.ref} and {tokens.ref}")
    page.figures(
        {
            "documents": f"{counts['documents_kept']:,}",
            "words": f"{counts['tokens']:,}",
            "distinct words": f"{counts['vocabulary']:,}",
            "sentences": f"{counts['sentences']:,}",
            "in quarantine": f"{counts['quarantined']:,}",
        }
    )
    if doubts:
        page.heading("Doubts")
        page.items(doubts)
    page.heading("Sources")
    page.table(
        ("source", "documents", "words", "in quarantine"),
        [
            (
                source,
                found["documents_kept"],
                lengths.words_by_source.get(source, 0),
                found["quarantined"],
            )
            for source, found in documents.manifest.report["sources"].items()
        ],
    )
    ranges = ranges_of(lengths.by_bin)
    page.heading("Length of documents")
    page.plots(
        bar_chart(
            "Documents by their number of words",
            [
                Bar(str(low) if low == high else f"{low:,} to {high:,}", n, f"{n:,}")
                for (low, high), n in ranges.items()
            ],
            "documents",
        )
    )
    page.heading("Vocabulary growth")
    page.plots(_growth(lengths))
    shares = dict(list(languages.shares.items())[:_MAX_LANGUAGES])
    page.heading("Languages")
    if n_sampled := sum(languages.sampled.values()):
        page.text(
            f"estimated from {counted(n_sampled, 'document')} for those whose source names none"
        )
    if languages.doubts:
        page.items(languages.doubts)
    page.plots(
        bar_chart(
            "Share of each language",
            [Bar(name, 100 * share, f"{share:.1%}") for name, share in shares.items()],
            "% of documents",
        )
    )
    page.heading("Dropped, skipped and changed")
    drops = _drops(documents, tokens)
    if drops:
        page.table(
            ("step", "source", "what", "count"),
            [(row["step"], row["source"] or "", row["reason"], row["count"]) for row in drops],
        )
    else:
        page.text("nothing")
    return page.html()


def _growth(lengths: Lengths) -> str:
    points = [Point(float(words), float(n_distinct)) for words, n_distinct in lengths.growth]
    return curve_chart(
        "Vocabulary growth",
        [Curve("", points)],
        Axis("words", low=0.0),
        Axis("distinct words", low=0.0, high=1.05 * max(1.0, *(point.y for point in points))),
    )


def page_with_comparison(
    report: Artifact, tokens: Artifact, before: Artifact, new: NewWords
) -> str:
    """The page of ``report``, with the words that are new or gone since ``before``."""
    page = Page("What is new")
    page.text(f"{tokens.ref}, compared with {before.ref}")
    for title, n_words, table in (
        ("New words", new.n_appeared, new.appeared),
        ("Words that are gone", new.n_vanished, new.vanished),
    ):
        page.heading(f"{title}: {n_words:,}")
        columns = (table.column(name).to_pylist() for name in ("token", "count"))
        page.words(list(zip(*columns, strict=True)))
    return page.appended_to(report.file_path(PAGE).read_text(encoding="utf-8"))


class Report(ReportStage):
    """The stage that reports on a text corpus; logged to MLflow as well."""

    source = schemas.DOCUMENTS
    about = "what the corpus is like: tables and a page"
    tables = {
        "sources": schemas.REPORT_SOURCES_SCHEMA,
        "drops": schemas.REPORT_DROPS_SCHEMA,
        "lengths": schemas.REPORT_LENGTHS_SCHEMA,
        "growth": schemas.REPORT_GROWTH_SCHEMA,
        "languages": schemas.REPORT_LANGUAGES_SCHEMA,
    }
    uses_executor = True

    @classmethod
    def subjects(cls, config: NightjarConfig) -> Iterable[str]:
        """Every text corpus."""
        return config.text_corpora

    def identity(self, planning: Planning) -> Identity:
        """The two parents and nothing else."""
        return corpus_report_identity(
            planning.parents[schemas.DOCUMENTS], planning.parents[schemas.TOKENS], self.subject
        )

    def report(self, source: Artifact, tokens: Artifact, context: StageContext) -> None:
        """See :func:`.report_corpus`."""
        report_corpus(source, tokens, context)
