"""Phrases: words that occur together more often than by chance become one token.

``new york`` becomes ``new_york``. Candidates are counted shard by shard and merged
(:mod:`.counts`), scored by word2phrase's formula or NPMI with what is spelled alike
(:mod:`.scoring`), kept in a table and joined in the shards (:mod:`.phrase_table`);
:mod:`.passes` does so several times, :mod:`.shards` for token shards on any executor. Results are
those of gensim's ``Phrases``. The loops are in :mod:`nightjar.kernels.phrase_counting`;
docs/phrases.md says how it is meant.
"""

REVISION = 1
"""Raise when the same tokens and config give other phrases than before."""
