"""Fixtures and profiles that the test suites share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.support.both import Both
from tests.support.process import reaches_a_server
from tests.support.servers import (
    TIER_VARIABLE,
    TIERS,
    Server,
    reference_server,
    subject_server,
    subject_transports,
)

_QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
settings.register_profile(
    "ci",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=60,
    suppress_health_check=_QUIET,
)
settings.register_profile(
    "long", deadline=None, max_examples=3000, print_blob=True, suppress_health_check=_QUIET
)
settings.load_profile("ci")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--tier map` and `--tier disk` do what the environment variable does."""
    parser.addoption("--tier", choices=TIERS, help="keep the data of the server under test there")


def pytest_configure(config: pytest.Config) -> None:
    """Tell the servers of the tier, and pytest of our marks."""
    if tier := config.getoption("--tier"):
        os.environ[TIER_VARIABLE] = tier
    config.addinivalue_line("markers", "memory_only(reason): left out when data are kept in a tier")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what says nothing, or something else, when data are kept in a tier."""
    if not os.environ.get(TIER_VARIABLE):
        return
    for item in items:
        for mark in item.iter_markers("memory_only"):
            item.add_marker(pytest.mark.skip(reason=mark.args[0]))


@pytest.fixture(scope="session", autouse=True)
def _environment() -> Iterator[None]:
    """No test depends on what the shell's variables say to the server or to its libraries."""
    with pytest.MonkeyPatch.context() as patch:
        for name in filter(reaches_a_server, list(os.environ)):
            patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def reference() -> Iterator[Server]:
    """The stock redis-server, one for the whole run."""
    server = reference_server()
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session", params=subject_transports())
def subject(request: pytest.FixtureRequest) -> Iterator[Server]:
    """The server under test, one for each transport."""
    server = subject_server(request.param)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
def both(request: pytest.FixtureRequest, reference: Server, subject: Server) -> Iterator[Both]:
    """Both servers, empty, and fresh connections that speak RESP2, then RESP3."""
    yield from _both(reference, subject, request.param)


@pytest.fixture
def both2(reference: Server, subject: Server) -> Iterator[Both]:
    """Both servers, empty, for tests to which the protocol version makes no difference."""
    yield from _both(reference, subject, 2)


def _both(reference: Server, subject: Server, protocol: int) -> Iterator[Both]:
    for server in (reference, subject):
        server.prepare()
    found = Both(reference, subject, protocol)
    try:
        yield found
    finally:
        found.close()
    if subject.tier and subject.is_alive():
        reply = subject.admin.command("DEBUG", "CHECK-STORE")
        assert reply.raw == b"+OK\r\n", f"{subject.name}: {reply}"
