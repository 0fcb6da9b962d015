"""Train: one model's word vectors from a tokens artifact, for GloVe by way of co-occurrences.

::

    train_stage.py    counting and training: vocabulary, checks, then the trainer of the model
    training_identity.py  what their artifacts depend on; imports nothing heavy
    trainer.py        what trainers are given and do; matrices to Parquet, block by block
    engines.py        the explicit mapping (trainer, engine) -> engine, and its version
    estimates.py      memory and disk before training, and the refusal of what cannot fit; with
                      ngram_use.py (n-gram rows), resources.py (what there is), durations.py (time)
    model_corpus.py   min_count and max_vocabulary cut a prefix of the vocabulary; token ids
                      streamed from Parquet, row group by row group
    spans.py          what a worker trains on at a time, and how often frequent words are kept
    epochs.py         threads, losses, progress, divergence: what all native trainers share
    checkpoints.py    the state of a training that goes on
    word2vec.py       Word2Vec
    fasttext.py       FastText; kernels/ngrams.py hashes its n-grams
    window_learner.py what the two have in common; output_layers.py for its noise and tree
    gensim_engine.py  Word2Vec and FastText by gensim; the only module here that imports it
    line_sentences.py the text files gensim trains from
    cooccurrence.py   the stage before GloVe: counts, in the order it trains in
    pair_counting.py  pairs of words, counted by several threads within a memory budget
    sorted_runs.py    what counting puts aside, in memory or on disk, and merges
    glove.py          GloVe
    starting_point.py where a model with ``init_from`` starts
    imports.py        pre-trained vectors from a file
    sif.py            SIF and uSIF: rows weighted by the corpus' counts

The compiled loops are in :mod:`nightjar.kernels`.

What a model publishes (schemas in :mod:`nightjar.store.schemas`), rows in vocabulary order:

========== ==================================================================================
vectors    the vector of each word; every model has it
Word2Vec   ``output_vectors``: the output layer, to go on training (kind ``negative``: a row
           a word; kind ``hs``: a row an inner node of the Huffman tree). The native engine
           adds ``losses`` (minus the log-likelihood per prediction, noise words and nodes
           summed: a pair of words for skip-gram, a word for CBOW; each epoch)
FastText   ``word_rows``, ``ngrams``, ``output_vectors``. ``vectors`` is the mean of a word's
           own row and its n-grams' rows. ``ngrams`` holds the buckets that some word of the
           vocabulary uses; no other bucket was ever trained, so an absent one counts as a
           row of zeros when an unknown word is put together from its n-grams
SIF, uSIF  ``components``, and ``ngrams`` where the base has them
GloVe      ``parameters`` (word and context vectors, biases, AdaGrad accumulators) and
           ``losses`` (half the weighted squared error per co-occurrence, each epoch)
========== ==================================================================================

gensim gives no ``losses``: its running sum is a float32 that stops growing, is 0 for FastText
and is overwritten by each thread (gensim #2617, #3228), and a wrong loss is worse than none.

A seed and one worker fix every byte of the Parquet files, whatever PYTHONHASHSEED says; with
more workers the threads update shared matrices without locks (Recht et al. 2011, Hogwild),
and two runs differ slightly. ``deterministic: true`` is one worker.
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
