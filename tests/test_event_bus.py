"""How large the queues of the event bus are, and what is said where they leave little for data."""

from pathlib import Path

import pytest

from ferrite_py import cli, event_bus
from ferrite_py.config import Config, with_values
from ferrite_py.doctor import examine
from ferrite_py.findings import Host

MIB = 1 << 20


def config_of(**values: object) -> Config:
    """Traces are exported, with other values; `__` stands for the dot."""
    named = {name.replace("__", "."): value for name, value in values.items()}
    return with_values(
        Config(), {"server.port": 0, "metrics.port": 0, "telemetry.enabled": True, **named}
    )


@pytest.mark.parametrize(
    ("max_memory", "threads", "commands"),
    [
        (0, 1, 65_536),
        (0, 8, 65_536),
        (1024 * MIB, 4, 65_536),
        (256 * MIB, 1, 65_536),
        (64 * MIB, 1, 16_384),
        (64 * MIB, 4, 4096),
        (64 * MIB, 3, 4096),
        (16 * MIB, 1, 4096),
        (MIB, 64, 256),
        (1, 1, 256),
    ],
)
def test_queues_take_a_share_of_the_memory(max_memory: int, threads: int, commands: int) -> None:
    """Unless the setting says how large they are: a 16th, and no more than there is use for."""
    config = config_of(storage__max_memory=max_memory, server__io_threads=threads)

    assert event_bus.commands_each(config) == commands
    assert event_bus.bytes_of_all(config) == commands * 256 * threads
    assert event_bus.is_small(config) == (commands < 65_536)


@pytest.mark.parametrize(
    ("port", "transport", "queues"),
    [(0, "reactors", 4), (1, "reactors", 5), (0, "streams", 1), (1, "streams", 1)],
)
def test_each_thread_that_serves_has_a_queue(port: int, transport: str, queues: int) -> None:
    """Asyncio's is one more, where it serves."""
    config = config_of(tls__port=port, server__transport=transport, server__io_threads=4)

    assert event_bus.queues(config) == queues


def test_a_size_of_ones_own_counts() -> None:
    """Queues are powers of two."""
    config = config_of(storage__max_memory=MIB, telemetry__event_bus_queue_size=10_000)

    assert event_bus.commands_each(config) == 10_000
    assert event_bus.bytes_of_all(config) == 4 * MIB
    assert not event_bus.is_small(config)


@pytest.mark.parametrize(
    ("max_memory", "level", "said"),
    [
        (0, None, ""),
        (64 * MIB, "ok", "16 MiB of storage.max_memory (64 MiB)"),
        (63 * MIB, "warn", "16 MiB of storage.max_memory (63 MiB)"),
        (16 * MIB, "fail", "16 MiB of storage.max_memory (16 MiB): every write will be refused"),
    ],
)
def test_queues_that_leave_little_are_told(max_memory: int, level: str | None, said: str) -> None:
    """By the doctor, and by the line that `config check` and the log have."""
    config = config_of(storage__max_memory=max_memory, telemetry__event_bus_queue_size=65_536)

    line = event_bus.warning(config, {})
    findings = [
        one for one in examine(config, Host(Path("/"), -1, -1, -1, 0)) if one.subject == "event bus"
    ]

    assert [one.level for one in findings] == ([level] if level else [])
    assert all(one.message.endswith(said) for one in findings)
    assert (line is None) == (level in (None, "ok"))
    assert line is None or f"{max_memory // MIB} MiB" in line


def test_without_traces_there_is_nothing_to_tell() -> None:
    """No queue is made then."""
    values = {"storage__max_memory": MIB, "telemetry__event_bus_queue_size": 65_536}

    assert event_bus.warning(config_of(**values), {}) is not None
    assert event_bus.warning(config_of(**values, telemetry__enabled=False), {}) is None
    assert event_bus.warning(config_of(**values, telemetry__traces_enabled=False), {}) is None
    for words, is_made in (("none", False), ("none, None", False), ("none,console", True)):
        line = event_bus.warning(config_of(**values), {"OTEL_TRACES_EXPORTER": words})
        assert (line is not None) == is_made, words


def test_config_check_warns(capsys: pytest.CaptureFixture[str]) -> None:
    """The line comes before the server does."""
    settings = [
        "telemetry.enabled=yes",
        "telemetry.endpoint=http://127.0.0.1:1",
        "telemetry.event_bus_queue_size=65536",
        "storage.max_memory=20mb",
    ]
    flags = [word for setting in settings for word in ("--set", setting)]

    assert cli.main(["config", "check", *flags]) == 0
    told = capsys.readouterr().err
    assert (
        cli.main(["config", "check", *flags, "--set", "telemetry.event_bus_queue_size=auto"]) == 0
    )

    assert told.startswith("ferrite-py: warning: telemetry.event_bus_queue_size: the queues of the")
    assert "16 MiB of storage.max_memory (20 MiB), too much for data" in told
    assert capsys.readouterr().err == ""
