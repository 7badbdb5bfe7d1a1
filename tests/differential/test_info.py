"""INFO: its sections, its fields, and numbers that must be true."""

from __future__ import annotations

import pytest

from tests.support.both import Both
from tests.support.client import RawClient
from tests.support.match import anything
from tests.support.script import values
from tests.support.servers import Server

SECTIONS = {
    "server": "Server", "clients": "Clients", "memory": "Memory", "persistence": "Persistence",
    "stats": "Stats", "replication": "Replication", "cpu": "CPU", "commandstats": "Commandstats",
    "errorstats": "Errorstats", "latencystats": "Latencystats", "cluster": "Cluster",
    "keyspace": "Keyspace", "modules": "Modules",
}  # fmt: skip
# Fields that tools read; every one of them is a field of Redis. Its table of blocked clients with a
# timeout is left out: it tells of its inside only.
FIELDS = {
    "server": "redis_version redis_mode os arch_bits process_id run_id tcp_port server_time_usec "
    "uptime_in_seconds uptime_in_days hz configured_hz executable config_file "
    "multiplexing_api redis_git_sha1 redis_git_dirty redis_build_id process_supervised "
    "io_threads_active lru_clock monotonic_clock atomicvar_api",
    "clients": "connected_clients cluster_connections maxclients client_recent_max_input_buffer "
    "client_recent_max_output_buffer blocked_clients tracking_clients",
    "memory": "used_memory used_memory_human used_memory_rss used_memory_rss_human "
    "used_memory_peak used_memory_peak_human used_memory_peak_perc used_memory_overhead "
    "used_memory_startup used_memory_dataset used_memory_dataset_perc total_system_memory "
    "total_system_memory_human maxmemory maxmemory_human maxmemory_policy "
    "allocator_allocated allocator_active allocator_frag_ratio allocator_frag_bytes "
    "allocator_resident allocator_rss_ratio allocator_rss_bytes rss_overhead_ratio "
    "rss_overhead_bytes "
    "used_memory_vm_eval used_memory_lua used_memory_lua_human used_memory_scripts "
    "used_memory_scripts_human used_memory_scripts_eval used_memory_vm_functions "
    "used_memory_functions used_memory_vm_total used_memory_vm_total_human "
    "number_of_cached_scripts number_of_functions number_of_libraries "
    "mem_fragmentation_ratio mem_clients_normal mem_clients_slaves mem_allocator "
    "lazyfree_pending_objects lazyfreed_objects",
    "persistence": "loading async_loading rdb_changes_since_last_save rdb_bgsave_in_progress "
    "rdb_last_save_time rdb_last_bgsave_status aof_enabled aof_rewrite_in_progress "
    "aof_last_bgrewrite_status aof_last_write_status current_cow_size current_fork_perc "
    "rdb_last_cow_size aof_last_cow_size aof_rewrites rdb_last_load_keys_loaded "
    "module_fork_in_progress",
    "stats": "total_connections_received total_commands_processed instantaneous_ops_per_sec "
    "total_net_input_bytes total_net_output_bytes instantaneous_input_kbps "
    "instantaneous_output_kbps rejected_connections sync_full sync_partial_ok sync_partial_err "
    "expired_keys expired_time_cap_reached_count expire_cycle_cpu_milliseconds "
    "evicted_keys evicted_clients total_eviction_exceeded_time current_eviction_exceeded_time "
    "dump_payload_sanitizations reply_buffer_shrinks keyspace_hits keyspace_misses pubsub_channels "
    "pubsub_patterns latest_fork_usec unexpected_error_replies total_error_replies "
    "total_reads_processed total_writes_processed total_net_repl_input_bytes "
    "total_net_repl_output_bytes instantaneous_input_repl_kbps instantaneous_output_repl_kbps "
    "migrate_cached_sockets slave_expires_tracked_keys active_defrag_hits active_defrag_misses "
    "active_defrag_key_hits active_defrag_key_misses total_active_defrag_time "
    "current_active_defrag_time tracking_total_keys tracking_total_items tracking_total_prefixes",
    "replication": "role connected_slaves master_failover_state master_replid master_replid2 "
    "master_repl_offset second_repl_offset repl_backlog_active repl_backlog_size "
    "repl_backlog_first_byte_offset repl_backlog_histlen",
    "cpu": "used_cpu_sys used_cpu_user used_cpu_sys_children used_cpu_user_children",
    "cluster": "cluster_enabled",
}


