"""The page docs/benchmarks/README.md and its plots, written from the data kept beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import page_telemetry, page_tiers, plots
from benchmarks.columns import MAX, P50, P99, P999, RATE, SERVER, Column, Part, Section

Document = dict[str, Any]


SECTIONS: dict[str, Section] = {
    "throughput": Section(
        "Throughput and server CPU per operation",
        "redis-benchmark, 50 connections, server and generator on a core each, rounds alternating "
        "between the servers. The judge is server CPU time per operation; ratios are medians of "
        "round-by-round ratios.",
    ),
    "profile": Section(
        "What the time is spent on",
        "A sampling profile of the server under redis-benchmark, by folder of native/ and library.",
        (
            Column("command", "command"),
            Column("pipeline", "pipeline", "d"),
            Column("cpu_us_per_op", "CPU µs per operation", ".2f"),
            Column("shares", "of it"),
        ),
    ),
    "memory": Section(
        "Memory per key",
        "Resident anonymous memory after filling, the empty process subtracted, index included.",
        (
            SERVER,
            Column("deadlines", "TTL"),
            Column("keys", "keys", ",d"),
            Column("bytes_per_key", "bytes per key", ".1f"),
            Column("overhead_per_key", "of it overhead", ".1f"),
            Column("ratio", "× redis-server", ".2f"),
        ),
    ),
    "startup": Section(
        "Start-up",
        "From starting the process to its first answer, and what the empty server weighs.",
        (
            SERVER,
            Column("start_up_ms", "ms, median", ".1f"),
            Column("start_up_ms_low", "lowest", ".1f"),
            Column("start_up_ms_high", "highest", ".1f"),
            Column("empty_mib", "memory MiB", ".1f"),
        ),
    ),
    "latency": Section(
        "Growing and flushing",
        "Requests at a fixed rate, latency counted from the intended send time: inserts while the "
        "index grows, then reads and writes around a FLUSHALL ASYNC.",
        (
            SERVER,
            Column("phase", "phase"),
            P50,
            P99,
            P999,
            Column("p9999_us", "p99.99 µs", ",.0f"),
            MAX,
            Column("engine_step_max_us", "longest engine step µs", ",.0f"),
            Column("engine_step_max_cpu_us", "of processor time", ",.0f"),
        ),
    ),
    "spin": Section(
        "Beside computing Python",
        "20,000 requests/s while nothing else runs (idle), while another process computes on the "
        "generator's core (outside), and while a Python thread of the server does (inside). What "
        "outside costs is the price of sharing the generator's core; what inside costs beyond that "
        "would be the GIL.",
        (
            SERVER,
            Column("state", "state"),
            P50,
            Column("p50_ratio", "× idle", ".2f"),
            P99,
            P999,
            MAX,
        ),
    ),
    "churn": Section(
        "Overwriting with changing sizes",
        "Random overwrites of 16 B to 1 KiB; memory beside live data, speed first and last.",
        (
            SERVER,
            Column("live_mib", "live data MiB", ",.0f"),
            Column("memory_mib", "memory MiB", ",.0f"),
            Column("memory_ratio", "× live", ".2f"),
            Column("ops_per_second_first", "first tenth, op/s", ",.0f"),
            Column("ops_per_second_last", "last tenth, op/s", ",.0f"),
            Column("last_over_first", "last / first", ".2f"),
            Column("cpu_us_per_op_first", "CPU µs per op, first", ".2f"),
            Column("cpu_us_per_op_last", "last", ".2f"),
        ),
    ),
    "expiry": Section(
        "Expiring unread",
        "Keys whose deadlines fall evenly into a few seconds, and no reads at all.",
        (
            SERVER,
            Column("resident_reclaimed", "resident memory reclaimed", ".1%"),
            Column("used_memory_reclaimed", "used_memory reclaimed", ".1%"),
            Column("keys_left", "keys left", ",.0f"),
            Column("late_keys_worst_share", "late by over 2 s, at worst", ".1%"),
            Column("cpu_share_mean", "CPU, mean", ".1%"),
            Column("cpu_share_busiest_second", "CPU, busiest second", ".1%"),
        ),
    ),
    "hostile": Section(
        "Hostile connections",
        "Half-open, one byte a second, and giant lengths, a third each, beside a healthy client at "
        "10,000 requests/s. Illegal lengths are refused, and come back every second.",
        (
            SERVER,
            Column("connections", "hostile, open", ",.0f"),
            Column("refused", "closed by the server", ",.0f"),
            Column("p99_us_normal", "p99 µs normal", ",.0f"),
            Column("p99_us_attacked", "attacked", ",.0f"),
            Column("p99_us_afterwards", "afterwards", ",.0f"),
            Column("p99_ratio", "× normal", ".2f"),
            Column("memory_mib_normal", "memory MiB normal", ",.1f"),
            Column("memory_mib_attacked", "attacked", ",.1f"),
            Column("memory_mib_afterwards", "afterwards", ",.1f"),
        ),
    ),
    "readcache": Section(
        "Where records live in a tiered store, simulated",
        "Generated loads replayed against models of the memory in front of a disk: the known ways "
        "to use it, the chosen one (see [decision 7](../decisions/0007-read-cache.md)), and "
        "its neighbours.",
        (
            Column("group", "group"),
            Column("variant", "variant"),
            Column("x_fifo", "disk reads × FIFO", ".3f"),
            Column("x_copy", "× copy to tail", ".3f"),
            Column("x_copy_worst", "at worst", ".3f"),
            Column("x_chosen", "× chosen", ".3f"),
            Column("x_chosen_write_heavy", "× chosen, write-heavy", ".3f"),
            Column("flash_per_client_byte", "flash per byte written", ".2f"),
            Column("copied_bytes_per_read", "bytes copied in memory per read", ".0f"),
            Column("walk_segments_max", "longest walk, segments", ".0f"),
        ),
    ),
    "tiers": Section(
        "Data larger than memory",
        "A server with a data folder and a limit of memory, over data ten and more times as large, "
        "in values of 1 KiB that follow from their key and are compared when they are read.",
        parts=page_tiers.TIERS,
    ),
    "telemetry": Section(
        "Telemetry",
        "The server with telemetry on, beside one with it off, in one run; a receiver on the "
        "generator's core takes the spans and counts them. 50 connections; 4 reads for each write.",
        parts=page_telemetry.TELEMETRY,
    ),
}


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; columns of numbers are aligned to the right."""
    numeric = [
        bool(rows) and all(row[i][:1].isdigit() or row[i][:1] in "–-+" for row in rows)
        for i in range(len(headings))
    ]
    lines = ["| " + " | ".join(headings) + " |"]
    lines.append("| " + " | ".join("---:" if right else "---" for right in numeric) + " |")
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def _verdict(met: bool | None) -> str:
    return {True: "met", False: "not met", None: "not measured"}[met]


