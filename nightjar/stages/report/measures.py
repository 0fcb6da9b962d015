"""Corpus statistics, in one pass over the tokens and a sample of the texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nightjar.progress import Progress
from nightjar.store import Artifact
from nightjar.store.schemas import DOCUMENTS
from nightjar.wording import counted

SAMPLED_DOCUMENTS = 1_000
"""Most documents without a declared language whose language is guessed."""
_SAMPLED_GROUPS = 50
_LANGUAGE_CHARS = 200
_MIN_LANGUAGE_CHARS = 50
GROWTH_POINTS = 200
"""Approximate number of points of the vocabulary growth curve; at most twice as many."""
MAX_NEW_WORDS = 1_000
UNDETERMINED = "und"
"""ISO 639-2's code for an undetermined language."""
_LEAST_PROBABILITY = 0.7
_MOST_BESIDE_A_RELATIVE = 0.25
_LEAST_TOLD = 0.005
_MANY_UNSURE = 0.05
_WRITTEN_RELATIVE: Mapping[str, str] = {
    "pcm": "en",
    "an": "es",
    "ext": "es",
    "lb": "de",
    "oc": "fr",
    "wa": "fr",
    "gcf": "fr",
    "gcr": "fr",
    "lij": "it",
    "vec": "it",
    "bcl": "tl",
    "ary": "ar",
    "arz": "ar",
    "wuu": "zh",
    "yue": "zh",
    "gom": "mr",
    "crh": "tr",
    "ltg": "lv",
    "sdh": "ku",
}
"""Languages that are written rarely, and the one that their texts are most alike."""


@dataclass(frozen=True)
class Lengths:
    """Word counts of documents and sources, and the growth of the vocabulary."""

    by_bin: Mapping[int, int]
    """Number of documents with 2**b to 2**(b + 1) - 1 words, by b; -1 for those without words."""
    words_by_source: Mapping[str, int]
    growth: tuple[tuple[int, int], ...]
    """Pairs: number of words read, and distinct words among them."""


