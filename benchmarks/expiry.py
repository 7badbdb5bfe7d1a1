"""Expiry: a million keys expire within 10 s and are never read; memory, DBSIZE and CPU."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import generators, harness, servers, stats
from benchmarks.generators import Load
from benchmarks.harness import Claim, Context, Outcome, Row
from benchmarks.servers import BenchmarkError, Kind, Server

SAMPLE_S = 0.1
SLACK_S = 2.0
AFTER_S = 3.0
LEAD_S_PER_KEY = 1 / 100_000
RECLAIMED_BOUND = 0.99
CPU_BOUND = 0.25
CPU_WINDOW_S = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """`keys` keys expire evenly in the `window_s` seconds from `start` on (a unix time)."""

    keys: int
    window_s: float
    start: float

    def alive(self, at: float) -> float:
        """Return how many keys are not yet expired at unix time `at`."""
        return self.keys * (1.0 - min(max((at - self.start) / self.window_s, 0.0), 1.0))


def _sample(server: Server, plan: Plan) -> Row:
    now = time.time()
    return {
        "server": server.kind.name,
        "at_s": now - plan.start,
        "cpu_s": server.cpu_ns() / 1e9,
        "anonymous_bytes": server.anonymous_bytes(),
        "used_memory": server.used_memory(),
        "key_count": server.key_count(),
        "alive": plan.alive(now),
    }


def measure(context: Context, kind: Kind, keys: int, window_s: float) -> tuple[list[Row], Row]:
    """Fill, then watch without reading; return the samples and the summary.

    Raises:
        BenchmarkError: filling took so long that the first deadlines passed.
    """
    with servers.running(kind, context.cores.server) as server:
        time.sleep(0.3)
        empty: Row = {"anonymous": server.anonymous_bytes(), "used": server.used_memory()}
        plan = Plan(keys, window_s, time.time() + 1.0 + keys * LEAD_S_PER_KEY)
        fill = Load(
            pipeline=64,
            keys=keys,
            expire_from_unix_ms=round(plan.start * 1e3),
            expire_until_unix_ms=round((plan.start + window_s) * 1e3),
            prefill=True,
        )
        generators.run_load(server, fill, context.cores.generator)
        if time.time() > plan.start:
            raise BenchmarkError(f"filling {kind.name} took too long for the deadlines")
        samples = []
        end = plan.start + window_s + AFTER_S
        while time.time() < end:
            samples.append(_sample(server, plan))
            time.sleep(SAMPLE_S)
    return samples, _summary(kind.name, samples, plan, empty)


def _column(samples: Sequence[Row], name: str) -> list[float]:
    return [float(str(sample[name])) for sample in samples]


def busiest(times_s: Sequence[float], cpu_s: Sequence[float], window_s: float) -> float:
    """Return the largest share of a core used over any `window_s` seconds of the samples."""
    shares = [0.0]
    start = 0
    for end in range(1, len(times_s)):
        while times_s[end] - times_s[start + 1] >= window_s:
            start += 1
        if times_s[end] - times_s[start] >= window_s:
            shares.append((cpu_s[end] - cpu_s[start]) / (times_s[end] - times_s[start]))
    return max(shares)


def _reclaimed(samples: Sequence[Row], name: str, empty: float, at_s: float) -> float:
    """Return the share of the memory beyond the empty server that is gone by `at_s`."""
    values = _column(samples, name)
    at = next(v for v, row in zip(values, samples, strict=True) if float(str(row["at_s"])) >= at_s)
    return (values[0] - at) / (values[0] - empty)


def _summary(server: str, samples: Sequence[Row], plan: Plan, empty: Row) -> Row:
    times, cpu = _column(samples, "at_s"), _column(samples, "cpu_s")
    late = stats.worst_lag(times, _column(samples, "key_count"), _column(samples, "alive"), SLACK_S)
    expiring = [(t, c) for t, c in zip(times, cpu, strict=True) if t >= 0]
    at_s = plan.window_s + SLACK_S
    return {
        "server": server,
        "used_memory_reclaimed": _reclaimed(
            samples, "used_memory", float(str(empty["used"])), at_s
        ),
        "resident_reclaimed": _reclaimed(
            samples, "anonymous_bytes", float(str(empty["anonymous"])), at_s
        ),
        "keys_left": _column(samples, "key_count")[-1],
        "late_keys_worst_share": late / plan.keys,
        "cpu_share_mean": (expiring[-1][1] - expiring[0][1]) / plan.window_s,
        "cpu_share_busiest_second": busiest(times, cpu, CPU_WINDOW_S),
    }


def run(context: Context) -> Outcome:
    """Watch the reference and the subject expire."""
    keys = context.pick(100_000, 1_000_000, 1_000_000)
    window_s = float(context.pick(3, 10, 10))
    context.progress.begin("expiry", 2)
    samples: list[Row] = []
    summary: list[Row] = []
    for kind in context.rivals:
        context.progress.step(f"{kind.name}: {keys:,} keys over {window_s:.0f} s")
        rows, row = measure(context, kind, keys, window_s)
        samples += rows
        summary.append(row)
    subject = summary[-1]
    claims = [
        *(
            Claim(
                f"{label} reclaimed {SLACK_S:.0f} s after the last deadline",
                float(str(subject[name])),
                RECLAIMED_BOUND,
                "of it",
                at_least=True,
            )
            for name, label in (
                ("used_memory_reclaimed", "memory that the server counts"),
                ("resident_reclaimed", "resident memory"),
            )
        ),
        Claim(
            f"keys that DBSIZE still counts {SLACK_S:.0f} s after their deadline, at worst",
            float(str(subject["late_keys_worst_share"])),
            1 - RECLAIMED_BOUND,
            "of all",
        ),
        Claim(
            "CPU while expiring, busiest second",
            float(str(subject["cpu_share_busiest_second"])),
            CPU_BOUND,
            "of a core",
        ),
    ]
    parameters: Row = {"keys": keys, "window_s": window_s}
    notes = [
        "Every sample asks INFO memory and DBSIZE, so the CPU share includes ten of each a second."
    ]
    return Outcome("expiry", parameters, samples, summary, claims, notes)


if __name__ == "__main__":
    sys.exit(harness.main(run))
