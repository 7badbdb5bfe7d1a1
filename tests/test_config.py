"""The settings: reading them from every layer, errors, reloading, and the generated files."""

from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest
import tomli

from ferrite_py.config import (
    CATALOGUE,
    Config,
    MemoryBound,
    OutputLimit,
    OutputLimits,
    Sources,
    apply_runtime,
    changed_names,
    load,
)
from ferrite_py.config_redis import CONSTANTS
from ferrite_py.config_sources import Setting
from ferrite_py.errors import ConfigError, ManyConfigError
from tests.support.settings import ALL, NAMES, SAMPLES, load_text

# What TLS needs beside its port, so that tls.port can be set alone in a test.
TLS_NEEDS = {"tls.cert_file": "c", "tls.key_file": "k", "tls.ca_file": "ca"}


SECTIONS = "there are [server], [storage], [logging], [tls], [metrics], [telemetry], [insight]"
SIZES = 'bytes, or text with a unit (kb, mb, gb, tb, or in thousands k, m, g, t) such as "64mb"'
TOO_LARGE = "expected at most 9223372036854775807 bytes; this is too large"
TOO_DEEP = " TOML inline arrays/tables are nested more than the allowed 400 levels"
A_PERCENTAGE = 'a percentage such as "5%"'
PERMISSIONS = 'permission bits as octal text, such as "700"'


def companions(name: str) -> dict[str, str]:
    """The flags without which a setting cannot be set."""
    needs = {
        "tls.port": TLS_NEEDS,
        "telemetry.enabled": {"telemetry.endpoint": "http://localhost:4317"},
    }
    return needs.get(name, {})


def error_of(tmp_path: Path, text: str) -> str:
    """The error that a file of this text gives, without the folder of the file."""
    with pytest.raises(ConfigError) as caught:
        load_text(tmp_path, text)
    return str(caught.value).replace(f"{tmp_path}/", "")


# The layers


def test_every_setting_has_a_sample() -> None:
    """The table above names every setting, so that the tests below miss none."""
    assert list(SAMPLES) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_loads_from_a_file(tmp_path: Path, name: str) -> None:
    """A file can give each setting, as text."""
    text, value = SAMPLES[name]
    section, _, key = name.partition(".")
    path = tmp_path / "f.toml"
    path.write_text(f'[{section}]\n{key} = "{text}"\n', encoding="utf-8")

    config = load(path, {}, companions(name))

    assert value == config.value(name)


@pytest.mark.parametrize("setting", ALL, ids=NAMES)
def test_every_setting_loads_from_the_environment(setting: Setting) -> None:
    """The environment can give each setting, under the name that follows from its own."""
    text, value = SAMPLES[setting.name]
    variable = "FERRITE_" + setting.name.replace(".", "_").upper()

    config = load(None, {variable: text}, companions(setting.name))

    assert setting.environment == variable
    assert value == config.value(setting.name)


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_loads_from_a_flag(name: str) -> None:
    """A flag can give each setting, and changes no other one."""
    text, value = SAMPLES[name]

    config = load(None, {}, {**companions(name), name: text})

    assert value == config.value(name)
    assert changed_names(Config(), config) == {name, *companions(name)}


@pytest.mark.parametrize("setting", ALL, ids=NAMES)
def test_every_value_survives_its_own_notations(setting: Setting) -> None:
    """What is written as TOML, or for CONFIG GET, reads as the same value."""
    for value in (setting.default, SAMPLES[setting.name][1]):
        toml = tomli.loads(f"x = {setting.kind.toml_format(value)}")["x"]
        redis = setting.kind.redis_format(value)

        assert value == setting.kind.parse(toml, setting.default)
        assert value == setting.kind.redis_parse(redis, setting.default)


