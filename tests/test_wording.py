"""Singular and plural: one document, two documents, and no message that says "1 documents"."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from test_architecture import modules, nodes

from nightjar.model.lookup.lookup_errors import counted as counted_in_a_model
from nightjar.wording import counted

NOUNS = (
    "alarms|artifacts|bytes|characters|columns|documents|entries|epochs|events|files|items|lines|"
    "models|n-grams|neighbours|nights|occurrences|parts|records|rows|sentences|shards|sources|"
    "steps|texts|tokens|values|vectors|versions|words"
)
PLURAL = re.compile(rf"^ (?:[a-z-]+ ){{0,2}}?(?:{NOUNS})\b")
NO_NUMBERS = re.compile(
    r"units|plural_of\(\w+\)"
    r"|_?[A-Z][A-Z_]+|self\._limits\.\w+|self\.(max_bytes|name|path)|names?|key|piece|config|share|its"
    r"|pattern|rate|own_length|entry\.name|artifact\.ref|' and '\.join\(.*|_KINDS\[.*|made\[.*"
    r"|max\(caps\)|max\(map\(len, known\)\)|(tokens|buckets)\[bad\]|tokens\[row\]|min_count"
    r"|delimiter|statement\[1\]|variables\[.*|suffix if .*|int\(np\.argmax.*|size if .*"
    r"|self\._n_words / .*|corpus|model\.trainer|benchmark\.type|_score\(foreign\)"
)
"""Expressions that are no numbers, or numbers that are never 1."""
WORDED_OTHERWISE = {
    Path("nightjar/registry/model_code.py"): ("n_columns",),  # more than one
    Path("nightjar/registry/registered_files.py"): ("sizes.get(name, 'no')", "size"),
    Path("nightjar/store/opening.py"): ("metadata.num_rows", "size"),
    Path("nightjar/model/tokenization/subword.py"): ("n_characters - 1",),  # a whole alphabet
}


@pytest.mark.parametrize(
    ("n", "noun", "said"),
    [
        (0, "document", "0 documents"),
        (1, "document", "1 document"),
        (2, "document", "2 documents"),
        (1_000, "registered version", "1,000 registered versions"),
        (2, "entry", "2 entries"),
        (2, "day", "2 days"),
        (2, "index", "2 indexes"),
        (1, "entry", "1 entry"),
    ],
)
def test_a_number_with_its_noun(n: int, noun: str, said: str) -> None:
    assert counted(n, noun) == said


def test_an_irregular_plural_is_given() -> None:
    assert [counted(n, "row of n-grams", "rows of n-grams") for n in (1, 2)] == [
        "1 row of n-grams",
        "2 rows of n-grams",
    ]


def test_a_model_counts_alike() -> None:
    assert [counted_in_a_model(n, "word") for n in (1, 2_000)] == ["1 word", "2,000 words"]


def bare_plurals(path: Path) -> Iterator[str]:
    """Where an f-string has a number before a plural: ``{n} documents``."""
    for node in nodes(path):
        for value, text in pairwise(node.values if isinstance(node, ast.JoinedStr) else ()):
            if not isinstance(value, ast.FormattedValue) or not isinstance(text, ast.Constant):
                continue
            said = ast.unparse(value.value)
            if said.startswith("counted("):
                continue
            is_other = said in WORDED_OTHERWISE.get(path, ()) or NO_NUMBERS.fullmatch(said)
            if PLURAL.match(str(text.value)) and not is_other:
                yield f"{path}:{value.lineno}: {{{said}}}{str(text.value)[:30]}"


def test_no_message_has_a_bare_number_before_a_plural() -> None:
    """Use ``nightjar.wording.counted``."""
    assert [place for path in modules() for place in bare_plurals(path)] == []


def test_the_search_finds_them(tmp_path: Path) -> None:
    source = tmp_path / "said.py"
    source.write_text("x = f'{n} documents, {n:,} more words, {name} files, {n} of them'\n")
    found = [place.partition(": ")[2] for place in bare_plurals(source)]
    assert found == ["{n} documents, ", "{n} more words, "]
