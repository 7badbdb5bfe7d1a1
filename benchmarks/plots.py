"""SVG plots of the kept data: one message each, units everywhere, one colour for each server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from benchmarks import plots_telemetry
from benchmarks.drawing import (
    COLOURS,
    STAND_IN,
    STYLE,
    Document,
    add_legend,
    colour_of,
    new_figure,
    plain_log_scale,
    plain_numbers,
    servers_of,
)

_PAYLOAD = "#d1d5db"
_BOUNDS = {1: 0.90, 16: 0.35, 64: 0.25}
_COMMANDS = ("PING", "SET", "GET", "INCR", "MSET", "MGET", "SETEX")


def _size_text(size: float, _position: int) -> str:
    return f"{size:.0f} B" if size < 1024 else f"{size / 1024:.0f} KiB"


def throughput_cpu(document: Document) -> Figure:
    """Server CPU per operation of each command and pipeline, relative to redis-server."""
    keys = document["summary"][0]["keys"]
    rows = [r for r in document["summary"] if r["value_bytes"] == 64 and r["keys"] == keys]
    commands = [c for c in _COMMANDS if any(row["command"] == c for row in rows)]
    # Servers that know only some of the commands, and the reference, have no bars.
    servers = [
        name
        for name in servers_of(rows)
        if name != "redis-server"
        and {row["command"] for row in rows if row["server"] == name} >= set(commands)
    ]
    title = "Server CPU per operation relative to redis-server (64-byte values; lower is better)"
    figure, panels = new_figure(3, title, width=11.0, height=3.8)
    width = 0.8 / len(servers)
    for axes, pipeline in zip(panels, (1, 16, 64), strict=True):
        for number, server in enumerate(servers):
            chosen = {
                r["command"]: r for r in rows if (r["server"], r["pipeline"]) == (server, pipeline)
            }
            places = [i + (number - (len(servers) - 1) / 2) * width for i in range(len(commands))]
            ratios = [chosen[command]["cpu_ratio"] for command in commands]
            bars = axes.bar(places, ratios, width * 0.92, color=colour_of(server), label=server)
            axes.bar_label(bars, fmt="%.2f", fontsize=6, rotation=90, padding=2)
        axes.axhline(1.0, color=COLOURS["redis-server"], linewidth=1, label="redis-server")
        axes.axhline(_BOUNDS[pipeline], color="black", linewidth=1, linestyle="--", label="target")
        axes.set_xticks(range(len(commands)), commands, fontsize=8)
        axes.set_ylim(
            0, max(1.1, max(r["cpu_ratio"] for r in rows if r["server"] in servers) * 1.18)
        )
        axes.set_title(f"pipeline {pipeline}")
        axes.grid(axis="x", visible=False)
    panels[0].set_ylabel("CPU time, × redis-server")
    add_legend(figure, panels[0], len(servers) + 2)
    return figure


def throughput_size(document: Document) -> Figure:
    """Server CPU per operation over the size of the value."""
    smallest = document["summary"][0]["keys"]
    rows = [r for r in document["summary"] if r["pipeline"] == 16 and r["keys"] <= smallest]
    figure, panels = new_figure(
        2, "Server CPU per operation over value size (pipeline 16; lower is better)"
    )
    for axes, command in zip(panels, ("GET", "SET"), strict=True):
        for server in servers_of(rows):
            chosen = [r for r in rows if (r["server"], r["command"]) == (server, command)]
            chosen.sort(key=lambda row: float(row["value_bytes"]))
            if len(chosen) > 1:
                sizes = [row["value_bytes"] for row in chosen]
                middle = [row["cpu_us_per_op"] for row in chosen]
                low = [row["cpu_us_low"] for row in chosen]
                high = [row["cpu_us_high"] for row in chosen]
                axes.fill_between(
                    sizes, low, high, color=colour_of(server), alpha=0.15, linewidth=0
                )
                axes.plot(
                    sizes, middle, marker="o", markersize=3, color=colour_of(server), label=server
                )
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(_size_text))
        plain_log_scale(axes.yaxis)
        axes.set_xlabel("value size")
        axes.set_ylabel("CPU per operation, µs")
        axes.set_title(command)
    add_legend(figure, panels[0], 4)
    return figure


def memory(document: Document) -> Figure:
    """Bytes per key, payload and overhead."""
    keys = document["parameters"]["keys"]
    title = (
        f"Memory per key: 16-byte keys, 64-byte values, {keys / 1e6:g} M of them (lower is better)"
    )
    figure, panels = new_figure(2, title, height=2.8)
    for axes, deadlines in zip(panels, ("without", "with"), strict=True):
        rows = [row for row in document["summary"] if row["deadlines"] == deadlines][::-1]
        names = [row["server"] for row in rows]
        colours = [colour_of(name) for name in names]
        axes.barh(names, [80] * len(rows), color=_PAYLOAD, label="payload, 80 B")
        overhead = [row["overhead_per_key"] for row in rows]
        bars = axes.barh(names, overhead, left=80, color=colours, label="overhead")
        axes.bar_label(bars, [f"{row['bytes_per_key']:.0f} B" for row in rows], padding=3)
        axes.set_xlim(0, max(row["bytes_per_key"] for row in document["summary"]) * 1.15)
        axes.set_xlabel("resident bytes per key (grey: the payload)")
        axes.set_title(f"{deadlines} a deadline on every key")
        axes.grid(axis="y", visible=False)
    return figure


def _whole_window(row: dict[str, Any], phase: str) -> bool:
    """Return whether the sample is a window that was not cut short by the end of the load."""
    shortest_s = {"growth": 0.5, "flush": 0.125}[phase]
    return row["part"] == "window" and float(row["seconds"]) > shortest_s


def latency(document: Document) -> Figure:
    """Worst latency of each moment while the index grows and while everything is flushed."""
    keys = document["parameters"]["keys"]
    title = (
        f"Worst latency while {keys / 1e6:g} M keys are inserted, then dropped (lower is better)"
    )
    figure, panels = new_figure(2, title)
    labels = {
        "growth": (f"inserts, {document['parameters']['insert_rate']:,}/s", "each second"),
        "flush": (f"FLUSHALL ASYNC at {document['parameters']['flush_at_s']:g} s", "each 250 ms"),
    }
    for axes, phase in zip(panels, labels, strict=True):
        rows = [r for r in document["samples"] if r["phase"] == phase and _whole_window(r, phase)]
        for server in servers_of(rows):
            for number in sorted({row["round"] for row in rows}):
                chosen = [r for r in rows if (r["server"], r["round"]) == (server, number)]
                label = server if number == 0 else "_again"
                times = [row["at_s"] for row in chosen]
                worst = [row["max_us"] / 1e3 for row in chosen]
                axes.plot(times, worst, color=colour_of(server), linewidth=1.1, label=label)
        axes.set_yscale("log")
        plain_log_scale(axes.yaxis)
        axes.set_xlabel("time, s")
        axes.set_ylabel(f"maximum of {labels[phase][1]}, ms")
        axes.set_title(labels[phase][0])
    panels[1].axvline(
        document["parameters"]["flush_at_s"], color="black", linewidth=1, linestyle=":"
    )
    add_legend(figure, panels[0], 3)
    return figure


def spin(document: Document) -> Figure:
    """Median latency with a Python thread computing nowhere, beside, and inside the server."""
    names = {
        "idle": "nothing computes",
        "outside": "another process computes",
        "inside": "a Python thread of the server computes",
    }
    shades = {"idle": "#d1d5db", "outside": "#9ca3af", "inside": "#c2410c"}
    rows = document["summary"]
    servers = servers_of(rows)
    title = "Median latency at 20,000 requests/s while Python computes (lower is better)"
    figure, (axes,) = new_figure(1, title, width=7.5, height=1.8 + 0.9 * len(servers))
    for number, state in enumerate(names):
        chosen = {row["server"]: row for row in rows if row["state"] == state}
        places = [i + (number - 1) * 0.26 for i, server in enumerate(servers) if server in chosen]
        values = [chosen[server]["p50_us"] for server in servers if server in chosen]
        bars = axes.barh(places, values, 0.24, color=shades[state], label=names[state])
        axes.bar_label(bars, [f"{value:,.0f} µs" for value in values], padding=3, fontsize=8)
    axes.set_yticks(range(len(servers)), servers)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlim(10, max(row["p50_us"] for row in rows) * 2.5)
    plain_log_scale(axes.xaxis)
    axes.set_xlabel("p50 from the intended send time, µs")
    axes.grid(axis="y", visible=False)
    add_legend(figure, axes, 3)
    return figure


def churn(document: Document) -> Figure:
    """Memory over live data, and throughput over the first tenth's, as overwriting goes on."""
    count = document["parameters"]["overwrites"]
    figure, panels = new_figure(2, f"{count / 1e6:g} M random overwrites of 16 B to 1 KiB")
    rows = [row for row in document["samples"] if row["tenth"] != "settled"]
    for server in servers_of(rows):
        chosen = [row for row in rows if row["server"] == server]
        tenths = [int(row["tenth"]) for row in chosen]
        style: dict[str, Any] = {
            "color": colour_of(server),
            "marker": "o",
            "markersize": 3,
            "label": server,
        }
        panels[0].plot(tenths, [row["memory_ratio"] for row in chosen], **style)
        first = chosen[0]["ops_per_second"]
        panels[1].plot(tenths, [row["ops_per_second"] / first for row in chosen], **style)
    for axes, bound, label in (
        (panels[0], 1.3, "memory, × live data"),
        (panels[1], 0.9, "throughput, × first tenth"),
    ):
        axes.axhline(bound, color="black", linewidth=1, linestyle="--", label="target")
        axes.set_ylim(0, axes.dataLim.ymax * 1.15)
        axes.set_xticks(range(1, 11))
        axes.set_xlabel("tenth of the overwrites")
        axes.set_ylabel(label)
    panels[0].set_title("memory stays bounded (lower is better)")
    panels[1].set_title("speed stays (higher is better)")
    add_legend(figure, panels[0], 3)
    return figure


