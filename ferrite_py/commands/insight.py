"""What the server finds out about its load by sampling: MRC and HOTKEYS, and their INFO."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote_from_bytes

from ferrite_py._native import Server
from ferrite_py.commands.facts import Facts, Fields, facts_of
from ferrite_py.commands.registry import Call, command
from ferrite_py.commands.reply import CommandError, Reply, text_of
from ferrite_py.commands.tiers import IN_MEMORY, Tiers
from ferrite_py.config_kinds import BadValueError, Integer, Size

MULTIPLES = (0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 3, 4)
"""Sizes that are told unless others are asked for, as multiples of what is in memory now."""

MORE = 1.25
"""The multiple whose gain is told."""

STACK = (
    ("mutable", ("mutable",)),
    ("read_only", ("sealed", "read_only")),
    ("read_cache", ("read_cache",)),
)
"""Tiers of the curve, those of telemetry, the uppermost first; and of which in INFO they are."""

_SIZE = Size(1, 1 << 60)
_SIZES_MAX = 128


@dataclass(frozen=True, slots=True)
class TierShare:
    """What a tier in memory answers, if it holds what was used next after those above it."""

    name: str
    size: int
    """Bytes of its live records."""
    hit_ratio: float
    """The share of all reads."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of the hit-ratio curve: of all reads, the share that a cache of that size answers."""

    points: tuple[tuple[int, float], ...]
    """Bytes, and the share."""
    tiers: tuple[TierShare, ...]
    """Those in memory that hold something, the uppermost first."""
    reads: float
    """Reads that it was made from, less what has decayed."""
    seconds: float
    """For which they were counted, decayed like them."""
    rate: float
    """The share of keys that is sampled."""
    keys: int
    """How many they are now."""

    def reads_saved(self, less: int, more: int) -> float:
        """Reads per second that the point `more` answers and the point `less` does not."""
        gain = self.points[more][1] - self.points[less][1]
        return max(0.0, gain) * self.reads / self.seconds if self.seconds else 0.0


def curve_of(native: Server, tiers: Tiers, sizes: Sequence[int]) -> Curve | None:
    """The curve at these sizes, and what it says of the tiers; None when it is turned off."""
    held = [(name, sum(int(tiers[part]["live_bytes"]) for part in parts)) for name, parts in STACK]
    held = [(name, size) for name, size in held if size]
    ends = list(itertools.accumulate(size for _, size in held))
    found = native.curve([*sizes, *ends])
    if found is None:
        return None
    ratios, up_to = found["ratios"][: len(sizes)], found["ratios"][len(sizes) :]
    steps = itertools.pairwise([0.0, *up_to])
    shares = tuple(
        TierShare(name, size, ratio - above)
        for (name, size), (above, ratio) in zip(held, steps, strict=True)
    )
    points = tuple(zip(sizes, ratios, strict=True))
    return Curve(points, shares, found["reads"], found["seconds"], found["rate"], found["keys"])


def data_in_memory(tiers: Tiers) -> int:
    """Bytes of live records in the tiers that are memory; records are what the curve counts."""
    return sum(int(tiers[name]["live_bytes"]) for name in IN_MEMORY)


def mrc_fields(facts: Facts) -> Fields:
    """INFO mrc: the curve at multiples of the memory in use, by tier, and what more would save."""
    memory = data_in_memory(facts.tiers)
    sizes = [int(memory * multiple) for multiple in MULTIPLES]
    curve = curve_of(facts.services.native, facts.tiers, sizes)
    if curve is None:
        return [("mrc_enabled", 0)]
    now, more = MULTIPLES.index(1), MULTIPLES.index(MORE)
    saved = f"{curve.reads_saved(now, more):.2f}"
    is_tiered = facts.tiers["tiered"]
    return [
        ("mrc_enabled", 1),
        ("mrc_reads", round(curve.reads)),
        ("mrc_seconds", round(curve.seconds)),
        ("mrc_sampled_keys", curve.keys),
        ("mrc_sampling_rate", f"{curve.rate:.6f}"),
        ("mrc_memory", memory),
        *(
            (f"mrc_{multiple:g}x", f"bytes={size},hit_ratio={ratio:.4f}")
            for multiple, (size, ratio) in zip(MULTIPLES, curve.points, strict=True)
        ),
        *((f"mrc_tier_{one.name}_hit_ratio", f"{one.hit_ratio:.4f}") for one in curve.tiers),
        ("mrc_more_bytes", sizes[more] - memory),
        ("mrc_more_misses_saved_per_sec", "0.00" if is_tiered else saved),
        ("mrc_more_disk_reads_saved_per_sec", saved if is_tiered else "0.00"),
    ]


