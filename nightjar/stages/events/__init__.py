"""Events: from rows of users, items and times to sessions of items, and to tokens of sessions.

A session is a sentence and an item a token, so every trainer learns items as it learns words.
"""

from nightjar.stages.events.events_artifact import build_events
from nightjar.stages.events.session_tokens import write_sessions

__all__ = ["build_events", "write_sessions"]
