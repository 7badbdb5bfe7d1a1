"""Open files: one for each connection that is allowed, and the segment files beside them."""

import resource

RESERVED_FILES = 32
"""Descriptors beside those of clients: listening sockets, event queues, files, asyncio's own."""


SEGMENT_FILES_MIN = 1024
"""Segment files that have room beside the clients, or half of the limit where that is less."""

SEGMENT_FILES_WANTED = 1 << 18
"""As many as the limit is raised for at least, if the system lets us."""


def raise_file_limit(connections: int, *, segments: bool = False) -> int:
    """Raise the process's soft limit so that so many clients fit, if the system lets us.

    With `segments`, there is to be room for segment files as well. Returns how many clients fit
    then; `connections` when all do.
    """
    wanted = connections + RESERVED_FILES + (SEGMENT_FILES_WANTED if segments else 0)
    soft = _raise(wanted, most=segments)
    if soft == resource.RLIM_INFINITY:
        return connections
    files = min(SEGMENT_FILES_MIN, soft // 2) if segments else 0
    return min(connections, max(1, soft - RESERVED_FILES - files))


def segment_files_max(connections: int) -> int:
    """How many segment files may be open so that all clients fit beside them; 0: no limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return 0
    return max(1, soft - RESERVED_FILES - connections)


def _raise(wanted: int, *, most: bool) -> int:
    """Raise the soft limit to what is wanted, or as far as possible; return what it is then.

    With `most`, to the hard limit if that is higher.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most and hard != resource.RLIM_INFINITY:
        wanted = max(wanted, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft
    for new_soft, new_hard in _attempts(wanted, hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (new_soft, new_hard))
        except (ValueError, OSError):
            continue
        return new_soft
    return soft


def _attempts(wanted: int, hard: int) -> list[tuple[int, int]]:
    """Limits to try in turn. Only a privileged process may raise the hard one."""
    if hard == resource.RLIM_INFINITY or hard >= wanted:
        return [(wanted, hard)]
    return [(wanted, wanted), (hard, hard)]
