"""Traces for the simulated read cache, made from published statistics of key-value stores.

Every load is reads with 5 % of writes. A read of a key that does not exist is followed by a write
of it (the simulator does that, see readcache.c). Time is the number of the operation; a whole trace
is taken to last a week.

* zipf: Zipf(0.99) over all keys, which is YCSB's default (Cooper et al., SoCC 2010).
* scan: the same; beside it, at every tenth of the trace, a sequential scan of a tenth of the keys
  in the order they were written, one read of it for one of the rest.
* one-hit: Zipf(0.9) over a third of the keys; 15 % of the operations ask for a key that is never
  asked for again, and all together most keys are asked for once. In 6,594 traces the median share
  of such keys is 26 % of a whole trace and 72 % of a window with a tenth of its keys (Yang et al.,
  "FIFO queues are all you need for cache eviction", SOSP 2023).
* shift: Zipf(0.99) whose hot keys change: twenty times, a quarter of the most asked tenth of keys
  changes places with keys from anywhere.
* write-heavy: as zipf with 30 % of writes; kept apart from the four above.

Sizes of zipf, scan and write-heavy are those of ETC (Atikoglu et al., SIGMETRICS 2012): keys are
generalised extreme value (location 30.7984, scale 8.20449, shape 0.078688), values generalised
Pareto (scale 214.476, shape 0.348238). Sizes of one-hit and shift follow Twitter's clusters (Yang
et al., OSDI 2020): key and value together have the median of 230 bytes; that they are log-normal,
and their spread (sigma 1.0), is our choice. Records are cut at 4 KiB. An update keeps the size.

Deadlines follow the same paper's clusters: a quarter under 20 minutes, a quarter over two days, the
rest between; log-uniform within each part, from one minute to two weeks, is our choice, and so is
the share of keys that have one: a quarter (zipf, scan, write-heavy), half (shift), all (one-hit).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

OPERATION = np.dtype([("key", "<u4"), ("size_and_kind", "<u4"), ("ttl", "<u4")])
WRITE_BIT = 1 << 31
RECORD_HEAD, DEADLINE_BYTES, ALIGN = 8, 8, 8
RECORD_MAX = 4096
WRITE_SHARE = 0.05
WEEK_MINUTES = 7 * 24 * 60

Operations = NDArray[np.void]
Keys = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Trace:
    """A load to replay.

    Attributes:
        operations: OPERATION records.
        warm: how many of them, from the first, are not counted.
        data_bytes: size of one record of every key in the trace.
        mean_bytes: of a record.
        once_share: the share of the keys read that are read once.
    """

    operations: Operations
    warm: int
    data_bytes: int
    mean_bytes: float
    once_share: float


def zipf_ranks(
    random: np.random.Generator, ranks: int, exponent: float, count: int
) -> NDArray[np.int64]:
    """Return `count` ranks from 0, with probability proportional to 1 / (rank + 1)^exponent."""
    weights = np.cumsum(1.0 / np.arange(1, ranks + 1) ** exponent)
    return np.asarray(np.searchsorted(weights, random.random(count) * weights[-1]), dtype=np.int64)


def etc_sizes(random: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Return bytes of key and value as in Facebook's ETC."""
    shape = 0.078688
    key = 30.7984 + 8.20449 * ((-np.log(random.random(count))) ** -shape - 1) / shape
    shape = 0.348238
    value = 214.476 * ((1 - random.random(count)) ** -shape - 1) / shape
    return (np.clip(key, 1, 250) + value).astype(np.int64)


