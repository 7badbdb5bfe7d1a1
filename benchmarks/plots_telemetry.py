"""The plot of the benchmark of telemetry."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.drawing import COLOURS, Document, Rows, new_figure

_SERVING = COLOURS["ferrite-py"]
_PROCESS = COLOURS["redis-server"]
_DEEP_SERVING = COLOURS["ferrite-py (streams)"]
_DEEP_PROCESS = COLOURS["valkey-server"]


def _errors(rows: Rows, name: str) -> list[list[float]]:
    """Return how far each interval reaches below and above its figure."""
    below = [row[name] - row[f"{name}_low"] for row in rows]
    above = [row[f"{name}_high"] - row[name] for row in rows]
    return [below, above]


def _series(axes: Axes, rows: Rows, name: str, shift: float, label: str, colour: str) -> None:
    places = [i + shift for i in range(len(rows))]
    values = [row[name] for row in rows]
    axes.errorbar(
        values,
        places,
        xerr=_errors(rows, name),
        fmt="o",
        color=colour,
        markersize=4,
        capsize=3,
        label=label,
    )


def _variants(axes: Axes, rows: Rows, title: str) -> None:
    axes.axvline(0, color="black", linewidth=1, linestyle=":")
    axes.set_yticks(range(len(rows)), [row["variant"] for row in rows])
    axes.set_ylim(max(len(rows), 1) - 0.5, -0.5)
    axes.set_xlabel("CPU per command against telemetry off, %")
    axes.set_title(title)
    axes.grid(axis="y", visible=False)


def _judged(axes: Axes, rows: Rows) -> None:
    """The serving thread unpipelined, beside its targets."""
    _series(axes, rows, "serving", 0.0, "serving thread", _SERVING)
    bounds = [(i, row["bound"]) for i, row in enumerate(rows) if row.get("bound") is not None]
    for number, (i, bound) in enumerate(bounds):
        label = "_again" if number else "target"
        axes.plot([bound, bound], [i - 0.35, i + 0.35], color="black", linewidth=2, label=label)
    _variants(axes, rows, "serving thread, unpipelined")
    axes.legend(loc="best", fontsize=7)


def _others(axes: Axes, rows: Rows, pipelined: Rows) -> None:
    """What is not judged: the process with all that exports, and deep pipelines."""
    _series(axes, rows, "process", -0.2, "process, unpipelined", _PROCESS)
    _series(axes, pipelined, "serving", 0.0, "serving thread, pipeline 16", _DEEP_SERVING)
    _series(axes, pipelined, "process", 0.2, "process, pipeline 16", _DEEP_PROCESS)
    _variants(axes, rows, "with the threads that export, and deep pipelines")
    axes.legend(loc="upper right", fontsize=7)


def _faults(axes: Axes, rows: Rows) -> None:
    _series(axes, rows, "throughput", 0.0, "", _SERVING)
    axes.axvline(100, color="black", linewidth=1, linestyle=":")
    axes.axvline(99, color="black", linewidth=2)
    axes.set_yticks(range(len(rows)), [row["fault"] for row in rows])
    axes.set_ylim(max(len(rows), 1) - 0.5, -0.5)
    axes.set_xlabel("throughput, % of healthy")
    axes.set_title("a receiver that …")
    axes.grid(axis="y", visible=False)


def telemetry(document: Document) -> Figure:
    """CPU of each way to have telemetry on; throughput beside receivers that fail."""
    title = "What telemetry costs (lower is better), and receivers that fail (higher is better)"
    figure, panels = new_figure(3, title, width=13.0, height=3.8)
    rows, pipelined = (
        [row for row in document["summary"] if row["part"] == f"cost-{pipeline}"]
        for pipeline in (1, 16)
    )
    _judged(panels[0], rows)
    _others(panels[1], rows, pipelined)
    _faults(panels[2], [row for row in document["summary"] if row["part"] == "fault"])
    return figure
