"""Static text embeddings: Model2Vec's folder, sentence-transformers' StaticEmbedding, spaCy's.

The first two take the mean of the rows of a text's tokens. Their tokenizer is ours, expressed as a
Hugging Face tokenizer, so that they encode as :meth:`nightjar.model.lookup.VectorModel.encode`
does, sentence encoders included. Each word is prefixed with a lower one eighth block
(SentencePiece's marker) and is an entry of a BPE vocabulary without merges and without an unknown
token: a known word is one token, while an unknown one falls apart into characters that are not
entries, and vanishes. What remains of a text are the ids of its known words.

Differences from ours: FastText's unknown words are not composed; a Greek sigma at the end of a word
is lower-cased like others; the library's Unicode tables are used.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nightjar.errors import InputError
from nightjar.formats.arrays import tensor_errors
from nightjar.formats.character_trie import precompiled_characters
from nightjar.formats.content import (
    ExportedVectors,
    ReadVectors,
    as_float32,
    extra_module,
    new_matrix,
)
from nightjar.model.tokenization import TokenizerSettings, untyped_errors
from nightjar.model.tokenization.character_classes import unspaced_ranges
from nightjar.model.tokenization.letter_forms import invisible_characters, letter_forms
from nightjar.wording import counted

MARK = "\u2581"
_EXPRESSIBLE = ("unicode", "whitespace", "regex")


def make_hf_tokenizer(words: Sequence[str], settings: TokenizerSettings) -> Any:
    """A ``tokenizers.Tokenizer`` in which the id of ``words[i]`` is i.

    Raises InputError without the library, and for a tokenizer, case folding or pattern that it
    cannot express.
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
    """Raise InputError for settings whose words a Hugging Face tokenizer would not find."""
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
    """The entries of a tokenizer in the order of their ids, without our prefix.

    Raises InputError unless the ids are 0, 1, 2 and so on.
    """
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    ordered = sorted(vocabulary, key=vocabulary.__getitem__)
    for expected, word in enumerate(ordered):
        if vocabulary[word] != expected:
            raise InputError(
                f"the ids of the tokenizer's {counted(len(ordered), 'token')} are not 0 to "
                f"{len(ordered) - 1}: that of {word!r} is {vocabulary[word]}"
            )
    if all(word.startswith(MARK) for word in ordered):
        return [word.removeprefix(MARK) for word in ordered]
    return ordered


def _normalizers(library: Any, settings: TokenizerSettings) -> list[Any]:
    found = []
    if settings.normalization is not None:
        is_nfkc = settings.normalization == "NFKC"
        has_forms = settings.normalization == "forms"
        table = {**(letter_forms() if has_forms else {}), **invisible_characters()}
        found.append(library.normalizers.Precompiled(precompiled_characters(table)))
        found.append(library.normalizers.NFKC() if is_nfkc else library.normalizers.NFC())
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
    """The pre-tokenizer that finds words: the matches of the tokenizer's pattern."""
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


_MODULE = "0_StaticEmbedding"
_WEIGHTS, _TOKENIZER = "model.safetensors", "tokenizer.json"


def write_model2vec(vectors: ExportedVectors, path: Path) -> None:
    """Write a folder for ``model2vec.StaticModel.from_pretrained``. Vectors are not normalized.

    Memory: the vectors once.
    """
    tokenizer = _tokenizer(vectors)
    model = extra_module("model2vec").StaticModel(
        np.asarray(vectors.matrix),
        tokenizer,
        config={"nightjar": dict(vectors.source)},
        normalize=False,
        base_model_name=vectors.source.get("model", "nightjar"),
        max_length=None,
    )
    with tensor_errors():
        model.save_pretrained(path)


def write_sentence_transformers(vectors: ExportedVectors, path: Path) -> None:
    """Write a folder for ``SentenceTransformer(path)``, without needing torch."""
    save_file = extra_module("safetensors.numpy").save_file
    tokenizer = _tokenizer(vectors)
    module = path / _MODULE
    module.mkdir(parents=True)
    with tensor_errors():
        save_file({"embedding.weight": np.asarray(vectors.matrix)}, str(module / _WEIGHTS))
    tokenizer.save(str(module / _TOKENIZER))
    kind = "sentence_transformers.models.StaticEmbedding"
    _write_json(path / "modules.json", [{"idx": 0, "name": "0", "path": _MODULE, "type": kind}])
    _write_json(
        path / "config_sentence_transformers.json",
        {"prompts": {}, "default_prompt_name": None, "similarity_fn_name": "cosine"},
    )
    _write_json(path / "nightjar.json", dict(vectors.source))


def _tokenizer(vectors: ExportedVectors) -> Any:
    if vectors.has_phrases:
        raise InputError(
            "the model's texts are cut into words of which some are joined (tokenize.phrases), "
            "which a Hugging Face tokenizer cannot express; choose a format of words alone, such "
            "as safetensors"
        )
    return make_hf_tokenizer(vectors.tokens, vectors.tokenizer)


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def read_static(path: Path, limit: int | None = None) -> ReadVectors:
    """Read rows and tokens of either folder, also with a tokenizer other than ours."""
    folder = path / _MODULE if (path / _MODULE).is_dir() else path
    missing = [name for name in (_WEIGHTS, _TOKENIZER) if not (folder / name).is_file()]
    if missing:
        raise InputError(
            f"{folder}: has no {', '.join(missing)}, so it is no static embedding; name the folder "
            f"that Model2Vec or StaticEmbedding saved"
        )
    try:
        with untyped_errors():
            arrays = extra_module("safetensors.numpy").load_file(str(folder / _WEIGHTS))
            tokenizer = extra_module("tokenizers").Tokenizer.from_file(str(folder / _TOKENIZER))
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{folder}: cannot be opened ({error}); fetch it again") from error
    matrix = _rows(folder, arrays)
    try:
        words = words_of(tokenizer)
    except InputError as error:
        raise InputError(f"{folder / _TOKENIZER}: {error}; fetch it again") from error
    if len(words) != len(matrix):
        raise InputError(
            f"{folder}: its tokenizer has {counted(len(words), 'token')} and its weights "
            f"{counted(len(matrix), 'row')}; fetch it again"
        )
    return ReadVectors(words[:limit], matrix[:limit])


