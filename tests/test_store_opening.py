"""Opening, finding and verifying what is published."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import PROJECT_ROOT

from nightjar.errors import ArtifactDamaged, ArtifactMissing, StoreError
from nightjar.store import ArtifactRef, Identity, Manifest, Staging, Store, publish, schemas
from nightjar.store.manifest import MANIFEST_NAME, read_created_at

SCHEMA = schemas.vectors_schema(4)


def vectors(n_rows: int, seed: int = 0) -> pa.Table:
    values = np.random.default_rng(seed).standard_normal(n_rows * 4).astype(np.float32)
    return pa.table(
        {
            "token": [f"t{seed}-{row}" for row in range(n_rows)],
            "count": np.arange(n_rows),
            "vector": pa.FixedSizeListArray.from_arrays(values, type=schemas.vector_type(4)),
        },
        schema=SCHEMA,
    )


def write_vectors(staging: Staging) -> None:
    with staging.writer("vectors", SCHEMA) as writer:
        for seed in range(3):
            writer.write_table(vectors(20, seed))
    with staging.writer("losses", schemas.LOSSES_SCHEMA):
        pass


def published(root: Path, size: int = 1, stage: str = "embeddings") -> ArtifactRef:
    return publish(root, Identity(stage, "glove", {"size": size}), write_vectors)


@pytest.fixture
def ref(tmp_path: Path) -> ArtifactRef:
    return published(tmp_path)


READ = """
import sys
from pathlib import Path
import psutil
from nightjar.store import Store, opening

