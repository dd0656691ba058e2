"""The page of the benchmark on labelled families: a table of families, and a row with a plot for each series."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
from jinja2 import Environment
from matplotlib.figure import Figure
from streamgauge.jobs.pages.demo_plot import FALSE, FOUND, WINDOW
from streamgauge.jobs.pages.html import PLAIN, STYLE, png
from streamgauge.jobs.pages.thinned import thinned
from streamgauge.jobs.studies.backtest import Backtest
from streamgauge.jobs.studies.benchmark import cell
from streamgauge.jobs.studies.judging import Opening, segments
from streamgauge.jobs.studies.labelled import Judged, LabelledSeries
from streamgauge.models.evaluation.baselines import frozen_z

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Labelled families</title>
{{ style|safe }}
<style>td.plot{min-width:620px}td.plot img{width:100%}body{max-width:1500px}</style>
<h1>Labelled families</h1>
<p class="sub">One configuration for all, row by row, without labels. Mean AUC-PR {{ mean }}. Rows left of the dotted line are not judged.
Shaded: labelled. Green: an incident that opened in a labelled segment. Red: elsewhere.</p>
<table><tr>{% for name in head %}<th>{{ name }}</th>{% endfor %}</tr>
{% for row in families %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>
<table><tr><th>series</th><th>found</th><th>inside</th><th>early</th><th>AUROC</th><th>AUC-PR</th><th>best baseline</th><th></th></tr>
{% for one in series %}<tr><td>{{ one.family }}<br>{{ one.name }}</td><td>{{ one.found }} of {{ one.segments }}</td>
<td>{{ one.inside }} of {{ one.incidents }}</td><td>{{ one.early }}</td><td>{{ show(one.auroc) }}</td><td>{{ show(one.aucpr) }}</td>
<td>{% if one.best %}{{ one.best }} {{ show(one.baselines[one.best][1]) }}{% endif %}</td>
<td class="plot">{% if one.plot %}<img alt="{{ one.name }}" src="data:image/png;base64,{{ one.plot }}">{% endif %}</td></tr>
{% endfor %}</table>
</html>
"""


def page(figures: dict[str, Any], results: list[Judged]) -> str:
    """The HTML page.

    Parameters
    ----------
    figures : dict
        What `streamgauge.jobs.studies.labelled.run` returns.
    results : list of Judged
        The same, series by series, with plots.
    """
    rows = figures["sets"]
    return (
        Environment(autoescape=True)
        .from_string(PAGE)
        .render(
            style=STYLE,
            mean=cell(figures["mean_aucpr"]),
            head=list(rows[0]),
            families=[[cell(value) for value in row.values()] for row in rows],
            series=results,
            show=cell,
        )
    )


def draw(series: LabelledSeries, result: Backtest, opened: list[Opening]) -> str:
    """The plot of a series as base64 text: its values, or how far its farthest field is away; and its scores.

    Parameters
    ----------
    series : LabelledSeries
    result : Backtest
    opened : list of Opening
    """
    single = series.X.shape[1] == 1 and series.entities is None
    values = series.X[:, 0] if single else np.log1p(frozen_z(series.X, series.fed))
    with mpl.rc_context(PLAIN):
        figure = Figure(figsize=(9, 2.2), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
        places = thinned(values)
        above.plot(places, values[places], color="#33475b", linewidth=0.6)
        places = thinned(result.scores)
        below.plot(places, result.scores[places], color="#8b98a5", linewidth=0.6)
        for axes in (above, below):
            for first, last in segments(series.labels):
                axes.axvspan(first - 0.5, last + 0.5, color=WINDOW, alpha=0.5, linewidth=0)
            axes.axvline(series.fed, color="#5b6b7b", linestyle=":")
        for one in opened:
            below.axvline(one.row, color=FOUND if series.labels[one.row] else FALSE, linewidth=1.0)
        above.set_ylabel("value" if single else "log(1 + largest z)")
        below.set_ylabel("score")
        below.set_ylim(0, 1.02)
        above.margins(x=0.005)
        return png(figure)