def number_text(value: float | None) -> str:
    """Return a figure with three significant digits, or a dash."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def claim_line(text: str, measured: float | None, bound: float, unit: str, met: bool | None) -> str:
    """Return one target as a line of text."""
    return f"{_verdict(met):>12}  {text}: {number_text(measured)} {unit} (target {bound:g})"


def _targets(documents: Sequence[Document]) -> str:
    rows = []
    for document in documents:
        for claim in document["claims"]:
            sign = "≥" if claim["at_least"] else "≤"
            measured = f"{number_text(claim['measured'])} {claim['unit']}"
            bound = f"{sign} {claim['bound']:g}"
            rows.append((claim["text"], measured, bound, _verdict(claim["met"]), document["mode"]))
    return table(("target", "measured", "bound", "verdict", "mode"), rows)


def _cpu_table(rows: Sequence[dict[str, Any]]) -> str:
    """Return CPU µs per operation with one column for each server, and the ratios."""
    servers = list(dict.fromkeys(row["server"] for row in rows))
    by_scenario: dict[tuple[Any, ...], dict[str, dict[str, Any]]] = {}
    for row in rows:
        scenario = (row["command"], row["pipeline"], row["value_bytes"], row["keys"])
        by_scenario.setdefault(scenario, {})[row["server"]] = row
    lines = []
    for (command, pipeline, size, keys), found in by_scenario.items():
        cells = [command, str(pipeline), f"{size:,}", f"{keys:,}"]
        for server in servers:
            cell = found.get(server)
            text = "–"
            if cell is not None:
                half = (cell["cpu_us_high"] - cell["cpu_us_low"]) / 2
                text = f"{cell['cpu_us_per_op']:.2f} ± {half:.2f} ({cell['cpu_ratio']:.2f}×)"
            cells.append(text)
        lines.append(cells)
    return table(("command", "pipeline", "value B", "keys", *servers), lines)


def _throughput_tables(document: Document) -> str:
    columns = (
        Column("command", "command"),
        Column("pipeline", "pipeline", "d"),
        Column("value_bytes", "value B", ",d"),
        Column("keys", "keys", ",d"),
        SERVER,
        *(RATE, P50, P99, P999),
    )
    rows = document["summary"]
    lines = [[column.text(row) for column in columns] for row in rows]
    return (
        "Server CPU µs per operation: median ± half of the range (ratio to redis-server).\n\n"
        f"{_cpu_table(rows)}\n\n<details><summary>Throughput and latency</summary>\n\n"
        f"{table([column.heading for column in columns], lines)}\n\n</details>"
    )


def _rows_table(columns: Sequence[Column], rows: Sequence[dict[str, Any]]) -> str:
    lines = [[column.text(row) for column in columns] for row in rows]
    return table([column.heading for column in columns], lines)


def _part_tables(parts: Sequence[Part], rows: Sequence[dict[str, Any]]) -> str:
    found = []
    for part in parts:
        chosen = [row for row in rows if row["part"] == part.name]
        if chosen:
            found.append(f"{part.text}\n\n{_rows_table(part.columns, chosen)}")
    return "\n\n".join(found)


def _section(document: Document, images: Sequence[str]) -> str:
    name = document["benchmark"]
    section = SECTIONS[name]
    if name == "throughput":
        figures = _throughput_tables(document)
    elif section.parts:
        figures = _part_tables(section.parts, document["summary"])
    else:
        figures = _rows_table(section.columns, document["summary"])
    parameters = ", ".join(f"{key} {value}" for key, value in document["parameters"].items())
    parts = [f"## {section.title}", section.text]
    parts += [f"![{section.title}]({image})" for image in images]
    parts.append(figures)
    parts += document["notes"]
    parts.append(
        f"Taken {document['taken_at']}, mode {document['mode']} ({parameters}). "
        f"Again: `python -m benchmarks.{name}`. Raw data: [data/{name}.json](data/{name}.json)."
    )
    return "\n\n".join(parts)


def _machine(document: Document) -> str:
    facts = {**document["machine"], **document["versions"]}
    return table(("machine and versions", ""), list(facts.items()))


def render(documents: Sequence[Document], images: dict[str, list[str]]) -> str:
    """Return the page for the documents of all benchmarks, in order."""
    newest = max(documents, key=lambda document: str(document["taken_at"]))
    head = (
        "# Benchmarks\n\nWritten by `make bench` (`python -m benchmarks.run --quick | --full`) "
        "from the data in [data/](data/); not edited by hand.\nFigures of one machine: ratios "
        "carry over to others, absolute figures do not. Every comparison was made in one run, with "
        "the server and the generator pinned to different cores and persistence off."
    )
    parts = [head, _machine(newest), "## Targets", _targets(documents)]
    parts += [_section(document, images[document["benchmark"]]) for document in documents]
    return "\n\n".join(parts) + "\n"


def write(folder: Path) -> None:
    """Write page and plots from `folder`/data; benchmarks without data are left out."""
    paths = [folder / "data" / f"{name}.json" for name in SECTIONS]
    documents = [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.exists()]
    if not documents:
        return
    images = {document["benchmark"]: plots.write(document, folder) for document in documents}
    (folder / "README.md").write_text(render(documents, images), encoding="utf-8")
