"""From documents to sentences of word ids, by a kernel where possible, else by the tokenizer.

The kernel implements ``tokenizer: unicode`` for characters that are their own normal form and have
a one-character lower case, which covers nearly all text without combining marks. Documents with
other characters, and those of other tokenizers, go through :mod:`nightjar.model.tokenization`.
Either way tokens get their ids from the same table, in the order of the documents.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nightjar.config import TokenizeConfig
from nightjar.kernels import unicode_sentences as kernel
from nightjar.model.tokenization import SentenceSplitter, Tokenizer
from nightjar.model.tokenization.character_classes import LAST_BASIC, unspaced_ranges
from nightjar.model.tokenization.sentences import (
    CLOSERS,
    OPENERS,
    TERMINATORS,
    WIDE_TERMINATORS,
    make_normal_form,
)
from nightjar.model.tokenization.settings import NormalForm
from nightjar.model.tokenization.unicode_words import (
    DECIMAL,
    inner_characters,
    replaced_characters,
)
from nightjar.store.schemas import SHARD_VOCABULARY_SCHEMA

Number = TypeVar("Number", bound=np.generic)

_LINE_ENDS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
_FIRST_TOKENS = 1 << 14
_FIRST_CHARACTERS = 1 << 17
_FINAL_SIGMA = "\u03a3"
"""Its lower case depends on what follows."""


@dataclass(frozen=True, eq=False)
class CutBatch:
    """The sentences of some documents, except those without tokens.

    ``ids`` int32 (n_tokens,), the sentences end to end; ``lengths`` int32 (n_sentences,);
    ``documents`` int32 (n_sentences,): the index of each sentence's document in the batch.
    """

    ids: NDArray[np.int32]
    lengths: NDArray[np.int32]
    documents: NDArray[np.int32]


class WordCutter:
    """Cuts batches of documents, and holds the vocabulary of all that it has seen.

    Memory per distinct token: 4 bytes per character and about 50 more.
    """

    def __init__(
        self, config: TokenizeConfig, make: Callable[[], tuple[SentenceSplitter, Tokenizer]]
    ) -> None:
        self._rules = kernel.Rules(
            config.split_sentences, config.min_token_chars, config.max_token_chars
        )
        self._make = cache(make)  # made on demand: compiling its patterns takes a while
        self._characters = _character_table(config)
        self._tokens = kernel.TokenTable(
            np.full(2 * _FIRST_TOKENS, -1, np.int32),
            np.zeros(_FIRST_TOKENS + 1, np.int64),
            np.zeros(_FIRST_CHARACTERS, np.uint32),
            np.zeros((_FIRST_TOKENS, 3), np.int64),
        )
        self._state = np.zeros(kernel.STATE_SIZE, np.int64)
        self._n_documents = 0

    @property
    def n_too_short(self) -> int:
        """Tokens dropped so far as too short."""
        return int(self._state[kernel.N_TOO_SHORT])

    @property
    def n_too_long(self) -> int:
        """Tokens dropped so far as too long."""
        return int(self._state[kernel.N_TOO_LONG])

    def cut(self, texts: pa.LargeStringArray) -> CutBatch:
        """The sentences of ``texts``, which has no nulls."""
        output = _Output(texts)
        self._state[[kernel.N_IDS, kernel.N_SENTENCES]] = 0
        done = 0
        while (done := self._run_kernel(texts, done, output)) < len(texts):
            if self._state[kernel.IS_FULL]:
                self._make_room(*self._need(texts, done))
            else:
                self._add(texts[done].as_py(), done, output)
                done += 1
        self._n_documents += len(texts)
        n_ids, n_sentences = self._state[[kernel.N_IDS, kernel.N_SENTENCES]]
        return CutBatch(
            output.sentences.ids[:n_ids],
            output.sentences.lengths[:n_sentences],
            output.sentences.documents[:n_sentences],
        )

    def _run_kernel(self, texts: pa.LargeStringArray, first: int, output: _Output) -> int:
        """Cut documents from ``first`` on; returns the first one that is left."""
        table = self._characters
        if table is None:
            self._state[kernel.IS_FULL] = 0
            return first
        return kernel.cut_documents(
            _buffers(texts),
            first,
            self._n_documents,
            table,
            self._rules,
            output.found,
            self._tokens,
            output.sentences,
            self._state,
        )

    def _need(self, texts: pa.LargeStringArray, document: int) -> tuple[int, int]:
        """The most tokens and characters that a document can add."""
        offsets = _buffers(texts).offsets
        n_bytes = int(offsets[document + 1] - offsets[document])
        return n_bytes // 2 + 1, n_bytes

    def _add(self, text: str, document: int, output: _Output) -> None:
        """Cut a document in Python."""
        characters: list[str] = []
        begins: list[int] = []
        ends: list[int] = []
        position = 0
        split, tokenizer = self._make()
        for sentence in split(text):
            for token in tokenizer(sentence):
                characters.append(token)
                begins.append(position)
                position += len(token)
                ends.append(position)
            begins.append(kernel.SENTENCE_END)
            ends.append(kernel.SENTENCE_END)
        output.make_room(len(begins), self._state)
        codes = np.frombuffer("".join(characters).encode("utf-32-le"), np.uint32)
        found = kernel.FoundTokens(codes, np.array(begins, np.int64), np.array(ends, np.int64))
        while not kernel.add_document(
            found,
            document,
            self._n_documents + document,
            self._rules,
            self._tokens,
            output.sentences,
            self._state,
        ):
            self._make_room(len(begins), len(codes))

    def _make_room(self, n_tokens: int, n_characters: int) -> None:
        """Make room for so many new tokens and characters."""
        n_known = int(self._state[kernel.N_TOKENS])
        n_after = n_known + n_tokens
        known = self._tokens
        if n_after >= len(known.starts) or 2 * n_after > len(known.slots):
            size = 1 << (n_after + 1).bit_length()
            self._tokens = known = kernel.TokenTable(
                np.full(2 * size, -1, np.int32),
                _longer(known.starts, size + 1),
                known.characters,
                _longer(known.counts, size),
            )
            kernel.fill_slots(known, n_known)
        n_needed = int(known.starts[n_known]) + n_characters
        if n_needed > len(known.characters):
            size = 1 << n_needed.bit_length()
            self._tokens = known._replace(characters=_longer(known.characters, size))

    def vocabulary(self) -> pa.Table:
        """Token, count and number of documents of each id."""
        n_tokens = int(self._state[kernel.N_TOKENS])
        starts = self._tokens.starts[: n_tokens + 1]
        text = self._tokens.characters[: starts[-1]].tobytes().decode("utf-32-le")
        bounds = starts.tolist()
        tokens = [text[bounds[i] : bounds[i + 1]] for i in range(n_tokens)]
        counts = self._tokens.counts[:n_tokens]
        columns = [
            pa.array(tokens, pa.string()),
            pa.array(np.ascontiguousarray(counts[:, 0])),
            pa.array(np.ascontiguousarray(counts[:, 1])),
        ]
        return pa.table(columns, schema=SHARD_VOCABULARY_SCHEMA)


class _Output:
    """What the kernels write for one batch of texts."""

    def __init__(self, texts: pa.LargeStringArray) -> None:
        offsets = _buffers(texts).offsets
        size = int(offsets[-1] - offsets[0]) // 2 + len(texts)
        longest = int(np.diff(offsets).max(initial=0))
        self.sentences = kernel.CutSentences(
            np.empty(size, np.int32), np.empty(size, np.int32), np.empty(size, np.int32)
        )
        self.found = kernel.FoundTokens(
            np.empty(longest, np.uint32),
            np.empty(longest + 1, np.int64),
            np.empty(longest + 1, np.int64),
        )

    def make_room(self, n_tokens: int, state: NDArray[np.int64]) -> None:
        """Make room for tokenizers that find more than one word per two bytes."""
        size = int(state[kernel.N_IDS]) + n_tokens
        if size > len(self.sentences.ids):
            self.sentences = kernel.CutSentences(
                *(_longer(values, 2 * size) for values in self.sentences)
            )


def _longer(values: NDArray[Number], size: int) -> NDArray[Number]:
    longer = np.zeros((max(size, len(values)), *values.shape[1:]), values.dtype)
    longer[: len(values)] = values
    return longer


def _buffers(texts: pa.LargeStringArray) -> kernel.Texts:
    """Bytes and offsets of the texts."""
    _, offsets, data = texts.buffers()
    found = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    return kernel.Texts(np.frombuffer(data or b"", np.uint8), found)


def _character_table(config: TokenizeConfig) -> kernel.Characters | None:
    """The kernel's character tables; None if the kernel does not support the settings."""
    if config.tokenizer != "unicode" or config.casefold or config.locale is not None:
        return None
    inner, replaced = inner_characters(config), replaced_characters(config)
    return _make_table(
        config.normalization, config.lowercase, inner, tuple(sorted(replaced.items()))
    )


