"""CONFIG GET, SET and REWRITE, as functions of the configuration and of a file's text."""

import stat
from pathlib import Path

import pytest
import tomli
from hypothesis import example, given
from hypothesis import strategies as st

from ferrite_py.config import Config, changed_names, load, with_values
from ferrite_py.config_docs import render_example
from ferrite_py.config_redis import CONSTANTS, glob_matches, redis_get, redis_is_secret, redis_set
from ferrite_py.config_rewrite import rewrite, rewritten
from ferrite_py.config_toml import line_of, set_value
from ferrite_py.errors import ConfigError, ParameterError
from tests.support.settings import ALL, NAMES, SAMPLES

# CONFIG GET and SET


def test_redis_get_formats_as_redis() -> None:
    """Values are written as Redis does: bytes, yes and no, seconds, its own names."""
    config = with_values(Config(), {"storage.max_memory": 1 << 20, "logging.level": "warn"})

    found = redis_get(config, ["*"])

    expected = {
        "bind": "127.0.0.1 -::1",
        "maxmemory": "1048576",
        "maxclients": "10000",
        "protected-mode": "yes",
        "tcp-keepalive": "300",
        "unixsocketperm": "0",
        "loglevel": "warning",
        "slowlog-log-slower-than": "10000",
        "maxmemory-clients": "0",
        "client-output-buffer-limit": "normal 0 0 0 slave 268435456 67108864 60 "
        "pubsub 33554432 8388608 60",
        "save": "",
        "appendonly": "no",
    }
    assert expected == {name: found[name] for name in expected}
    assert len(found) == len([one for one in ALL if one.redis]) + len(CONSTANTS)


def test_redis_get_finds_by_pattern_and_by_name() -> None:
    """Patterns ignore case; a name is answered as it was spelt; nothing is answered twice."""
    config = Config()

    assert list(redis_get(config, ["MAXMEMORY-P*", "maxmemory-policy"])) == ["maxmemory-policy"]
    assert redis_get(config, ["Protected-Mode"]) == {"Protected-Mode": "yes"}
    assert redis_get(config, ["p\\ort", "nope", "zz*"]) == {}
    assert redis_get(config, ["p[l-p]rt"]) == {"port": "6379"}


def test_redis_set_changes_all() -> None:
    """Several parameters change at once, in any case of letters."""
    pairs = [("MaxMemory", "1mb"), ("timeout", "7"), ("loglevel", "verbose"), ("save", "")]

    config = redis_set(Config(), pairs)

    assert changed_names(Config(), config) == {
        "storage.max_memory",
        "server.timeout",
        "logging.level",
    }
    assert config.storage.max_memory == 1 << 20
    assert config.logging.level == "debug"


def test_what_can_be_changed_has_a_name() -> None:
    """Whatever a running server can change, CONFIG can; those of the tiers have our own names."""
    assert [one.name for one in ALL if one.runtime and not one.redis] == []
    pairs = [("max-disk", "1gb"), ("hybridlog-mutable-size", "auto"), ("read-cache-size", "0")]

    config = redis_set(with_values(Config(), {"storage.read_cache_size": 1 << 20}), pairs)

    assert redis_get(config, ["max-disk", "h*-size", "read-*-size"]) == {
        "max-disk": "1073741824",
        "hybridlog-mutable-size": "0",
        "hybridlog-readonly-size": "0",
        "read-cache-size": "0",
    }


def test_redis_set_keeps_classes_that_are_not_named() -> None:
    """CONFIG SET of one class of output limits leaves the others as they run."""
    config = redis_set(Config(), [("client-output-buffer-limit", "NORMAL 1kb 2k 3")])

    limits = redis_get(config, ["client-output-buffer-limit"])["client-output-buffer-limit"]
    assert limits.startswith("normal 1024 2000 3 slave 268435456 ")


MEMORY_OR_PERCENT = "argument must be a memory or percent value"


