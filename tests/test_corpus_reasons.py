"""The reasons of the quarantine and their documentation."""

from __future__ import annotations

from pathlib import Path

from nightjar.sources.rejections import Reason
from nightjar.stages.ingest.cleaning import DropReason


def test_every_reason_is_explained_in_the_section_on_documents() -> None:
    page = (Path(__file__).parents[1] / "docs" / "artifacts.md").read_text(encoding="utf-8")
    section = page.partition("\n## documents\n")[2].partition("\n## ")[0]
    assert [
        reason.value
        for reason in (*Reason, *DropReason)
        if f"\n| `{reason.value}` | " not in section
    ] == []
