"""Running Python's commands on real requests: a session fed with bytes, no sockets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ferrite_py._native import Server, Stream
from ferrite_py.commands.facts import facts_of
from ferrite_py.commands.families import TABLE
from ferrite_py.commands.info import SECTIONS, chosen_sections, render
from ferrite_py.commands.memory import diagnose
from ferrite_py.commands.registry import Call, Table, command
from ferrite_py.commands.reply import CommandError, Reply
from ferrite_py.commands.runner import Runner
from ferrite_py.config import Config, Sources
from ferrite_py.rates import Durations, Rates
from ferrite_py.services import Identity, Services, Settings, engine_options
from tests.support.resp import encode, parse


class Engine:
    """An engine with one session, and the services around it."""

    def __init__(self, table: Table = TABLE) -> None:
        config = Config()
        self.native = Server(engine_options(config))
        for row in table.rows():
            self.native.register(row)
        self.stops: list[str] = []
        self.services = Services(
            native=self.native,
            settings=Settings(config, None, Sources(None, {}, {}), self.native),
            identity=Identity(startup_memory=self.native.statistics()["used_memory"]),
            rates=Rates(("commands", "net_in", "net_out")),
            durations=Durations(),
            stop=self.stops.append,
        )
        self.runner = Runner(self.services, table)
        self.stream = Stream(self.native, "127.0.0.1:1", "127.0.0.1:2", False, -1)

    async def ask(self, *words: str) -> bytes:
        """Send one command and return the bytes of its reply."""
        output = self.stream.feed(encode(*words), 0)
        self.runner.start(self.native.take_requests())
        while self.stream.waits:
            await asyncio.sleep(0)
            while (stream := self.native.take_woken()) is not None:
                output += stream.resume(0)
        return output


def ask(*words: str, table: Table = TABLE) -> bytes:
    """The reply to one command on a new engine."""
    return asyncio.run(Engine(table).ask(*words))


def table_of(run: Callable[[Call], Awaitable[Reply]]) -> Table:
    """A table with one command, `ODD`."""
    made = command("odd", arity=-1, group="server", since="7.2.0", summary="Odd.")(run)
    return Table({"odd": made})


def test_a_refused_command() -> None:
    """An error that a command raises on purpose is its reply, and counts as an error."""

    async def refuse(call: Call) -> Reply:
        raise CommandError(f"ODD {len(call.args)} words")

    engine = Engine(table_of(refuse))

    assert asyncio.run(engine.ask("ODD", "x")) == b"-ODD 2 words\r\n"
    assert engine.native.error_counts() == {"ODD": 1}


@pytest.mark.parametrize("mistake", ["raises", "answers nonsense"])
def test_a_broken_command(mistake: str, caplog: pytest.LogCaptureFixture) -> None:
    """A mistake of ours is logged with its traceback; the session gets an error and goes on."""

    async def fail(call: Call) -> Reply:  # noqa: ARG001 - commands have one signature
        if mistake == "raises":
            raise ZeroDivisionError
        return object()  # type: ignore[return-value]

    async def talk() -> list[bytes]:
        engine = Engine(table_of(fail))
        return [await engine.ask("ODD"), await engine.ask("PING")]

    with caplog.at_level(logging.ERROR):
        replies = asyncio.run(talk())

    assert replies == [b"-ERR internal error\r\n", b"+PONG\r\n"]
    assert [record.exc_info is not None for record in caplog.records] == [True]


def test_finish_cancels_what_still_runs() -> None:
    """At the end no task is left."""

    async def hang(call: Call) -> Reply:  # noqa: ARG001 - commands have one signature
        await asyncio.Event().wait()
        return None

    async def talk() -> int:
        engine = Engine(table_of(hang))
        engine.stream.feed(encode("ODD"), 0)
        engine.runner.start(engine.native.take_requests())
        await asyncio.sleep(0)
        await engine.runner.finish()
        return len(asyncio.all_tasks())

    assert asyncio.run(talk()) == 1


def test_durations_are_counted() -> None:
    """INFO shows how long Python's commands took."""

    async def talk() -> tuple[bytes, bytes]:
        engine = Engine()
        await engine.ask("COMMAND", "COUNT")
        return await engine.ask("INFO", "commandstats"), await engine.ask("INFO", "latencystats")

    commandstats, latencystats = asyncio.run(talk())

    fields = parse(commandstats).text.splitlines()
    [line] = [line for line in fields if line.startswith("cmdstat_command|count:")]
    assert "calls=1,usec=" in line
    assert "usec=0," not in line
    assert "latency_percentiles_usec_command|count:p50=" in parse(latencystats).text


