"""The tokenizer ``subword``: a definition for Hugging Face's tokenizers, given or trained here.

It trains byte-pair merges (BPE), or the unigram model (Kudo 2018, arXiv:1804.10959): a word's
probability is the sum, over all ways to split it, of the product of its pieces' probabilities.
Expectation maximization fits these; then the pieces whose loss costs the least are dropped, a
quarter at a time, until the vocabulary has its size. Everything is summed in a fixed order, so the
same counts give the same numbers.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .sentences import make_sentence_splitter
from .settings import DefinitionError, TokenizerSettings, import_library, untyped_errors
from .text_cutting import Cutter, Token

_KEPT = 0.75
"""Share of the pieces that a round of pruning keeps."""
_ROUNDS_OF_EM = 2
_LEAST_EXPECTED = 0.5
"""A piece with a lower expected count is dropped; characters get at least this count."""
MAX_PIECE_CHARS = 16
_STRETCH = 24
"""Longer words are trained on in stretches, because products of more probabilities may
underflow."""


def train_unigram(
    counts: Mapping[str, int], seeds: Sequence[str], size: int
) -> list[tuple[str, float]]:
    """At most ``size`` of ``seeds`` with their log probability, best first.

    ``counts[word]`` is how often a word occurs. The characters of all words are pieces, whether or
    not they are seeds. Memory: words and pieces.
    """
    stretches: defaultdict[str, int] = defaultdict(int)
    for word, count in counts.items():
        for start in range(0, len(word), _STRETCH):
            stretches[word[start : start + _STRETCH]] += count
    characters = set().union(*stretches)
    pieces = sorted(characters.union(seed for seed in seeds if len(seed) <= MAX_PIECE_CHARS))
    probabilities = dict.fromkeys(pieces, 1 / len(pieces))
    while True:
        for _ in range(_ROUNDS_OF_EM):
            expected = _expected(stretches, probabilities)
            probabilities = _maximised(expected, characters)
        if len(probabilities) <= size:
            break
        kept = max(size, int(_KEPT * len(probabilities)))
        probabilities = _pruned(probabilities, expected, kept)
    logarithms = {piece: round(math.log(p), 6) for piece, p in probabilities.items()}
    return sorted(logarithms.items(), key=lambda entry: (-entry[1], entry[0]))


def _expected(
    stretches: Mapping[str, int], probabilities: Mapping[str, float]
) -> defaultdict[str, float]:
    """The expected count of each piece, over all ways to split the words."""
    expected: defaultdict[str, float] = defaultdict(float)
    for word, count in stretches.items():
        edges, forward = _lattice(word, probabilities)
        if not forward[-1]:
            continue
        backward = [0.0] * len(word) + [1.0]
        scale = count / forward[-1]
        for start, end, piece, probability in reversed(edges):
            reached = probability * backward[end]
            backward[start] += reached
            expected[piece] += forward[start] * reached * scale
    return expected


def _lattice(
    word: str, probabilities: Mapping[str, float]
) -> tuple[list[tuple[int, int, str, float]], list[float]]:
    """The pieces in a word by start, and the probability of the word up to each position."""
    edges = []
    forward = [1.0] + [0.0] * len(word)
    for start in range(len(word)):
        for end in range(start + 1, min(start + MAX_PIECE_CHARS, len(word)) + 1):
            piece = word[start:end]
            probability = probabilities.get(piece)
            if probability is not None:
                edges.append((start, end, piece, probability))
                forward[end] += forward[start] * probability
    return edges, forward


def _maximised(expected: Mapping[str, float], characters: set[str]) -> dict[str, float]:
    """Probabilities proportional to the expected counts, sorted by piece."""
    kept = {piece: n for piece, n in sorted(expected.items()) if n >= _LEAST_EXPECTED}
    kept |= {sign: max(expected.get(sign, 0.0), _LEAST_EXPECTED) for sign in sorted(characters)}
    total = math.fsum(kept.values())
    return {piece: n / total for piece, n in kept.items()}


def _pruned(
    probabilities: Mapping[str, float], expected: Mapping[str, float], size: int
) -> dict[str, float]:
    """The characters and the pieces that would be missed most, ``size`` in total."""
    losses = {
        piece: expected[piece] * (math.log(probability) - _without(piece, probabilities))
        for piece, probability in probabilities.items()
        if len(piece) > 1
    }
    n_characters = len(probabilities) - len(losses)
    ranked = sorted(losses, key=lambda piece: (-losses[piece], piece))
    kept = set(ranked[: max(0, size - n_characters)])
    return {p: value for p, value in probabilities.items() if len(p) == 1 or p in kept}


def _without(piece: str, probabilities: Mapping[str, float]) -> float:
    """The log probability of the best split of a piece into others."""
    best = [0.0] + [-math.inf] * len(piece)
    for start in range(len(piece)):
        for end in range(start + 1, len(piece) + 1):
            part = piece[start:end]
            if part in probabilities and part != piece:
                best[end] = max(best[end], best[start] + math.log(probabilities[part]))
    return best[-1]


MARK = "\u2581"
"""Prefix of the first piece of a word, as in SentencePiece. By itself it is not a token."""


def make_subword_tokenizer(_settings: TokenizerSettings, definition: str | None) -> Cutter:
    """Split sentences into the pieces of a ``tokenizer.json``, as in its vocabulary.

    ``definition`` is that file's text. No special tokens are added, nothing is padded or truncated;
    text that the vocabulary lacks is dropped, and so is a prefix by itself. The sentence is already
    normalized and lower-cased; the file may do more of it. Raises LibraryMissing, and
    DefinitionError for a definition that is missing or that the library rejects.
    """
    library = import_library("tokenizers", "subword")
    if definition is None:
        raise DefinitionError(
            "the tokenizer 'subword' has no definition here; its tokenizer.json has to be given"
        )
    try:
        with untyped_errors():
            tokenizer = library.Tokenizer.from_str(definition)
            content = json.loads(definition)
            if _add_unknown_piece(content["model"]):
                tokenizer = library.Tokenizer.from_str(json.dumps(content))
    except (RuntimeError, ValueError) as error:
        raise DefinitionError(
            f"the definition of the tokenizer 'subword' cannot be used ({error}); give the "
            f"tokenizer.json that the library tokenizers {library.__version__} writes"
        ) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    left_out = {
        _unknown_id(tokenizer, content["model"]),
        tokenizer.token_to_id(MARK),
    }

    def tokenize(sentence: str) -> list[str]:
        found = tokenizer.encode(sentence, add_special_tokens=False)
        return [
            piece
            for piece, number in zip(found.tokens, found.ids, strict=True)
            if number not in left_out
        ]

    def locate(sentence: str) -> list[Token]:
        found = tokenizer.encode(sentence, add_special_tokens=False)
        return [
            Token(piece, *span)
            for piece, number, span in zip(found.tokens, found.ids, found.offsets, strict=True)
            if number not in left_out
        ]

    return Cutter(tokenize, locate)


def _add_unknown_piece(model: dict[str, Any]) -> bool:
    """Add a piece for what the vocabulary of ``model`` lacks; False if it needs none.

    Without one, the library fails at the first such text.
    """
    vocabulary, piece = model["vocab"], model.get("unk_token")
    if isinstance(vocabulary, list):
        if model.get("unk_id") is not None:
            return False
        # The least score, so that it is worth no more than before to take others for unknown.
        vocabulary.append([_NO_PIECE, min(score for _, score in vocabulary)])
        model["unk_id"] = len(vocabulary) - 1
        return True
    if piece is None or piece in vocabulary:
        return False
    vocabulary[piece] = max(vocabulary.values(), default=-1) + 1
    return True


def _unknown_id(tokenizer: Any, model: Mapping[str, Any]) -> int | None:
    """The id of the unknown token, from the definition's part ``model``."""
    number: int | None = model.get("unk_id")
    piece = model.get("unk_token")
    return tokenizer.token_to_id(piece) if number is None and piece else number


