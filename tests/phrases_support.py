"""Sentences as shards, and their phrases by gensim."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from gensim.models.phrases import Phrases

from nightjar.config.tokenize import PhrasesConfig
from nightjar.stages.tokenize.phrases.passes import FoundPhrases, find_phrases
from nightjar.stages.tokenize.phrases.phrase_table import SentenceIds

Sentences = Sequence[Sequence[str]]


def shards_of(
    sentences: Sentences, cuts: Sequence[int] = ()
) -> tuple[list[str], list[SentenceIds]]:
    """The words by first occurrence, and the sentences split before ``cuts``."""
    id_of: dict[str, int] = {}
    numbers = [[id_of.setdefault(word, len(id_of)) for word in one] for one in sentences]
    edges = [0, *sorted(min(cut, len(sentences)) for cut in cuts), len(sentences)]
    shards = []
    for start, end in pairwise(edges):
        part = numbers[start:end]
        ids = np.array([number for one in part for number in one], np.int32)
        lengths = np.array([0, *map(len, part)], np.int64)
        shards.append(SentenceIds(ids, np.cumsum(lengths)))
    return list(id_of), shards


def found_in(
    sentences: Sentences, config: PhrasesConfig, cuts: Sequence[int] = (), **options: Any
) -> tuple[FoundPhrases, list[list[str]]]:
    """The phrases, and the sentences with them joined."""
    words, shards = shards_of(sentences, cuts)
    found = find_phrases(words, lambda: shards, config, **options)
    joined = [found.join(shard) for shard in shards]
    names = found.vocabulary.words
    return found, [
        [names[number] for number in shard.ids[start:end].tolist()]
        for shard in joined
        for start, end in pairwise(shard.offsets.tolist())
    ]


def gensim_passes(sentences: Sentences, config: PhrasesConfig) -> Iterator[tuple[Phrases, Any]]:
    """gensim's model of each pass, and the sentences after it."""
    joined: Any = [list(sentence) for sentence in sentences]
    for _ in range(config.passes):
        model = Phrases(
            joined,
            min_count=config.min_count,
            threshold=config.threshold,
            scoring=config.scoring,
            delimiter=config.delimiter,
            connector_words=config.connectors,
        )
        joined = [model[sentence] if sentence else [] for sentence in joined]
        yield model, joined


def scores_by_gensim(model: Phrases, sentences: Sentences) -> dict[tuple[str, ...], float]:
    """Every candidate of the sentences that the model accepts as a phrase."""
    found = {}
    for sentence in sentences:
        start: list[str] = []
        for word in sentence:
            if word in model.connector_words:
                start += [word] if start else []
                continue
            if start:
                _, score = model.score_candidate(start[0], word, start[1:])
                if score is not None:
                    found[(*start, word)] = score
            start = [word]
    return found


def check_against_gensim(
    sentences: Sentences, config: PhrasesConfig, cuts: Sequence[int] = ()
) -> int:
    """Phrases, scores, counts and sentences of each pass; returns how many phrases there are."""
    found, joined = found_in(sentences, config, cuts)
    before: Any = sentences
    n_phrases = 0
    for number, (model, after) in enumerate(gensim_passes(sentences, config)):
        expected = scores_by_gensim(model, before)
        before = after
        if not expected:
            assert len(found.tables) <= number
            continue
        table = found.tables[number]
        assert dict(zip(table.tokens, table.scores.tolist(), strict=True)) == expected
        assert table.counts.tolist() == [model.vocab[phrase] for phrase in table.phrases]
        assert table.phrases == [config.delimiter.join(tokens) for tokens in table.tokens]
        n_phrases += len(table)
    assert joined == before
    return n_phrases
