"""The text files that gensim's ``corpus_file`` training reads.

A line is a sentence, a word is its vocabulary id in decimal: tokens may hold any character. gensim
4 reads such a file in C++ without the interpreter lock, but not all of it:

- it collects lines until a batch has more than 10,000 words and trains on the first 10,000; the
  rest of the batch is silently lost (of one sentence of 25,000 tokens, only 10,000 are used),
  unless subsampling happens to make room;
- with several workers each starts at its share of the *bytes*, within a word, and stops at
  its share of the *words* rounded up to whole batches: words are read wrong and up to a
  batch per worker is trained twice.

So every worker gets a file of its own, longer sentences are split into lines of 10,000, and before
a line that would not fit, a line of unknown words fills the batch up to 10,001. gensim skips those
words before it draws any random number. Sentences of one word are left out, because there is
nothing to learn from them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from nightjar.progress import Progress
from nightjar.stages.train.model_corpus import CorpusSize, ModelCorpus

BATCH_WORDS = 10_000
"""gensim's MAX_SENTENCE_LEN: words of a batch that are used."""
FILLER = "-"
"""A word that is not a decimal number, and so in no vocabulary."""
_DIRECTORY = "line-sentences"


@dataclass(frozen=True)
class LineFile:
    """One worker's share of the corpus."""

    path: Path
    n_lines: int
    """Includes fillers, as gensim does for the decay of the learning rate."""
    n_words: int
    """Includes fillers."""


@contextmanager
def line_files(
    corpus: ModelCorpus, size: CorpusSize, n_files: int, directory: Path, progress: Progress
) -> Iterator[list[LineFile]]:
    """The corpus in ``n_files`` files of about equally many words.

    The files are below ``directory`` and deleted at the end. Memory: one row group of sentences.
    """
    below = directory / _DIRECTORY
    below.mkdir()
    try:
        progress.start("write corpus", size.n_tokens_kept, "tokens")
        yield _write(corpus, size.n_tokens_with_context, n_files, below, progress)
    finally:
        for path in below.iterdir():
            path.unlink()
        below.rmdir()


def _write(
    corpus: ModelCorpus, n_tokens: int, n_files: int, below: Path, progress: Progress
) -> list[LineFile]:
    names = [str(word_id) for word_id in range(len(corpus.vocabulary))]
    files: list[LineFile] = []
    n_written = 0
    lines = _lines(corpus, progress)
    for number in range(n_files):
        path = below / f"{number}.txt"
        is_last = number == n_files - 1
        share_end = math.inf if is_last else n_tokens * (number + 1) // n_files
        with path.open("w", encoding="ascii") as stream:
            writer = _BatchedWriter(stream)
            for line in lines:
                writer.write([names[word_id] for word_id in line.tolist()])
                n_written += len(line)
                if n_written >= share_end:
                    break
        files.append(LineFile(path, writer.n_lines, writer.n_words))
    return files


def _lines(corpus: ModelCorpus, progress: Progress) -> Iterator[NDArray[np.int32]]:
    """Word ids of each line: sentences of two words or more, split at BATCH_WORDS."""
    for batch in corpus.batches():
        for start, stop in pairwise(batch.offsets.tolist()):
            if stop - start < 2:
                continue
            for cut in range(start, stop, BATCH_WORDS):
                yield batch.ids[cut : min(cut + BATCH_WORDS, stop)]
        progress.advance(len(batch.ids))


class _BatchedWriter:
    """Writes lines so that no batch in gensim has more than BATCH_WORDS known words."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._n_in_batch = 0
        self.n_lines = 0
        self.n_words = 0

    def write(self, words: list[str]) -> None:
        if self._n_in_batch + len(words) > BATCH_WORDS:
            self._put([FILLER] * (BATCH_WORDS + 1 - self._n_in_batch))
            self._n_in_batch = 0
        self._put(words)
        self._n_in_batch += len(words)

    def _put(self, words: list[str]) -> None:
        self._stream.write(" ".join(words) + "\n")
        self.n_lines += 1
        self.n_words += len(words)
