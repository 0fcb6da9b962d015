"""Small encoders, created with the libraries that users create theirs with."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nightjar.config import DocumentVectorsConfig

os.environ["HF_HUB_OFFLINE"] = "1"

WORDS = (
    "a", "the", "film", "about", "grief", "slow", "quick", "sad", "happy", "music", "dog",
    "cat", "runs", "sleeps", "in", "house", "garden", "night", "##s", "##ing", "query", ":",
)  # fmt: skip


def write_vocabulary(path: Path) -> None:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    path.write_text("\n".join([*special, *WORDS]) + "\n", encoding="utf-8")


def make_bert(folder: Path, *, seed: int = 1) -> Path:
    """A BERT of a few thousand weights with mean pooling, as sentence-transformers saves it."""
    library = pytest.importorskip("sentence_transformers", reason="needs the extra encoders")
    import torch  # noqa: PLC0415
    import transformers  # noqa: PLC0415

    plain = folder.with_name(f"{folder.name}-plain")
    plain.mkdir(parents=True)
    write_vocabulary(plain / "vocab.txt")
    tokenizer = transformers.BertTokenizerFast(vocab=str(plain / "vocab.txt"))
    tokenizer.model_max_length = 64
    tokenizer.save_pretrained(plain)
    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    transformers.BertModel(config).save_pretrained(plain)
    modules = library.sentence_transformer.modules
    model = library.SentenceTransformer(
        modules=[modules.Transformer(str(plain)), modules.Pooling(16, pooling_mode="mean")],
        device="cpu",
    )
    model.save(str(folder), create_model_card=False)
    return folder


def make_static(folder: Path, *, seed: int = 1) -> Path:
    """A Model2Vec model over the same words, as model2vec saves it."""
    library = pytest.importorskip("model2vec", reason="needs the extra encoders")
    import tokenizers  # noqa: PLC0415

    vocabulary = {word: number for number, word in enumerate(["[PAD]", "[UNK]", *WORDS])}
    model = tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]")
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    vectors = np.random.default_rng(seed).normal(size=(len(vocabulary), 8)).astype(np.float32)
    library.StaticModel(vectors, tokenizer).save_pretrained(folder)
    return folder


def settings(encoder: str, path: Path | str, **more: Any) -> DocumentVectorsConfig:
    return DocumentVectorsConfig.model_validate({"encoder": encoder, "path": str(path), **more})
