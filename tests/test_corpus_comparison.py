"""``nightjar diff documents``: what changed between two versions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from corpus_support import run_ingest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nightjar.corpus import compare, sharding

SOURCE = {"s": {"type": "jsonl", "path": "data/*.jsonl", "id_field": "id"}}


def publish(base: Path, texts: Mapping[int, str]) -> Any:
    (base / "data").mkdir(exist_ok=True)
    for number in range(3):
        rows = [
            {"id": key, "text": text} for key, text in sorted(texts.items()) if key % 3 == number
        ]
        content = "".join(json.dumps(row) + "\n" for row in rows)
        (base / "data" / f"{number}.jsonl").write_text(content, encoding="utf-8")
    return run_ingest(base, SOURCE, deduplicate=False).artifact


TEXTS = st.dictionaries(st.integers(0, 9), st.sampled_from(["a", "b", "c"]), min_size=1)


@settings(deadline=None, max_examples=30, suppress_health_check=list(HealthCheck))
@given(TEXTS, TEXTS)
def test_every_document_is_added_changed_removed_or_unchanged(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    before: dict[int, str],
    after: dict[int, str],
) -> None:
    monkeypatch.setattr(sharding, "LARGE_BYTES", 1)
    base = tmp_path_factory.mktemp("diff")
    found = compare(publish(base, before), publish(base, after))
    changes = {document.doc_id: document.change.value for document in found.documents()}
    expected = {
        **{f"s:{key}": "added" for key in after.keys() - before.keys()},
        **{f"s:{key}": "removed" for key in before.keys() - after.keys()},
        **{
            f"s:{key}": "changed"
            for key in after.keys() & before.keys()
            if after[key] != before[key]
        },
    }
    assert changes == expected
    assert found.n_changes == len(expected)
    assert found.n_unchanged == sum(after.get(key) == text for key, text in before.items())


def nightjar(base: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=base,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    shipped = Path(__file__).parents[1] / "pipeline_config.yaml"
    (tmp_path / "pipeline_config.yaml").write_bytes(shipped.read_bytes())
    return tmp_path


def test_the_command_compares_the_last_two_versions(pipeline: Path) -> None:
    done = nightjar(pipeline, "diff", "documents")
    assert (done.returncode, done.stdout) == (2, "")
    assert "0 documents artifacts are published" in done.stderr
    first = publish(pipeline, {0: "a", 1: "b"})
    second = publish(pipeline, {0: "a", 1: "c", 2: "d"})
    done = nightjar(pipeline, "diff", "documents")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"{first.ref} -> {second.ref}"
    assert lines[1].split() == ["added", "1", "(s", "1)"]
    assert lines[5:] == ["+ s:2", "~ s:1"]
    back = nightjar(
        pipeline, "diff", "documents", second.ref.version, first.ref.version, "--json", "-n", "1"
    )
    assert json.loads(back.stdout) == {
        "old": str(second.ref),
        "new": str(first.ref),
        "added": {},
        "changed": {"s": 1},
        "removed": {"s": 1},
        "unchanged": 1,
        "documents": [{"doc_id": "s:1", "change": "changed"}],
    }


def test_what_cannot_be_compared_is_a_message(pipeline: Path) -> None:
    publish(pipeline, {0: "a"})
    publish(pipeline, {0: "b"})
    for arguments, message in (
        (("tokens",), "only documents can be compared"),
        (("documents", "abc"), "no artifact matches"),
        (("documents", "tokens/1234"), "no artifact matches"),
    ):
        done = nightjar(pipeline, "diff", *arguments)
        assert done.returncode in (1, 2)
        assert message in done.stderr
        assert "Traceback" not in done.stderr