@pytest.mark.parametrize(
    ("pairs", "culprit", "reason"),
    [
        ([("port", "1")], "port", "can't set immutable config"),
        ([("hz", "1"), ("HZ", "2")], "HZ", "duplicate parameter"),
        ([("maxmemory", "12x")], "maxmemory", "argument must be a memory value"),
        ([("maxmemory", "1.5gb")], "maxmemory", "argument must be a memory value"),
        ([("maxmemory-clients", "1tb")], "maxmemory-clients", MEMORY_OR_PERCENT),
        ([("timeout", "5s")], "timeout", "argument couldn't be parsed into an integer"),
        (
            [("hz", "5"), ("timeout", "-1")],
            "timeout",
            "argument must be between 0 and 2147483647 inclusive",
        ),
        ([("protected-mode", "true")], "protected-mode", "argument must be 'yes' or 'no'"),
        (
            [("proto-max-bulk-len", "5")],
            "proto-max-bulk-len",
            "argument must be between 1048576 and 9223372036854775807 inclusive",
        ),
        (
            [("proto-max-bulk-len", "18446744073709551615")],
            "proto-max-bulk-len",
            "argument must be between 1048576 and 9223372036854775807 inclusive",
        ),
        (
            [("loglevel", "info")],
            "loglevel",
            "argument(s) must be one of the following: debug, verbose, notice, warning",
        ),
        ([("maxmemory-clients", "x")], "maxmemory-clients", MEMORY_OR_PERCENT),
        (
            [("client-output-buffer-limit", "master 1 2 3")],
            "client-output-buffer-limit",
            "Invalid client class specified in buffer limit configuration.",
        ),
        ([("appendonly", "yes")], "appendonly", "argument must be 'no'"),
    ],
)
def test_redis_set_refuses(pairs: list[tuple[str, str]], culprit: str, reason: str) -> None:
    """A refusal names the parameter and the reason in Redis's words."""
    with pytest.raises(ParameterError) as caught:
        redis_set(Config(), pairs)

    expected = f"CONFIG SET failed (possibly related to argument '{culprit}') - {reason}"
    assert str(caught.value) == expected


@pytest.mark.parametrize("name", CONSTANTS)
def test_constants_take_their_one_value(name: str) -> None:
    """What is always so can be read and set to what it is, and to nothing else."""
    value = CONSTANTS[name]

    assert redis_get(Config(), [name]) == {name: value}
    assert redis_set(Config(), [(name, value.upper())]) == Config()
    with pytest.raises(ParameterError, match=rf"argument '{name}'\) - argument must be '{value}'"):
        redis_set(Config(), [(name, "7")])


def test_a_mistaken_password_of_a_master_is_not_shown() -> None:
    """There is no master, but what is meant as its password is a secret all the same."""
    assert redis_is_secret("MasterAuth")
    assert not redis_is_secret("daemonize")


def test_redis_set_refuses_unknown_parameters() -> None:
    """An unknown parameter has a text of its own."""
    with pytest.raises(ParameterError) as caught:
        redis_set(Config(), [("hz", "1"), ("nope", "1")])

    expected = "Unknown option or number of arguments for CONFIG SET - 'nope'"
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("*", "", True),
        ("h?llo", "hello", True),
        ("h[ae]llo", "hillo", False),
        ("h[^e]llo", "hallo", True),
        ("h[^e]llo", "hello", False),
        ("h[b-a]llo", "hallo", True),
        ("h\\?llo", "h?llo", True),
        ("h[\\]]", "h]", True),
        ("*a*b*c", "xaybzc", True),
        ("*a*b*c", "xaybz", False),
        ("a[b", "ab", True),
        ("a\\", "a\\", True),
        ("", "a", False),
    ],
)
def test_glob(pattern: str, text: str, expected: bool) -> None:
    """Patterns mean what they mean in Redis."""
    assert expected == glob_matches(pattern, text)


def test_glob_is_not_slow_on_purpose() -> None:
    """A pattern of many stars takes no longer than the product of both lengths allows."""
    assert not glob_matches("*a" * 500 + "b", "a" * 1000)


# Places in TOML, and CONFIG REWRITE


