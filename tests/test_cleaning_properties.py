"""What holds for every text: cleaning never raises, repeats itself and takes linear time."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
import unicodedata

import pytest
from cleaning_support import cleaned, config, guarded
from conftest import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from nightjar.config.cleaning import STEPS
from nightjar.stages.ingest.cleaning import make_cleaner

N_CHARS = 100_000
PIECES = (
    *("<", ">", "<b>", "</b>", "<br />", "<!--", "-->", "<script>", "</script>", '"', "'", "="),
    *(
        "&",
        "&amp;",
        "&lt;",
        "&#64;",
        "&#",
        ";",
        "http://",
        "www.",
        "x.org",
        "joe@x.org",
        "@",
        "_",
        "o'b@x.xn--p1ai",
    ),
    *("+49 30 1234567", "4111 1111 1111 1111", "DE89 3704 0044 0532 0130 00", "030 12", "(", ")"),
    *("1", "2,3", "0", ".", ",", "-", "/", " ", "\t", "\n", "\r", "\u00a0", "\u3000", "a", "bc"),
    *("\x00", "\x85", "\x92", "\u200b", "\u200e", "\u2028", "\ufeff", "\ue000", "\ufe0f", "\033["),
    *("\u0301", "\u0316", "\u0f73", "é", "Ã©", "â€œ", "ﬁ", "我", "😀", "\ud83d", "\ude00"),
)
TEXTS = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=40).map("".join),
    st.text(st.characters(exclude_categories=()), max_size=60),
)
IDEMPOTENT = ("unicode", "control_characters", "repair", "white_space")


@settings(deadline=None, max_examples=examples(100))
@given(TEXTS)
def test_nothing_makes_cleaning_raise(text: str) -> None:
    filters = {"max_symbol_ratio": 0.9, "max_digit_ratio": 0.9, "max_repeated_line_ratio": 0.9}
    options = config(*STEPS, filters=filters)
    for steps in (STEPS, STEPS[::-1]):
        cleaner = make_cleaner(options.model_copy(update={"steps": list(steps)}))
        assert cleaner.clean(text) == cleaner.clean(text)
        cleaner.redact(text, 20)


@pytest.mark.parametrize("step", IDEMPOTENT)
@settings(deadline=None)
@given(text=TEXTS)
def test_cleaning_twice_is_cleaning_once(step: str, text: str) -> None:
    once = cleaned(text, step).text
    again = cleaned(once, step)
    assert again.text == once
    assert again.changes == {}


@pytest.mark.parametrize("step", ["urls", "emails", "numbers", "personal_data"])
@settings(deadline=None)
@given(text=TEXTS)
def test_masking_twice_is_masking_once(step: str, text: str) -> None:
    # The word phone in front makes any number a phone number, and so would this mask.
    options = {"personal_data": {"phone_mask": "xxx"}} if step == "personal_data" else {}
    once = cleaned(text, step, **options).text
    assert cleaned(once, step, **options).text == once


@settings(deadline=None)
@given(TEXTS)
def test_what_is_left_has_no_control_characters(text: str) -> None:
    for character in cleaned(text, "control_characters").text:
        assert character in "\t\n" or unicodedata.category(character) not in ("Cc", "Zl", "Zp")


@settings(deadline=None)
@given(TEXTS)
def test_letters_and_digits_survive_the_harmless_steps(text: str) -> None:
    def letters(part: str) -> list[str]:
        return [character for character in part if unicodedata.category(character)[0] in "LN"]

    plain = "".join(character for character in text if not 0x80 <= ord(character) < 0xA0)
    assert letters(cleaned(plain, "control_characters", "white_space").text) == letters(plain)


@settings(deadline=None)
@given(st.text(st.sampled_from("xyz <>/\n!3=\"'&;"), max_size=30))
def test_html_takes_nothing_from_texts_without_known_names(text: str) -> None:
    assert cleaned(text, "html").text == text


HOSTILE = {
    "html": (
        *("<", "<a ", '<a "', "<a '\"", "<b><i>", "<!--", "<script>", "<script ", "<!x", "<![a"),
        *("</style><script>", "<br      ", "a x=<3 ", "&", "&#1111111", "&#" + "9" * 5000),
        *("&ampamp", "<a x='<", "<!-->", "1<sup>", "<sup> ", "1<sup>&#49;", "<o:" + "p" * 50),
    ),
    "unicode": ("\u0301\u0316", "\u0f73\u0f81", "\uff9e\u0316", "\U0001d165\u0316", "\u1100\u1161"),
    "repair": ("Ã©Ã¨ ", "ÃƒÂ©", "Ã\u00a0", "é\033[1;", "\ud800", "â€"),
    "control_characters": ("\x92", "\u202e", "\ue000", "\r\n", "\r"),
    "white_space": (" ", "\n", " \n", "a\n\n\n", "\u3000\t"),
    "urls": ("http://", "http://....", "www.", "http://a.,", "://"),
    "emails": (
        "a@",
        "a.",
        "@",
        "a@b.",
        "x@a-.b-.",
        "a" * 64 + "@",
        "@b.cc",
        "a_",
        "a'",
        "a@b.cc1",
        "a@b.xn--a-",
    ),
    "numbers": ("1", "1,", "1,1,1x ", "1 ", "1.a"),
    "personal_data": (
        *("1", "1 ", "1-", "+4", "+1 (", "(0", "0123 ", "tel 123456 ", "212-555-", "+(", "0(0"),
        *("DE89 ", "DE89DE89", "4111 1111 1111 1112 ", "4444 ", "01.02.2003 "),
    ),
}


@pytest.mark.parametrize("step", STEPS)
def test_hostile_texts_take_linear_time(step: str) -> None:
    cleaner = make_cleaner(config(step))
    for piece in HOSTILE[step]:
        with guarded():
            cleaner.clean(piece * (N_CHARS // len(piece)))


def test_hostile_texts_take_linear_time_in_filters() -> None:
    ratios = ("symbol", "digit", "repeated_line", "repeated_character")
    filters = {f"max_{name}_ratio": 1.0 for name in ratios}
    cleaner = make_cleaner(config(filters={**filters, "min_words": 1}))
    for piece in ("a", "aaab", "!", "\n", "a\n", "1", "é", "😀"):
        with guarded():
            cleaner.clean(piece * (N_CHARS // len(piece)))


def test_another_process_cleans_alike() -> None:
    code = (
        "from nightjar.stages.ingest.cleaning import make_cleaner\n"
        "from nightjar.config.cleaning import STEPS, CleaningConfig\n"
        "config = CleaningConfig(steps=list(STEPS), language={'languages': ['de']})\n"
        "print(ascii(make_cleaner(config).clean('<b>SchÃ¶n</b> &amp; gut, das ist ja schön "
        "und das freut uns sehr, +49 30 1234567')))\n"
    )
    here = io.StringIO()
    with contextlib.redirect_stdout(here):
        exec(code, {})
    command = [sys.executable, "-c", code]
    there = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert there == here.getvalue()
    assert "language='de'" in there
