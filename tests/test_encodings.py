"""Encodings that a text does not say: what is found out, and what is noticed as wrong."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from conftest import PROJECT_ROOT
from corpus_support import config_of, identity_of, run_ingest, text_source
from reader_support import read, rejections, texts

from nightjar.sources.encodings import detect_encoding

UDHR = PROJECT_ROOT.parent / "shared" / "data" / "corpus" / "udhr"
LANGUAGES = {
    "arb": ("cp1256", "iso8859_6"),
    "cmn_hans": ("gb18030", "utf-16-le", "utf-16-be"),
    "cmn_hant": ("big5", "utf-16-le", "utf-16-be"),
    "ell_monotonic": ("cp1253", "iso8859_7"),
    "eng": ("ascii", "utf-16-le", "utf-32-be"),
    "fin": ("cp1252",),
    "fra": ("cp1252", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"),
    "heb": ("cp1255", "iso8859_8"),
    "hin": ("utf-8", "utf-16-le"),
    "jpn": ("cp932", "euc_jp", "iso2022_jp", "utf-16-be", "utf-16-le"),
    "kor": ("cp949", "utf-16-le"),
    "pol": ("cp1250", "iso8859_2", "utf-16-be"),
    "rus": ("cp1251", "koi8_r", "cp866", "iso8859_5", "utf-16-le"),
    "spa": ("cp1252",),
    "tam": ("utf-8", "utf-16-be"),
    "tha": ("cp874", "utf-8"),
    "tur": ("cp1254",),
    "vie": ("cp1258", "utf-8"),
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_encoding_of_a_thousand_characters_is_found(language: str) -> None:
    path = UDHR / f"{language}.txt"
    if not path.exists():
        pytest.skip("the declaration of human rights is not beside the project")
    text = path.read_text(encoding="utf-8")[300:1_300]
    for encoding in LANGUAGES[language]:
        data = text.encode(encoding, "ignore")
        found = detect_encoding(data)
        assert data.decode(found) == data.decode(encoding), (encoding, found)
        assert detect_encoding(data) == found


RUSSIAN_LINES = [
    "Привет, как дела?",
    "Сегодня хорошая погода.",
    "Мы идём гулять в старый парк возле реки.",
]
RUSSIAN = "".join(f"{line}\n" for line in RUSSIAN_LINES)


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1251", "koi8-r"],
)
def test_auto_reads_lines_files_and_tables_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(RUSSIAN.encode(encoding))
    assert texts(read(path, encoding="auto")) == RUSSIAN_LINES
    assert texts(read(path, document="file", encoding="auto")) == [RUSSIAN]
    path.write_bytes(("text;n\n" + RUSSIAN.replace("\n", ";1\n")).encode(encoding))
    settings = {"encoding": "auto", "delimiter": "auto"}
    assert texts(read(path, "csv", **settings)) == RUSSIAN_LINES


def test_what_is_found_out_is_part_of_the_identity(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(RUSSIAN.encode("cp1251"))
    result = run_ingest(tmp_path, text_source("a.txt", encoding="auto"))
    assert result.texts == RUSSIAN_LINES
    config = config_of(text_source("a.txt", encoding="auto"))
    assert "charset-normalizer" in identity_of(config, tmp_path).code
    plain = identity_of(config_of(text_source("a.txt")), tmp_path)
    assert "charset-normalizer" not in plain.code


def test_each_file_has_an_encoding_of_its_own(tmp_path: Path) -> None:
    for number, encoding in enumerate(("utf-8", "cp1251", "utf-16-be")):
        path = tmp_path / f"{number}.txt"
        path.write_bytes(RUSSIAN.encode(encoding))
        assert texts(read(path, encoding="auto")) == RUSSIAN_LINES


def test_lines_of_another_encoding_in_utf_8_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(("naïve\nplain\nrésumé\n".encode() + "façade\n".encode("cp1252")) * 3)
    records = list(read(path, encoding="auto"))
    assert texts(iter(records)) == ["naïve", "plain", "résumé"] * 3
    assert [reason for _, reason in rejections(iter(records))] == ["undecodable"] * 3
    assert texts(read(path, encoding="auto", errors="replace"))[3] == "fa\ufffdade"


def test_a_later_line_of_another_encoding_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"plain line\n" * 30_000 + "façade\n".encode("cp1252"))
    assert rejections(read(path, encoding="auto")) == [("a.txt:30001", "undecodable")]


@pytest.mark.parametrize("cut", range(1, 4))
def test_a_character_cut_by_the_end_of_the_sample_is_no_error(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.txt"
    content = "x" * ((1 << 18) - cut) + "😀"  # 256 KiB are looked at
    path.write_bytes(content.encode())
    assert texts(read(path, encoding="auto")) == [content]


def test_a_short_file_that_ends_within_a_character_is_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("Il a mangé à la cantine, déçu par le café".encode("cp1252"))
    assert texts(read(path, encoding="auto")) == ["Il a mangé à la cantine, déçu par le café"]


def test_what_is_no_text_is_quarantined(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40) + random.Random(1).randbytes(5_000))
    assert detect_encoding(path.read_bytes()) == "utf-8"
    found = rejections(read(path, encoding="auto"))
    assert {reason for _, reason in found} == {"undecodable"}
    assert len(found) > 20


@pytest.mark.parametrize("encoding", ["ascii", "utf-8", "cp1252"])
def test_a_zero_byte_astray_does_not_make_utf_16(tmp_path: Path, encoding: str) -> None:
    text = "" if encoding == "ascii" else "Il a mangé à la cantine, déçu par le café. "
    path = tmp_path / "a.txt"
    path.write_bytes((text + "Some words of text \0and a zero byte or\0 two.").encode(encoding))
    (found,) = texts(read(path, encoding="auto"))
    assert found == text + "Some words of text \0and a zero byte or\0 two."


def test_an_empty_file_has_the_usual_encoding() -> None:
    assert detect_encoding(b"") == "utf-8"


def test_the_wrong_encoding_is_noticed_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("plain\nécole\n".encode("cp1252"))
    records = list(read(path, encoding="utf-8"))
    assert texts(iter(records)) == ["plain"]
    assert rejections(iter(records)) == [("a.txt:2", "undecodable")]
    assert texts(read(path, encoding="utf-8", errors="replace")) == ["plain", "\ufffdcole"]
    path.write_bytes("ab\ncd\ne".encode("utf-16-le") + b"\xd8")
    assert texts(read(path, encoding="utf-16", errors="replace"))[2] == "e\ufffd"
    assert rejections(read(path, encoding="utf-16")) == [("a.txt:3", "undecodable")]
