"""Ingest and tokenize from night to night: only what is new is done, and the bytes are the same."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from conftest import examples
from corpus_support import config_of, identity_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stage_support import context_of

from nightjar.config import IngestConfig, TokenizeConfig
from nightjar.core.executors import INLINE, Executor, ProcessExecutor
from nightjar.errors import SourceError, VocabularyError
from nightjar.progress import SILENT, Progress
from nightjar.sources import file_groups
from nightjar.stages.ingest import ingest
from nightjar.stages.tokenize import tokenize, tokens_identity
from nightjar.store import Artifact, FileEntry, Store, publish, schemas

SOURCE: Mapping[str, Any] = {
    "in": {"type": "jsonl", "path": "data/*.jsonl", "id_field": "id"},
}
IMDB = Path(__file__).parents[2] / "shared" / "data" / "imdb"


@pytest.fixture(scope="module")
def executor() -> Iterator[ProcessExecutor]:
    """Two processes for all tests here."""
    with ProcessExecutor(2) as processes:
        yield processes


class Recorder:
    """The totals of each phase."""

    def __init__(self) -> None:
        self.totals: dict[str, float | None] = {}

    def start(self, label: str, total: float | None, unit: str) -> None:
        self.totals[label] = total

    def advance(self, amount: float, note: str = "") -> None:
        pass


def night(
    base: Path,
    store: str = "artifacts",
    config: IngestConfig | None = None,
    progress: Progress = SILENT,
    executor: Executor = INLINE,
) -> tuple[Artifact, Artifact]:
    """Documents and tokens of what lies below ``base``."""
    config = config or config_of(SOURCE)
    root = base / store
    identity = identity_of(config, base)
    ref = publish(
        root,
        identity,
        lambda staging: ingest(
            config, context_of(staging, identity, base, progress=progress, executor=executor)
        ),
    )
    documents = Store(root).open(ref)
    cut = TokenizeConfig()
    tokens = publish(
        root,
        tokens_identity(cut, ref.version),
        lambda staging: tokenize(
            cut, documents, context_of(staging, progress=progress, executor=executor)
        ),
    )
    assert Store(root).verify(ref) == []
    assert Store(root).verify(tokens) == []
    return documents, Store(root).open(tokens)


def contents(artifacts: Sequence[Artifact]) -> list[tuple[FileEntry, ...]]:
    return [artifact.manifest.files for artifact in artifacts]


def write(base: Path, name: str, rows: Sequence[Mapping[str, Any]]) -> Path:
    path = base / "data" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def shards(base: Path, stage: str) -> set[str]:
    return {ref.version for ref in Store(base / "artifacts").versions(stage)}


@pytest.fixture
def one_file_a_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_groups, "LARGE_BYTES", 1)


@pytest.fixture
def seven(tmp_path: Path, one_file_a_shard: None) -> Path:
    """Seven files of three documents, each of which shares one with the file before."""
    for number in range(7):
        rows = [{"id": f"{number}-{row}", "text": f"text {number} of {row}"} for row in range(2)]
        write(tmp_path, f"{number}.jsonl", [*rows, {"id": number, "text": f"same {number // 2}"}])
    return tmp_path


def test_a_new_file_alone_is_read_and_tokenized(seven: Path) -> None:
    night(seven)
    before = shards(seven, schemas.DOCUMENT_SHARDS), shards(seven, schemas.TOKEN_SHARDS)
    assert [len(found) for found in before] == [7, 7]
    new = write(seven, "7.jsonl", [{"id": 70, "text": "entirely new"}])
    progress = Recorder()
    documents, _ = night(seven, progress=progress)
    assert progress.totals["read sources"] == new.stat().st_size
    assert progress.totals["tokenize"] == 1
    after = shards(seven, schemas.DOCUMENT_SHARDS), shards(seven, schemas.TOKEN_SHARDS)
    assert [len(found) for found in after] == [8, 8]
    assert documents.rows("documents") == 7 * 2 + 4 + 1
    assert contents(night(seven, "scratch")) == contents(night(seven))


def test_parts_that_are_known_are_linked_not_written(seven: Path) -> None:
    first, _ = night(seven)
    write(seven, "7.jsonl", [{"id": 70, "text": "entirely new"}])
    second, _ = night(seven)
    kept = [path.stat().st_ino for path in first.table_paths("documents")]
    assert [path.stat().st_ino for path in second.table_paths("documents")][:7] == kept


def test_a_file_whose_time_changes_is_not_new_and_one_whose_content_changes_is(
    seven: Path,
) -> None:
    night(seven)
    path = seven / "data" / "3.jsonl"
    os.utime(path, (1, 1))
    identity = identity_of(config_of(SOURCE), seven)
    assert Store(seven / "artifacts").is_published(schemas.DOCUMENTS, identity.version)
    stat = path.stat()
    path.write_bytes(path.read_bytes().replace(b"text 3", b"TEXT 3"))
    os.utime(path, (stat.st_atime, stat.st_mtime))
    progress = Recorder()
    documents, _ = night(seven, progress=progress)
    assert progress.totals["read sources"] == stat.st_size
    assert "TEXT 3 of 0" in documents.read("documents").column("text").to_pylist()
    assert contents(night(seven, "scratch")) == contents(night(seven))


def test_deleted_files_take_their_documents_with_them_and_free_their_duplicates(
    seven: Path,
) -> None:
    night(seven)
    (seven / "data" / "0.jsonl").unlink()
    progress = Recorder()
    documents, _ = night(seven, progress=progress)
    assert progress.totals["read sources"] == 0
    ids = documents.read("documents").column("doc_id").to_pylist()
    assert "in:0-0" not in ids
    assert "in:1" in ids  # its text was a duplicate of that of in:0
    assert contents(night(seven, "scratch")) == contents(night(seven))


ROWS = st.lists(
    st.fixed_dictionaries(
        {"id": st.integers(0, 6), "text": st.sampled_from(["", "a b", "b c.", "C!", "ä 1 2"])}
    ),
    max_size=4,
)
HISTORIES = st.lists(st.dictionaries(st.sampled_from("abcd"), ROWS, max_size=4), max_size=4)


@settings(deadline=None, max_examples=examples(12), suppress_health_check=list(HealthCheck))
@given(HISTORIES, st.booleans())
def test_any_history_ends_with_the_bytes_of_reading_everything_at_once(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    history: list[dict[str, list[dict[str, Any]]]],
    is_text_once: bool,
) -> None:
    monkeypatch.setattr(file_groups, "LARGE_BYTES", 100)  # smaller ones share a shard
    base = tmp_path_factory.mktemp("history")
    config = config_of(SOURCE, deduplicate=is_text_once)
    for files in history:
        shutil.rmtree(base / "data", ignore_errors=True)
        for name, rows in files.items():
            write(base, f"{name}.jsonl", rows)
        try:
            grown = night(base, config=config)
        except (SourceError, VocabularyError):
            continue  # nothing to read tonight
        shutil.rmtree(base / "scratch", ignore_errors=True)
        assert contents(grown) == contents(night(base, "scratch", config))


def test_processes_give_the_same_bytes_as_one_thread(
    seven: Path, monkeypatch: pytest.MonkeyPatch, executor: ProcessExecutor
) -> None:
    for module in (
        "nightjar.stages.ingest.shard_reading",
        "nightjar.stages.ingest.merging",
        "nightjar.stages.tokenize.tokenize_stage",
    ):
        monkeypatch.setattr(f"{module}.INLINE_BYTES", 0)
    inline = night(seven, "inline")
    assert contents(night(seven, executor=executor)) == contents(inline)


def test_an_artifact_of_an_earlier_version_is_no_help_but_does_no_harm(seven: Path) -> None:
    documents, _ = night(seven)
    (documents.directory / "documents" / "00000.parquet").unlink()  # damaged
    write(seven, "7.jsonl", [{"id": 70, "text": "entirely new"}])
    assert contents(night(seven)) == contents(night(seven, "scratch"))


def ids(documents: Artifact) -> list[str]:
    return documents.read("documents").column("doc_id").to_pylist()


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
def test_a_limit_keeps_the_first_documents(seven: Path, limit: int) -> None:
    whole = ids(night(seven)[0])
    documents, _ = night(seven, "limited", config_of(SOURCE, limit=limit))
    assert ids(documents) == whole[:limit]


def test_a_limit_leaves_files_unread_and_is_the_same_in_processes(
    seven: Path, monkeypatch: pytest.MonkeyPatch, executor: ProcessExecutor
) -> None:
    config = config_of(SOURCE, limit=5)
    inline = night(seven, config=config)
    assert len(shards(seven, schemas.DOCUMENT_SHARDS)) == 2
    monkeypatch.setattr("nightjar.stages.ingest.shard_reading.INLINE_BYTES", 0)
    assert contents(night(seven, "two", config, executor=executor)) == contents(inline)


@pytest.mark.skipif(not IMDB.is_dir(), reason="the film reviews are not in ../shared/data/imdb")
def test_one_shard_of_reviews_more_gives_the_bytes_of_all_eight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, executor: ProcessExecutor
) -> None:
    monkeypatch.setattr(file_groups, "LARGE_BYTES", 1)
    paths = [tmp_path / f"reviews-{number:02}.parquet" for number in range(8)]
    for path in paths:
        pq.write_table(pq.read_table(IMDB / path.name).slice(0, 300), path)

    def config(n_files: int) -> IngestConfig:
        used = [str(path) for path in paths[:n_files]]
        return config_of({"imdb": {"type": "parquet", "path": used, "id_column": "id"}})

    night(tmp_path, config=config(7), executor=executor)
    progress = Recorder()
    grown = night(tmp_path, config=config(8), progress=progress, executor=executor)
    assert progress.totals["read sources"] == paths[7].stat().st_size
    assert progress.totals["tokenize"] == grown[0].parts("documents")[-1].rows <= 300
    assert contents(grown) == contents(night(tmp_path, "scratch", config(8), executor=executor))


def test_limits_of_sources_hold_each_by_itself_and_with_that_over_all(seven: Path) -> None:
    """Seven shards of one source and two documents of another behind it."""
    write(seven, "more.json", [{"id": 1, "text": "one more"}, {"id": 2, "text": "two more"}])
    more = {"type": "jsonl", "path": "data/more.json", "id_field": "id"}
    first = {"in": {**SOURCE["in"], "limit": 4}, "more": more}
    whole = ids(night(seven, "whole", config_of({**SOURCE, "more": more}))[0])
    limited = ids(night(seven, "a", config_of(first))[0])
    assert limited == [*whole[:4], "more:1", "more:2"]
    assert ids(night(seven, "b", config_of(first, limit=5))[0]) == limited[:5]
    assert ids(night(seven, "c", config_of(first, limit=2))[0]) == limited[:2]
    second = {**SOURCE, "more": {**more, "limit": 1}}
    assert ids(night(seven, "d", config_of(second))[0]) == whole[:-1]