def expiry(document: Document) -> Figure:
    """Memory that is left while keys expire unread."""
    window = document["parameters"]["window_s"]
    keys = document["parameters"]["keys"]
    title = (
        f"{keys / 1e6:g} M keys expire unread within {window:g} s: what is left (lower is better)"
    )
    columns = {
        "used_memory": "memory the server counts (used_memory)",
        "anonymous_bytes": "resident anonymous memory",
        "key_count": "keys in DBSIZE",
    }
    figure, panels = new_figure(3, title, width=11.0)
    for axes, (name, label) in zip(panels, columns.items(), strict=True):
        rows = [row for row in document["samples"] if row["at_s"] >= -0.5]
        for server in servers_of(rows):
            chosen = [row for row in rows if row["server"] == server]
            start = chosen[0][name]
            left = [row[name] / start for row in chosen]
            axes.plot([row["at_s"] for row in chosen], left, color=colour_of(server), label=server)
        axes.plot(
            [0, window], [1, 0], color="black", linewidth=1, linestyle=":", label="not yet expired"
        )
        axes.axvline(
            window + 2, color="black", linewidth=1, linestyle="--", label="2 s after the last"
        )
        axes.set_ylim(0, 1.05)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.set_xlabel("time since the first deadline, s")
        axes.set_title(label)
    panels[0].set_ylabel("share left")
    add_legend(figure, panels[0], 4)
    return figure


