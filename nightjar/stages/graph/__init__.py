"""Graphs: edges become a graph artifact (:mod:`.graph_building`), and walks over it tokens."""
