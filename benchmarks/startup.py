"""Start-up: the time from starting a server to its first answer, and the memory of an empty one."""

from __future__ import annotations

import sys
import time

from benchmarks import harness, servers, stats
from benchmarks.harness import Context, Outcome, Row

SETTLE_S = 0.2


def run(context: Context) -> Outcome:
    """Start every server several times, in turn."""
    kinds = [*context.rivals, *context.others]
    rounds = context.pick(3, 7, 15)
    context.progress.begin("startup", rounds)
    samples: list[Row] = []
    for number in range(rounds):
        context.progress.step(f"round {number + 1}")
        for kind in kinds:
            with servers.running(kind, context.cores.server) as server:
                time.sleep(SETTLE_S)
                samples.append(
                    {
                        "round": number,
                        "server": kind.name,
                        "start_up_ms": server.start_up_ms,
                        "empty_bytes": server.anonymous_bytes(),
                    }
                )
    summary: list[Row] = []
    for kind in kinds:
        rows = [row for row in samples if row["server"] == kind.name]
        times = stats.spread([float(str(row["start_up_ms"])) for row in rows])
        empty = stats.median([float(str(row["empty_bytes"])) for row in rows])
        summary.append(
            {
                "server": kind.name,
                "start_up_ms": times.median,
                "start_up_ms_low": times.low,
                "start_up_ms_high": times.high,
                "empty_mib": empty / 1024**2,
            }
        )
    return Outcome("startup", {"rounds": rounds}, samples, summary)


if __name__ == "__main__":
    sys.exit(harness.main(run))
