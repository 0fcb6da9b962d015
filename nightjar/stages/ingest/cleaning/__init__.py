"""Cleaning: what is done to a text before it is a document, and which texts are dropped.

``make_cleaner(config)`` gives a :class:`Cleaner` for the section ``cleaning``. Its
``clean`` takes a text and returns it cleaned, with what was changed (:class:`Cleaned`), or why
it is not wanted (:class:`Dropped`).

- A **step** is a pure function from a text to a text which adds what it changed to
  :class:`Changes`: ``markup`` (html), ``characters`` (repair by ftfy, unicode,
  control_characters, white_space), ``addresses`` (urls, emails, numbers), ``personal``
  (personal_data; ``account_numbers`` finds those of cards and accounts). Steps run in the order
  of ``steps``; there is no other state.
- **Filters** see the cleaned text: ``document_filters`` counts words and shares of
  characters, and asks py3langid for the language.
- **Linear.** No text, however hostile, takes more than time linear in its length: regular
  expressions never look twice at what an earlier attempt has read, but for a bounded piece.
- **Fast where there is nothing to do.** A step first looks for what it needs (a ``<``, an
  ``@``, a character beyond ASCII) by the fastest means there is.
- **The same everywhere.** The same text gives the same result in every process; nothing
  depends on the texts before. Libraries are imported and models loaded when a cleaner is
  made or first needs them, once a process. ``code_identity`` says, without importing them,
  which versions shape the text.
- **Masked means gone.** No value that ``personal_data`` masks is in :class:`Changes` or in a
  :class:`Dropped`; ``Cleaner.redact`` is for texts that are quoted in a report.

Held in memory: the text, and the text of the step before.
"""

from nightjar.stages.ingest.cleaning.cleaner import Cleaner, code_identity, make_cleaner
from nightjar.stages.ingest.cleaning.results import (
    Changes,
    Cleaned,
    CleaningChange,
    Dropped,
    DropReason,
)

__all__ = [
    "Changes",
    "Cleaned",
    "Cleaner",
    "CleaningChange",
    "DropReason",
    "Dropped",
    "code_identity",
    "make_cleaner",
]