DEFAULT_VOCABULARY = 8_000
UNKNOWN = "<unk>"
_NO_PIECE = "\ue000unknown\ue000"
_WORDS = (
    r"[\p{L}\p{N}][\p{L}\p{M}\p{N}]*"
    "(?:(?:['\u00b7\u05f3\u05f4\u200c\u200d]|[.,\u066b\u066c]"
    r"(?<=\p{Nd}.)(?=\p{Nd}))[\p{L}\p{N}][\p{L}\p{M}\p{N}]*)*"
)
"""Words as in the tokenizer ``unicode``, but with runs of ideographs and Hiragana."""
_APOSTROPHES = ("\u2019", "\u02bc", "\uff07")
_SOFT_HYPHEN = "\u00ad"
_SEED_FACTOR = 4
"""Unigram starts with this many times the final number of pieces."""
_REPEATS = 500
_LONGEST = 200
"""Most characters of a word that are trained on as one."""


def train_subword(settings: TokenizerSettings, texts: Iterator[str]) -> str:
    """Train ``subword_vocabulary`` pieces on the documents; returns the text of a tokenizer.json.

    ``bpe`` (Sennrich et al. 2016, arXiv:1508.07909) is the library's; ``unigram`` (Kudo 2018,
    arXiv:1804.10959) is :func:`train_unigram`, because the library's depends on the order of a hash
    table. Words are prefixed with ▁. The same texts give the same result, whatever the number of
    threads. Every character of the corpus is a piece. Memory: every distinct word. Raises
    LibraryMissing, and DefinitionError when the corpus has no word, or more characters than the
    vocabulary may have pieces.
    """
    library = import_library("tokenizers", "subword")
    size = settings.subword_vocabulary or DEFAULT_VOCABULARY
    counts = _count_words(_blank(library), settings, texts)
    if not counts:
        raise DefinitionError("tokenize: the documents have no word to train pieces of words on")
    n_characters = len(set().union(*counts)) + 1  # and the unknown piece
    if n_characters >= size:
        raise DefinitionError(
            f"tokenize.subword_vocabulary is {size}, but the documents have {n_characters - 1} "
            f"different characters, each of which is a piece; choose more than {n_characters}"
        )
    is_unigram = settings.subword_algorithm == "unigram"
    tokenizer = _train_bpe(library, counts, size * _SEED_FACTOR if is_unigram else size)
    if is_unigram:
        seeds = [piece for piece in tokenizer.get_vocab() if piece != UNKNOWN]
        pieces = train_unigram(counts, seeds, size - 1)
        vocabulary = [(UNKNOWN, 0.0), *pieces]
        tokenizer.model = library.models.Unigram(vocabulary, unk_id=0, byte_fallback=False)
    written: str = tokenizer.to_str(pretty=True)
    return written + "\n"


