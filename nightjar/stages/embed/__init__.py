"""Document vectors, from one of our models or from a pre-trained text encoder.

An encoder is anything with ``encode(texts)`` (:mod:`.encoding`). The inputs of a version are known
without loading the encoder. The stage (:mod:`.embed_stage`) encodes a documents artifact part by
part; finished parts survive a kill, and texts that an earlier artifact covers are not encoded again
(:mod:`.known_vectors`). Only this package imports torch and the encoders' libraries, and only when
it loads an encoder.
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