def info(client: RawClient, *sections: str) -> dict[str, dict[str, str]]:
    """INFO as sections of fields; the format of every line is checked."""
    text = client.command("INFO", *sections).node.text
    found: dict[str, dict[str, str]] = {}
    title = ""
    for line in text.split("\r\n"):
        if line.startswith("# "):
            title = line[2:]
            found[title] = {}
        elif line:
            name, _, value = line.partition(":")
            found[title][name] = value
    return found


@pytest.mark.parametrize("section", SECTIONS)
def test_sections_by_name(both: Both, section: str) -> None:
    """Each section can be asked for alone, in any case."""
    for name in (section, section.upper()):
        theirs, ours = (info(client, name) for client in both.client().clients)
        assert list(ours) == list(theirs) == [SECTIONS[section]]


@pytest.mark.parametrize(
    "choice", [(), ("default",), ("all",), ("everything",), ("server", "stats"), ("ALL", "x"),
               ("keyspace", "server", "keyspace"), ("commandstats", "default")]
)  # fmt: skip
def test_choices_of_sections(both: Both, choice: tuple[str, ...]) -> None:
    """Several sections, all, everything and the default have Redis's sections in its order.

    A section of ferrite-py's own may be among them only where Redis has one for modules.
    """
    theirs, ours = (info(client, *choice) for client in both.client().clients)

    assert [title for title in ours if title in theirs] == list(theirs)
    own = {"Ferrite", "Hotkeys", "Hybridlog", "Misses", "Modules", "Mrc", "Prefixes"}
    assert set(ours) - set(theirs) <= own


def test_unknown_sections_are_empty(both: Both) -> None:
    """An unknown section is no error."""
    both.script("""
        INFO nosuch
        INFO nosuch nosuch2
        INFO ""
    """)


@pytest.mark.parametrize("section", FIELDS)
def test_fields(both2: Both, section: str) -> None:
    """The fields that tools read are there, none of them empty where Redis has a value."""
    theirs, ours = (info(c, section)[SECTIONS[section]] for c in both2.client().clients)
    names = FIELDS[section].split()

    assert [name for name in names if name not in theirs] == []
    assert [name for name in names if name not in ours] == []
    assert [name for name in names if theirs[name] and not ours[name]] == []


def test_server_identity(both2: Both) -> None:
    """The level of Redis, the process and the port are true."""
    fields = info(both2.client().subject, "server")["Server"]

    assert int(fields["tcp_port"]) == both2.subject.address[1]
    assert fields["redis_mode"] == "standalone"
    assert len(fields["run_id"]) == 40
    if not both2.subject.is_foreign:
        assert int(fields["process_id"]) == both2.subject.pid
    if both2.subject.is_ferrite:
        assert fields["redis_version"].startswith("7.2.")
        assert fields["ferrite_version"]


def test_keyspace(both: Both) -> None:
    """Databases with keys are listed with exact counts of keys and of deadlines."""
    both.run("INFO", "keyspace")
    both.script("""
        MSET a 1 b 2 c 3
        SELECT 3
        SET x 1
        SELECT 15
        SET y 1
        DEL y
        INFO keyspace
        SELECT 0
        DEL a
        INFO keyspace
    """)
    both.script("""
        EXPIRE b 1000000
        SELECT 9
        SET v 1 EX 100000
        SET w 1 EX 100000
        PERSIST w
    """)
    theirs, ours = (info(client, "keyspace")["Keyspace"] for client in both.client().clients)
    counts = [
        {db: value.rpartition(",")[0] for db, value in fields.items()} for fields in (theirs, ours)
    ]
    assert counts[0] == counts[1]
    # Redis guesses the average when its expiry cycle passes, so only the bounds are certain.
    assert 0 <= int(ours["db9"].rpartition("=")[2]) <= 100_000_000


