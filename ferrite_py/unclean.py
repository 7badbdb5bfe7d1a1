"""What starts after unclean stops have set aside in a data folder. Only people remove it."""

import contextlib
from pathlib import Path


def set_aside(folder: Path) -> tuple[int, int]:
    """How many folders there are, and the bytes of the files in them."""
    count = size = 0
    for one in folder.glob("log.unclean-*"):
        with contextlib.suppress(OSError):  # somebody may be removing it
            size += sum(file.stat().st_size for file in one.iterdir())
            count += 1
    return count, size