def twitter_sizes(random: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Return bytes of key and value as in Twitter's clusters."""
    return np.asarray(random.lognormal(np.log(230.0), 1.0, count)).astype(np.int64)


def deadlines(
    random: np.random.Generator, count: int, share: float, operations: int
) -> NDArray[np.int64]:
    """Return the time to live of `count` keys in operations, 0 for those that have none."""
    edges = np.log(np.array([1.0, 20.0, 2 * 24 * 60.0, 2.0 * WEEK_MINUTES]))
    part = np.searchsorted(np.array([0.25, 0.75]), random.random(count))
    minutes = np.exp(edges[part] + random.random(count) * (edges[part + 1] - edges[part]))
    ttl = np.maximum(1, minutes * operations / WEEK_MINUTES).astype(np.int64)
    return np.where(random.random(count) < share, ttl, 0)


def assemble(
    random: np.random.Generator,
    filled: Keys,
    asked: Keys,
    sizes: NDArray[np.int64],
    ttl: NDArray[np.int64],
    write_share: float,
    writable: NDArray[np.bool_] | None = None,
) -> Trace:
    """Return the trace that writes `filled`, then asks for `asked`, of which some are writes.

    Args:
        random: where writes are drawn from.
        filled: keys in the order in which they are written first.
        asked: keys in order.
        sizes: bytes of key and value, by key.
        ttl: operations, by key.
        write_share: the share of `asked` that are writes.
        writable: which of `asked` may be writes; all by default.
    """
    record = RECORD_HEAD + np.where(ttl > 0, DEADLINE_BYTES, 0) + sizes
    record = np.minimum((record + ALIGN - 1) // ALIGN * ALIGN, RECORD_MAX)
    writes = random.random(len(asked)) < write_share
    if writable is not None:
        writes &= writable
    keys = np.concatenate([filled, asked])
    written = np.concatenate([np.ones(len(filled), dtype=bool), writes])
    operations = np.empty(len(keys), dtype=OPERATION)
    operations["key"] = keys
    operations["size_and_kind"] = record[keys] + np.where(written, WRITE_BIT, 0)
    operations["ttl"] = ttl[keys]
    present = np.unique(keys)
    _, times = np.unique(asked[~writes], return_counts=True)
    return Trace(
        operations=operations,
        warm=len(filled) + len(asked) // 4,
        data_bytes=int(record[present].sum()),
        mean_bytes=float(record[present].mean()),
        once_share=float((times == 1).mean()),
    )


def zipf(random: np.random.Generator, scale: float, write_share: float = WRITE_SHARE) -> Trace:
    """Return the load "zipf": 500,000 keys and 10 M operations at scale 1."""
    keys, count = int(500_000 * scale), int(10_000_000 * scale)
    by_rank = random.permutation(keys)
    asked = by_rank[zipf_ranks(random, keys, 0.99, count)]
    sizes, ttl = etc_sizes(random, keys), deadlines(random, keys, 0.25, count)
    return assemble(random, np.arange(keys), asked, sizes, ttl, write_share)


def scan(random: np.random.Generator, scale: float) -> Trace:
    """Return the load "scan": as zipf, with nine scans of a tenth of the keys each."""
    keys, count = int(500_000 * scale), int(10_000_000 * scale)
    by_rank = random.permutation(keys)
    asked = by_rank[zipf_ranks(random, keys, 0.99, count)]
    writable = np.ones(count, dtype=bool)
    length = keys // 10
    for number in range(1, 10):
        begin = number * (count // 10)
        places = np.arange(begin, begin + 2 * length, 2)
        asked[places] = np.arange(length) + random.integers(keys - length)
        writable[places] = False
    sizes, ttl = etc_sizes(random, keys), deadlines(random, keys, 0.25, count)
    return assemble(random, np.arange(keys), asked, sizes, ttl, WRITE_SHARE, writable)


def one_hit(random: np.random.Generator, scale: float) -> Trace:
    """Return the load "one-hit": 10 M operations on 750,000 keys and 1.5 M that come once."""
    keys, count = int(750_000 * scale), int(10_000_000 * scale)
    once = random.random(count) < 0.15
    strangers = int(once.sum())
    asked = random.permutation(keys)[zipf_ranks(random, keys, 0.9, count)]
    asked[once] = keys + np.arange(strangers)
    sizes = twitter_sizes(random, keys + strangers)
    ttl = deadlines(random, keys + strangers, 1.0, count)
    nothing = np.empty(0, dtype=np.int64)
    return assemble(random, nothing, asked, sizes, ttl, WRITE_SHARE, ~once)


def shift(random: np.random.Generator, scale: float) -> Trace:
    """Return the load "shift": 500,000 keys and 10 M operations, twenty times of hot keys."""
    keys, count, times = int(500_000 * scale), int(10_000_000 * scale), 20
    by_rank = random.permutation(keys)
    ranks = zipf_ranks(random, keys, 0.99, count)
    parts = []
    for part in np.array_split(ranks, times):
        parts.append(by_rank[part])
        hot = random.choice(keys // 10, keys // 40, replace=False)
        other = random.choice(keys, keys // 40, replace=False)
        for a, b in zip(hot, other, strict=True):
            by_rank[a], by_rank[b] = by_rank[b], by_rank[a]
    sizes, ttl = twitter_sizes(random, keys), deadlines(random, keys, 0.5, count)
    filled = random.permutation(keys)
    return assemble(random, filled, np.concatenate(parts), sizes, ttl, WRITE_SHARE)


def write_heavy(random: np.random.Generator, scale: float) -> Trace:
    """Return the load "write-heavy": the OSDI 2020 paper calls a load so from 30 % of writes."""
    return zipf(random, scale, 0.3)


LOADS: dict[str, Callable[[np.random.Generator, float], Trace]] = {
    "zipf": zipf,
    "scan": scan,
    "one-hit": one_hit,
    "shift": shift,
    "write-heavy": write_heavy,
}


def make(name: str, scale: float, seed: int) -> Trace:
    """Return a load of LOADS; the same arguments give the same trace."""
    return LOADS[name](np.random.default_rng([seed, list(LOADS).index(name)]), scale)
