"""The Python examples of docs/clients.md run, and the server is told what they promise."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.client.fake import FakeServer
from tests.house.sources import ROOT


def test_the_examples_pass_their_trace_on(server: FakeServer) -> None:
    """Run as one program in their order, every command on a key is marked."""
    text = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    code = "\n".join(blocks).replace("6379", str(server.port)).replace("localhost", "127.0.0.1")

    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)

    used = server.named("SET", "GET")
    assert len(blocks) == 3
    assert ["SET", "GET", "SET", "GET", "GET"] == [request.name for request in used]
    assert all(request.traceparent for request in used)
    assert len({request.traceparent for request in used}) == 4  # a pipeline has one client span
