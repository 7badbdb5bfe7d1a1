"""Memory per key: millions of 16-byte keys with 64-byte values, with and without deadlines.

Resident anonymous memory, the empty process subtracted, index included; 80 bytes of each key are
payload.
"""

from __future__ import annotations

import sys
import time

from benchmarks import generators, harness, servers, stats
from benchmarks.generators import Load
from benchmarks.harness import Claim, Context, Outcome, Row
from benchmarks.servers import BenchmarkError, Kind

PAYLOAD_BYTES = 16 + 64
BOUNDS = {"without": 0.62, "with": 0.54}
TTL_MIN_MS, TTL_MAX_MS = 3_600_000, 7_200_000
EMPTY_SETTLE_S = 0.5


def measure(kind: Kind, context: Context, keys: int, deadlines: bool) -> Row:
    """Fill one fresh server with `keys` keys, and weigh it.

    Raises:
        BenchmarkError: it does not hold all the keys afterwards.
    """
    settings = servers.Settings(memory_mb=keys * 256 // 1024**2 + 512)
    fill = Load(
        pipeline=64,
        keys=keys,
        ttl_min_ms=TTL_MIN_MS if deadlines else 0,
        ttl_max_ms=TTL_MAX_MS if deadlines else 0,
        prefill=True,
    )
    with servers.running(kind, context.cores.server, settings) as server:
        time.sleep(EMPTY_SETTLE_S)
        empty, empty_used = server.anonymous_bytes(), server.used_memory()
        generators.run_load(server, fill, context.cores.generator)
        if server.key_count() != keys:
            raise BenchmarkError(f"{kind.name} holds {server.key_count()} of {keys} keys")
        full = server.settled_anonymous_bytes()
        return {
            "server": kind.name,
            "deadlines": "with" if deadlines else "without",
            "keys": keys,
            "empty_bytes": empty,
            "full_bytes": full,
            "bytes_per_key": (full - empty) / keys,
            "used_memory_per_key": (server.used_memory() - empty_used) / keys,
        }


def run(context: Context) -> Outcome:
    """Weigh every server, with and without deadlines."""
    keys = context.pick(500_000, 5_000_000, 5_000_000)
    rounds = context.pick(1, 1, 3)
    kinds = [*context.rivals, *context.others]
    context.progress.begin("memory", rounds * len(kinds) * 2)
    samples: list[Row] = []
    for number in range(rounds):
        for deadlines in (False, True):
            for kind in kinds:
                context.progress.step(f"{kind.name}, {'with' if deadlines else 'without'} TTL")
                samples.append({"round": number, **measure(kind, context, keys, deadlines)})

    summary: list[Row] = []
    medians: dict[tuple[str, str], float] = {}
    for name in (kind.name for kind in kinds):
        for deadlines_text in BOUNDS:
            rows = [r for r in samples if (r["server"], r["deadlines"]) == (name, deadlines_text)]
            middle = stats.median([float(str(row["bytes_per_key"])) for row in rows])
            medians[name, deadlines_text] = middle
            summary.append(
                {
                    "server": name,
                    "deadlines": deadlines_text,
                    "keys": keys,
                    "bytes_per_key": middle,
                    "overhead_per_key": middle - PAYLOAD_BYTES,
                    "ratio": middle / medians[context.reference.name, deadlines_text],
                }
            )
    claims = [
        Claim(
            f"memory per key, {deadlines_text} TTL, {keys:,} keys",
            medians[context.subject.name, deadlines_text]
            / medians[context.reference.name, deadlines_text],
            bound,
            "× redis-server",
        )
        for deadlines_text, bound in BOUNDS.items()
    ]
    return Outcome("memory", {"keys": keys, "rounds": rounds}, samples, summary, claims)


if __name__ == "__main__":
    sys.exit(harness.main(run))
