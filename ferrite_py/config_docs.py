"""The texts that follow from the settings: example file, reference table, and what is in force."""

import textwrap
from collections.abc import Callable

from ferrite_py.config import CATALOGUE, Config, Loaded
from ferrite_py.config_flags import FLAGS, Flag
from ferrite_py.config_redis import CONSTANTS
from ferrite_py.config_sources import Setting

_WIDTH = 98
_EXAMPLE_HEAD = """\
# The configuration of ferrite-py: every key, with its meaning and its default.
#
# To change one, take away the # before it. Environment variables and flags go before this file.
# Sizes are numbers of bytes, or text in b, kb, mb, gb or tb; durations are numbers, or text in us,
# ms, s, m, h or d. `ferrite-py config check` says whether a file is sound.
#
# Written by `make generate` from ferrite_py/config_{sections,telemetry,insight}.py.
"""
_REFERENCE_HEAD = """\
# Configuration

Written by `make generate` from `ferrite_py/config_sections.py`, `config_telemetry.py` and
`config_insight.py`; change the fields there.

Precedence: the defaults, then the file (`--config`, or `ferrite.toml` in the current folder if it
is there), then the environment (OpenTelemetry's variables, and over them ours), then flags. Every
key can be set with `--set section.key=value`; a few have a flag of their own as well. An unknown
key or a bad value is an error, which names the place, the key and what is expected. A variable that
begins with `FERRITE_` is an error when it has one of the sections and no key of it, or is nearly
the name of a setting; any other that is no setting is passed over with a warning, since Kubernetes
sets such names for its services.

Sizes are numbers of bytes, or text such as `"64mb"` or `"1.5gb"` (`kb`, `mb`, `gb`, `tb` and `KiB`,
`MiB`, `GiB`, `TiB` count in 1024s, `k`, `m`, `g`, `t` in 1000s; CONFIG SET knows those of Redis: no
fractions, `b` to `gb`). A list is its items separated by blanks or commas in a variable or a flag,
or is written as in the file: `--set 'server.bind=["127.0.0.1", "-::1"]'`. Durations are numbers in
the unit that the table names, or text such as `"300ms"` (`us`, `ms`, `s`, `m`, `h`, `d`). Keys with
"yes" under *live* can be changed in a running server, by CONFIG SET or by editing the file and
sending SIGHUP; the others need a restart.
"""
_CONSTANTS_HEAD = """\
## Parameters of CONFIG GET with one answer

They belong to what this server does not do, or always does; CONFIG SET takes only the same value.

"""
_FLAGS_HEAD = """\
## Flags that set more than one thing, or take no value

Those that begin with `--disable-` go over all other flags, `--set` included, wherever they stand.
Of the others those given later on the command line go over earlier ones.

"""
_REFERENCE_COLUMNS = (
    "key",
    "type",
    "default",
    "environment",
    "flag",
    "Redis parameter",
    "live",
    "meaning",
)


def render_example() -> str:
    """The example file: all keys, commented out, at their defaults."""
    return _EXAMPLE_HEAD + _render_sections(_example_lines)


def render_show(loaded: Loaded) -> str:
    """The configuration in force as TOML; a comment names what set a value. Hides secrets."""

    def lines(setting: Setting) -> list[str]:
        origin = loaded.origins.get(setting.name)
        line = f"{setting.key} = {setting.kind.toml_format(loaded.config.value(setting.name))}"
        if setting.secret and loaded.config.value(setting.name) != setting.default:
            line = f"# {setting.key} is set, and not shown"
        elif setting.hide is not None:
            value = loaded.config.value(setting.name)
            if (shown := setting.hide(value)) != value:
                # Nobody is to load it again.
                line = f"# {setting.key} = {setting.kind.toml_format(shown)}"
        return [line if origin is None else f"{line}  # {origin}"]

    return _render_sections(lines).lstrip("\n")


def _render_sections(lines: Callable[[Setting], list[str]]) -> str:
    parts: list[str] = []
    for section in CATALOGUE.sections:
        parts += ["", f"[{section}]"]
        for setting in CATALOGUE.settings:
            if setting.section == section:
                parts += lines(setting)
    return "\n".join(parts) + "\n"


def _example_lines(setting: Setting) -> list[str]:
    text = f"{setting.meaning} ({setting.kind.label})"
    default = setting.kind.toml_format(setting.default)
    comment = textwrap.wrap(text, _WIDTH, initial_indent="# ", subsequent_indent="# ")
    return ["", *comment, f"#{setting.key} = {default}"]


def render_reference() -> str:
    """The page `docs/configuration.md`."""
    parts = [_REFERENCE_HEAD]
    for section in CATALOGUE.sections:
        summary = (getattr(Config(), section).__doc__ or "").strip()
        rows = [_reference_row(one) for one in CATALOGUE.settings if one.section == section]
        parts += [f"## [{section}]\n\n{summary}\n\n{_table(_REFERENCE_COLUMNS, rows)}"]
    rows = [
        (_code(f"{one.name} VALUE" if one.takes_value else one.name), *_flag(one)) for one in FLAGS
    ]
    parts.append(_FLAGS_HEAD + _table(("flag", "sets", "meaning"), rows))
    rows = [(_code(name), _code(value or '""')) for name, value in CONSTANTS.items()]
    parts.append(_CONSTANTS_HEAD + _table(("parameter", "value"), rows))
    return "\n".join(parts)


def _reference_row(setting: Setting) -> tuple[str, ...]:
    return (
        _code(setting.key),
        setting.kind.label,
        _code(setting.kind.toml_format(setting.default)),
        " or ".join(_code(name) for name in (setting.environment, setting.otel) if name),
        _code(setting.flag),
        _code(setting.redis),
        "yes" if setting.runtime else "",
        setting.meaning,
    )


def _flag(flag: Flag) -> tuple[str, str]:
    pairs = (f"{name} = {'VALUE' if text == '{}' else text}" for name, text in flag.settings)
    return ", ".join(_code(pair) for pair in pairs), flag.meaning


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    for row in rows:
        cells = [cell.replace("|", "\\|") for cell in row]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