def hostile(document: Document) -> Figure:
    """A healthy client's p99 before, during and after the attack."""
    rows = {row["server"]: row for row in document["summary"]}
    servers = list(rows)
    states = ("normal", "attacked", "afterwards")
    count = document["parameters"]["connections"]
    title = f"A healthy client's p99, and server memory, beside {count:,} hostile connections"
    figure, (axes,) = new_figure(1, title, width=7.5)
    width = 0.8 / len(servers)
    for number, server in enumerate(servers):
        places = [i + (number - (len(servers) - 1) / 2) * width for i in range(len(states))]
        values = [rows[server][f"p99_us_{state}"] / 1e3 for state in states]
        bars = axes.bar(places, values, width * 0.92, color=colour_of(server), label=server)
        memory_mib = [rows[server][f"memory_mib_{state}"] for state in states]
        texts = [f"{v:.2f} ms\n{m:.0f} MiB" for v, m in zip(values, memory_mib, strict=True)]
        axes.bar_label(bars, texts, fontsize=8, padding=2)
    axes.set_xticks(range(len(states)), list(states))
    axes.set_ylim(0, axes.dataLim.ymax * 1.25)
    axes.set_ylabel("p99, ms")
    axes.grid(axis="x", visible=False)
    add_legend(figure, axes, 3)
    return figure