COUNTED = ("keyspace_hits", "keyspace_misses", "expired_keys", "evicted_keys")
LOOKS = [
    "GET k", "GET missing", "GET gone", "EXISTS k missing k", "TTL k", "TTL missing", "PTTL k",
    "TYPE k", "TYPE missing", "STRLEN k", "GETRANGE k 0 -1", "GETBIT k 1", "GETBIT missing 1",
    "BITCOUNT k", "BITPOS k 1", "PERSIST k", "EXPIRE k 1000", "EXPIRE missing 1000",
    "RENAME k l", "COPY k l", "COPY missing l", "MOVE k 1", "DUMP k", "DUMP missing",
    "OBJECT ENCODING k", "TOUCH k missing", "DEL k", "DEL missing", "UNLINK k", "KEYS *",
    "SCAN 0 COUNT 100", "MGET k missing gone n", "PFCOUNT h", "PFCOUNT missing",
    "PFCOUNT h missing", "GETEX k", "GETEX missing", "GETEX k EX 1000", "GETDEL k",
    "GETDEL missing", "SET k v", "SET k v XX", "SET missing v", "SET k v GET",
    "SET missing v GET", "SETNX k v", "SETNX missing v", "SET k v KEEPTTL", "APPEND k v",
    "APPEND missing v", "INCR n", "INCR missing", "INCRBYFLOAT n 1", "GETSET k v",
    "GETSET missing v", "EXPIRETIME k", "LCS k n", "LCS k missing", "BITOP NOT d k",
    "BITOP AND d k missing", "BITFIELD k GET u8 0", "MSET k a b b", "BITFIELD_RO k GET u8 0",
    "BITFIELD missing SET u8 0 1", "SETRANGE k 0 a", "SETBIT k 0 1", "MSETNX k a b b",
    "MSETNX y a z b", "PFADD h x", "PFADD missing x", "PFMERGE d h missing", "SETEX k 1000 v",
    "RENAMENX k n", "EXISTS gone", "WATCH k missing", "RESTORE k 0 x REPLACE", "DBSIZE",
    "SWAPDB 0 1", "OBJECT FREQ k", "OBJECT ENCODING missing", "GET", "INCR k",
]  # fmt: skip


@pytest.mark.parametrize("look", LOOKS)
def test_hits_and_misses(both2: Both, look: str) -> None:
    """Every command counts hits, misses and expired keys as Redis does."""
    if look == "KEYS *" and both2.subject.tier == "disk":
        pytest.skip("to tell a name from disk is to read the record, and an expired one goes")
    try:
        both2.script("""
            DEBUG SET-ACTIVE-EXPIRE 0
            MSET k value n 10
            PFADD h a b
            SET gone v PX 1
            DEBUG SLEEP 0.003
            CONFIG RESETSTAT
        """)
        both2.script(look)
        theirs, ours = (info(client, "stats")["Stats"] for client in both2.client().clients)
    finally:
        both2.run("DEBUG", "SET-ACTIVE-EXPIRE", "1")

    assert {name: theirs[name] for name in COUNTED} == {name: ours[name] for name in COUNTED}


def stats(client: RawClient, section: str) -> dict[str, dict[str, str]]:
    """The lines of commandstats or errorstats, without times."""
    fields = info(client, section)[SECTIONS[section]]
    parsed = {n: dict(part.split("=") for part in line.split(",")) for n, line in fields.items()}
    return {n: {k: v for k, v in line.items() if "usec" not in k} for n, line in parsed.items()}


