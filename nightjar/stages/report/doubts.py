"""What looks wrong in a corpus: marks of HTML, Markdown or a wiki in its text.

Marks are looked for in a sample of the documents, source by source, and among the most frequent
words, where they remain when somebody cut ``<br>`` into words before. A doubt is one sentence that
says what was measured and what to do; a night repeats it as an alarm.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html.entities import html5
from itertools import islice

from nightjar.files.html.html_elements import CELLS, TEXT_BLOCKS
from nightjar.stages.report.measures import sampled_documents
from nightjar.store import Artifact
from nightjar.wording import counted

_MAX_CHARS = 20_000
"""Characters of a document that are looked at."""
_LEAST_SHARE = 0.05
"""Share of a source's documents with a kind of mark, from which somebody should look."""
_LEAST_DOCUMENTS = 5
_TOP_WORDS = 500
_LEAST_FREQUENCY, _LEAST_COUNT = 0.0005, 20
"""Share of the tokens from which a word is suspicious: chance and quotations stay below."""

_INLINE = "a abbr b big center cite code em font i img s small span strike strong sub sup tt u wbr"
_OTHERS = "br pre script style table tbody"
_ELEMENTS = "|".join(sorted({*TEXT_BLOCKS, *CELLS, *_OTHERS.split(), *_INLINE.split()}))
_ENTITY = re.compile(r"&(?:#(?:[0-9]{2,7}|[xX][0-9a-fA-F]{2,6});|([A-Za-z][A-Za-z0-9]{1,31};))")


@dataclass(frozen=True)
class _Kind:
    """A kind of mark, and what to do about it."""

    name: str
    pattern: re.Pattern[str]
    advice: str

    def is_in(self, text: str) -> bool:
        found = self.pattern.finditer(text)
        if self.pattern is not _ENTITY:
            return next(found, None) is not None
        return any(match[1] is None or match[1] in html5 for match in found)


_BY_HTML = "add html to corpora.{corpus}.cleaning.steps"
_AT_THE_SOURCE = "no cleaning step removes them, so take them out where the texts are made"
_KINDS = (
    _Kind(
        "tags of HTML",
        re.compile(rf"</?(?:{_ELEMENTS})(?:[\s/][^<>]{{0,500}})?>", re.IGNORECASE),
        _BY_HTML,
    ),
    _Kind("entities of HTML such as &amp;", _ENTITY, _BY_HTML),
    _Kind(
        "links of Markdown",
        re.compile(r"\[[^\[\]\n]{1,300}\]\((?:https?://|www\.|/|#)[^\s()]{0,500}\)"),
        _AT_THE_SOURCE,
    ),
    _Kind(
        "marks of a wiki such as [[...]]",
        re.compile(r"\[\[[^\[\]\n]{1,300}\]\]|\{\{[^{}\n|]{1,100}\||<ref[ >/]"),
        "read its dump by a source of type mediawiki, or take them out where the texts are made",
    ),
)
_LEFT_BY_HTML = (
    "the step html found no mark-up in them, so they may be escaped twice (&amp;lt;br&amp;gt;): "
    "decode them where the texts are made"
)
_WORDS_OF_HTML = frozenset((
    "blockquote", "br", "colspan", "hellip", "href", "ldquo", "lsquo", "mdash", "nbsp", "ndash",
    "quot", "rdquo", "rsquo", "tbody",
))  # fmt: skip


def find_doubts(corpus: str, documents: Artifact, tokens: Artifact) -> tuple[str, ...]:
    """Everything that looks wrong, each in one sentence. Memory: a row group of the documents."""
    cleaning = documents.manifest.identity["config"].get("cleaning", {})
    has_html_step = "html" in cleaning.get("steps", ())
    words = _words_of_html(tokens)
    marks = list(_marks(documents, corpus, has_html_step))
    if words and any("HTML" in doubt for doubt in marks):
        marks[0] = f"{words}; {marks[0]}"
    elif words:
        marks.append(
            f"{words}: it seems that somebody cut mark-up of HTML into words; take it out where "
            f"the texts are made"
        )
    return tuple(marks)


def _marks(documents: Artifact, corpus: str, has_html_step: bool) -> Iterator[str]:
    looked_at: Counter[str] = Counter()
    found: dict[_Kind, Counter[str]] = {kind: Counter() for kind in _KINDS}
    for source, text in sampled_documents(documents):
        looked_at[source] += 1
        for kind in _KINDS:
            found[kind][source] += kind.is_in(text[:_MAX_CHARS])
    for kind in _KINDS:
        marked = list(_marked(found[kind], looked_at))
        if marked:
            advice = kind.advice.format(corpus=corpus)
            if has_html_step and kind.advice is _BY_HTML:
                advice = _LEFT_BY_HTML
            yield f"{kind.name} in {' and '.join(marked)}: {advice}"


def _marked(found: Mapping[str, int], looked_at: Mapping[str, int]) -> Iterator[str]:
    """The sources in which a kind of mark is frequent."""
    for source, n in found.items():
        share = n / looked_at[source]
        if n >= _LEAST_DOCUMENTS and share >= _LEAST_SHARE:
            sampled = counted(looked_at[source], "document")
            yield f"{share:.0%} of the documents of {source} ({n:,} of {sampled} looked at)"


def _words_of_html(tokens: Artifact) -> str:
    """The words of HTML among the most frequent words, with their ranks; "" if there are none."""
    least = max(_LEAST_COUNT, _LEAST_FREQUENCY * tokens.manifest.counts["tokens"])
    found = [
        f"{word!r} is the {_ordinal(rank)} most frequent word"
        for rank, (word, count) in enumerate(_frequent(tokens), start=1)
        if word.lower() in _WORDS_OF_HTML and count >= least
    ]
    return " and ".join(found[:3])


def _frequent(tokens: Artifact) -> Sequence[tuple[str, int]]:
    rows = (
        row
        for batch in tokens.batches("vocabulary", ["token", "count"])
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True)
    )
    return list(islice(rows, _TOP_WORDS))


def _ordinal(n: int) -> str:
    """``1st``, ``2nd``, ``40th``."""
    ending = "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending}"