opening._FEW_ROWS = int(sys.argv[1])
artifact = Store(Path(sys.argv[2])).open(Store(Path(sys.argv[2])).versions("embeddings")[0])
before = psutil.Process().num_threads()
artifact.read("vectors")
list(artifact.batches("vectors"))
print(psutil.Process().num_threads() - before)
"""


@pytest.mark.parametrize(("few", "is_threaded"), [(60, False), (59, True)])
def test_few_rows_are_read_in_this_thread(ref: ArtifactRef, few: int, is_threaded: bool) -> None:
    """A process that ends right after Arrow started threads may abort."""
    root = Path(ref.path).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", READ, str(few), str(root)],
        check=True,
        capture_output=True,
        text=True,
        cwd=PROJECT_ROOT,
    )
    assert (int(done.stdout) > 0) == is_threaded


def rewrite_manifest(ref: ArtifactRef, change: Callable[[Manifest], Manifest]) -> None:
    """Replace the manifest by a changed one whose own checksum is right."""
    text = change(Manifest.read(Path(ref.path))).to_text()
    (Path(ref.path) / MANIFEST_NAME).write_text(text, encoding="utf-8")


# -- reading -----------------------------------------------------------------------------


def test_a_table_is_read_whole_by_column_or_in_batches(tmp_path: Path, ref: ArtifactRef) -> None:
    artifact = Store(tmp_path).open(ref)
    expected = pa.concat_tables([vectors(20, seed) for seed in range(3)])
    assert artifact.read("vectors") == expected
    assert artifact.read("vectors", ["count"]) == expected.select(["count"])
    batches = list(artifact.batches("vectors", ["token"], batch_rows=15))
    assert [len(batch) for batch in batches] == [15, 5] * 3
    assert pa.Table.from_batches(batches) == expected.select(["token"]).combine_chunks()
    assert artifact.rows("vectors") == 60
    assert artifact.schema("vectors") == SCHEMA
    assert list(artifact.batches("losses")) == []


def test_a_table_or_column_that_is_not_there_is_missing(tmp_path: Path, ref: ArtifactRef) -> None:
    artifact = Store(tmp_path).open(ref)
    assert artifact.has_table("vectors")
    assert not artifact.has_table("vector")
    for attempt in (artifact.read, artifact.rows, artifact.table_paths, artifact.schema):
        with pytest.raises(ArtifactMissing, match="has no table 'ngrams'"):
            attempt("ngrams")
    with pytest.raises(ArtifactMissing, match=r"vectors\.parquet has no column counts, word"):
        artifact.read("vectors", ["word", "count", "counts"])
    with pytest.raises(ArtifactMissing, match="no column word"):
        next(artifact.batches("vectors", ["word"]))


def test_batches_hold_a_row_group_in_memory_not_the_table(tmp_path: Path) -> None:
    schema = pa.schema([pa.field("x", pa.float64(), nullable=False)])
    n_rows, n_groups = 50_000, 20

    def write(staging: Staging) -> None:
        with staging.writer("numbers", schema) as writer:
            for seed in range(n_groups):
                numbers = np.random.default_rng(seed).random(n_rows)
                writer.write_table(pa.table({"x": numbers}, schema=schema))

    artifact = Store(tmp_path).open(publish(tmp_path, Identity("tokens", "", {}), write))
    before = pa.total_allocated_bytes()
    total, peak = 0, 0
    for batch in artifact.batches("numbers"):
        total += len(batch)
        peak = max(peak, pa.total_allocated_bytes() - before)
    assert total == n_rows * n_groups
    assert peak < 4 * n_rows * 8


def test_refs_are_absolute_though_the_store_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert (
        Store(Path("store")).ref("tokens", "0" * 12).path == f"{tmp_path}/store/tokens/{'0' * 12}"
    )


# -- damage ------------------------------------------------------------------------------


def cut_file(ref: ArtifactRef) -> None:
    os.truncate(Path(ref.path) / "vectors.parquet", 100)


def empty_file(ref: ArtifactRef) -> None:
    os.truncate(Path(ref.path) / "vectors.parquet", 0)


def remove_file(ref: ArtifactRef) -> None:
    (Path(ref.path) / "vectors.parquet").unlink()


def directory_for_file(ref: ArtifactRef) -> None:
    remove_file(ref)
    (Path(ref.path) / "vectors.parquet").mkdir()


def cut_manifest(ref: ArtifactRef) -> None:
    os.truncate(Path(ref.path) / MANIFEST_NAME, 200)


def empty_manifest(ref: ArtifactRef) -> None:
    os.truncate(Path(ref.path) / MANIFEST_NAME, 0)


def list_for_manifest(ref: ArtifactRef) -> None:
    (Path(ref.path) / MANIFEST_NAME).write_text("[]")


def deep_manifest(ref: ArtifactRef) -> None:
    (Path(ref.path) / MANIFEST_NAME).write_text("[" * 100_000)


def binary_manifest(ref: ArtifactRef) -> None:
    (Path(ref.path) / MANIFEST_NAME).write_bytes(b"\xff\xfe\x00")


def edit_manifest(ref: ArtifactRef) -> None:
    path = Path(ref.path) / MANIFEST_NAME
    path.write_text(path.read_text().replace('"rows": 60', '"rows": 61'))


def retype_manifest(ref: ArtifactRef) -> None:
    path = Path(ref.path) / MANIFEST_NAME
    path.write_text(path.read_text().replace('"rows": 60', '"rows": "60"'))


def nan_in_manifest(ref: ArtifactRef) -> None:
    path = Path(ref.path) / MANIFEST_NAME
    path.write_text(path.read_text().replace('"report": {}', '"report": {"loss": NaN}'))


def shorten_manifest(ref: ArtifactRef) -> None:
    path = Path(ref.path) / MANIFEST_NAME
    content = json.loads(path.read_text())
    del content["files"]
    path.write_text(json.dumps(content))


def manifest_of_another_version(ref: ArtifactRef) -> None:
    rewrite_manifest(ref, lambda manifest: replace(manifest, version="0" * 12))


def manifest_of_a_newer_nightjar(ref: ArtifactRef) -> None:
    path = Path(ref.path) / MANIFEST_NAME
    path.write_text(json.dumps({"schema_version": 2, "tables": "elsewhere"}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut_file, r"vectors\.parquet has 100 bytes, the manifest says \d+"),
        (empty_file, r"vectors\.parquet has 0 bytes, the manifest says \d+"),
        (remove_file, r"vectors\.parquet is missing"),
        (directory_for_file, r"vectors\.parquet is missing"),
        (cut_manifest, r"manifest\.json: the manifest cannot be read \(JSONDecodeError"),
        (empty_manifest, r"manifest\.json: the manifest cannot be read \(JSONDecodeError"),
        (list_for_manifest, r"cannot be read \(TypeError: not a JSON object"),
        (deep_manifest, r"cannot be read \(RecursionError"),
        (binary_manifest, r"cannot be read \(UnicodeDecodeError"),
        (edit_manifest, r"manifest\.json: the manifest was changed after it was published"),
        (retype_manifest, r"cannot be read \(files\.1\.rows: Input should be a valid integer"),
        (nan_in_manifest, r"cannot be read \(ValueError: Out of range float"),
        (shorten_manifest, r"cannot be read \(files: Field required"),
        (manifest_of_another_version, r"its manifest is of embeddings/0{12}"),
        (manifest_of_a_newer_nightjar, r"newer Nightjar \(schema 2, this one knows 1\); upgrade"),
    ],
)
def test_damage_that_opening_finds(
    tmp_path: Path,
    ref: ArtifactRef,
    damage: Callable[[ArtifactRef], None],
    message: str,
) -> None:
    damage(ref)
    with pytest.raises(ArtifactDamaged, match=message) as caught:
        Store(tmp_path).open(ref)
    assert Store(tmp_path).verify(ref) == [str(caught.value)]


def flip_byte(ref: ArtifactRef) -> None:
    path = Path(ref.path) / "vectors.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def add_file(ref: ArtifactRef) -> None:
    (Path(ref.path) / "notes.txt").write_text("mine")


def miscount(ref: ArtifactRef) -> None:
    def change(manifest: Manifest) -> Manifest:
        return replace(manifest, files=tuple(replace(file, rows=7) for file in manifest.files))

    rewrite_manifest(ref, change)


def rename_column(ref: ArtifactRef) -> None:
    def change(manifest: Manifest) -> Manifest:
        files = tuple(replace(file, columns={"a": "int64"}) for file in manifest.files)
        return replace(manifest, files=files)

    rewrite_manifest(ref, change)


def change_identity(ref: ArtifactRef) -> None:
    rewrite_manifest(
        ref, lambda manifest: replace(manifest, identity={**manifest.identity, "name": "x"})
    )


@pytest.mark.parametrize(
    ("damage", "problems"),
    [
        (flip_byte, ["vectors.parquet does not have the sha256 of the manifest"]),
        (add_file, ["notes.txt is not in the manifest"]),
        (
            miscount,
            [
                "losses.parquet has 0 rows, the manifest says 7",
                "vectors.parquet has 60 rows, the manifest says 7",
            ],
        ),
        (rename_column, ["losses.parquet has columns", "vectors.parquet has columns"]),
        (change_identity, ["the version is not the hash of the manifest's identity"]),
    ],
)
def test_damage_that_verifying_finds(
    tmp_path: Path,
    ref: ArtifactRef,
    damage: Callable[[ArtifactRef], None],
    problems: list[str],
) -> None:
    assert Store(tmp_path).verify(ref) == []
    damage(ref)
    found = Store(tmp_path).verify(ref)
    assert len(found) == len(problems)
    assert all(
        line.startswith(f"{ref}: {problem}") for line, problem in zip(found, problems, strict=True)
    )


def test_reading_gives_the_published_rows_or_says_what_is_damaged(
    tmp_path: Path, ref: ArtifactRef
) -> None:
    artifact = Store(tmp_path).open(ref)
    path = artifact.table_paths("vectors")[0]
    content = path.read_bytes()
    expected = artifact.read("vectors")
    n_damaged = 0
    for position in range(0, len(content), 13):
        flipped = bytearray(content)
        flipped[position] ^= 0x80
        path.write_bytes(flipped)
        try:
            assert artifact.read("vectors") == expected
        except ArtifactDamaged:
            n_damaged += 1
    assert n_damaged > len(content) / 13 / 2


def test_batches_before_the_damage_are_given_then_it_is_named(
    tmp_path: Path, ref: ArtifactRef
) -> None:
    artifact = Store(tmp_path).open(ref)
    path = artifact.table_paths("vectors")[0]
    column = pq.read_metadata(path).row_group(2).column(2)
    content = bytearray(path.read_bytes())
    content[column.data_page_offset + column.total_compressed_size - 1] ^= 1
    path.write_bytes(content)
    batches = artifact.batches("vectors")
    assert [len(next(batches)), len(next(batches))] == [20, 20]
    with pytest.raises(ArtifactDamaged, match=r"vectors\.parquet cannot be read: .*set-aside"):
        next(batches)


def test_another_table_in_a_file_s_place_is_refused(tmp_path: Path, ref: ArtifactRef) -> None:
    artifact = Store(tmp_path).open(ref)
    pq.write_table(pa.table({"other": [1]}), artifact.table_paths("vectors")[0])
    with pytest.raises(
        ArtifactDamaged, match=r"has columns \{'other': 'int64'\}, the manifest says"
    ):
        artifact.read("vectors")


# -- finding -----------------------------------------------------------------------------


def test_nothing_published_is_missing_and_says_where(tmp_path: Path) -> None:
    store = Store(tmp_path / "absent")
    assert not store.is_published("tokens", "0" * 12)
    assert store.versions("tokens") == []
    with pytest.raises(ArtifactMissing, match=f"tokens/{'0' * 12}: nothing is published .* in "):
        store.open(store.ref("tokens", "0" * 12))


def test_a_directory_without_a_manifest_does_not_exist(tmp_path: Path, ref: ArtifactRef) -> None:
    (Path(ref.path) / MANIFEST_NAME).unlink()
    store = Store(tmp_path)
    assert not store.is_published(ref.stage, ref.version)
    assert store.versions("embeddings") == []
    with pytest.raises(ArtifactMissing, match="nothing is published"):
        store.open(ref)


def test_a_path_that_cannot_be_looked_up_is_a_store_error(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (tmp_path / "tokens").mkdir()
    with pytest.raises(StoreError, match="cannot be looked up"):
        store.open(store.ref("tokens", "0" * 300))


def test_versions_are_listed_by_the_time_of_publishing_whatever_the_disk_says(
    tmp_path: Path,
) -> None:
    refs = [published(tmp_path, size) for size in range(20)]
    for ref, moment in zip(refs, reversed(range(20)), strict=True):
        os.utime(Path(ref.path) / MANIFEST_NAME, (moment, moment))
        os.utime(ref.path, (moment, moment))
    (tmp_path / "embeddings" / ".staging-000000000000-x").mkdir()
    (tmp_path / "embeddings" / ("0" * 12)).mkdir()
    (tmp_path / "embeddings" / ("1" * 12)).write_text("no directory")
    shutil.copytree(refs[0].path, tmp_path / "embeddings" / "copy-of-it")
    assert Store(tmp_path).versions("embeddings") == refs


def test_versions_of_one_moment_are_in_order_and_damaged_ones_come_first(tmp_path: Path) -> None:
    refs = [published(tmp_path, size) for size in range(6)]
    for ref in refs[:3]:
        path = Path(ref.path) / MANIFEST_NAME
        moment = '"created_at": "2026-01-01T00:00:00"'
        path.write_text(re.sub('"created_at": "[^"]*"', moment, path.read_text()))
    for ref, content in ((refs[5], b""), (refs[4], b"\xff" * 200)):
        (Path(ref.path) / MANIFEST_NAME).write_bytes(content)
    expected = [*sorted(refs[4:]), *sorted(refs[:3]), refs[3]]
    assert Store(tmp_path).versions("embeddings") == expected


def test_the_time_of_publishing_is_precise_and_stands_first(tmp_path: Path) -> None:
    before = datetime.now(UTC)
    ref = published(tmp_path)
    after = datetime.now(UTC)
    text = Store(tmp_path).open(ref).manifest.created_at
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", text)
    assert before <= datetime.fromisoformat(text) <= after
    assert read_created_at(Path(ref.path)) == text


def test_an_artifact_is_found_by_the_start_of_its_version(tmp_path: Path) -> None:
    tokens, embeddings = published(tmp_path, stage="tokens"), published(tmp_path)
    store = Store(tmp_path)
    assert store.find(tokens.version[:4]) == tokens
    assert store.find(embeddings.version) == embeddings
    assert store.find(f"tokens/{tokens.version[:1]}") == tokens
    assert store.find(str(embeddings)) == embeddings


@pytest.mark.parametrize(
    ("prefix", "message"),
    [
        ("ffffffffffff", "no artifact matches; 'nightjar versions' lists them"),
        ("tokens/", "write STAGE/VERSION"),
        ("", "write STAGE/VERSION"),
        ("../tokens/0", "write STAGE/VERSION"),
        ("./0", "write STAGE/VERSION"),
        ("models/0", "no artifact matches"),
    ],
)
def test_a_name_that_matches_nothing_is_refused(tmp_path: Path, prefix: str, message: str) -> None:
    published(tmp_path)
    with pytest.raises(ArtifactMissing, match=message):
        Store(tmp_path).find(prefix)


def test_a_name_that_matches_several_artifacts_lists_them(tmp_path: Path) -> None:
    refs = [published(tmp_path, size) for size in range(33)]
    first = next(ref for ref in refs if sum(r.version[0] == ref.version[0] for r in refs) > 1)
    with pytest.raises(ArtifactMissing, match=r"more than one artifact matches: .*embeddings/"):
        Store(tmp_path).find(f"embeddings/{first.version[0]}")