@pytest.mark.memory_only("DEBUG TIER counts as a command")
def test_command_and_error_statistics(both: Both) -> None:
    """Calls, rejected and failed calls by command; errors by their first word."""
    both.client()
    both.script("""
        CONFIG RESETSTAT
        SET k v
        SET k v
        GET k
        get missing
        GET
        INCR k
        INCR k
        SETEX k 0 v
        NOSUCH
        OBJECT ENCODING k
        OBJECT FREQ k
        OBJECT NOSUCH k
        CONFIG GET nosuch
        MULTI
        SET a 1
        INCR k
        NOSUCH
        EXEC
        MULTI
        INCR k
        DISCARD
        EXEC
        AUTH x
        AUTH nobody x
        SET k v
        PFADD k x
        RESTORE k 0 x
        MULTI
        INCR k
        GET k
        EXEC
        SELECT 99
        HELLO 9
        CLIENT GETNAME
        CLIENT NOSUCH
    """)
    for section in ("errorstats", "commandstats"):
        theirs, ours = (stats(client, section) for client in both.client().clients)
        assert theirs == ours


@pytest.mark.memory_only("DEBUG TIER counts as a command")
def test_counters(both2: Both) -> None:
    """Commands, errors and connections are counted from the last RESETSTAT."""
    both2.script("""
        CONFIG RESETSTAT
        SET k v
        GET
        NOSUCH
        INCR k
        PING
        MULTI
        PING
        EXEC
    """)
    both2.client("new").run("PING")
    both2.run("ECHO", "x" * 200)
    names = values(
        "total_commands_processed total_error_replies unexpected_error_replies "
        "total_connections_received rejected_connections evicted_keys"
    )
    theirs, ours = (info(client, "stats")["Stats"] for client in both2.client().clients)

    assert {name: theirs[name] for name in names} == {name: ours[name] for name in names}
    assert int(ours["total_net_input_bytes"]) > 200
    assert int(ours["total_net_output_bytes"]) > 200


def test_refused_passwords_are_counted(both2: Both) -> None:
    """Passwords that were refused are counted from the last RESETSTAT (since 7.2), others are not.

    There is one password, so a wrong one is told from WRONGPASS errors.
    """
    with both2.settings(requirepass="right"):
        both2.script("""
            CONFIG RESETSTAT
            AUTH wrong
            HELLO 2 AUTH default wrong
            AUTH right
            SELECT 99
        """)
        fields = info(both2.client().subject, "stats")["Stats"]
        if both2.subject.is_ferrite:
            assert fields["acl_access_denied_auth"] == "2"
            assert fields["acl_access_denied_cmd"] == "0"


def test_connected_clients(both2: Both) -> None:
    """connected_clients follows connections that come and go."""
    both2.run("PING")
    before = [
        int(info(client, "clients")["Clients"]["connected_clients"])
        for client in both2.client().clients
    ]
    for i in range(10):
        both2.client(f"extra {i}").run("PING")
    after = [
        int(info(client, "clients")["Clients"]["connected_clients"])
        for client in both2.client().clients
    ]

    assert [now - then for now, then in zip(after, before, strict=True)] == [10, 10]


@pytest.mark.memory_only("DEBUG TIER counts as a command")
def test_latency_statistics(both: Both) -> None:
    """The same commands have the percentiles that were asked for, in microseconds, in order."""
    pair = both.client()
    with both.settings(latency_tracking="yes", latency_tracking_info_percentiles="50 99 99.9"):
        both.script("CONFIG RESETSTAT\nSET k v\nGET k\nGET k\nCLIENT ID", match=anything)
        for percentiles in ("50 99 99.9", "0 99.9999 100", "7.50", ""):
            both.run("CONFIG", "SET", "latency-tracking-info-percentiles", percentiles)
            both.run("CONFIG", "GET", "latency-tracking-info-percentiles")
            theirs, ours = (info(c, "latencystats")["Latencystats"] for c in pair.clients)
            assert set(ours) == set(theirs)
            for name, text in ours.items():
                parts = [part.split("=") for part in text.split(",") if part]
                other = [part.split("=") for part in theirs[name].split(",") if part]
                assert [label for label, _ in parts] == [label for label, _ in other]
                numbers = [float(number) for _, number in parts]
                assert numbers == sorted(numbers)
                assert all(0 < number < 1e6 for number in numbers)


