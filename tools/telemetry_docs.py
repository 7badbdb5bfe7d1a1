"""The generated part of docs/telemetry.md: the table of all metrics."""

from pathlib import Path

from ferrite_py.measure import ROWS, Row
from ferrite_py.web.prometheus import page_name

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "telemetry.md"
BEGIN = "<!-- metrics: written by `make generate` from native/event/events.def -->"
END = "<!-- end of metrics -->"

_KINDS = {"counter": "counter", "total": "counter, kept by RESETSTAT"}


def render_telemetry() -> str:
    """The document with its table written anew; the rest stays."""
    before, begin, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{DOCUMENT} lacks the line {BEGIN if not begin else END}")
    head = "| metric | on /metrics | instrument | unit | labels | what it tells |\n" + "| --- " * 6
    lines = "\n".join(_line(row) for row in ROWS)
    return f"{before}{BEGIN}\n{head}|\n{lines}\n{END}{after}"


def _line(row: Row) -> str:
    name = page_name(row)
    shown = f"`{name}`" if name else ""
    labels = ", ".join(f"`{label}`" for label in row.labels)
    kind = _KINDS.get(row.instrument, row.instrument)
    return f"| `{row.name}` | {shown} | {kind} | `{row.unit}` | {labels} | {row.help} |"
