"""Style and plots that the HTML pages share."""

from __future__ import annotations

import base64
import io
from typing import Any

from matplotlib.figure import Figure

# A page runs nothing and loads nothing, whatever is in the events that it shows.
STYLE = """<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<style>
body{font:15px/1.5 system-ui,sans-serif;max-width:1080px;margin:2rem auto;padding:0 1rem;color:#1c2733}
h1{font-size:1.5rem;margin-bottom:0}h2{font-size:1.1rem;margin-top:2rem}p.sub{color:#5b6b7b;margin-top:.2rem}
table{border-collapse:collapse;margin:.5rem 0}td,th{padding:.25rem .8rem;text-align:right;border-bottom:1px solid #e3e8ee}
th{background:#f6f8fa}td:first-child,th:first-child{text-align:left}
.plots{display:grid;grid-template-columns:1fr 1fr;gap:1rem}.plots img{width:100%}.wide img{width:100%}
</style>"""
PLAIN = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}  # matplotlib

COLOURS = {  # of the kinds of incidents
    "point": "#1f6feb",
    "contextual": "#2d936c",
    "collective": "#e0a100",
    "relative": "#8250df",
    "drift": "#d1495b",
    "conditional": "#5b6b7b",
}


def axes_of(x: str, y: str, title: str, size: tuple[float, float] = (5.0, 3.2)) -> tuple[Any, Any]:
    """A figure with one plot."""
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_title(title, loc="left")
    return figure, axes


def plain(text: str) -> str:
    """A text for matplotlib, which takes what stands between dollars as a formula."""
    return text.replace("$", r"\$")


def png(figure: Any) -> str:
    """A figure as base64 text, for use in a page."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return base64.b64encode(buffer.getvalue()).decode()
