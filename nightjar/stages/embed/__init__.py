"""Documents as vectors: by a model of ours, or by a pre-trained text encoder.

An encoder is anything with ``encode(texts)`` (:mod:`.encoding`). What a version hangs on is known
without loading one. The stage (:mod:`.embed_stage`) goes through a documents artifact part by
part; finished parts outlive a kill, and texts that an earlier artifact has are not encoded again
(:mod:`.known_vectors`). torch and the encoders' libraries are imported here alone, and only when
one is loaded.
"""

from nightjar.stages.embed.embed_stage import document_vectors_identity, embed_documents
from nightjar.stages.embed.encoder_opening import encoder_of, opened_encoder
from nightjar.stages.embed.encoding import Encoded, TextEncoder
from nightjar.stages.embed.known_vectors import find_earlier, parts_directory, unwanted_parts

__all__ = [
    "Encoded",
    "TextEncoder",
    "document_vectors_identity",
    "embed_documents",
    "encoder_of",
    "find_earlier",
    "opened_encoder",
    "parts_directory",
    "unwanted_parts",
]
