"""CONFIG GET and CONFIG SET: the configuration under Redis's parameter names.

Pure functions of a `Config`. The texts of errors are those of Redis 7, without the leading `ERR `.
"""

from collections.abc import Iterable, Sequence

from ferrite_py.config import CATALOGUE, Config, with_values
from ferrite_py.config_kinds import BadValueError
from ferrite_py.config_sources import Setting
from ferrite_py.errors import ParameterError

CONSTANTS = {
    "save": "",
    "appendonly": "no",
    "auto-aof-rewrite-percentage": "0",
    "stop-writes-on-bgsave-error": "no",
    # Of DUMP, whose values are compressed where that helps, and end with a checksum.
    "rdbcompression": "yes",
    "rdbchecksum": "yes",
    "dynamic-hz": "no",
    "activedefrag": "no",
    "jemalloc-bg-thread": "no",
    "activerehashing": "yes",
    "lazyfree-lazy-eviction": "yes",
    "lazyfree-lazy-expire": "yes",
    "lazyfree-lazy-server-del": "yes",
    "lazyfree-lazy-user-del": "yes",
    # RESTORE looks at every byte of what it takes.
    "sanitize-dump-payload": "yes",
    # The native threads receive as well as send; asyncio does both itself.
    "io-threads-do-reads": "yes",
    "notify-keyspace-events": "",
    # No script and no function runs, so none is ever answered for with BUSY.
    "busy-reply-threshold": "0",
    "lua-time-limit": "0",
    "cluster-enabled": "no",
    "replicaof": "",
    "slaveof": "",
    "masteruser": "",
    "masterauth": "",
    "min-replicas-to-write": "0",
    "min-slaves-to-write": "0",
    "aclfile": "",
    "enable-module-command": "no",
    "tls-replication": "no",
    "tls-cluster": "no",
    "tls-ca-cert-dir": "",
    "tls-protocols": "",
    "tls-ciphers": "",
    "tls-ciphersuites": "",
    "tls-dh-params-file": "",
    "tls-key-file-pass": "",
    "tls-client-cert-file": "",
    "tls-client-key-file": "",
    "tls-client-key-file-pass": "",
    "enable-protected-configs": "no",
    "bind-source-addr": "",
    "socket-mark-id": "0",
    "server_cpulist": "",
    "bio_cpulist": "",
    # Transparent huge pages are asked for, not switched off.
    "disable-thp": "no",
    "crash-log-enabled": "no",
    "crash-memcheck-enabled": "no",
    "set-proc-title": "no",
    # A stop by a signal is that of SHUTDOWN without an option.
    "shutdown-on-sigint": "default",
    "shutdown-on-sigterm": "default",
    # Readiness is told where NOTIFY_SOCKET says so.
    "supervised": "auto",
    "daemonize": "no",
    "pidfile": "",
    "syslog-enabled": "no",
    "oom-score-adj": "no",
    "always-show-logo": "no",
}
"""Parameters that tools read or set, which have one true answer in this server.

Each says that this server does not do a thing, or does it always. A parameter whose value would
mean nothing here, such as `repl-timeout`, is not among them.
"""

_SHOWN = CONSTANTS.keys() - {"masterauth", "tls-key-file-pass", "tls-client-key-file-pass"}

_PARAMETERS = {setting.redis: setting for setting in CATALOGUE.settings if setting.redis}


def redis_get(config: Config, patterns: Iterable[str]) -> dict[str, str]:
    """The parameters that match any of the glob patterns, and their values as Redis writes them.

    Case does not matter. A pattern without `*`, `?` or `[` is a name, and is answered under the
    spelling that was asked for.
    """
    names = [*_PARAMETERS, *CONSTANTS]
    found: dict[str, str] = {}
    for pattern in patterns:
        if any(character in pattern for character in "*?["):
            matching = [name for name in names if glob_matches(pattern.lower(), name)]
            found |= {name: name for name in matching if name not in found}
        elif pattern.lower() in names:
            found.setdefault(pattern.lower(), pattern)
    return {spelling: _format(config, name) for name, spelling in found.items()}


def redis_is_secret(name: str) -> bool:
    """Whether the value of a parameter must not be shown; so too when the name is misspelt."""
    setting = _PARAMETERS.get(name.lower())
    return setting.secret if setting is not None else name.lower() not in _SHOWN


