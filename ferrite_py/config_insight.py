"""The settings of what the server finds out about its load."""

from dataclasses import dataclass

from ferrite_py.config_kinds import UINT32_MAX, Boolean, Duration, Integer, Size
from ferrite_py.config_sections import setting
from ferrite_py.config_tables import Character


@dataclass(frozen=True, slots=True)
class InsightConfig:
    """What the server finds out about its load; see docs/insight.md."""

    hot_keys: bool = setting(
        False,
        Boolean(),
        "Whether the hottest keys are looked for, for HOTKEYS.",
        redis="insight-hot-keys",
        runtime=True,
    )
    hot_keys_half_life: int = setting(
        60,
        Duration("s", low=1, high=86_400),
        "Uses of keys so long ago count half for HOTKEYS, in seconds.",
        redis="insight-hot-keys-half-life",
        runtime=True,
    )

    curve: bool = setting(
        True,
        Boolean(),
        "Whether the hit-ratio curve is measured, for INFO mrc and MRC.",
        redis="insight-curve",
        runtime=True,
    )
    curve_half_life: int = setting(
        3600,
        Duration("s", high=UINT32_MAX),
        "Reads so long ago count half in the curve, in seconds; 0 is for ever.",
        redis="insight-curve-half-life",
        runtime=True,
    )
    miss_reasons: bool = setting(
        True,
        Boolean(),
        "Whether each miss gets a reason, for INFO misses and MISSES.",
        redis="insight-miss-reasons",
        runtime=True,
    )
    miss_table_size: int = setting(
        1 << 20,
        Size(low=4096, high=16 << 20),
        "Memory for the table of keys that are gone, of which 1mb remembers 458,752; rounded down"
        " to a power of two, and no more than a 64th of max_memory. A change forgets them.",
        redis="insight-miss-table-size",
        runtime=True,
    )
    prefixes: bool = setting(
        False,
        Boolean(),
        "Whether a ledger is kept of what is done with keys by their prefix, for PREFIXES, INFO"
        " prefixes and metrics.",
        redis="insight-prefixes",
        runtime=True,
    )
    prefix_separator: str = setting(
        ":",
        Character(),
        "What ends a part of a key for the ledger. A change begins it anew, as it does of the next"
        " two.",
        redis="insight-prefix-separator",
        runtime=True,
    )
    prefix_parts: int = setting(
        1,
        Integer(1, 8),
        "How many parts of a key are its prefix: of user:7:name with 1 user, with 2 user:7.",
        redis="insight-prefix-parts",
        runtime=True,
    )
    prefix_count: int = setting(
        64,
        Integer(1, 256),
        "How many prefixes the ledger has room for, those with the most uses; each takes 11 KB, or"
        " 22 while telemetry.record_keys is pattern, and may be a label of metrics.",
        redis="insight-prefix-count",
        runtime=True,
    )
