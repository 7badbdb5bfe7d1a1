"""What receivers of metrics and logs reject of requests that they have taken."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.resources import Resource

from ferrite_py.telemetry.environment import environment, in_force
from ferrite_py.telemetry.logs import Logs
from ferrite_py.telemetry.partial import REPORT_S, Rejections, Warnings
from tests.telemetry.exporting import PROTOCOLS, telemetry
from tests.telemetry.metrics_site import NEVER_MS, Site
from tests.telemetry.receiver import Receiver, partial_success, unavailable


@pytest.fixture(params=PROTOCOLS)
def values(request: pytest.FixtureRequest, receiver: Receiver) -> dict[str, str]:
    """The SDK's variables of an export to the receiver, which nothing but the test sets off."""
    protocol = request.param
    config = telemetry(None, enabled="yes", endpoint=receiver.endpoint(protocol), protocol=protocol)
    given = {"OTEL_METRIC_EXPORT_INTERVAL": NEVER_MS, "OTEL_BLRP_SCHEDULE_DELAY": "20"}
    return environment(config, {}, "id") | given


@pytest.fixture
def site(values: dict[str, str], receiver: Receiver) -> Iterator[Site]:
    """A server whose metrics are exported."""
    protocol = values["OTEL_EXPORTER_OTLP_PROTOCOL"].partition("/")[0]
    with in_force(values):
        made = Site(receiver, protocol)
    yield made
    made.close()


def rejected(site: Site) -> list[object]:
    """What the metrics tell of rejections."""
    return list(site.meter.take().samples["ferrite.telemetry.export.rejected"])


def test_points_that_are_rejected(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """They are counted each time and told once a minute; the request counts as taken."""
    site.receiver.behave(partial_success(5))

    with caplog.at_level(logging.WARNING, "ferrite_py"):
        site.flush()
        site.flush()

    assert rejected(site) == [(("metrics",), 10)]
    message = "the receiver rejects data points of metrics; 5 so far, the last time 5"
    assert caplog.messages == [f"{message}: rejected by the test"]


def test_points_that_are_rejected_after_a_failure(site: Site) -> None:
    """The SDK connects anew when a receiver was away; it is heard then as well."""
    site.receiver.behave(unavailable())
    site.export.flush(10)
    site.receiver.behave(partial_success(5))

    site.flush()

    assert rejected(site) == [(("metrics",), 5)]


def test_a_warning_of_metrics_is_told(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """A message with nothing rejected is one."""
    site.receiver.behave(partial_success(0))

    with caplog.at_level(logging.WARNING, "ferrite_py"):
        site.flush()
        site.flush()

    assert rejected(site) == [(("metrics",), 0)]
    assert caplog.messages == ["the receiver of metrics warns: rejected by the test"]


def test_messages_that_are_rejected(
    values: dict[str, str], receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """They are counted and told as those of metrics are."""
    receiver.behave(partial_success(2))
    logs = Logs(values, Resource({}))
    logger = logging.getLogger("ferrite_py.test")

    with caplog.at_level(logging.WARNING, "ferrite_py"):
        logs.start()
        logger.warning("one")
        receiver.wait(lambda one: len(one.logs()) > 0)
        logs.stop(5.0)

    outcome = dict(logs.outcome())
    requests = len(receiver.arrivals("logs"))
    assert outcome["EXPORT_REJECTED"] == [(("logs",), 2 * requests)]
    assert outcome["EXPORTED"] == [(("logs",), requests)]
    told = [line for line in caplog.messages if "rejects messages of the log" in line]
    assert len(told) == 1
    assert told[0].endswith("; 2 so far, the last time 2: rejected by the test")


def test_they_are_told_again_after_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """Rejections and warnings, each by its own clock."""
    now = [0.0]
    rejections = Rejections("logs", lambda: now[0])
    warnings = Warnings("logs", lambda: now[0])
    response = type("Response", (), {"partial_success": None})()
    response.partial_success = type("P", (), {"rejected_log_records": 1, "error_message": ""})()

    with caplog.at_level(logging.WARNING, "ferrite_py"):
        for moment in (0.0, REPORT_S - 1, REPORT_S):
            now[0] = moment
            rejections.hear(response)
            warnings.hear("careful")
            warnings.hear("")

    message = "the receiver rejects messages of the log; "
    warning = "the receiver of logs warns: careful"
    assert caplog.messages == [
        f"{message}1 so far, the last time 1",
        warning,
        f"{message}3 so far, the last time 1",
        warning,
    ]
