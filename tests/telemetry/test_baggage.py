"""Members of a caller's baggage become attributes of spans, and never one of the server's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from ferrite_py.config import load
from ferrite_py.errors import ConfigError
from ferrite_py.telemetry.names import COMMAND_CONSTANTS, SLOTS, STORAGE_CONSTANTS
from tests.telemetry.receiver import Receiver
from tests.telemetry.tracing import Start, commands

OWN = sorted(
    name
    for names in (*COMMAND_CONSTANTS, *SLOTS, *STORAGE_CONSTANTS)
    for name in names.under("dup")
)


@pytest.mark.parametrize("name", OWN)
def test_names_of_our_own_attributes_are_refused(tmp_path: Path, name: str) -> None:
    """A span would have the attribute twice."""
    path = tmp_path / "ferrite.toml"
    path.write_text(f'[telemetry]\nbaggage_keys = ["tenant", "{name}"]\n', encoding="utf-8")

    with pytest.raises(ConfigError) as caught:
        load(path, {}, {})

    assert "telemetry.baggage_keys" in str(caught.value)
    assert "expected names that begin with none of cache., db.," in str(caught.value)


def test_names_that_are_like_ours_are_taken(tmp_path: Path) -> None:
    """It is the whole first part of a name that counts."""
    path = tmp_path / "ferrite.toml"
    path.write_text('[telemetry]\nbaggage_keys = ["database", "servers.zone", "user.id"]\n')

    assert load(path, {}, {}).telemetry.baggage_keys == ("database", "servers.zone", "user.id")


def test_a_member_is_an_attribute_under_its_own_name(start: Start, receiver: Receiver) -> None:
    """With its value decoded; CONFIG SET refuses a name of ours, and changes nothing."""
    server = start(baggage_keys="tenant", traces_enabled="yes")
    client = server.client()
    refused = client.command("CONFIG", "SET", "telemetry-baggage-keys", "ferrite.command.key").raw
    fields = ("traceparent", f"00-{'ab' * 16}-{'cd' * 8}-01", "baggage", "tenant=gr%C3%B6%C3%9Fe")
    head = b"".join(b"$%d\r\n%b\r\n" % (len(text), text.encode()) for text in fields)

    client.send(b"|2\r\n" + head + b"*1\r\n$4\r\nPING\r\n")
    client.read()
    spans = {span.name: span for span in commands(receiver, 2)}

    assert b"the server's own attributes" in refused
    assert spans["CONFIG SET"].attributes["db.response.status_code"] == "ERR"
    assert spans["PING"].attributes["tenant"] == "größe"
