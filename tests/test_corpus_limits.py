"""Limits count the documents that are kept; what is behind a limit is as if it were not there."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from conftest import examples
from corpus_support import Ingested, config_of, identity_of, text_source
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from stage_support import context_of

from nightjar.config import IngestConfig
from nightjar.core.executors import INLINE, Executor, ProcessExecutor
from nightjar.core.executors.executor import Advance, Piece, Result
from nightjar.errors import SourceError
from nightjar.sources import file_groups
from nightjar.stages.ingest import ingest, shard_reading
from nightjar.stages.ingest.admission import decide
from nightjar.stages.ingest.duplicates import Bands, signatures_of
from nightjar.store import Store, publish, schemas

DUPLICATES = {"duplicate", "duplicate_id", "near_duplicate"}


class AheadExecutor:
    """Takes as many pieces at a time as ``n_workers`` do, the last one first."""

    is_cluster = False

    def __init__(self, n_workers: int) -> None:
        self.n_workers = n_workers

    def release(self) -> None:
        pass

    def map(
        self,
        function: Callable[[Piece, Advance], Result],
        pieces: Sequence[Piece],
        advance: Advance,
    ) -> Iterator[Result]:
        yield from [function(piece, advance) for piece in reversed(pieces)][::-1]


def night(
    base: Path, config: IngestConfig, store: str = "artifacts", executor: Executor = INLINE
) -> Ingested:
    root = base / store
    identity = identity_of(config, base)
    ref = publish(
        root,
        identity,
        lambda staging: ingest(config, context_of(staging, identity, base, executor=executor)),
    )
    assert Store(root).verify(ref) == []
    return Ingested(Store(root).open(ref))


def ids(result: Ingested) -> list[str]:
    return [row["doc_id"] for row in result.documents]


def n_read(base: Path, store: str = "artifacts") -> list[int]:
    """Documents of each shard that was read, most first."""
    shards = Store(base / store)
    found = [shards.open(ref) for ref in shards.versions(schemas.DOCUMENT_SHARDS)]
    return sorted((shard.rows("documents") for shard in found), reverse=True)


def write(base: Path, name: str, texts: Sequence[str]) -> None:
    (base / name).write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")


@pytest.fixture
def one_file_a_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_groups, "LARGE_BYTES", 1)


@pytest.mark.parametrize(
    ("limit", "kept"),
    [(1, "a"), (2, "ab"), (3, "abc"), (4, "abcd"), (5, "abcde"), (6, "abcde")],
)
@pytest.mark.parametrize("where", ["source", "all", "both"])
def test_duplicates_do_not_count(tmp_path: Path, limit: int, kept: str, where: str) -> None:
    write(tmp_path, "in.txt", list("aabacbdade"))
    of_source = {"limit": limit + (where == "both")} if where != "all" else {}
    of_all = {"limit": limit} if where != "source" else {}
    result = night(tmp_path, config_of(text_source("in.txt", **of_source), **of_all))
    assert result.texts == list(kept)
    assert result.counts["documents_kept"] == len(kept)


def test_no_document_is_a_duplicate_of_one_behind_a_limit(tmp_path: Path) -> None:
    write(tmp_path, "one.txt", ["x", "x", "y", "z"])
    write(tmp_path, "two.txt", ["y", "x", "z"])
    one = text_source("one.txt", limit=1)["in"]
    two = text_source("two.txt")["in"]
    result = night(tmp_path, config_of({"one": one, "two": two}))
    assert [(row["source"], row["text"]) for row in result.documents] == [
        ("one", "x"),
        ("two", "y"),
        ("two", "z"),
    ]
    assert [(row["source"], row["reason"]) for row in result.quarantine] == [("two", "duplicate")]
    found = result.report
    assert [found[name]["documents_kept"] for name in ("one", "two")] == [1, 2]


def test_what_a_limit_cuts_neither_counts_nor_is_in_quarantine(tmp_path: Path) -> None:
    write(tmp_path, "in.txt", ["a", "b", "a", "b", "c"])
    result = night(tmp_path, config_of(text_source("in.txt"), limit=2))
    assert result.texts == ["a", "b"]
    assert result.quarantine == []
    assert result.counts["documents_read"] == 2


def test_ids_that_occur_twice_do_not_count(tmp_path: Path) -> None:
    rows = [(1, "a"), (1, "b"), (2, "a"), (2, "c"), (3, "d"), (4, "e")]
    lines = [json.dumps({"id": number, "text": text}) for number, text in rows]
    write(tmp_path, "in.jsonl", lines)
    source = {"in": {"type": "jsonl", "path": "in.jsonl", "id_field": "id", "limit": 3}}
    result = night(tmp_path, config_of(source))
    assert [(row["doc_id"], row["text"]) for row in result.documents] == [
        ("in:1", "a"),
        ("in:2", "c"),
        ("in:3", "d"),
    ]
    assert [row["reason"] for row in result.quarantine] == ["duplicate_id", "duplicate"]


def test_near_duplicates_do_not_count_either(tmp_path: Path) -> None:
    words = [f"word{number}" for number in range(300)]
    texts = [" ".join(words[start : start + 60]) for start in (0, 60, 120, 180)]
    near = [f"{text} more" for text in texts]
    write(tmp_path, "in.txt", [texts[0], near[0], texts[1], near[1], near[0], texts[2], texts[3]])
    write(tmp_path, "two.txt", [near[3], near[2]])
    sources = {
        "in": text_source("in.txt", limit=3)["in"],
        "two": text_source("two.txt")["in"],
    }
    near_duplicates = {"threshold": 0.8, "shingle": 5}
    result = night(tmp_path, config_of(sources, near_duplicates=near_duplicates))
    assert result.texts == [*texts[:3], near[3]]
    assert [(row["source"], row["reason"]) for row in result.quarantine] == [
        *[("in", "near_duplicate")] * 3,
        ("two", "near_duplicate"),
    ]


def test_of_a_large_file_no_more_is_read_than_it_takes(tmp_path: Path) -> None:
    """Ten are asked for and six of those are kept; of twenty, it is enough."""
    texts = [f"text {number}" for number in range(5_000)]
    write(tmp_path, "in.txt", texts)
    assert night(tmp_path, config_of(text_source("in.txt"), limit=10)).texts == texts[:10]
    assert n_read(tmp_path) == [10]
    write(tmp_path, "in.txt", [*["text 0"] * 4, *texts])
    result = night(tmp_path, config_of(text_source("in.txt"), limit=10), "again")
    assert result.texts == texts[:10]
    assert n_read(tmp_path, "again") == [20, 10]


def test_a_limit_finds_its_shards_in_few_rounds(
    tmp_path: Path, one_file_a_shard: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fifty files of copies, and the last document that it takes in one of the last."""
    for number in range(50):
        new = ["new"] if number == 45 else [f"text {number % 7}"]
        write(tmp_path, f"{number:02}.txt", [*[f"text {row}" for row in range(7)], *new])
    rounds = []

    def counted(*arguments: Any) -> Any:
        rounds.append(len(arguments[1]))
        return decide(*arguments)

    monkeypatch.setattr("nightjar.stages.ingest.shard_reading.decide", counted)
    result = night(tmp_path, config_of(text_source("*.txt"), limit=8))
    assert result.texts == [*[f"text {row}" for row in range(7)], "new"]
    assert rounds == sorted(rounds)
    assert len(rounds) < 35
    assert rounds[-1] <= 46 * 9 / 8 + 1
    assert result.report["in"]["files_read"] == 46


