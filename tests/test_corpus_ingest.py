"""The ingest stage: identity, cleaning, duplicates, counts, determinism, and the shipped text."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpus_support import GENSIM_DATA, Ingested, config_of, identity_of, run_ingest, text_source
from stage_support import context_of

from nightjar.errors import SourceChanged, SourceError
from nightjar.stages.ingest import document_tables as tables
from nightjar.stages.ingest import ingest
from nightjar.store import Identity, Staging, Store, publish

ENWIKI = f"{GENSIM_DATA}/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"
LEE = f"{GENSIM_DATA}/lee_background.cor"


class Recorder:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.started: list[tuple[str, float | None, str]] = []
        self.advanced: list[tuple[float, str]] = []

    def start(self, label: str, total: float | None, unit: str) -> None:
        self.started.append((label, total, unit))

    def advance(self, amount: float, note: str = "") -> None:
        self.advanced.append((amount, note))


def jsonl(path: str, **settings: Any) -> dict[str, Any]:
    return {"type": "jsonl", "path": path, "id_field": "id", **settings}


def write_jsonl(path: Path, *records: dict[str, Any]) -> None:
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))


# -- identity ----------------------------------------------------------------------------


def text_identity(base_dir: Path, path: str | list[str], **settings: Any) -> Identity:
    return identity_of(config_of(text_source(path), **settings), base_dir)


def test_identity_names_files_by_source_and_content(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_bytes(b"two")
    (tmp_path / "a.txt").write_bytes(b"one")
    identity = text_identity(tmp_path, "*.txt")
    assert identity.stage == "documents"
    assert [(entry.name, entry.bytes) for entry in identity.inputs] == [
        ("in/a.txt", 3),
        ("in/b.txt", 3),
    ]
    assert identity.inputs[0].sha256.startswith("7692c3ad3540bb80")
    assert "path" not in json.dumps(identity.as_json())
    assert dict(identity.config)["sources"]["in"] == {
        "type": "text",
        "document": "line",
        "encoding": "utf-8",
        "errors": "quarantine",
        "language": None,
        "limit": None,
    }


def test_moving_a_file_keeps_the_version_and_changing_it_does_not(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one")
    version = text_identity(tmp_path, "a.txt").version
    (tmp_path / "elsewhere").mkdir()
    shutil.move(tmp_path / "a.txt", tmp_path / "elsewhere")
    assert text_identity(tmp_path, "elsewhere/*.txt").version == version
    assert text_identity(tmp_path, str(tmp_path / "elsewhere" / "a.txt")).version == version
    assert text_identity(tmp_path, "elsewhere/a.txt", min_chars=2).version != version
    (tmp_path / "elsewhere" / "a.txt").write_bytes(b"two")
    assert text_identity(tmp_path, "elsewhere/a.txt").version != version


def test_no_wiki_depends_on_a_library(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    wiki = {"w": {"type": "mediawiki", "path": "a"}}
    assert set(identity_of(config_of(wiki), tmp_path).code) == {"revision", "cleaning"}
    assert set(text_identity(tmp_path, "a").code) == {"revision", "cleaning"}


def test_namesakes_in_a_source_are_told_apart_by_their_directories(tmp_path: Path) -> None:
    for day in ("monday", "tuesday"):
        (tmp_path / "data" / day).mkdir(parents=True)
        (tmp_path / "data" / day / "part.txt").write_text(f"{day}\n\n")
    (tmp_path / "data" / "other.txt").write_text("other")
    result = run_ingest(tmp_path, text_source("data/**/*.txt"))
    assert result.texts == ["monday", "other", "tuesday"]
    names = [entry["name"] for entry in result.artifact.manifest.identity["inputs"]]
    assert names == ["in/monday/part.txt", "in/other.txt", "in/tuesday/part.txt"]
    assert result.reasons == [("monday/part.txt:2", "empty"), ("tuesday/part.txt:2", "empty")]


def test_a_file_that_a_source_matches_twice_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\ntwo")
    (tmp_path / "link.txt").symlink_to(tmp_path / "a.txt")
    result = run_ingest(tmp_path, text_source(["a.txt", "*.txt", str(tmp_path / "a.txt")]))
    assert result.texts == ["one", "two"]
    assert result.counts["files_read"] == 1
    assert result.counts["quarantined"] == 0


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "reveiws.txt",
            r"in\.path: reveiws\.txt: there is no file .*; did you mean reviews\.txt\?",
        ),
        ("zzz", r"there is no file .*zzz; check the path"),
        ("nowhere/a.txt", r"there is no directory .*nowhere; relative paths start at"),
        ("*.json", r"in\.path: \*\.json: the glob matches no file"),
        ("folder", r"folder: is a directory; name its files, for example folder/\*"),
        ("pipe", r"in\.path: pipe: is a device, a pipe or a socket"),
        ("broken", r"in\.path: broken: is a link to gone\.txt, which does not exist"),
        ("package:no_such_package/a", r"in\.path: .*no installed package 'no_such_package'"),
    ],
)
def test_a_source_without_files_is_an_error_that_says_why(
    tmp_path: Path, path: str, message: str
) -> None:
    (tmp_path / "reviews.txt").write_bytes(b"one")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "broken").symlink_to("gone.txt")
    with pytest.raises(SourceError, match=message):
        text_identity(tmp_path, path)


def test_one_missing_path_of_several_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one")
    with pytest.raises(SourceError, match=r"in\.path: b\.txt: there is no file"):
        text_identity(tmp_path, ["a.txt", "b.txt"])


@pytest.mark.parametrize("encoding", ["punycode", "idna", "raw_unicode_escape", "base64"])
def test_an_encoding_that_is_not_of_files_is_refused_by_the_config(encoding: str) -> None:
    with pytest.raises(ValueError, match=f"{encoding}' is (no encoding of text files|not a text)"):
        config_of(text_source("a.txt", encoding=encoding))


# -- cleaning, length, duplicates, ids -----------------------------------------------------


def test_text_is_stripped_and_otherwise_left_alone(tmp_path: Path) -> None:
    text = "  Zwei  Wörter\r\nund\reine\tZeile\0 e\u0301 \n"
    write_jsonl(tmp_path / "a.jsonl", {"text": text, "id": 1})
    result = run_ingest(tmp_path, {"in": jsonl("a.jsonl")})
    assert result.texts == ["Zwei  Wörter\nund\neine\tZeile e\u0301"]
    assert result.counts["nul_characters_removed"] == 1
    assert result.documents[0]["n_chars"] == len(result.texts[0])
    assert result.counts["characters_kept"] == len(result.texts[0])


def test_short_and_long_documents_are_quarantined(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(" ab \nabc\nabcde\nabcdef\n" + "é" * 30)
    result = run_ingest(tmp_path, text_source("a.txt"), min_chars=3, max_chars=5)
    assert result.texts == ["abc", "abcde"]
    assert [(row["locator"], row["reason"], row["detail"]) for row in result.quarantine] == [
        ("a.txt:1", "too_short", "2 characters, min_chars is 3"),
        ("a.txt:4", "too_long", "6 characters, max_chars is 5"),
        ("a.txt:5", "too_long", "60 bytes, more than max_chars characters can be"),
    ]


def test_exact_duplicates_are_dropped_across_sources_and_name_the_first(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\none\n")
    write_jsonl(tmp_path / "b.jsonl", {"text": " two ", "id": 7}, {"text": "three", "id": 8})
    write_jsonl(tmp_path / "c.jsonl", {"text": "three", "id": 9})
    sources = {**text_source("a.txt"), "b": jsonl("b.jsonl"), "c": jsonl("c.jsonl")}
    result = run_ingest(tmp_path, sources)
    assert result.texts == ["one", "two", "three"]
    first, second = (row["doc_id"] for row in result.documents[:2])
    assert [(row["locator"], row["reason"], row["detail"]) for row in result.quarantine] == [
        ("a.txt:3", "duplicate", first),
        ("b.jsonl:1", "duplicate", second),
        ("c.jsonl:1", "duplicate", "b:8"),
    ]
    assert result.counts["quarantined_duplicate"] == 3


def test_duplicates_are_kept_under_numbered_ids_when_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\none\ntwo\none\n")
    result = run_ingest(tmp_path, text_source("a.txt"), deduplicate=False)
    assert result.texts == ["one", "one", "two", "one"]
    ids = [row["doc_id"].removeprefix("in:") for row in result.documents]
    assert ids[0] == "7692c3ad3540bb80"
    assert [ids[1], ids[3]] == ["7692c3ad3540bb80-2", "7692c3ad3540bb80-3"]


@pytest.mark.parametrize("deduplicate", [True, False])
def test_an_id_is_of_one_document_only(tmp_path: Path, deduplicate: bool) -> None:
    records = ({"text": "one", "id": 1}, {"text": "two", "id": "1"}, {"text": "two", "id": 2})
    write_jsonl(tmp_path / "a.jsonl", *records)
    result = run_ingest(tmp_path, {"in": jsonl("a.jsonl")}, deduplicate=deduplicate)
    assert [row["doc_id"] for row in result.documents] == ["in:1", "in:2"]
    (row,) = result.quarantine
    assert (row["locator"], row["reason"]) == ("a.jsonl:2", "duplicate_id")
    assert row["detail"].startswith("in:1 is an earlier document")


def test_the_same_id_in_two_sources_is_of_two_documents(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", {"text": "one", "id": 1})
    write_jsonl(tmp_path / "b.jsonl", {"text": "two", "id": 1})
    result = run_ingest(tmp_path, {"b": jsonl("b.jsonl"), "a": jsonl("a.jsonl")})
    assert [row["doc_id"] for row in result.documents] == ["b:1", "a:1"]


# -- the artifact --------------------------------------------------------------------------


def test_counts_and_report_account_for_every_record(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\n\none\n\xff\n")
    (tmp_path / "b.txt").write_bytes(b"four")
    write_jsonl(tmp_path / "c.jsonl", {"text": "five", "id": 1})
    result = run_ingest(tmp_path, {**text_source("?.txt"), "more": jsonl("c.jsonl")})
    assert result.counts == {
        "files_read": 3,
        "documents_read": 6,
        "documents_kept": 3,
        "characters_kept": 11,
        "quarantined": 3,
        "quarantined_duplicate": 1,
        "quarantined_empty": 1,
        "quarantined_undecodable": 1,
        "redirects_skipped": 0,
        "other_namespaces_skipped": 0,
        "filtered_skipped": 0,
        "nul_characters_removed": 0,
    }
    assert result.report["in"]["files_read"] == 2
    assert result.report["more"] == {
        "type": "jsonl",
        "files_read": 1,
        "documents_kept": 1,
        "characters_kept": 4,
        "quarantined": 0,
    }
    assert len(result.quarantine) == 3
    assert {row["source"] for row in result.quarantine} == {"in"}


def test_a_corpus_without_a_document_is_an_error_with_the_reasons(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\n\nab\n\xff\n")
    with pytest.raises(
        SourceError, match=r"no document left: 4 read \(empty 2, too_short 1, undecodable 1\)"
    ):
        run_ingest(tmp_path, text_source("a.txt"), min_chars=3)
    assert Store(tmp_path / "artifacts").versions("documents") == []


def test_the_same_sources_give_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\ntwo\n\n\xff\none\n")
    write_jsonl(tmp_path / "b.jsonl", {"text": "three", "id": 1}, {"text": "four", "id": 1})
    sources = {**text_source("a.txt"), "b": jsonl("b.jsonl")}
    first = run_ingest(tmp_path, sources, store="first").artifact.manifest
    second = run_ingest(tmp_path, sources, store="second").artifact.manifest
    assert first.version == second.version
    assert [entry.name for entry in first.files] == [
        *("documents/00000.parquet", "documents/00001.parquet"),
        *("quarantine/00000.parquet", "quarantine/00001.parquet"),
    ]
    assert first.files == second.files


def test_row_groups_are_bounded_by_rows_and_by_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MAX_ROWS", 4)
    monkeypatch.setattr(tables, "MAX_BYTES", 30)
    texts = ["a", "b", "c", "d", "e", "f" * 29, "g", "h" * 100, "i"]
    (tmp_path / "a.txt").write_text("\n".join(texts))
    result = run_ingest(tmp_path, text_source("a.txt"))
    assert [len(batch) for batch in result.artifact.batches("documents")] == [4, 2, 2, 1]
    assert result.texts == texts


def test_progress_counts_the_bytes_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"%49d\n" % 1 * 10_000 + b"end")
    write_jsonl(tmp_path / "b.jsonl", {"text": "three", "id": 1})
    progress = Recorder()
    run_ingest(tmp_path, {**text_source("a.txt"), "b": jsonl("b.jsonl")}, progress=progress)
    total = 500_003 + (tmp_path / "b.jsonl").stat().st_size
    assert progress.started == [
        ("read sources", total, "B"),
        ("put shards together", 10_002, "documents"),
    ]
    read = [(amount, note) for amount, note in progress.advanced if note]
    assert sum(amount for amount, _ in read) == total
    assert len(read) > 4
    assert (read[0][1], read[-1][1]) == ("in/a.txt", "b/b.jsonl")
    assert sum(amount for amount, note in progress.advanced if not note) == 10_002


# -- sources that change -------------------------------------------------------------------


def publish_planned(base_dir: Path, sources: dict[str, Any], identity: Identity) -> None:
    config = config_of(sources)
    progress = Recorder()

    def write(staging: Staging) -> None:
        ingest(config, context_of(staging, identity, base_dir, progress=progress))

    publish(base_dir / "artifacts", identity, write)


@pytest.mark.parametrize("document", ["line", "file"])
@pytest.mark.parametrize("content", [b"one\ntoo\n", b"one\ntwo\nthree\n", b"", b"\x1f\x8b\x08"])
def test_a_file_that_changed_since_it_was_planned_is_noticed(
    tmp_path: Path, document: str, content: bytes
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\ntwo\n")
    sources = text_source("a.txt", document=document)
    identity = identity_of(config_of(sources), tmp_path)
    path.write_bytes(content)
    with pytest.raises(SourceChanged, match=r"a\.txt: the file changed since the run was planned"):
        publish_planned(tmp_path, sources, identity)
    assert Store(tmp_path / "artifacts").versions("documents") == []


def test_a_parquet_file_that_changed_is_noticed(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["one"]}), tmp_path / "a.parquet")
    sources = {"in": {"type": "parquet", "path": "a.parquet"}}
    identity = identity_of(config_of(sources), tmp_path)
    pq.write_table(pa.table({"text": ["two"]}), tmp_path / "a.parquet")
    with pytest.raises(SourceChanged, match="the file changed"):
        publish_planned(tmp_path, sources, identity)
    (tmp_path / "a.parquet").write_bytes(b"half written")
    with pytest.raises(SourceChanged, match="the file changed"):
        publish_planned(tmp_path, sources, identity)


def test_a_file_that_is_new_or_gone_since_the_plan_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one")
    sources = text_source("*.txt")
    identity = identity_of(config_of(sources), tmp_path)
    (tmp_path / "b.txt").write_bytes(b"two")
    with pytest.raises(SourceChanged, match=r"not those of the plan any more \(in/b\.txt\)"):
        publish_planned(tmp_path, sources, identity)


# -- the text that ships with gensim -------------------------------------------------------


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Ingested:
    sources = {
        "wikipedia": {"type": "mediawiki", "path": ENWIKI, "language": "en"},
        "lee-news": {"type": "text", "path": LEE},
    }
    return run_ingest(tmp_path_factory.mktemp("shipped"), sources)


def test_the_shipped_dump_gives_its_106_articles(shipped: Ingested) -> None:
    wikipedia = shipped.report["wikipedia"]
    assert wikipedia["documents_kept"] == 106
    assert wikipedia["quarantined"] == 0
    assert wikipedia["redirects_skipped"] + wikipedia["other_namespaces_skipped"] == 100
    words = sum(len(row["text"].split()) for row in shipped.documents[:106])
    assert 440_000 < words < 470_000


def test_the_shipped_articles_are_plain_text(shipped: Ingested) -> None:
    debris = re.compile(
        r"thumb\||\[\[|\]\]|\{\{|\}\}|^\s*\{?\||style=|align=|bgcolor|''|&[a-z]+;|<ref|</|https?://"
        r"|\(\)|Category:|File:",
        re.MULTILINE,
    )
    articles = shipped.documents[:106]
    found = [(row["doc_id"], debris.findall(row["text"])) for row in articles]
    assert [entry for entry in found if entry[1]] == []
    # One line of text with a literal bar: "sm|rg}sar" in the article on ASCII, and one more.
    assert sum(row["text"].count("|") for row in articles) < 10


def test_the_shipped_articles_read_well(shipped: Ingested) -> None:
    texts = {row["doc_id"]: row["text"] for row in shipped.documents}
    assert texts["wikipedia:12"].startswith(
        "Anarchism is a political philosophy that advocates self-governed societies based on "
        "voluntary institutions. These are often described as stateless societies, although"
    )
    assert "\n\nEtymology and terminology\n\n" in texts["wikipedia:12"]
    # Its infobox is full of templates in templates, its tables of templates.
    assert texts["wikipedia:737"].startswith("Afghanistan (Pashto/Dari: , Afġānistān), officially")


def test_the_shipped_news_give_300_lines_of_which_seven_repeat(shipped: Ingested) -> None:
    news = shipped.report["lee-news"]
    assert (news["documents_kept"], news["quarantined_duplicate"]) == (293, 7)
    assert [row["reason"] for row in shipped.quarantine] == ["duplicate"] * 7
    assert shipped.quarantine[0]["locator"] == "lee_background.cor:113"
    assert shipped.documents[106]["text"].startswith(
        "Hundreds of people have been forced to vacate"
    )