@command(
    "mrc",
    arity=-1,
    group="server",
    since="7.2.0",
    complexity="O(N) with N the number of sizes",
    summary="Answers which share of reads caches of given sizes would have answered.",
    syntax="[size [size ...]]",
    flags=("loading", "stale"),
    tips=("nondeterministic_output",),
)
async def mrc(call: Call) -> Reply:
    """Answer points of the hit-ratio curve: at the sizes asked for, or at multiples of memory.

    And for each tier in memory its bytes and the share of all reads that it answers.
    """
    facts = facts_of(call.services)
    memory = data_in_memory(facts.tiers)
    sizes = [int(memory * multiple) for multiple in MULTIPLES]
    if len(call.args) > 1:
        sizes = _read_sizes([text_of(word) for word in call.args[1:]])
    curve = curve_of(call.services.native, facts.tiers, sizes)
    if curve is None:
        raise CommandError("ERR the hit-ratio curve is off; CONFIG SET insight-curve yes")
    return {
        "memory": memory,
        "reads": round(curve.reads),
        "seconds": round(curve.seconds),
        "sampled_keys": curve.keys,
        "sampling_rate": curve.rate,
        "curve": [[size, ratio] for size, ratio in curve.points],
        "tiers": {one.name: [one.size, one.hit_ratio] for one in curve.tiers},
    }


def _read_sizes(words: list[str]) -> list[int]:
    if len(words) > _SIZES_MAX:
        raise CommandError(f"ERR at most {_SIZES_MAX} sizes")
    try:
        return [_SIZE.parse(word, 0) for word in words]
    except BadValueError as error:
        raise CommandError("ERR a size must be a number of bytes, or text such as 64mb") from error


ORDERS = ("rate", "bytes", "cpu", "disk")
"""What keys are hot by, in the native server's order."""

_COUNT = Integer(1, 128)
_TOLD = 10
_PLAIN = ":/|.;#@*-_+!$&'()<>?[]^`{}~"
"""What stands for itself in INFO; what separates its parts does not."""


@dataclass(frozen=True, slots=True)
class HotKey:
    """A key that takes much of something, by the name that may be shown."""

    name: str
    db: int
    per_second: float
    error: float
    """By which the figure may be too high."""


def hot_keys_of(
    native: Server, by: str, count: int, mode: str, *, sure: bool = False
) -> list[HotKey] | None:
    """The `count` hottest keys by one of ORDERS; None when they are off.

    Names are as telemetry.record_keys (`mode`) allows: those of the hottest keys that look the same
    are one, and with "off" there are none. With `sure`, only those whose figure is greater than
    its error.
    """
    found = native.hot_keys(ORDERS.index(by))
    if found is None:
        return None
    merged: dict[tuple[str, int], HotKey] = {}
    for db, key, _, per_second, error in found[:count]:
        name = native.shown_name(key, mode)
        if name is None or (sure and per_second <= error):
            continue
        text = name.decode("utf-8", "backslashreplace")
        had = merged.get((text, db), HotKey(text, db, 0.0, 0.0))
        merged[text, db] = HotKey(text, db, had.per_second + per_second, had.error + error)
    return list(merged.values())


def hot_key_fields(facts: Facts) -> Fields:
    """INFO hotkeys: the first of each order; names as telemetry.record_keys lets them be shown."""
    native, config = facts.services.native, facts.config
    fields: Fields = []
    for by in ORDERS:
        found = hot_keys_of(native, by, _TOLD, config.telemetry.record_keys)
        if found is None:
            return [("hotkeys_enabled", 0)]
        fields += [(f"hotkey_{by}_{i}", _hot_line(one)) for i, one in enumerate(found)]
    return [
        ("hotkeys_enabled", 1),
        ("hotkeys_half_life", config.insight.hot_keys_half_life),
        *fields,
    ]


def _hot_line(one: HotKey) -> str:
    name = quote_from_bytes(one.name.encode(), _PLAIN)
    return f"key={name},db={one.db},per_second={one.per_second:.3f},error={one.error:.3f}"


@command(
    "hotkeys",
    arity=-1,
    group="server",
    since="7.2.0",
    complexity="O(1)",
    summary="Answers the keys that take most uses, bytes, processor time or reads from disk.",
    syntax="[BY <RATE | BYTES | CPU | DISK>] [COUNT count]",
    flags=("loading", "stale"),
    categories=("dangerous",),
    tips=("nondeterministic_output",),
)
async def hotkeys(call: Call) -> Reply:
    """Answer a map for each key: how much of it per second, and the error at most."""
    words = [text_of(word) for word in call.args[1:]]
    if len(words) % 2:
        raise CommandError("ERR syntax error")
    by, count = "rate", 10
    for name, value in zip(words[::2], words[1::2], strict=True):
        if name.lower() == "by" and value.lower() in ORDERS:
            by = value.lower()
        elif name.lower() == "count":
            count = _read_count(value)
        else:
            raise CommandError("ERR syntax error")
    found = call.services.native.hot_keys(ORDERS.index(by))
    if found is None:
        raise CommandError("ERR hot keys are off; CONFIG SET insight-hot-keys yes")
    return [
        {"key": key, "cut": cut, "db": db, "per_second": per_second, "error": error}
        for db, key, cut, per_second, error in found[:count]
    ]


def _read_count(word: str) -> int:
    try:
        return _COUNT.parse(word, 0)
    except BadValueError as error:
        raise CommandError("ERR COUNT must be from 1 to 128") from error
