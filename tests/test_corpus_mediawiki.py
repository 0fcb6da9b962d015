"""MediaWiki exports: which pages, which text, and what is refused."""

from __future__ import annotations

import bz2
import gzip
import zlib
from pathlib import Path
from typing import Any

import pytest
import zstandard
from corpus_support import GENSIM_DATA, run_ingest
from reader_support import read, read_until_error

from nightjar.errors import SourceError

SITE = """<siteinfo><namespaces>
<namespace key="-2">Медия</namespace><namespace key="0" /><namespace key="1">Беседа</namespace>
<namespace key="6">Файл</namespace><namespace key="14">Категория</namespace>
</namespaces></siteinfo>"""


def wiki(path: str, **settings: Any) -> dict[str, Any]:
    return {"wiki": {"type": "mediawiki", "path": path, **settings}}


def page(
    number: int, text: str, *, title: str = "T", ns: str = "<ns>0</ns>", more: str = ""
) -> str:
    return (
        f"<page><title>{title}</title>{ns}<id>{number}</id>{more}<revision><id>9{number}</id>"
        f"<text>{text}</text></revision></page>"
    )


def export(*pages: str) -> bytes:
    body = "".join((SITE, *pages))
    return (
        f'<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/">{body}</mediawiki>'.encode()
    )


def test_pages_become_documents_named_by_page_id(tmp_path: Path) -> None:
    data = export(page(12, "'''One''' [[two]]\n\n&lt;ref&gt;x&lt;/ref&gt;three"), page(25, "Four"))
    (tmp_path / "a.xml").write_bytes(data)
    result = run_ingest(tmp_path, wiki("a.xml"))
    assert [(row["doc_id"], row["text"]) for row in result.documents] == [
        ("wiki:12", "One two\n\nthree"),
        ("wiki:25", "Four"),
    ]


def test_redirects_and_other_namespaces_are_skipped_and_counted(tmp_path: Path) -> None:
    pages = (
        page(1, "Kept"),
        page(2, "#REDIRECT [[A]]", more='<redirect title="A" />'),
        page(3, "#redirect [[B]]"),
        page(4, "Talk", ns="<ns>1</ns>"),
        page(5, "Before namespaces were numbered", title="Беседа:T", ns=""),
        page(6, "An article of then", title="Star: a film", ns=""),
    )
    (tmp_path / "a.xml").write_bytes(export(*pages))
    result = run_ingest(tmp_path, wiki("a.xml"))
    assert result.texts == ["Kept", "An article of then"]
    assert result.counts["redirects_skipped"] == 2
    assert result.counts["other_namespaces_skipped"] == 2
    assert result.counts["documents_read"] == 2
    assert result.quarantine == []
    chosen = run_ingest(tmp_path, wiki("a.xml", namespaces=[1]))
    assert chosen.texts == ["Talk", "Before namespaces were numbered"]


def test_links_to_files_go_in_the_language_of_the_wiki(tmp_path: Path) -> None:
    text = "a [[Файл:x|мини|b]] [[Категория:c]] [[медия:d]] e"
    (tmp_path / "a.xml").write_bytes(export(page(1, text)))
    assert run_ingest(tmp_path, wiki("a.xml")).texts == ["a e"]


def test_the_last_revision_of_a_history_counts(tmp_path: Path) -> None:
    revisions = "".join(f"<revision><text>version {n}</text></revision>" for n in range(3))
    data = export(f"<page><title>T</title><ns>0</ns><id>1</id>{revisions}</page>", page(2, "x"))
    (tmp_path / "a.xml").write_bytes(data)
    assert run_ingest(tmp_path, wiki("a.xml")).texts == ["version 2", "x"]


def test_pages_without_text_are_quarantined(tmp_path: Path) -> None:
    head = "<page><title>{}</title><ns>0</ns><id>{}</id><revision>"
    tail = "</revision></page>"
    script = head.format("S", 3) + "<model>Scribunto</model><text>x</text>" + tail
    deleted = head.format("D", 4) + '<text deleted="deleted" />' + tail
    pages = (page(1, "Kept"), page(2, "{{stub}}", title="Only"), script, deleted)
    (tmp_path / "a.xml").write_bytes(export(*pages))
    result = run_ingest(tmp_path, wiki("a.xml"))
    assert result.texts == ["Kept"]
    assert [(row["locator"], row["reason"], row["detail"]) for row in result.quarantine] == [
        ("a.xml: page 2 (Only)", "empty", "no text but markup"),
        ("a.xml: page 3 (S)", "not_wikitext", "its content model is Scribunto"),
        ("a.xml: page 4 (D)", "empty", "the page is empty"),
    ]


def test_a_page_too_long_for_memory_is_quarantined(tmp_path: Path) -> None:
    huge = page(1, "x" * 5_000_000)
    (tmp_path / "a.xml.gz").write_bytes(gzip.compress(export(huge, page(2, "small")), 1))
    result = run_ingest(tmp_path, wiki("a.xml.gz"), max_chars=1_000)
    assert result.texts == ["small"]
    (row,) = result.quarantine
    assert (row["reason"], row["detail"]) == ("too_long", "5,000,000 characters of markup")