TRICKY = '''\
# [server]
title."a.b" = """
[server]
port = 1
"""  # port = 2
[ server ] # hz = 9
"port" = 7 # seven
bind = [ # here
  "::1", # there ]
  '127.0.0.1',
]
client_output_buffer_limit = ["normal 1 2 3"]

[storage]
# max_memory = 0
databases = 4
[[more]]
x = { y = { z = [1, {q = 2}] }, 'w' = 1979-05-27 07:32:00 }
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("title", "a.b"), 2),
        (("server",), 6),
        (("server", "port"), 7),
        (("server", "bind"), 8),
        (("server", "client_output_buffer_limit"), 12),
        (("storage", "databases"), 16),
        (("more", "x", "y", "z"), 18),
        (("more", "x", "w"), 18),
    ],
)
def test_line_of_finds_keys(path: tuple[str, ...], line: int) -> None:
    """The line of a key is found past comments, strings, arrays and inline tables."""
    assert line == line_of(TRICKY, path)


def test_set_value_touches_nothing_else() -> None:
    """A changed value takes the old one's place; a new key goes behind its commented default."""
    text = set_value(TRICKY, "server", "bind", '["::1"]')
    text = set_value(text, "storage", "max_memory", '"1mb"')
    text = set_value(text, "server", "hz", "5")
    text = set_value(text, "tls", "port", "1")

    old_bind = TRICKY[TRICKY.index("[ # here") : TRICKY.index("client_output") - 1]
    expected = TRICKY.replace(old_bind, '["::1"]')
    expected = expected.replace("# max_memory = 0\n", '# max_memory = 0\nmax_memory = "1mb"\n')
    expected = expected.replace('1 2 3"]\n', '1 2 3"]\nhz = 5\n')
    assert text == expected + "\n[tls]\nport = 1\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "[server]\nhz = 5\n"),
        ("[server]", "[server]\nhz = 5\n"),
        ("[server]\r\nport = 1\r\n", "[server]\r\nport = 1\r\nhz = 5\r\n"),
        ("server.port = 1\n[tls]\n", "server.port = 1\nserver.hz = 5\n[tls]\n"),
        ("server = {}", "server = { hz = 5 }"),
        ("server = { port = 1 } # x", "server = { port = 1, hz = 5 } # x"),
        ("[server]\nhz=1 # x", "[server]\nhz=5 # x"),
        ("server.'hz' = '1'\n", "server.'hz' = 5\n"),
        ("[server]\n[tls]\n", "[server]\nhz = 5\n[tls]\n"),
    ],
)
def test_set_value_in_every_kind_of_table(before: str, after: str) -> None:
    """Tables with a header, dotted keys and inline tables can all take a key."""
    assert after == set_value(before, "server", "hz", "5")
    assert tomli.loads(after)["server"]["hz"] == 5


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
@example('"""\\\x7f\n#]')
def test_any_password_survives_a_rewrite(password: str) -> None:
    """Whatever the text of a value, the file that gets it still loads, and gives it back."""
    config = with_values(Config(), {"server.requirepass": password.replace("\0", "")})

    text = rewritten("[server] # x\nrequirepass = 'old' # y\n", "f", config, NAMES)

    assert tomli.loads(text)["server"]["requirepass"] == config.server.requirepass
    assert text.startswith("[server] # x\nrequirepass = ")
    assert text.endswith(" # y\n")


def test_rewrite_writes_only_what_differs(tmp_path: Path) -> None:
    """Equal values keep their spelling, defaults are not added, and only named settings count."""
    path = tmp_path / "f.toml"
    before = "[server] # mine\ntimeout = '1m' # one minute\nhz = 10\n[storage]\nmax_memory = 5\n"
    path.write_text(before, encoding="utf-8")
    path.chmod(0o640)
    config = with_values(
        Config(),
        {"server.timeout": 60, "server.hz": 20, "storage.max_memory": 1 << 20, "server.port": 1},
    )

    names = ["server.timeout", "server.hz", "storage.max_memory", "storage.databases"]
    rewrite(path, config, names, {})

    after = before.replace("hz = 10", "hz = 20").replace("= 5\n", '= "1mb"\n')
    assert path.read_text(encoding="utf-8") == after
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_rewrite_keeps_a_byte_order_mark(tmp_path: Path) -> None:
    """The file stays as its editor wants it."""
    path = tmp_path / "f.toml"
    path.write_text("\ufeff[server]\nhz = 10\n", encoding="utf-8")

    rewrite(path, with_values(Config(), {"server.hz": 20}), ["server.hz"], {})

    assert path.read_text(encoding="utf-8") == "\ufeff[server]\nhz = 20\n"


def test_rewrite_of_a_file_that_is_gone_gives_all_that_is_no_default(tmp_path: Path) -> None:
    """As Redis does: the next start must not forget the port, or the password."""
    path = tmp_path / "f.toml"
    values = {"server.port": 7863, "server.requirepass": "p", "storage.databases": 3}
    config = with_values(Config(), {**values, "server.timeout": 5, "metrics.enabled": False})

    rewrite(path, config, ["server.timeout"], {})

    assert load(path, {}, {}) == config
    assert path.read_text(encoding="utf-8").count("=") == 5
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_rewrite_of_a_file_that_is_gone_leaves_secrets_where_they_are(tmp_path: Path) -> None:
    """What the environment gives it gives again; headers of the file may have come from there."""
    path = tmp_path / "f.toml"
    path.write_text(
        "[server]\nhz = 20\n[telemetry]\nresource_attributes = { team = 'a' }\n"
        "headers = { authorization = 'Bearer ${TOKEN}' }\n",
        encoding="utf-8",
    )
    environ = {
        "TOKEN": "hidden-1",
        "FERRITE_SERVER_REQUIREPASS": "hidden-2",
        "OTEL_EXPORTER_OTLP_HEADERS": "key=hidden-3",
        "OTEL_RESOURCE_ATTRIBUTES": "from=x${Y}z",
        "FERRITE_SERVER_TIMEOUT": "7",
    }
    config = load(path, environ, {})
    path.unlink()

    rewrite(path, config, [], environ)

    text = path.read_text(encoding="utf-8")
    assert "hidden" not in text
    assert "timeout" not in text
    again = load(path, environ, {})
    headers = config.telemetry.headers[1:]
    assert again == with_values(config, {"telemetry.headers": headers})


def test_rewrite_refuses_what_the_file_would_not_give_back(tmp_path: Path) -> None:
    """A flag's `${NAME}` means itself, but a variable in the file: the next start would fail."""
    path = tmp_path / "f.toml"
    config = load(None, {}, {"telemetry.resource_attributes": "a=x${Y}z"})

    with pytest.raises(ConfigError, match=r"^telemetry\.resource_attributes: a has \$\{\.\.\.\}"):
        rewrite(path, config, [], {})

    assert not path.exists()


def test_rewrite_of_the_example_gives_every_setting(tmp_path: Path) -> None:
    """Every setting can be written into the example file, next to its default, and loads again."""
    path = tmp_path / "f.toml"
    path.write_text(render_example(), encoding="utf-8")
    config = with_values(Config(), {name: value for name, (_, value) in SAMPLES.items()})

    rewrite(path, config, NAMES, {})

    lines = path.read_text(encoding="utf-8").splitlines()
    assert load(path, {}, {}) == config
    assert lines[lines.index("#hz = 10") + 1] == "hz = 100"


def test_rewrite_follows_links_and_reports_failure(tmp_path: Path) -> None:
    """A link stays a link; a folder that is missing is one clear error."""
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("", encoding="utf-8")
    link.symlink_to(target)
    config = with_values(Config(), {"server.hz": 20})

    rewrite(link, config, ["server.hz"], {})

    assert link.is_symlink()
    assert target.read_text(encoding="utf-8") == "[server]\nhz = 20\n"
    with pytest.raises(ConfigError, match=r"^cannot write .*/none/f: No such file or directory$"):
        rewrite(tmp_path / "none" / "f", config, ["server.hz"], {})