def test_layers_go_over_each_other(tmp_path: Path) -> None:
    """Flags go over the environment, that over the file, and that over the defaults."""
    path = tmp_path / "f.toml"
    path.write_text("[server]\nport = 1\nhz = 1\nio_threads = 1\n", encoding="utf-8")
    environ = {"FERRITE_SERVER_PORT": "2", "FERRITE_SERVER_HZ": "2", "PATH": "/bin"}

    loaded = Sources(path, environ, {"server.port": "3"}).load()

    server = loaded.config.server
    assert (server.port, server.hz, server.io_threads, server.tcp_backlog) == (3, 2, 1, 511)
    assert loaded.origins == {
        "server.port": "command line",
        "server.hz": "FERRITE_SERVER_HZ",
        "server.io_threads": f"{path}:4",
    }


def test_layers_of_output_limits_meet(tmp_path: Path) -> None:
    """A layer that names one class of client leaves the others as the layer below has them."""
    path = tmp_path / "f.toml"
    text = '[server]\nclient_output_buffer_limit = ["normal 1 2 3", "slave 4 5 6"]\n'
    path.write_text(text, encoding="utf-8")

    config = load(path, {"FERRITE_SERVER_CLIENT_OUTPUT_BUFFER_LIMIT": "normal 7 8 9"}, {})

    limits = config.server.client_output_buffer_limit
    assert limits.normal == OutputLimit(7, 8, 9)
    assert limits.replica == OutputLimit(4, 5, 6)
    assert limits.pubsub == OutputLimits().pubsub


def test_configuration_cannot_be_changed_in_place() -> None:
    """The tree is frozen."""
    with pytest.raises(FrozenInstanceError):
        Config().server.port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("[server]\ntimeout = 5", "server.timeout", 5),
        ("[server]\nslowlog_log_slower_than = -1", "server.slowlog_log_slower_than", -1),
        ("[server]\nbind = []\nunix_socket = 's'", "server.bind", ()),
        ("[server]\nunix_socket_permissions = 0", "server.unix_socket_permissions", 0),
        ("[storage]\nmax_memory = 1000", "storage.max_memory", 1000),
        ("[storage]\nmax_memory = '1K'", "storage.max_memory", 1000),
        ("[storage]\nmax_memory = '1.5gb'", "storage.max_memory", 3 << 29),
        ("[storage]\nmax_memory = '1tb'", "storage.max_memory", 1 << 40),
        ("[storage]\nmax_memory = '1.0001 KiB'", "storage.max_memory", 1024),
        ("[storage]\nmax_memory = '0.0gb'", "storage.max_memory", 0),
        ("[storage]\nmax_memory = ' 100mb '", "storage.max_memory", 100 << 20),
        (
            "[server]\nmax_memory_clients = '0.5gb'",
            "server.max_memory_clients",
            MemoryBound(1 << 29),
        ),
        ("\ufeff[storage]\nmax_memory = 1000", "storage.max_memory", 1000),
        ("[storage]\nsegment_size = 'auto'", "storage.segment_size", 0),
        ("storage = { segment_size = 0 }", "storage.segment_size", 0),
        ("[server]\nmax_memory_clients = 10", "server.max_memory_clients", MemoryBound(10)),
        ("server.protected_mode = false", "server.protected_mode", False),
    ],
)
def test_values_in_their_other_forms(tmp_path: Path, text: str, name: str, value: object) -> None:
    """TOML's own numbers, lists and truth values are read, and words that stand for zero."""
    assert value == load_text(tmp_path, text).value(name)


def test_memory_bound_follows_max_memory() -> None:
    """A percentage is of max_memory, and no bound while that has none."""
    assert MemoryBound(5, is_percent=True).resolve(1000) == 50
    assert MemoryBound(5, is_percent=True).resolve(0) == 0
    assert MemoryBound(7).resolve(1000) == 7


