"""Documents as vectors: by a model of ours, or by a pre-trained text encoder.

An encoder is anything with ``encode(texts)`` (:mod:`~nightjar.encoders.encoding`). What a
version hangs on is known without loading one (:mod:`~nightjar.encoders.identity`). The stage
(:mod:`~nightjar.encoders.stage`) goes through a documents artifact part by part; finished
parts outlive a kill (:mod:`~nightjar.encoders.parts`), and texts that an earlier artifact has
are not encoded again (:mod:`~nightjar.encoders.earlier`). torch and the encoders' libraries are
imported here alone, and only when one is loaded.
"""

from nightjar.encoders.earlier import find_earlier
from nightjar.encoders.encoding import Encoded, TextEncoder
from nightjar.encoders.identity import document_vectors_identity
from nightjar.encoders.opening import encoder_of, opened_encoder
from nightjar.encoders.parts import parts_directory, unwanted_parts
from nightjar.encoders.stage import embed_documents

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
