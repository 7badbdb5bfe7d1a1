"""What telemetry loses, and what a receiver that fails does to the server.

Every command is either received as a span or counted as dropped: compared with commandstats,
exactly. A receiver that is dead, hangs or errs must not slow the server down, nor make it grow: two
servers are loaded in turns, one of them with such a receiver, then the other one.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks import collector, generators, servers, stats, telemetryserver, throughput
from benchmarks.collector import Behaviour, Collector
from benchmarks.harness import Claim, Context, Row
from benchmarks.servers import Server
from benchmarks.telemetryserver import ALL, load_of, measure, memory

RATE = 50_000
QUIET_S = 1.0
TURN_OPS = 50_000
WARM_UP_S = 2.0
RECOVERY_DEADLINE_S = 60.0
RECOVERED_OPS = 5000
"""Commands that are all to arrive afterwards, sent within a second."""

FAULTS: tuple[tuple[Behaviour, str], ...] = (
    ("dead", "refuses connections"),
    ("hang", "never answers"),
    ("error", "answers UNAVAILABLE"),
)
THROUGHPUT_BOUND = 99.0
GROWTH_BOUND_MIB = 10.0
"""The rings are full of memory already when a receiver fails: there is one request more."""


@dataclass(slots=True)
class Party:
    """A server that exports all signals, its collector, and the port of its metrics."""

    server: Server
    receiver: Collector
    page_port: int

    def dropped(self) -> int:
        """Return the commands that were dropped so far."""
        return telemetryserver.dropped(self.page_port)


@contextlib.contextmanager
def _party(context: Context) -> Iterator[Party]:
    page_port = servers.free_port()
    with (
        collector.running(context.cores.generator) as receiver,
        telemetryserver.running(
            context.subject, ALL, receiver.ports, context.cores, page_port
        ) as server,
    ):
        telemetryserver.check_exports(server, receiver)
        yield Party(server, receiver, page_port)


@dataclass(frozen=True, slots=True)
class Tally:
    """Commands since some moment, by what became of their spans."""

    executed: int
    arrived: int
    dropped: int

    @property
    def missing(self) -> int:
        """Commands of which nobody knows; negative when there are spans too many."""
        return self.executed - self.arrived - self.dropped


@contextlib.contextmanager
def _tallied(party: Party, found: list[Tally]) -> Iterator[None]:
    """Count what is executed meanwhile, and append it to `found`.

    Each INFO is a command as well: the first is in the difference of commandstats and its span came
    before the counting, the last is the other way round.
    """
    executed = telemetryserver.executed(party.server)
    arrived = party.receiver.settled(QUIET_S).commands
    dropped = party.dropped()
    yield
    executed = telemetryserver.executed(party.server) - executed
    arrived = party.receiver.settled(QUIET_S).commands - arrived
    found.append(Tally(executed, arrived, party.dropped() - dropped))


def _redis_benchmark(context: Context, server: Server, seconds: float) -> float:
    """Run redis-benchmark unpipelined, as fast as it goes; return requests/s."""
    scenario = throughput.Scenario("GET", 1, 64, telemetryserver.KEYS)
    core = context.cores.generator
    count = throughput.calibrated_count(server, scenario, seconds, core)
    arguments = throughput.redis_benchmark_arguments(scenario, count)
    return generators.run_redis_benchmark(server, arguments, core).ops_per_second


def _exact(context: Context, seconds: float) -> list[Row]:
    """Count commands and spans at the highest rate, and at a fixed one."""
    rows: list[Row] = []
    with _party(context) as party:
        for load in ("as fast as redis-benchmark goes", f"{RATE:,} commands/s"):
            context.progress.step(f"exactness, {load}")
            tallies: list[Tally] = []
            with _tallied(party, tallies):
                if load.startswith("as"):
                    rate = _redis_benchmark(context, party.server, seconds)
                else:
                    fixed = load_of(1, round(RATE * seconds), rate=RATE)
                    core = context.cores.generator
                    result = generators.run_load(party.server, fixed, core, has_precedence=False)
                    rate = float(result["ops_per_second"])
            (tally,) = tallies
            row: Row = {"part": "exact", "load": load, "ops_per_second": rate}
            row |= {"executed": tally.executed, "arrived": tally.arrived}
            rows.append(row | {"dropped": tally.dropped, "missing": tally.missing})
    return rows


# Receivers that fail


def _turns(context: Context, parties: tuple[Party, Party], seconds: float) -> list[Row]:
    """Load both servers in turns, the one whose receiver fails second; pairs change their order."""
    rows: list[Row] = []
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end:
        for place in (0, 1) if number % 2 else (1, 0):
            party = parties[place]
            row = measure(party.server, load_of(1, TURN_OPS), context.cores.generator)
            resident, _ = memory(party.server)
            head: Row = {"pair": number, "fails": place == 1, "resident_mib": resident}
            rows.append(head | row)
        number += 1
    return rows


def _recover(context: Context, party: Party) -> Row:
    """Let the receiver work again; return how long that took, and whether all is well then."""
    before = party.receiver.behave("take").commands
    began = time.monotonic()
    found = party.receiver.wait_for(lambda now: now.commands > before, RECOVERY_DEADLINE_S)
    took = time.monotonic() - began
    if found.commands == before:
        return {"recovery_s": None, "recovered": False}
    party.receiver.settled(QUIET_S)
    tallies: list[Tally] = []
    with _tallied(party, tallies):
        load = load_of(1, RECOVERED_OPS, rate=RECOVERED_OPS)
        generators.run_load(party.server, load, context.cores.generator)
    is_well = tallies[0].missing == 0 and tallies[0].dropped == 0
    return {"recovery_s": took, "recovered": is_well}


def _fault_rows(
    context: Context,
    parties: tuple[Party, Party],
    half: int,
    faults: Sequence[str],
) -> list[Row]:
    samples: list[Row] = []
    seconds = float(context.pick(10, 20, 300))
    for fault, text in FAULTS:
        if fault not in faults:
            continue
        context.progress.step(f"a receiver that {text}, {half + 1} of 2")
        _turns(context, parties, WARM_UP_S)
        healthy, failing = parties
        head: Row = {"fault": fault, "half": half}
        before, dropped = memory(failing.server)[0], failing.dropped()
        failing.receiver.behave(fault)
        rows = _turns(context, parties, seconds)
        dropped = failing.dropped() - dropped
        recovery = _recover(context, failing)
        samples += [{"part": "turn", **head, **row} for row in rows]
        end: Row = {"part": "fault", "before_mib": before, "dropped": dropped}
        samples.append(head | end | recovery)
        healthy.receiver.settled(QUIET_S)
    return samples


def run(context: Context, faults: Sequence[str], *, is_exact: bool) -> list[Row]:
    """Measure what is asked for; return all samples."""
    samples = _exact(context, float(context.pick(3, 10, 60))) if is_exact else []
    if not faults:
        return samples
    with _party(context) as one, _party(context) as other:
        for half, parties in enumerate(((one, other), (other, one))):
            samples += _fault_rows(context, parties, half, faults)
    return samples


# What follows from the samples


def _number(row: Row, name: str) -> float:
    return float(str(row[name]))


def ratios(rows: Sequence[Row], name: str) -> list[float]:
    """Return a figure beside a failing receiver, in percent of the other one's in its pair.

    Both halves are put together: each server has failed as often as the other.
    """
    pairs: dict[tuple[object, object], dict[object, float]] = {}
    for row in rows:
        pairs.setdefault((row["half"], row["pair"]), {})[row["fails"]] = _number(row, name)
    return [100 * pair[True] / pair[False] for pair in pairs.values()]


def growth(rows: Sequence[Row], before_mib: float) -> tuple[float, float]:
    """Return by how many MiB a server grew at most, and of it since the first half of the time."""
    sizes = [_number(row, "resident_mib") for row in rows if row["fails"]]
    middle = (len(sizes) + 1) // 2
    late = max(sizes[middle:], default=sizes[-1]) - max(sizes[:middle])
    return max(sizes) - before_mib, max(late, 0.0)


def summarise(samples: Sequence[Row]) -> list[Row]:
    """Return the rows of the tables: exactness, then one for each kind of failure."""
    summary = [row for row in samples if row["part"] == "exact"]
    for fault, text in FAULTS:
        turns = [row for row in samples if row["part"] == "turn" and row["fault"] == fault]
        ends = [row for row in samples if row["part"] == "fault" and row["fault"] == fault]
        if not ends:
            continue
        found = stats.clustered_interval([ratios(turns, "ops_per_second")])
        serving = stats.clustered_interval([ratios(turns, "serving_us_per_op")])
        grown = [
            growth([row for row in turns if row["half"] == end["half"]], _number(end, "before_mib"))
            for end in ends
        ]
        times = [_number(end, "recovery_s") for end in ends if end["recovery_s"] is not None]
        row: Row = {"part": "fault", "fault": text, "pairs": len(turns) // 2}
        row |= {"throughput": found.middle, "throughput_low": found.low}
        row |= {
            "throughput_high": found.high,
            "serving": serving.middle,
            "grown_mib": max(one for one, _ in grown),
        }
        row |= {"late_mib": max(late for _, late in grown)}
        row |= {"dropped": sum(_number(end, "dropped") for end in ends)}
        row |= {"recovery_s": max(times) if len(times) == len(ends) else None}
        row |= {"recovered": sum(end["recovered"] is True for end in ends), "times": len(ends)}
        summary.append(row)
    return summary


def claims(summary: Sequence[Row]) -> list[Claim]:
    """Return the targets of exactness and of receivers that fail, as far as they were measured."""
    exact = [row for row in summary if row["part"] == "exact"]
    faults = [row for row in summary if row["part"] == "fault"]
    return [*(_exact_claims(exact) if exact else ()), *(_fault_claims(faults) if faults else ())]


def _exact_claims(exact: Sequence[Row]) -> list[Claim]:
    missing = max(abs(_number(row, "missing")) for row in exact)
    return [
        Claim("commands that are neither received nor counted as dropped", missing, 0, "commands"),
        Claim(f"commands dropped at {RATE:,}/s", _number(exact[-1], "dropped"), 0, "commands"),
    ]


def _fault_claims(faults: Sequence[Row]) -> list[Claim]:
    slow = min(faults, key=lambda row: _number(row, "throughput"))
    large = max(faults, key=lambda row: _number(row, "grown_mib"))
    well, times = (sum(_number(row, name) for row in faults) for name in ("recovered", "times"))
    speed = f"throughput beside a receiver that fails, worst ({slow['fault']})"
    grown = f"memory that such a server gains, worst ({large['fault']})"
    return [
        Claim(speed, _number(slow, "throughput"), THROUGHPUT_BOUND, "% of a healthy one's", True),
        Claim(grown, _number(large, "grown_mib"), GROWTH_BOUND_MIB, "MiB"),
        Claim("receivers that came back, without a restart", well, times, "times", True),
    ]
