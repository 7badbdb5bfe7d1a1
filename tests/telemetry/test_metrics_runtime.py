"""What the SDK itself exports beside the server's metrics: Python's garbage, and a limit."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ferrite_py.web.prometheus import Page
from tests.telemetry.metrics_site import NEVER_MS, Site
from tests.telemetry.receiver import Receiver
from tests.telemetry.views import one

TWINS = {
    "cpython.gc.collections": "python_gc_collections_total",
    "cpython.gc.collected_objects": "python_gc_objects_collected_total",
    "cpython.gc.uncollectable_objects": "python_gc_objects_uncollectable_total",
}


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A server whose metrics are exported when the test says so."""
    with Receiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.grpc_endpoint)
        monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", NEVER_MS)
        made = Site(receiver, "grpc")
        yield made
        made.close()


def test_what_the_page_tells_of_python_comes_over_otlp(site: Site) -> None:
    """Garbage by generation, and the limit of open files."""

    def collected() -> float:
        views = site.flush()
        found = [view.value for view in views if view.name == "cpython.gc.collected_objects"]
        return float(sum(found))

    before = collected()
    for _ in range(10):
        circle: list[object] = []
        circle.append(circle)
    del circle
    gc.collect()
    assert collected() - before >= 10

    shown = site.meter.take()
    page = text_string_to_metric_families(Page().render(shown, "text/plain")[0].decode())
    told = {
        (sample.name, sample.labels.get("generation")): sample.value
        for metric in page
        for sample in metric.samples
    }
    views = site.flush()
    for name, twin in TWINS.items():
        for generation in range(3):
            labels = {"cpython.gc.generation": generation}
            (found,) = (it for it in views if (it.name, it.attributes) == (name, labels))
            assert (found.kind, found.is_monotonic) == ("sum", True)
            assert found.value >= told[twin, str(generation)]
    limit = one(views, "process.unix.file_descriptor.limit")
    assert (limit.kind, limit.value) == ("gauge", told["process_max_fds", None])
