"""Graphs: edges from tables become a graph, and walks over it become tokens.

A stage reads the rows and publishes the graph (``graph``), another walks over it (``tokens``), so
that every trainer learns nodes as it learns words.
"""
