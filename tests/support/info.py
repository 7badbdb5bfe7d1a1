"""What INFO tells, by field."""

from __future__ import annotations

from tests.support.client import RawClient


def info(client: RawClient, *sections: str) -> dict[str, str]:
    """The fields of these sections of INFO, or of all that it shows by itself."""
    lines = client.command("INFO", *sections).node.text.splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)
