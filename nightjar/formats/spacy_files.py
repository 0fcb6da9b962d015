"""A spaCy pipeline that has nothing but vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nightjar.errors import InputError
from nightjar.formats.content import ExportedVectors, ReadVectors, extra_module

_SEGMENTED = ("chinese", "japanese", "thai", "subword")


def write_spacy(vectors: ExportedVectors, path: Path) -> None:
    """``spacy.load(path)`` opens it: a blank pipeline of no language (``xx``).

    spaCy cuts texts with its own tokenizer and looks words up as they stand, so text has to be
    lower-cased before, where the model was trained on lower case. A model whose texts were cut
    by the tokenizer ``spacy`` gets the pipeline of that language. In memory: the vectors.
    Raises InputError for tokenizers whose words spaCy's rules would never find.
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
    """The vectors of a pipeline, each under the first of its keys."""
    spacy = extra_module("spacy")
    try:
        vocab = spacy.load(path, exclude=["tokenizer"]).vocab
    except Exception as error:
        raise InputError(f"{path}: spaCy cannot load it ({error}); write it again") from error
    word_of: dict[int, str] = {}
    for key, row in vocab.vectors.key2row.items():
        word_of.setdefault(int(row), vocab.strings[key])
    rows = sorted(word_of)[:limit]
    matrix = np.asarray(vocab.vectors.data, np.float32)[rows]
    return ReadVectors([word_of[row] for row in rows], matrix)
