"""Graphs: edges become the artifact ``graph``, and walks over it the artifact ``tokens``.

:mod:`.graph_stage` declares both stages; :mod:`.graph_building` makes the graph, and
:mod:`.walks_writing` walks, so that every trainer learns nodes as it learns words.
"""