def _blank(library: Any) -> Any:
    """A tokenizer that knows words, but no pieces yet."""
    tokenizer = library.Tokenizer(library.models.BPE(unk_token=UNKNOWN))
    replace = library.normalizers.Replace
    signs = [replace(apostrophe, "'") for apostrophe in _APOSTROPHES]
    tokenizer.normalizer = library.normalizers.Sequence([*signs, replace(_SOFT_HYPHEN, "")])
    cut = library.pre_tokenizers
    tokenizer.pre_tokenizer = cut.Sequence(
        [
            cut.Split(library.Regex(_WORDS), "removed", invert=True),
            cut.Metaspace(MARK, prepend_scheme="always", split=False),
        ]
    )
    tokenizer.decoder = library.decoders.Metaspace(MARK, prepend_scheme="always", split=False)
    return tokenizer


def _count_words(
    tokenizer: Any, settings: TokenizerSettings, texts: Iterator[str]
) -> dict[str, int]:
    """How often each marked word occurs, sorted by the word."""
    split = make_sentence_splitter(settings)
    spell, cut = tokenizer.normalizer.normalize_str, tokenizer.pre_tokenizer.pre_tokenize_str
    counts: Counter[str] = Counter()
    for text in texts:
        for sentence in split(text):
            for word, _ in cut(spell(sentence)):
                counts.update(_stretches(word))
    return dict(sorted(counts.items()))


def _stretches(word: str) -> list[str]:
    """The word, or the parts of one that is so long that every merge would be slow."""
    if len(word) <= _LONGEST:
        return [word]
    plain = word.removeprefix(MARK)
    return [MARK + plain[start : start + _LONGEST] for start in range(0, len(plain), _LONGEST)]


def _train_bpe(library: Any, counts: dict[str, int], size: int) -> Any:
    tokenizer = _blank(library)
    trainer = library.trainers.BpeTrainer(
        vocab_size=size, special_tokens=[UNKNOWN], show_progress=False
    )
    tokenizer.train_from_iterator(_repeated(counts), trainer)
    return tokenizer


def _repeated(counts: dict[str, int]) -> Iterator[str]:
    """Each word as often as it occurs, some hundreds per text."""
    for word, count in counts.items():
        plain = word.removeprefix(MARK) + " "
        for done in range(0, count, _REPEATS):
            yield plain * min(_REPEATS, count - done)
