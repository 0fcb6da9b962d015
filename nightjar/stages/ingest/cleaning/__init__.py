"""Cleaning: the steps that turn a source's text into a document, and the filters that drop texts.

``make_cleaner(config)`` gives a :class:`Cleaner` for the section ``cleaning``. Its ``clean``
returns the cleaned text with counts of the changes (:class:`Cleaned`), or the reason to drop it
(:class:`Dropped`).

- A **step** is a pure function from text to text that adds its changes to
  :class:`Changes`: ``markup`` (html), ``characters`` (repair by ftfy, unicode,
  control_characters, white_space), ``addresses`` (urls, emails, numbers), ``personal``
  (personal_data; ``account_numbers`` finds card and account numbers). Steps run in the order of
  ``steps``; there is no other state.
- **Filters** see the cleaned text: ``document_filters`` counts words and shares of
  characters, and asks py3langid for the language.
- **Linear.** Even a hostile text takes time linear in its length: a regular expression never
  rereads more than a bounded piece of what an earlier attempt has read.
- **Fast where there is nothing to do.** A step first looks for what it needs (a ``<``, an
  ``@``, a character beyond ASCII) in the fastest way available.
- **Reproducible.** A text gives the same result in every process, whatever texts came before.
  Libraries are imported and models loaded once per process, when first needed. ``code_identity``
  gives the versions that shape the text, without importing them.
- **Masked means gone.** A value masked by ``personal_data`` appears neither in :class:`Changes` nor
  in :class:`Dropped`; use ``Cleaner.redact`` for texts quoted in a report.

Memory: the text before and after a step.
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