def measure_lengths(tokens: Artifact, n_without_tokens: int, progress: Progress) -> Lengths:
    """Measure lengths in one pass. Memory: a row group, and a byte for each distinct word."""
    seen = np.zeros(tokens.rows("vocabulary"), np.bool_)
    by_bin: Counter[int] = Counter({-1: n_without_tokens} if n_without_tokens else {})
    by_source: Counter[str] = Counter()
    n_words = tokens.manifest.counts["tokens"]
    step = max(1, n_words // GROWTH_POINTS)
    growth = [(0, 0)]
    done = n_distinct = 0
    progress.start("measure the corpus", n_words, "words")
    with tokens.row_groups("sentences", ["doc_id", "token_ids"]) as groups:
        for number in range(len(groups)):
            group = groups.read(number).combine_chunks()
            lists = group.column("token_ids").combine_chunks()
            doc_ids, lengths = _by_document(group.column("doc_id").combine_chunks(), lists)
            by_bin.update(_bins(lengths))
            by_source.update(_by_source(doc_ids, lengths))
            ids = lists.flatten().to_numpy()
            firsts = _first_places(ids, seen)
            for end in range(step, len(ids) + step, step):
                upto = min(end, len(ids))
                growth.append((done + upto, n_distinct + int(np.searchsorted(firsts, upto))))
            done += len(ids)
            n_distinct += len(firsts)
            progress.advance(len(ids))
    return Lengths(dict(sorted(by_bin.items())), dict(by_source), tuple(growth))


def _by_document(
    doc_ids: pa.StringArray, lists: pa.ListArray
) -> tuple[pa.StringArray, NDArray[np.int64]]:
    """Each document of a row group and its number of words; no document spans row groups."""
    runs = pc.run_end_encode(doc_ids)
    ends = runs.run_ends.to_numpy()
    words = np.concatenate([[0], np.cumsum(pc.list_value_length(lists).to_numpy())])
    return runs.values, np.diff(words[np.concatenate([[0], ends])])


def _bins(lengths: NDArray[np.int64]) -> Counter[int]:
    exponents, counts = np.unique(np.frexp(lengths)[1] - 1, return_counts=True)
    return Counter(dict(zip(exponents.tolist(), counts.tolist(), strict=True)))


def _by_source(doc_ids: pa.StringArray, lengths: NDArray[np.int64]) -> Counter[str]:
    sources = pc.list_element(pc.split_pattern(doc_ids, ":", max_splits=1), 0)
    table = pa.table({"source": sources, "words": lengths}).group_by("source")
    rows = table.aggregate([("words", "sum")]).to_pylist()
    return Counter({row["source"]: row["words_sum"] for row in rows})


def _first_places(ids: NDArray[np.int32], seen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Positions of the first occurrences of ids not yet ``seen``, ascending; marks them as seen."""
    distinct, places = np.unique(ids, return_index=True)
    is_new = ~seen[distinct]
    seen[distinct] = True
    return np.sort(places[is_new])


@dataclass(frozen=True)
class Languages:
    """The languages of the documents."""

    declared: Mapping[str, int]
    """Number of documents by declared language; UNDETERMINED for those without one."""
    sampled: Mapping[str, int]
    """Number of sampled documents without a declared language, by py3langid's guess;
    UNDETERMINED for those that are too short, or whose guess is doubtful."""
    doubts: tuple[str, ...] = ()
    """Guesses that are not believed, and why."""

    @property
    def shares(self) -> dict[str, float]:
        """The estimated share of each language among all documents."""
        known = {name: n for name, n in self.declared.items() if name != UNDETERMINED}
        total = sum(self.declared.values())
        n_sampled = sum(self.sampled.values())
        if total == 0:
            return {}
        guessed = self.declared.get(UNDETERMINED, 0) / total
        shares = {name: n / total for name, n in known.items()}
        for name, n in self.sampled.items():
            shares[name] = shares.get(name, 0.0) + guessed * n / n_sampled
        if guessed and not n_sampled:
            shares[UNDETERMINED] = guessed
        return dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))


def measure_languages(documents: Artifact) -> Languages:
    """Count the declared languages; guess them for a sample of the documents without one."""
    declared: Counter[str] = Counter()
    for batch in documents.batches(DOCUMENTS, ["language"]):
        for row in pc.value_counts(batch.column("language")).to_pylist():
            declared[row["values"] or UNDETERMINED] += row["counts"]
    if not declared[UNDETERMINED]:
        del declared[UNDETERMINED]
        return Languages(dict(sorted(declared.items())), {})
    texts = (text for _, text in sampled_documents(documents, only_without_language=True))
    sampled, doubts = believed(Counter(map(_language, texts)), declared)
    return Languages(dict(sorted(declared.items())), dict(sorted(sampled.items())), doubts)


def believed(
    guessed: Counter[str], declared: Mapping[str, int]
) -> tuple[Counter[str], tuple[str, ...]]:
    """The guesses without those that are hardly true, and why those are not believed.

    Naive Bayes is sure of itself even where it is wrong: some English news looks like Nigerian
    Pidgin. A rarely written language beside much more of its written relative is a mistake.
    """
    kept, doubts = Counter(guessed), []
    n_sampled = guessed.total()
    for language, relative in _WRITTEN_RELATIVE.items():
        n, n_relative = guessed[language], guessed[relative]
        if not n or declared.get(language) or n > _MOST_BESIDE_A_RELATIVE * n_relative:
            continue
        kept[UNDETERMINED] += kept.pop(language)
        if n >= _LEAST_TOLD * n_sampled:
            doubts.append(
                f"{n:,} of {counted(n_sampled, 'document')} looked at look like {language}, and "
                f"{n_relative:,} like {relative}, its close relative that is written much more: "
                f"they are counted as {UNDETERMINED}, not as {language}"
            )
    n_unsure = guessed[UNDETERMINED]
    if n_unsure >= max(1, _MANY_UNSURE * n_sampled):
        doubts.append(
            f"{n_unsure:,} of {counted(n_sampled, 'document')} looked at are shorter than "
            f"{_MIN_LANGUAGE_CHARS} characters, or no language is probable enough "
            f"({_LEAST_PROBABILITY:.0%}): they are counted as {UNDETERMINED}"
        )
    return kept, tuple(doubts)


def sampled_documents(
    documents: Artifact, *, only_without_language: bool = False
) -> Iterator[tuple[str, str]]:
    """Sources and texts of documents, evenly spaced."""
    with documents.row_groups(DOCUMENTS, ["source", "language", "text"]) as groups:
        n_groups = min(_SAMPLED_GROUPS, len(groups))
        per_group = max(1, SAMPLED_DOCUMENTS // max(1, n_groups))
        for number in np.linspace(0, len(groups) - 1, n_groups).astype(int).tolist():
            table = groups.read(number)
            if only_without_language:
                table = table.filter(pc.is_null(table.column("language")))
            places = np.unique(np.linspace(0, len(table) - 1, per_group).astype(int))
            for place in places.tolist() if len(table) else []:
                yield table.column("source")[place].as_py(), table.column("text")[place].as_py()


def _language(text: str) -> str:
    text = text[:_LANGUAGE_CHARS]
    if len(text) < _MIN_LANGUAGE_CHARS:
        return UNDETERMINED
    found, probability = _identify()(text)
    return str(found) if probability >= _LEAST_PROBABILITY else UNDETERMINED


@cache
def _identify() -> Callable[[str], tuple[str, float]]:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # noqa: PLC0415  # loads slowly

    identify: Any = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    classify: Callable[[str], tuple[str, float]] = identify.classify
    return classify


@dataclass(frozen=True, eq=False)
class NewWords:
    """How the vocabulary differs from the version before."""

    appeared: pa.Table
    """token, count, n_documents: the most frequent words that are new."""
    vanished: pa.Table
    """The same columns: the most frequent words that are gone."""
    n_appeared: int
    n_vanished: int


def compare_vocabularies(tokens: Artifact, before: Artifact) -> NewWords:
    """The words that only one of the two has. Memory: both vocabularies."""
    columns = ["token", "count", "n_documents"]
    now, then = tokens.read("vocabulary", columns), before.read("vocabulary", columns)
    appeared = now.filter(pc.invert(pc.is_in(now.column("token"), then.column("token"))))
    vanished = then.filter(pc.invert(pc.is_in(then.column("token"), now.column("token"))))
    return NewWords(
        appeared.slice(0, MAX_NEW_WORDS),
        vanished.slice(0, MAX_NEW_WORDS),
        len(appeared),
        len(vanished),
    )


def ranges_of(by_bin: Mapping[int, int]) -> dict[tuple[int, int], int]:
    """How many there are by range (least, greatest), without gaps; bin b is 2^b to 2^(b+1) - 1.

    Bin -1 is 0.
    """
    if not by_bin:
        return {}
    bins = range(min(by_bin), max(by_bin) + 1)
    return {(0, 0) if b < 0 else (1 << b, (1 << (b + 1)) - 1): by_bin.get(b, 0) for b in bins}


def binned(values: NDArray[np.integer]) -> dict[tuple[int, int], int]:
    """How many ``values`` (from 0) are in each range of :func:`ranges_of`."""
    # The exponent of a number that is not too large is exact: 0 for 0, b + 1 for 2^b and more.
    bins = np.frexp(values.astype(np.float64))[1].astype(np.int64) - 1
    found, times = np.unique(bins, return_counts=True)
    return ranges_of(dict(zip(found.tolist(), times.tolist(), strict=True)))
