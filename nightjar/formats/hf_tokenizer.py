"""Our tokenizer as one of Hugging Face's, which knows the words of a model and drops others.

Words are marked by a lower one eighth block in front (as SentencePiece marks them) and are
entries of a BPE vocabulary without merges and without an unknown token: a word that is there is
taken whole, another one falls apart into characters, none of which is an entry, and vanishes.
So what is left of a text are the ids of its known words, which is what a mean is taken over.

Different from ours: unknown words of FastText are not composed; a Greek sigma at the end of a
word is lower-cased as elsewhere; Unicode's tables are those of the library.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nightjar.errors import InputError
from nightjar.formats.content import extra_module
from nightjar.tokenization import TokenizerSettings
from nightjar.tokenization.characters import unspaced_ranges

MARK = "\u2581"


def make_hf_tokenizer(words: Sequence[str], settings: TokenizerSettings) -> Any:
    """A ``tokenizers.Tokenizer`` whose id of ``words[i]`` is i.

    Raises InputError without the library, and for a pattern that it cannot express.
    """
    library = extra_module("tokenizers")
    vocabulary = {MARK + word: row for row, word in enumerate(words)}
    tokenizer = library.Tokenizer(
        library.models.BPE(vocab=vocabulary, merges=[], unk_token=None, ignore_merges=True)
    )
    normalizers = _normalizers(library, settings)
    if normalizers:
        tokenizer.normalizer = library.normalizers.Sequence(normalizers)
    tokenizer.pre_tokenizer = library.pre_tokenizers.Sequence(
        [
            _words(library, settings),
            library.pre_tokenizers.Metaspace(MARK, prepend_scheme="always", split=False),
        ]
    )
    return tokenizer


def words_of(tokenizer: Any) -> list[str]:
    """The entries of a tokenizer in the order of their ids, without our mark."""
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    ordered = sorted(vocabulary, key=vocabulary.__getitem__)
    if all(word.startswith(MARK) for word in ordered):
        return [word.removeprefix(MARK) for word in ordered]
    return ordered


def _normalizers(library: Any, settings: TokenizerSettings) -> list[Any]:
    forms = {"NFC": library.normalizers.NFC, "NFKC": library.normalizers.NFKC}
    found = [forms[settings.normalization]()] if settings.normalization else []
    if settings.lowercase:
        found.append(library.normalizers.Lowercase())
    if settings.tokenizer == "unicode":
        replace = library.normalizers.Replace
        found += [replace(apostrophe, "'") for apostrophe in ("\u2019", "\u02bc", "\uff07")]
        found.append(replace("\u00ad", ""))  # soft hyphen
    return found


def _words(library: Any, settings: TokenizerSettings) -> Any:
    """What cuts a text into words: the matches of the tokenizer's pattern."""
    if settings.tokenizer == "whitespace":
        return library.pre_tokenizers.WhitespaceSplit()
    pattern = settings.pattern or ""
    if settings.tokenizer == "unicode":
        pattern = _unicode_pattern()
    try:
        expression = library.Regex(pattern)
    except Exception as error:
        raise InputError(
            f"tokenize.pattern {pattern!r} cannot be expressed in a Hugging Face tokenizer "
            f"({error}); choose another format"
        ) from error
    return library.pre_tokenizers.Split(expression, "removed", invert=True)


def _unicode_pattern() -> str:
    """The tokenizer ``unicode`` (nightjar/tokenization/tokenizers.py) in Oniguruma's syntax."""
    single = "".join(rf"\x{{{first:X}}}-\x{{{last:X}}}" for first, last in unspaced_ranges())
    first = rf"[\p{{L}}\p{{N}}&&[^{single}]]"
    inside = rf"[\p{{L}}\p{{M}}\p{{N}}&&[^{single}]]"
    join = "(?:['\u00b7\u05f3\u05f4\u200c\u200d]|[.,\u066b\u066c]" + r"(?<=\p{Nd}.)(?=\p{Nd}))"
    return rf"{first}{inside}*(?:{join}{first}{inside}*)*|[{single}&&[\p{{L}}\p{{N}}]]\p{{M}}*"
