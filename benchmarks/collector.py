"""The receiver of telemetry for benchmarks: collector.c in a process of its own."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from benchmarks import generators, proc
from benchmarks.servers import BenchmarkError

Behaviour = Literal["take", "hang", "error", "dead"]

POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Counts:
    """What has arrived so far, as collector.c says it."""

    ports: tuple[int, int]
    requests: int
    spans: int
    commands: int
    """Spans of kind SERVER: one for each command."""
    bytes: int
    others: int
    """Requests of metrics and logs."""
    refused: int
    """Requests of all signals that were not answered, or with an error."""
    malformed: int


def parse_counts(line: bytes) -> Counts:
    """Read one line of collector.c."""
    found = json.loads(line)
    traces, others = found.pop("ports")
    return Counts(ports=(traces, others), **found)


class Collector:
    """A running collector."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        """Take over a process that has just been started."""
        self._process = process
        self.ports = self._answer().ports

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def _answer(self) -> Counts:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise BenchmarkError("the collector has ended")
        return parse_counts(line)

    def _order(self, word: str) -> Counts:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n".encode())
        self._process.stdin.flush()
        found = self._answer()
        if found.malformed:
            raise BenchmarkError(f"{found.malformed} requests to the collector are malformed")
        return found

    def behave(self, behaviour: Behaviour) -> Counts:
        """Meet requests like that from now on."""
        return self._order(behaviour)

    def counts(self) -> Counts:
        """Return what has arrived so far.

        Raises:
            BenchmarkError: it has ended, or something arrived that is no request of traces.
        """
        return self._order("count")

    def wait_for(self, is_enough: Callable[[Counts], bool], deadline_s: float) -> Counts:
        """Wait until enough has arrived or the deadline has passed; return what has."""
        end = time.monotonic() + deadline_s
        found = self.counts()
        while not is_enough(found) and time.monotonic() < end:
            time.sleep(POLL_S)
            found = self.counts()
        return found

    def settled(self, quiet_s: float, deadline_s: float = 60.0) -> Counts:
        """Wait until no span has come for `quiet_s`; return what has.

        Raises:
            BenchmarkError: spans still come at the deadline.
        """
        end = time.monotonic() + deadline_s
        found, since = self.counts(), time.monotonic()
        while time.monotonic() - since < quiet_s:
            time.sleep(POLL_S)
            now = self.counts()
            if now.spans != found.spans:
                since = time.monotonic()
            found = now
            if time.monotonic() > end:
                raise BenchmarkError(f"spans still arrive after {deadline_s:g} s")
        return found


@contextlib.contextmanager
def running(core: int) -> Iterator[Collector]:
    """Start a collector on `core`; end it at the end."""
    with proc.pinned(core):
        process = subprocess.Popen(
            [str(generators.compiled("collector"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
    try:
        yield Collector(process)
    finally:
        proc.stop(process, deadline_s=2.0)
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        process.stdout.close()
