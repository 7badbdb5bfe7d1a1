"""Secrets in the URLs of collectors are sent to them, and told to nobody else."""

from __future__ import annotations

import base64
import time
from pathlib import Path

import pytest

from ferrite_py.hidden import masked, without_secrets
from tests.support.process import Process
from tests.support.waiting import until
from tests.telemetry.receiver import Receiver
from tests.telemetry.tracing import traced


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("", ""),
        ("http://h:4318/v1", "http://h:4318/v1"),
        ("h:4317", "h:4317"),
        ("me:pw@h:4317", "***@h:4317"),
        ("https://me@h", "https://***@h"),
        ("http://me:p/w@x@h/v1", "http://***@h/v1"),
        ("http://h/v1?token=a@b", "http://h/v1?***"),
    ],
)
def test_urls_without_secrets(url: str, shown: str) -> None:
    """The place is left."""
    assert shown == without_secrets(url)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "cannot connect to http://me:pw@h:1/v1, why?",
            "cannot connect to http://***@h:1/v1, why?",
        ),
        (
            "exceeded with url: /v1/logs?token=a%20b (Caused",
            "exceeded with url: /v1/logs?*** (Caused",
        ),
        ("https://h/v1?a=b&c=d refused", "https://h/v1?*** refused"),
        ("HTTPS://h/?tok=1 and Http://h?a", "HTTPS://h/?*** and Http://h?***"),
        (
            "control characters. '/v1/traces?token=s3cret x' (found at least ' ')",
            "control characters. '/v1/traces?***' (found at least ' ')",
        ),
        ("not \"/v1?a='b\" but '/v1?c", 'not "/v1?***" but \'/v1?***'),
        ("what? 50 // 2 me@example", "what? 50 // 2 me@example"),
    ],
)
def test_messages_without_secrets(text: str, shown: str) -> None:
    """All the rest of a message is left."""
    assert shown == masked(text)


@pytest.mark.parametrize("part", ["http://", "url: ", "//", "'/a?", "\"/a?'/a", "//a@", "?"])
def test_a_long_message_takes_time_in_proportion(part: str) -> None:
    """A receiver writes it. With each URL looked for in all others these take 9 seconds."""
    text = part * (1 << 14)

    began = time.process_time()
    shown = masked(text)

    assert time.process_time() - began < 2.0
    assert len(shown) <= 2 * (1 << 16)


def test_the_log_tells_no_secret_of_an_endpoint(tmp_path: Path, receiver: Receiver) -> None:
    """Neither the start, nor what the libraries say of a receiver that is away, of any signal."""
    place = receiver.http_endpoint.removeprefix("http://")
    settings = traced(
        receiver,
        endpoint=f"http://me:s3cret@{place}",
        protocol="http",
        metrics_enabled="yes",
        logs_enabled="yes",
        metrics_export_interval="50ms",
        shutdown_flush_timeout="200ms",
    )
    environ = {
        f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT": f"http://{place}/v1/{signal}?token=s3cret"
        for signal in ("metrics", "traces")
    }
    server = Process(tmp_path, *settings, "logging.level=debug", environ=environ)
    with server.client() as client:
        receiver.wait(lambda one: bool(one.arrivals("logs", taken=None)))
        receiver.refuse()
        client.command("PING")
        until(
            lambda: (
                "the receiver does not take traces" in server.log()
                and "encountered while exporting metrics" in server.log()
            ),
            "complaints of both signals",
        )
    server.stop()

    [*_, arrival] = receiver.arrivals("logs", taken=None)
    assert base64.b64decode(arrival.headers["authorization"].split()[1]) == b"me:s3cret"
    assert f"traces of commands go to http://{place}/v1/traces?***" in server.log()
    assert "s3cret" not in server.log()
