"""What `ferrite-py doctor` finds, and the machine that it looks at.

What a check reads from the machine is in `Host`, so that tests can give it another one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ferrite_py.ceiling import Own

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found: `level` is ok, warn or fail; `remedy` is empty when it is ok."""

    level: Level
    subject: str
    message: str
    remedy: str = ""

    @property
    def line(self) -> str:
        """The finding as it is printed."""
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{self.level:<4}  {self.subject}: {self.message}{remedy}"


@dataclass(frozen=True, slots=True)
class Host:
    """The machine: the folder that holds /proc and /sys, and this process's limits (-1: none)."""

    root: Path
    files_soft: int
    files_hard: int
    memlock_bytes: int
    io_uring_errno: int = 0
    """Why the kernel refuses io_uring; 0 when it does not."""
    environ: Mapping[str, str] = field(default_factory=dict)
    own: Own | None = None
    """What the server takes before it has any data; None when that was not measured."""

    def read(self, path: str) -> str:
        """The text of a file below the root, without blanks around it; empty if there is none."""
        try:
            return (self.root / path).read_text(encoding="utf-8").strip()
        except OSError:
            return ""
