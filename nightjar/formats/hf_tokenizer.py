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
from nightjar.model.tokenization import TokenizerSettings
from nightjar.model.tokenization.character_classes import unspaced_ranges

MARK = "\u2581"
_EXPRESSIBLE = ("unicode", "whitespace", "regex")


def make_hf_tokenizer(words: Sequence[str], settings: TokenizerSettings) -> Any:
    """A ``tokenizers.Tokenizer`` whose id of ``words[i]`` is i.

    Raises InputError without the library, and for a tokenizer, a case folding or a pattern
    that it cannot express.
    """
    _check_expressible(settings)
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


def _check_expressible(settings: TokenizerSettings) -> None:
    """Raise InputError for settings whose words no Hugging Face tokenizer would find."""
    reasons = []
    if settings.tokenizer not in _EXPRESSIBLE:
        reasons.append(f"tokenizer: {settings.tokenizer}")
    if settings.casefold:
        reasons.append("casefold: true")
    if settings.locale is not None:
        reasons.append(f"locale: {settings.locale}")
    if reasons:
        raise InputError(
            f"the model's texts are cut with {', '.join(reasons)} (tokenize), which a Hugging Face "
            f"tokenizer cannot express; choose a format of words alone, such as safetensors"
        )


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
        if settings.hyphens == "keep":
            found += [replace(hyphen, "-") for hyphen in ("\u2010", "\u2011", "\uff0d")]
    return found


def _words(library: Any, settings: TokenizerSettings) -> Any:
    """What cuts a text into words: the matches of the tokenizer's pattern."""
    if settings.tokenizer == "whitespace":
        return library.pre_tokenizers.WhitespaceSplit()
    pattern = settings.pattern or ""
    if settings.tokenizer == "unicode":
        pattern = _unicode_pattern(settings)
    try:
        expression = library.Regex(pattern)
    except Exception as error:
        raise InputError(
            f"tokenize.pattern {pattern!r} cannot be expressed in a Hugging Face tokenizer "
            f"({error}); choose another format"
        ) from error
    return library.pre_tokenizers.Split(expression, "removed", invert=True)


def _unicode_pattern(settings: TokenizerSettings) -> str:
    """The tokenizer ``unicode`` (model/tokenization/unicode_words.py) in Oniguruma's syntax."""
    inner = "" if settings.apostrophes == "split" else "'"
    inner += "\u00b7\u05f3\u05f4\u200c\u200d" + ("\\-" if settings.hyphens == "keep" else "")
    single = "".join(rf"\x{{{first:X}}}-\x{{{last:X}}}" for first, last in unspaced_ranges())
    first = rf"[\p{{L}}\p{{N}}&&[^{single}]]"
    inside = rf"[\p{{L}}\p{{M}}\p{{N}}&&[^{single}]]"
    join = f"(?:[{inner}]|[.,\u066b\u066c]" + r"(?<=\p{Nd}.)(?=\p{Nd}))"
    return rf"{first}{inside}*(?:{join}{first}{inside}*)*|[{single}&&[\p{{L}}\p{{N}}]]\p{{M}}*"
