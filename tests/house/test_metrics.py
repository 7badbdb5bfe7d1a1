"""Each metric of the table is looked at by a test: what nobody looks at may say anything."""

import re
from pathlib import Path

from tests.house.sources import NATIVE, ROOT

TABLE = NATIVE / "event" / "events.def"
TESTS = ROOT / "tests"


def names_in(text: str) -> list[str]:
    """The names of the rows of a table of metrics."""
    return re.findall(r'^FE_METRIC\w*\(\w+, "([^"]+)"', text, re.MULTILINE)


def is_named(name: str, texts: list[str]) -> bool:
    """Whether a text names it as OTLP does, or as /metrics, with what its samples add."""
    dotted = re.escape(name) + r"(?![\w.])"
    plain = re.escape(name.replace(".", "_")) + r"(?:_total|_bucket|_sum|_count)?(?!\w)"
    pattern = re.compile(rf"(?<![\w.])(?:{dotted}|{plain})")
    return any(pattern.search(text) for text in texts)


def test_every_metric_is_named_in_a_test() -> None:
    """By its name of OTLP or of /metrics."""
    files = [path for path in TESTS.rglob("*.py") if path != Path(__file__)]
    texts = [path.read_text(encoding="utf-8") for path in files]
    names = names_in(TABLE.read_text(encoding="utf-8"))

    assert len(names) > 100
    assert [name for name in names if not is_named(name, texts)] == []


def test_names_are_told_from_longer_ones() -> None:
    """A name is not found in one that begins or ends with it."""
    rows = 'FE_METRIC(A, "ferrite.disk.reads", TOTAL)\nFE_METRIC_PYTHON(B, "process.uptime", GAUGE)'
    assert ["ferrite.disk.reads", "process.uptime"] == names_in(rows)

    for text in ('"ferrite.disk.reads"', "ferrite_disk_reads_total{", "ferrite_disk_reads >"):
        assert is_named("ferrite.disk.reads", [text])
    for text in ("ferrite.disk.reads.queued", "ferrite_disk_reads_queued", "x_ferrite_disk_reads"):
        assert not is_named("ferrite.disk.reads", [text])
