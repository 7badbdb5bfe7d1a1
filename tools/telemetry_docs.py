"""The generated parts of docs/telemetry.md: the tables of metrics, attributes and coverage."""

from pathlib import Path

from ferrite_py.measure import ROWS, Row
from ferrite_py.telemetry.names import COMMAND_CONSTANTS, SLOTS, STORAGE_CONSTANTS
from ferrite_py.telemetry.rare import KINDS
from ferrite_py.web.prometheus import page_name
from tests.telemetry.seed_names import MISSING, NAMES, WITHOUT_VALUES, marks

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "telemetry.md"
BEGIN = "<!-- metrics: written by `make generate` from native/event/events.def -->"
END = "<!-- end of metrics -->"
SPANS_BEGIN = "<!-- spans: written by `make generate` from ferrite_py/telemetry/names.py -->"
SPANS_END = "<!-- end of spans -->"
RARE_BEGIN = "<!-- rare: written by `make generate` from ferrite_py/telemetry/rare.py -->"
RARE_END = "<!-- end of rare -->"
SEED_BEGIN = "<!-- covered: written by `make generate` from the marks of tests -->"
SEED_END = "<!-- end of covered -->"

_KINDS = {"counter": "counter", "total": "counter, kept by RESETSTAT"}


def render_telemetry() -> str:
    """The document with its tables written anew; the rest stays."""
    head = "| metric | on /metrics | instrument | unit | labels | what it tells |\n" + "| --- " * 6
    lines = "\n".join(_line(row) for row in ROWS)
    text = DOCUMENT.read_text(encoding="utf-8")
    text = _put(text, BEGIN, END, f"{head}|\n{lines}")
    text = _put(text, SPANS_BEGIN, SPANS_END, _attributes())
    text = _put(text, RARE_BEGIN, RARE_END, _rare())
    return _put(text, SEED_BEGIN, SEED_END, _coverage())


def _put(text: str, begin: str, end: str, table: str) -> str:
    before, begun, rest = text.partition(begin)
    _, ended, after = rest.partition(end)
    if not begun or not ended:
        raise ValueError(f"{DOCUMENT} lacks the line {end if begun else begin}")
    return f"{before}{begin}\n{table}\n{end}{after}"


def _attributes() -> str:
    """The attributes of spans."""
    storage = {"ferrite.storage.bytes", "ferrite.storage.epoch"}
    phases = {"ferrite.request.bytes": "ferrite.resp.parse"}
    phases["ferrite.response.bytes"] = "ferrite.tcp.write"
    lines = ["| attribute | semconv | span | value |", "| --- | --- | --- | --- |"]
    for names in (*COMMAND_CONSTANTS, *SLOTS, *STORAGE_CONSTANTS):
        for kind, group in (
            ("all", names.always),
            ("ferrite, dup", names.ferrite),
            ("stable, dup", names.stable),
        ):
            for name in group:
                span = phases.get(name, "command")
                is_storage = name in storage or names in STORAGE_CONSTANTS
                span = "ferrite.storage.*" if is_storage else span
                lines.append(f"| `{name}` | {kind} | {span} | {names.meaning} |")
    member = "the caller's value of this member of its baggage"
    lines.append(f"| each name of `telemetry.baggage_keys` | all | command | {member} |")
    return "\n".join(lines)


def _rare() -> str:
    """The spans of what is no command."""
    lines = ["| span | when | attributes |", "| --- | --- | --- |"]
    for kind in KINDS:
        found = [f"`{name}`" for name in kind.numbers if name]
        for name, words in kind.words.values():
            told = [word for word in words if word not in ("free", "empty")]
            found.append(f"`{name}` ({', '.join(told)})")
        found += [f"`{name}`" for text in (kind.text, kind.port) for name in text.under("dup")]
        lines.append(f"| `{kind.name}` | {kind.meaning} | {', '.join(found)} |")
    return "\n".join(lines)


def _coverage() -> str:
    """What Ferrite's documentation names, and the tests that fail without it."""
    found = marks()
    lines = ["| what | name | test |", "| --- | --- | --- |"]
    for kind, names in NAMES.items():
        for name in names:
            tests = [f"`{test}`" for test in found.get(name, ())]
            tests += [remarks[name] for remarks in (MISSING, WITHOUT_VALUES) if name in remarks]
            lines.append(f"| {kind} | `{name}` | {'; '.join(tests)} |")
    return "\n".join(lines)


def _line(row: Row) -> str:
    name = page_name(row)
    shown = f"`{name}`" if name else ""
    labels = ", ".join(f"`{label}`" for label in row.labels)
    kind = _KINDS.get(row.instrument, row.instrument)
    return f"| `{row.name}` | {shown} | {kind} | `{row.unit}` | {labels} | {row.help} |"
