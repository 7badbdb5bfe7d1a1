"""A server with the stack's own file: what the dashboard and the rules ask for has values."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ferrite_py.config_kinds import size_of
from tests.support.servers import Server, free_port
from tests.support.stack import DEPLOY, asked
from tests.telemetry.page import page_of
from tests.telemetry.receiver import Receiver

MEASURED_ONE_IN = 16
"""Of so many groups that are served together the stages of one are measured."""


@contextmanager
def of_the_stack(endpoint: str, data_dir: Path | None) -> Iterator[tuple[Server, int]]:
    """A server with deploy/ferrite.toml, and the port of its page; only places are of this machine.

    `data_dir` None: with the data in memory only. DEBUG is allowed, to send data down.
    """
    port, metrics_port = free_port(), free_port()
    places = {
        "server.bind": "127.0.0.1",
        "server.port": port,
        "metrics.bind": "127.0.0.1",
        "metrics.port": metrics_port,
        "telemetry.endpoint": endpoint,
        "storage.data_dir": data_dir or "",
        "server.enable_debug_command": "yes",
    }
    command = [sys.executable, "-m", "ferrite_py", "--config", str(DEPLOY / "ferrite.toml")]
    for name, value in places.items():
        command += ["--set", f"{name}={value}"]
    server = Server("of the stack", command, port)
    server.start()
    try:
        yield server, metrics_port
    finally:
        server.stop()


def sampled_of(endpoint: str, data_dir: Path | None) -> set[str]:
    """The metrics of which such a server has values that wrote, read, missed and refused."""
    with of_the_stack(endpoint, data_dir) as (server, metrics_port):
        for words in (["SET", "a", "1"], ["GET", "none"], ["INCR", "a", "x"]):
            server.admin.command(*words)
        for _ in range(2 * MEASURED_ONE_IN):
            server.admin.command("GET", "a")
        if data_dir is not None:
            for order in ("DISK", "TRIM"):
                assert server.admin.command("DEBUG", "TIER", order).raw == b"+OK\r\n"
            server.admin.command("GET", "a")
        return {name for name, _ in page_of(metrics_port).samples}


def test_a_live_server_has_every_metric(tmp_path: Path) -> None:
    """Of each asked for one has a value; of what more memory would save, each has its own."""
    with Receiver() as receiver:
        on_disk, in_memory = (
            sampled_of(receiver.grpc_endpoint, data_dir) for data_dir in (tmp_path / "data", None)
        )

    saved = {"ferrite_mrc_disk_reads_saved", "ferrite_mrc_misses_saved"}
    assert saved <= asked()
    assert asked() - on_disk == {"ferrite_mrc_misses_saved"}
    assert asked() & saved & in_memory == {"ferrite_mrc_misses_saved"}


VALUE = "v" * (128 << 10)
AT_ONCE = 64
SIZE = "ferrite_hybridlog_tier_size"


def test_the_tiers_of_the_stack_fill(tmp_path: Path) -> None:
    """Each tier in memory has a bound, and less than max_memory of data reaches the disk."""
    settings = tomllib.loads((DEPLOY / "ferrite.toml").read_text(encoding="utf-8"))
    limit = size_of(settings["storage"]["max_memory"]) or 0
    written = 0
    with (
        Receiver() as receiver,
        of_the_stack(receiver.grpc_endpoint, tmp_path / "data") as (server, metrics_port),
    ):
        while (page := page_of(metrics_port)).value(SIZE, tier="disk") == 0:
            assert written < limit
            for _ in range(AT_ONCE):
                assert server.admin.command("SET", f"big:{written}", VALUE).raw == b"+OK\r\n"
                written += len(VALUE)
        found = server.admin.command("GET", "big:0").node.text
        after = page_of(metrics_port)

    budgets = [
        page.value("ferrite_hybridlog_tier_budget", tier=tier)
        for tier in ("mutable", "read_only", "read_cache")
    ]
    assert page.value("ferrite_memory_max") == limit > sum(budgets)
    assert min(budgets) > len(VALUE)
    assert found == VALUE
    assert after.value("ferrite_disk_reads_total") > 0
