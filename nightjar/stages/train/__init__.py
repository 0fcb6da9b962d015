"""Train: one model's word vectors from a tokens artifact; for GloVe, from co-occurrences.

::

    train_stage.py    counting and training: vocabulary, checks, then the trainer of the model
    training_identity.py  what their artifacts depend on; imports nothing heavy
    trainer.py        the interface of trainers; matrices to Parquet, block by block
    engines.py        the explicit mapping (trainer, engine) -> engine, and its version
    estimates.py      memory and disk before training, and the error if it cannot fit; with
                      ngram_use.py (n-gram rows), resources.py (what is available) and
                      durations.py (time)
    model_corpus.py   min_count and max_vocabulary cut a prefix of the vocabulary; token ids
                      streamed from Parquet, row group by row group
    spans.py          units of work, and subsampling of frequent words
    epochs.py         threads, losses, progress, divergence: shared by all native trainers
    checkpoints.py    the state of a running training, to resume it
    word2vec.py       Word2Vec
    fasttext.py       FastText; kernels/ngrams.py hashes its n-grams
    window_learner.py shared by these two, with the noise and tree of output_layers.py
    gensim_engine.py  Word2Vec and FastText by gensim; the only module here that imports it
    line_sentences.py the text files gensim trains from
    cooccurrence.py   the stage before GloVe: counts, in the order it trains in
    pair_counting.py  pairs of words, counted by several threads within a memory budget
    sorted_runs.py    sorted partial counts, in memory or on disk, and their merge
    glove.py          GloVe
    prone.py          ProNE: a graph, factorized; sparse_matrix.py multiplies in threads
    starting_point.py where a model with ``init_from`` starts
    imports.py        pre-trained vectors from a file
    sif.py            SIF and uSIF: rows weighted by the corpus' counts

The compiled loops are in :mod:`nightjar.kernels`.

What a model publishes (schemas in :mod:`nightjar.store.schemas`), rows in vocabulary order:

========== ==================================================================================
vectors    the vector of each word; every model has it
Word2Vec   ``output_vectors``: the output layer, to continue training (kind ``negative``: a row
           per word; kind ``hs``: a row per inner node of the Huffman tree). The native engine
           adds ``losses`` (minus the log-likelihood per prediction, noise words and nodes
           summed: a pair of words for skip-gram, a word for CBOW; each epoch)
FastText   ``word_rows``, ``ngrams``, ``output_vectors``. ``vectors`` is the mean of a word's
           own row and its n-grams' rows. ``ngrams`` holds the buckets that some word of the
           vocabulary uses; no other bucket was trained, so a missing one counts as a row of
           zeros when the vector of an unknown word is composed from its n-grams
SIF, uSIF  ``components``, and ``ngrams`` where the base has them
ProNE      nothing else
GloVe      ``parameters`` (word and context vectors, biases, AdaGrad accumulators) and
           ``losses`` (half the weighted squared error per co-occurrence, each epoch)
========== ==================================================================================

With gensim there are no ``losses``: its running sum is a float32 that stops growing, is 0 for
FastText and is overwritten by each thread (gensim #2617, #3228). A wrong loss is worse than none.

A seed and one worker fix every byte of the Parquet files, whatever PYTHONHASHSEED says; with more
workers the threads update shared matrices without locks (Recht et al. 2011, Hogwild), and two runs
differ slightly. ``deterministic: true`` is one worker.
"""

from nightjar.stages.train.checkpoints import checkpoint_path, unwanted_checkpoints
from nightjar.stages.train.imports import import_vectors
from nightjar.stages.train.sif import fit_encoder
from nightjar.stages.train.train_stage import Lessons, count, train
from nightjar.stages.train.training_identity import (
    Parents,
    cooccurrences_identity,
    embeddings_identity,
    trained_identity,
)

__all__ = [
    "Lessons",
    "Parents",
    "checkpoint_path",
    "cooccurrences_identity",
    "count",
    "embeddings_identity",
    "fit_encoder",
    "import_vectors",
    "train",
    "trained_identity",
    "unwanted_checkpoints",
]