def test_a_damaged_file_behind_the_limit_is_none_of_our_business_however_many_workers(
    tmp_path: Path, one_file_a_shard: None
) -> None:
    write(tmp_path, "a.txt.gz.not", ["a"])
    write(tmp_path, "1.txt", ["a", "b", "a"])
    (tmp_path / "2.txt.gz").write_bytes(b"\x1f\x8b damaged")
    write(tmp_path, "3.txt", ["c"])
    source = text_source(["1.txt", "2.txt.gz", "3.txt"])
    enough, too_few = config_of(source, limit=2), config_of(source, limit=3)
    for n_workers in (1, 2, 3):
        executor = AheadExecutor(n_workers)
        result = night(tmp_path, enough, f"store{n_workers}", executor)
        assert result.texts == ["a", "b"]
        with pytest.raises(SourceError, match=r"2\.txt\.gz"):
            night(tmp_path, too_few, f"store{n_workers}", executor)


def test_limits_are_those_of_one_process_in_several(
    tmp_path: Path, one_file_a_shard: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        write(tmp_path, f"{number}.txt", ["a", "b", f"text {number}", "c"])
    config = config_of(text_source("*.txt", limit=7), limit=6)
    inline = night(tmp_path, config)
    assert inline.texts == ["a", "b", "text 0", "c", "text 1", "text 2"]
    monkeypatch.setattr(shard_reading, "INLINE_BYTES", 0)
    with ProcessExecutor(2) as executor:
        several = night(tmp_path, config, "two", executor)
    assert several.artifact.manifest.files == inline.artifact.manifest.files


@dataclass(frozen=True)
class Rules:
    """A case of the comparison with the reference."""

    files: Mapping[str, list[list[tuple[int | None, str]]]]
    """By source its files, by file its rows: id and text."""
    limits: Mapping[str, int | None]
    limit: int | None
    is_text_once: bool
    threshold: float | None

    @property
    def config(self) -> IngestConfig:
        near = None if self.threshold is None else {"threshold": self.threshold, "shingle": 2}
        sources = {
            name: {
                "type": "jsonl",
                "path": f"{name}/*.jsonl",
                "id_field": "id",
                "limit": self.limits[name],
            }
            for name in self.files
        }
        return config_of(
            sources, limit=self.limit, deduplicate=self.is_text_once, near_duplicates=near
        )

    def write(self, base: Path) -> None:
        for name, files in self.files.items():
            (base / name).mkdir(exist_ok=True)
            for number, rows in enumerate(files):
                values = [{"id": native, "text": text} for native, text in rows]
                write(base / name, f"{number}.jsonl", [json.dumps(value) for value in values])


@dataclass
class Reference:
    """One document after the other, compared with all that are kept, until a limit is full."""

    rules: Rules

    def __post_init__(self) -> None:
        self.kept: list[tuple[str, str]] = []
        self.dropped: list[tuple[str, str]] = []
        self.n_kept: Counter[str] = Counter()
        self._n_repeated: Counter[str] = Counter()
        self._ids: set[str] = set()

    def read(self) -> None:
        for source, files in self.rules.files.items():
            for number, rows in enumerate(files):
                for line, (native, text) in enumerate(rows, 1):
                    if self._is_full(source):
                        break
                    self._read(f"{source}/{number}.jsonl:{line}", source, native, text)

    def _is_full(self, source: str) -> bool:
        limits = self.rules.limits[source], self.rules.limit
        of_source, of_all = (inf if limit is None else limit for limit in limits)
        return self.n_kept[source] >= of_source or len(self.kept) >= of_all

    def _read(self, place: str, source: str, native: int | None, text: str) -> None:
        doc_id = f"{source}:{native}" if native is not None else f"{source}:{text}"
        reason = self._reason(doc_id, text, is_native=native is not None)
        if reason is not None:
            self.dropped.append((place.split("/")[1], reason))
            return
        if doc_id in self._ids:
            self._n_repeated[doc_id] += 1
        self._ids.add(doc_id)
        self.kept.append((source, text))
        self.n_kept[source] += 1

    def _reason(self, doc_id: str, text: str, *, is_native: bool) -> str | None:
        if self.rules.is_text_once and any(text == other for _, other in self.kept):
            return "duplicate"
        if doc_id in self._ids and (is_native or self.rules.is_text_once):
            return "duplicate_id"
        if self.rules.threshold is not None:
            threshold = self.rules.threshold
            if any(is_near(text, other, threshold) for _, other in self.kept):
                return "near_duplicate"
        return None


_SIGNATURES: dict[str, NDArray[np.uint32]] = {}


def signature(text: str) -> NDArray[np.uint32]:
    if text not in _SIGNATURES:
        _SIGNATURES[text] = signatures_of(pa.array([text], pa.large_string()), 2)
    return _SIGNATURES[text]


def is_near(one: str, other: str, threshold: float) -> bool:
    a, b = signature(one), signature(other)
    bands = Bands.of(threshold)
    meets = bool((bands.keys(a) == bands.keys(b)).any())
    return meets and float((a == b).mean()) >= threshold


TEXTS = [
    "a",
    "b",
    "c",
    "one two three four five",
    "one two three four six",
    "zero one two three four five",
    "seven eight nine ten eleven twelve",
    "eight nine ten eleven twelve",
]
ROW = st.tuples(st.one_of(st.none(), st.integers(0, 5)), st.sampled_from(TEXTS))
FILES = st.lists(st.lists(ROW, max_size=6), min_size=1, max_size=4)
LIMIT = st.one_of(st.none(), st.integers(1, 8))
RULES = st.builds(
    Rules,
    files=st.fixed_dictionaries(dict.fromkeys("xyz", FILES)),
    limits=st.fixed_dictionaries(dict.fromkeys("xyz", LIMIT)),
    limit=LIMIT,
    is_text_once=st.booleans(),
    threshold=st.sampled_from([None, 0.5]),
)


@settings(deadline=None, max_examples=examples(12), suppress_health_check=list(HealthCheck))
@given(RULES, st.integers(0, 3), st.sampled_from([2, 3, 7]))
@example(
    Rules(
        {"x": [[(None, "a"), (None, "a"), (None, "b")], [(None, "a"), (None, "c")]], "y": [[]]},
        {"x": 3, "y": None},
        None,
        is_text_once=True,
        threshold=None,
    ),
    0,
    2,
)
def test_any_limits_keep_what_reading_one_document_after_the_other_keeps(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    rules: Rules,
    n_files_first: int,
    n_workers: int,
) -> None:
    """Also when a part of the files came a night before, and with workers that read ahead."""
    monkeypatch.setattr(file_groups, "LARGE_BYTES", 150)  # smaller ones share a shard
    monkeypatch.setattr(shard_reading, "INLINE_BYTES", 0)
    base = tmp_path_factory.mktemp("limits")
    reference = Reference(rules)
    reference.read()
    rules.write(base)
    if not reference.kept:
        with pytest.raises(SourceError, match="no document left"):
            night(base, rules.config)
        return
    result = night(base, rules.config)
    assert [(row["source"], row["text"]) for row in result.documents] == reference.kept
    dropped = [
        (row["locator"].split("/")[-1], row["reason"])
        for row in result.quarantine
        if row["reason"] in DUPLICATES
    ]
    assert dropped == reference.dropped
    assert result.counts["documents_kept"] == len(reference.kept)
    ahead = night(base, rules.config, "ahead", AheadExecutor(n_workers))
    assert ahead.artifact.manifest.files == result.artifact.manifest.files
    assert ahead.artifact.manifest.report == result.artifact.manifest.report
    _night_before(base, rules, n_files_first)
    grown = night(base, rules.config, "grown")
    assert grown.artifact.manifest.files == result.artifact.manifest.files
    assert grown.artifact.manifest.report == result.artifact.manifest.report


def _night_before(base: Path, rules: Rules, n_files: int) -> None:
    """A night with fewer files and without limits, then one with all and other limits."""
    all_files = sorted(base.glob("*/*.jsonl"))
    later = [path for path in all_files if int(path.stem) >= n_files]
    for path in later:
        path.rename(path.with_suffix(".later"))
    with suppress(SourceError):  # nothing to read that night
        night(base, rules.config.model_copy(update={"limit": None}), "grown")
    for path in later:
        path.with_suffix(".later").rename(path)
    night(base, rules.config.model_copy(update={"limit": 2}), "grown")
