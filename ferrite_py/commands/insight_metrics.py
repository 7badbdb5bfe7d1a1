"""Metrics of what the server finds out about its load: prefixes, hot keys, the hit-ratio curve.

Names are shown as `telemetry.record_keys` allows; there are never more of them than the ledger has
room for, and HOT_KEYS for each order.
"""

from collections.abc import Iterable, Iterator

from ferrite_py.commands.insight import MORE, ORDERS, curve_of, data_in_memory, hot_keys_of
from ferrite_py.config import Config
from ferrite_py.ledger import REASONS, TIERS, Prefix, ledger_of, shown
from ferrite_py.measure import Labels, Samples, Source, Value
from ferrite_py.services import Services

HOT_KEYS = 10
"""Of each order so many are told."""

_HOT_ROWS = {
    "rate": "HOTKEY_USES",
    "bytes": "HOTKEY_BYTES",
    "cpu": "HOTKEY_CPU",
    "disk": "HOTKEY_DISK_READS",
}
_MICROSECOND = 1e-6

_Told = Iterator[tuple[str, Samples]]


def insight_source(services: Services) -> Source:
    """What gives the values of these metrics, while each part is on."""

    def source() -> Iterable[tuple[str, Samples]]:
        config = services.settings.config
        yield from _prefixes(services, config)
        yield from _hot_keys(services, config)
        yield from _curve(services)

    return source


def _prefixes(services: Services, config: Config) -> _Told:
    ledger = ledger_of(services.native)
    if ledger is None:
        return
    found = shown(services.native, ledger.prefixes, config.telemetry.record_keys).items()
    yield "PREFIX_USES", [((name,), round(one.uses)) for name, one in found]
    yield "PREFIX_ERROR", [((name,), round(one.error)) for name, one in found]
    yield "PREFIX_HITS", [sample for name, one in found for sample in _hits(name, one)]
    misses = [
        sample
        for name, one in found
        for sample in _misses(name, one, told=config.insight.miss_reasons)
    ]
    yield "PREFIX_MISSES", misses
    ways: list[tuple[Labels, Value]] = []
    for name, one in found:
        ways.append(((name, "read"), round(one.bytes_read)))
        ways.append(((name, "written"), round(one.bytes_written)))
    yield "PREFIX_BYTES", ways
    yield "PREFIX_DISK_READS", [((name,), round(one.disk_reads)) for name, one in found]
    yield "PREFIX_DURATION", [((name,), one.durations) for name, one in found]


def _hits(name: str, one: Prefix) -> Iterator[tuple[Labels, Value]]:
    """By tier; a store in memory has but one."""
    for tier, hits in zip(TIERS, one.hits, strict=True):
        if hits or tier == TIERS[0]:
            yield (name, tier), round(hits)


def _misses(name: str, one: Prefix, *, told: bool) -> Iterator[tuple[Labels, Value]]:
    for reason, misses in zip(REASONS, one.misses_by, strict=True):
        if misses or told:
            yield (name, reason), round(misses)
    unexplained = round(one.unexplained)
    if unexplained:
        yield (name, "unknown"), unexplained


def _hot_keys(services: Services, config: Config) -> _Told:
    for by in ORDERS:
        found = hot_keys_of(services.native, by, HOT_KEYS, config.telemetry.record_keys)
        if found is None:
            return
        scale = _MICROSECOND if by == "cpu" else 1
        yield (
            _HOT_ROWS[by],
            [((one.name, str(one.db)), one.per_second * scale) for one in found],
        )


def _curve(services: Services) -> _Told:
    tiers = services.native.tiers()
    memory = data_in_memory(tiers)
    sizes = (memory, int(memory * MORE))
    curve = curve_of(services.native, sizes)
    if curve is None:
        return
    yield "MRC_MEMORY", [(("now",), sizes[0]), (("more",), sizes[1])]
    if not curve.reads:
        return
    (_, now), (_, more) = curve.points
    yield "MRC_HIT_RATIO", [(("now",), now), (("more",), more)]
    row = "MRC_DISK_READS_SAVED" if tiers["tiered"] else "MRC_MISSES_SAVED"
    yield row, [((), curve.reads_saved(0, 1))]
