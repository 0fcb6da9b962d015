"""What the pages' charts share: colours, margins, readable text over points."""

from __future__ import annotations

from typing import Any

from dash import dcc

from nightjar.explorer.pages.elements import Component, Screen

LEFT, RIGHT, TOP, BOTTOM = 48, 12, 8, 36
"""Margins around a chart's axes in pixels."""
CHART_PIXELS = 260
"""Usual height of a chart."""


def chart(figure: dict[str, Any]) -> Component:
    """A chart that is as wide as its place and as high as its layout says."""
    return dcc.Graph(
        figure=figure,
        config={"displayModeBar": False, "responsive": True},
        className="chart",
        style={"height": f"{figure['layout']['height']}px"},
    )


def chart_layout(screen: Screen) -> dict[str, Any]:
    """Margins and colours that fit the page."""
    axis = {"gridcolor": "#3a3f47" if screen.is_dark else "#e3e6ea", "zeroline": False}
    return {
        "margin": {"l": LEFT, "r": RIGHT, "t": TOP, "b": BOTTOM},
        "height": CHART_PIXELS,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": "#d8dade" if screen.is_dark else "#23272e", "size": 12},
        "legend": {"orientation": "h", "y": -0.22},
        "xaxis": {**axis, "nticks": 5},
        "yaxis": {**axis, "nticks": 6},
        "hovermode": "closest",
        "showlegend": True,
    }


def ink(screen: Screen) -> dict[str, str]:
    """Text colours that are readable over points."""
    colour, ground = ("#e6e8ec", "#1d2126") if screen.is_dark else ("#1d2127", "#ffffff")
    return {"color": colour, "shadow": ", ".join([f"0 0 2px {ground}"] * 4)}
