"""HTML to text: what a page shows, what it hides, and pages made to hurt."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
from corpus_support import run_ingest
from pydantic import ValidationError
from reader_support import read, rejections, texts

from nightjar.config import IngestConfig
from nightjar.files.html import html_to_text, parse_selector

CASES = {
    "blocks are lines, inline elements are not": (
        "<h1>Early  <i>life</i></h1><p>One <b>two</b>\nthree<div>four</div>five",
        "Early life\nOne two three\nfour\nfive",
    ),
    "paragraphs and items need no end": (
        "<p>one<p>two<ul><li>a<li>b<ul><li>c</ul></ul>three",
        "one\ntwo\na\nb\nc\nthree",
    ),
    "breaks and rules end lines": ("one<br>two<br/>three<hr>four", "one\ntwo\nthree\nfour"),
    "rows are lines, cells are words": (
        "<table><tr><th>a<td>b<tr><td>c</td><td>d</td></tr></table>",
        "a b\nc d",
    ),
    "entities are characters": (
        "a &amp; b &lt;c&gt; &eacute;&#233;&#xE9; &nbsp; &copy &notanentity; x&#0;y",
        "a & b <c> ééé \xa0 © ¬anentity; x\ufffdy",
    ),
    "scripts, styles, navigation and templates go": (
        """a<script>if (x<b) '</p>'</script><style>p{}</style><template><p>t</p></template>b
        <noscript>s</noscript><nav>n <a>m</a></nav>c""",
        "ab\nc",
    ),
    "forms, pictures and formulas go": (
        """a <select><option>1<option>2</select><svg><title>s</title><text>t</text></svg>
        <math><mi>x</mi></math><textarea>u</textarea><button>v</button> b""",
        "a b",
    ),
    "what is hidden goes": ("a <span hidden>b</span><div aria-hidden='x'>c</div> d", "a\nc\nd"),
    "comments and declarations go": (
        "<!DOCTYPE html><?xml version='1.0'?>a<!-- b > --><!--> c<!-- d --!> e</ x>f",
        "a c ef",
    ),
    "the title comes first, and once": (
        "<head><title>T &amp; <b></title><title>U</title><body>a",
        "T & <b>\na",
    ),
    "white space of pre stays in lines": ("a<pre>b\n  c  d\n</pre>e", "a\nb\nc d\ne"),
    "tags in upper case and attributes with marks": (
        "<P CLASS='a>b' title=\"c'>d\" data-x=e'f don't>one</P><BR>two",
        "one\ntwo",
    ),
    "a mark that opens no tag is text": ("1 < 2 <3 a<>b </>", "1 < 2 <3 a<>b"),
    "a tag never closed goes to the end": ("a <b href='x", "a"),
    "a comment never closed goes to the end": ("a <!-- b", "a"),
    "a script never closed goes to the end": ("a <script> b", "a"),
    "navigation never closed ends with what is around it": ("<div><nav>a</div>b", "b"),
    "an end tag within a cell does not end what is around the table": (
        "<nav><table><tr><td></nav>a</table>b</nav>c",
        "c",
    ),
    "a self-closing picture holds nothing": ("a <svg/> b", "a b"),
    "in XHTML every element may end itself": (
        """<?xml version='1.0'?><html><head><title/><script src='x.js'/><style/></head><body><nav/>
        <p>one<iframe/> 10<sup/>6</p><p/><div hidden=''/><textarea/>two<math/></body></html>""",
        "one 106\ntwo",
    ),
    "the element html says that a page is XHTML": (
        "<!DOCTYPE html>\n<HTML lang='en' xmlns='http://www.w3.org/1999/xhtml'><script src='x'/>a",
        "a",
    ),
    "in HTML a script does not end itself": ("a<script src='x'/>b</script>c<nav/>d", "ac"),
    "plain text stays": ("just text & more", "just text & more"),
}


@pytest.mark.parametrize("name", CASES)
def test_html_becomes_text(name: str) -> None:
    page, text = CASES[name]
    assert html_to_text(page) == text


PAGE = (
    "<title>T</title><div id=top class='box wide'><p class=lead>one</p><section><p>two <b>x</b>"
    "</section></div><article lang=en><p>three</p><nav>n</nav></article><p>four"
)


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        ("p", "one\ntwo x\nthree\nfour"),
        ("article", "three"),
        (".lead", "one"),
        ("div.box.wide p", "one\ntwo x"),
        ("div > p", "one"),
        ("#top section p", "two x"),
        ("div > section > p, article", "two x\nthree"),
        ("[lang=en] p", "three"),
        ("[lang='en'], p.lead", "one\nthree"),
        ("[class]", "one\ntwo x"),
        ("* b", "x"),
        ("section b", "x"),
        ("article > b", ""),
        ("DIV.box", "one\ntwo x"),
        ("article, title", "T\nthree"),
    ],
)
def test_a_selector_chooses_what_is_the_text(selector: str, text: str) -> None:
    assert html_to_text(PAGE, selector) == text


@pytest.mark.parametrize(
    "selector", ["", "p >", "> p", "p:first-child", "p,,q", "a ~ b", "[x", "."]
)
def test_a_selector_that_is_not_understood_is_refused_by_the_config(selector: str) -> None:
    with pytest.raises(ValueError, match="not understood at"):
        parse_selector(selector)
    source = {"type": "html", "path": "a.html", "selector": selector}
    with pytest.raises(ValidationError, match="not understood"):
        IngestConfig.model_validate({"sources": {"in": source}})


HOSTILE = {
    "nested": ("<div>" * 1_000_000 + "x", "x"),
    "nested formatting": ("<b>" * 100_000 + "x", "x"),
    "nested tables": ("<table><tr><td>" * 50_000 + "x", "x"),
    "nested and closed": ("<i>" * 100_000 + "x" + "</i>" * 100_000 + "y", "xy"),
    "formatting that every paragraph would repeat": (
        "<p>" + "".join(f"<font color={n}>" for n in range(400)) + "<p>x" * 100_000,
        "\n".join("x" * 100_000),
    ),
    "quotes never closed": ("x<a '" * 100_000, "x"),
    "values never closed": ('x<a b="' * 100_000, "x"),
    "comments never closed": ("x<!--" * 100_000, "x"),
    "scripts never closed": ("x<script>" * 100_000, "x"),
    "marks": ("<" * 300_000, "<" * 300_000),
    "a number of a million digits": ("x&#" + "9" * 400_000 + ";", "x\ufffd"),
    "equals signs": ("x<a " + "=" * 400_000 + ">y", "xy"),
    "spaces": ("x<a" + " " * 400_000 + ">y", "xy"),
    "ends of nothing": ("x" + "</div>" * 100_000 + "y", "x\ny"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_page_costs_no_more_than_its_length(name: str) -> None:
    # A tree of a million nested tags takes lexbor a quarter of an hour.
    page, text = HOSTILE[name]
    assert html_to_text(page) == text


def test_nested_tags_take_little_memory() -> None:
    page = "<div><b>" * 30_000 + "x"
    tracemalloc.start()
    assert html_to_text(page) == "x"
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


# -- the reader --------------------------------------------------------------------------


def test_a_page_is_a_document_named_after_its_file(tmp_path: Path) -> None:
    (tmp_path / "b.html").write_bytes(b"<title>B</title><p>two")
    (tmp_path / "a.html").write_bytes("<p>café".encode())
    result = run_ingest(tmp_path, {"in": {"type": "html", "path": "*.html", "language": "en"}})
    assert [(row["doc_id"], row["text"]) for row in result.documents] == [
        ("in:a.html", "café"),
        ("in:b.html", "B\ntwo"),
    ]


RUSSIAN = "<p>Привет, как дела? Сегодня хорошая погода, и мы идём гулять в парк."
RUSSIAN_TEXT = RUSSIAN.removeprefix("<p>")


@pytest.mark.parametrize(
    ("content", "settings"),
    [
        (RUSSIAN.encode("utf-16"), {"encoding": "cp1251"}),  # its byte order mark goes first
        (RUSSIAN.encode("utf-8-sig"), {"encoding": "cp1251"}),
        (b"<meta charset='koi8-r'>" + RUSSIAN.encode("koi8-r"), {"encoding": "cp1251"}),
        (b'<meta http-equiv=x content="text/html; charset=windows-1251">'
         + RUSSIAN.encode("cp1251"), {}),
        (b'<?xml version="1.0" encoding="koi8-r"?>' + RUSSIAN.encode("koi8-r"), {}),
        (b"<!-- <meta charset=utf-8> -->" + RUSSIAN.encode("cp1251"), {}),
        (b"<meta charset=nosuch>" + RUSSIAN.encode("cp1251"), {"encoding": "cp1251"}),
        (b"<meta charset=base64>" + RUSSIAN.encode("cp1251"), {"encoding": "cp1251"}),
        (b"<meta charset=utf-16>" + RUSSIAN.encode(), {}),
        (b"<meta content='charset=koi8-r'><meta charset=utf-8>" + RUSSIAN.encode(), {}),
        (b"<p data-x='<meta charset=koi8-r>'></p>" + RUSSIAN.encode(), {}),
        (b"<meta data-charset=koi8-r /charset='utf-8 '>" + RUSSIAN.encode(), {}),
        (b"<script>'<meta charset=koi8-r>'</script>" + RUSSIAN.encode(), {}),
        (b"<meta charset=cp500><meta charset=cp037><meta charset=utf-8>" + RUSSIAN.encode(), {}),
        (b"<?xml version='1.0' encoding='cp1026'?>" + RUSSIAN.encode("cp1251"),
         {"encoding": "cp1251"}),
        (b"<meta charset='" + b"koi8-r" * 99 + b"\0'>" + RUSSIAN.encode(), {}),
        (RUSSIAN.encode("cp1251"), {}),
        (RUSSIAN.encode(), {}),
    ],
)  # fmt: skip
def test_the_encoding_is_what_the_page_says_else_the_config_else_found_out(
    tmp_path: Path, content: bytes, settings: dict[str, str]
) -> None:
    path = tmp_path / "a.html"
    path.write_bytes(content)
    assert texts(read(path, "html", **settings)) == [RUSSIAN_TEXT]


def test_pages_called_latin_1_are_read_as_browsers_read_them(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_bytes(b"<meta charset=iso-8859-1>\x93quoted\x94 \x80 5")
    assert texts(read(path, "html")) == ["“quoted” € 5"]


def test_pages_without_text_are_quarantined(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    for content, settings, reason in (
        (b"", {}, "empty"),
        (b"<script>x</script>", {}, "empty"),
        (b"<p>x", {"selector": "article"}, "empty"),
        (b"<meta charset=utf-8>caf\xe9", {}, "undecodable"),
        (b"<p>" + b"x" * (1 << 24), {"max_chars": 10}, "too_long"),
    ):
        path.write_bytes(content)
        assert rejections(read(path, "html", **settings)) == [("a.html", reason)]
    path.write_bytes(b"<meta charset=utf-8>caf\xe9")
    assert texts(read(path, "html", errors="replace")) == ["caf\ufffd"]


def test_a_power_does_not_join_its_number() -> None:
    page = (
        "10<sup>6</sup> in 1990<sup class=a>1</sup>, 10<SUP>-3</SUP> m<sup>2</sup> 19<sup>th</sup>"
    )
    text = "10^6 in 1990^1, 10^-3 m2 19th"
    assert html_to_text(page) == text
    assert html_to_text("<p>5<sup></sup>5 <b>7</b><sup>2</sup></p>") == "55 7^2"
    assert (
        html_to_text("10<sup>.5</sup> 10<sup>,5</sup> 10<sup>&minus;6</sup>")
        == "10^.5 10^,5 10^\u22126"
    )