# Errors


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# c\n\n[server]\nprot = 1", '4: unknown key "prot" in [server]; did you mean "port"?'),
        (
            "[server]\nmaxclients = 1",
            '2: unknown key "maxclients" in [server]; did you mean "server.max_connections"?',
        ),
        (
            "server.databases = 1",
            '1: unknown key "databases" in [server]; did you mean "storage.databases"?',
        ),
        ("port = 1", '1: unknown key "port" outside of a section; did you mean "server.port"?'),
        (
            "[server]\n'x y' = 1",
            '2: unknown key "x y" in [server]; see "ferrite-py config example"',
        ),
        (
            "\n[sever]\nport = 1",
            f'2: unknown section [sever] ({SECTIONS}); did you mean "server"?',
        ),
        ("[[server]]\nport = 1", "1: [server] must be a table"),
        (
            "[server]\nport = 70000",
            "2: server.port = 70000: expected an integer from 0 to 65535",
        ),
        (
            "[storage]\ndatabases = 1025",
            "2: storage.databases = 1025: expected an integer from 1 to 1024",
        ),
        (
            "[server]\nport = true",
            "2: server.port = true: expected an integer from 0 to 65535",
        ),
        (
            "[server]\nbind = [\n  '::1', 3]",
            '2: server.bind = ["::1", 3]: expected a list of words without blanks or commas',
        ),
        (
            '[server]\ntransport = "x"',
            '2: server.transport = "x": expected one of reactors, streams',
        ),
        (
            "[server]\nunix_socket_permissions = 600",
            f"2: server.unix_socket_permissions = 600: expected {PERMISSIONS}",
        ),
        ("[storage]\nmax_memory = -1", f"2: storage.max_memory = -1: expected a size: {SIZES}"),
        (
            "[storage]\nmax_memory = '9999999999gb'",
            f'2: storage.max_memory = "9999999999gb": {TOO_LARGE}',
        ),
        (
            "[storage]\nsegment_size = '64 mb'",
            '2: storage.segment_size = "64 mb": expected at most 32mb; this is too large',
        ),
        (
            "[server]\nmax_memory_clients = 'x'",
            f'2: server.max_memory_clients = "x": expected a size: {SIZES}, or {A_PERCENTAGE}',
        ),
        ("[server]\nprotected_mode = 1", "2: server.protected_mode = 1: expected true or false"),
        (
            "[server]\nmax_memory_clients = '101%'",
            '2: server.max_memory_clients = "101%": expected a percentage of at most "100%"',
        ),
        (
            "[server]\nrequirepass = 12",
            "2: server.requirepass = (not shown): expected text in UTF-8 without NUL",
        ),
        ("[server]\nport = \n", "2:8: Invalid value"),
        (f"x = {'[' * 3000}", TOO_DEEP),
        ('x = """', "1:8: Unterminated string"),
        ("[tls]\nport = 1", "2: tls.port: TLS needs tls.cert_file as well"),
        (
            "[server]\nport = 0",
            "2: server.port: nothing to listen on; set server.port, tls.port or server.unix_socket",
        ),
        (
            "[tls]\nport = 6379\ncert_file = 'c'\nkey_file = 'k'",
            "2: tls.port: 6379 is server.port as well; choose another",
        ),
        (
            "[server]\nport = 6399\n[metrics]\nport = 6399",
            "4: metrics.port: 6399 is server.port as well; choose another",
        ),
        ("[server]\nport = 9090", "metrics.port: 9090 is server.port as well; choose another"),
        (
            "[server]\nbind = '*'\nport = 1\n[metrics]\nport = 1\nbind = 'localhost'",
            "5: metrics.port: 1 is server.port as well; choose another",
        ),
        (
            "[server]\nbind = '0.0.0.0'\nport = 1\n[metrics]\nport = 1\nbind = '::'",
            "5: metrics.port: 1 is server.port as well; choose another",
        ),
        (
            "[server]\nbind = ['::1', '10.0.0.1']\nport = 1\n[metrics]\nport = 1\nbind = '*'",
            "5: metrics.port: 1 is server.port as well; choose another",
        ),
        (
            "[tls]\nport = 9090\ncert_file = 'c'\nkey_file = 'k'\nclient_auth = 'no'",
            "metrics.port: 9090 is tls.port as well; choose another",
        ),
        (
            "[tls]\nport = 1\ncert_file = 'c'\nkey_file = 'k'\nclient_auth = 'optional'",
            '5: tls.client_auth: "optional" needs tls.ca_file, or set it to "no"',
        ),
    ],
)
def test_errors_in_a_file(tmp_path: Path, text: str, expected: str) -> None:
    """An error names the file, the line, the key, the value, and what is expected or known."""
    place = "ferrite.toml:" if expected[0].isdigit() or expected is TOO_DEEP else ""
    assert error_of(tmp_path, text) == f"{place}{expected}"


