"""Threads that give way to those that serve."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from ferrite_py._native import Server
from ferrite_py.config import Config, Sources
from ferrite_py.measure import Meter
from ferrite_py.services import engine_options
from ferrite_py.standing import Standing
from ferrite_py.telemetry.export import Exporting
from ferrite_py.web.app import Admin
from ferrite_py.yielding import NICENESS, give_way, step_back, yielding
from tests.support.process import Process
from tests.telemetry.receiver import Receiver

Scheduling = tuple[int, int]
YIELDS: Scheduling = (os.SCHED_BATCH, NICENESS)
STEPS_BACK: Scheduling = (os.SCHED_BATCH, os.getpriority(os.PRIO_PROCESS, 0))


def scheduling() -> Scheduling:
    """How the calling thread is scheduled."""
    return os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)


def within() -> tuple[Scheduling, Scheduling]:
    """The same of the calling thread, and of one that it starts."""
    with ThreadPoolExecutor(1) as started:
        return scheduling(), started.submit(scheduling).result()


needs_ordinary = pytest.mark.skipif(
    scheduling()[0] != os.SCHED_OTHER or scheduling()[1] > NICENESS,
    reason="the tests themselves are not scheduled as usual",
)


@needs_ordinary
def test_what_is_made_gives_way() -> None:
    """Its threads do, and those that they start; the one that asked stays as it was."""
    before = scheduling()

    assert yielding(within) == (YIELDS, YIELDS)
    assert yielding(within, step_back) == (STEPS_BACK, STEPS_BACK)
    assert scheduling() == before


@contextmanager
def metering() -> Iterator[tuple[Server, Meter, list[Scheduling]]]:
    """A native server, a meter of it, and how each thread that asked it was scheduled."""
    native = Server(engine_options(Config()))
    meter, found = Meter(native, 0.0), []

    def source() -> list[tuple[str, list[tuple[tuple[str, ...], int]]]]:
        found.append(scheduling())
        return []

    meter.add_engine_source(source)
    yield native, meter, found
    native.close()


@needs_ordinary
def test_what_exports_metrics_keeps_its_share() -> None:
    """It enters the engine, whose lock nobody may hold who waits for a tenth of a core."""
    with Receiver() as receiver, metering() as (native, meter, found):
        flags = {
            "telemetry.enabled": "yes",
            "telemetry.endpoint": receiver.grpc_endpoint,
            "telemetry.traces_enabled": "no",
            "telemetry.metrics_export_interval": "20ms",
        }
        sources = Sources(None, {}, flags)
        exporting = Exporting(native, sources.load().config, sources, "id", meter)
        exporting.start()
        receiver.wait(lambda one: len(one.arrivals("metrics")) >= 1)
        assert set(found) == {STEPS_BACK}
        exporting.finish()


@needs_ordinary
def test_the_page_keeps_its_share() -> None:
    """For the same reason."""
    with metering() as (native, meter, found):
        standing = Standing()
        standing.enter_engine(native)
        admin = Admin(meter, standing, "dup")
        admin._pages.submit(admin._render, "").result()
        admin.close()

    assert found == [STEPS_BACK]


def test_errors_of_making_arrive() -> None:
    """As they are raised, where they were asked for."""

    def fail() -> None:
        raise ValueError(threading.current_thread().name)

    with pytest.raises(ValueError, match="telemetry-start"):
        yielding(fail)


@needs_ordinary
def test_a_thread_that_is_lower_already_stays_there() -> None:
    """Giving way never raises anybody."""
    found: list[Scheduling] = []

    def run() -> None:
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS + 5)
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        give_way()
        found.append(scheduling())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()

    assert found == [(os.SCHED_IDLE, NICENESS + 5)]


@needs_ordinary
def test_exporters_of_a_server_give_way_to_its_reactors(tmp_path: Path) -> None:
    """The libraries' own threads too, while traces, metrics and logs are exported."""
    with Receiver() as receiver:
        settings = {
            "telemetry.enabled": "yes",
            "telemetry.endpoint": receiver.grpc_endpoint,
            "telemetry.batch_timeout_ms": "20",
            "server.io_threads": "1",
        }
        server = Process(tmp_path, *(f"{name}={text}" for name, text in settings.items()))
        with server.client() as client:
            client.pipeline([("PING",)])
            receiver.wait_for_spans(1, lambda span: span.name == "PING")
        found: dict[str, set[Scheduling]] = {}
        for task in Path(f"/proc/{server.process.pid}/task").iterdir():
            tid = int(task.name)
            one = (os.sched_getscheduler(tid), os.getpriority(os.PRIO_PROCESS, tid))
            found.setdefault((task / "comm").read_text().strip(), set()).add(one)
        server.stop()

    assert found["reactor-0"] == {scheduling()}
    assert found["event_engine"] == {YIELDS}
    others = {name for name, how in found.items() if YIELDS in how}
    assert len(others) >= 2  # Python's threads, which bear the name of the process
