"""Two servers, one conversation: every command goes to both and the replies are compared.

A subject that keeps its data in a tier (tests.support.servers) sends them there before each command
or piece of a pipeline.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from tests.support import script
from tests.support.client import Argument, NoReplyError, RawClient, Reply
from tests.support.match import Match, exact, usual
from tests.support.resp import Node, encode, to_bytes
from tests.support.servers import Server

_HISTORY_LINES = 12
_MISMATCHES_SHOWN = 12
_PIECES = 20  # of a pipeline, where data are sent to a tier before each
_SPLIT_MAX = 400  # commands; longer pipelines stay whole


@dataclass(frozen=True, slots=True)
class Newer:
    """A reply that Redis 7.2 gives and the reference, 7.0, does not; `reason` says where from."""

    expected: bytes
    reason: str


class MismatchError(AssertionError):
    """The two servers answered differently."""


def shown(arguments: Sequence[Argument]) -> str:
    """A command as a line for a failure message."""
    words = [repr(to_bytes(argument))[2:-1] or '""' for argument in arguments]
    line = " ".join(words)
    return line if len(line) < 300 else f"{line[:240]} ... ({len(line)} characters)"


class Pair:
    """One connection to each server. `name` tells connections apart in failure messages."""

    def __init__(self, both: Both, name: str, protocol: int) -> None:
        self.name = name
        self.reference = both.reference.client()
        self.subject = both.subject.client()
        self._both = both
        if protocol == 3:
            for client in self.clients:
                client.command("HELLO", "3")

    @property
    def clients(self) -> tuple[RawClient, RawClient]:
        """The reference's connection and the subject's."""
        return self.reference, self.subject

    def close(self) -> None:
        """Close both connections."""
        for client in self.clients:
            client.close()

    def run(
        self, *arguments: Argument, match: Match | None = None, in72: Newer | None = None
    ) -> Node:
        """Run one command on both servers, compare, and return the subject's reply."""
        __tracebackhide__ = True
        self._both.remember(f"{self.name}: {shown(arguments)}")
        self._both.subject.demote()
        for client in self.clients:
            client.send(encode(*arguments))
        return self.compare(shown(arguments), match or usual(arguments), in72)

    def run_each(
        self, values: tuple[str, str], *template: Argument, match: Match | None = None
    ) -> Node:
        """Run a command in which `{}` stands for something that differs, such as a client's id."""
        __tracebackhide__ = True
        self._both.remember(f"{self.name}: {shown(template)} with {values}")
        self._both.subject.demote()
        for client, value in zip(self.clients, values, strict=True):
            client.send(encode(*(value if word == "{}" else word for word in template)))
        return self.compare(shown(template), match or usual(template))

    def addresses(self) -> tuple[str, str]:
        """The clients' own addresses, as CLIENT LIST shows them."""
        found = ["{}:{}".format(*client.socket.getsockname()[:2]) for client in self.clients]
        return found[0], found[1]

    def ids(self) -> tuple[str, str]:
        """CLIENT ID on both sides."""
        found = [client.command("CLIENT", "ID").node.data.decode() for client in self.clients]
        return found[0], found[1]

    def run_many(
        self, commands: Iterable[Sequence[Argument]], match: Match | None = None
    ) -> list[Node]:
        """Run the commands as one pipeline; all differences are reported together."""
        __tracebackhide__ = True
        listed = [tuple(command) for command in commands]
        size = len(listed)
        if self._both.subject.tier:
            size = -(-size // _PIECES) if size <= _SPLIT_MAX else size
        nodes = []
        for begin in range(0, len(listed), max(size, 1)):
            nodes += self._run_piece(listed[begin : begin + size], match)
        return nodes

    def _run_piece(self, listed: list[tuple[Argument, ...]], match: Match | None) -> list[Node]:
        __tracebackhide__ = True
        data = b"".join(encode(*command) for command in listed)
        self._both.remember(f"{self.name}: a pipeline of {len(listed)} commands")
        self._both.subject.demote()
        for client in self.clients:
            client.send(data)
        return self._compare_many(listed, match)

    def script(self, text: str, match: Match | None = None) -> list[Node]:
        """Run a script (see tests.support.script) as one pipeline."""
        __tracebackhide__ = True
        return self.run_many(script.commands(text), match)

    def steps(self, text: str, match: Match | None = None) -> list[Node]:
        """Run a script command by command, each after the reply of the one before."""
        __tracebackhide__ = True
        return [self.run(*command, match=match) for command in script.commands(text)]

    def send(self, data: bytes) -> None:
        """Send raw bytes to both servers; read the replies with `compare` or `compare_end`."""
        self._both.remember(f"{self.name}: raw {data[:200]!r}")
        self._both.subject.demote()
        for client in self.clients:
            client.send(data)

    def compare(self, what: str, match: Match = exact, in72: Newer | None = None) -> Node:
        """Read one reply from each server and compare."""
        __tracebackhide__ = True
        theirs = self._both.read(self.reference, self._both.reference)
        ours = self._both.read(self.subject, self._both.subject)
        if in72 is not None and self._both.subject.is_72:
            if ours.raw != in72.expected:
                wanted = Reply(in72.expected, ours.node)
                self._both.fail(f"{what}\n  {in72.reason}", [(what, wanted, ours)])
        elif not match(theirs, ours):
            self._both.fail(what, [(what, theirs, ours)])
        return ours.node

    def compare_until(self, end: bytes, what: str) -> bytes:
        """Read until both servers have sent `end`; everything up to it must be equal."""
        __tracebackhide__ = True
        found = []
        for client, server in zip(self.clients, self._both.servers, strict=True):
            try:
                found.append(client.read_until(end))
            except NoReplyError as error:
                self._both.fail_plainly(f"{what}: {server.name}: {error}")
        self._compare_bytes(what, *found)
        return found[1]

    def assert_silent(self, what: str) -> None:
        """Neither server has sent anything; a round trip elsewhere gives them the time to."""
        __tracebackhide__ = True
        for client, server in zip(self.clients, self._both.servers, strict=True):
            server.admin.command("PING")
            if client.has_input():
                self._both.fail_plainly(f"{what}: {server.name} answered {client.read_any()}")

    def compare_end(self, what: str) -> bytes:
        """Read until both servers close the connection; everything they sent must be equal."""
        __tracebackhide__ = True
        found = []
        for client, server in zip(self.clients, self._both.servers, strict=True):
            try:
                found.append(client.read_to_end())
            except NoReplyError as error:
                self._both.fail_plainly(f"{what}: {server.name} did not close: {error}")
        self._compare_bytes(what, *found)
        return found[1]

    def _compare_bytes(self, what: str, theirs: bytes, ours: bytes) -> None:
        __tracebackhide__ = True
        if theirs != ours:
            nothing = Node("bytes")
            self._both.fail(what, [(what, Reply(theirs, nothing), Reply(ours, nothing))])

    def _compare_many(
        self, commands: list[tuple[Argument, ...]], match: Match | None
    ) -> list[Node]:
        __tracebackhide__ = True
        nodes = []
        different = []
        for command in commands:
            theirs = self._both.read(self.reference, self._both.reference)
            ours = self._both.read(self.subject, self._both.subject)
            nodes.append(ours.node)
            if not (match or usual(command))(theirs, ours):
                different.append((shown(command), theirs, ours))
        if different:
            self._both.fail(f"{len(different)} of {len(commands)} replies differ", different)
        return nodes


class Both:
    """The reference, the server under test, and the connections of one test."""

    def __init__(self, reference: Server, subject: Server, protocol: int = 2) -> None:
        self.reference = reference
        self.subject = subject
        self.protocol = protocol
        self._history: deque[str] = deque(maxlen=_HISTORY_LINES)
        self._pairs: dict[str, Pair] = {}

    @property
    def servers(self) -> tuple[Server, Server]:
        """The reference and the subject."""
        return self.reference, self.subject

    def client(self, name: str = "main", protocol: int | None = None) -> Pair:
        """The named pair of connections, opened when first asked for."""
        if name not in self._pairs:
            self._pairs[name] = Pair(self, name, protocol or self.protocol)
        return self._pairs[name]

    def close(self) -> None:
        """Close every connection."""
        for pair in self._pairs.values():
            pair.close()
        self._pairs.clear()

    def run(
        self, *arguments: Argument, match: Match | None = None, in72: Newer | None = None
    ) -> Node:
        """Run one command on the main pair."""
        __tracebackhide__ = True
        return self.client().run(*arguments, match=match, in72=in72)

    def run_many(
        self, commands: Iterable[Sequence[Argument]], match: Match | None = None
    ) -> list[Node]:
        """Run a pipeline on the main pair."""
        __tracebackhide__ = True
        return self.client().run_many(commands, match)

    def script(self, text: str, match: Match | None = None) -> list[Node]:
        """Run a script on the main pair as one pipeline."""
        __tracebackhide__ = True
        return self.client().script(text, match)

    def steps(self, text: str, match: Match | None = None) -> list[Node]:
        """Run a script on the main pair step by step."""
        __tracebackhide__ = True
        return self.client().steps(text, match)

    @contextmanager
    def settings(self, **values: str) -> Iterator[None]:
        """CONFIG SET on both servers for a while; underscores in names stand for dashes."""
        before = [self._set_config(server, values) for server in self.servers]
        try:
            yield
        finally:
            for server, old in zip(self.servers, before, strict=True):
                for name, value in old.items():
                    server.admin.command("CONFIG", "SET", name, value)

    def until(self, done: Callable[[Server], bool], what: str) -> None:
        """Ask both servers until `done`; a bounded number of round trips, no sleeping."""
        for server in self.servers:
            if not any(done(server) for _ in range(200_000)):
                self.fail_plainly(f"{server.name}: {what} did not happen")

    def remember(self, line: str) -> None:
        """Add a line to what a failure message tells of the conversation."""
        self._history.append(line)

    def read(self, client: RawClient, server: Server) -> Reply:
        """Read one reply; a server that does not answer fails the test with its log."""
        __tracebackhide__ = True
        try:
            return client.read()
        except NoReplyError as error:
            self.fail_plainly(f"{server.name}: {error}")
            raise

    def fail(self, what: str, different: list[tuple[str, Reply, Reply]]) -> None:
        """Raise MismatchError with the differing replies and the conversation."""
        __tracebackhide__ = True
        lines = [what]
        for command, theirs, ours in different[:_MISMATCHES_SHOWN]:
            lines += [f"  {command}", f"    {self.reference.name}: {theirs!r}"]
            lines.append(f"    {self.subject.name}: {ours!r}")
        if len(different) > _MISMATCHES_SHOWN:
            lines.append(f"  ... and {len(different) - _MISMATCHES_SHOWN} more")
        self.fail_plainly("\n".join(lines))

    def fail_plainly(self, what: str) -> None:
        """Raise MismatchError with the conversation and, when the subject died, its log."""
        __tracebackhide__ = True
        lines = [what, "conversation:", *(f"  {line}" for line in self._history)]
        if not self.subject.is_alive():
            lines += [f"{self.subject.name} has ended; its log:", self.subject.log()]
        raise MismatchError("\n".join(lines))

    def _set_config(self, server: Server, values: dict[str, str]) -> dict[bytes, bytes]:
        old: dict[bytes, bytes] = {}
        for key, value in values.items():
            name = key.replace("_", "-")
            found = server.admin.command("CONFIG", "GET", name).node.pairs()
            assert found, f"{server.name} knows no parameter {name}"
            old |= {name: node.data for name, node in found.items()}
            reply = server.admin.command("CONFIG", "SET", name, value)
            assert reply.raw == b"+OK\r\n", f"{server.name}: CONFIG SET {name} {value}: {reply}"
        return old
