"""The command line: what each command does, and errors as lines and an exit status.

0 is success, 1 an error of the configuration or the machine, 2 a wrong use of the command line.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from ferrite_py import __version__, doctor, event_bus
from ferrite_py.ceiling import Own, too_large_sizes, too_low
from ferrite_py.collector import wrong_files
from ferrite_py.config import CATALOGUE, Config, Sources
from ferrite_py.config_docs import render_example, render_show
from ferrite_py.config_flags import FLAGS
from ferrite_py.errors import FerriteError, StartupError
from ferrite_py.footprint import footprint

DEFAULT_FILE = Path("ferrite.toml")
"""Read from the current folder if it is there and no --config is given."""

_MEASURED_BELOW = 1 << 30
"""A limit of so many bytes is too low for no server, so that none is started to be measured."""

# Each feature, and the modules without which it cannot work. Those that Ferrite has too come first,
# under its names.
_FEATURES = (
    ("otel", ("ferrite_py._native", "ferrite_py.telemetry.export")),
    ("io-uring", ("ferrite_py._native",)),
    ("tls", ("ssl", "ferrite_py._native", "ferrite_py.listen.streams")),
    ("native", ("ferrite_py._native",)),
    ("reactors", ("ferrite_py._native", "ferrite_py.listen.reactors")),
    ("streams", ("ferrite_py._native", "ferrite_py.listen.streams")),
    ("uvloop", ("uvloop",)),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status; `argv` is without the program's name."""
    arguments = _parser().parse_args(argv)
    if arguments.version or arguments.features:
        print(_version(with_features=arguments.features))
        return 0
    run: Callable[[Sources], int] = arguments.run
    try:
        if "data_dir" in arguments:  # the one command that reads no configuration
            return _inspect(arguments)
        return run(_sources(arguments, os.environ))
    except FerriteError as error:
        for line in str(error).splitlines():
            print(f"ferrite-py: {line}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ferrite-py",
        description="A Redis-compatible cache server. Without a command, it serves.",
        allow_abbrev=False,
    )
    parser.set_defaults(run=_serve)
    parser.add_argument("--version", action="store_true", help="show the version, and exit")
    parser.add_argument(
        "--features",
        action="store_true",
        help="show the version and what this installation can do, and exit",
    )
    _add_setting_flags(parser, "")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    examine = commands.add_parser("doctor", help="check this machine against the configuration")
    _add_command(examine, _doctor)
    look = commands.add_parser("inspect", help="show and check the segment files of a data folder")
    look.add_argument("data_dir", type=Path, metavar="DATA_DIR", help="the folder; is only read")
    look.add_argument("--verify", action="store_true", help="read every record and its checksum")
    look.add_argument("--json", action="store_true", help="print the report as JSON")
    config = commands.add_parser("config", help="check, show or write out a configuration")
    actions = config.add_subparsers(title="actions", metavar="ACTION", required=True)
    for name, action, text in (
        ("check", _config_check, "say whether the configuration is sound"),
        ("show", _config_show, "print the values in force and what set them"),
        ("example", _config_example, "print a file with every key and its default"),
    ):
        _add_command(actions.add_parser(name, help=text), action)
    return parser


def _add_command(parser: argparse.ArgumentParser, run: Callable[[Sources], int]) -> None:
    parser.allow_abbrev = False
    parser.set_defaults(run=run)
    _add_setting_flags(parser, "command_")


def _add_setting_flags(parser: argparse.ArgumentParser, prefix: str) -> None:
    """Add the flags that give settings; those behind a command go to names with a prefix.

    With the same names argparse would let them replace the ones before the command.
    """
    group = parser.add_argument_group("configuration")
    group.add_argument(
        "--config",
        dest=f"{prefix}config",
        type=Path,
        metavar="FILE",
        help=f"configuration file (default: {DEFAULT_FILE}, if it is there)",
    )
    for setting in CATALOGUE.settings:
        if setting.flag:
            group.add_argument(
                setting.flag,
                dest=f"{prefix}settings",
                action="append",
                type=partial(_pair, setting.name),
                metavar="VALUE",
                help=f"{setting.name}: {setting.meaning}".replace("%", "%%"),
            )
    for flag in FLAGS:
        group.add_argument(
            flag.name,
            dest=f"{prefix}{'switched_off' if flag.is_last_word else 'settings'}",
            action=_SeveralSettings,
            const=flag,
            nargs=None if flag.takes_value else 0,
            metavar="VALUE" if flag.takes_value else None,
            help=flag.meaning,
        )
    group.add_argument(
        "--set",
        dest=f"{prefix}settings",
        action="append",
        type=_assignment,
        metavar="SECTION.KEY=VALUE",
        help="any setting, by its name in the file; may be repeated",
    )


