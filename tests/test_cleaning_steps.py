"""Each step of cleaning but personal data: what it changes, leaves alone and counts."""

from __future__ import annotations

import unicodedata

import pytest
from cleaning_support import cleaned

from nightjar.stages.ingest.cleaning import CleaningChange


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Good.<br /><br />Bad.", "Good.\n\nBad."),
        ("one<br>two<BR/>three<br   />four", "one\ntwo\nthree\nfour"),
        ("I <u>love</u> it", "I love it"),
        ("un<b>believ</b>able", "unbelievable"),
        ("<p>One</p><p>Two</p>", "\nOne\n\nTwo\n"),
        ("<td>a</td><td>b</td>", "\na\n\nb\n"),
        ("<a href=\"x>y\" title='<3'>link</a>", "link"),
        ("<A HREF=x\nCLASS=y>link</A >", "link"),
        ('a<img src="a.png"/>x', "a x"),
        ("<o:p>Word</o:p>", "Word"),
        ('<a href="never closed>link</a>', "link"),
        ("a<!-- <b> -->b<!-->c", "abc"),
        ("a<script>if (a < b) x('</b>')</script>b", "a\nb"),
        ("a<STYLE type=x>p {color: red}</Style >b", "a\nb"),
        ("<!DOCTYPE html><?xml version='1.0'?><![if !IE]>x", "x"),
    ],
)
def test_tags_go_and_words_do_not_grow_together(text: str, expected: str) -> None:
    assert cleaned(text, "html").text == expected


@pytest.mark.parametrize(
    "text",
    [
        "a < b and c > d",
        "I <3 it, 1<2>0",
        "<sigh> and <shakes his head>",
        "<joe@example.org> wrote",
        "<http://example.org/a?b>",
        "<your-name>",
        "ends with <b",
        "<",
        "<>",
        "</>",
        "<!>",
        "<! x>",
        "an open <!-- comment",
        "<bx>",
        "<note:this>",
        "<i never closes",
        "AT&T, R&D, &, &;, &#;, &#x;, &nosuch;",
        "?a=1&copy=2&lt=3&amp=4",
    ],
)
def test_what_is_no_mark_up_stays(text: str) -> None:
    result = cleaned(text, "html")
    assert result.text == text
    assert result.changes == {}


def test_a_script_that_is_never_closed_loses_its_tag_alone() -> None:
    result = cleaned("I like the <style> of <script> writing", "html")
    assert result.text == "I like the \n of \n writing"
    assert result.changes == {CleaningChange.HTML_TAGS: 2}


@pytest.mark.parametrize(
    ("text", "expected", "n_decoded"),
    [
        ("fish &amp; chips &lt;b&gt; &quot;x&quot;", 'fish & chips <b> "x"', 5),
        ("caf&eacute;&nbsp;&hellip; &NotEqualTilde;", "café\u00a0… ≂̸", 4),
        ("&#39;&#x27;&#X1F600;&#39t", "''😀't", 4),
        ("Q&amp A, a &lt b", "Q& A, a < b", 2),
        ("&amp;lt;", "&lt;", 1),
        ("&#150;", "–", 1),  # noqa: RUF001
        ("&#xD800;&#x110000;&#0;&#9999999999;", "\ufffd\ufffd\ufffd\ufffd", 4),
    ],
)
def test_entities_are_decoded_once(text: str, expected: str, n_decoded: int) -> None:
    result = cleaned(text, "html")
    assert result.text == expected
    assert result.changes == {CleaningChange.HTML_ENTITIES: n_decoded}


def test_html_counts_tags_sections_and_entities() -> None:
    result = cleaned("<b>a</b><br/>&amp;<!-- x --><script>y</script>", "html")
    assert result.changes == {
        CleaningChange.HTML_TAGS: 3,
        CleaningChange.HTML_SECTIONS: 2,
        CleaningChange.HTML_ENTITIES: 1,
    }


def test_control_characters_go_but_tab_and_newline() -> None:
    result = cleaned("a\x00b\tc\nd\x07\x7f\ufeff\ufffe\U0001ffff\ufdd0e", "control_characters")
    assert result.text == "ab\tc\nde"
    assert result.changes == {CleaningChange.CONTROLS: 7}


def test_line_separators_and_carriage_returns_become_newlines() -> None:
    result = cleaned("a\r\nb\rc\x0bd\x0ce\u2028f\u2029g\x1dh\x1fi", "control_characters")
    assert result.text == "a\nb\nc\nd\ne\nf\ng\nh i"
    assert result.changes == {CleaningChange.CONTROLS: 6}
    assert cleaned("a\r\nb\r", "control_characters").changes == {}


