"""Telemetry: what it costs, that nothing is lost unnoticed, and receivers that fail.

The cost of each way to have it on, in the order of Ferrite's own table (telemetrycost.py): parts
"unpipelined", "pipelined", "rate". Spans received and drops counted against commandstats: part
"exact"; and receivers that are "dead", "hang" or "error" (telemetryloss.py). The receiver counts,
on the generator's core (collector.c). `--part` runs one of them, and keeps what there is of the
others. On an idle machine the default takes about 15 minutes, --full up to two hours and a half:
half an hour of it for receivers that fail.
"""

from __future__ import annotations

import sys

from benchmarks import (
    harness,
    servers,
    telemetrycost,
    telemetryloss,
    telemetryparts,
    telemetryserver,
)
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
    (
        "The hit-ratio curve and the reasons of misses (docs/insight.md) are on by default, "
        'whatever telemetry is: they are in the baseline and in every row but "insight off", which '
        "has no telemetry either. By what that row is below zero, they cost."
    ),
]


def run(context: Context) -> Outcome:
    """Measure the parts that are asked for; put them beside those that were measured before."""
    if context.subject.dialect != "ferrite":
        raise SkippedError(f"{context.subject.name} has no telemetry to switch on")
    parts = telemetryparts.chosen(context)
    faults = [name for name in telemetryparts.FAULTS if name in parts]
    pipelines = [one for name, one in telemetryparts.COSTS.items() if name in parts]
    blocks = telemetrycost.plan_of(context).blocks_max if pipelines else 0
    context.progress.begin("telemetry", blocks + 2 * ("exact" in parts) + 2 * len(faults))
    samples, times = telemetryparts.kept(context.output, parts)
    samples += telemetrycost.run(context, pipelines)
    samples += telemetryloss.run(context, faults, is_exact="exact" in parts)
    summary = [*telemetrycost.summarise(samples), *telemetryloss.summarise(samples)]
    claims = [*telemetrycost.claims(summary), *telemetryloss.claims(summary)]
    parameters: Row = {
        "clients": telemetryserver.CLIENTS,
        "keys": telemetryserver.KEYS,
        "reads %": telemetryserver.READS_PERCENT,
        "blocks": telemetryparts.blocks(samples),
        "batch timeout ms": telemetryserver.BATCH_TIMEOUT_MS,
        "metrics every s": telemetryserver.METRICS_INTERVAL_S,
    }
    commit = servers.commit() if context.subject.name == "ferrite-py" else ""
    parameters |= times | telemetryparts.taken(context, parts, commit)
    return Outcome("telemetry", parameters, samples, summary, claims, NOTES)


if __name__ == "__main__":
    sys.exit(harness.main(run))
