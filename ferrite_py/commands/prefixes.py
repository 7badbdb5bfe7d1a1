"""PREFIXES and INFO prefixes: what is done with keys, by their prefix."""

from collections.abc import Callable
from math import ceil
from urllib.parse import quote_from_bytes

from ferrite_py.commands.facts import Facts, Fields
from ferrite_py.commands.registry import Call, command
from ferrite_py.commands.reply import OK, CommandError, Reply, text_of
from ferrite_py.config_kinds import BadValueError, Integer
from ferrite_py.ledger import (
    REASONS,
    TIERS,
    Ledger,
    Prefix,
    ledger_of,
    quantile_seconds,
    shown_ledger,
)

_COUNT = Integer(1, 256)
_PLAIN = ":/|.;#@*-_+!$&'()<>?[]^`{}~"
"""What stands for itself in INFO; what separates its parts does not."""

ORDERS: dict[str, Callable[[Prefix], float]] = {
    "uses": lambda one: one.uses,
    "hits": lambda one: one.all_hits,
    "misses": lambda one: one.misses,
    "bytes": lambda one: one.all_bytes,
    "disk": lambda one: one.disk_reads,
}


@command(
    "prefixes",
    arity=-1,
    group="server",
    since="7.2.0",
    complexity="O(N log N) with N the number of prefixes in the ledger",
    summary="Answers what is done with keys, by their prefix.",
    syntax="[RESET | [BY <USES | HITS | MISSES | BYTES | DISK>] [COUNT count]]",
    flags=("admin", "loading", "stale"),
    categories=("dangerous",),
    tips=("nondeterministic_output",),
)
async def prefixes(call: Call) -> Reply:
    """Answer a map for each of the prefixes with the most, or begin the ledger anew."""
    words = [text_of(word).lower() for word in call.args[1:]]
    if words == ["reset"]:
        _ledger(call)
        call.services.native.reset_prefixes()
        return OK
    by, count = _read(words)
    ledger = _ledger(call)
    found = sorted(ledger.prefixes, key=ORDERS[by], reverse=True)
    return [_answer(one, ledger) for one in found[:count]]


def _ledger(call: Call) -> Ledger:
    found = ledger_of(call.services.native)
    if found is None:
        raise CommandError("ERR the ledger of prefixes is off; CONFIG SET insight-prefixes yes")
    return found


def _read(words: list[str]) -> tuple[str, int]:
    if len(words) % 2:
        raise CommandError("ERR syntax error")
    by, count = "uses", 10
    for name, value in zip(words[::2], words[1::2], strict=True):
        if name == "by" and value in ORDERS:
            by = value
        elif name == "count":
            try:
                count = _COUNT.parse(value, 0)
            except BadValueError as error:
                raise CommandError("ERR COUNT must be from 1 to 256") from error
        else:
            raise CommandError("ERR syntax error")
    return by, count


def _answer(one: Prefix, ledger: Ledger) -> Reply:
    p99 = quantile_seconds(one.durations, 0.99)
    by_tier: dict[str, Reply] = dict(zip(TIERS, map(round, one.hits), strict=True))
    by_reason: dict[str, Reply] = dict(zip(REASONS, map(round, one.misses_by), strict=True))
    return {
        "prefix": one.name,
        "cut": one.is_cut,
        "uses": round(one.uses),
        "error": round(one.error),
        "sampling_error": round(one.sampling_error),
        "hits": round(one.all_hits),
        "hits_by_tier": by_tier,
        "misses": round(one.misses),
        "misses_by_reason": by_reason,
        "bytes_read": round(one.bytes_read),
        "bytes_read_by_tier": dict(zip(TIERS, map(round, one.bytes_read_by), strict=True)),
        "bytes_written": round(one.bytes_written),
        "bytes_by_tier": dict(zip(TIERS, map(round, one.bytes_by), strict=True)),
        "bytes_error_by_tier": dict(zip(TIERS, map(ceil, one.bytes_error_by), strict=True)),
        "disk_known": ledger.disk_known,
        "disk_reads": round(one.disk_reads),
        "p99_us": None if p99 is None else p99 * 1e6,
    }


def prefix_fields(facts: Facts) -> Fields:
    """INFO prefixes: the whole ledger; names as telemetry.record_keys lets them be shown."""
    shown = shown_ledger(facts.services.native, facts.config.telemetry.record_keys)
    if shown is None:
        return [("prefixes_enabled", 0)]
    found, by_name = shown
    return [
        ("prefixes_enabled", 1),
        ("prefixes_count", len(found.prefixes)),
        ("prefixes_room", found.room),
        ("prefixes_seconds", round(found.seconds)),
        ("prefixes_uses", round(found.uses)),
        ("prefixes_error", round(found.error)),
        ("prefixes_sampling_interval", found.interval),
        ("prefixes_disk_known", f"{found.disk_known:.4f}"),
        *((f"prefix_{i}", _line(name, one)) for i, (name, one) in enumerate(by_name.items())),
    ]


def _line(name: str, one: Prefix) -> str:
    p99 = quantile_seconds(one.durations, 0.99)
    parts: list[tuple[str, object]] = [
        ("name", quote_from_bytes(name.encode(), _PLAIN)),
        ("uses", round(one.uses)),
        ("error", round(one.error)),
        ("sampling_error", round(one.sampling_error)),
        ("hits", round(one.all_hits)),
        *((f"hits_{tier}", round(hits)) for tier, hits in zip(TIERS, one.hits, strict=True)),
        ("misses", round(one.misses)),
        *((f"misses_{why}", round(n)) for why, n in zip(REASONS, one.misses_by, strict=True)),
        ("bytes_read", round(one.bytes_read)),
        *(
            (f"bytes_read_{tier}", round(n))
            for tier, n in zip(TIERS, one.bytes_read_by, strict=True)
        ),
        ("bytes_written", round(one.bytes_written)),
        *((f"bytes_{tier}", round(n)) for tier, n in zip(TIERS, one.bytes_by, strict=True)),
        *(
            (f"bytes_error_{tier}", ceil(n))
            for tier, n in zip(TIERS, one.bytes_error_by, strict=True)
        ),
        ("disk_reads", round(one.disk_reads)),
        *([] if p99 is None else [("p99_us", f"{p99 * 1e6:.1f}")]),
    ]
    return ",".join(f"{key}={value}" for key, value in parts)