class _SeveralSettings(argparse.Action):
    """Adds what a `Flag` sets to the settings that are given so far."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002 - argparse's signature
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,  # noqa: ARG002
    ) -> None:
        given = list(getattr(namespace, self.dest, None) or ())
        given += self.const.pairs(values if isinstance(values, str) else "")
        setattr(namespace, self.dest, given)


def _pair(name: str, value: str) -> tuple[str, str]:
    return name, value


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise argparse.ArgumentTypeError(f"expected SECTION.KEY=VALUE, not {text!r}")
    return name.strip(), value


def _sources(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Sources:
    given: Path | None = getattr(arguments, "command_config", None) or arguments.config
    path = given or (DEFAULT_FILE if DEFAULT_FILE.exists() else None)
    names = ("settings", "command_settings", "switched_off", "command_switched_off")
    pairs = (pair for name in names for pair in getattr(arguments, name, None) or ())
    return Sources(path, dict(environ), _latest(pairs))


def _latest(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Each name's last value, in the order of those: a setting may have two names."""
    found: dict[str, str] = {}
    for name, value in pairs:
        found.pop(name, None)
        found[name] = value
    return found


def _serve(sources: Sources) -> int:
    loaded = sources.load()
    try:
        from ferrite_py.server import run
    except ImportError as error:
        message = f"this installation is incomplete ({error}); run `pip install .` or `make build`"
        raise StartupError(message) from error
    return run(loaded.config, sources.path, sources)


def _version(*, with_features: bool) -> str:
    text = f"ferrite-py {__version__}"
    return f"{text} (features: {', '.join(features()) or 'none'})" if with_features else text


def features() -> list[str]:
    """The features of which all modules can be imported here, and which the kernel allows."""
    refused = {"io-uring"} if doctor.this_host().io_uring_errno else set()
    return [
        name
        for name, modules in _FEATURES
        if name not in refused and all(map(_can_import, modules))
    ]


def _can_import(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def _config_check(sources: Sources) -> int:
    """Check the texts and the TLS files; what else of the machine counts is the doctor's."""
    config = sources.load().config
    for finding in doctor.tls(config):
        if finding.level == "fail":
            raise StartupError(f"{finding.subject}: {finding.message}; {finding.remedy}")
    for line in wrong_files(config.telemetry, sources.environ):
        raise StartupError(line)
    for warning in (*sources.warnings(), *_memory_warnings(config, sources.environ)):
        print(f"ferrite-py: warning: {warning}", file=sys.stderr)
    print(f"{sources.path or 'no file, environment and flags'}: ok")
    return 0


def _memory_warnings(config: Config, environ: Mapping[str, str]) -> Iterator[str]:
    """What the limit of memory cannot hold."""
    own = _measured(config)
    if own is not None and (low := too_low(config.storage, own)):
        yield low
    if large := too_large_sizes(config.storage):
        yield large
    if (bus := event_bus.warning(config, environ)) is not None:
        yield bus


def _measured(config: Config) -> Own | None:
    """What a server takes before it has data, if there is a limit that it could be too much for."""
    return footprint(config) if 0 < config.storage.max_memory < _MEASURED_BELOW else None


def _config_show(sources: Sources) -> int:
    print(render_show(sources.load()), end="")
    return 0


def _config_example(sources: Sources) -> int:  # noqa: ARG001 - all commands have one signature
    print(render_example(), end="")
    return 0


def _inspect(arguments: argparse.Namespace) -> int:
    """Print what lies in a data folder; 1 if any of it is damaged."""
    from ferrite_py import inspect

    return inspect.run(arguments.data_dir, verify=arguments.verify, as_json=arguments.json)


def _doctor(sources: Sources) -> int:
    """Print one line for each finding; 1 if the server could not serve as configured."""
    config = sources.load().config
    host = replace(doctor.this_host(), own=_measured(config))
    findings = doctor.examine(config, host)
    for finding in findings:
        print(finding.line)
    return 1 if any(finding.level == "fail" for finding in findings) else 0
