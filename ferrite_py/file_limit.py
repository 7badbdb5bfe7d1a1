"""Open files: as many as the connections that the configuration allows."""

import resource

RESERVED_FILES = 32
"""Descriptors beside those of clients: listening sockets, event queues, files, asyncio's own."""


def raise_file_limit(connections: int) -> int:
    """Raise the process's soft limit so that so many clients fit, if the system lets us.

    Returns how many clients fit then; `connections` when all do.
    """
    wanted = connections + RESERVED_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return connections
    for new_soft, new_hard in _attempts(wanted, hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (new_soft, new_hard))
        except (ValueError, OSError):
            continue
        soft = new_soft
        break
    return min(connections, max(1, soft - RESERVED_FILES))


def _attempts(wanted: int, hard: int) -> list[tuple[int, int]]:
    """Limits to try in turn. Only a privileged process may raise the hard one."""
    if hard == resource.RLIM_INFINITY or hard >= wanted:
        return [(wanted, hard)]
    return [(wanted, wanted), (hard, hard)]
