"""From UTF-8 to sentences of word ids: the tokenizer ``unicode`` in one pass over the bytes.

Characters are looked up in two tables of the basic multilingual plane (65,536 entries of uint16):
the flags below, and the lower case. A text with a character flagged UNKNOWN is left to the
tokenizer in Python, because normalization would change it, it has marks, or its lower case does not
fit into the table.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nightjar.kernels.compilation import compiled, inlined

UNKNOWN = 1 << 0
FIRST = 1 << 1
"""May start a word."""
INSIDE = 1 << 2
"""May continue a word."""
SINGLE = 1 << 3
"""A word by itself."""
INNER = 1 << 4
"""Joins two parts of a word (apostrophes)."""
DECIMAL = 1 << 5
"""Joins two parts of a number, between digits."""
DIGIT = 1 << 6
SPACE = 1 << 7
LINE_END = 1 << 8
STOP = 1 << 9
"""May end a sentence."""
WIDE_STOP = 1 << 10
"""Ends a sentence whatever follows."""
CLOSER = 1 << 11
OPENER = 1 << 12
LOWER = 1 << 13
UPPER = 1 << 14
WORD = 1 << 15
r"""Matches ``\w``."""

FULL_STOP = 46
LINE_FEED = 10
_FNV_OFFSET = np.uint64(0xCBF29CE484222325)
_FNV_PRIME = np.uint64(0x100000001B3)


N_IDS, N_SENTENCES, N_TOKENS, N_TOO_SHORT, N_TOO_LONG, IS_FULL = range(6)
"""Indices of ``state``; IS_FULL is 1 when a table had no room for a document."""
STATE_SIZE = 6

SENTENCE_END = -1
"""A sentence end among the starts of tokens."""


class Characters(NamedTuple):
    """Tables by code point of the basic multilingual plane."""

    flags: NDArray[np.uint16]
    lowered: NDArray[np.uint16]
    """Its lower case."""


class Rules(NamedTuple):
    """The rules for tokens and sentences that do not depend on characters."""

    splits_sentences: bool
    min_chars: int
    max_chars: int


class Texts(NamedTuple):
    """Document d is ``data[offsets[d]:offsets[d + 1]]``, valid UTF-8."""

    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]


class FoundTokens(NamedTuple):
    """The tokens of one document: token i is ``characters[begins[i]:ends[i]]``.

    A sentence ends where ``begins[i]`` is SENTENCE_END. There is room for the longest document;
    ``begins`` and ``ends`` have an entry per byte and one more.
    """

    characters: NDArray[np.uint32]
    begins: NDArray[np.int64]
    ends: NDArray[np.int64]


class TokenTable(NamedTuple):
    """The vocabulary: ``slots`` (a power of two of them, -1 if free) by hash.

    Token t is ``characters[starts[t]:starts[t + 1]]``; ``counts`` (n, 3): how often it occurs, in
    how many documents, and the number of the last of these plus one.
    """

    slots: NDArray[np.int32]
    starts: NDArray[np.int64]
    characters: NDArray[np.uint32]
    counts: NDArray[np.int64]


class CutSentences(NamedTuple):
    """Kept tokens, and for each non-empty sentence its length and its document.

    There is room for one token per two bytes and one per document.
    """

    ids: NDArray[np.int32]
    lengths: NDArray[np.int32]
    documents: NDArray[np.int32]


@compiled()
def cut_documents(
    texts: Texts,
    document: int,
    first_document: int,
    table: Characters,
    rules: Rules,
    found: FoundTokens,
    tokens: TokenTable,
    sentences: CutSentences,
    state: NDArray[np.int64],
) -> int:
    """Cut the documents from ``document`` on; returns the first one that is left.

    It is left because the tables have no room for its words (``state[IS_FULL]``), or because it has
    a character that the kernel does not support. ``first_document`` is the number of the first of
    ``texts``. ``found`` is scratch space; ``tokens`` and ``sentences`` are appended to, and
    ``state`` has their sizes.
    """
    data, offsets = texts
    state[IS_FULL] = 0
    while document < len(offsets) - 1:
        n_characters = _decode(
            data, offsets[document], offsets[document + 1], table.flags, found.characters
        )
        if n_characters < 0:
            return document
        if not _has_room(n_characters // 2 + 1, n_characters, tokens, state):
            state[IS_FULL] = 1
            return document
        if rules.splits_sentences:
            _mark_sentences(found.characters, n_characters, table.flags)
        n_found = _find_tokens(
            found.characters, n_characters, table.flags, table.lowered, found.begins, found.ends
        )
        number = first_document + document
        _add_tokens(found, n_found, document, number, rules, tokens, sentences, state)
        document += 1
    return document


@compiled()
def add_document(
    found: FoundTokens,
    document: int,
    number: int,
    rules: Rules,
    tokens: TokenTable,
    sentences: CutSentences,
    state: NDArray[np.int64],
) -> bool:
    """Add a document with known tokens; without room, returns False and changes nothing.

    The other arguments are as for :func:`cut_documents`.
    """
    n_found = len(found.begins)
    if not _has_room(n_found, len(found.characters), tokens, state):
        return False
    _add_tokens(found, n_found, document, number, rules, tokens, sentences, state)
    return True


@compiled()
def fill_slots(tokens: TokenTable, n_tokens: int) -> None:
    """Enter all tokens into new ``slots``, which are all -1."""
    slots = tokens.slots
    mask = np.uint64(len(slots) - 1)
    for token in range(n_tokens):
        begin, end = tokens.starts[token], tokens.starts[token + 1]
        slot = _first_slot(tokens.characters, begin, end, mask)
        while slots[slot] >= 0:
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = token


@inlined
def _has_room(
    n_tokens: int, n_characters: int, tokens: TokenTable, state: NDArray[np.int64]
) -> bool:
    """Whether that many new tokens fit, with half of the slots free."""
    n_after = state[N_TOKENS] + n_tokens
    return bool(
        2 * n_after <= len(tokens.slots)
        and n_after < len(tokens.starts)
        and tokens.starts[state[N_TOKENS]] + n_characters <= len(tokens.characters)
    )


@compiled()
def _decode(
    data: NDArray[np.uint8],
    start: int,
    end: int,
    flags: NDArray[np.uint16],
    characters: NDArray[np.uint32],
) -> int:
    """Decode valid UTF-8; returns the number of code points, -1 if one is not supported."""
    position, n_characters = start, 0
    while position < end:
        byte = np.uint32(data[position])
        if byte < 0x80:
            code = byte
            position += 1
        elif byte < 0xE0:
            code = (byte & 0x1F) << 6 | (np.uint32(data[position + 1]) & 0x3F)
            position += 2
        elif byte < 0xF0:
            code = (
                (byte & 0x0F) << 12
                | (np.uint32(data[position + 1]) & 0x3F) << 6
                | (np.uint32(data[position + 2]) & 0x3F)
            )
            position += 3
        else:
            return -1
        if flags[code] & UNKNOWN:
            return -1
        characters[n_characters] = code
        n_characters += 1
    return n_characters


@compiled()
def _mark_sentences(
    characters: NDArray[np.uint32], n_characters: int, flags: NDArray[np.uint16]
) -> None:
    """Replace the last stop of each sentence with a line feed.

    Closing quotes and brackets then start the next sentence, which makes no difference to the
    words.
    """
    position = 0
    while position < n_characters:
        if not flags[characters[position]] & STOP:
            position += 1
            continue
        while position < n_characters and flags[characters[position]] & STOP:
            position += 1
        stop = position - 1
        if flags[characters[stop]] & WIDE_STOP or (
            _sentence_may_begin(characters, position, n_characters, flags)
            and not _is_initial(characters, stop, flags)
        ):
            characters[stop] = LINE_FEED


@compiled()
def _sentence_may_begin(
    characters: NDArray[np.uint32], position: int, n_characters: int, flags: NDArray[np.uint16]
) -> bool:
    """Whether closing marks are followed by white space, and then not by a lower-case letter."""
    while position < n_characters and flags[characters[position]] & CLOSER:
        position += 1
    space = position
    while position < n_characters and flags[characters[position]] & SPACE:
        position += 1
    if position == space:
        return False
    while position < n_characters and flags[characters[position]] & OPENER:
        position += 1
    return position == n_characters or not flags[characters[position]] & LOWER


@compiled()
def _is_initial(characters: NDArray[np.uint32], stop: int, flags: NDArray[np.uint16]) -> bool:
    """Whether the full stop at ``stop`` follows a single capital letter."""
    if characters[stop] != FULL_STOP or stop == 0 or not flags[characters[stop - 1]] & UPPER:
        return False
    return stop == 1 or not flags[characters[stop - 2]] & WORD


@compiled()
def _find_tokens(
    characters: NDArray[np.uint32],
    n_characters: int,
    flags: NDArray[np.uint16],
    lowered: NDArray[np.uint16],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> int:
    """Lower-case the characters, and find the tokens and sentence ends; returns their number."""
    for place in range(n_characters):
        characters[place] = lowered[characters[place]]
    position, n_found = 0, 0
    while position < n_characters:
        kind = flags[characters[position]]
        end = position + 1
        if kind & FIRST:
            end = _word_end(characters, end, n_characters, flags)
        elif not kind & SINGLE:
            if kind & LINE_END:
                begins[n_found] = SENTENCE_END
                n_found += 1
            position += 1
            continue
        begins[n_found] = position
        ends[n_found] = end
        n_found += 1
        position = end
    begins[n_found] = SENTENCE_END
    return n_found + 1


@inlined
def _word_end(
    characters: NDArray[np.uint32], end: int, n_characters: int, flags: NDArray[np.uint16]
) -> int:
    """The end of a word, given that ``end`` is after its first character."""
    while True:
        while end < n_characters and flags[characters[end]] & INSIDE:
            end += 1
        if end + 1 >= n_characters:
            break
        joint, following = flags[characters[end]], flags[characters[end + 1]]
        joins = joint & INNER or (
            joint & DECIMAL and flags[characters[end - 1]] & DIGIT and following & DIGIT
        )
        if not joins or not following & FIRST:
            break
        end += 2
    return end


@inlined
def _first_slot(characters: NDArray[np.uint32], begin: int, end: int, mask: np.uint64) -> np.uint64:
    """The first slot to search for a token: FNV-1a over its code points (Fowler, Noll and Vo)."""
    hashed = _FNV_OFFSET
    for place in range(begin, end):
        hashed = (hashed ^ np.uint64(characters[place])) * _FNV_PRIME
    return (hashed ^ (hashed >> np.uint64(32))) & mask


@compiled()
def _add_tokens(
    found: FoundTokens,
    n_found: int,
    document: int,
    number: int,
    rules: Rules,
    tokens: TokenTable,
    sentences: CutSentences,
    state: NDArray[np.int64],
) -> None:
    """Count the tokens of a document and write their ids, except those too short or too long."""
    characters, begins, ends = found
    slots, token_starts, token_characters, counts = tokens
    ids, sentence_lengths, sentence_documents = sentences
    n_ids, n_sentences, n_tokens = state[N_IDS], state[N_SENTENCES], state[N_TOKENS]
    sentence_start = n_ids
    mask = np.uint64(len(slots) - 1)
    for place in range(n_found):
        begin = begins[place]
        if begin == SENTENCE_END:
            if n_ids > sentence_start:
                sentence_lengths[n_sentences] = n_ids - sentence_start
                sentence_documents[n_sentences] = document
                n_sentences += 1
                sentence_start = n_ids
            continue
        length = ends[place] - begin
        if length < rules.min_chars:
            state[N_TOO_SHORT] += 1
            continue
        if length > rules.max_chars:
            state[N_TOO_LONG] += 1
            continue
        slot = _first_slot(characters, begin, ends[place], mask)
        token = np.int64(slots[slot])
        while token >= 0 and not _is_token(
            token, characters, begin, length, token_starts, token_characters
        ):
            slot = (slot + np.uint64(1)) & mask
            token = np.int64(slots[slot])
        if token < 0:
            token = n_tokens
            slots[slot] = token
            n_tokens += 1
            first = token_starts[token]
            for offset in range(length):
                token_characters[first + offset] = characters[begin + offset]
            token_starts[token + 1] = first + length
        counts[token, 0] += 1
        if counts[token, 2] != number + 1:
            counts[token, 2] = number + 1
            counts[token, 1] += 1
        ids[n_ids] = token
        n_ids += 1
    state[N_IDS], state[N_SENTENCES], state[N_TOKENS] = n_ids, n_sentences, n_tokens


@inlined
def _is_token(
    token: np.int64,
    characters: NDArray[np.uint32],
    begin: int,
    length: int,
    token_starts: NDArray[np.int64],
    token_characters: NDArray[np.uint32],
) -> bool:
    first = token_starts[token]
    is_same = token_starts[token + 1] - first == length
    place = 0
    while is_same and place < length:
        is_same = token_characters[first + place] == characters[begin + place]
        place += 1
    return bool(is_same)
