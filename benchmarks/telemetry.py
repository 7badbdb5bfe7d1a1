"""Telemetry: what it costs, that nothing is lost unnoticed, and receivers that fail.

Three parts: the cost of each way to have it on, in the order of Ferrite's own table
(telemetrycost.py); spans received and drops counted against commandstats, and receivers that are
dead, hang or err (telemetryloss.py). The receiver counts, on the generator's core (collector.c).
"""

from __future__ import annotations

import sys

from benchmarks import harness, telemetrycost, telemetryloss, telemetryserver
from benchmarks.harness import Context, Outcome, Row
from benchmarks.servers import SkippedError

NOTES = [
    (
        'The row "disabled" is a second server without telemetry: what two processes that do the '
        "same differ by. Intervals are of 95 % (bootstrap over blocks of fresh processes and the "
        "pairs in them; with a single block over its pairs only, so that what two processes differ "
        "by is not in them)."
    ),
    (
        "Serving CPU is that of the reactor's thread; process CPU is of all threads, those that "
        "encode and send included, which share the server's core here: throughput pays for them."
    ),
]


def run(context: Context) -> Outcome:
    """Measure the three parts."""
    if context.subject.dialect != "ferrite":
        raise SkippedError(f"{context.subject.name} has no telemetry to switch on")
    plan = telemetrycost.plan_of(context)
    steps = plan.blocks_max + 2 + 2 * len(telemetryloss.FAULTS)
    context.progress.begin("telemetry", steps)
    cost = telemetrycost.run(context)
    loss = telemetryloss.run(context)
    summary = [*telemetrycost.summarise(cost), *telemetryloss.summarise(loss)]
    claims = [*telemetrycost.claims(summary), *telemetryloss.claims(summary)]
    parameters: Row = {
        "clients": telemetryserver.CLIENTS,
        "keys": telemetryserver.KEYS,
        "reads %": telemetryserver.READS_PERCENT,
        "blocks": len({row["block"] for row in cost}),
        "commands of a turn": plan.operations[1],
        "batch timeout ms": telemetryserver.BATCH_TIMEOUT_MS,
        "metrics every s": telemetryserver.METRICS_INTERVAL_S,
    }
    return Outcome("telemetry", parameters, [*cost, *loss], summary, claims, NOTES)


if __name__ == "__main__":
    sys.exit(harness.main(run))