def test_one_port_at_two_addresses_is_no_conflict(tmp_path: Path) -> None:
    """Nor is the port of a page that is off."""
    bound = "[server]\nbind = '10.0.0.1'\nport = 6399\n[metrics]\n"
    v4 = "[server]\nbind = '0.0.0.0'\nport = 6399\n[metrics]\nbind = '::1'\n"

    assert load_text(tmp_path, f"{bound}port = 6399").metrics.port == 6399
    assert load_text(tmp_path, f"{v4}port = 6399").metrics.port == 6399
    assert not load_text(
        tmp_path, "[server]\nport = 9090\n[metrics]\nenabled = false"
    ).metrics.enabled


@pytest.mark.parametrize("text", ["http://me:hidden@h:1\0", "me:hidden\n@h\udcff"])
def test_an_endpoint_that_is_no_text_is_not_shown(text: str) -> None:
    """It may have a password in it."""
    with pytest.raises(ConfigError) as caught:
        load(None, {"FERRITE_TELEMETRY_ENDPOINT": text}, {})

    place = "FERRITE_TELEMETRY_ENDPOINT: telemetry.endpoint"
    assert str(caught.value) == f"{place} = (not shown): expected text in UTF-8 without NUL"


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("storage.max_memory", ["-1", "1.gb", "1xb", "", "1e3", "9223372036854775808", "１"]),
        ("storage.max_memory", ["0.5", "1.5", "1.0b", "0.0000000001gb"]),
        ("server.max_memory_clients", ["0.5", "0.9b", "0.0001kb"]),
        ("storage.segment_size", ["3mb", "32kb", "2gb", "big"]),
        ("server.timeout", ["500ms", "1w", "-1", "1.5s", "3000000000"]),
        ("server.port", ["007", "+7", "1e3", "", "１"]),
        ("server.client_output_buffer_limit", ["normal 1 2", "x 1 2 3", "normal a 2 3"]),
        ("server.max_memory_clients", ["x", "-5%", "1e9%"]),
        ("server.unix_socket_permissions", ["1777", "8", "-1"]),
        ("server.bind", [" ".join(["::1"] * 17), "[" * 3000 + " a" * 20]),
        ("logging.file", ["a\0b", "\udcff"]),
    ],
)
def test_bad_texts(name: str, texts: list[str]) -> None:
    """Texts that are not quite a value are refused."""
    for text in texts:
        with pytest.raises(ConfigError, match=f"^command line: {name} = "):
            load(None, {}, {name: text})


