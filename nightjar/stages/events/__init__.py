"""Events: rows of users, items and times become sessions of items, and those become tokens.

A stage reads the rows and publishes the events (``events``), another makes sentences of sessions
(``tokens``), so that every trainer learns items as it learns words.
"""
