"""How the loop learns of streams that others have woken, when memory runs out as well."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from ferrite_py._native import Server, Stream
from ferrite_py.config import Config
from ferrite_py.listen.streams import WAKES_PER_TURN, StreamProtocol, Streams
from ferrite_py.services import engine_options
from tests.support.resp import encode


def woken_streams(native: Server, count: int) -> list[Stream]:
    """Streams whose WAIT another one has ended, in the order in which it did."""
    streams = [Stream(native, "127.0.0.1:1", "127.0.0.1:2", False, -1) for _ in range(count)]
    other = Stream(native, "127.0.0.1:3", "127.0.0.1:2", False, -1)
    for stream in streams:
        number = stream.feed(encode("CLIENT", "ID") + encode("WAIT", "1", "0"), 0)
        assert other.feed(encode("CLIENT", "UNBLOCK", number[1:-2].decode()), 0) == b":1\r\n"
    other.close()
    return streams


class Resumed:
    """Stands for a protocol; notes what is done to it."""

    def __init__(self, *, fails: bool) -> None:
        self.fails = fails
        self.done: list[str] = []

    def resume(self) -> None:
        """Run out of memory, if it is to."""
        self.done.append("resume")
        if self.fails:
            raise MemoryError

    def abort(self) -> None:
        """Note it."""
        self.done.append("abort")


def test_no_woken_stream_is_lost_when_memory_runs_out() -> None:
    """Taking them needs no memory: with every allocation failing each comes once, in order."""
    testcapi = pytest.importorskip("_testcapi")
    native = Server(engine_options(Config()))
    streams = woken_streams(native, 5)
    streams.pop(2).close()
    taken: list[Stream | None] = [None] * 6

    testcapi.set_nomemory(0)
    try:
        taken[0] = native.take_woken()
        taken[1] = native.take_woken()
        taken[2] = native.take_woken()
        taken[3] = native.take_woken()
        taken[4] = native.take_woken()
    finally:
        testcapi.remove_mem_hooks()

    assert taken == [*streams, None, None]
    assert [stream.resume(0) for stream in streams] == [b":0\r\n"] * 4


def test_a_stream_without_memory_does_not_hold_up_others() -> None:
    """It is closed; those behind it are resumed, even more than one turn of the loop takes."""
    native = Server(engine_options(Config()))
    woken = woken_streams(native, WAKES_PER_TURN + 3)
    protocols = [Resumed(fails=i == 1) for i in range(len(woken))]

    async def run() -> None:
        streams = Streams(native)
        for stream, protocol in zip(woken, protocols, strict=True):
            streams.add(cast(StreamProtocol, protocol), stream)
        streams.wake()
        await asyncio.sleep(0)
        streams.stop_cron()

    asyncio.run(run())

    assert protocols[1].done == ["resume", "abort"]
    assert {tuple(one.done) for one in protocols if not one.fails} == {("resume",)}