@pytest.mark.parametrize(
    ("text", "level"),
    [("WARNING", "warn"), ("critical", "error"), ("Warn", "warn"), ("DEBUG", "debug")],
)
def test_levels_have_other_names(tmp_path: Path, text: str, level: str) -> None:
    """Those of Python's logging, in every layer; what is shown is our own."""
    in_file = load_text(tmp_path, f'[logging]\nlevel = "{text}"\n')

    assert in_file.logging.level == level
    assert load(None, {"FERRITE_LOGGING_LEVEL": text}, {}).logging.level == level
    assert load(None, {}, {"logging.level": text}).logging.level == level
    with pytest.raises(ConfigError, match="expected one of debug, info, warn, error"):
        load(None, {}, {"logging.level": f"{text}s"})


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing file and one that is not UTF-8 are named."""
    binary = tmp_path / "binary"
    binary.write_bytes(b"# one\n\xff")

    with pytest.raises(ConfigError, match=r"^cannot read .*/none: No such file or directory$"):
        load(tmp_path / "none", {}, {})
    with pytest.raises(ConfigError, match=r"/binary:2: the file is not valid UTF-8$"):
        load(binary, {}, {})


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("server.bind", '["127.0.0.1", "-::1"]', ("127.0.0.1", "-::1")),
        ("server.bind", "[::1]", ("[::1]",)),
        ("server.latency_tracking_info_percentiles", "[50, 99.9]", (50.0, 99.9)),
        (
            "server.client_output_buffer_limit",
            '["normal 2mb 1mb 1"]',
            OutputLimits(normal=OutputLimit(2 << 20, 1 << 20, 1)),
        ),
        ("logging.file", "[x]", "[x]"),
    ],
)
def test_lists_outside_of_the_file(name: str, text: str, value: object) -> None:
    """A flag and a variable take a list as the file writes it; what takes none has the text."""
    known = CATALOGUE.find(name)
    assert known is not None

    assert load(None, {}, {name: text}).value(name) == value
    assert load(None, {known.environment: text}, {}).value(name) == value


def test_all_errors_are_told_at_once(tmp_path: Path) -> None:
    """Every wrong line of a file, and what is wrong beside it: by layer, by line."""
    path = tmp_path / "ferrite.toml"
    text = """stray = 1
[server]
prot = 7
port = "x"
timeout = 5
[sorage]
databases = 1
[storage]
databases = 0
"""
    path.write_text(text, encoding="utf-8")

    with pytest.raises(ManyConfigError) as caught:
        load(path, {"FERRITE_SERVER_HZ": "none"}, {"server.nosuch": "1"})

    places = [
        str(error).replace(f"{tmp_path}/", "").split(": ")[0] for error in caught.value.errors
    ]
    assert places == [
        "ferrite.toml:1",
        "ferrite.toml:3",
        "ferrite.toml:4",
        "ferrite.toml:6",
        "ferrite.toml:9",
        "FERRITE_SERVER_HZ",
        "command line",
    ]
    assert str(caught.value).splitlines() == [str(error) for error in caught.value.errors]


def test_errors_of_the_environment() -> None:
    """A variable that is misspelt is refused; of one that may be somebody else's is warned."""
    with pytest.raises(ConfigError) as caught:
        load(None, {"FERRITE_SERVER_PROT": "1"}, {})
    expected = 'FERRITE_SERVER_PROT: unknown key "prot" in [server]; did you mean "port"?'
    assert str(caught.value) == expected
    with pytest.raises(ConfigError) as caught:
        load(None, {"FERRITE_SEVER_PORT": "1"}, {})
    expected = 'FERRITE_SEVER_PORT: unknown setting; did you mean "FERRITE_SERVER_PORT"?'
    assert str(caught.value) == expected

    environ = {"FERRITE_PORT": "tcp://10.0.0.1:6379", "FERRITE_SERVER_HZ": "10", "PATH": "/bin"}
    sources = Sources(None, environ, {})
    assert sources.load().config == Config()
    assert sources.warnings() == ["FERRITE_PORT: no setting has this name; it is passed over"]


def test_a_long_value_is_cut_in_a_message() -> None:
    """A message stays one line of bounded length, whatever the value."""
    with pytest.raises(ConfigError) as caught:
        load(None, {}, {"server.port": "x\n" * 1000})

    assert len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)


# Reloading, and generated files


def test_reload_takes_what_a_running_server_can() -> None:
    """A reload applies what can change and names what needs a restart."""
    loaded = load(None, {}, {"server.port": "7", "server.hz": "7"})

    config, pending = apply_runtime(Config(), loaded)

    assert (config.server.port, config.server.hz) == (6379, 7)
    assert pending == {"server.port"}


def test_names_of_redis_are_unique() -> None:
    """No two settings answer to one parameter or one variable, and constants are none of them."""
    names = [setting.redis for setting in ALL if setting.redis] + list(CONSTANTS)

    assert len(set(names)) == len(names)
    assert len({setting.environment for setting in ALL}) == len(ALL)
    assert [one.name for one in fields(Config)] == CATALOGUE.sections
