"""Threads that give way to those that serve."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ferrite_py.yielding import NICENESS, give_way, yielding
from tests.support.process import Process
from tests.telemetry.receiver import Receiver

Scheduling = tuple[int, int]
YIELDS: Scheduling = (os.SCHED_BATCH, NICENESS)


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
    assert scheduling() == before


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
