"""The ledger of prefixes, hot keys by disk, and their metrics, in a real server."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.served import Served
from tests.telemetry.page import Page, page_of

TIERS = ("memory", "disk")
ON = ("insight.prefixes=yes", "insight.hot_keys=yes")
Words = tuple[str | int, ...]


class Prefixes(Served):
    """A server that is asked for its prefixes."""

    def __init__(self, folder: Path, *settings: str) -> None:
        super().__init__(folder, "server.enable_debug_command=yes", *settings)

    def run_all(self, commands: list[Words]) -> None:
        """Many commands; none may fail."""
        for start in range(0, len(commands), 500):
            replies = self.client.pipeline(commands[start : start + 500])
            assert not any(reply.node.is_error for reply in replies)

    def prefixes(self, *words: str | int) -> dict[str, dict[str, Any]]:
        """What PREFIXES answers, by prefix and in its order."""
        found: dict[str, dict[str, Any]] = {}
        for one in self.client.command("PREFIXES", *words).node.items:
            fields = {name.decode(): value for name, value in one.pairs().items()}
            plain: dict[str, Any] = {
                name: {inner.decode(): value.plain() for inner, value in node.pairs().items()}
                if name.endswith(("_by_tier", "_by_reason"))
                else node.plain()
                for name, node in fields.items()
            }
            found[plain["prefix"].decode()] = plain
        return found

    def page(self) -> Page:
        """The metrics."""
        return page_of(self.metrics)


def parts_of(line: str) -> dict[str, str]:
    """The parts of a line of INFO."""
    return dict(part.split("=", 1) for part in line.split(","))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Prefixes]:
    """A server in memory whose ledger is on."""
    made = Prefixes(tmp_path, *ON)
    yield made
    made.close()


@pytest.fixture
def tiered(tmp_path: Path) -> Iterator[Prefixes]:
    """The same with a data folder."""
    made = Prefixes(tmp_path, f"storage.data_dir={tmp_path / 'data'}", *ON)
    yield made
    made.close()


class Model:
    """What the ledger should tell, from what was done."""

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self.uses: dict[str, int] = defaultdict(int)
        self.hits: dict[str, int] = defaultdict(int)
        self.misses: dict[str, int] = defaultdict(int)
        self.read: dict[str, int] = defaultdict(int)
        self.written: dict[str, int] = defaultdict(int)

    def note(self, *words: str | int) -> None:
        """Run GET, MGET or SET."""
        name, *rest = map(str, words)
        keys = rest[:1] if name == "SET" else rest
        for key in keys:
            prefix = key.partition(":")[0] if ":" in key else ""
            self.uses[prefix] += 1
            if name == "SET":
                self.keys.add(key)
                self.written[prefix] += len(rest[1])
            elif key in self.keys:
                self.hits[prefix] += 1
                self.read[prefix] += len("value")
            else:
                self.misses[prefix] += 1


def load(count: int, prefixes: tuple[str, ...], seed: int) -> list[Words]:
    """Reads and writes of keys with these prefixes, the first most."""
    chosen = random.Random(seed)
    weights = [1 / (i + 1) for i in range(len(prefixes))]
    commands: list[Words] = []
    for _ in range(count):
        prefix = chosen.choices(prefixes, weights)[0]
        key = f"{prefix}:{chosen.randrange(50)}" if prefix else f"plain{chosen.randrange(50)}"
        kind = chosen.random()
        if kind < 0.3:
            commands.append(("SET", key, "value"))
        elif kind < 0.4:
            other = f"{chosen.choice(prefixes)}:{chosen.randrange(50)}"
            commands.append(("MGET", key, other))
        else:
            commands.append(("GET", key))
    return commands


def test_a_small_load_is_counted_exactly_and_three_views_agree(served: Prefixes) -> None:
    """Less than is looked at in a second: every use is, and nothing is an estimate."""
    prefixes = ("user", "item", "a,b%=", "")
    commands = load(700, prefixes, 1)
    model = Model()
    for words in commands:
        model.note(*words)

    served.run_all(commands)

    found, info, page = served.prefixes("COUNT", 256), served.info("prefixes"), served.page()
    lines = [parts_of(value) for name, value in info.items() if name.startswith("prefix_")]
    assert set(found) == set(prefixes)
    assert list(found) == sorted(found, key=lambda name: -model.uses[name])
    assert info["prefixes_sampling_interval"] == "1"
    assert int(info["prefixes_uses"]) == sum(model.uses.values())
    names = {"user": "user", "item": "item", "a,b%=": "a%2Cb%25%3D", "": ""}
    for prefix, one in found.items():
        line = next(line for line in lines if line["name"] == names[prefix])
        assert one["error"] == one["sampling_error"] == one["disk_reads"] == 0
        assert one["uses"] == model.uses[prefix] == int(line["uses"])
        assert one["hits"] == model.hits[prefix] == one["hits_by_tier"]["mutable"]
        assert one["misses"] == model.misses[prefix] == one["misses_by_reason"]["never_seen"]
        assert one["bytes_read"] == model.read[prefix] == int(line["bytes_read"])
        assert one["bytes_read_by_tier"]["mutable"] == model.read[prefix]
        assert one["bytes_written"] == model.written[prefix] == int(line["bytes_written"])
        shown = {"prefix": prefix}
        assert page.value("ferrite_prefix_uses_total", **shown) == one["uses"]
        assert page.value("ferrite_prefix_hits_total", tier="mutable", **shown) == one["hits"]
        name = "ferrite_prefix_misses_total"
        assert page.value(name, reason="never_seen", **shown) == one["misses"]
        assert (
            page.value("ferrite_prefix_bytes_total", direction="read", **shown)
            == (one["bytes_read"])
        )
        assert page.value("ferrite_prefix_duration_count", **shown) == one["uses"]
        assert float(one["p99_us"]) > 0


def test_a_large_load_is_counted_within_the_error_that_is_told(served: Prefixes) -> None:
    """Five deviations; two are told."""
    prefixes = tuple(f"p{number}" for number in range(8))
    commands = load(60_000, prefixes, 2)
    model = Model()
    for words in commands:
        model.note(*words)

    served.run_all(commands)

    found = served.prefixes("COUNT", 8)
    assert set(found) == set(prefixes)
    assert found["p0"]["sampling_error"] > 0, "nothing was sampled"
    for prefix, one in found.items():
        bound = 2.5 * one["sampling_error"] + 1
        assert abs(one["uses"] - model.uses[prefix]) <= bound
        assert abs(one["hits"] - model.hits[prefix]) <= bound
        assert abs(one["misses"] - model.misses[prefix]) <= bound
        assert abs(one["bytes_read"] - model.read[prefix]) <= 5 * bound


def test_orders(served: Prefixes) -> None:
    """BY says what the most is of; COUNT how many are answered."""
    served.run_all([("SET", "large:1", "v" * 100_000), ("SET", "hit:1", "v")])
    served.run_all(
        [("GET", "hit:1")] * 20 + [("GET", "miss:1")] * 10 + [("SET", "use:1", "v")] * 30
    )

    assert next(iter(served.prefixes())) == "use"
    assert list(served.prefixes("BY", "USES", "COUNT", 2)) == ["use", "hit"]
    assert next(iter(served.prefixes("by", "hits"))) == "hit"
    assert list(served.prefixes("BY", "MISSES", "COUNT", 1)) == ["miss"]
    assert list(served.prefixes("COUNT", 1, "BY", "BYTES")) == ["large"]
    for words in (("BY",), ("BY", "luck"), ("COUNT", 0), ("COUNT", 257), ("RESET", "x")):
        assert served.client.command("PREFIXES", *words).node.is_error


def test_misses_have_their_reasons(served: Prefixes) -> None:
    """Those of MISSES, by prefix; without a table nobody knows them."""
    served.run("DEBUG", "SET-ACTIVE-EXPIRE", 0)
    for prefix in ("del", "exp", "flush"):
        served.run("SET", f"{prefix}:1", "v")
    served.run("PEXPIRE", "exp:1", 1)
    served.run("DEL", "del:1")
    served.run("DEBUG", "SLEEP", "0.01")
    served.run("GET", "exp:1")
    served.run("FLUSHALL")
    for prefix in ("del", "flush", "never"):
        served.run("GET", f"{prefix}:1")
        served.run("GET", f"{prefix}:1")

    found, page = served.prefixes(), served.page()
    reasons = {"del": "deleted", "flush": "flushed", "never": "never_seen", "exp": "expired"}
    for prefix, reason in reasons.items():
        by_reason = found[prefix]["misses_by_reason"]
        expected = 1 if prefix == "exp" else 2
        assert by_reason[reason] == sum(by_reason.values()) == found[prefix]["misses"] == expected
        name = "ferrite_prefix_misses_total"
        assert page.value(name, prefix=prefix, reason=reason) == expected

    served.run("CONFIG", "SET", "insight-miss-reasons", "no")
    served.run("PREFIXES", "RESET")
    served.run("GET", "never:1")
    page = served.page()
    assert page.value("ferrite_prefix_misses_total", prefix="never", reason="unknown") == 1
    assert not page.has("ferrite_prefix_misses_total", prefix="never", reason="never_seen")


def test_room_parts_and_separator_can_be_set(served: Prefixes) -> None:
    """A change begins anew; with more prefixes than room each figure keeps within its error."""
    served.run("CONFIG", "SET", "insight-prefix-parts", 2)
    served.run_all([("SET", "a:b:c", "v"), ("SET", "a:d", "v"), ("SET", "e", "v")])
    assert set(served.prefixes()) == {"a:b", "a", ""}

    served.run("CONFIG", "SET", "insight-prefix-separator", "/", "insight-prefix-parts", 1)
    served.run_all([("SET", "a/b:c", "v"), ("SET", "a:d", "v")])
    assert set(served.prefixes()) == {"a", ""}
    assert served.client.command("CONFIG", "SET", "insight-prefix-separator", "::").node.is_error

    served.run("CONFIG", "SET", "insight-prefix-count", 4, "insight-prefix-separator", ":")
    uses = {f"p{number}": 200 // (number + 1) for number in range(20)}
    commands: list[Words] = [
        ("GET", f"{prefix}:1") for prefix, count in uses.items() for _ in range(count)
    ]
    random.Random(3).shuffle(commands)
    served.run("CONFIG", "SET", "telemetry-record-keys", "full")
    served.run_all(commands)

    found, info = served.prefixes(), served.info("prefixes")
    assert len(found) == 4 == int(info["prefixes_room"])
    assert "p0" in found
    for prefix, one in found.items():
        assert one["uses"] <= uses[prefix] <= one["uses"] + one["error"]
        assert one["misses"] == one["uses"]
    assert 0 < int(info["prefixes_error"]) <= sum(uses.values()) / 4


def grown(page: Page) -> dict[tuple[str, Any], float]:
    """What of the ledger may only grow."""
    return {
        key: value
        for key, value in page.samples.items()
        if key[0].startswith("ferrite_prefix") and not key[0].endswith("_error")
    }


def test_what_looks_the_same_is_a_sum_that_only_grows(served: Prefixes) -> None:
    """Also with more prefixes than room, of which each use displaces one; RESET begins all anew."""
    served.run("CONFIG", "SET", "insight-prefix-count", 4)
    before: dict[tuple[str, Any], float] = {}
    for round_ in range(8):
        served.run_all([("GET", f"user{number}:1") for number in range(20)])
        page = served.page()
        assert page.value("ferrite_prefix_uses_total", prefix="user*") == 20 * (round_ + 1)
        now = grown(page)
        assert all(now[key] >= value for key, value in before.items())
        before = now

    line = parts_of(served.info("prefixes")["prefix_0"])
    assert (line["name"], line["uses"], line["misses"]) == ("user*", "160", "160")
    assert len(served.prefixes()) == 4
    served.run("PREFIXES", "RESET")
    served.run("GET", "user1:1")
    assert served.page().value("ferrite_prefix_uses_total", prefix="user*") == 1


def test_what_comes_and_goes_makes_no_series(served: Prefixes) -> None:
    """Of a full ledger metrics tell what is surely heavy, for as long as it is there."""
    served.run("CONFIG", "SET", "insight-prefix-count", 4, "telemetry-record-keys", "full")
    served.run_all([("GET", "heavy:1")] * 10)
    served.run_all([("GET", f"t{number}:1") for number in range(3)])
    assert len(served.page().of("ferrite_prefix_uses_total")) == 4
    for start in range(3, 63, 10):
        commands: list[Words] = []
        for number in range(start, start + 10):
            commands += [("GET", "heavy:1"), ("GET", f"t{number}:1")]
        served.run_all(commands)

        found, page = served.prefixes(), served.page()
        labels = {dict(one)["prefix"] for one in page.of("ferrite_prefix_uses_total")}
        assert len(found) == 4
        assert "heavy" in labels
        assert labels == {name for name, one in found.items() if one["uses"] > one["error"]}
    assert labels == {"heavy"}
    assert page.value("ferrite_prefix_uses_total", prefix="heavy") == 70
    assert len(page.of("ferrite_prefix_error")) == 1


def test_off_is_nothing_and_both_resets_begin_anew(served: Prefixes) -> None:
    """PREFIXES RESET and CONFIG RESETSTAT; the switch works in the running server."""
    for words in (("PREFIXES", "RESET"), ("CONFIG", "RESETSTAT")):
        served.run("GET", "a:1")
        assert served.prefixes()["a"]["uses"] == 1
        assert served.run(*words) == b"OK"
        assert served.prefixes() == {}
    served.run("GET", "a:1")
    memory = int(served.info("ferrite")["memory_engine"])
    served.run("CONFIG", "SET", "insight-prefixes", "no", "insight-hot-keys", "no")

    assert memory - int(served.info("ferrite")["memory_engine"]) > 64 * 2000
    assert "insight-prefixes" in str(served.run("PREFIXES"))
    assert "insight-prefixes" in str(served.run("PREFIXES", "RESET"))
    assert served.info("prefixes") == {"prefixes_enabled": "0"}
    assert served.info("hotkeys") == {"hotkeys_enabled": "0"}
    page = served.page()
    assert not any(
        name.startswith(("ferrite_prefix", "ferrite_hotkey")) for name, _ in page.samples
    )
    served.run("CONFIG", "SET", "insight-prefixes", "yes")
    assert served.prefixes() == {}


def send_to_disk(served: Prefixes) -> None:
    """What was written so far is read from disk when it is read next."""
    assert served.run("DEBUG", "TIER", "DISK") == b"OK"
    assert served.run("DEBUG", "TIER", "TRIM") == b"OK"


def test_reads_from_disk_belong_to_key_and_prefix(tiered: Prefixes) -> None:
    """Those of single commands, of one with several keys, of transactions, and of pipelines."""
    keys = [f"{prefix}:{number}" for prefix in ("cold", "warm") for number in range(5)]
    tiered.run_all([("SET", key, "v" * 5000) for key in keys])
    send_to_disk(tiered)
    tiered.run("CONFIG", "RESETSTAT")

    tiered.run("GET", "cold:0")
    tiered.run("MGET", "cold:1", "warm:0", "new:1")
    tiered.run_all([("GET", f"cold:{number}") for number in (2, 3)])
    tiered.run_all([("MULTI",), ("GET", "cold:4"), ("EXEC",)])
    send_to_disk(tiered)
    tiered.run("GET", "cold:0")

    found, page = tiered.prefixes("BY", "DISK"), tiered.page()
    assert [(prefix, one["disk_reads"]) for prefix, one in found.items()] == [
        ("cold", 6), ("warm", 1), ("new", 0),
    ]  # fmt: skip
    assert found["cold"]["hits_by_tier"]["disk"] == 6 == found["cold"]["hits"]
    tiered.run("GET", "cold:0")
    tiered.run("SET", "cold:9", "v" * 300)
    tiered.run("GET", "cold:9")
    read, page = tiered.prefixes()["cold"]["bytes_read_by_tier"], tiered.page()
    assert read == {"mutable": 300, "read_only": 0, "read_cache": 5000, "disk": 30_000}
    for tier in ("mutable", "read_cache", "disk"):
        name = "ferrite_prefix_tier_bytes_total"
        assert page.value(name, prefix="cold", tier=tier) == read[tier]
    assert not page.has("ferrite_prefix_tier_bytes_total", prefix="cold", tier="read_only")
    assert page.value("ferrite_prefix_disk_reads_total", prefix="cold") == 6
    assert page.value("ferrite_prefix_hits_total", prefix="cold", tier="disk") == 6
    line = next(
        parts_of(value)
        for name, value in tiered.info("prefixes").items()
        if name.startswith("prefix_") and "name=cold" in value
    )
    assert line["disk_reads"] == line["hits_disk"] == "6"
    assert line["bytes_read_disk"] == "30000"
    assert page.value("ferrite_prefix_duration_sum", prefix="cold") > 0

    hot = [one.pairs() for one in tiered.client.command("HOTKEYS", "BY", "DISK").node.items]
    names = [one[b"key"].plain() for one in hot]
    assert names[0] == b"cold:0"
    assert set(names) == {f"cold:{number}".encode() for number in range(5)} | {b"warm:0"}
    assert {"hotkey_disk_0", "hotkey_rate_0"} <= set(tiered.info("hotkeys"))
    disk = page.of("ferrite_hotkey_disk_reads")
    assert {dict(labels)["key"] for labels in disk} == {"cold:*", "warm:*"}
    for name in ("ferrite_hotkey_bytes", "ferrite_hotkey_cpu"):
        values = {dict(labels)["key"]: value for labels, value in page.of(name).items()}
        assert values["cold:*"] > 0


def test_names_are_shown_as_record_keys_allows(served: Prefixes) -> None:
    """Keys and prefixes in labels and in INFO; the commands tell them whole."""
    served.run_all([("GET", "user7:abc"), ("GET", "user8:abc")])

    def shown() -> tuple[set[str], set[str], set[str]]:
        page, info = served.page(), served.info("prefixes")
        prefixes = {dict(one)["prefix"] for one in page.of("ferrite_prefix_uses_total")}
        keys = {dict(one)["key"] for one in page.of("ferrite_hotkey_uses")}
        names = {parts_of(text)["name"] for name, text in info.items() if name[:7] == "prefix_"}
        return prefixes, keys, names

    assert shown() == ({"user*"}, {"user*:abc"}, {"user*"})
    assert served.page().value("ferrite_prefix_uses_total", prefix="user*") == 2
    assert served.page().value("ferrite_prefix_duration_count", prefix="user*") == 2
    served.run("CONFIG", "SET", "telemetry-record-keys", "full")
    assert shown() == ({"user7", "user8"}, {"user7:abc", "user8:abc"}, {"user7", "user8"})
    served.run("CONFIG", "SET", "telemetry-record-keys", "hashed")
    assert all(len(name) == 16 for names in shown() for name in names)
    assert [2, 2, 2] == [len(names) for names in shown()]
    served.run("CONFIG", "SET", "telemetry-record-keys", "off")
    assert shown() == (set(), set(), set())
    assert set(served.prefixes()) == {"user7", "user8"}


def test_the_curve_has_metrics(served: Prefixes) -> None:
    """Memory now and 25 % more; the hit ratio once something was read, as INFO mrc tells it."""
    assert not served.page().has("ferrite_mrc_hit_ratio", memory="now")
    served.run_all([("SET", f"key:{number}", "v" * 100) for number in range(20_000)])
    served.run_all([("GET", f"key:{number}") for number in range(20_000)])

    page, info = served.page(), served.info("mrc")
    assert page.value("ferrite_mrc_memory", memory="now") == float(info["mrc_memory"])
    for memory, field in (("now", "mrc_1x"), ("more", "mrc_1.25x")):
        told = float(parts_of(info[field])["hit_ratio"])
        assert page.value("ferrite_mrc_hit_ratio", memory=memory) == pytest.approx(told, abs=1e-4)
    assert page.has("ferrite_mrc_misses_saved")
    assert not page.has("ferrite_mrc_disk_reads_saved")
    served.run("CONFIG", "SET", "insight-curve", "no")
    assert served.page().of("ferrite_mrc_memory") == {}


def test_what_is_expired_and_not_reclaimed_is_told_three_times(served: Prefixes) -> None:
    """As metric, by INFO and by MEMORY STATS."""
    served.run("DEBUG", "SET-ACTIVE-EXPIRE", 0)
    served.run_all([("SET", f"key:{number}", "v" * 1000, "PX", 1) for number in range(500)])
    served.run("DEBUG", "SLEEP", "1.1")

    stats = served.client.command("MEMORY", "STATS").node.pairs()
    told = stats[b"expired.unreclaimed"].integer
    assert told > 500 * 500
    assert int(served.info("ferrite")["expired_unreclaimed_bytes"]) == told
    assert served.page().value("ferrite_storage_expired_unreclaimed") == told
