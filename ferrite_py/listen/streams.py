"""The asyncio transport: a protocol around a native session, for TLS and for any platform.

All of it runs in the loop's thread. A stream's replies are written as they come; what the peer has
not taken yet is told to the session with every call, so that it can stop running commands, and the
protocol stops reading when the session wants no more.
"""

import asyncio
import logging
import select
import ssl
import time
from typing import cast

from ferrite_py._native import Server, Stream
from ferrite_py.certificates import Certificates
from ferrite_py.listen.carrier import Accepted

log = logging.getLogger(__name__)

CRON_SECONDS = 1.0
HANDSHAKE_SECONDS = 10.0
SHUTDOWN_SECONDS = 1.0
"""How long the end of a TLS connection waits for the peer's farewell."""

ABORT_SECONDS = 1.0
"""How long the loop gets to report the end of connections that were aborted."""

WRITE_HIGH = 256 << 10
"""Unsent bytes at which the transport calls pause_writing; the session's own mark is 1 MiB."""

WRITE_LOW = 64 << 10
WAKES_PER_TURN = 64
"""Woken sessions that are looked at before the loop turns to something else."""

DRAIN_SECONDS = 0.005
"""How often a connection that is about to end is looked at again."""


class StreamProtocol(asyncio.Protocol):
    """One connection."""

    def __init__(self, streams: "Streams", accepted: Accepted) -> None:
        self._streams = streams
        self._accepted = accepted
        self._loop = asyncio.get_running_loop()
        self._is_reading = True
        self._is_eof = False
        self._goes_on = False
        self._is_writing_paused = False
        self._due_ms = 0
        self._timer: asyncio.TimerHandle | None = None
        self._look_again: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport
        self._stream: Stream | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Open the session."""
        # uvloop's transports have the interface without the base class.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(WRITE_HIGH, WRITE_LOW)
        accepted = self._accepted
        try:
            self._stream = Stream(
                self._streams.native, accepted.addr, accepted.laddr, accepted.is_unix, self.fileno()
            )
        except MemoryError:
            log.warning("closed a new connection from %s: out of memory", accepted.addr)
            self._transport.abort()
            return
        self._streams.add(self, self._stream)

    def data_received(self, data: bytes) -> None:
        """Serve what has come."""
        if self._stream is not None:
            self._send(self._stream.feed(data, self._unsent()))

    def eof_received(self) -> bool:
        """Close, but not before the replies are there; with TLS asyncio always closes at once."""
        if self._stream is None or not self._owes_replies(self._stream):
            return False
        self._is_eof = True
        return self._transport.get_extra_info("ssl_object") is None

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Close the session."""
        for timer in (self._timer, self._look_again):
            if timer is not None:
                timer.cancel()
        if self._stream is not None:
            self._streams.remove(self._stream)
            self._stream.close()
            self._stream = None
        self._streams.release(self._accepted)

    def pause_writing(self) -> None:
        """Remember that the peer does not keep up; the session learns it with the next call."""
        self._is_writing_paused = True

    def resume_writing(self) -> None:
        """Go on: the peer has caught up."""
        self._is_writing_paused = False
        self.resume()

    def resume(self) -> None:
        """Look at the session again, because what it waited for may have come."""
        self._goes_on = False
        if self._stream is not None:
            self._send(self._stream.resume(self._unsent()))

    def cron(self) -> None:
        """Check its timeouts and limits."""
        if self._stream is not None:
            self._stream.cron(self._unsent())
            self._settle(self._stream)

    def drain(self) -> None:
        """Close when what was received is read, answered and sent."""
        if self._stream is not None:
            self._send(self._stream.wait_no_more(self._unsent()))

    def abort(self) -> None:
        """Close without sending what waits."""
        self._transport.abort()

    def has_input(self) -> bool:
        """Whether the kernel holds bytes that the session would read."""
        if self._stream is None or self._is_eof or self._transport.is_closing():
            return False
        if not self._stream.wants_input:
            return False
        poll = select.poll()
        poll.register(self.fileno(), select.POLLIN)
        return any(events & select.POLLIN for _, events in poll.poll(0))

    def fileno(self) -> int:
        """The socket's descriptor."""
        descriptor: int = self._transport.get_extra_info("socket").fileno()
        return descriptor

    def _unsent(self) -> int:
        return self._transport.get_write_buffer_size()

    def _send(self, output: bytes) -> None:
        if output:
            self._transport.write(output)
        if self._stream is None:
            return
        # A session that stopped because much was unsent goes on here when all of it was sent at
        # once; then the transport has nothing to call resume_writing for. It settles then.
        if len(output) > WRITE_HIGH and not self._is_writing_paused:
            self._goes_on = True
            self._loop.call_soon(self.resume)
        else:
            self._settle(self._stream)

    def _settle(self, stream: Stream) -> None:
        """Follow the session's state: close, read or not, and when to look again."""
        if stream.closing or (self._is_last() and not self._owes_replies(stream)):
            if stream.cut_off:
                self._transport.abort()
            else:
                self._transport.close()  # after what waits has been sent
            return
        if self._is_last() and self._unsent() > 0 and self._look_again is None:
            # The transport may send it all without a call of pause_writing and resume_writing.
            self._look_again = self._loop.call_later(DRAIN_SECONDS, self._on_look_again)
        self._read_if(stream.wants_input and not self._is_eof)
        if stream.due_ms != self._due_ms:
            self._set_timer(stream.due_ms)

    def _on_look_again(self) -> None:
        self._look_again = None
        self.resume()

    def _owes_replies(self, stream: Stream) -> bool:
        """Whether what was received will be answered when Python or the reader has caught up."""
        return stream.waits or self._goes_on or self._unsent() > 0

    def _is_last(self) -> bool:
        """Whether nothing more will be read."""
        return self._is_eof or (self._streams.is_draining and not self.has_input())

    def _read_if(self, is_wanted: bool) -> None:
        if is_wanted == self._is_reading or self._transport.is_closing():
            return
        self._is_reading = is_wanted
        if is_wanted:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def _set_timer(self, due_ms: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._due_ms = due_ms
        if due_ms:
            # The session compares whole milliseconds: rather late than early.
            wait_s = (due_ms + 1) / 1000 - time.monotonic()
            self._timer = self._loop.call_later(max(0.0, wait_s), self._on_due)

    def _on_due(self) -> None:
        self._timer = None
        self._due_ms = 0
        self.resume()


class Streams:
    """All connections that asyncio carries."""

    def __init__(self, native: Server) -> None:
        self.native = native
        self.is_draining = False
        self._loop = asyncio.get_running_loop()
        self._carried: set[Accepted] = set()
        self._protocols: dict[Stream, StreamProtocol] = {}
        self._setting_up: set[asyncio.Task[None]] = set()
        self._is_empty = asyncio.Event()
        self._is_empty.set()
        self._cron = self._loop.call_later(CRON_SECONDS, self._run_cron)

    @property
    def connections(self) -> int:
        """How many connections there are, those in their handshake included."""
        return len(self._carried)

    def carry(self, accepted: Accepted, context: ssl.SSLContext | None) -> None:
        """Take over a connection; a task of this object makes its transport."""
        self._carried.add(accepted)
        self._is_empty.clear()
        task = self._loop.create_task(self._connect(accepted, context))
        self._setting_up.add(task)
        task.add_done_callback(self._setting_up.discard)

    def release(self, accepted: Accepted) -> None:
        """Count a connection no more."""
        self._carried.discard(accepted)
        if not self._carried:
            self._is_empty.set()

    def add(self, protocol: StreamProtocol, stream: Stream) -> None:
        """Remember an open session."""
        self._protocols[stream] = protocol

    def remove(self, stream: Stream) -> None:
        """Forget a session that is closed."""
        self._protocols.pop(stream, None)

    def wake(self) -> None:
        """Look at sessions again of which the native server says that something has come."""
        for _ in range(WAKES_PER_TURN):
            stream = self.native.take_woken()
            if stream is None:
                return
            protocol = self._protocols.get(stream)
            if protocol is not None:
                self._resume(protocol)
        # Others may wake as fast as this resumes (a MONITOR): the loop has more to do.
        self._loop.call_soon(self.wake)

    def _resume(self, protocol: StreamProtocol) -> None:
        try:
            protocol.resume()
        except MemoryError:
            log.warning("closed a connection: no memory for its replies")
            protocol.abort()

    def stop_cron(self) -> None:
        """Check timeouts no more."""
        self._cron.cancel()

    async def drain(self, deadline_s: float) -> None:
        """Answer what has been received, send it and close; after the deadline close as it is."""
        self.stop_cron()
        for task in self._setting_up:
            task.cancel()
        await asyncio.gather(*self._setting_up, return_exceptions=True)
        self.is_draining = True
        end_s = self._loop.time() + deadline_s
        while self._carried and self._loop.time() < end_s:
            for protocol in self._all():
                protocol.drain()
            await self._emptied(DRAIN_SECONDS)
        if self._carried:
            for protocol in self._all():
                protocol.abort()
            if not await self._emptied(ABORT_SECONDS):
                log.error("%d connections could not be closed", len(self._carried))

    async def _emptied(self, seconds: float) -> bool:
        """Wait until there is no connection, but no longer than that."""
        try:
            await asyncio.wait_for(self._is_empty.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def _connect(self, accepted: Accepted, context: ssl.SSLContext | None) -> None:
        try:
            await self._loop.connect_accepted_socket(
                lambda: StreamProtocol(self, accepted),
                accepted.socket,
                ssl=context,
                ssl_handshake_timeout=HANDSHAKE_SECONDS if context else None,
                ssl_shutdown_timeout=SHUTDOWN_SECONDS if context else None,
            )
        except OSError as error:
            # The peer's fault: no TLS at all, a certificate that is not accepted, or it has gone.
            log.info("a connection from %s failed: %s", accepted.addr, error)
            self._give_up(accepted)
        except asyncio.CancelledError:
            self._give_up(accepted)
            raise

    def _give_up(self, accepted: Accepted) -> None:
        accepted.socket.close()
        self.release(accepted)

    def _all(self) -> list[StreamProtocol]:
        return list(self._protocols.values())

    def _run_cron(self) -> None:
        self._cron = self._loop.call_later(CRON_SECONDS, self._run_cron)
        for protocol in self._all():
            protocol.cron()


class StreamCarrier:
    """Hands the connections of a listener to the streams, all with TLS or all without."""

    def __init__(self, streams: Streams, certificates: Certificates | None) -> None:
        self._streams = streams
        self._certificates = certificates

    def carry(self, accepted: Accepted) -> None:
        """Take over a connection."""
        context = self._certificates.context if self._certificates is not None else None
        self._streams.carry(accepted, context)
