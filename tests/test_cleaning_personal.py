"""Personal data: what is masked, what looks like it and is not, and that it is gone."""

from __future__ import annotations

import pytest
from cleaning_support import cleaned, config
from conftest import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from nightjar.stages.ingest.cleaning import CleaningChange, Dropped, make_cleaner
from nightjar.stages.ingest.cleaning.account_numbers import (
    LENGTHS,
    find_cards,
    find_ibans,
    has_valid_checksum,
    is_card_number,
)


@pytest.mark.parametrize(
    "number",
    [
        "+49 30 1234567",
        "+49 (0)30 123-4567",
        "+1 (212) 555-0123",
        "+1-212-555-0123",
        "+442079460958",
        "+48 123 456 789",
        "+ 33 1 23 45 67 89",
        "0049 30 1234567",
        "(212) 555-0123",
        "212-555-0123",
        "212.555.0123",
        "1 212 555 0123",
        "030 1234567",
        "(030) 123 45 67",
        "0171/1234567",
        "01 23 45 67 89",
        "01.23.45.67.89",
        "020 7946 0958",
        "07700 900123",
        "07700900123",
        "03-1234-5678",
        "+49\u00a030\u00a01234567",
        "+49 30 123\u20114567",
        "+49\u200930\u20091234567",
        "+49\t30\u2002123\u200a4567",
    ],
)
def test_phone_numbers_are_masked(number: str) -> None:
    for text in (f"Call {number} now", f"Call {number}.", f"{number}", f"({number})"):
        result = cleaned(text, "personal_data")
        assert result.text == text.replace(number, "phone")
        assert result.changes == {CleaningChange.PERSONAL_PHONES: 1}


@pytest.mark.parametrize(
    "text",
    [
        "from 1990-1995, 1939 1945 and 2001/2002",
        "on 01.02.2003, 1/2/2003 and 2003-02-01",
        "01.02.2003 12:30 and 01.02.2003 1200 people",
        "ISBN 0-306-40615-2 or 978-0-306-40615-7",
        "ISBN: 0306406152, ISBN-10 0306406152",
        "it made 1,000,000 or 1.000.000 or 1 000 000 dollars",
        "a change of +10.000.000 Euro",
        "3.14159265358979 and 0.0123456789",
        "a score of 10-0, 555-1234 votes, 100 200 300",
        "version 1.2.3.4567, 192.168.001.001",
        "Article 0123 of 456",
        "12345678901",
        "the telephone of 1999 and 2001",
        "tel 1990-1995",
        "x0301234567 and 0301234567x",
    ],
)
def test_other_numbers_are_no_phone_numbers(text: str) -> None:
    result = cleaned(text, "personal_data")
    assert result.text == text
    assert result.changes == {}


@pytest.mark.parametrize("before", ["Tel. ", "phone: ", "FAX no. ", "Telefon: ", "cell "])
def test_a_word_in_front_makes_any_number_a_phone_number(before: str) -> None:
    assert cleaned(f"{before}555-1234 ok", "personal_data").text == f"{before}phone ok"


def test_a_phone_number_behind_another_number_is_found() -> None:
    isbn = "ISBN 978-0-306-40615-7"
    assert cleaned(f"{isbn} 030 1234567", "personal_data").text == f"{isbn} phone"
    assert cleaned("since 2001 030 1234567", "personal_data").text == "since 2001 phone"
    assert cleaned("2 numbers, 1 030 1234567", "personal_data").text == "2 numbers, 1 phone"


CARDS = [
    "4111111111111111",
    "4222222222222",
    "5555555555554444",
    "2223003122003222",
    "378282246310005",
    "30569309025904",
    "6011111111111117",
    "3530111333300000",
    "6200000000000005",
    "6759649826438453",
]


@pytest.mark.parametrize("digits", CARDS)
def test_card_numbers_are_masked_in_any_grouping(digits: str) -> None:
    fours = [digits[at : at + 4] for at in range(0, len(digits), 4)]
    for number in (digits, " ".join(fours), "-".join(fours), "\u00a0".join(fours)):
        result = cleaned(f"No.{number}, thanks", "personal_data")
        assert result.text == "No.card, thanks", number
        assert result.changes == {CleaningChange.PERSONAL_CARDS: 1}
    amex = f"{digits[:4]} {digits[4:10]} {digits[10:]}"
    assert cleaned(amex, "personal_data").text == "card"


@pytest.mark.parametrize("digits", CARDS)
def test_a_wrong_digit_or_issuer_makes_it_no_card_number(digits: str) -> None:
    wrong = digits[:-1] + str((int(digits[-1]) + 1) % 10)
    assert not is_card_number(wrong)
    assert not list(find_cards(wrong))
    assert not is_card_number("9" + digits[1:])
    assert not is_card_number(digits[:11])


def test_numbers_that_only_look_like_cards_stay() -> None:
    assert not list(find_cards("0.4111111111111111"))
    assert not list(find_cards("41111111111111111111"))
    assert not list(find_cards("4111  1111  1111  1111"))
    assert not list(find_cards("0000 0000 0000 0000"))