def test_shutdown() -> None:
    """SHUTDOWN asks for the stop and answers nothing."""

    async def talk() -> tuple[bytes, list[str]]:
        engine = Engine()
        return await engine.ask("SHUTDOWN", "NOW", "FORCE"), engine.stops

    reply, stops = asyncio.run(talk())

    assert reply == b""
    assert stops == ["SHUTDOWN from client 1"]


def test_config_set_reaches_the_engine() -> None:
    """A changed parameter counts at once; one that is refused changes nothing."""

    async def talk() -> list[bytes]:
        engine = Engine()
        return [
            await engine.ask("CONFIG", "SET", "proto-max-bulk-len", "1mb", "timeout", "5"),
            await engine.ask("CONFIG", "SET", "timeout", "6", "hz", "x"),
            await engine.ask("CONFIG", "GET", "timeout"),
            engine.stream.feed(b"*2\r\n$4\r\nECHO\r\n$1048577\r\n", 0),
        ]

    replies = asyncio.run(talk())

    assert replies[0] == b"+OK\r\n"
    assert replies[1].startswith(b"-ERR CONFIG SET failed")
    assert replies[2].endswith(b"$1\r\n5\r\n")
    assert replies[3] == b"-ERR Protocol error: invalid bulk length\r\n"


def test_rewrite_needs_a_file(tmp_path: Path) -> None:
    """Without a file there is nothing to write; an unwritable one is an error reply."""

    async def talk() -> bytes:
        engine = Engine()
        engine.services.settings.path = tmp_path / "missing" / "ferrite.toml"
        await engine.ask("CONFIG", "SET", "timeout", "5")
        return await engine.ask("CONFIG", "REWRITE")

    assert ask("CONFIG", "REWRITE") == b"-ERR The server is running without a config file\r\n"
    assert asyncio.run(talk()).startswith(b"-ERR Rewriting config file: ")


def test_chosen_sections() -> None:
    """Names, groups of them, any case; the order is the reply's own."""
    assert chosen_sections(["KEYSPACE", "server", "nosuch"]) == ["server", "keyspace"]
    assert chosen_sections([]) == chosen_sections(["default"])
    assert "commandstats" not in chosen_sections([])
    assert set(chosen_sections(["all"])) == set(SECTIONS) - {"ferrite"}
    assert chosen_sections(["everything"]) == list(SECTIONS)
    assert chosen_sections(["hybridlog"]) == ["hybridlog"]
    assert "hybridlog" not in chosen_sections([])
    assert "hybridlog" in chosen_sections([], is_tiered=True)


def test_info_lines() -> None:
    """Every line is a title, a field with a value, or empty between two sections."""
    text = render(SECTIONS, facts_of(Engine().services))

    assert text.endswith("\r\n")
    assert text.count("# ") == len(SECTIONS)
    for line in text.split("\r\n"):
        assert not line or line.startswith("# ") or ":" in line, line
    names = [line.partition(":")[0] for line in text.split("\r\n") if ":" in line]
    assert len(names) == len(set(names))


def test_memory_doctor_of_an_empty_server() -> None:
    """Nothing can be said of a server without data."""
    assert "hardly any data" in diagnose(facts_of(Engine().services))


def test_memory_stats() -> None:
    """The parts add up."""

    async def talk() -> bytes:
        engine = Engine()
        for number in range(100):
            await engine.ask("SET", f"key {number}", "x" * 100)
        return await engine.ask("MEMORY", "STATS")

    fields = parse(asyncio.run(talk())).pairs()

    used = fields[b"total.allocated"].integer
    assert fields[b"keys.count"].integer == 100
    assert fields[b"overhead.total"].integer + fields[b"dataset.bytes"].integer == used
    assert fields[b"dataset.bytes"].integer >= 100 * 100
    assert fields[b"peak.allocated"].integer >= used


@pytest.mark.parametrize("words", [(), ("VERSION", "5"), ("8", "2"), ("VERSION", "1", "3", "4")])
def test_lolwut(words: tuple[str, ...]) -> None:
    """A picture of the size asked for, and the version as clients look for it."""
    lines = parse(ask("LOLWUT", *words)).text.splitlines()

    sizes = [int(word) for word in words if word.isdigit()][-2:] if len(words) > 2 else []
    columns, rows = sizes or ([8, 2] if words[:1] == ("8",) else [48, 6])
    assert [len(line) for line in lines[:-2]] == [columns] * rows
    assert lines[-1].endswith("Redis ver. 7.2.0")


def test_python_spin_is_bounded() -> None:
    """The benchmark's switch takes no more than an hour, and only CPUs that there are."""
    assert b"not allowed" in ask("DEBUG", "PYTHON-SPIN", "1")
