"""From a gensim model to a published embeddings artifact."""

from __future__ import annotations

import logging
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from gensim.models import Doc2Vec, KeyedVectors, Word2Vec
from gensim.models.fasttext import FastTextKeyedVectors
from pydantic import TypeAdapter, ValidationError

from nightjar.config.models import Name
from nightjar.errors import InputError
from nightjar.formats.embeddings import (
    write_ngrams,
    write_output_vectors,
    write_vectors,
    write_word_rows,
)
from nightjar.formats.gensim.gensim_content import Content, content_of_model, content_of_vectors
from nightjar.formats.gensim.hyperparameters import FASTTEXT, ngrams_of, settings_of
from nightjar.store import BY_HAND, ArtifactRef, Identity, Staging, Store, publish
from nightjar.store.schemas import EMBEDDINGS

logger = logging.getLogger(__name__)

_REVISION = 1
"""Raise it when a change of this package changes what is written."""


def from_gensim(
    model: Word2Vec | KeyedVectors,
    root: Path,
    name: str,
    only_used_ngrams: bool = False,
    git_commit: str | None = None,
) -> ArtifactRef:
    """Publish ``model`` under ``root`` as the embeddings ``name``; an identical one is reused.

    Accepts Word2Vec and FastText with their output layers, KeyedVectors, and FastTextKeyedVectors
    with their n-grams. Words are sorted by count descending, then by the word, and every row moves
    along; if hierarchical softmax does not allow that, equally frequent words keep gensim's order.
    The version is the hash of content and hyper-parameters.

    gensim gives every n-gram bucket random values, and composes unknown words from them, so all
    non-zero rows are kept. ``only_used_ngrams`` drops those that no word of the vocabulary uses;
    they then add nothing to unknown words.

    Memory beside the model: a block of rows. Raises InputError for any other object, and for keys,
    counts, matrices or a tree that do not fit together; VocabularyError without words;
    StoreNotWritable.
    """
    _check_name(name)
    content, config = _content_and_config(model, only_used_ngrams)
    identity = Identity(
        stage=EMBEDDINGS,
        name=name,
        config={"name": name, **config},
        inputs=content.inputs(),
        code={"revision": _REVISION},
    )
    store = Store(root)
    if store.is_published(EMBEDDINGS, identity.version):
        ref = store.open(store.ref(EMBEDDINGS, identity.version)).ref
        logger.info("%s holds the same model already", ref)
        return ref
    # Of several under one name the newest answers.
    return publish(root, identity, partial(_write, content, identity), git_commit, is_newest=True)


def _check_name(name: str) -> None:
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError as error:
        raise InputError(
            f"{name!r} cannot name a model; use lower-case letters, digits and dashes"
        ) from error


def _content_and_config(
    model: Word2Vec | KeyedVectors, only_used_ngrams: bool
) -> tuple[Content, dict[str, Any]]:
    if isinstance(model, Doc2Vec) or not isinstance(model, Word2Vec | KeyedVectors):
        raise InputError(
            f"{type(model).__module__}.{type(model).__qualname__} cannot be imported: only "
            f"Word2Vec, FastText and KeyedVectors of gensim can; of another model pass the "
            f"KeyedVectors, as in model.wv"
        )
    if isinstance(model, Word2Vec):
        content = content_of_model(model, only_used_ngrams)
        settings = settings_of(model, content.counts).as_config()
        corpus = {
            "corpus_count": int(model.corpus_count or 0),
            "corpus_total_words": int(model.corpus_total_words or 0),
        }
        wv = model.wv
    else:
        content = content_of_vectors(model, only_used_ngrams)
        settings = {"vector_size": int(model.vector_size)}
        corpus = {}
        wv = model
    if isinstance(wv, FastTextKeyedVectors):
        settings |= {"trainer": FASTTEXT, **asdict(ngrams_of(wv))}
    elif isinstance(model, Word2Vec):
        settings |= {"window_side": "both"}  # gensim has no other
    imported = {"from": f"gensim {type(model).__name__}", **corpus}
    return content, {"model": settings, "imported": imported}


def _write(content: Content, identity: Identity, staging: Staging) -> None:
    size = content.vectors.matrix.shape[1]
    write_vectors(staging, content.tokens, content.counts, size, content.vectors.stretches())
    if content.word_rows is not None:
        write_word_rows(staging, content.tokens, size, content.word_rows.stretches())
    if content.ngrams is not None:
        buckets = content.ngrams.order.astype(np.int32)
        write_ngrams(staging, buckets, size, content.ngrams.stretches())
        staging.counts["ngram_buckets_kept"] = len(content.ngrams)
    if content.layers:
        layers = {kind: rows.stretches() for kind, rows in content.layers.items()}
        write_output_vectors(staging, size, layers)
    imported = identity.config["imported"]
    n_tokens = int(content.counts.sum())
    staging.counts["vocabulary_kept"] = len(content.tokens)
    if not content.are_counts_ranks:
        staging.counts["tokens_kept"] = n_tokens
    if imported.get("corpus_total_words", 0) > n_tokens:
        staging.counts["tokens_dropped_before"] = imported["corpus_total_words"] - n_tokens
    if imported.get("corpus_count"):
        staging.counts["sentences"] = imported["corpus_count"]
    staging.report[BY_HAND] = True
    staging.report.update(
        imported_from=imported["from"],
        counts_are_ranks=content.are_counts_ranks,
        ties_in_the_models_order=content.keeps_ties,
    )