@cache
def _make_table(
    form: NormalForm | None,
    lowercase: bool,
    inner: str,
    replaced: tuple[tuple[str, str | None], ...],
) -> kernel.Characters:
    codes = range(LAST_BASIC + 1)
    flags = np.array([_flags(chr(code)) for code in codes], np.uint16)
    for first, last in unspaced_ranges():
        there = flags[first : last + 1]
        there[there & kernel.FIRST != 0] ^= kernel.FIRST | kernel.INSIDE | kernel.SINGLE
    lowered = np.arange(LAST_BASIC + 1, dtype=np.uint16)
    if lowercase:
        lower_case = [chr(code).lower() for code in codes]
        lowered[:] = [ord(lower[0]) for lower in lower_case]
        flags[[len(lower) > 1 for lower in lower_case]] |= kernel.UNKNOWN
        flags[ord(_FINAL_SIGMA)] |= kernel.UNKNOWN
    for characters, flag in ((inner, kernel.INNER), *_SETS):
        flags[[ord(character) for character in characters]] |= flag
    for character, replacement in replaced:
        if replacement is None:
            flags[ord(character)] |= kernel.UNKNOWN
        else:
            lowered[ord(character)] = ord(replacement)
    if form is not None:
        flags[list(_seconds_of_compositions())] |= kernel.UNKNOWN
        _leave_out_what_changes(form, flags, lowered)
    return kernel.Characters(flags, lowered)