_GROUP_COLOURS = {
    "kernel": "#9ca3af",
    "libc": "#d1d5db",
    "vdso": "#e5e7eb",
    "python": "#facc15",
    "native/base": "#fed7aa",
    "native/event": "#fdba74",
    "native/resp": "#fb923c",
    "native/value": "#f97316",
    "native/store": "#c2410c",
    "native/engine": "#7c2d12",
    "native/client": "#bfdbfe",
    "native/command": "#60a5fa",
    "native/session": "#2563eb",
    "native/net": "#1e3a8a",
}


def profile(document: Document) -> Figure:
    """Server CPU per operation, split by what it is spent on."""
    rows = [row for row in document["samples"] if row["kind"] == "group"]
    title = "What the server's CPU time per operation is spent on (64-byte values)"
    figure, panels = new_figure(2, title, width=10.0, height=3.6)
    groups = [name for name in _GROUP_COLOURS if any(row["name"] == name for row in rows)]
    groups += sorted({row["name"] for row in rows} - set(groups))
    pipelines = sorted({row["pipeline"] for row in rows})
    for axes, command in zip(panels, ("GET", "SET"), strict=True):
        left = [0.0] * len(pipelines)
        for group in groups:
            key = (command, group)
            by_pipeline = {
                row["pipeline"]: row["share"]
                for row in rows
                if (row["command"], row["name"]) == key
            }
            shares = [by_pipeline.get(pipeline, 0.0) for pipeline in pipelines]
            colour = _GROUP_COLOURS.get(group, STAND_IN)
            axes.barh(range(len(pipelines)), shares, left=left, color=colour, label=group)
            left = [start + share for start, share in zip(left, shares, strict=True)]
        labels = [
            f"P {row['pipeline']}: {row['cpu_us_per_op']:.2f} µs"
            for row in document["summary"]
            if row["command"] == command
        ]
        axes.set_yticks(range(len(pipelines)), labels)
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
        axes.set_xlabel("share of CPU time")
        axes.set_title(command)
        axes.grid(visible=False)
    add_legend(figure, panels[0], 7)
    return figure


_KNOWN_COLOURS = {
    "never promote": "#d1d5db",
    "FIFO": "#9ca3af",
    "copy to tail 50/50": "#2563eb",
    "LRU": "#15803d",
    "read cache": "#c2410c",
}


def readcache(document: Document) -> Figure:
    """Disk reads of the ways to use the memory by load, and what each choice is worth."""
    title = "Reads that reach the disk, simulated, by what the memory in front of it is used for"
    figure, (left, right) = new_figure(2, title, width=11.0, height=6.4)
    rows = {
        (row["variant"], row["load"], row["memory_percent"]): row["disk_reads_per_read"]
        for row in document["samples"]
    }
    cases = list(dict.fromkeys((load, percent) for _, load, percent in rows))
    height = 0.8 / len(_KNOWN_COLOURS)
    for number, (variant, colour) in enumerate(_KNOWN_COLOURS.items()):
        places = [i + (number - (len(_KNOWN_COLOURS) - 1) / 2) * height for i in range(len(cases))]
        values = [rows[(variant, *case)] for case in cases]
        left.barh(places, values, height * 0.92, color=colour, label=variant)
    left.set_yticks(range(len(cases)), [f"{load}, {percent} %" for load, percent in cases])
    left.invert_yaxis()
    left.set_xlim(0, None)
    left.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    left.set_xlabel("reads that go to disk (lower is better)")
    left.set_title("by load and memory")
    left.grid(axis="y", visible=False)
    others = [row for row in document["summary"] if row["group"] not in ("known", "chosen")]
    places = list(range(len(others)))
    for name, colour, label in (
        ("x_chosen", "#c2410c", "judged loads"),
        ("x_chosen_write_heavy", STAND_IN, "write-heavy"),
    ):
        values = [100 * (row[name] - 1) for row in others]
        right.plot(values, places, "o", color=colour, markersize=4, label=label)
    right.axvline(0, color="black", linewidth=1, linestyle="--")
    right.set_yticks(places, [f"{row['group']}: {row['variant']}" for row in others])
    right.invert_yaxis()
    right.set_xlabel("disk reads against the chosen one, % (lower is better)")
    right.set_title("what else was tried")
    right.legend(loc="lower right")
    add_legend(figure, left, 5)
    return figure