def test_c1_controls_become_what_windows_has_in_their_place() -> None:
    result = cleaned("it\x92s good\x97very \x93good\x94\x85\x81", "control_characters")
    assert result.text == "it’s good—very “good”…"  # noqa: RUF001
    assert result.changes == {CleaningChange.CONTROLS: 6}


def test_options_choose_what_else_goes_with_the_controls() -> None:
    text = "a\u200eb\ue000c\u200bd\u00ade\u200df\ufe0fg\U000e0041"
    keep = {"bidi": False, "private_use": False}
    assert cleaned(text, "control_characters", control_characters=keep).text == text
    assert cleaned(text, "control_characters").text == text.replace("\u200e", "").replace(
        "\ue000", " "
    )
    hidden = {**keep, "zero_width": True}
    assert cleaned(text, "control_characters", control_characters=hidden).text == (
        "a\u200eb\ue000cde\u200df\ufe0fg"
    )
    selectors = {**keep, "variation_selectors": True}
    assert "\ufe0f" not in cleaned(text, "control_characters", control_characters=selectors).text
    alone = cleaned("x\ufe0f", "control_characters", control_characters=selectors)
    assert alone.text == "x"


def test_lone_surrogates_stay_for_ingest_to_report() -> None:
    assert cleaned("a\ud800\x00", "control_characters").text == "a\ud800"


def test_unicode_brings_into_the_normal_form_of_the_config() -> None:
    text = "cafe\u0301 ﬁn m²"
    nfc = cleaned(text, "unicode")
    assert nfc.text == "café ﬁn m²"
    assert nfc.changes == {CleaningChange.NORMALIZED: 1}
    assert cleaned(text, "unicode", unicode={"form": "NFKC"}).text == "café fin m2"
    assert cleaned("café", "unicode").changes == {}


def test_endless_marks_are_cut_at_thirty() -> None:
    result = cleaned("z" + "\u0316\u0301" * 50 + "b", "unicode")
    assert result.text == unicodedata.normalize("NFC", "z" + "\u0316\u0301" * 15 + "b")
    assert result.changes == {CleaningChange.MARKS: 70, CleaningChange.NORMALIZED: 1}
    thirty = "z" + "\u0316" * 15 + "\u0302" * 15
    assert cleaned(thirty, "unicode").text == unicodedata.normalize("NFC", thirty)


def test_repair_mends_lines_that_were_decoded_wrongly() -> None:
    result = cleaned("plain\nschÃ¶n â€œgutâ€\x9d\nschön", "repair")
    assert result.text == "plain\nschön “gut”\nschön"
    assert result.changes == {CleaningChange.REPAIRED: 1}
    assert cleaned("schön &amp; “gut” ﬁn", "repair").changes == {}


def test_options_choose_what_repair_mends() -> None:
    text = "schÃ¶n “ﬁn” Ａ \033[31mred \ud83d\ude00"  # noqa: RUF001
    assert cleaned(text, "repair", repair={"encoding": False}).text == (
        "schÃ¶n “ﬁn” Ａ red 😀"  # noqa: RUF001
    )
    nothing = {"encoding": False, "surrogates": False, "terminal_escapes": False}
    assert cleaned(text, "repair", repair=nothing).changes == {}
    more = {**nothing, "ligatures": True, "character_width": True, "quotes": True}
    assert cleaned(text, "repair", repair=more).text == ('schÃ¶n "fin" A \033[31mred \ud83d\ude00')


def test_terminal_escapes_in_plain_ascii_are_found() -> None:
    assert cleaned("\033[1;31mred\033[0m", "repair").text == "red"


