"""Static text embeddings: Model2Vec's folder, and sentence-transformers' StaticEmbedding.

Both take the mean of the rows of a text's tokens, so :mod:`.hf_tokenizer` makes them encode
as :meth:`nightjar.model.lookup.VectorModel.encode` does, sentence encoders included.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nightjar.errors import InputError
from nightjar.formats.arrays import tensor_errors
from nightjar.formats.content import ExportedVectors, ReadVectors, extra_module
from nightjar.formats.hf_tokenizer import make_hf_tokenizer, words_of

_MODULE = "0_StaticEmbedding"
_WEIGHTS, _TOKENIZER = "model.safetensors", "tokenizer.json"


def write_model2vec(vectors: ExportedVectors, path: Path) -> None:
    """``model2vec.StaticModel.from_pretrained(path)`` opens it. No vector is normalised.

    In memory: the vectors once.
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
    """``SentenceTransformer(path)`` opens it; writing takes no torch."""
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
    """The rows and tokens of either folder; of another tokenizer the tokens as it has them."""
    folder = path / _MODULE if (path / _MODULE).is_dir() else path
    missing = [name for name in (_WEIGHTS, _TOKENIZER) if not (folder / name).is_file()]
    if missing:
        raise InputError(
            f"{folder}: has no {', '.join(missing)}, so it is no static embedding; name the folder "
            f"that Model2Vec or StaticEmbedding saved"
        )
    try:
        arrays = extra_module("safetensors.numpy").load_file(str(folder / _WEIGHTS))
        tokenizer = extra_module("tokenizers").Tokenizer.from_file(str(folder / _TOKENIZER))
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{folder}: cannot be opened ({error}); fetch it again") from error
    matrix = _rows(folder, arrays)
    words = words_of(tokenizer)
    if len(words) != len(matrix):
        raise InputError(
            f"{folder}: its tokenizer has {len(words)} tokens and its weights {len(matrix)} rows; "
            f"fetch it again"
        )
    return ReadVectors(words[:limit], matrix[:limit])


def _rows(folder: Path, arrays: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
    """The row of each token: Model2Vec may share rows, and weigh them."""
    found = arrays.get("embedding.weight", arrays.get("embeddings"))
    if found is None or found.ndim != 2:
        raise InputError(
            f"{folder / _WEIGHTS}: has {', '.join(sorted(arrays)) or 'nothing'}, not embeddings"
        )
    rows = found.astype(np.float32)
    if "mapping" in arrays:
        rows = rows[arrays["mapping"]]
    if "weights" in arrays:
        rows = rows * arrays["weights"].astype(np.float32)[:, np.newaxis]
    return rows