def _resident(axes: Axes, document: Document) -> None:
    rows = [row for row in document["samples"] if row["part"] == "resident"]
    phases = list(dict.fromkeys(row["phase"] for row in rows))
    for number, phase in enumerate(phases):
        chosen = [row for row in rows if row["phase"] == phase]
        times = [row["second"] for row in chosen]
        sizes = [row["rss"] / 1024**2 for row in chosen]
        axes.plot(times, sizes, ".", color=mpl.colormaps["tab10"](number % 10), label=phase)
    limit = document["parameters"]["memory MiB"]
    axes.axhline(limit, color="black", linewidth=1)
    axes.axhline(1.1 * limit, color="black", linewidth=1, linestyle="--")
    axes.set_ylim(0, None)
    axes.set_xlabel("seconds")
    axes.set_ylabel("resident memory, MiB")
    axes.set_title("memory: the limit, and 1.1 × of it (dashed)")
    axes.legend(fontsize=7, ncols=2, loc="lower right")


def _misses(axes: Axes, document: Document) -> None:
    rows = [row for row in document["summary"] if row["part"] == "depth"]
    for name, label, colour in (
        ("fio_per_second", "fio, 4 KiB", COLOURS["redis-server"]),
        ("misses_per_second", "misses served", COLOURS["ferrite-py"]),
    ):
        chosen = [row for row in rows if row.get(name) is not None]
        depths, rates = [row["depth"] for row in chosen], [row[name] / 1e3 for row in chosen]
        axes.plot(depths, rates, marker="o", markersize=3, color=colour, label=label)
    for row in rows:
        place = (row["depth"], row["misses_per_second"] / 1e3)
        text = f"core {row['core_share']:.0%}"
        axes.annotate(text, place, (0, -10), textcoords="offset points", fontsize=7, ha="center")
    axes.set_xscale("log", base=2)
    axes.set_ylim(0, None)
    axes.xaxis.set_major_formatter(FuncFormatter(plain_numbers))
    axes.set_xlabel("depth of the disk queue")
    axes.set_ylabel("thousand reads per second")
    axes.set_title("reads from disk under Zipf(0.99)")
    axes.legend(loc="upper left")


def tiers(document: Document) -> Figure:
    """Resident memory during the whole run; misses served beside fio."""
    figure, (left, right) = new_figure(2, "Data larger than memory", width=11.0, height=3.8)
    _resident(left, document)
    _misses(right, document)
    return figure


PLOTS: dict[str, Sequence[tuple[str, Callable[[Document], Figure]]]] = {
    "throughput": (("throughput-cpu", throughput_cpu), ("throughput-size", throughput_size)),
    "profile": (("profile", profile),),
    "memory": (("memory", memory),),
    "latency": (("latency", latency),),
    "spin": (("spin", spin),),
    "churn": (("churn", churn),),
    "expiry": (("expiry", expiry),),
    "hostile": (("hostile", hostile),),
    "readcache": (("readcache", readcache),),
    "tiers": (("tiers", tiers),),
    "telemetry": (("telemetry", plots_telemetry.telemetry),),
}


def write(document: Document, folder: Path, suffix: str = "svg") -> list[str]:
    """Draw the plots of one benchmark's document into `folder`; return the names of the files."""
    names = []
    with mpl.rc_context(STYLE):
        for name, draw in PLOTS.get(document["benchmark"], ()):
            path = folder / f"{name}.{suffix}"
            metadata = {"Date": None} if suffix == "svg" else None
            draw(document).savefig(path, dpi=110, metadata=metadata)
            names.append(path.name)
    return names