def test_latency_is_not_tracked(both: Both) -> None:
    """With latency-tracking no nothing is counted, and the section is empty."""
    pair = both.client()
    with both.settings(latency_tracking="yes"):
        both.script("CONFIG RESETSTAT\nCONFIG SET latency-tracking no\nSET k v\nGET k")
        for client in pair.clients:
            assert info(client, "latencystats")["Latencystats"] == {}
        both.run("LATENCY", "HISTOGRAM", "set", "get")
        both.script("CONFIG SET latency-tracking yes\nGET k")
        for client in pair.clients:
            found = info(client, "latencystats")["Latencystats"]
            assert "latency_percentiles_usec_get" in found
            assert "latency_percentiles_usec_set" not in found


def test_lru_clock(both2: Both) -> None:
    """The clock of idle times is the date in seconds, of which 24 bits are told."""
    clocks = [
        int(info(client, "server")["Server"]["lru_clock"]) for client in both2.client().clients
    ]
    now = int(both2.client().subject.command("TIME").node.items[0].text) & 0xFFFFFF

    assert all((now - clock) % (1 << 24) <= 60 for clock in clocks)


def test_time_spent_on_expiry(both2: Both) -> None:
    """What the expire steps took is told in whole milliseconds."""
    found = info(both2.client().subject, "everything")
    told_ms = int(found["Stats"]["expire_cycle_cpu_milliseconds"])

    if both2.subject.is_ferrite:
        assert told_ms == int(found["Ferrite"]["step_expire_us_total"]) // 1000
    assert told_ms >= 0


def exceeded_ms(server: Server) -> int:
    """For how long memory has been above its limit, as of a write that was asked for."""
    server.admin.command("SET", "k", "v")
    return int(info(server.admin, "stats")["Stats"]["current_eviction_exceeded_time"])


def test_memory_above_its_limit_is_timed(both2: Both) -> None:
    """The time grows while it is so; when it is over it is in the total."""
    with both2.settings(maxmemory="1024"):
        both2.until(lambda server: exceeded_ms(server) > 0, "the time of too much memory")
        both2.run("CONFIG", "SET", "maxmemory", "10gb")
        both2.until(lambda server: exceeded_ms(server) == 0, "the end of that time")
    for server in both2.servers:
        assert int(info(server.admin, "stats")["Stats"]["total_eviction_exceeded_time"]) > 0


def test_resident_memory_has_its_parts(both2: Both) -> None:
    """What is of no file and the rest are all of it; a ratio is that of its two numbers."""
    fields = info(both2.client().subject, "memory")["Memory"]
    anonymous = int(fields["allocator_resident"])

    assert anonymous + int(fields["rss_overhead_bytes"]) == int(fields["used_memory_rss"])
    assert anonymous - int(fields["allocator_active"]) == int(fields["allocator_rss_bytes"])
    ratio = anonymous / int(fields["allocator_active"])
    assert float(fields["allocator_rss_ratio"]) == pytest.approx(ratio, abs=0.0051)


def test_memory_follows_the_data(both2: Both) -> None:
    """used_memory grows with the data and falls after FLUSHALL; the peak stays."""
    used = []
    for _ in range(2):
        fields = info(both2.client().subject, "memory")["Memory"]
        used.append(int(fields["used_memory"]))
        both2.run_many([("SET", f"k{i}", "x" * 1000) for i in range(4000)], match=anything)
    fields = info(both2.client().subject, "memory")["Memory"]

    assert int(fields["used_memory"]) - used[0] > 4_000_000
    assert int(fields["used_memory_peak"]) >= int(fields["used_memory"])
    assert fields["used_memory_peak_human"][-1] in "KMG"
