"""Metrics of what the server finds out about its load: prefixes, hot keys, the hit-ratio curve.

Names are shown as `telemetry.record_keys` allows. There are never more of them than the ledger has
room for, and HOT_KEYS for each order; and only those are told of which more is known than not, so
that what comes and goes at the end of a full table makes no new series with each scrape.
"""

from collections.abc import Iterable, Iterator
from math import ceil

from ferrite_py.commands.insight import MORE, ORDERS, curve_of, data_in_memory, hot_keys_of
from ferrite_py.config import Config
from ferrite_py.ledger import REASONS, TIERS, Prefix, shown_ledger
from ferrite_py.measure import Given, GivenSamples, Labels, Source, Started, Value
from ferrite_py.services import Services

HOT_KEYS = 10
"""Of each order so many are told."""

_HOT_ROWS = {
    "rate": "HOTKEY_USES",
    "bytes": "HOTKEY_BYTES",
    "cpu": "HOTKEY_CPU",
    "disk": "HOTKEY_DISK_READS",
}
_PREFIX_ROWS = (
    "PREFIX_USES",
    "PREFIX_HITS",
    "PREFIX_MISSES",
    "PREFIX_BYTES",
    "PREFIX_TIER_BYTES",
    "PREFIX_DISK_READS",
    "PREFIX_DURATION",
)
_MICROSECOND = 1e-6

_Told = Iterator[tuple[str, GivenSamples]]


def insight_source(services: Services) -> Source:
    """What gives the values of these metrics, while each part is on."""

    def source() -> Iterable[tuple[str, GivenSamples]]:
        config = services.settings.config
        yield from _prefixes(services, config)
        yield from _hot_keys(services, config)
        yield from _curve(services)

    return source


def _prefixes(services: Services, config: Config) -> _Told:
    shown = shown_ledger(services.native, config.telemetry.record_keys)
    if shown is None:
        return
    sure = [(name, one) for name, one in shown[1].items() if one.is_sure]
    told = config.insight.miss_reasons
    yield "PREFIX_ERROR", [((name,), round(one.error)) for name, one in sure]
    yield "PREFIX_DISK_KNOWN", [((), shown[0].disk_known)]
    lying = [((name, tier), told, error) for name, one in sure for tier, told, error in _lie(one)]
    yield "PREFIX_RESIDENT_BYTES", [(labels, told) for labels, told, _ in lying]
    yield "PREFIX_RESIDENT_ERROR", [(labels, error) for labels, _, error in lying]
    values: dict[str, list[tuple[Labels, Given]]] = {id_: [] for id_ in _PREFIX_ROWS}
    for name, one in sure:
        start = one.since_ms * 10**6
        for id_, labels, value in _of_prefix(one, told=told):
            values[id_].append(((name, *labels), Started(value, start)))
    yield from values.items()


def _lie(one: Prefix) -> Iterator[tuple[str, int, int]]:
    """What lies in a tier, and how far off that may be, where anything may."""
    for tier, told, error in zip(TIERS, one.bytes_by, one.bytes_error_by, strict=True):
        if told or error or tier == TIERS[0]:  # a store in memory has but one
            yield tier, round(told), ceil(error)


def _of_prefix(one: Prefix, *, told: bool) -> Iterator[tuple[str, Labels, Value]]:
    """What has been growing since it is in the ledger: row, labels but the name, and value."""
    yield "PREFIX_USES", (), round(one.uses)
    for tier, hits, read in zip(TIERS, one.hits, one.bytes_read_by, strict=True):
        if hits or tier == TIERS[0]:  # a store in memory has but one
            yield "PREFIX_HITS", (tier,), round(hits)
            yield "PREFIX_TIER_BYTES", (tier,), round(read)
    for reason, misses in zip(REASONS, one.misses_by, strict=True):
        if misses or told:
            yield "PREFIX_MISSES", (reason,), round(misses)
    if unexplained := round(one.unexplained):
        yield "PREFIX_MISSES", ("unknown",), unexplained
    yield "PREFIX_BYTES", ("read",), round(one.bytes_read)
    yield "PREFIX_BYTES", ("written",), round(one.bytes_written)
    yield "PREFIX_DISK_READS", (), round(one.disk_reads)
    yield "PREFIX_DURATION", (), one.durations


def _hot_keys(services: Services, config: Config) -> _Told:
    for by in ORDERS:
        found = hot_keys_of(services.native, by, HOT_KEYS, config.telemetry.record_keys, sure=True)
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
    curve = curve_of(services.native, tiers, sizes)
    if curve is None:
        return
    yield "MRC_MEMORY", [(("now",), sizes[0]), (("more",), sizes[1])]
    if not curve.reads:
        return
    (_, now), (_, more) = curve.points
    yield "MRC_HIT_RATIO", [(("now",), now), (("more",), more)]
    yield "MRC_TIER_HIT_RATIO", [((one.name,), one.hit_ratio) for one in curve.tiers]
    row = "MRC_DISK_READS_SAVED" if tiers["tiered"] else "MRC_MISSES_SAVED"
    yield row, [((), curve.reads_saved(0, 1))]
