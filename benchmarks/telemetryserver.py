"""Servers with telemetry on, in the ways that are compared, and what they have used and run."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from benchmarks import generators, proc, servers
from benchmarks.collector import Collector
from benchmarks.generators import Load
from benchmarks.harness import Row
from benchmarks.servers import BenchmarkError, Kind, Server, Settings

CLIENTS = 50
KEYS = 100_000
READS_PERCENT = 80
REACTOR = "reactor"
"""How the names of threads that serve begin."""

BATCH_TIMEOUT_MS = 200
METRICS_INTERVAL_S = 10
SETTLE_S = 0.1
"""After a load: four times the pause between two looks of the exporting thread at what it has."""

LOST = "ferrite_telemetry_lost_total"
LOST_REASONS = ("queue_full", "not_taken")
"""Of the reasons why a command has no span, those that are losses of what was sampled."""

MIB = 1024**2


@dataclass(frozen=True, slots=True)
class Variant:
    """One row of the table.

    Attributes:
        name: what the table calls it.
        signals: of traces, metrics and logs, those that are exported; none for telemetry off.
        share: of traces that are sampled.
        bound: by how much the serving thread may take longer for a command, in percent.
        insight: whether what is on by default of [insight] is on.
    """

    name: str
    signals: tuple[str, ...]
    share: float
    bound: float | None
    insight: bool = True


OFF = Variant("off", (), 0.0, None)
CONTROL = Variant("disabled", (), 0.0, None)
WITHOUT_INSIGHT = Variant("insight off", (), 0.0, None, insight=False)
ALL = Variant("all signals, 100 %", ("traces", "metrics", "logs"), 1.0, 3.0)
VARIANTS = (
    CONTROL,
    Variant("traces, 100 %", ("traces",), 1.0, 2.1),
    Variant("traces, 10 %", ("traces",), 0.1, 0.3),
    Variant("metrics", ("metrics",), 0.0, 0.5),
    ALL,
    Variant("all signals, 10 %", ("traces", "metrics", "logs"), 0.1, 0.8),
    WITHOUT_INSIGHT,
)
"""`CONTROL` is a second server without telemetry: what its row shows is what two processes that do
the same differ by. All have the parts of [insight] that are on by default, OFF too, but for
`WITHOUT_INSIGHT`: by what its row is below zero, those cost."""

INSIGHT_OFF = {"insight.curve": "false", "insight.miss_reasons": "false"}
"""What is on by default of [insight], off; the flags of telemetry leave it alone."""


def _word(yes: bool) -> str:
    return "true" if yes else "false"


def arguments(variant: Variant, ports: tuple[int, int]) -> tuple[str, ...]:
    """Return the server's arguments; the ports are those of the collector."""
    if not variant.signals:
        return ("--disable-observability", *_set({} if variant.insight else INSIGHT_OFF))
    values = {
        "telemetry.enabled": "true",
        "telemetry.endpoint": f"http://127.0.0.1:{ports[1]}",
        "telemetry.sample_rate": str(variant.share),
        "telemetry.batch_timeout_ms": str(BATCH_TIMEOUT_MS),
        "telemetry.connection_rate_max": "0",  # spans are those of commands alone
        "telemetry.metrics_export_interval": str(METRICS_INTERVAL_S),
        "metrics.enabled": _word("metrics" in variant.signals),
    }
    for signal in ("traces", "metrics", "logs"):
        values[f"telemetry.{signal}_enabled"] = _word(signal in variant.signals)
    return _set(values)


