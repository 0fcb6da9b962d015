"""Phrases: words that occur together more often than by chance become one token.

``new york`` becomes ``new_york``. Candidates are counted shard by shard and merged
(:mod:`.counts`), scored by word2phrase's formula or NPMI, with equal spellings counted together
(:mod:`.scoring`), kept in a table and joined in the shards (:mod:`.phrase_table`). :mod:`.passes`
repeats this several times, :mod:`.shards` does it for token shards on any executor. Results equal
those of gensim's ``Phrases``. The loops are in :mod:`nightjar.kernels.phrase_counting`;
docs/phrases.md explains the feature.
"""

REVISION = 1
"""Raise it when the same tokens and config give different phrases than before."""
