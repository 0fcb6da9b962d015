"""Pages and plots: the one way to draw for the whole project.

:mod:`.page` makes an HTML page that loads nothing, :mod:`.charts` curves, bars and clouds of points
as SVG, :mod:`.axes` their ticks, and :mod:`.word_map` a map of words with a search. The report of a
night, the report of a corpus and the scores beside a model card are drawn with them. The explorer
answers to the mouse and has Plotly's plots, in the same colours (:data:`.PALETTE`).

Text from data is always text: escaped, and without control characters or changes of direction.
"""

from nightjar.drawing.charts import (
    PALETTE,
    Axis,
    Bar,
    Curve,
    Point,
    bar_chart,
    curve_chart,
    standalone,
)
from nightjar.drawing.page import Link, Page
from nightjar.drawing.word_map import (
    MAP_SCRIPT,
    MAP_STYLE,
    MAX_WORDS,
    MappedWord,
    map_of_words,
    place_words,
)

__all__ = [
    "MAP_SCRIPT",
    "MAP_STYLE",
    "MAX_WORDS",
    "PALETTE",
    "Axis",
    "Bar",
    "Curve",
    "Link",
    "MappedWord",
    "Page",
    "Point",
    "bar_chart",
    "curve_chart",
    "map_of_words",
    "place_words",
    "standalone",
]