@pytest.mark.parametrize("suffix", [".xml", ".xml.bz2", ".xml.gz", ".xml.zst"])
def test_exports_are_read_compressed_and_in_utf_16(tmp_path: Path, suffix: str) -> None:
    text = export(page(1, "Текст")).decode()
    data = f'<?xml version="1.0" encoding="UTF-16"?>{text}'.encode("utf-16")
    compress = {".xml.bz2": bz2.compress, ".xml.gz": gzip.compress, ".xml.zst": zstandard.compress}
    (tmp_path / f"a{suffix}").write_bytes(compress.get(suffix, bytes)(data))
    assert run_ingest(tmp_path, wiki(f"a{suffix}")).texts == ["Текст"]


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
HOSTILE = {
    "billion laughs": f'[<!ENTITY l0 "ha">{LAUGHS}]><mediawiki>&l9;</mediawiki>',
    "an external entity": '[<!ENTITY x SYSTEM "file:///etc/passwd">]><mediawiki>&x;</mediawiki>',
    "an external DTD": 'SYSTEM "http://127.0.0.1:9/x.dtd"><mediawiki></mediawiki>',
    "a parameter entity": '[<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]><mediawiki/>',
}


@pytest.mark.parametrize("attack", HOSTILE)
def test_hostile_xml_is_refused(tmp_path: Path, attack: str) -> None:
    (tmp_path / "a.xml").write_text(f"<!DOCTYPE m {HOSTILE[attack]}")
    with pytest.raises(SourceError, match=r"sources\.wiki: .*a\.xml: refused: the XML has a DTD"):
        run_ingest(tmp_path, wiki("a.xml"))


@pytest.mark.parametrize("mark", [b"<!--", b'<page a="', b"<", b"<?x "])
def test_a_tag_or_comment_without_end_is_refused_soon(tmp_path: Path, mark: bytes) -> None:
    path = tmp_path / "a.xml.gz"
    stream = zlib.compressobj(1, wbits=31)
    data = b"".join(stream.compress(b"x" * 1_000_000) for _ in range(90))
    path.write_bytes(gzip.compress(export(page(1, "One"))[: -len("</mediawiki>")] + mark, 1)
                     + data + stream.flush())  # fmt: skip
    found, message = read_until_error(read(path, "mediawiki"))
    assert found == ["One"]
    assert "refused: the XML has a tag or comment of more than 4 MiB" in message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (export(page(1, "One"))[:-20], r"not well-formed or is cut off \(.*line 4, column"),
        (b"<mediawiki><page></mediawiki>", "mismatched tag"),
        (b"<mediawiki>&nosuch;</mediawiki>", "undefined entity"),
        (b"<mediawiki>\xff</mediawiki>", "invalid token"),
        (b'<?xml version="1.0" encoding="nosuch"?><mediawiki/>', "unknown encoding"),
        (b"<mediawiki/><mediawiki/>", "junk after document element"),
        (b"", "no element found"),
        (b"Just text.", "syntax error"),
        (b"<html><body/></html>", r"no MediaWiki export: its root element is <html>"),
        (b"<mediawiki>" + b"<a>" * 100_000, "its elements are nested 32 deep"),
    ],
)
def test_xml_that_is_no_whole_export_is_an_error(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "a.xml").write_bytes(content)
    with pytest.raises(SourceError, match=message):
        run_ingest(tmp_path, wiki("a.xml"))


def test_a_truncated_dump_is_an_error_and_not_a_shorter_dump(tmp_path: Path) -> None:
    data = bz2.compress(export(*(page(number, f"Page {number}") for number in range(200))))
    (tmp_path / "a.xml.bz2").write_bytes(data[:-10])
    with pytest.raises(SourceError, match="truncated"):
        run_ingest(tmp_path, wiki("a.xml.bz2"))


def test_pages_before_spoilt_xml_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes(export(page(1, "One"), page(2, "Two"), "<page><id>3</page>"))
    found, message = read_until_error(read(path, "mediawiki"))
    assert found == ["One", "Two"]
    assert "mismatched tag" in message


def test_a_dump_with_nothing_but_redirects_leaves_no_document(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_bytes(export(page(1, "#REDIRECT [[A]]")))
    with pytest.raises(SourceError, match=r"no document left: 0 read \(redirects_skipped 1\)"):
        run_ingest(tmp_path, wiki("a.xml"))


def test_a_dump_in_another_language_and_utf_16(tmp_path: Path) -> None:
    path = f"{GENSIM_DATA}/bgwiki-latest-pages-articles-shortened.xml.bz2"
    result = run_ingest(tmp_path, wiki(path))
    assert [row["doc_id"] for row in result.documents] == ["wiki:558"]
    text = result.texts[0]
    assert text.startswith("Григорианският календар (понякога наричан")
    assert not any(debris in text for debris in ("Категория:", "Файл:", "[[", "{{", "мини|"))
    assert result.counts["other_namespaces_skipped"] == 2
