"""What all plots share: style, one colour for each server, plain numbers on their axes."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

Document = dict[str, Any]
Rows = list[dict[str, Any]]

COLOURS = {
    "redis-server": "#6b7280",
    "ferrite-py": "#c2410c",
    "ferrite-py (streams)": "#fb923c",
    "valkey-server": "#2563eb",
    "memcached": "#15803d",
}
STAND_IN = "#7c3aed"
STYLE: Any = {
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e5e7eb",
    "legend.frameon": False,
    "svg.hashsalt": "ferrite-py",
}


def colour_of(server: str) -> str:
    """Return the colour of a server."""
    return COLOURS.get(server, STAND_IN)


def servers_of(rows: Rows) -> list[str]:
    """Return the servers that have rows, in order."""
    return list(dict.fromkeys(row["server"] for row in rows))


def new_figure(
    panels: int, title: str, width: float = 9.0, height: float = 3.4
) -> tuple[Figure, list[Axes]]:
    """Return a figure with panels side by side; sizes are inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    return figure, list(axes[0])


def add_legend(figure: Figure, axes: Axes, columns: int) -> None:
    """Put the legend of one panel below all of them."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)


def plain_numbers(value: float, _position: int) -> str:
    """Return the label of a tick, without a power of ten."""
    return f"{value:g}"


def plain_log_scale(axis: Axis) -> None:
    """Label a logarithmic axis at 1, 2 and 5 of each decade, without powers of ten."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(plain_numbers))
    axis.set_minor_formatter(NullFormatter())
