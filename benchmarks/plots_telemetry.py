"""The plot of the benchmark of telemetry."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.drawing import COLOURS, Document, Rows, add_legend, new_figure

_SERVING = COLOURS["ferrite-py"]
_PROCESS = COLOURS["redis-server"]


def _errors(rows: Rows, name: str) -> list[list[float]]:
    """Return how far each interval reaches below and above its figure."""
    below = [row[name] - row[f"{name}_low"] for row in rows]
    above = [row[f"{name}_high"] - row[name] for row in rows]
    return [below, above]


def _cost(axes: Axes, rows: Rows, title: str) -> None:
    for shift, name, label, colour in (
        (-0.12, "serving", "serving thread", _SERVING),
        (0.12, "process", "whole process, exporting included", _PROCESS),
    ):
        places = [i + shift for i in range(len(rows))]
        values = [row[name] for row in rows]
        reach = _errors(rows, name)
        axes.errorbar(
            values, places, xerr=reach, fmt="o", color=colour, markersize=4, capsize=3, label=label
        )
    judged = [(i, row["bound"]) for i, row in enumerate(rows) if row.get("bound") is not None]
    for number, (i, bound) in enumerate(judged):
        label = "_again" if number else "target of the serving thread"
        axes.plot([bound, bound], [i - 0.35, i + 0.35], color="black", linewidth=2, label=label)
    axes.axvline(0, color="black", linewidth=1, linestyle=":")
    axes.set_yticks(range(len(rows)), [row["variant"] for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel("CPU per command against telemetry off, %")
    axes.set_title(title)
    axes.grid(axis="y", visible=False)


def _faults(axes: Axes, rows: Rows) -> None:
    values = [row["throughput"] for row in rows]
    places = range(len(rows))
    reach = _errors(rows, "throughput")
    axes.errorbar(values, places, xerr=reach, fmt="o", color=_SERVING, markersize=4, capsize=3)
    axes.axvline(100, color="black", linewidth=1, linestyle=":")
    axes.axvline(99, color="black", linewidth=2)
    axes.set_yticks(places, [row["fault"] for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("throughput, % of that with a healthy receiver")
    axes.set_title("a receiver that …")
    axes.grid(axis="y", visible=False)


def telemetry(document: Document) -> Figure:
    """CPU of each way to have telemetry on; throughput beside receivers that fail."""
    title = "What telemetry costs (lower is better), and receivers that fail (higher is better)"
    figure, panels = new_figure(3, title, width=12.0, height=3.8)
    for axes, pipeline in zip(panels, (1, 16), strict=False):
        rows = [row for row in document["summary"] if row["part"] == f"cost-{pipeline}"]
        _cost(axes, rows, f"pipeline {pipeline}")
    _faults(panels[2], [row for row in document["summary"] if row["part"] == "fault"])
    add_legend(figure, panels[0], 3)
    return figure