def _format(config: Config, name: str) -> str:
    setting = _PARAMETERS.get(name)
    if setting is None:
        return CONSTANTS[name]
    return setting.kind.redis_format(config.value(setting.name))


def redis_set(config: Config, pairs: Sequence[tuple[str, str]]) -> Config:
    """The configuration with all of the parameters changed.

    Raises ParameterError, whose text is the reply, if any of them cannot be; then none is.
    """
    seen: set[str] = set()
    for name, _ in pairs:
        _refuse_name(name, seen)
        seen.add(name.lower())
    values: dict[str, object] = {}
    for name, text in pairs:
        setting = _PARAMETERS.get(name.lower())
        if setting is None:
            _refuse_constant(name, text)
        else:
            values[setting.name] = _parse(config, setting, name, text)
    return with_values(config, values)


def _refuse_name(name: str, seen: set[str]) -> None:
    setting = _PARAMETERS.get(name.lower())
    if setting is None and name.lower() not in CONSTANTS:
        raise ParameterError(f"Unknown option or number of arguments for CONFIG SET - '{name}'")
    if setting is not None and not setting.runtime:
        raise _failed(name, "can't set immutable config")
    if name.lower() in seen:
        raise _failed(name, "duplicate parameter")


def _refuse_constant(name: str, text: str) -> None:
    only = CONSTANTS[name.lower()]
    if text.lower() != only:
        raise _failed(name, f"argument must be '{only}'")


def _parse(config: Config, setting: Setting, name: str, text: str) -> object:
    try:
        return setting.kind.redis_parse(text, config.value(setting.name))
    except BadValueError as error:
        raise _failed(name, error.redis) from error


def _failed(name: str, reason: str) -> ParameterError:
    return ParameterError(f"CONFIG SET failed (possibly related to argument '{name}') - {reason}")


def glob_matches(pattern: str, text: str) -> bool:
    r"""Whether a Redis glob pattern matches the text, in time bounded by the product of both.

    `*`, `?`, `[abc]`, `[a-z]`, `[^a]`, and `\` before a character that stands for itself.
    """
    items = _glob_items(pattern)
    at = position = 0
    star, star_position = -1, 0
    while position < len(text):
        item = items[at] if at < len(items) else None
        if item == "*":
            star, star_position = at, position
            at += 1
        elif isinstance(item, _OneOf) and item.accepts(text[position]):
            at += 1
            position += 1
        elif star >= 0:
            star_position += 1
            at, position = star + 1, star_position
        else:
            return False
    return all(item == "*" for item in items[at:])


class _OneOf:
    """One character of a pattern: the ranges that it accepts, or all others."""

    __slots__ = ("_is_negated", "_ranges")

    def __init__(self, ranges: Sequence[tuple[str, str]], *, is_negated: bool = False) -> None:
        self._ranges = ranges
        self._is_negated = is_negated

    def accepts(self, character: str) -> bool:
        """Whether the character may stand here."""
        return any(low <= character <= high for low, high in self._ranges) != self._is_negated


def _glob_items(pattern: str) -> list[str | _OneOf]:
    """The parts of a pattern: `"*"`, or what one character must be."""
    items: list[str | _OneOf] = []
    at = 0
    while at < len(pattern):
        character = pattern[at]
        at += 1
        if character == "*":
            items.append("*")
        elif character == "?":
            items.append(_OneOf((), is_negated=True))
        elif character == "[":
            item, at = _glob_class(pattern, at)
            items.append(item)
        else:
            if character == "\\" and at < len(pattern):
                character = pattern[at]
                at += 1
            items.append(_OneOf([(character, character)]))
    return items


def _glob_class(pattern: str, at: int) -> tuple[_OneOf, int]:
    """The class whose `[` stands before `at`, and the place behind it; its end may be missing."""
    is_negated = pattern.startswith("^", at)
    at += is_negated
    ranges: list[tuple[str, str]] = []
    while at < len(pattern) and pattern[at] != "]":
        if pattern[at] == "\\" and at + 1 < len(pattern):
            at += 1
        low = high = pattern[at]
        if at + 2 < len(pattern) and pattern[at + 1] == "-":
            high = pattern[at + 2]
            at += 2
        ranges.append((min(low, high), max(low, high)))
        at += 1
    return _OneOf(ranges, is_negated=is_negated), at + 1