def _rows(folder: Path, arrays: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
    """The row of each token: Model2Vec may share rows and weight them."""
    found = arrays.get("embedding.weight", arrays.get("embeddings"))
    if found is None or found.ndim != 2:
        raise InputError(
            f"{folder / _WEIGHTS}: has {', '.join(sorted(arrays)) or 'nothing'}, not embeddings"
        )
    rows = as_float32(found)
    mapping, weights = arrays.get("mapping"), arrays.get("weights")
    if mapping is not None:
        if mapping.ndim != 1 or mapping.dtype.kind not in "iu" or not _are_rows(mapping, len(rows)):
            raise InputError(
                f"{folder / _WEIGHTS}: 'mapping' ({mapping.dtype} {mapping.shape}) does not give "
                f"each token one of {counted(len(rows), 'row')}; fetch it again"
            )
        shared, rows = rows, new_matrix(folder, len(mapping), rows.shape[1])
        np.take(shared, mapping, axis=0, out=rows, mode="clip")
    if weights is not None:
        if weights.shape != (len(rows),):
            raise InputError(
                f"{folder / _WEIGHTS}: 'weights' has the shape {weights.shape}, expected one for "
                f"each of {counted(len(rows), 'token')}; fetch it again"
            )
        rows = rows * as_float32(weights)[:, np.newaxis]
    return rows


def _are_rows(numbers: NDArray[Any], n_rows: int) -> bool:
    return not len(numbers) or (int(numbers.min()) >= 0 and int(numbers.max()) < n_rows)


_SEGMENTED = ("chinese", "japanese", "thai", "subword")


def write_spacy(vectors: ExportedVectors, path: Path) -> None:
    """Write a folder for ``spacy.load(path)``: a blank pipeline without a language (``xx``).

    spaCy splits texts with its own tokenizer and looks words up unchanged, so for a model trained
    on lower case, texts have to be lower-cased first. A model whose texts were cut by the tokenizer
    ``spacy`` gets the pipeline of that language. Memory: the vectors. Raises InputError for
    tokenizers whose words spaCy's rules would never find.
    """
    settings = vectors.tokenizer
    if settings.tokenizer in _SEGMENTED:
        raise InputError(
            f"the model's texts are cut with tokenizer: {settings.tokenizer} (tokenize), whose "
            f"words a spaCy pipeline would not find in a text; choose a format of words alone, "
            f"such as safetensors"
        )
    spacy = extra_module("spacy")
    table = extra_module("spacy.vectors")
    pipeline = spacy.blank(settings.spacy_language or "xx")
    strings = pipeline.vocab.strings
    keys = [strings.add(token) for token in vectors.tokens]
    pipeline.vocab.vectors = table.Vectors(
        strings=strings, data=np.array(vectors.matrix, np.float32), keys=keys
    )
    pipeline.meta["name"] = "nightjar_vectors"
    pipeline.meta["nightjar"] = dict(vectors.source)
    pipeline.to_disk(path)


def read_spacy(path: Path, limit: int | None = None) -> ReadVectors:
    """Read the vectors of a pipeline; words that share a row, as in pruned ones, have each a copy.

    Rows without a word and keys without a text are left out and counted. The pipeline's components
    are not loaded. Raises InputError for floret vectors, which belong to no word.
    """
    vocabulary = extra_module("spacy.vocab")
    try:
        vocab = vocabulary.Vocab().from_disk(path / "vocab", exclude=["lookups"])
        vectors, strings = vocab.vectors, vocab.strings
        key_rows = {int(key): int(row) for key, row in vectors.key2row.items()}
        data = vectors.data
    except Exception as error:
        raise InputError(f"{path}: spaCy cannot load it ({error}); write it again") from error
    if getattr(vectors.mode, "value", vectors.mode) == "floret":
        raise InputError(
            f"{path}: has floret vectors, a table of hashed n-grams in which no row belongs to a "
            f"word, so they cannot be imported; use vectors of words, as fastText's"
        )
    if data.ndim != 2 or not _are_rows(np.array([*key_rows.values()], np.int64), len(data)):
        raise InputError(
            f"{path}: its {counted(len(key_rows), 'key')} do not fit its vectors of shape "
            f"{data.shape}; write it again"
        )
    faults = Counter(row_without_word=len(data) - len(set(key_rows.values())))
    words: list[str] = []
    rows: list[int] = []
    for key, row in key_rows.items():  # in the order in which they were added
        if key not in strings:
            faults["key_without_text"] += 1
            continue
        words.append(strings[key])
        rows.append(row)
    if not words and key_rows:
        raise InputError(
            f"{path}: none of its {counted(len(key_rows), 'key')} has a text in "
            f"vocab/strings.json, so whose vectors they are is not known; write it again, with its "
            f"strings"
        )
    rows = rows[:limit]
    matrix = new_matrix(path, len(rows), data.shape[1])
    matrix[:] = as_float32(np.asarray(data))[rows]
    return ReadVectors(words[:limit], matrix, faults=+faults)