def _set(values: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(word for name, value in values.items() for word in ("--set", f"{name}={value}"))


def kind_of(kind: Kind, variant: Variant, ports: tuple[int, int]) -> Kind:
    """Return the server as the variant has it; traces go to a port of their own."""
    variables = [f"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://127.0.0.1:{ports[0]}"]
    command = ("env", *variables, *kind.command, *arguments(variant, ports))
    return dataclasses.replace(kind, name=variant.name, command=command)


@contextlib.contextmanager
def running(
    kind: Kind, variant: Variant, ports: tuple[int, int], cores: proc.Cores, page_port: int = 0
) -> Iterator[Server]:
    """Start a server and fill it; `page_port` is for /metrics, 0 for none."""
    settings = Settings(arguments=("--set", f"metrics.port={page_port}"))
    started = kind_of(kind, variant, ports)
    with servers.running(started, cores.server, settings) as server:
        fill = Load(clients=CLIENTS, pipeline=32, keys=KEYS, prefill=True)
        generators.run_load(server, fill, cores.generator)
        yield server


def load_of(pipeline: int, operations: int, *, rate: int = 0) -> Load:
    """Return the load of every part: reads and writes of keys that are there, at random."""
    return Load(
        clients=CLIENTS,
        pipeline=0 if rate else pipeline,
        rate=rate,
        count=operations,
        keys=KEYS,
        reads_percent=READS_PERCENT,
        random=True,
        sleep=bool(rate),
    )


def serving_cpu_ns(pid: int) -> int:
    """Return the CPU time of the threads that serve, nanoseconds.

    Raises:
        BenchmarkError: there is no such thread.
    """
    found = [one.cpu_ns for one in proc.threads(pid) if one.name.startswith(REACTOR)]
    if not found:
        raise BenchmarkError(f"no thread of the server is named {REACTOR}…")
    return sum(found)


def measure(server: Server, load: Load, core: int) -> Row:
    """Put a load on the server; return speed, latency, and CPU per command.

    CPU of the process is taken a little later, when what was recorded has been sent.
    """
    serving, whole = serving_cpu_ns(server.pid), server.cpu_ns()
    result = generators.run_load(server, load, core)
    serving = serving_cpu_ns(server.pid) - serving
    time.sleep(SETTLE_S)
    whole = server.cpu_ns() - whole
    ops = int(result["ops"])
    return {
        "operations": ops,
        "ops_per_second": float(result["ops_per_second"]),
        "serving_us_per_op": serving / 1e3 / ops,
        "process_us_per_op": whole / 1e3 / ops,
        "p50_us": float(result["p50_us"]),
        "p99_us": float(result["p99_us"]),
    }


def memory(server: Server) -> tuple[float, float]:
    """Return resident memory, and what is anonymous of it, in MiB."""
    text = Path(f"/proc/{server.pid}/status").read_text(encoding="utf-8")
    resident = proc.parse_status_bytes(text, "VmRSS")
    return resident / MIB, proc.parse_status_bytes(text, "RssAnon") / MIB


def executed(server: Server) -> int:
    """Return the commands so far as commandstats has them: calls, and those that were rejected.

    The command that asks is not among them yet.
    """
    fields = server.command("INFO", "commandstats")
    return sum(row["calls"] + row["rejected_calls"] for row in fields.values())


def parse_dropped(page: str) -> int | None:
    """Return the commands that the page of metrics says were dropped, None if it does not say."""
    names = [f'{LOST}{{reason="{reason}"}}' for reason in LOST_REASONS]
    values = [
        float(line.rpartition(" ")[2])
        for line in page.splitlines()
        if line.rpartition(" ")[0] in names
    ]
    return round(sum(values)) if len(values) == len(names) else None


def dropped(page_port: int) -> int:
    """Return how many commands were dropped so far.

    Raises:
        BenchmarkError: the page of metrics does not say.
    """
    with urlopen(f"http://127.0.0.1:{page_port}/metrics", timeout=30) as answer:
        found = parse_dropped(answer.read().decode())
    if found is None:
        raise BenchmarkError(f"/metrics has no {LOST}")
    return found


def check_exports(server: Server, receiver: Collector) -> None:
    """Raise BenchmarkError when a command's span does not reach the collector."""
    before = receiver.counts().commands
    server.command("PING")
    if receiver.wait_for(lambda now: now.commands > before, 10.0).commands == before:
        raise BenchmarkError(f"no span of {server.kind.name} arrives:\n{server.log_tail()}")