_SETS = (
    (DECIMAL, kernel.DECIMAL),
    (_LINE_ENDS, kernel.LINE_END),
    (TERMINATORS + WIDE_TERMINATORS, kernel.STOP),
    (WIDE_TERMINATORS, kernel.WIDE_STOP),
    (CLOSERS.replace("\\", ""), kernel.CLOSER),  # it is escaped for a regular expression
    (OPENERS.replace("\\", ""), kernel.OPENER),
)


_LETTER = kernel.FIRST | kernel.INSIDE | kernel.WORD
_OF_LETTERS = {
    "Lu": _LETTER | kernel.UPPER,
    "Ll": _LETTER | kernel.LOWER,
    **dict.fromkeys(("Lt", "Lm", "Lo"), _LETTER),
}


def _flags(character: str) -> int:
    """The kernel's flags of a character that do not depend on settings."""
    category = unicodedata.category(character)
    if category in _OF_LETTERS:
        return _OF_LETTERS[category]
    if category in ("Cs", "Cn") or category[0] == "M":
        return kernel.UNKNOWN
    found = kernel.FIRST | kernel.INSIDE if category[0] == "N" else 0
    for has, flag in (
        (character.isdecimal(), kernel.DIGIT),
        (character.isalnum() or character == "_", kernel.WORD),
        (character.isspace(), kernel.SPACE),
    ):
        if has:
            found |= flag
    return found


def _seconds_of_compositions() -> frozenset[int]:
    """Characters that can combine with the character before them."""
    found = set()
    for code in range(LAST_BASIC + 1):
        parts = unicodedata.decomposition(chr(code))
        if parts.count(" ") == 1 and parts[0] != "<":
            found.add(int(parts.partition(" ")[2], 16))
    hangul_vowels_and_finals = range(0x1161, 0x1200)
    return frozenset(found | set(hangul_vowels_and_finals))


def _leave_out_what_changes(
    form: NormalForm, flags: NDArray[np.uint16], lowered: NDArray[np.uint16]
) -> None:
    """Mark characters that normalization changes, unless neither form is part of a word."""
    normalize = make_normal_form(form)
    matters = kernel.FIRST | kernel.SINGLE | kernel.INNER | kernel.DECIMAL | kernel.LINE_END
    for code in np.flatnonzero(flags & kernel.UNKNOWN == 0).tolist():
        character = chr(code)
        normal = normalize(character)
        if normal == character:
            continue
        is_ellipsis = normal == "..."  # dots between digits only count singly
        is_removed = not normal
        if (
            is_removed
            or flags[code] & matters
            or not (
                is_ellipsis
                or all(
                    ord(part) <= LAST_BASIC
                    and not flags[ord(part)] & (matters | kernel.UNKNOWN)
                    and not flags[lowered[ord(part)]] & matters
                    for part in normal
                )
            )
        ):
            flags[code] |= kernel.UNKNOWN
