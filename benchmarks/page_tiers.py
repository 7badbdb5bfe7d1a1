"""The tables of the benchmark of data larger than memory."""

from benchmarks.columns import MAX, P50, P99, P999, RATE, SERVER, Column, Part

TIERS = (
    Part(
        "restart",
        "Load in order, clean stop, start, and every key read back in no order of theirs.",
        (
            Column("keys", "keys", ",d"),
            Column("load_s", "load s", ".1f"),
            Column("load_per_second", "SET/s", ",.0f"),
            Column("load_max_us", "longest µs", ",.0f"),
            Column("stop_s", "stop s", ".2f"),
            Column("start_s", "start s", ".2f"),
            Column("keys_after", "keys after", ",d"),
            Column("read_per_second", "GET/s", ",.0f"),
            Column("read_cpu_us", "CPU µs per GET", ".1f"),
            Column("missing", "missing", ",d"),
            Column("wrong", "wrong", ",d"),
        ),
    ),
    Part(
        "memory",
        "Resident memory by phase, sampled every 50 ms, at its highest; files are mapped pages, "
        "programs and libraries included.",
        (
            Column("phase", "phase"),
            Column("resident_mib", "resident MiB", ".1f"),
            Column("anonymous_mib", "of it anonymous", ".1f"),
            Column("file_mib", "files", ".1f"),
            Column("ratio", "× limit", ".2f"),
        ),
    ),
    Part(
        "depth",
        "Zipf(0.99) reads, one request in flight on each connection, and enough connections to "
        "keep a disk queue of the given bound full. fio reads 4 KiB from the same files, past the "
        "page cache, at the same depth, just before.",
        (
            Column("depth", "disk queue", "d"),
            Column("connections", "connections", "d"),
            RATE,
            Column("hit_ratio", "from memory", ".1%"),
            Column("misses_per_second", "disk reads/s", ",.0f"),
            Column("fio_per_second", "fio, reads/s", ",.0f"),
            Column("x_fio", "× fio", ".2f"),
            Column("queue", "waiting and in flight", ".1f"),
            Column("core_share", "server's core", ".0%"),
            Column("others_share", "others on it", ".0%"),
            Column("limit", "limit"),
            Column("cpu_us_per_op", "CPU µs per GET", ".1f"),
            P50,
            P99,
        ),
    ),
    Part(
        "hot",
        "A client with connections of its own that reads 1,000 hot keys at 2,000 requests/s.",
        (
            Column("state", "state"),
            Column("other_per_second", "other requests/s", ",.0f"),
            Column("disk_reads_per_second", "disk reads/s", ",.0f"),
            Column("core_share", "server's core", ".0%"),
            P50,
            P99,
            Column("x_alone", "× alone", ".2f"),
            P999,
            MAX,
        ),
    ),
    Part(
        "cost",
        "Server CPU per GET of 1 KiB by where the key is; from disk each key is read once.",
        (
            Column("tier", "tier"),
            Column("pipeline", "pipeline", "d"),
            Column("cpu_us_per_op", "CPU µs per GET", ".2f"),
            Column("low", "lowest", ".2f"),
            Column("high", "highest", ".2f"),
            Column("x_mutable", "× mutable", ".2f"),
            RATE,
            P99,
        ),
    ),
    Part(
        "requests",
        "The same Zipf(0.99) requests, 50 connections. redis-server has the same limit of memory "
        "and evicts (allkeys-lru); what it misses is written to it again, and 1 ms is charged for "
        "it, computed, one after the other. The tiered server has every key; the last column "
        "charges its disk reads, which are in its seconds already, as if they were misses.",
        (
            SERVER,
            Column("requests", "requests", ",d"),
            Column("hit_ratio", "answered", ".1%"),
            Column("memory_ratio", "from memory", ".1%"),
            Column("disk_reads", "disk reads", ",.0f"),
            Column("misses", "misses", ",.0f"),
            Column("seconds", "s", ",.1f"),
            Column("charged_s", "s, misses charged", ",.1f"),
            Column("all_charged_s", "s, disk reads charged too", ",.1f"),
        ),
    ),
    Part(
        "updates",
        "Random updates at a fixed rate; latency counts from the intended send time.",
        (
            Column("seconds", "s", ",.0f"),
            Column("ops_per_second", "SET/s", ",.0f"),
            Column("write_amplification", "write amplification", ".2f"),
            Column("space_amplification", "space amplification, worst", ".2f"),
            Column("space_amplification_last", "last", ".2f"),
            Column("cpu_us_per_op", "CPU µs per SET", ".1f"),
            Column("engine_step_max_us", "longest step µs", ",.0f"),
            Column("engine_step_max_cpu_us", "of processor time", ",.0f"),
            P50,
            P99,
            P999,
            MAX,
        ),
    ),
)
