"""What a page of metrics says, as plain numbers."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families as text_families

OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
"""What Prometheus 2.42 asks for."""

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def ask(port: int, path: str, *, method: str = "GET", accept: str = "") -> Answer:
    """Ask the administrators' port of this machine."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, headers={"Accept": accept} if accept else {})
        response = connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, response.read())
    finally:
        connection.close()


class Page:
    """The samples of a page in the text format, or in OpenMetrics."""

    def __init__(self, text: str, *, is_open: bool = False) -> None:
        parse: Callable[[str], Iterable[Metric]] = open_families if is_open else text_families
        self.types: dict[str, str] = {}
        self.samples: dict[tuple[str, Labels], float] = {}
        for family in parse(text):
            self.types[family.name] = family.type
            for sample in family.samples:
                key = sample.name, frozenset(sample.labels.items())
                assert key not in self.samples, f"{key} is there twice"
                self.samples[key] = sample.value

    def value(self, name: str, **labels: str) -> float:
        """One sample."""
        return self.samples[name, frozenset(labels.items())]

    def has(self, name: str, **labels: str) -> bool:
        """Whether there is this sample."""
        return (name, frozenset(labels.items())) in self.samples

    def of(self, name: str) -> dict[Labels, float]:
        """All samples with this name, by their labels."""
        return {labels: value for (one, labels), value in self.samples.items() if one == name}


def page_of(port: int) -> Page:
    """The page of a running server."""
    answer = ask(port, "/metrics")
    assert answer.status == 200, answer
    return Page(answer.body.decode())
