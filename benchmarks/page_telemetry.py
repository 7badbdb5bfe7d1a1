"""The tables of the benchmark of telemetry."""

from benchmarks.columns import P99, RATE, Column, Part


def _interval(name: str, heading: str, style: str = "+.2f") -> tuple[Column, ...]:
    """A difference, and both ends of its interval."""
    return (
        Column(name, heading, style),
        Column(f"{name}_low", "from", style),
        Column(f"{name}_high", "to", style),
    )


def _cost(pipeline: int, text: str) -> Part:
    return Part(
        f"cost-{pipeline}",
        text,
        (
            Column("variant", "telemetry"),
            Column("pairs", "pairs", "d"),
            *_interval("serving", "serving CPU %"),
            *_interval("process", "process CPU %", "+.1f"),
            *_interval("throughput", "throughput %", "+.1f"),
            *_interval("p99_ms", "p99 ms", "+.3f"),
            Column("resident_mib", "memory MiB", "+.1f"),
            Column("anonymous_mib", "of it anonymous", "+.1f"),
            Column("arrived", "spans received", ".1%"),
        ),
    )


def _baseline(pipeline: int, text: str) -> Part:
    return Part(
        f"off-{pipeline}",
        text,
        (
            Column("serving_us_per_op", "serving CPU µs per command", ".3f"),
            Column("process_us_per_op", "process CPU µs per command", ".3f"),
            RATE,
            P99,
        ),
    )


TELEMETRY = (
    _baseline(1, "Telemetry off, unpipelined:"),
    _cost(1, "Unpipelined, against that: differences, each with its interval of 95 %."),
    _baseline(16, "Telemetry off, 16 commands in flight on each connection:"),
    _cost(16, "The same against that."),
    _baseline(0, "Telemetry off, 50,000 commands/s; latency counts from the intended send time:"),
    _cost(0, "The same against that, where neither core is full."),
    Part(
        "exact",
        "Every command is a span that was received, or counted as dropped: all signals at 100 %, "
        "unpipelined.",
        (
            Column("load", "load"),
            RATE,
            Column("executed", "commands (commandstats)", ",d"),
            Column("arrived", "spans received", ",d"),
            Column("dropped", "counted as dropped", ",d"),
            Column("missing", "missing", ",d"),
        ),
    ),
    Part(
        "fault",
        "Two servers with all signals at 100 %, loaded in turns, one with a receiver that fails, "
        "then the other one.",
        (
            Column("fault", "the receiver"),
            Column("pairs", "pairs", "d"),
            *_interval("throughput", "throughput, % of healthy", ".2f"),
            Column("serving", "serving CPU, % of healthy", ".1f"),
            Column("grown_mib", "memory gained MiB", ".1f"),
            Column("late_mib", "of it in the second half", ".1f"),
            Column("dropped", "commands dropped", ",.0f"),
            Column("recovery_s", "s to the first span afterwards", ".1f"),
            Column("recovered", "recovered", "d"),
            Column("times", "of", "d"),
        ),
    ),
)
