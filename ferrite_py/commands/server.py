"""SHUTDOWN, LOLWUT, and what Python answers of DEBUG."""

import os
import random
import threading
import time

from ferrite_py import __version__
from ferrite_py.commands.info import REDIS_VERSION
from ferrite_py.commands.registry import Call, command
from ferrite_py.commands.reply import (
    NOTHING,
    OK,
    CommandError,
    Reply,
    Verbatim,
    integer_of,
    text_of,
)

SPIN_SECONDS_MAX = 3600


@command(
    "shutdown",
    arity=-1,
    group="server",
    since="1.0.0",
    complexity="O(N) with N the number of connections that still wait for answers",
    summary="Stops the server.",
    syntax="[NOSAVE | SAVE] [NOW] [FORCE] [ABORT]",
    flags=("admin", "noscript", "loading", "stale", "no_multi", "allow_busy"),
)
async def shutdown(call: Call) -> Reply:
    """Stop as SIGTERM does. The connection is closed instead of an answer.

    With a data folder the data are saved; while the disk does not take them the server goes on,
    unless FORCE gives up what cannot be saved. NOSAVE empties the folder instead. NOW is always so,
    because there are no replicas to wait for.
    """
    options = [text_of(word).lower() for word in call.args[1:]]
    unknown = set(options) - {"save", "nosave", "now", "force", "abort"}
    is_contradiction = {"save", "nosave"} <= set(options)
    if unknown or is_contradiction or ("abort" in options and len(options) > 1):
        raise CommandError("ERR syntax error")
    if "abort" in options:
        raise CommandError("ERR No shutdown in progress.")
    has_folder = bool(call.services.settings.config.storage.data_dir)
    if "save" in options and "force" not in options and not has_folder:
        raise CommandError(
            "ERR Errors trying to SHUTDOWN: no persistence is configured, there is nothing to save"
            " with. SHUTDOWN NOSAVE stops without."
        )
    keep = call.services.keep
    if "nosave" in options:
        keep.is_wanted = False
    elif "force" in options:
        keep.give_up()
    elif has_folder and not await keep.prepare(call.services.native):
        raise CommandError("ERR Errors trying to SHUTDOWN. Check logs.")
    call.services.stop(f"SHUTDOWN from client {call.client_id}")
    return NOTHING


@command(
    "lolwut",
    arity=-1,
    group="server",
    since="5.0.0",
    complexity="O(N) with N the size of the picture",
    summary="Draws something, and names the version.",
    syntax="[VERSION version] [columns [rows]]",
    flags=("readonly", "fast"),
)
async def lolwut(call: Call) -> Reply:
    """Answer a picture of a log with its segments; every call draws another."""
    words = list(call.args[1:])
    if len(words) > 1 and words[0].lower() == b"version":
        integer_of(words[1])  # all versions draw the same
        words = words[2:]
    sizes = [integer_of(word) for word in words[:2]] if words and words[0].isdigit() else []
    columns = min(max(sizes[0], 1), 120) if sizes else 48
    rows = min(max(sizes[1], 1), 40) if len(sizes) > 1 else 6
    picture = draw(columns, rows, random.Random())
    name = f"ferrite-py ver. {__version__}, compatible with Redis ver. {REDIS_VERSION}"
    return Verbatim(f"{picture}\n{name}\n")


def draw(columns: int, rows: int, chance: random.Random) -> str:
    """Segments of a log as rows: the oldest above, worn by overwrites; the newest below, whole."""
    lines: list[str] = []
    for row in range(rows):
        wear = 1 - (row + 1) / rows
        cells = [" ░▒▓█"[min(4, int(5 * chance.random() ** (3 * wear)))] for _ in range(columns)]
        filled = columns if row < rows - 1 else chance.randint(1, columns)
        lines.append("".join(cells[:filled]).ljust(columns, "·"))
    return "".join(f"{line}\n" for line in lines)


@command(
    "debug|change-repl-id",
    arity=2,
    group="server",
    since="4.0.0",
    summary="Takes another replication id.",
    flags=("admin", "noscript", "loading", "stale", "protected"),
)
async def debug_change_repl_id(call: Call) -> Reply:
    """Change what INFO shows as `master_replid`."""
    call.services.identity.replication.change()
    return OK


@command(
    "debug|python-spin",
    arity=-3,
    group="server",
    since="7.2.0",
    summary="Computes in a Python thread of the server for a while, as a busy console would.",
    syntax="seconds [cpu]",
    flags=("admin", "noscript", "loading", "stale", "protected"),
)
async def debug_python_spin(call: Call) -> Reply:
    """Begin to burn bytecode in a thread, pinned to a CPU if one is given; answers at once."""
    seconds = integer_of(call.args[2])
    cpu = integer_of(call.args[3]) if len(call.args) > 3 else -1
    if len(call.args) > 4:
        raise CommandError("ERR syntax error")
    if not 0 <= seconds <= SPIN_SECONDS_MAX:
        raise CommandError(f"ERR seconds must be between 0 and {SPIN_SECONDS_MAX}")
    if cpu >= 0 and cpu not in os.sched_getaffinity(0):
        raise CommandError("ERR this server may not run on that CPU")
    # It ends by itself; a daemon, so that it does not hold up a stop.
    threading.Thread(target=_spin, args=(seconds, cpu), name="python-spin", daemon=True).start()
    return OK


def _spin(seconds: int, cpu: int) -> None:
    if cpu >= 0:
        os.sched_setaffinity(0, {cpu})
    until = time.monotonic() + seconds
    total = 0
    while time.monotonic() < until:
        for number in range(10_000):
            total += number
