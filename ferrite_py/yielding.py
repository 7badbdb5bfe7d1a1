"""Threads that export take the processor when those that serve do not want it.

Ordinarily a thread of work that goes on for milliseconds makes a serving thread on the same core
wait for as long. One that gives way is not put before a thread that runs, is put behind one that
wakes, and has about a tenth of a core on which others compute all the time: so it does not starve,
and what it holds, such as the interpreter's lock, is let go of again. Where cores are idle it
has all it wants.

That is too little for threads that enter the engine: while one that holds its lock waits for its
tenth, every thread that serves waits with it. Those step back only: they are not put before
anybody, and have their share.
"""

import contextlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

NICENESS = 10

Made = TypeVar("Made")


def give_way() -> None:
    """Make the calling thread give way, and those that it starts from now on; not undone.

    Where the system does not allow it nothing changes.
    """
    with contextlib.suppress(OSError):
        niceness = os.getpriority(os.PRIO_PROCESS, 0)
        os.setpriority(os.PRIO_PROCESS, 0, max(niceness, NICENESS))
    step_back()


def step_back() -> None:
    """Let the calling thread, and those that it starts from now on, be put before nobody.

    For threads that enter the engine. Where the system does not allow it nothing changes.
    """
    with contextlib.suppress(OSError):
        if os.sched_getscheduler(0) == os.SCHED_OTHER:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def yielding(make: Callable[[], Made], how: Callable[[], None] = give_way) -> Made:
    """Return what `make` returns, whose threads give way: it runs in a thread that does.

    Libraries start threads of their own, and those inherit how they are scheduled. `how` may be
    `step_back`.
    """
    with ThreadPoolExecutor(1, "telemetry-start", initializer=how) as thread:
        return thread.submit(make).result()
