"""Nightjar: nightly embeddings you can trust.

What the stages do, without saying when: ``flows`` and ``tasks`` orchestrate them. Imports
run downwards only: ``pipeline`` > stages (``corpus | text | training | evaluation |
registry``) > ``embeddings`` > ``store`` > ``schemas`` > ``config`` > ``errors``. Stages never
import each other; they meet in artifacts. docs/architecture.md has the picture.
"""

__version__ = "0.1.0"