def test_a_card_number_among_other_numbers_is_found() -> None:
    text = "2 4111 1111 1111 1111 3 5555-5555-5555-4444"
    assert [text[start:end] for start, end in find_cards(text)] == [
        "4111 1111 1111 1111",
        "5555-5555-5555-4444",
    ]


IBANS = [
    "DE89 3704 0044 0532 0130 00",
    "GB82 WEST 1234 5698 7654 32",
    "FR14 2004 1010 0505 0001 3M02 606",
    "NO93 8601 1117 947",
    "MT84 MALT 0110 0001 2345 MTLC AST0 01S",
    "BE68 5390 0754 7034",
    "SA03 8000 0000 6080 1016 7519",
    "CH93 0076 2011 6238 5295 7",
    "NL91 ABNA 0417 1643 00",
    "PL61 1090 1014 0000 0712 1981 2874",
]


@pytest.mark.parametrize("iban", IBANS)
def test_ibans_are_masked_in_any_spelling(iban: str) -> None:
    plain = iban.replace(" ", "")
    for number in (iban, plain, plain.lower(), iban.replace(" ", "-")):
        result = cleaned(f"IBAN {number} today", "personal_data")
        assert result.text == "IBAN iban today"
        assert result.changes == {CleaningChange.PERSONAL_IBANS: 1}


@pytest.mark.parametrize("iban", IBANS)
def test_an_iban_of_another_length_or_checksum_stays(iban: str) -> None:
    plain = iban.replace(" ", "")
    assert has_valid_checksum(plain)
    assert not list(find_ibans(plain + "X"))
    assert not list(find_ibans("X" + plain))
    assert not list(find_ibans(plain[:-1]))
    assert not list(find_ibans("XX" + plain[2:]))
    swapped = plain[:3] + str((int(plain[3]) + 1) % 10) + plain[4:]
    assert not list(find_ibans(swapped))


def test_the_table_of_ibans_has_the_countries_of_the_registry() -> None:
    assert len(LENGTHS) == 89
    assert all(len(country) == 2 and country.isupper() for country in LENGTHS)
    assert (LENGTHS["DE"], LENGTHS["GB"], LENGTHS["LC"], LENGTHS["NO"]) == (22, 22, 32, 15)


def test_only_the_kinds_of_the_config_are_masked_by_its_masks() -> None:
    text = f"{IBANS[0]}, {CARDS[0]}, joe@x.org, +49 30 1234567"
    assert cleaned(text, "personal_data").text == "iban, card, email, phone"
    options = {"kinds": ["email", "card"], "email_mask": "<mail>", "card_mask": "XXXX"}
    assert cleaned(text, "personal_data", personal_data=options).text == (
        f"{IBANS[0]}, XXXX, <mail>, +49 30 1234567"
    )


@pytest.mark.parametrize("blank", ["\u00a0", "\u2002", "\u2009", "\u202f"])
def test_blanks_of_every_width_group_digits(blank: str) -> None:
    text = f"4111 1111 1111 1111, {IBANS[0]}, +49 30 1234567".replace(" ", blank)
    assert cleaned(text, "personal_data").text == f"card,{blank}iban,{blank}phone"


def test_a_mask_does_not_grow_together_with_its_neighbours() -> None:
    assert cleaned(f"No{CARDS[0]}", "personal_data").text == "No card"


SECRETS = [*CARDS, *IBANS, "joe.blogs@example.org", "+49 30 1234567", "(212) 555-0123"]


@settings(deadline=None, max_examples=examples(100))
@given(
    st.text(st.sampled_from("ab .,\n<é我"), max_size=20),
    st.sampled_from(SECRETS),
    st.text(st.sampled_from("ab .,\n<é我"), max_size=20),
)
def test_a_value_is_nowhere_in_the_result(before: str, secret: str, after: str) -> None:
    text = f"{before} {secret} {after}"
    cleaner = make_cleaner(config("html", "personal_data", filters={"min_words": 100}))
    result = cleaner.clean(text)
    assert isinstance(result, Dropped)
    assert secret not in repr(result)
    assert secret not in cleaner.redact(text)


def test_redacting_masks_a_text_as_it_stands() -> None:
    cleaner = make_cleaner(config("html", "personal_data"))
    assert cleaner.redact('{"t": "<b>joe@x.org</b>"}') == '{"t": "<b>email</b>"}'
    assert make_cleaner(config("html")).redact("<b>joe@x.org") == "<b>joe@x.org"
    assert make_cleaner(config("html")).redact("abcdef", 3) == "abc"


def test_redacting_finds_what_only_the_steps_before_lay_open() -> None:
    cleaner = make_cleaner(config("html", "personal_data", "numbers"))
    assert cleaner.redact("<b>1</b> joe&#64;x.org") == "1 email"


@pytest.mark.parametrize("secret", SECRETS)
def test_no_part_of_a_value_is_left_where_a_redacted_text_is_cut(secret: str) -> None:
    cleaner = make_cleaner(config("personal_data"))
    for padding in range(160, 210):
        text = "x" * (padding - 1) + " " + secret + " y" * 3000
        shown = cleaner.redact(text, 200)
        assert len(shown) <= 200
        assert secret[:6] not in shown
    many = (secret + ", ") * 500
    assert secret[:6] not in cleaner.redact(many, 200)