def test_white_space_is_one_blank_and_one_empty_line() -> None:
    result = cleaned("\n\n a\t b\u00a0 \u3000c \n \n\n\n d\r\ne \n", "white_space")
    assert result.text == "a b c\n\nd\ne"
    assert result.changes == {CleaningChange.RESPACED: 1}
    assert cleaned("a b\n\nc", "white_space").changes == {}
    assert cleaned("a\n\n\n\nb", "white_space", white_space={"max_blank_lines": 0}).text == "a\nb"
    assert cleaned("a\n\n\n\nb", "white_space", white_space={"max_blank_lines": 2}).text == (
        "a\n\n\nb"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see http://example.org/a?b=c#d, then", "see url, then"),
        ("(HTTPS://x.org/y_(z)) ftp://h/f.", "(url)) url."),
        ("www.example.org! WWW.X.DE", "url! url"),
        ('<a href="http://x.org">', '<a href="url">'),
        ("http://x.org/a\u3002\u6211 http://x.org/\u6211", "url\u3002\u6211 url\u6211"),
        ("awww.so cute www. http:// e.g.this x://y", "awww.so cute www. http:// e.g.this x://y"),
    ],
)
def test_urls_are_masked(text: str, expected: str) -> None:
    assert cleaned(text, "urls").text == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("to joe.b+c@mail.example.co.uk.", "to email."),
        ("<a_b@x.org>, ünal@müller.de", "<email>, email"),
        ("joe@x.organn@y.org joe@x.org.1ann@y.org", "email email"),
        ("a@b @joe joe@ joe@localhost x@y.1", "a@b @joe joe@ joe@localhost x@y.1"),
        ("_joe@x.org_ __a_b@x.org__ joe@x.org_ joe@x.org-", "_email_ __email__ email_ email-"),
        ("joe@x.org_ann@y.org joe@x.org1ann@y.org joe@x.org_@x.org", "email email email"),
        ("user@example.xn--p1ai, joe@x.co.xn--p1ai-", "email, email-"),
        (
            "o'brien@x.org 'joe@x.org' o\u2019b@x.org \u2018joe@x.org\u2019",
            "email 'email' email \u2018email\u2019",
        ),
    ],
)
def test_email_addresses_are_masked(text: str, expected: str) -> None:
    assert cleaned(text, "emails").text == expected
    assert cleaned(text, "personal_data").text == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("in 1999, 3.14 or -1,000.50 and 5%", "in number, number or -number and number%"),
        ("١٢٫٥ and १२", "number and number"),  # noqa: RUF001
        ("mp3 1990s 4th v1.2 3D x2y 1.5kg", "mp3 1990s 4th v1.2 3D x2y 1.5kg"),
        ("7.", "number."),
        ("1.2.3-4", "number-number"),
    ],
)
def test_numbers_that_stand_by_themselves_are_masked(text: str, expected: str) -> None:
    assert cleaned(text, "numbers").text == expected


@pytest.mark.parametrize(
    ("step", "value", "masked", "removed"),
    [
        ("urls", "http://x.org", CleaningChange.URLS_MASKED, CleaningChange.URLS_REMOVED),
        ("emails", "a@x.org", CleaningChange.EMAILS_MASKED, CleaningChange.EMAILS_REMOVED),
        ("numbers", "42", CleaningChange.NUMBERS_MASKED, CleaningChange.NUMBERS_REMOVED),
    ],
)
def test_values_are_kept_removed_or_masked_and_counted(
    step: str, value: str, masked: CleaningChange, removed: CleaningChange
) -> None:
    text = f"a {value} b {value}"
    kept = cleaned(text, step, **{step: {"handling": "keep"}})
    assert (kept.text, kept.changes) == (text, {})
    gone = cleaned(text, step, **{step: {"handling": "remove"}})
    assert (gone.text, gone.changes) == ("a  b ", {removed: 2})
    hidden = cleaned(text, step, **{step: {"handling": "mask", "mask": r"<\g>"}})
    assert (hidden.text, hidden.changes) == (r"a <\g> b <\g>", {masked: 2})


def test_steps_run_in_the_order_of_the_config() -> None:
    text = "a&nbsp;&nbsp;&nbsp;b"
    assert cleaned(text, "html", "white_space").text == "a b"
    assert cleaned(text, "white_space", "html").text == "a\u00a0\u00a0\u00a0b"


def test_a_power_in_markup_does_not_join_its_number() -> None:
    found = cleaned(
        "10<sup>6</sup> 1990<SUP class=a> 1</SUP> m<sup>2</sup> 19<sup>th</sup>", "html"
    )
    assert found.text == "10^6 1990^ 1 m2 19th"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<i>10</i><sup>6</sup>", "10^6"),
        ("10<small><sup>6</sup></small>", "10^6"),
        ("10<sup><i>6</i></sup> 10<sup><sup>6</sup></sup>", "10^6 10^6"),
        ('10<sup class="a>b">6</sup>', "10^6"),
        ("10<sup>&#54;</sup> &#49;0<sup>&#54;</sup>", "10^6 10^6"),
        ("10<sup>&minus;6</sup>", "10^\u22126"),
        ("10<sup>.5</sup>", "10^.5"),
        ("10<sup>6</sup><sup>7</sup>", "10^6^7"),
        ("5<sup></sup>5 5<sup/>5 5<sup> </sup>5", "55 55 5 5"),
        ("10<br><sup>6</sup> 10<img><sup>6</sup>", "10\n6 10 6"),
    ],
)
def test_a_power_is_seen_whatever_marks_it_or_its_number(text: str, expected: str) -> None:
    assert cleaned(text, "html").text == expected
    assert cleaned(f"a {text}", "html").text == f"a {expected}"
